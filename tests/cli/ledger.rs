//! `ledger show`, and that nobody can take back what stands in the ledger unnoticed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::{Sandbox, assert_has_fields, assert_same, files_below};

/// Copies everything in `from` to `to`, times and all else aside.
fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(file, target).unwrap();
    }
}

fn record(sandbox: &Sandbox, number: u64) -> PathBuf {
    let records = files_below(&sandbox.repository().join("ledger"));
    let name = format!("{number:012}");
    records.into_iter().find(|path| path.ends_with(&name)).expect("there is such a record")
}

#[test]
fn the_ledger_says_who_did_what_when_and_why() {
    let (sandbox, _, first) = Sandbox::with_dump();
    let second = sandbox.store("dump.sql", b"second");
    sandbox.add_write_slot();
    sandbox.nightjar("snapshot hold --until 2100-01-01 --reason court").arg(&first).done();
    sandbox.nightjar("snapshot release --reason over").arg(&first).done();
    sandbox.nightjar("snapshot accept --reason small").arg(&second).done();
    sandbox.nightjar("snapshot forget --reason mistake").arg(&first).done();
    let ledger = sandbox.nightjar("ledger show").json();
    assert_has_fields(&ledger, "incarnation head records findings");
    assert_eq!(ledger["head"], 5);
    let records = ledger["records"].as_array().unwrap();
    let kinds: Vec<&str> = records.iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["open", "slot", "hold", "release", "accept", "forget"]);
    for (number, record) in records.iter().enumerate() {
        assert_has_fields(record, "number time slot slot_label kind");
        assert_eq!(record["number"], number as u64);
    }
    for (number, fields) in [
        (1, "member"),
        (2, "snapshots until who why"),
        (3, "snapshots who why"),
        (4, "series up_to who why"),
        (5, "snapshots who why"),
    ] {
        assert_has_fields(&records[number], fields);
    }
    assert_eq!(records[2]["snapshots"][0], first.as_str());
    assert_eq!(records[5]["why"], "mistake");
    let text = sandbox.nightjar("ledger show").done();
    let text = text.prints("began the ledger").prints("added slot").prints("until 21");
    text.prints("accepted the sizes of dump.sql").prints(&first[..12]).prints("mistake");
    let last = sandbox.nightjar("ledger show --last 2").json();
    assert_eq!(last["records"].as_array().unwrap().len(), 2);
    assert_eq!(last["records"][1]["kind"], "forget");
}

/// What reads the ledger: everything that opens a repository.
const READERS: [&str; 9] = [
    "ledger show",
    "snapshot list",
    "snapshot verify --all",
    "snapshot verify latest",
    "snapshot show latest",
    "retention plan --keep-last 1",
    "status",
    "key list",
    "index status",
];

/// Every command tells it and ends with 4; nothing is written any more.
fn assert_everybody_tells(sandbox: &Sandbox, what: &str) {
    for command in READERS {
        let run = sandbox.nightjar(command).exits(4);
        assert!(format!("{}{}", run.text(), run.stderr).contains(what), "{command}: {run}");
    }
    for command in ["backup --stdin dump.sql", "retention apply --keep-last 1", "key add --label x"]
    {
        let file = sandbox.write("another", "passphrase");
        let run = sandbox.nightjar(command).stdin("text");
        let run = if command.starts_with("key") {
            run.args("--argon2-memory 1MiB --new-password-file").arg(file)
        } else {
            run
        };
        run.exits(4).says(what);
    }
}

#[test]
fn a_record_that_is_missing_is_told_by_every_command() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let two = [b"two".as_slice(), b"three"].map(|bytes| sandbox.store("dump.sql", bytes));
    for id in &two {
        sandbox.nightjar("snapshot forget --reason r").arg(id).done();
    }
    fs::remove_file(record(&sandbox, 1)).unwrap();
    for fresh in [false, true] {
        if fresh {
            fs::remove_dir_all(sandbox.cache()).unwrap();
        }
        assert_everybody_tells(&sandbox, "ledger records 1 to 2 are missing");
    }
    // What can be restored is; that the history was altered still shows.
    let restored = sandbox.nightjar("restore latest --stdout").exits(4).says("are missing");
    assert_same(&restored.stdout, &dump);
}

#[test]
fn an_older_head_than_was_seen_is_told_by_every_command() {
    let (sandbox, _, first) = Sandbox::with_dump();
    sandbox.store("dump.sql", b"second");
    copy(&sandbox.repository(), &sandbox.path("before"));
    sandbox.nightjar("snapshot forget --reason r").arg(&first).done();
    fs::remove_dir_all(sandbox.repository()).unwrap();
    copy(&sandbox.path("before"), &sandbox.repository());
    assert_everybody_tells(&sandbox, "the store shows an older state");
    // Who never saw the newer state cannot tell.
    let elsewhere = sandbox.path("elsewhere");
    sandbox.nightjar("snapshot list").env("NIGHTJAR_CACHE_DIR", elsewhere).done();
}

#[test]
fn a_snapshot_that_is_gone_without_a_record_is_told() {
    let (sandbox, _, first) = Sandbox::with_dump();
    sandbox.store("dump.sql", b"second");
    fs::remove_file(sandbox.repository().join("snapshots").join(&first)).unwrap();
    for fresh in [false, true] {
        if fresh {
            // The snapshot after it names it.
            fs::remove_dir_all(sandbox.cache()).unwrap();
        }
        for command in ["snapshot list", "snapshot verify --all", "status"] {
            let run = sandbox.nightjar(command).exits(4);
            let all = format!("{}{}", run.text(), run.stderr);
            assert!(all.contains(&first) && all.contains("no ledger record forgets it"), "{all}");
        }
    }
}
