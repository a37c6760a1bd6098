//! Who gets in, and what a role lets them do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::harness::{PASSPHRASE, Sandbox, WEAK, assert_same, data, files_below, id_of};

const NO_KEY: i32 = 12;

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    let objects = files_below(&sandbox.repository());
    sandbox.nightjar("init").args(WEAK).exits(1).says("already").prints_nothing();
    assert_eq!(files_below(&sandbox.repository()), objects);
    assert_same(&sandbox.stream(&id), &dump);
}

#[test]
fn init_leaves_the_files_of_others_alone() {
    let sandbox = Sandbox::without_repository();
    fs::create_dir(sandbox.repository()).unwrap();
    let letter = sandbox.write("repository/letter.txt", "dear");
    let outcome = sandbox.nightjar("init").args(WEAK).run();
    assert_eq!(fs::read_to_string(letter).unwrap(), "dear", "{outcome}");
}

#[test]
fn a_wrong_passphrase_is_told_as_such() {
    let (sandbox, ..) = Sandbox::with_dump();
    let wrong = sandbox.write("wrong", "not the passphrase");
    for command in
        ["snapshot list", "snapshot restore latest --stdout", "backup --stdin x", "status"]
    {
        let run = sandbox.nightjar(command).env("NIGHTJAR_PASSWORD_FILE", &wrong);
        run.exits(NO_KEY).says("passphrase").prints_nothing();
    }
}

#[test]
fn a_passphrase_is_never_shown_nor_stored_in_the_clear() {
    let (sandbox, ..) = Sandbox::with_dump();
    for command in
        ["-vv snapshot list", "-vv --json status", "-vv key list", "-vv snapshot show latest"]
    {
        sandbox.nightjar(command).done().never_says(PASSPHRASE);
    }
    for directory in [sandbox.repository(), sandbox.cache()] {
        for file in files_below(&directory) {
            let bytes = fs::read(&file).unwrap();
            for secret in [PASSPHRASE.as_bytes(), b"customer", b"dump.sql", b"delivered"] {
                let found = bytes.windows(secret.len()).any(|part| part == secret);
                assert!(
                    !found,
                    "{:?} stands in {}",
                    secret.escape_ascii().to_string(),
                    file.display()
                );
            }
        }
    }
}

#[test]
fn where_there_is_no_repository_nothing_is_made() {
    let sandbox = Sandbox::without_repository();
    for command in
        ["snapshot list", "snapshot restore latest --stdout", "backup --stdin x", "status"]
    {
        sandbox.nightjar(command).exits(10).says("no repository").prints_nothing();
        assert!(!sandbox.repository().exists(), "{command} made something");
    }
    fs::create_dir(sandbox.repository()).unwrap();
    sandbox.nightjar("snapshot list").exits(10);
    assert!(files_below(&sandbox.repository()).is_empty());
}

#[test]
fn a_passphrase_comes_from_a_variable_a_file_or_a_command() {
    let sandbox = Sandbox::new();
    sandbox.write("other", "something else");
    let quoted = sandbox.path("passphrase").display().to_string();
    let bare = || sandbox.nightjar("snapshot list").without_env("NIGHTJAR_PASSWORD_FILE");
    bare().env("NIGHTJAR_PASSWORD", PASSPHRASE).done();
    bare().env("NIGHTJAR_PASSWORD_FILE", &quoted).done();
    bare().env("NIGHTJAR_PASSWORD_COMMAND", format!("cat '{quoted}'")).done();
    bare().args("--password-file").arg(&quoted).done();
    bare().args("--password-command").arg(format!("cat '{quoted}'")).done();
    // What the command line says goes before the environment.
    bare().env("NIGHTJAR_PASSWORD", "wrong").args("--password-file").arg(&quoted).done();
    bare().env("NIGHTJAR_PASSWORD", "wrong").exits(NO_KEY);
    bare().args("--password-command").arg("exit 3").exits(NO_KEY);
    bare().args("--password-file /nowhere/at/all").exits(NO_KEY).says("/nowhere/at/all");
}

#[test]
fn a_passphrase_file_may_end_with_a_newline() {
    let sandbox = Sandbox::new();
    sandbox.write("passphrase", format!("{PASSPHRASE}\n"));
    sandbox.nightjar("snapshot list").done();
}

#[test]
fn without_passphrase_and_terminal_it_fails_at_once_and_says_what_to_set() {
    let sandbox = Sandbox::new();
    for command in ["snapshot list", "backup --stdin x"] {
        let start = Instant::now();
        // In a session of its own there is no terminal to ask on.
        let run = sandbox.nightjar(command).without_env("NIGHTJAR_PASSWORD_FILE");
        run.through("setsid --wait").exits(NO_KEY).says("NIGHTJAR_PASSWORD").prints_nothing();
        assert!(start.elapsed() < Duration::from_secs(20), "it waited for somebody");
    }
}

#[test]
fn an_empty_passphrase_is_refused() {
    let sandbox = Sandbox::without_repository();
    sandbox.write("passphrase", "\n");
    sandbox.nightjar("init").args(WEAK).exits(NO_KEY).says("empty");
    assert!(!sandbox.repository().exists() || files_below(&sandbox.repository()).is_empty());
}

#[test]
fn a_key_file_opens_its_slot_and_no_other_does() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let key = sandbox.path("host.key");
    sandbox.nightjar("key add --label host --new-key-file").arg(&key).done();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let bare = |words: &str| sandbox.nightjar(words).without_env("NIGHTJAR_PASSWORD_FILE");
    bare("restore latest --stdout --key-file").arg(&key).done().prints_bytes(&dump);
    bare("restore latest --stdout").env("NIGHTJAR_KEY_FILE", &key).done().prints_bytes(&dump);
    let other = sandbox.write("other.key", data::noise(9, 32));
    bare("snapshot list --key-file").arg(other).exits(NO_KEY);
    // The passphrase's bytes are no key file, nor the other way round.
    bare("snapshot list --key-file").arg(sandbox.path("passphrase")).exits(NO_KEY);
    bare("snapshot list --password-file").arg(&key).exits(NO_KEY);
}

#[test]
fn a_repository_may_have_a_key_file_only() {
    let sandbox = Sandbox::without_repository();
    let key = sandbox.path("root.key");
    let bare = |words: &str| {
        sandbox.nightjar(words).without_env("NIGHTJAR_PASSWORD_FILE").env("NIGHTJAR_KEY_FILE", &key)
    };
    bare("init").done();
    bare("backup --stdin x").stdin("hello").done();
    bare("restore latest --stdout").done().prints_bytes(b"hello");
    sandbox.nightjar("snapshot list").exits(NO_KEY);
}

#[test]
fn slots_are_listed_with_role_and_label() {
    let sandbox = Sandbox::new();
    sandbox.add_write_slot();
    let slots = sandbox.nightjar("key list").json();
    let slots = slots.as_array().unwrap();
    assert_eq!(slots.len(), 2);
    let host = slots.iter().find(|slot| slot["label"] == "host").unwrap();
    assert_eq!(host["role"], "write");
    assert_eq!(host["protection"], "passphrase");
    assert_eq!(host["current"], false);
    let ours = slots.iter().find(|slot| slot["current"] == true).unwrap();
    assert_eq!(ours["role"], "full");
    sandbox.nightjar("key list").done().prints("host").prints("write").prints("full");
}

#[test]
fn a_write_slot_backs_up_lists_and_checks() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let secret = sandbox.add_write_slot();
    // Another machine: it has no cache from a full slot.
    let cache = sandbox.path("cache-of-the-host");
    let host = |words: &str| {
        let run = sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &secret);
        run.env("NIGHTJAR_CACHE_DIR", &cache)
    };
    let changed = [dump.as_slice(), b"one more row\n"].concat();
    let second = host("backup --stdin dump.sql").stdin(changed.as_slice()).json();
    assert!(second["bytes_added"].as_u64().unwrap() < 300_000, "it shares what is there: {second}");
    assert_eq!(second["previous"], first.as_str());
    assert_eq!(host("snapshot list").json().as_array().unwrap().len(), 2);
    host("snapshot show latest").done();
    host("snapshot ls latest").done().prints("dump.sql");
    host("status").done();
    host("index rebuild").done();
    for level in ["presence", "packs"] {
        host("snapshot verify --all --level").arg(level).done();
    }
    host("snapshot verify --all").done();
    assert_same(&sandbox.stream(&id_of(&second)), &changed);
    sandbox.assert_verifies();
}

#[test]
fn a_write_slot_cannot_read_forget_or_give_access() {
    let (sandbox, _, id) = Sandbox::with_dump();
    let secret = sandbox.add_write_slot();
    let slot = sandbox.nightjar("key list").json()[0]["id"].as_str().unwrap().to_owned();
    let target = sandbox.path("target");
    let host = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &secret);
    host("restore latest --stdout").exits(NO_KEY).prints_nothing().says("role");
    host("restore latest --to").arg(&target).exits(NO_KEY);
    assert!(!target.exists() || files_below(&target).is_empty(), "something was restored");
    let taken = sandbox.path("taken");
    let script = format!("cat > '{}'", taken.display());
    host("restore latest").shell(&script).exits(NO_KEY);
    assert!(fs::read(&taken).unwrap_or_default().is_empty(), "data was handed out");
    host("snapshot forget --reason test").arg(&id).exits(NO_KEY);
    host("key add --label more --new-password-file").arg(&secret).args(WEAK).exits(NO_KEY);
    host("key remove").arg(&slot).exits(NO_KEY);
    host("snapshot verify --all --level data").exits(NO_KEY);
    host("index rebuild --from-packs").exits(NO_KEY);
    assert_eq!(sandbox.snapshots().len(), 1);
    assert_eq!(sandbox.nightjar("key list").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_removed_slot_opens_nothing_and_the_others_read_everything() {
    let (sandbox, dump, before) = Sandbox::with_dump();
    let secret = sandbox.write("second", "second passphrase");
    let added = sandbox.nightjar("key add --label leaving --new-password-file").arg(&secret);
    let slot = id_of(&added.args(WEAK).json());
    let leaving = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &secret);
    leaving("restore latest --stdout").done().prints_bytes(&dump);
    let by_the_leaver = id_of(&leaving("backup --stdin theirs").stdin("their last words").json());
    let write_secret = sandbox.add_write_slot();
    let epoch = || sandbox.nightjar("status").json()["epoch"].as_u64().unwrap();
    let epoch_before = epoch();
    sandbox.nightjar("key remove").arg(&slot).done();
    leaving("snapshot list").exits(NO_KEY);
    leaving("restore latest --stdout").exits(NO_KEY).prints_nothing();
    assert_eq!(sandbox.nightjar("key list").json().as_array().unwrap().len(), 2);
    assert_eq!(epoch(), epoch_before + 1);
    let changed = [dump.as_slice(), data::noise(5, 100_000).as_slice()].concat();
    let run =
        sandbox.nightjar("backup --stdin dump.sql").env("NIGHTJAR_PASSWORD_FILE", &write_secret);
    let after = id_of(&run.stdin(changed.as_slice()).json());
    assert_same(&sandbox.stream(&before), &dump);
    assert_same(&sandbox.stream(&after), &changed);
    assert_same(&sandbox.stream(&by_the_leaver), b"their last words");
    sandbox.assert_verifies();
}

#[test]
fn the_last_full_slot_cannot_be_removed() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    let slots = sandbox.nightjar("key list").json();
    sandbox.add_write_slot();
    sandbox.nightjar("key remove").arg(slots[0]["id"].as_str().unwrap()).exits(1).prints_nothing();
    assert_eq!(sandbox.nightjar("key list").json().as_array().unwrap().len(), 2);
    assert_same(&sandbox.stream(&id), &dump);
}

#[test]
fn the_cache_is_closed_to_other_users() {
    let (sandbox, ..) = Sandbox::with_dump();
    for entry in fs::read_dir(sandbox.cache()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
    }
}
