//! The local index decides nothing: lost, cut short or overwritten, it costs time only.

use std::fs;
use std::path::{Path, PathBuf};

use nightjar_format::object::ObjectName;
use nightjar_repository::Repository;
use nightjar_repository::index::sync::{rebuild, rebuild_from_packs, status};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::damage::names;
use nightjar_testkit::environment::copy_directory;
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::model::{Model, verify_all};

fn two_nights(seed: u64) -> (Fixture, Model, Vec<SnapshotInfo>) {
    let fixture = Fixture::new(seed);
    let mut model = Model::default();
    let nights = [noise(1, 3 << 20), [noise(1, 2 << 20), dump(2, 2 << 20)].concat()];
    let infos = nights.map(|bytes| {
        let info = fixture.night(&bytes);
        model.insert(&info, &bytes);
        info
    });
    (fixture, model, infos.to_vec())
}

fn index_of(repository: &Repository) -> PathBuf {
    repository.cache_dir().join("index")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

/// A run with nothing new: all of it is found again, nothing stored twice.
fn assert_everything_is_known(fixture: &Fixture, when: &str) {
    let bytes = [noise(1, 2 << 20), dump(2, 2 << 20)].concat();
    let info = back_up(&fixture.open(), &bytes).unwrap_or_else(|error| panic!("{when}: {error}"));
    assert_eq!(info.snapshot.counts.chunks_new, 0, "{when}: chunks were stored again");
    assert!(restore(&fixture.open(), &info).unwrap() == bytes, "{when}");
}

#[test]
fn a_deleted_index_is_made_anew() {
    let (fixture, model, _) = two_nights(61);
    let repository = fixture.open();
    let before = status(&repository).unwrap();
    assert!(before.blobs > 100, "{before:?}");
    fs::remove_dir_all(index_of(&repository)).unwrap();
    let after = status(&repository).unwrap();
    assert_eq!((after.packs, after.blobs), (before.packs, before.blobs));
    model.check(&fixture.open(), None, "index deleted");
    fs::remove_dir_all(repository.cache_dir()).unwrap();
    model.check(&fixture.open(), None, "cache deleted");
    assert_everything_is_known(&fixture, "cache deleted");
}

/// What happens to a file, and how.
type Way = (&'static str, fn(&Path));

/// Damages one file of the index after another, in each of several ways, and looks whether
/// everything goes on as if nothing had happened.
fn damage_each_file(seed: u64, ways: &[Way]) {
    let (fixture, _, _) = two_nights(seed);
    let index = index_of(&fixture.open());
    let sound = fixture.world.fresh_cache();
    copy_directory(&index, &sound);
    for file in files(&sound) {
        for (way, damage) in ways {
            let name = file.file_name().unwrap();
            let when = format!("{way}: {}", name.to_string_lossy());
            fs::remove_dir_all(&index).unwrap();
            fs::create_dir(&index).unwrap();
            copy_directory(&sound, &index);
            damage(&index.join(name));
            let outcome = verify_all(&fixture.open());
            let report = outcome.unwrap_or_else(|error| panic!("{when}: verify: {error}"));
            assert_eq!(report.findings, [], "{when}");
            assert_everything_is_known(&fixture, &when);
        }
    }
}

#[test]
fn an_index_that_lacks_a_file_is_made_anew() {
    damage_each_file(62, &[("deleted", |path| fs::remove_file(path).unwrap())]);
}

#[test]
fn an_index_that_is_cut_short_is_made_anew() {
    damage_each_file(
        63,
        &[
            ("halved", |path| {
                let bytes = fs::read(path).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }),
            ("emptied", |path| fs::write(path, b"").unwrap()),
        ],
    );
}

#[test]
fn an_index_full_of_garbage_is_made_anew() {
    damage_each_file(
        64,
        &[
            ("overwritten", |path| {
                let len = fs::metadata(path).unwrap().len() as usize;
                fs::write(path, noise(9, len.max(100))).unwrap();
            }),
            ("a byte altered in the middle", |path| {
                let mut bytes = fs::read(path).unwrap();
                if !bytes.is_empty() {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x10;
                    fs::write(path, bytes).unwrap();
                }
            }),
            ("a byte altered near the beginning", |path| {
                let mut bytes = fs::read(path).unwrap();
                if !bytes.is_empty() {
                    let place = bytes.len() / 20;
                    bytes[place] ^= 0x10;
                    fs::write(path, bytes).unwrap();
                }
            }),
        ],
    );
}

#[test]
fn an_index_directory_that_is_a_file_is_made_anew() {
    let (fixture, model, _) = two_nights(65);
    let index = index_of(&fixture.open());
    fs::remove_dir_all(&index).unwrap();
    fs::write(&index, b"not a directory").unwrap();
    model.check(&fixture.open(), None, "the index is a file");
}

#[test]
fn the_index_of_another_machine_is_not_shared() {
    let (fixture, model, _) = two_nights(66);
    let elsewhere = fixture.elsewhere();
    model.check(&elsewhere.open(), None, "elsewhere");
    assert_everything_is_known(&elsewhere, "elsewhere");
}

#[test]
fn footers_tell_what_lost_index_objects_told() {
    let (fixture, model, infos) = two_nights(67);
    let before = status(&fixture.open()).unwrap();
    for name in names(&fixture.store, "index") {
        fixture.store.delete(&name).unwrap();
    }
    let repository = fixture.open();
    let error = restore(&repository, &infos[0]).unwrap_err();
    assert!(error.is_damage(), "nothing tells where its chunks lie: {error:?}");
    let report = verify_all(&repository).unwrap();
    assert!(!report.findings.is_empty());

    let after = rebuild_from_packs(&repository).unwrap();
    assert_eq!((after.packs, after.blobs), (before.packs, before.blobs));
    assert_eq!(after.findings, [""; 0]);
    for info in &infos {
        let expected = model.iter().find(|(id, _)| *id == info.id).unwrap().1;
        assert!(restore(&fixture.open(), info).unwrap() == expected);
    }
    // Packs that no index object lists serve no writer: the next night stands on its own.
    let bytes = [noise(1, 2 << 20), dump(2, 2 << 20)].concat();
    let next = fixture.night(&bytes);
    assert_eq!(next.snapshot.counts.chunks_new, next.snapshot.counts.chunks);
    assert!(restore(&fixture.elsewhere().open(), &next).unwrap() == bytes);
}

#[test]
fn rebuilding_changes_nothing() {
    let (fixture, model, _) = two_nights(68);
    let before = status(&fixture.open()).unwrap();
    let after = rebuild(&fixture.open()).unwrap();
    assert_eq!((after.packs, after.blobs), (before.packs, before.blobs));
    let after = rebuild_from_packs(&fixture.open()).unwrap();
    assert_eq!((after.packs, after.blobs), (before.packs, before.blobs));
    model.check(&fixture.open(), None, "rebuilt");
}

#[test]
fn a_pack_whose_footer_is_damaged_is_named_by_a_rebuild() {
    let (fixture, _, _) = two_nights(69);
    for name in names(&fixture.store, "index") {
        fixture.store.delete(&name).unwrap();
    }
    let damaged = names(&fixture.store, "packs").swap_remove(0);
    let mut object = nightjar_testkit::damage::read(&fixture.store, &damaged);
    let last = object.len() - 1;
    object[last] ^= 1;
    nightjar_testkit::damage::write(&fixture.store, &damaged, object);
    let report = rebuild_from_packs(&fixture.open()).unwrap();
    assert!(matches!(ObjectName::parse(&damaged), Some(ObjectName::Pack(_))));
    assert!(report.findings.iter().any(|it| it.contains(&damaged)), "{:?}", report.findings);
}
