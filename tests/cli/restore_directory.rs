//! `snapshot restore --to`: its options, its reports and its exit codes. What becomes of each kind
//! of entry is the subject of `crates/source/tests/restore`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::make::{make_everything, make_many_files};
use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{Sandbox, assert_same, files_below, wait_until};

/// A snapshot of a tree with everything in it.
fn with_tree() -> Sandbox {
    let sandbox = Sandbox::new();
    make_everything(&sandbox.path("tree"));
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    sandbox
}

/// A snapshot of so many files of 100 kB.
fn with_many_files(files: u64) -> Sandbox {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    make_many_files(&sandbox.path("tree"), files);
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    sandbox
}

#[test]
fn a_restore_that_was_killed_goes_on_where_it_was() {
    let sandbox = with_many_files(1500);
    let original = read(&sandbox.path("tree"));
    let target = sandbox.path("target");
    let running = sandbox.nightjar("restore latest --to").arg(&target).start();
    wait_until("some files are restored", || {
        let some = target.exists() && files_below(&target).len() > 100;
        some.then_some(())
    });
    running.signal(Signal::KILL);
    running.finish().was_killed_by(Signal::KILL);
    let again = |words: &str| sandbox.nightjar("restore latest --to").arg(&target).args(words);
    again("").exits(1).says("--overwrite if-changed");
    let report = again("--overwrite if-changed").json();
    assert_eq!(report["files"], 1500);
    assert!(report["unchanged"].as_u64().unwrap() > 50, "{report}");
    assert!(report["bytes"].as_u64().unwrap() < 1500 * 100_000, "{report}");
    assert_same_trees(&read(&target.join("tree")), &original);
}

#[test]
fn damage_in_the_store_costs_the_files_it_hits_and_the_exit_code_is_4() {
    let sandbox = with_many_files(60);
    let mut packs = files_below(&sandbox.repository().join("packs"));
    packs.sort_by_key(|pack| fs::metadata(pack).unwrap().len());
    let pack = packs.last().unwrap();
    let mut bytes = fs::read(pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(pack, bytes).unwrap();
    let target = sandbox.path("target");
    let restored = sandbox.nightjar("restore latest --to").arg(&target).with_json().exits(4);
    let report: Value = serde_json::from_slice(&restored.stdout).unwrap();
    let failed = report["failed"].as_u64().unwrap();
    assert!((1..=2).contains(&failed), "{report}");
    let restored = restored.says("target/tree/0").says("\"code\":4");
    drop(restored);
    let found = files_below(&target);
    assert_eq!(found.len() as u64, 60 - failed);
    for path in found {
        let source = sandbox.path("").join(path.strip_prefix(&target).unwrap());
        assert_same(&fs::read(&path).unwrap(), &fs::read(source).unwrap());
    }
}

/// The disk returns other bytes than were written to it: here somebody changes them meanwhile.
#[test]
fn what_differs_when_it_is_read_back_is_named_and_the_exit_code_is_4() {
    let sandbox = with_many_files(600);
    let target = sandbox.path("target");
    let restore = |words: &str| sandbox.nightjar("restore latest --to").arg(&target).args(words);
    let running = restore("--verify").start();
    let first = target.join("tree/00/0000");
    wait_until("the first file stands", || first.exists().then_some(()));
    running.signal(Signal::STOP);
    assert!(files_below(&target).len() < 600, "it is over");
    let mut bytes = fs::read(&first).unwrap();
    bytes[50_000] ^= 1;
    fs::write(&first, bytes).unwrap();
    running.signal(Signal::CONT);
    let outcome = running.finish().exited(4).says("tree/00/0000").says("read back from the disk");
    assert_eq!(outcome.stderr.matches("tree/").count(), 1, "{outcome}");
    restore("--verify --overwrite always").done();
    assert_same_trees(&read(&target.join("tree")), &read(&sandbox.path("tree")));
}

#[test]
fn what_may_not_be_written_is_named_and_the_exit_code_is_1() {
    let sandbox = with_tree();
    fs::create_dir_all(sandbox.path("target/tree/etc")).unwrap();
    // Whoever may do everything ignores modes.
    let closed = fs::Permissions::from_mode(0o500);
    fs::set_permissions(sandbox.path("target/tree/etc"), closed).unwrap();
    let target = sandbox.path("target");
    let run = sandbox.nightjar_unprivileged("restore latest --to").arg(&target).exits(1);
    run.says("etc/service.conf").says("could not be restored").prints("restored ");
    assert_eq!(sandbox.read("target/tree/run-me"), sandbox.read("tree/run-me"));
}

#[test]
fn a_dry_run_says_what_would_be_done_and_does_nothing() {
    let sandbox = with_tree();
    let target = sandbox.path("target");
    let plan = sandbox.nightjar("restore latest --dry-run --to").arg(&target).json();
    assert!(!target.exists());
    for field in ["directories", "files", "others", "bytes", "requests"] {
        assert!(plan[field].as_u64().unwrap() > 0, "{field}: {plan}");
    }
    for field in ["unchanged", "replaced", "deleted", "links"] {
        assert_eq!(plan[field], 0, "{field}: {plan}");
    }
    let text = sandbox.nightjar("restore latest --dry-run --to").arg(&target).done();
    text.prints("files to write").prints("nothing was written");
    assert!(!target.exists());
    let done = sandbox.nightjar("restore latest --to").arg(&target).json();
    assert_eq!((&plan["files"], &plan["bytes"]), (&done["files"], &done["bytes"]));
}

#[test]
fn a_directory_becomes_again_what_it_was() {
    let sandbox = with_tree();
    let mut original = read(&sandbox.path("tree"));
    let tree = sandbox.path("tree");
    fs::remove_file(tree.join("nothing")).unwrap();
    fs::write(tree.join("run-me"), "broken").unwrap();
    fs::create_dir(tree.join("etc/new")).unwrap();
    fs::write(tree.join("etc/new/file"), "new").unwrap();
    let words = "restore latest --subtree tree --overwrite if-changed --delete --verify --to";
    let report = sandbox.nightjar(words).arg(&tree).json();
    assert_eq!((&report["deleted"], &report["failed"]), (&2.into(), &0.into()), "{report}");
    let mut restored = read(&tree);
    // The directory itself is the user's: it keeps what it has.
    let itself = Path::new("");
    restored.remove(itself);
    original.remove(itself);
    assert_same_trees(&restored, &original);
    let without = "restore latest --delete --to";
    sandbox.nightjar(without).arg(&tree).exits(2).says("--overwrite");
}

#[test]
fn paths_are_relative_to_the_subtree_wherever_they_go() {
    let sandbox = with_tree();
    let run = sandbox.nightjar("restore latest --subtree tree/etc service.conf --stdout");
    run.done().prints_bytes(b"port = 5432\n");
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --subtree tree/etc deep/noise --to").arg(&target).done();
    assert_eq!(files_below(&target), [target.join("deep/noise")]);
    sandbox.nightjar("restore latest --subtree tree/none --to").arg(&target).exits(1).says("none");
}
