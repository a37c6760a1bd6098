//! Files that have not changed since the last snapshot are not read, and all others are.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::harness::make::set_time;
use crate::harness::{Sandbox, data, files_below, id_of, number};

/// A tree of files that are older than a file system's clock can blur, and its first snapshot.
struct Tree {
    sandbox: Sandbox,
    root: PathBuf,
    first: Value,
}

const FILES: u64 = 30;

impl Tree {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let root = sandbox.path("tree");
        for directory in ["a", "b"] {
            fs::create_dir_all(root.join(directory)).unwrap();
            for (number, length) in (1..FILES / 2).zip((100..).step_by(1000)) {
                let path = root.join(directory).join(format!("file {number:02}"));
                fs::write(path, data::noise(number, length)).unwrap();
            }
        }
        fs::write(root.join("big"), data::dump(1, 20_000)).unwrap();
        fs::write(root.join("small"), b"eight by").unwrap();
        sleep(Duration::from_millis(2_200));
        let first = sandbox.nightjar("backup").source(&root).json();
        assert_eq!(first["files"], FILES);
        assert_eq!(first["files_unchanged"], 0);
        Self { sandbox, root, first }
    }

    fn again(&self, options: &str) -> Value {
        self.sandbox.nightjar("backup").args(options).source(&self.root).json()
    }

    /// Everything in the last snapshot is what stands on disk.
    fn assert_holds(&self, snapshot: &Value) {
        let target = self.sandbox.path("target");
        let _ = fs::remove_dir_all(&target);
        self.sandbox.nightjar("restore").arg(id_of(snapshot)).args("--to").arg(&target).done();
        for path in files_below(&self.root) {
            let restored = target.join("tree").join(path.strip_prefix(&self.root).unwrap());
            assert!(fs::read(&restored).unwrap() == fs::read(&path).unwrap(), "{}", path.display());
        }
    }
}

#[test]
fn a_tree_that_has_not_changed_is_not_read() {
    let tree = Tree::new();
    let second = tree.again("");
    assert_eq!(second["files_unchanged"], FILES);
    assert_eq!(second["bytes_read"], 0);
    assert_eq!(second["bytes_unchanged"], tree.first["bytes_read"]);
    assert_eq!(second["root"], tree.first["root"]);
    assert_eq!(second["files"], FILES);
    tree.assert_holds(&second);
    let status = tree.sandbox.nightjar("status").json();
    let whole = number(&tree.first, "bytes_read");
    assert_eq!(number(&status, "bytes_logical"), 2 * whole);
}

#[test]
fn read_all_reads_what_has_not_changed() {
    let tree = Tree::new();
    let second = tree.again("--read-all");
    assert_eq!(second["files_unchanged"], 0);
    assert_eq!(second["bytes_read"], tree.first["bytes_read"]);
    assert_eq!(second["root"], tree.first["root"]);
}

#[test]
fn a_file_of_the_same_size_and_time_is_read_if_its_ctime_is_another() {
    let tree = Tree::new();
    let small = tree.root.join("small");
    set_time(&small, 1_600_000_000, 5);
    sleep(Duration::from_millis(2_200));
    assert_eq!(tree.again("")["files_unchanged"], FILES - 1);
    fs::write(&small, b"EIGHT BY").unwrap();
    set_time(&small, 1_600_000_000, 5);
    let third = tree.again("");
    assert_eq!(third["files_unchanged"], FILES - 1);
    assert_eq!(third["bytes_read"], 8);
    tree.assert_holds(&third);
}

#[test]
fn a_change_of_mode_alone_is_seen() {
    let tree = Tree::new();
    fs::set_permissions(tree.root.join("big"), Permissions::from_mode(0o600)).unwrap();
    let second = tree.again("");
    assert_eq!(second["files_unchanged"], FILES - 1);
    let diff = tree.sandbox.nightjar("snapshot diff");
    let diff = diff.arg(id_of(&tree.first)).arg(id_of(&second)).done().text();
    assert!(diff.contains("U tree/big"), "{diff}");
}

#[test]
fn a_file_that_changed_just_before_the_last_run_is_read_again() {
    let tree = Tree::new();
    // Such a file might change again within the same tick of the clock, after it was read.
    fs::write(tree.root.join("small"), b"just now").unwrap();
    assert_eq!(tree.again("")["files_unchanged"], FILES - 1);
    let third = tree.again("");
    assert_eq!(third["files_unchanged"], FILES - 1);
    assert_eq!(third["bytes_read"], 8);
}

#[test]
fn an_unchanged_file_whose_bytes_are_lost_is_read_and_stored_again() {
    let tree = Tree::new();
    for pack in files_below(&tree.sandbox.repository().join("packs")) {
        fs::remove_file(pack).unwrap();
    }
    let second = tree.again("");
    assert_eq!(second["files_unchanged"], 0);
    assert_eq!(second["bytes_read"], tree.first["bytes_read"]);
    tree.assert_holds(&second);
    tree.sandbox.nightjar("snapshot verify --level data").arg(id_of(&second)).done();
}

#[test]
fn another_series_has_its_own_past() {
    let tree = Tree::new();
    assert_eq!(tree.again("--series other")["files_unchanged"], 0);
    let again = tree.again("--series other");
    assert_eq!(again["files_unchanged"], FILES);
}

#[test]
fn a_new_name_for_an_old_file_is_read() {
    let tree = Tree::new();
    fs::rename(tree.root.join("small"), tree.root.join("renamed")).unwrap();
    fs::rename(tree.root.join("a"), tree.root.join("c")).unwrap();
    let second = tree.again("");
    assert_eq!(second["files_unchanged"], FILES / 2);
    assert_eq!(second["chunks_new"], 0);
    tree.assert_holds(&second);
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noted_and_read_again() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("tree");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("log"), data::noise(1, 80_000_000)).unwrap();
    sleep(Duration::from_millis(2_200));
    let log = fs::File::options().append(true).open(root.join("log")).unwrap();
    let mut running = sandbox.nightjar("backup").source(&root).with_json().start();
    crate::harness::wait_until("packs are written", || {
        let packs = sandbox.path("repository/packs");
        std::io::Write::write_all(&mut &log, b"one more line\n").unwrap();
        (running.has_ended() || packs.exists()).then_some(())
    });
    let outcome = running.finish().exited(0).says("changed while it was read");
    let ls = sandbox.nightjar("snapshot ls latest tree/log").json();
    assert_eq!(ls[0]["changed_while_read"], true, "{ls}");
    drop((log, outcome));
    sleep(Duration::from_millis(2_200));
    assert_eq!(sandbox.nightjar("backup").source(&root).json()["files_unchanged"], 0);
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("tree");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("first"), data::noise(1, 1_000_000)).unwrap();
    fs::hard_link(root.join("first"), root.join("second")).unwrap();
    fs::hard_link(root.join("first"), root.join("sub/third")).unwrap();
    sleep(Duration::from_millis(2_200));
    let first = sandbox.nightjar("backup").source(&root).json();
    assert_eq!(first["files"], 3);
    assert_eq!(first["bytes_read"], 1_000_000);
    let second = sandbox.nightjar("backup").source(&root).json();
    assert_eq!(second["files_unchanged"], 3);
    assert_eq!(second["bytes_unchanged"], 1_000_000);
    assert_eq!(second["root"], first["root"]);
    // A name that goes changes the file; a name that comes is one more.
    fs::remove_file(root.join("first")).unwrap();
    fs::hard_link(root.join("second"), root.join("zzz")).unwrap();
    let third = sandbox.nightjar("backup").source(&root).json();
    assert_eq!(third["files"], 3);
    assert_eq!(third["bytes_read"], 1_000_000);
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --to").arg(&target).done();
    for name in ["second", "sub/third", "zzz"] {
        assert!(fs::read(target.join("tree").join(name)).unwrap() == data::noise(1, 1_000_000));
    }
}
