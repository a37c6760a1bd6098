//! `nightjar gc`: gives back what no snapshot needs, and says what it did.

use crate::harness::{Sandbox, assert_same, data};

fn pack_bytes(sandbox: &Sandbox) -> u64 {
    let status = sandbox.nightjar("status").json();
    let objects = status["objects"].as_array().unwrap();
    let packs = objects.iter().find(|it| it["kind"] == "packs").unwrap();
    packs["bytes"].as_u64().unwrap()
}

#[test]
fn what_was_forgotten_gives_its_space_back() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let other = data::noise(7, 3_000_000);
    let second = sandbox.store("dump.sql", &other);
    sandbox.nightjar("snapshot forget --reason old").arg(&first).done();
    let before = pack_bytes(&sandbox);
    let plan = sandbox.nightjar("gc --dry-run").json();
    assert_eq!(plan["dry_run"], true);
    let freed = plan["plan"]["bytes_freed"].as_u64().unwrap();
    assert!(freed > 0, "{plan}");
    assert_eq!(pack_bytes(&sandbox), before);
    sandbox.nightjar("gc -n").done().prints("needed by no snapshot").prints("would free");
    let done = sandbox.nightjar("gc").json();
    assert_eq!(done["rounds"], 1);
    assert!(done["packs_deleted"].as_u64().unwrap() > 0, "{done}");
    assert!(done["requests"]["delete"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(done["waiting"].as_array().unwrap().len(), 0);
    assert!(pack_bytes(&sandbox) < before);
    assert_same(&sandbox.stream(&second), &other);
    sandbox.assert_verifies();
    sandbox.nightjar("gc").done().prints("freed 0 B: 0 packs deleted");
    let third = sandbox.store("dump.sql", &dump);
    assert_same(&sandbox.stream(&third), &dump);
    sandbox.assert_verifies();
}

#[test]
fn another_machine_goes_on_after_a_collection() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let elsewhere = sandbox.path("cache-elsewhere");
    let other = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", &elsewhere);
    other("backup --stdin dump.sql").stdin(dump.clone()).done();
    let second = sandbox.snapshots().pop().unwrap()["id"].as_str().unwrap().to_owned();
    for id in [&first, &second] {
        sandbox.nightjar("snapshot forget --reason old").arg(id).done();
    }
    sandbox.nightjar("gc").done();
    let third = other("backup --stdin dump.sql").stdin(dump.clone()).json();
    assert!(third["chunks_new"].as_u64().unwrap() > 0, "{third}");
    let id = third["id"].as_str().unwrap();
    assert_same(&sandbox.stream(id), &dump);
    other("snapshot verify --all").done();
}

#[test]
fn a_backup_at_work_is_waited_for_by_name() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    sandbox.nightjar("snapshot forget --reason old").arg(&first).done();
    let file = sandbox.write("again", &dump);
    let (begun, go) = (sandbox.path("begun"), sandbox.path("go"));
    let [file, begun_text, go_text] = [&file, &begun, &go].map(|path| path.display().to_string());
    let script =
        format!("cat {file}; touch {begun_text}; while [ ! -e {go_text} ]; do sleep 0.02; done");
    let backup = sandbox.nightjar("backup --name dump.sql").shell(&script).start();
    while !begun.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let report = sandbox.nightjar("gc").json();
    let waiting = report["waiting"].as_array().unwrap();
    assert_eq!((waiting.len(), &report["rounds"]), (1, &0.into()), "{report}");
    assert!(waiting[0]["process"].as_u64().unwrap() > 0);
    sandbox.nightjar("gc").done().prints("waiting for session").prints("run gc again");
    sandbox.write("go", b"");
    assert!(backup.finish().is_done());
    let report = sandbox.nightjar("gc").json();
    assert_eq!((&report["resumed"], &report["rounds"]), (&true.into(), &1.into()), "{report}");
    let left = sandbox.snapshots();
    assert_same(&sandbox.stream(left[0]["id"].as_str().unwrap()), &dump);
    sandbox.assert_verifies();
}

#[test]
fn a_write_slot_may_not_collect() {
    let sandbox = Sandbox::with_dump().0;
    let key = sandbox.path("host.key");
    sandbox.nightjar("key add --role write --new-key-file").arg(&key).done();
    let gc = sandbox.nightjar("gc --key-file").arg(&key).without_env("NIGHTJAR_PASSWORD_FILE");
    gc.exits(12).says("full slot");
}

#[test]
fn shares_and_times_are_checked() {
    let sandbox = Sandbox::with_dump().0;
    sandbox.nightjar("gc --max-unused 101%").exits(2).says("0% to 100%");
    sandbox.nightjar("gc --max-time soon").exits(2).says("stretch of time");
    sandbox.nightjar("gc --max-unused 0% --max-repack 1MB --max-time 1h").done();
}

#[test]
fn it_gives_way_to_whatever_else_runs() {
    let (sandbox, _, _) = Sandbox::with_dump();
    let (file, passphrase) = (sandbox.path("nice"), sandbox.path("passphrase"));
    // What a command has, its children have.
    let told = |words: &str| {
        let asked = format!("nice > '{}'; cat '{}'", file.display(), passphrase.display());
        let bare = sandbox.nightjar(words).without_env("NIGHTJAR_PASSWORD_FILE");
        bare.args("--password-command").arg(asked).done();
        std::fs::read_to_string(&file).unwrap().trim().parse::<i32>().unwrap()
    };
    let usual = told("status");
    assert_eq!(told("gc"), (usual + 10).min(19));
}

#[test]
fn what_killed_writers_left_half_written_goes_after_a_day() {
    let (sandbox, _, _) = Sandbox::with_dump();
    let day = std::time::Duration::from_secs(24 * 3600);
    let leave = |name: &str, age| {
        let path = sandbox.repository().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, data::noise(9, 5_000)).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(now - age).unwrap();
        path
    };
    let pack = format!("packs/ab/ab{}", "0".repeat(62));
    let old = leave(&format!("{pack}#1"), day + day / 24);
    let young = leave(&format!("{pack}#2"), day - day / 24);
    let foreign = leave("packs/notes#1", 30 * day);
    let done = sandbox.nightjar("gc").done();
    done.prints("deleted 1 file (4.9 KiB) that killed writers left half-written");
    assert_eq!([&old, &young, &foreign].map(|path| path.exists()), [false, true, true]);
    assert_eq!(sandbox.nightjar("gc").json()["unfinished_deleted"], 0);
}
