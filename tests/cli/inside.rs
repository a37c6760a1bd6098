//! Looking into snapshots: ls, cat and find.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::make::make_everything;
use crate::harness::{Nightjar, Sandbox, assert_has_fields, files_below, id_of, program};

/// `etc` with a few files, stored.
fn etc() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("etc/ssl/private")).unwrap();
    sandbox.write("etc/hosts", "localhost");
    sandbox.write("etc/ssl/cert", "certificate");
    sandbox.write("etc/ssl/private/key", "secret");
    let id = store_etc(&sandbox);
    (sandbox, id)
}

fn store_etc(sandbox: &Sandbox) -> String {
    id_of(&sandbox.nightjar("backup --series etc").source(sandbox.path("etc")).json())
}

#[track_caller]
fn lines(run: Nightjar) -> Vec<String> {
    run.done().text().lines().map(ToOwned::to_owned).collect()
}

/// Of each thing found, its snapshot and its path.
#[track_caller]
fn found(run: Nightjar) -> Vec<(String, String)> {
    let found = run.json();
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let list = found.as_array().unwrap().iter();
    list.map(|it| (text(it, "snapshot"), text(it, "path"))).collect()
}

#[test]
fn ls_lists_what_a_snapshot_holds() {
    let (sandbox, _) = etc();
    let ls = |words: &str| lines(sandbox.nightjar("snapshot ls latest").args(words));
    let all = ["etc/", "etc/hosts", "etc/ssl/", "etc/ssl/cert", "etc/ssl/private/"];
    assert_eq!(ls("")[..5], all);
    assert_eq!(ls("").len(), 6);
    assert_eq!(ls("etc/ssl/private"), ["etc/ssl/private/", "etc/ssl/private/key"]);
    assert_eq!(ls("/etc/hosts"), ["etc/hosts"]);
    sandbox.nightjar("snapshot ls latest etc/nothing").exits(1).says("etc/nothing").says("find");
    let long = sandbox.nightjar("snapshot ls latest etc/hosts --long").done();
    long.prints("-rw").prints("9 B").prints("  etc/hosts\n");
}

#[test]
fn ls_goes_as_deep_as_it_is_told_to() {
    let (sandbox, _) = etc();
    let ls = |words: &str| lines(sandbox.nightjar("snapshot ls latest --depth").args(words));
    assert_eq!(ls("1"), ["etc/"]);
    assert_eq!(ls("2"), ["etc/", "etc/hosts", "etc/ssl/"]);
    assert_eq!(ls("1 etc"), ["etc/", "etc/hosts", "etc/ssl/"]);
    assert_eq!(ls("1 etc/ssl/private"), ["etc/ssl/private/", "etc/ssl/private/key"]);
    assert_eq!(ls("9").len(), 6);
    // What was named is shown, however deep it lies.
    assert_eq!(ls("1 etc etc/ssl/cert").len(), 4);
}

#[test]
fn ls_in_json_tells_everything_about_an_entry() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    sandbox.nightjar("backup").source(&source).done();
    let ls = sandbox.nightjar("snapshot ls latest").json();
    for entry in ls.as_array().unwrap() {
        assert_has_fields(entry, "path kind mode uid gid user group modified inode changed");
        assert_eq!(entry.get("device"), None);
    }
    let of = |path: &str| -> &Value {
        ls.as_array().unwrap().iter().find(|entry| entry["path"] == path).unwrap()
    };
    assert_eq!(of("tree/run-me")["mode"], "4755");
    assert_eq!(of("tree/run-me")["changed_while_read"], false);
    assert_eq!(of("tree/link")["target"], json!({"path": "etc/service.conf"}));
    assert_eq!(of("tree/nothing")["size"], 0);
    assert_eq!(of("tree/fifo")["kind"], "fifo");
    let link = of("tree/link to \u{fffd}");
    assert_eq!(link["target"]["path_bytes"], "6e6f74207574662d3820fffe");
    assert_eq!(link["path_bytes"], "747265652f6c696e6b20746f20ff");
    assert_eq!(of("tree/etc/service.conf")["modified"], "2001-02-03T04:05:06.123456789Z");
}

#[test]
fn cat_writes_a_file_and_nothing_else() {
    let (sandbox, id) = etc();
    let outcome = sandbox.nightjar("snapshot cat").arg(&id).args("etc/ssl/cert").done();
    assert_eq!((outcome.stdout.as_slice(), outcome.stderr.as_str()), (&b"certificate"[..], ""));
    sandbox
        .nightjar("snapshot cat latest --series etc /etc/hosts")
        .done()
        .prints_bytes(b"localhost");
    let (sandbox, dump, _) = Sandbox::with_dump();
    sandbox.nightjar("snapshot cat latest dump.sql").done().prints_bytes(&dump);
}

#[test]
fn cat_reports_on_standard_error_where_json_is_asked_for() {
    let (sandbox, id) = etc();
    let outcome = sandbox.nightjar("snapshot cat latest etc/hosts").with_json().done();
    let report = outcome.json_lines().pop().unwrap();
    assert_eq!(outcome.prints_bytes(b"localhost").stdout.len(), 9);
    assert_eq!(report["snapshot"], id.as_str());
    assert_eq!((&report["files"], &report["bytes"]), (&json!(1), &json!(9)));
}

#[test]
fn cat_says_why_there_is_nothing_to_write() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    fs::create_dir(source.join("one")).unwrap();
    fs::write(source.join("one/file"), "x").unwrap();
    let id = id_of(&sandbox.nightjar("backup").source(&source).json());
    let refuses =
        |path: &str| sandbox.nightjar("snapshot cat").arg(&id).arg(path).exits(1).prints_nothing();
    refuses("tree/etc").says("tree/etc is a directory").says("snapshot ls").says("restore");
    // Also where only one file could be meant.
    refuses("tree/one").says("is a directory");
    refuses("tree/link").says("symbolic link to etc/service.conf");
    refuses("tree/fifo").says("is a fifo");
    refuses("tree/etc/none").says("holds no tree/etc/none").says("snapshot find");
    refuses("tree/run-me/below").says("holds no tree/run-me/below");
    refuses("/").says("name one file");
    sandbox.nightjar("snapshot cat 0000 a").exits(1).says("no snapshot");
}

#[test]
fn cat_gives_out_no_byte_that_is_damaged() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    for pack in files_below(&sandbox.path("repository/packs")) {
        let mut bytes = fs::read(&pack).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&pack, bytes).unwrap();
    }
    let outcome = sandbox.nightjar("snapshot cat latest dump.sql").exits(4);
    assert!(dump.starts_with(&outcome.stdout), "bytes that were never in the dump");
}

#[test]
fn cat_ends_quietly_when_its_reader_has_seen_enough() {
    let (sandbox, ..) = Sandbox::with_dump();
    let mut cat = Command::new(program())
        .args(["snapshot", "cat", "latest", "dump.sql"])
        .env("NIGHTJAR_REPOSITORY", sandbox.repository())
        .env("NIGHTJAR_PASSWORD_FILE", sandbox.path("passphrase"))
        .env("NIGHTJAR_CACHE_DIR", sandbox.cache())
        .stdout(Stdio::piped())
        .stderr(File::create(sandbox.path("stderr")).unwrap())
        .spawn()
        .unwrap();
    drop(cat.stdout.take());
    cat.wait().unwrap();
    assert_eq!(sandbox.read("stderr"), b"");
}

#[test]
fn find_tells_which_snapshots_hold_a_file() {
    let (sandbox, first) = etc();
    sandbox.write("etc/hosts.bak", "localhost");
    let second = store_etc(&sandbox);
    sandbox.store("dump.sql", b"a dump");
    let find = |words: &str| found(sandbox.nightjar("snapshot find").args(words));
    let at = |id: &str, path: &str| (id.to_owned(), path.to_owned());
    assert_eq!(find("hosts"), [at(&first, "etc/hosts"), at(&second, "etc/hosts")]);
    assert_eq!(find("hosts.*"), [at(&second, "etc/hosts.bak")]);
    assert_eq!(find("etc/*/cert --series etc").len(), 2);
    assert_eq!(find("**/key cert").len(), 4);
    assert_eq!(find("etc/ssl/c?rt"), [at(&first, "etc/ssl/cert"), at(&second, "etc/ssl/cert")]);
    assert_eq!(find("*/cert"), []);
    assert_eq!(find("/etc").len(), 2);
    assert_eq!(find("*.sql").len(), 1);
}

#[test]
fn find_looks_where_it_is_told_to() {
    let (sandbox, first) = etc();
    let second = store_etc(&sandbox);
    let third = sandbox.store("hosts", b"another series");
    let find = |words: &str| -> Vec<String> {
        let found = found(sandbox.nightjar("snapshot find hosts").args(words));
        found.into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(find(""), [first.as_str(), &second, &third]);
    assert_eq!(find("--series etc"), [first.as_str(), &second]);
    assert_eq!(find("--snapshot latest --series etc"), [second.as_str()]);
    // Each once and from old to new, however they are named.
    let ids = format!("--snapshot {third} --snapshot {first} --snapshot {first}");
    assert_eq!(find(&ids), [first.as_str(), &third]);
    sandbox.nightjar("snapshot find hosts --series nobody").exits(1).says("nobody");
    sandbox.nightjar("snapshot find hosts --snapshot 0000").exits(1).says("no snapshot");
}

#[test]
fn find_can_ignore_case_and_tell_kinds_apart() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("tree");
    make_everything(&source);
    sandbox.nightjar("backup").source(&source).done();
    let find = |words: &str| -> Vec<String> {
        let found = found(sandbox.nightjar("snapshot find").args(words));
        found.into_iter().map(|(_, path)| path).collect()
    };
    assert!(find("RUN-*").is_empty());
    assert_eq!(find("RUN-* -i"), ["tree/run-me"]);
    assert_eq!(find("link* --kind symlink").len(), 3);
    assert!(find("link* --kind file").is_empty());
    assert_eq!(find("* --kind other"), ["tree/fifo"]);
    assert_eq!(find("e* --kind directory"), ["tree/empty", "tree/etc"]);
    // Names that are not UTF-8 are found, and told whole.
    let odd = sandbox.nightjar("snapshot find").arg("not utf-8 ??").json();
    assert_eq!(odd[0]["path_bytes"], "747265652f6e6f74207574662d3820fffe");
}

#[test]
fn find_groups_what_it_shows_by_snapshot() {
    let (sandbox, first) = etc();
    let second = store_etc(&sandbox);
    let text = lines(sandbox.nightjar("snapshot find hosts cert"));
    assert_eq!(text.len(), 7, "{text:?}");
    assert!(text[0].starts_with(&format!("snapshot {} of series etc (", &first[..12])), "{text:?}");
    assert_eq!(text[1..4], ["  etc/hosts", "  etc/ssl/cert", ""]);
    assert!(text[4].starts_with(&format!("snapshot {} ", &second[..12])), "{text:?}");
    let long = sandbox.nightjar("snapshot find hosts --long").done();
    long.prints("  -rw").prints("9 B").prints("etc/hosts");
}

#[test]
fn to_find_nothing_is_no_error_and_is_said() {
    let (sandbox, _) = etc();
    sandbox.nightjar("snapshot find nothing").done().prints_nothing().says("in 1 snapshot");
    assert_eq!(sandbox.nightjar("snapshot find nothing").json(), json!([]));
    assert_eq!(sandbox.nightjar("snapshot find nothing --quiet").done().stderr, "");
}

#[test]
fn find_goes_on_where_a_snapshot_is_damaged() {
    let (sandbox, damaged) = etc();
    let before = files_below(&sandbox.path("repository/packs"));
    let sound = sandbox.store("hosts", b"another series");
    for pack in before {
        fs::remove_file(pack).unwrap();
    }
    let outcome = sandbox.nightjar("snapshot find hosts").with_json().exits(4);
    assert_eq!(outcome.json()[0]["snapshot"], sound.as_str());
    outcome.says(&damaged[..8]);
}

#[test]
fn find_reads_what_many_snapshots_share_once() {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("tree");
    // Fewer entries than any node is cut at: what changes is one node, whatever the keys.
    for directory in 0..20 {
        let directory = tree.join(format!("{directory}"));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..40 {
            fs::write(directory.join(format!("{file}")), "").unwrap();
        }
    }
    for night in 0..5 {
        fs::write(tree.join(format!("night {night}")), "").unwrap();
        sandbox.nightjar("backup").source(&tree).done();
    }
    let nodes = |words: &str| nodes_read(&sandbox, words);
    let one = nodes("nothing --snapshot latest");
    assert!(one >= 20, "{one} nodes");
    // The roots and the directory that changed, night by night.
    assert!(nodes("nothing") <= one + 2 * 4, "{} and {one} nodes", nodes("nothing"));
    assert!(nodes("tree/7/7") <= one + 4 * 4, "{} and {one} nodes", nodes("tree/7/7"));
}

/// What `--verbose` tells of a search.
fn nodes_read(sandbox: &Sandbox, words: &str) -> u64 {
    let outcome = sandbox.nightjar("snapshot find -v").args(words).done();
    let line = outcome.stderr.lines().find(|line| line.contains("nodes=")).unwrap_or_default();
    let digits = line.split("nodes=").nth(1).and_then(|rest| rest.split(' ').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{outcome}"))
}

#[test]
fn a_slot_that_may_not_read_backups_sees_names_and_no_contents() {
    let (sandbox, _) = etc();
    let file = sandbox.add_write_slot();
    let as_host = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &file);
    as_host("snapshot find cert").done().prints("etc/ssl/cert");
    as_host("snapshot cat latest etc/ssl/cert").exits(12).prints_nothing();
}
