//! Marking: what is marked is enough to restore, all of it is needed, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_format::snapshot::Source;
use nightjar_format::{BlobId, PackId};
use nightjar_repository::ingest::{Fed, create_snapshot};
use nightjar_repository::mark::{Live, mark};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::verify::{Finding, Level, VerifyRequest, verify};
use nightjar_repository::{Progress, RepositoryError};
use nightjar_testkit::chains::{Chains, Stored};
use nightjar_testkit::damage::names;
use nightjar_testkit::edits::{grown, touched};
use nightjar_testkit::fixture::{Fixture, empty_file, entry, request, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::Insider;

/// Stores files, sorted by name, a night after the last.
fn files(fixture: &Fixture, entries: &[(&str, &[u8])]) -> SnapshotInfo {
    fixture.world.sleep_until_next_night();
    let repository = fixture.open();
    create_snapshot(&repository, &request("tree"), &Progress::default(), |feeder| {
        for (name, bytes) in entries {
            feeder.stream(name.as_bytes(), &mut &**bytes, name)?;
            feeder.file(entry(name.as_bytes(), empty_file()))?;
        }
        let source = Source::Paths { paths: vec![] };
        Ok::<Fed, RepositoryError>(Fed { source, unreadable: 0 })
    })
    .unwrap()
}

pub(crate) fn marked(fixture: &Fixture, made: &[&SnapshotInfo]) -> Result<Live, RepositoryError> {
    let repository = fixture.open();
    let progress = Progress::default();
    let roots: Vec<BlobId> = made.iter().map(|info| info.snapshot.root).collect();
    mark(&repository, &roots, &progress)
}

pub(crate) fn is_alive(live: &Live, stored: &Stored) -> bool {
    live.offsets.get(&stored.pack).is_some_and(|offsets| offsets.contains(&stored.entry.offset))
}

fn findings(fixture: &Fixture, info: &SnapshotInfo, level: Level) -> Vec<Finding> {
    let request = VerifyRequest { level, snapshots: vec![info.id], whole_repository: false };
    verify(&fixture.open(), &request, &Progress::default()).unwrap().findings
}

/// Deletes every pack without a live blob; how many those are.
pub(crate) fn sweep(fixture: &Fixture, live: &Live) -> usize {
    let keep: BTreeSet<String> =
        live.offsets.keys().map(|id| ObjectName::Pack(*id).to_string()).collect();
    let dead = names(&fixture.store, "packs").into_iter().filter(|name| !keep.contains(name));
    dead.map(|name| fixture.store.delete(&name).unwrap()).count()
}

/// Nights, some of which rest on earlier ones and some of which do not.
fn nights(seed: u64) -> (Fixture, Vec<(SnapshotInfo, Vec<u8>)>) {
    let fixture = Fixture::new(seed);
    let mut bytes = dump(seed, 1_200_000);
    let mut made = Vec::new();
    for night in 0..8u64 {
        made.push((fixture.night(&bytes), bytes.clone()));
        bytes = match night {
            2 => noise(seed, 1_200_000),
            3 => [dump(seed + 1, 900_000), noise(seed, 300_000)].concat(),
            5 => grown(&bytes, night),
            _ => touched(&bytes, night),
        };
    }
    (fixture, made)
}

#[test]
fn what_is_marked_is_enough_to_restore() {
    let (fixture, made) = nights(141);
    for (info, bytes) in &made {
        let twin = fixture.twin();
        let swept = sweep(&twin, &marked(&twin, &[info]).unwrap());
        assert!(swept > 0, "{} needs every pack", info.id);
        for fixture in [twin.elsewhere(), twin] {
            assert!(restore(&fixture.open(), info).unwrap() == *bytes);
            assert_eq!(findings(&fixture, info, Level::Presence), []);
        }
    }
}

#[test]
fn what_is_marked_is_enough_to_verify() {
    let (fixture, made) = nights(142);
    for (info, _) in &made {
        let twin = fixture.twin();
        sweep(&twin, &marked(&twin, &[info]).unwrap());
        for level in [Level::Packs, Level::Data] {
            assert_eq!(findings(&twin, info, level), [], "of {}", info.id);
        }
    }
}

#[test]
fn a_dead_delta_beside_a_live_blob_is_no_damage_when_its_base_is_collected() {
    let fixture = Fixture::new(143);
    let (old, kept) = (dump(143, 300_000), noise(143, 300_000));
    files(&fixture, &[("old", &old)]);
    files(&fixture, &[("kept", &kept), ("old", &touched(&old, 1))]);
    let last = files(&fixture, &[("kept", &kept)]);
    let live = marked(&fixture, &[&last]).unwrap();
    assert!(sweep(&fixture, &live) > 0);
    assert!(restore(&fixture.elsewhere().open(), &last).unwrap() == kept);
    assert_eq!(findings(&fixture, &last, Level::Data), []);
}

#[test]
fn everything_marked_is_needed() {
    let (fixture, made) = nights(144);
    let (info, _) = made.last().unwrap();
    let live = marked(&fixture, &[info]).unwrap();
    assert!(live.offsets.len() > 4, "{:?}", live.offsets.keys());
    for id in live.offsets.keys() {
        let twin = fixture.twin();
        twin.store.delete(&ObjectName::Pack(*id).to_string()).unwrap();
        let error = restore(&twin.open(), info).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains(&id.to_string()), "{error}");
        let error = marked(&twin, &[info]).unwrap_err();
        assert!(error.is_damage(), "{error:?}");
    }
}

#[test]
fn marking_all_is_marking_each() {
    let (fixture, made) = nights(145);
    let mut union: BTreeMap<PackId, BTreeSet<u32>> = BTreeMap::new();
    for (info, _) in &made {
        let live = marked(&fixture, &[info]).unwrap();
        assert!(live.offsets.values().all(|offsets| !offsets.is_empty()));
        for (pack, offsets) in live.offsets {
            union.entry(pack).or_default().extend(offsets);
        }
    }
    let all: Vec<&SnapshotInfo> = made.iter().map(|(info, _)| info).collect();
    let live = marked(&fixture, &all).unwrap();
    assert_eq!(live.offsets, union);
    // Nothing was ever forgotten: all that is stored is alive, and no blob is stored twice.
    let repository = fixture.open();
    let chains = Chains::of(&repository);
    let bytes: u64 = chains.all().map(|stored| u64::from(stored.entry.stored_len)).sum();
    assert_eq!(
        (live.bytes, chains.all().count()),
        (bytes, union.values().map(BTreeSet::len).sum())
    );
    let reversed: Vec<&SnapshotInfo> = all.into_iter().rev().collect();
    assert_eq!(marked(&fixture, &reversed).unwrap(), live);
}

/// A directory of many small files, of which one has these bytes.
fn directory(fixture: &Fixture, changed: &[u8]) -> SnapshotInfo {
    let names: Vec<String> = (0..60).map(|number| format!("{number:03}")).collect();
    let same: Vec<Vec<u8>> = (0..60).map(|number| noise(1000 + number, 50)).collect();
    let entries = names.iter().zip(&same).enumerate().map(|(number, (name, same))| {
        (name.as_str(), if number == 30 { changed } else { same.as_slice() })
    });
    files(fixture, &entries.collect::<Vec<_>>())
}

#[test]
fn a_node_that_is_only_a_base_is_kept_and_not_looked_into() {
    let fixture = Fixture::new(146);
    let (old, new) = (noise(1, 3000), noise(2, 3000));
    let made = [directory(&fixture, &old), directory(&fixture, &new)];
    let chains = Chains::of(&fixture.open());
    let insider = Insider::first(&fixture);
    let only = |id: &BlobId| {
        assert_eq!(chains.places(id).len(), 1);
        chains.places(id)[0]
    };
    let roots = made.each_ref().map(|info| only(&info.snapshot.root));
    assert_eq!(roots[1].entry.encoding.bases(), [made[0].snapshot.root], "its root is no delta");
    let live = marked(&fixture, &[&made[1]]).unwrap();
    assert!(is_alive(&live, &roots[0]), "a base was not kept");
    assert!(is_alive(&live, &only(&insider.chunk_id(&new))));
    assert!(!is_alive(&live, &only(&insider.chunk_id(&old))), "a base was looked into");
    let both = marked(&fixture, &[&made[1], &made[0]]).unwrap();
    assert!(is_alive(&both, &only(&insider.chunk_id(&old))), "a root was not looked into");
}

#[test]
fn directories_files_and_lists_are_all_marked() {
    let fixture = Fixture::new(151);
    let info = directory(&fixture, &dump(1, 500_000));
    let live = marked(&fixture, &[&info]).unwrap();
    let chains = Chains::of(&fixture.open());
    assert!(chains.all().all(|stored| is_alive(&live, stored)));
    assert!(chains.all().filter(|stored| stored.kind == BlobKind::Tree).count() > 1);
}
