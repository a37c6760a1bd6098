//! The local index is a cache: lost, damaged or stale, nothing depends on it.

use std::fs;

use crate::harness::{Sandbox, assert_same, data, files_below};

#[test]
fn a_deleted_cache_is_made_anew() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let forget_everything = || fs::remove_dir_all(sandbox.cache()).unwrap();
    forget_everything();
    assert_same(&sandbox.stream(&first), &dump);
    forget_everything();
    sandbox.assert_verifies();
    forget_everything();
    let second = sandbox.nightjar("backup --stdin dump.sql").stdin(dump.as_slice()).json();
    assert_eq!(second["chunks_new"], 0, "what is stored is known again: {second}");
    forget_everything();
    assert_eq!(sandbox.snapshots().len(), 2);
    forget_everything();
    sandbox.nightjar("snapshot diff").arg(&first).args("latest").done();
}

#[test]
fn a_damaged_cache_is_made_anew() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    sandbox.snapshots();
    for damage in [b"garbage".as_slice(), b""] {
        for file in files_below(&sandbox.cache()) {
            fs::write(file, damage).unwrap();
        }
        assert_same(&sandbox.stream(&id), &dump);
        sandbox.store("dump.sql", &dump);
    }
    sandbox.assert_verifies();
}

#[test]
fn the_index_is_rebuilt_from_index_objects() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    let before = sandbox.nightjar("index status").json();
    let rebuilt = sandbox.nightjar("index rebuild").json();
    for field in ["packs", "blobs", "index_objects"] {
        assert_eq!(rebuilt[field], before[field], "{field}");
        assert!(rebuilt[field].as_u64().unwrap() > 0);
    }
    assert_same(&sandbox.stream(&id), &dump);
    sandbox.nightjar("index status").done().prints("pack");
}

#[test]
fn without_any_index_object_everything_is_restored_from_packs() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let noise = data::noise(1, 20_000_000);
    let second = sandbox.store("noise", &noise);
    let before = sandbox.nightjar("index status").json();
    for object in files_below(&sandbox.path("repository/index")) {
        fs::remove_file(object).unwrap();
    }
    fs::remove_dir_all(sandbox.cache()).unwrap();
    sandbox.nightjar("restore --stdout").arg(&first).exits(4).prints_nothing();
    let rebuilt = sandbox.nightjar("index rebuild --from-packs").json();
    assert_eq!(rebuilt["packs"], before["packs"]);
    assert_eq!(rebuilt["blobs"], before["blobs"]);
    assert_same(&sandbox.stream(&first), &dump);
    assert_same(&sandbox.stream(&second), &noise);
    // The next night works, and does not take away what only the packs tell.
    let changed = [dump.as_slice(), b"one more\n"].concat();
    let third = sandbox.store("dump.sql", &changed);
    assert_same(&sandbox.stream(&third), &changed);
    assert_same(&sandbox.stream(&second), &noise);
    assert_same(&sandbox.stream(&first), &dump);
}

#[test]
fn what_another_machine_stored_is_seen_at_once() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let elsewhere = sandbox.path("cache-elsewhere");
    let other = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", &elsewhere);
    let created = other("backup --stdin dump.sql").stdin(dump.as_slice()).json();
    assert_eq!(created["chunks_new"], 0);
    let noise = data::noise(1, 500_000);
    other("backup --stdin noise").stdin(noise.as_slice()).done();
    sandbox.nightjar("restore latest --series noise --stdout").done().prints_bytes(&noise);
    let again = sandbox.nightjar("backup --stdin noise").stdin(noise).json();
    assert_eq!(again["chunks_new"], 0);
}

#[test]
fn no_private_copy_of_the_index_stays_behind() {
    let (sandbox, _, id) = Sandbox::with_dump();
    sandbox.stream(&id);
    sandbox.nightjar("backup --name d -- false").exits(1);
    let left: Vec<_> = files_below(&sandbox.cache())
        .into_iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "private"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
