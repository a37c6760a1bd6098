//! What a user sees of a damaged, missing or foreign repository: each its own message and exit
//! code, never a panic, never wrong bytes. The whole matrix is the engine's own test
//! (`crates/repository/tests/engine/damage_matrix.rs`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::data::noise;
use crate::harness::{Outcome, Sandbox, assert_same, files_below};

/// The repository's objects below a folder, the largest first.
fn objects(sandbox: &Sandbox, folder: &str) -> Vec<PathBuf> {
    let mut found = files_below(&sandbox.repository().join(folder));
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    found
}

/// The name that messages call an object by.
fn name(sandbox: &Sandbox, path: &Path) -> String {
    path.strip_prefix(sandbox.repository()).unwrap().to_str().unwrap().to_owned()
}

fn flip(path: &Path, thousandths: usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.len() * thousandths / 1000;
    bytes[place] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// A sound repository with a stream of several packs.
fn sandbox() -> (Sandbox, Vec<u8>, String) {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    let stream = noise(1, 3 << 20);
    let id = sandbox.store("dump", &stream);
    (sandbox, stream, id)
}

/// Commands that read everything: exit code 4, and the object named.
fn assert_damage_is_named(sandbox: &Sandbox, object: &str, why: &str) {
    for fresh in [false, true] {
        if fresh {
            drop(fs::remove_dir_all(sandbox.cache()));
        }
        let verify = sandbox.nightjar("snapshot verify --all --level data").run();
        assert!(
            format!("{}{}", verify.text(), verify.stderr).contains(object),
            "{object} is not named (fresh cache: {fresh})\n{verify}"
        );
        let verify = verify.exited(4);
        assert!(format!("{}{}", verify.text(), verify.stderr).contains(why), "{why}\n{verify}");
    }
}

fn restore(sandbox: &Sandbox, id: &str) -> Outcome {
    sandbox.nightjar("snapshot restore --stdout").arg(id).run()
}

/// What was given out before the damage was met is right, as far as it goes.
fn assert_right_as_far_as_it_goes(restored: &Outcome, stream: &[u8]) {
    assert!(restored.stdout.len() < stream.len());
    assert_same(&restored.stdout, &stream[..restored.stdout.len()]);
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let (sandbox, ..) = sandbox();
    sandbox.write("passphrase", "wrong");
    for command in ["snapshot list", "snapshot verify --all", "status", "key list"] {
        let run = sandbox.nightjar(command).exits(12).prints_nothing();
        run.says("wrong passphrase").never_says("damaged");
    }
}

#[test]
fn a_missing_repository_is_told_from_an_empty_one() {
    let sandbox = Sandbox::without_repository();
    let run = sandbox.nightjar("snapshot list").exits(10).prints_nothing();
    run.says("no ").says(sandbox.repository().to_str().unwrap());
    fs::create_dir(sandbox.repository()).unwrap();
    let run = sandbox.nightjar("snapshot list").exits(10).prints_nothing();
    run.says("there is no repository").says("nightjar init");
}

#[test]
fn a_repository_without_its_first_object_is_damaged_not_missing() {
    let (sandbox, ..) = sandbox();
    fs::remove_file(sandbox.repository().join("repository")).unwrap();
    sandbox.nightjar("snapshot list").exits(4).says("missing");
    sandbox.nightjar("init").args("--argon2-memory 1MiB").exits(1).says("already holds");
}

#[test]
fn a_truncated_pack_is_named() {
    let (sandbox, stream, id) = sandbox();
    let pack = objects(&sandbox, "packs").remove(0);
    truncate(&pack);
    assert_damage_is_named(&sandbox, &name(&sandbox, &pack), "bytes");
    let restored = restore(&sandbox, &id).exited(4).says("cannot be restored");
    assert_right_as_far_as_it_goes(&restored, &stream);
}

#[test]
fn a_flipped_bit_is_named() {
    let (sandbox, stream, id) = sandbox();
    let pack = objects(&sandbox, "packs").remove(0);
    flip(&pack, 500);
    assert_damage_is_named(&sandbox, &name(&sandbox, &pack), "do not hash to its id");
    let restored = restore(&sandbox, &id).exited(4).says("damaged");
    assert_right_as_far_as_it_goes(&restored, &stream);
    let to = sandbox.path("to");
    sandbox.nightjar("snapshot restore latest --to").arg(&to).exits(4);
    assert!(files_below(&to).is_empty(), "a file that is not whole has a name");
}

#[test]
fn a_deleted_pack_is_named() {
    let (sandbox, stream, id) = sandbox();
    let pack = objects(&sandbox, "packs").remove(0);
    fs::remove_file(&pack).unwrap();
    assert_damage_is_named(&sandbox, &name(&sandbox, &pack), "missing");
    let restored = restore(&sandbox, &id).exited(4).says("missing");
    assert_right_as_far_as_it_goes(&restored, &stream);
}

#[test]
fn a_receiver_of_a_damaged_stream_never_sees_its_end() {
    let (sandbox, ..) = sandbox();
    flip(&objects(&sandbox, "packs")[0], 500);
    let done = sandbox.path("done");
    let script = format!("cat >/dev/null && touch {}", done.display());
    sandbox.nightjar("snapshot restore latest").shell(&script).exits(4);
    assert!(!done.exists(), "it took a part for the whole");
}

#[test]
fn a_flipped_bit_in_any_other_object_is_named() {
    for folder in ["snapshots", "index", "ledger", "keyring"] {
        let (sandbox, ..) = sandbox();
        let object = objects(&sandbox, folder).remove(0);
        flip(&object, 600);
        assert_damage_is_named(&sandbox, &name(&sandbox, &object), "damaged");
    }
}

#[test]
fn a_damaged_slot_is_not_taken_for_a_wrong_passphrase() {
    for thousandths in [0, 500, 999] {
        let (sandbox, ..) = sandbox();
        let slot = objects(&sandbox, "slots").remove(0);
        flip(&slot, thousandths);
        assert_damage_is_named(&sandbox, &name(&sandbox, &slot), "damaged");
    }
}

#[test]
fn a_deleted_snapshot_is_missed_by_who_saw_it() {
    let (sandbox, _, id) = sandbox();
    fs::remove_file(sandbox.repository().join("snapshots").join(&id)).unwrap();
    let verify = sandbox.nightjar("snapshot verify --all").exits(4);
    assert!(format!("{}{}", verify.text(), verify.stderr).contains(&id), "{verify}");
    sandbox.nightjar("snapshot restore --stdout").arg(&id).exits(4).says(&id).prints_nothing();
}

#[test]
fn foreign_files_in_the_repository_are_let_alone() {
    let (sandbox, stream, id) = sandbox();
    for foreign in ["packs/README", "snapshots/.DS_Store", "lost+found", "packs/ab#1"] {
        fs::write(sandbox.repository().join(foreign), "not ours").unwrap();
    }
    sandbox.assert_verifies();
    assert_same(&sandbox.stream(&id), &stream);
    assert!(sandbox.repository().join("lost+found").exists());
}
