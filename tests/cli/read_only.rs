//! Credentials that may only read, or may not delete.

use std::fs;
use std::process::Command;

use nightjar_testservers::Fault;

use super::far::Far;
use crate::harness::{Sandbox, WEAK, id_of};

/// What must work where every write is refused.
const READING: [&str; 12] = [
    "snapshot list",
    "snapshot show latest",
    "snapshot ls latest --long",
    "snapshot cat latest dump.sql",
    "snapshot find dump.sql",
    "snapshot verify --no-record --all --level presence",
    "snapshot verify --no-record --all --level packs",
    "snapshot verify --no-record --all --level data",
    "status",
    "key list",
    "index status",
    "index rebuild --from-packs",
];

#[test]
fn credentials_that_may_only_read_list_restore_and_check() {
    let (far, dump) = Far::with_dump();
    let second = id_of(&far.run("backup --stdin dump.sql").stdin("second").json());
    far.refuse_writes();
    far.proxy.forget();
    for command in READING {
        far.run_elsewhere(command).done().never_says("warning");
    }
    let first = id_of(&far.run("snapshot list").json()[0]);
    far.run_elsewhere("restore --stdout").arg(&first).done().prints_bytes(&dump);
    let directory = far.sandbox.path("restored");
    far.run_elsewhere("restore --verify --to").arg(&directory).arg(&first).done();
    assert!(fs::read(directory.join("dump.sql")).unwrap() == dump);
    far.run_elsewhere("snapshot diff").arg(&first).arg(&second).done();
    // Not that they were told no and went on: they never asked.
    for method in ["PUT", "POST", "DELETE"] {
        assert_eq!(far.proxy.count(method), 0, "{method}: {:?}", far.proxy.seen());
    }
}

#[test]
fn without_the_permission_to_write_nothing_changes_and_the_permission_is_named() {
    let (far, dump) = Far::with_dump();
    let id = id_of(&far.run("snapshot list").json()[0]);
    far.refuse_writes();
    let denied = "check the permissions of this user";
    let verify = far.run("snapshot verify --all").done().prints("no damage found");
    verify.says("could not be kept in the repository").says(denied).says("checks/");
    far.run("backup --stdin dump.sql").stdin("new").exits(1).says(denied).says("sessions/");
    let forget = far.run("snapshot forget --reason test").arg(id);
    forget.exits(1).says(denied).says("ledger/");
    let key = far.run("key add --role write --label x --new-key-file").arg(far.sandbox.path("k"));
    key.exits(1).says(denied);
    let elsewhere = far.url.replace("backups", "other");
    let init = far.run(&format!("init {WEAK}")).env("NIGHTJAR_REPOSITORY", &elsewhere);
    init.exits(1).says(denied);
    far.proxy.heal();
    assert_eq!(far.run("snapshot list").json().as_array().unwrap().len(), 1);
    far.nothing_is_lost(&dump);
}

#[test]
fn a_directory_that_may_only_be_read_lists_restores_and_checks() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    // Whoever may not write here must not own it as root does.
    sandbox.nightjar_unprivileged("status").done();
    let chmod = Command::new("chmod").args(["-R", "a-w"]).arg(sandbox.repository()).status();
    assert!(chmod.unwrap().success());
    for command in READING {
        sandbox.nightjar_unprivileged(command).done().never_says("warning");
    }
    let restored = sandbox.nightjar_unprivileged("restore latest --stdout");
    restored.done().prints_bytes(&dump);
    let backup = sandbox.nightjar_unprivileged("backup --stdin dump.sql").stdin("new");
    backup.exits(1).says("check the permissions of this user");
    let doctor = sandbox.nightjar_unprivileged("doctor").done();
    doctor.prints("these credentials may only read");
}

/// As with an object lock, or a policy that lacks s3:DeleteObject. S3 tells it in an answer that is
/// a success.
#[test]
fn where_nothing_may_be_deleted_backups_work_and_forgetting_is_on_record() {
    let far = Far::new();
    far.proxy.inject(Fault::keep_objects().always());
    far.run(&format!("init {WEAK}")).done();
    far.run("backup --stdin dump.sql").stdin("first").done().never_says("error");
    let second = far.run("backup --stdin dump.sql").stdin("second").json();
    let forget = far.run("snapshot forget --reason test").arg(id_of(&second)).done();
    forget.prints("forgot snapshot").says("warning").says("stays in the store").says("permit");
    let json = far.run("snapshot list").json();
    assert_eq!(json.as_array().unwrap().len(), 1, "{json}");
    far.run_elsewhere("restore latest --stdout").done().prints_bytes(b"first");
    far.run_elsewhere("snapshot verify --all --level data").done();
    // A slot whose objects stay has lost its access all the same.
    let file = far.sandbox.write("other", "another passphrase");
    let add = far.run("key add --label other --new-password-file").arg(&file).args(WEAK);
    let slot = add.json()["id"].as_str().unwrap().to_owned();
    let removed = far.run("key remove").arg(&slot).done();
    removed.says("warning").says("stay in the store");
    let late = far.run("backup --stdin late").env("NIGHTJAR_PASSWORD_FILE", &file).stdin("x");
    late.exits(12);
    far.nothing_is_lost(b"first");
}
