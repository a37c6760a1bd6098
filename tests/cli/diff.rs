//! What differs between two snapshots, and how that is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::harness::make::set_time;
use crate::harness::{Nightjar, Sandbox, assert_has_fields, id_of};

/// A directory, stored before and after it changes.
struct Two {
    sandbox: Sandbox,
    old: String,
    new: String,
}

impl Two {
    fn new(before: impl FnOnce(&PathBuf), after: impl FnOnce(&PathBuf)) -> Self {
        let sandbox = Sandbox::new();
        let tree = sandbox.path("tree");
        fs::create_dir(&tree).unwrap();
        before(&tree);
        set_time(&tree, 1_000_000_000, 0);
        let old = id_of(&sandbox.nightjar("backup").source(&tree).json());
        after(&tree);
        set_time(&tree, 1_000_000_000, 0);
        let new = id_of(&sandbox.nightjar("backup").source(&tree).json());
        Self { sandbox, old, new }
    }

    fn diff(&self, words: &str) -> Nightjar {
        self.sandbox.nightjar("snapshot diff").arg(&self.old).arg(&self.new).args(words)
    }

    fn lines(&self, words: &str) -> Vec<String> {
        self.diff(words).done().text().lines().map(ToOwned::to_owned).collect()
    }
}

/// Something of every change.
fn changed() -> Two {
    let before = |tree: &PathBuf| {
        for name in ["changed", "removed", "touched", "becomes"] {
            fs::write(tree.join(name), name).unwrap();
        }
        fs::create_dir(tree.join("below")).unwrap();
        fs::write(tree.join("below/file"), "one").unwrap();
        set_time(&tree.join("below"), 1_000_000_000, 0);
    };
    let after = |tree: &PathBuf| {
        fs::write(tree.join("changed"), "CHANGED, and longer").unwrap();
        fs::remove_file(tree.join("removed")).unwrap();
        fs::write(tree.join("added"), "added").unwrap();
        set_time(&tree.join("touched"), 1_000_000_000, 0);
        fs::set_permissions(tree.join("touched"), Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(tree.join("becomes")).unwrap();
        symlink("touched", tree.join("becomes")).unwrap();
        fs::write(tree.join("below/file"), "two").unwrap();
    };
    Two::new(before, after)
}

#[test]
fn diff_names_what_was_added_removed_and_changed() {
    let two = changed();
    let expected = [
        "+ tree/added  (5 B)",
        "M tree/becomes  (file -> symlink)  (7 B)",
        "M tree/below/file",
        "M tree/changed  (7 B -> 19 B)",
        "- tree/removed  (7 B)",
        "U tree/touched  (mode, modified)",
    ];
    assert_eq!(two.lines(""), expected);
    let backwards = two.sandbox.nightjar("snapshot diff").arg(&two.new).arg(&two.old).done();
    backwards.prints("- tree/added").prints("+ tree/removed").prints("(symlink -> file)");
}

#[test]
fn a_summary_stands_beside_the_differences() {
    let two = changed();
    let outcome = two.diff("").done();
    assert_eq!(
        outcome.stderr.trim_end(),
        "1 added, 1 removed, 3 changed, 1 only metadata; +17 B \u{2212}14 B"
    );
    assert_eq!(two.diff("--quiet").done().stderr, "");
    let outcome = two.diff("").with_json().done();
    let summary = outcome.json_lines().pop().unwrap();
    assert_has_fields(&summary, "event bytes_added bytes_removed renamed");
    assert_eq!((&summary["event"], &summary["modified"]), (&json!("summary"), &json!(3)));
    assert_eq!(outcome.json().as_array().unwrap().len(), 6);
}

#[test]
fn diff_in_json_has_the_same_fields_for_every_change() {
    let two = changed();
    let diff = two.diff("").json();
    let of = |path: &str| -> Value {
        let found = diff.as_array().unwrap().iter().find(|it| it["path"] == path);
        found.unwrap_or_else(|| panic!("no {path} in {diff}")).clone()
    };
    for difference in diff.as_array().unwrap() {
        assert_has_fields(difference, "path change kind metadata");
    }
    let added = json!({"path": "tree/added", "change": "added", "kind": "file",
        "new_kind": "file", "new_size": 5, "metadata": []});
    assert_eq!(of("tree/added"), added);
    let touched = json!({"path": "tree/touched", "change": "metadata", "kind": "file",
        "old_kind": "file", "new_kind": "file", "old_size": 7, "new_size": 7,
        "metadata": ["mode", "modified"]});
    assert_eq!(of("tree/touched"), touched);
    let becomes = of("tree/becomes");
    assert_eq!((&becomes["old_kind"], &becomes["kind"]), (&json!("file"), &json!("symlink")));
    assert_eq!(of("tree/removed")["kind"], "file");
}

#[test]
fn paths_limit_a_diff() {
    let two = changed();
    assert_eq!(two.lines("tree/below"), ["M tree/below/file"]);
    assert_eq!(two.lines("/tree/added tree/removed").len(), 2);
    assert_eq!(two.lines("tree tree/added"), two.lines(""));
    two.diff("tree/nothing tree/added").exits(1).says("tree/nothing").says("find").prints_nothing();
}

#[test]
fn metadata_can_be_left_out_and_that_is_said() {
    let two = changed();
    assert!(two.lines("--no-metadata").iter().all(|line| !line.starts_with('U')));
    assert_eq!(two.lines("--no-metadata").len(), 5);
    let hidden = two.diff("--no-metadata tree/touched").done().prints_nothing();
    hidden.says("1 only metadata (not shown)");
    assert_eq!(two.diff("--no-metadata tree/touched").json(), json!([]));
}

#[test]
fn a_file_that_moved_is_one_line() {
    let before = |tree: &PathBuf| {
        fs::create_dir(tree.join("old")).unwrap();
        fs::write(tree.join("old/file"), "content").unwrap();
        fs::write(tree.join("other"), "other content").unwrap();
        fs::write(tree.join("empty"), "").unwrap();
    };
    let after = |tree: &PathBuf| {
        fs::rename(tree.join("old"), tree.join("new")).unwrap();
        fs::rename(tree.join("other"), tree.join("under another name")).unwrap();
        fs::rename(tree.join("empty"), tree.join("also empty")).unwrap();
    };
    let two = Two::new(before, after);
    let expected = [
        "+ tree/also empty  (0 B)",
        "- tree/empty  (0 B)",
        "+ tree/new/",
        "R tree/old/file -> tree/new/file",
        "- tree/old/",
        "R tree/other -> tree/under another name",
    ];
    assert_eq!(two.lines(""), expected);
    two.diff("").done().says("2 added, 2 removed, 2 renamed");
    let diff = two.diff("").json();
    let renamed = diff.as_array().unwrap().iter().find(|it| it["path"] == "tree/new/file");
    let renamed = renamed.unwrap();
    assert_eq!(renamed["change"], "renamed");
    assert_eq!(renamed["old_path"], json!({"path": "tree/old/file"}));
    // Where only one of its places is looked at, it did not move.
    assert_eq!(two.lines("tree/new"), ["+ tree/new/", "+ tree/new/file  (7 B)"]);
}

#[test]
fn snapshots_that_are_alike_do_not_differ() {
    let touch = |tree: &PathBuf| {
        // The change of an inode that changes nothing is no difference.
        let mode = fs::metadata(tree.join("a")).unwrap().permissions();
        fs::set_permissions(tree.join("a"), mode).unwrap();
    };
    let two = Two::new(|tree| fs::write(tree.join("a"), "a").unwrap(), touch);
    two.diff("").done().prints_nothing().says("no differences");
    two.diff("tree/a").done().prints_nothing().says("no differences");
    let itself = two.sandbox.nightjar("snapshot diff latest").arg(&two.new);
    assert_eq!(itself.json(), json!([]));
}
