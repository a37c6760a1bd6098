//! The golden repository, restored by this program and by the independent reader.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::reader::Reader;
use crate::harness::tree::{Kind, Node, read};
use crate::harness::{Nightjar, PASSPHRASE, Sandbox};

/// A copy of the golden repository, with what it must hold.
struct Golden {
    sandbox: Sandbox,
    expected: Value,
}

impl Golden {
    fn new() -> Self {
        let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec/vectors");
        let sandbox = Sandbox::without_repository();
        copy(&vectors.join("repository"), &sandbox.repository());
        let text = fs::read(vectors.join("repository.json")).expect("the golden repository's list");
        let expected: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(expected["passphrase"], PASSPHRASE);
        Self { sandbox, expected }
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        let snapshots = self.expected["snapshots"].as_array().unwrap();
        assert_eq!(snapshots.len(), 10);
        snapshots.iter().map(Snapshot::new).collect()
    }

    fn with_key_file(&self, args: &str) -> Nightjar {
        let hex = self.expected["write_key_file"].as_str().unwrap().as_bytes();
        let digits = hex.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let key: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let file = self.sandbox.write("write.key", key);
        self.sandbox
            .nightjar(args)
            .without_env("NIGHTJAR_PASSWORD_FILE")
            .env("NIGHTJAR_KEY_FILE", file)
    }
}

struct Snapshot {
    id: String,
    series: String,
    /// By path, as `repository.json` says it.
    entries: BTreeMap<String, String>,
    /// How many deltas it needs, and how deep they lie.
    deltas: Value,
}

impl Snapshot {
    fn new(value: &Value) -> Self {
        Self {
            id: value["id"].as_str().unwrap().to_owned(),
            series: value["series"].as_str().unwrap().to_owned(),
            entries: serde_json::from_value(value["entries"].clone()).unwrap(),
            deltas: value["deltas"].clone(),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What stands below a directory, put as in `repository.json`.
fn describe(directory: &Path) -> BTreeMap<String, String> {
    let tree = read(directory);
    let below = tree.iter().filter(|(path, _)| *path != Path::new(""));
    below.map(|(path, node)| (path.to_str().unwrap().to_owned(), put(node))).collect()
}

fn put(node: &Node) -> String {
    let mode = node.mode;
    match &node.kind {
        Kind::Symlink(target) => format!("symlink {}", String::from_utf8_lossy(target)),
        Kind::Directory => format!("directory {mode:o}"),
        Kind::File(bytes, _) => format!("{} {mode:o}", content(bytes)),
        kind => panic!("the golden repository holds no {kind:?}"),
    }
}

fn content(bytes: &[u8]) -> String {
    format!("file {} {}", bytes.len(), blake3::hash(bytes))
}

/// Whether a description is the expected one, which for a dump leaves the mode open.
fn fits(found: &str, expected: &str) -> bool {
    found == expected
        || found
            .strip_prefix(expected)
            .is_some_and(|mode| mode.starts_with(' ') && expected.len() > 70)
}

#[test]
fn every_snapshot_of_the_golden_repository_restores() {
    let golden = Golden::new();
    let listed: Vec<String> =
        golden.sandbox.snapshots().iter().map(crate::harness::id_of).collect();
    let snapshots = golden.snapshots();
    assert_eq!(listed, snapshots.iter().map(|it| it.id.clone()).collect::<Vec<_>>());
    for snapshot in &snapshots {
        let target = golden.sandbox.path(&snapshot.id);
        golden.sandbox.nightjar("restore --to").arg(&target).arg(&snapshot.id).done();
        let restored = describe(&target);
        assert!(restored.keys().eq(snapshot.entries.keys()), "other paths in {}", snapshot.series);
        for (path, expected) in &snapshot.entries {
            assert!(fits(&restored[path], expected), "{path}: {} ≠ {expected}", restored[path]);
        }
    }
    golden.sandbox.assert_verifies();
}

#[test]
fn a_forgotten_snapshot_of_the_golden_repository_stays_forgotten() {
    let golden = Golden::new();
    for forgotten in golden.expected["forgotten"].as_array().unwrap() {
        for command in ["restore --stdout", "snapshot show"] {
            let run = golden.sandbox.nightjar(command).arg(forgotten.as_str().unwrap());
            run.exits(1).prints_nothing();
        }
    }
}

#[test]
fn a_rewritten_snapshot_of_the_golden_repository_names_its_original() {
    let golden = Golden::new();
    let original = &golden.expected["forgotten"][1];
    let snapshots = golden.sandbox.snapshots();
    assert_eq!(snapshots.iter().filter(|it| it["original"] == *original).count(), 1);
    let ledger = golden.sandbox.nightjar("ledger show").json();
    let mut records = ledger["records"].as_array().unwrap().iter();
    let erases = records.find(|record| record["erase"] == true).unwrap();
    assert_eq!(erases["snapshots"][0], *original);
}

#[test]
fn what_is_held_in_the_golden_repository_stays_held() {
    let golden = Golden::new();
    let held: Vec<_> =
        golden.expected["held"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    for snapshot in golden.sandbox.snapshots() {
        let holds = snapshot["holds"].as_array().unwrap().len();
        assert_eq!(holds, usize::from(held.contains(&snapshot["id"].as_str().unwrap())));
    }
    for id in &held {
        let forget = golden.sandbox.nightjar("snapshot forget --reason r").arg(id);
        forget.exits(1).says("is held by");
    }
    let ledger = golden.sandbox.nightjar("ledger show").json();
    let records = ledger["records"].as_array().unwrap();
    for kind in ["hold", "release", "accept", "forget", "promote"] {
        assert!(records.iter().any(|record| record["kind"] == kind), "no {kind}");
    }
}

#[test]
fn the_slots_of_the_golden_repository_may_what_they_could() {
    let golden = Golden::new();
    let list = golden.with_key_file("snapshot list").json();
    assert_eq!(list.as_array().unwrap().len(), golden.snapshots().len());
    let dump = &golden.snapshots()[0].id;
    golden.with_key_file("restore --stdout").arg(dump).exits(12).prints_nothing();
    let created = golden.with_key_file("backup --stdin new").stdin("of today").json();
    let restored = golden.sandbox.stream(created["id"].as_str().unwrap());
    assert_eq!(restored, b"of today");

    let removed = golden.expected["removed_passphrase"].as_str().unwrap();
    let file = golden.sandbox.write("removed", removed);
    golden
        .sandbox
        .nightjar("snapshot list")
        .env("NIGHTJAR_PASSWORD_FILE", file)
        .exits(12)
        .prints_nothing();
}

#[test]
fn an_old_dump_is_the_base_of_a_new_night() {
    let golden = Golden::new();
    let dump = golden.sandbox.stream(&golden.snapshots()[0].id);
    let created = golden.sandbox.nightjar("backup --stdin dump.sql").stdin(dump.clone()).json();
    assert_eq!(created["chunks_new"], 0, "a known dump was cut or named differently: {created}");
    assert_eq!(golden.sandbox.stream(created["id"].as_str().unwrap()), dump);
}

#[test]
fn what_was_stored_years_ago_is_the_base_of_deltas() {
    let golden = Golden::new();
    let snapshots = golden.snapshots();
    let last = snapshots.iter().rfind(|it| it.series == "shop.sql").unwrap();
    let mut dump = golden.sandbox.stream(&last.id);
    let middle = dump.len() / 2;
    dump.splice(middle..middle + 3, *b"an edit");
    let created = golden.sandbox.nightjar("backup --stdin shop.sql").stdin(dump.clone()).json();
    assert_ne!(created["chunks_delta"], 0, "no base was found: {created}");
    assert_eq!(golden.sandbox.stream(created["id"].as_str().unwrap()), dump);
}

#[test]
fn the_golden_repository_has_deltas_of_every_kind() {
    let snapshots = Golden::new().snapshots();
    let most = |what: &str| snapshots.iter().filter_map(|it| it.deltas[what].as_u64()).max();
    assert!(most("chunks") >= Some(50), "of chunks");
    assert!(most("nodes") >= Some(2), "of nodes");
    assert!(most("of_several_bases") >= Some(2), "of several bases");
    assert!(most("depth") >= Some(3), "on each other");
}

#[test]
fn the_independent_reader_restores_the_same() {
    let golden = Golden::new();
    let reader = Reader::new(&golden.sandbox.repository(), &golden.sandbox.path("passphrase"));
    let snapshots = golden.snapshots();
    assert_eq!(reader.ids(), snapshots.iter().map(|it| it.id.clone()).collect::<Vec<_>>());
    for snapshot in &snapshots {
        assert_eq!(reader.check(&snapshot.id), snapshot.deltas, "{}", snapshot.id);
        for (path, expected) in &snapshot.entries {
            // `check` reads those too.
            if expected.starts_with("file") && !path.contains("/many/") {
                let bytes = reader.cat(&snapshot.id, Some(path));
                let found = content(&bytes);
                assert!(expected.starts_with(&found), "{path}: {found} ≠ {expected}");
            }
        }
    }
}
