//! Directories: everything in a tree comes back as it was.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::harness::make::make_everything;
use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{Sandbox, assert_same, id_of};

#[test]
fn a_tree_comes_back_as_it_was() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    let original = read(&source);
    let created = sandbox.nightjar("backup").source(&source).json();
    assert_eq!(created["files"], 9);
    assert_eq!(created["others"], 5);
    assert_eq!(created["unreadable"], 0);
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --to").arg(&target).done();
    assert_same_trees(&read(&target.join("tree")), &original);
    // And over itself, as after a first attempt that broke off.
    sandbox.nightjar("restore latest --overwrite always --to").arg(&target).done();
    assert_same_trees(&read(&target.join("tree")), &original);
    sandbox.assert_verifies();
}

#[test]
fn a_tree_comes_back_to_an_unprivileged_user() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    sandbox.nightjar_unprivileged("snapshot list").done();
    let original = read(&source);
    sandbox.nightjar_unprivileged("backup").source(&source).done();
    let target = sandbox.path("target");
    sandbox.nightjar_unprivileged("restore latest --to").arg(&target).done();
    assert_same_trees(&read(&target.join("tree")), &original);
}

#[test]
fn a_part_of_a_tree_comes_back_with_the_directories_that_lead_to_it() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    let original = read(&source);
    sandbox.nightjar("backup").source(&source).done();
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest tree/etc/deep tree/link --to").arg(&target).done();
    let selected = [
        "",
        "etc",
        "etc/deep",
        "etc/deep/deeper",
        "etc/deep/deeper/big.sql",
        "etc/deep/noise",
        "link",
    ];
    let expected =
        original.into_iter().filter(|(path, _)| selected.iter().any(|it| path == Path::new(it)));
    assert_same_trees(&read(&target.join("tree")), &expected.collect());
}

#[test]
fn an_unchanged_tree_adds_next_to_nothing() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    let first = sandbox.nightjar("backup").source(&source).json();
    let second = sandbox.nightjar("backup").source(&source).json();
    assert_eq!(first["root"], second["root"]);
    assert_eq!(second["chunks_new"], 0);
    assert!(second["bytes_added"].as_u64().unwrap() < 20_000, "{second}");
    sandbox
        .nightjar("snapshot diff")
        .arg(id_of(&first))
        .arg(id_of(&second))
        .done()
        .prints_nothing();
}

#[test]
fn a_directory_of_many_files_comes_back() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("many");
    fs::create_dir(&source).unwrap();
    for number in 0..6000 {
        fs::write(source.join(format!("file {number}")), format!("content {number}")).unwrap();
    }
    let original = read(&source);
    let first = id_of(&sandbox.nightjar("backup").source(&source).json());
    fs::write(source.join("file 3000"), "other content").unwrap();
    let second = sandbox.nightjar("backup").source(&source).json();
    assert!(second["bytes_added"].as_u64().unwrap() < 200_000, "{second}");
    let target = sandbox.path("target");
    sandbox.nightjar("restore").arg(&first).args("--to").arg(&target).done();
    assert_same_trees(&read(&target.join("many")), &original);
    let diff = sandbox.nightjar("snapshot diff").arg(&first).arg(id_of(&second)).done().text();
    assert_eq!(diff.matches("file ").count(), 1, "{diff}");
    sandbox.assert_verifies();
}

#[test]
fn a_link_is_stored_and_not_what_it_leads_to() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("outside")).unwrap();
    sandbox.write("outside/secret", "secret");
    fs::create_dir(sandbox.path("tree")).unwrap();
    symlink(sandbox.path("outside"), sandbox.path("tree/link")).unwrap();
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    sandbox.nightjar("snapshot ls latest").done().never_says("secret");
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --to").arg(&target).done();
    assert_eq!(fs::read_link(target.join("tree/link")).unwrap(), sandbox.path("outside"));
}

#[test]
fn a_name_that_is_not_utf_8_is_shown_whole_in_json() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    sandbox.nightjar("backup").source(&source).done();
    let ls = sandbox.nightjar("snapshot ls latest").json();
    let hex: String = b"tree/not utf-8 \xff\xfe".iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(ls.as_array().unwrap().iter().any(|entry| entry["path_bytes"] == hex.as_str()), "{ls}");
    // A name cannot break the lines of the text, nor steer the terminal.
    let text = sandbox.nightjar("snapshot ls latest").done().text();
    assert_eq!(text.lines().count(), ls.as_array().unwrap().len(), "{text}");
}

#[test]
fn a_directory_that_goes_away_while_it_is_read_does_not_end_the_run() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    fs::create_dir(&source).unwrap();
    // Read in the order of names: while the first is read, the last goes away.
    let big = crate::harness::data::noise(1, 60_000_000);
    fs::write(source.join("a"), &big).unwrap();
    fs::create_dir(source.join("z")).unwrap();
    fs::write(source.join("z/file"), "x").unwrap();
    let mut running = sandbox.nightjar("backup").source(&source).with_json().start();
    crate::harness::wait_until("packs are written", || {
        let packs = sandbox.path("repository/packs");
        (running.has_ended() || packs.exists()).then_some(())
    });
    fs::remove_dir_all(source.join("z")).unwrap();
    let outcome = running.finish();
    let id = id_of(&outcome.json());
    let run = sandbox.nightjar("restore --stdout").arg(&id).args("tree/a");
    assert_same(&run.done().stdout, &big);
    sandbox.assert_verifies();
}
