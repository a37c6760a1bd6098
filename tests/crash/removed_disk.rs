//! A disk is removed while it is in use: the repository's, the one that is restored to, or the one
//! that is backed up. Its mount point remains, empty.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::data::{dump, noise};
use crate::harness::make::make_many_files;
use crate::harness::mount::Mount;
use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{
    Nightjar, Running, Sandbox, assert_same, files_below, id_of, namespace, wait_until,
};

const REMOVED: &str = "was its disk removed";

fn done_in_namespace(test: &str) -> bool {
    namespace::done_in_namespace(module_path!(), test)
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// Stops a program as soon as something has happened.
fn stop_when(run: Nightjar, what: &str, happened: impl Fn() -> bool) -> Running {
    let running = run.start();
    wait_until(what, || happened().then_some(()));
    running.signal(Signal::STOP);
    running
}

/// A repository with a tree of so many files of 100 kB in it.
fn with_tree(files: u64) -> Sandbox {
    let sandbox = Sandbox::new();
    make_many_files(&sandbox.path("tree"), files);
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    sandbox
}

#[test]
fn a_backup_whose_repository_is_removed_fails_and_what_was_stored_stays() {
    if done_in_namespace("a_backup_whose_repository_is_removed_fails_and_what_was_stored_stays") {
        return;
    }
    // The mount point itself, and a directory on the disk.
    for name in ["disk", "disk/repository"] {
        let sandbox = Sandbox::without_repository();
        let kept = Mount::new(&sandbox.path("kept"), "size=200m");
        let disk = kept.plug_in(&sandbox.path("disk"));
        let nightjar =
            |args: &str| sandbox.nightjar(args).env("NIGHTJAR_REPOSITORY", sandbox.path(name));
        nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
        let (first, second) = (dump(1, 20_000), noise(2, 20 << 20));
        let kept_id = id_of(&nightjar("backup --stdin dump.sql").stdin(first.clone()).json());

        let (stream, go) = (sandbox.write("stream", &second), sandbox.path("go"));
        let packs = sandbox.path(name).join("packs");
        let before = files_below(&packs).len();
        let script = format!(
            "cat '{0}'; while [ ! -e '{1}' ]; do sleep 0.01; done; cat '{0}' | rev",
            stream.display(),
            go.display()
        );
        let running = nightjar("backup --name dump.sql").shell(&script).start();
        wait_until("packs are written", || {
            let count = files_below(&packs).len();
            // And no write is under way.
            sleep(Duration::from_millis(300));
            (count > before && files_below(&packs).len() == count).then_some(())
        });
        drop(disk);
        fs::write(go, "").unwrap();
        running.finish().exited(1).says(REMOVED).prints_nothing();
        assert!(is_empty(&sandbox.path("disk")), "{name}: it wrote into the mount point");
        nightjar("snapshot list").exits(10);

        let _disk = kept.plug_in(&sandbox.path("disk"));
        let list = nightjar("snapshot list").json();
        assert_eq!(list.as_array().unwrap().iter().map(id_of).collect::<Vec<_>>(), [&*kept_id]);
        nightjar("snapshot verify --all --level data").done();
        let again = id_of(&nightjar("backup --stdin dump.sql").stdin(second.clone()).json());
        for (id, bytes) in [(kept_id, first), (again, second)] {
            let restored = nightjar("restore --stdout").arg(id).done();
            assert_same(&restored.stdout, &bytes);
        }
    }
}

#[test]
fn a_restore_whose_repository_is_removed_fails_without_talk_of_damage() {
    if done_in_namespace("a_restore_whose_repository_is_removed_fails_without_talk_of_damage") {
        return;
    }
    let sandbox = with_tree(1500);
    let kept = Mount::new(&sandbox.path("kept"), "size=400m");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([sandbox.repository(), sandbox.path("kept/repository")])
        .status();
    assert!(copied.unwrap().success());
    let disk = kept.plug_in(&sandbox.path("disk"));
    let target = sandbox.path("target");
    let restore = || {
        let run = sandbox.nightjar("restore latest --overwrite if-changed --to").arg(&target);
        run.env("NIGHTJAR_REPOSITORY", sandbox.path("disk/repository"))
    };
    let running = stop_when(restore(), "some files are restored", || {
        target.exists() && files_below(&target).len() > 100
    });
    drop(disk);
    running.signal(Signal::CONT);
    running.finish().exited(1).says(REMOVED).never_says("damage").prints_nothing();
    let _disk = kept.plug_in(&sandbox.path("disk"));
    restore().done();
    assert_same_trees(&read(&target.join("tree")), &read(&sandbox.path("tree")));
}

#[test]
fn a_restore_whose_destination_is_removed_fails_and_can_be_run_again() {
    if done_in_namespace("a_restore_whose_destination_is_removed_fails_and_can_be_run_again") {
        return;
    }
    let sandbox = with_tree(1500);
    let kept = Mount::new(&sandbox.path("kept"), "size=400m");
    for name in ["disk", "disk/target"] {
        let target = sandbox.path(name);
        let restore =
            || sandbox.nightjar("restore latest --overwrite if-changed --to").arg(&target);
        let disk = kept.plug_in(&sandbox.path("disk"));
        let running = stop_when(restore(), "some files are restored", || {
            target.exists() && files_below(&target).len() > 100
        });
        drop(disk);
        running.signal(Signal::CONT);
        running.finish().exited(1).says(name).says(REMOVED).prints_nothing();
        assert!(is_empty(&sandbox.path("disk")), "it wrote into the mount point");
        let _disk = kept.plug_in(&sandbox.path("disk"));
        restore().done();
        assert_same_trees(&read(&target.join("tree")), &read(&sandbox.path("tree")));
        fs::remove_dir_all(target.join("tree")).unwrap();
    }
}

#[test]
fn a_destination_that_becomes_read_only_ends_the_restore() {
    if done_in_namespace("a_destination_that_becomes_read_only_ends_the_restore") {
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    // The system lets no file system become read-only in which a file is being written.
    for number in 0..20_000 {
        let link = sandbox.path(&format!("tree/{number}"));
        std::os::unix::fs::symlink("somewhere", link).unwrap();
    }
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    let disk = Mount::new(&sandbox.path("disk"), "size=100m");
    let target = sandbox.path("disk/target");
    let restore = || sandbox.nightjar("restore latest --overwrite if-changed --to").arg(&target);
    let running = stop_when(restore(), "some links are restored", || {
        fs::read_dir(target.join("tree")).map_or(0, Iterator::count) > 100
    });
    disk.remount("ro");
    running.signal(Signal::CONT);
    let outcome = running.finish().exited(1).says("Read-only file system").prints_nothing();
    assert_eq!(outcome.stderr.matches("Read-only").count(), 1, "{outcome}");
    disk.remount("rw");
    restore().done();
    assert_same_trees(&read(&target.join("tree")), &read(&sandbox.path("tree")));
}

#[test]
fn a_backup_of_a_disk_that_is_removed_claims_nothing_that_it_has_not() {
    if done_in_namespace("a_backup_of_a_disk_that_is_removed_claims_nothing_that_it_has_not") {
        return;
    }
    // While `a` is read, what comes after it goes: the mount point, and a directory on the disk.
    for name in ["disk", "disk/tree"] {
        let sandbox = Sandbox::without_repository();
        sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
        sandbox.write("a", noise(1, 100_000_000));
        let kept = Mount::new(&sandbox.path("kept"), "size=10m");
        fs::create_dir(sandbox.path("kept/tree")).unwrap();
        sandbox.write("kept/tree/file", "precious");
        let backup = || sandbox.nightjar("backup a").arg(name).in_directory(&sandbox.path(""));
        let disk = kept.plug_in(&sandbox.path("disk"));
        let packs = sandbox.repository().join("packs");
        let running = stop_when(backup(), "packs are written", || packs.exists());
        drop(disk);
        running.signal(Signal::CONT);
        running.finish().exited(1).says(name).prints_nothing();
        assert_eq!(sandbox.snapshots().len(), 0);

        let _disk = kept.plug_in(&sandbox.path("disk"));
        let id = id_of(&backup().with_json().done().json());
        let run = sandbox.nightjar("restore --stdout").arg(&id).arg("disk/tree/file");
        run.done().prints_bytes(b"precious");
    }
}
