//! Which files of a tree are stored: what was given, and what is left out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::make::set_time;
use crate::harness::mount::Mount;
use crate::harness::{Nightjar, Sandbox, namespace};

const TREE: [&str; 12] = [
    "tree/keep",
    "tree/note.tmp",
    "tree/keep.tmp",
    "tree/cache/a",
    "tree/deep/cache/b",
    "tree/deep/note.tmp",
    "tree/deep/rules",
    "tree/deep/x.log",
    "tree/deep/deeper/x.log",
    "tree/deep/deeper/y.log",
    "tree/other/x.log",
    "tree/target/CACHEDIR.TAG",
];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    for path in TREE {
        fs::create_dir_all(sandbox.path(path).parent().unwrap()).unwrap();
        sandbox.write(path, path);
    }
    sandbox
}

/// The files that a snapshot of these arguments holds.
fn stored(run: Nightjar, sandbox: &Sandbox) -> BTreeSet<String> {
    run.in_directory(&sandbox.path("")).done();
    files(sandbox)
}

fn files(sandbox: &Sandbox) -> BTreeSet<String> {
    let latest = sandbox.snapshots().pop().unwrap();
    let ls = sandbox.nightjar("snapshot ls").arg(latest["id"].as_str().unwrap()).json();
    let entries = ls.as_array().unwrap().iter();
    entries
        .filter(|entry| entry["kind"] != "directory")
        .map(|entry| entry["path"].as_str().unwrap().to_owned())
        .collect()
}

/// Those of the tree whose names do not hold any of these words.
fn without(words: &[&str]) -> BTreeSet<String> {
    let keep = |path: &&str| !words.iter().any(|word| path.contains(word));
    TREE.iter().copied().filter(keep).map(str::to_owned).collect()
}

#[test]
fn patterns_leave_out_what_they_match() {
    let sandbox = sandbox();
    let backup =
        |pattern: &str| stored(sandbox.nightjar("backup tree --exclude").arg(pattern), &sandbox);
    assert_eq!(backup("nothing of that name"), without(&[]));
    assert_eq!(backup("*.tmp"), without(&[".tmp"]));
    assert_eq!(backup("cache"), without(&["cache/"]));
    assert_eq!(backup("/tree/cache"), without(&["tree/cache/"]));
    assert_eq!(backup("tree/deep/**/*.log"), without(&["deep/x.log", "deeper/"]));
    assert_eq!(
        backup("keep/"),
        without(&[]),
        "a pattern with a slash at its end is for directories"
    );
    let run = sandbox.nightjar("backup tree -e *.tmp -e !keep.tmp");
    assert_eq!(stored(run, &sandbox), without(&["note.tmp"]));
}

#[test]
fn patterns_may_stand_in_a_file() {
    let sandbox = sandbox();
    sandbox.write("patterns", "# a comment\n*.log\n\n!y.log\n");
    let run = sandbox.nightjar("backup tree --exclude-from patterns");
    assert_eq!(stored(run, &sandbox), without(&["x.log"]));
    let run = sandbox.nightjar("backup tree --exclude-from missing");
    run.in_directory(&sandbox.path("")).exits(1).says("missing");
}

#[test]
fn ignore_files_count_for_their_directory_and_the_deepest_first() {
    let sandbox = sandbox();
    sandbox.write("tree/deep/rules", "*.log\n/note.tmp\n");
    sandbox.write("tree/deep/deeper/rules", "!y.log\n");
    let run = sandbox.nightjar("backup tree --ignore-file rules");
    let mut expected = without(&["deep/x.log", "deeper/x.log", "deep/note.tmp"]);
    expected.insert("tree/deep/deeper/rules".into());
    assert_eq!(stored(run, &sandbox), expected);
}

#[test]
fn of_a_directory_of_caches_only_the_tag_is_stored() {
    let sandbox = sandbox();
    sandbox.write("tree/target/object", "compiled");
    let all = stored(sandbox.nightjar("backup tree --exclude-caches"), &sandbox);
    assert!(all.contains("tree/target/object"), "a tag without the signature is no tag");
    let signature = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n";
    sandbox.write("tree/target/CACHEDIR.TAG", signature);
    let run = sandbox.nightjar("backup tree --exclude-caches");
    assert_eq!(stored(run, &sandbox), without(&[]));
    assert!(stored(sandbox.nightjar("backup tree"), &sandbox).contains("tree/target/object"));
}

#[test]
fn large_and_old_files_can_be_left_out() {
    let sandbox = sandbox();
    sandbox.write("tree/keep", [0; 2000]);
    let run = sandbox.nightjar("backup tree --exclude-larger-than 1999");
    assert_eq!(
        stored(run, &sandbox),
        without(&["tree/keep"]).into_iter().chain(["tree/keep.tmp".into()]).collect()
    );
    set_time(&sandbox.path("tree/deep/x.log"), 1_600_000_000, 0);
    let run = sandbox.nightjar("backup tree --exclude-older-than 30d");
    assert_eq!(stored(run, &sandbox), without(&["deep/x.log"]));
    let run = sandbox.nightjar("backup tree --exclude-older-than tomorrow");
    run.exits(2).says("30d");
}

#[test]
fn other_file_systems_can_be_left_out() {
    if namespace::done_in_namespace(module_path!(), "other_file_systems_can_be_left_out") {
        return;
    }
    let sandbox = sandbox();
    let other = Mount::new(&sandbox.path("tree/other"), "size=1m");
    sandbox.write("tree/other/inside", "on a file system of its own");
    let crossing = sandbox.nightjar("backup tree").in_directory(&sandbox.path("")).run();
    let all = files(&sandbox);
    let staying = sandbox.nightjar("backup tree -x").in_directory(&sandbox.path("")).run();
    let one = files(&sandbox);
    let ls = sandbox.nightjar("snapshot ls latest tree/other").run();
    drop(other);
    assert!(crossing.is_done() && staying.is_done());
    assert!(all.contains("tree/other/inside"));
    assert_eq!(one, without(&["other/"]));
    assert!(ls.text().contains("tree/other"), "the directory itself stays");
}

#[test]
fn paths_may_stand_in_a_list() {
    let sandbox = sandbox();
    sandbox.write("list", "tree/keep\ntree/deep/deeper\n\n");
    let run = sandbox.nightjar("backup --series listed --files-from list tree/note.tmp");
    let expected =
        ["tree/deep/deeper/x.log", "tree/deep/deeper/y.log", "tree/keep", "tree/note.tmp"];
    assert_eq!(stored(run, &sandbox), expected.map(str::to_owned).into());
    sandbox.write("tree/two\nlines", "x");
    let run = sandbox.nightjar("backup --series listed --files-from0 -");
    let run = run.stdin(b"tree/two\nlines\0tree/keep\0".as_slice());
    assert_eq!(stored(run, &sandbox), ["tree/keep", "tree/two\nlines"].map(str::to_owned).into());
    sandbox.nightjar("backup --files-from list").exits(2).says("--series");
}

#[test]
fn a_listed_path_that_has_gone_is_reported_and_counted() {
    let sandbox = sandbox();
    sandbox.write("list", "tree/keep\ntree/gone\ngone/altogether\n");
    let run = sandbox.nightjar("backup --series listed --files-from list");
    let outcome = run.in_directory(&sandbox.path("")).with_json().exits(3);
    let outcome = outcome.says("tree/gone").says("gone/altogether");
    assert_eq!(outcome.json()["unreadable"], 2);
    assert_eq!(files(&sandbox), ["tree/keep".to_owned()].into());
}

#[test]
fn a_path_stands_in_the_snapshot_as_it_is_given() {
    let sandbox = sandbox();
    let here = sandbox.path("");
    let absolute = here.canonicalize().unwrap().join("tree/other");
    sandbox.nightjar("backup --series s").arg(&absolute).done();
    let place = absolute.strip_prefix("/").unwrap().join("x.log");
    assert_eq!(files(&sandbox), [place.to_str().unwrap().to_owned()].into());
    let run = sandbox.nightjar("backup --series s tree/other ./tree/deep/rules");
    let expected = ["tree/deep/rules", "tree/other/x.log"];
    assert_eq!(stored(run, &sandbox), expected.map(str::to_owned).into());
    sandbox.nightjar("backup --series s .").in_directory(&sandbox.path("tree/other")).done();
    assert_eq!(files(&sandbox), ["x.log".to_owned()].into());
    let run = sandbox.nightjar("backup --series s ../tree");
    let outcome = run.in_directory(&sandbox.path("tree")).exits(1);
    outcome.says("`..`").says(sandbox.path("tree").canonicalize().unwrap().to_str().unwrap());
}

#[test]
fn a_link_is_followed_on_the_way_and_with_a_slash_at_its_end() {
    let sandbox = sandbox();
    symlink("tree/other", sandbox.path("link")).unwrap();
    let backup =
        |path: &str| stored(sandbox.nightjar("backup --series s").arg(Path::new(path)), &sandbox);
    assert_eq!(backup("link"), ["link".to_owned()].into());
    assert_eq!(backup("link/"), ["link/x.log".to_owned()].into());
    assert_eq!(backup("link/x.log"), ["link/x.log".to_owned()].into());
}

#[test]
fn directories_that_lead_to_a_path_keep_what_they_are() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let sandbox = sandbox();
    fs::set_permissions(sandbox.path("tree/deep"), fs::Permissions::from_mode(0o750)).unwrap();
    set_time(&sandbox.path("tree/deep"), 1_600_000_000, 7);
    stored(sandbox.nightjar("backup --series s tree/deep/deeper/x.log"), &sandbox);
    sandbox.nightjar("restore latest --to").arg(sandbox.path("target")).done();
    let restored = fs::metadata(sandbox.path("target/tree/deep")).unwrap();
    assert_eq!(restored.mode() & 0o7777, 0o750);
    assert_eq!((restored.mtime(), restored.mtime_nsec()), (1_600_000_000, 7));
}

#[test]
fn what_was_excluded_is_told() {
    let sandbox = sandbox();
    let backup = |words: &str| {
        let run = sandbox.nightjar("backup").args(words).in_directory(&sandbox.path(""));
        run.with_json().done()
    };
    let some = backup("tree --exclude *.tmp --exclude cache");
    assert_eq!(some.json()["excluded"], 5);
    backup("tree -e /tree").says("tree was named but is not stored");
    let run = sandbox.nightjar("backup tree -e cache").in_directory(&sandbox.path(""));
    run.done().prints("without 2 entries that were excluded");
    let run = sandbox.nightjar("backup tree -e /tree").in_directory(&sandbox.path(""));
    run.done().prints("without 1 entry that was excluded");
}

#[test]
fn a_repository_is_not_stored_in_itself() {
    let sandbox = sandbox();
    let base = sandbox.path("");
    let repository = sandbox.repository().strip_prefix(&base).unwrap().to_owned();
    let backup = || sandbox.nightjar("backup --series all .").in_directory(&base).done();
    backup().says("is not stored: it is nightjar's own");
    let stored = files(&sandbox);
    assert!(stored.contains("tree/keep"));
    assert!(stored.iter().all(|path| !Path::new(path).starts_with(&repository)), "{stored:?}");
    sandbox.nightjar("backup .").in_directory(&sandbox.repository()).exits(1).says("itself");
    sandbox.nightjar("backup").arg(sandbox.repository()).exits(1).says("itself");
    let run = sandbox.nightjar("backup --series asked . -e cache -e").arg(&repository);
    assert_eq!(run.in_directory(&base).done().stderr, "", "it was asked for");
}
