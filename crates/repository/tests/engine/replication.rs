//! Copies in other stores.

use std::path::Path;
use std::sync::Arc;

use nightjar_format::SessionId;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::replicate::{
    Kind, Lag, ReplicationReport, Source, lag, preview, replicate,
};
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::verify::{Level, VerifyRequest, verify};
use nightjar_repository::{Found, Progress, RepositoryError, slots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, copy_of, names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, back_up, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::meanwhile::MeanwhileStore;
use nightjar_testkit::model::Model;

use crate::gc::{assert_sound, collected, forgotten, thorough};
use crate::repair::repaired;

fn replicated(fixture: &Fixture, target: &Store) -> ReplicationReport {
    replicate(Source::Opened(&fixture.open()), target, &Progress::default()).unwrap()
}

fn replicated_without_key(
    fixture: &Fixture,
    target: &Store,
) -> Result<ReplicationReport, RepositoryError> {
    let environment = fixture.world.environment(Path::new("/nonexistent"));
    let found = Found::look(fixture.store.clone()).unwrap();
    replicate(Source::Sealed(&found, &environment), target, &Progress::default())
}

/// What is told without a key.
fn lag_of(fixture: &Fixture, target: &Store) -> Result<Lag, RepositoryError> {
    let environment = fixture.world.environment(Path::new("/nonexistent"));
    let found = Found::look(fixture.store.clone()).unwrap();
    lag(Source::Sealed(&found, &environment), target)
}

/// A few nights, one of them forgotten and collected.
fn some_nights(seed: u64) -> (Fixture, Vec<(SnapshotInfo, Vec<u8>)>) {
    let fixture = Fixture::new(seed);
    let mut bytes = [dump(seed, 700_000), noise(seed, 500_000)].concat();
    let mut made = Vec::new();
    for night in 0..4 {
        made.push((fixture.night(&bytes), bytes.clone()));
        bytes = touched(&bytes, night);
    }
    let (first, _) = made.remove(0);
    forgotten(&fixture, &[&first]);
    collected(&fixture, &thorough());
    (fixture, made)
}

/// The same repository as it is in its replica, seen by a machine that has seen neither.
fn replica_of(fixture: &Fixture, target: &Store) -> Fixture {
    fixture.at(target.clone(), fixture.world.fresh_cache())
}

fn copied(report: &ReplicationReport, kind: Kind) -> u64 {
    report.copied.get(&kind).map_or(0, |amount| amount.objects)
}

#[test]
fn a_replica_gives_back_what_its_repository_holds_byte_for_byte() {
    let (fixture, made) = some_nights(501);
    for with_key in [true, false] {
        let target = Store::memory();
        let report = match with_key {
            true => replicated(&fixture, &target),
            false => replicated_without_key(&fixture, &target).unwrap(),
        };
        assert!(report.is_first && report.damaged.is_empty(), "{report:?}");
        assert_eq!(copied(&report, Kind::Snapshots), 3);
        let mut expected = names(&fixture.store, "");
        expected.push(ObjectName::Replica.to_string());
        expected.sort_unstable();
        assert_eq!(names(&target, ""), expected);
        for name in names(&fixture.store, "") {
            assert!(read(&target, &name) == read(&fixture.store, &name), "{name} differs");
        }
        assert_sound(&replica_of(&fixture, &target), &made);
    }
}

#[test]
fn the_next_pass_copies_what_is_new_and_a_pass_without_news_only_lists() {
    let (fixture, mut made) = some_nights(502);
    let target = Store::memory();
    replicated(&fixture, &target);
    let before = target.counters();
    let report = replicated(&fixture, &target);
    assert!(!report.is_first && report.total().objects == 0, "{report:?}");
    let after = target.counters();
    assert_eq!((after.put, after.create), (before.put, before.create));
    // Its mark and its `repository` object are compared with the source's.
    assert_eq!((after.list - before.list, after.get - before.get), (1, 2));
    let night = dump(1502, 300_000);
    made.push((fixture.night(&night), night));
    let report = replicated(&fixture, &target);
    assert_eq!((copied(&report, Kind::Snapshots), copied(&report, Kind::Slots)), (1, 0));
    assert!(copied(&report, Kind::Packs) <= 3, "{report:?}");
    assert_sound(&replica_of(&fixture, &target), &made);
}

#[test]
fn a_preview_tells_what_would_be_copied_and_copies_nothing() {
    let (fixture, _) = some_nights(503);
    let target = Store::memory();
    let told = preview(Source::Opened(&fixture.open()), &target).unwrap();
    assert_eq!(names(&target, ""), [""; 0]);
    let done = replicated(&fixture, &target);
    assert_eq!((told.copied, told.is_first), (done.copied, true));
    assert_eq!(preview(Source::Opened(&fixture.open()), &target).unwrap().total().objects, 0);
}

#[test]
fn a_preview_leaves_out_what_is_forgotten_as_a_pass_does() {
    let (fixture, made) = some_nights(521);
    let (info, _) = &made[0];
    let name = ObjectName::Snapshot(info.id).to_string();
    let register = read(&fixture.store, &name);
    forgotten(&fixture, &[info]);
    // As where the store does not permit that it is deleted.
    write(&fixture.store, &name, register);
    let target = Store::memory();
    let told = preview(Source::Opened(&fixture.open()), &target).unwrap();
    assert_eq!(copied(&told, Kind::Snapshots), 2);
    assert_eq!(told.copied, replicated(&fixture, &target).copied);
    assert_eq!(preview(Source::Opened(&fixture.open()), &target).unwrap().total().objects, 0);
    assert_eq!(lag(Source::Opened(&fixture.open()), &target).unwrap().snapshots, 0);
}

#[test]
fn a_pass_that_is_cut_off_anywhere_leaves_a_whole_replica_or_none() {
    let (fixture, mut made) = some_nights(504);
    let empty = Store::memory();
    let full = Store::memory();
    replicated(&fixture, &full);
    let earlier = made.clone();
    let night = [dump(504, 400_000), noise(77, 1_500_000)].concat();
    made.push((fixture.night(&night), night));
    for (begun, at_first) in [(empty, &[][..]), (full, &earlier[..])] {
        for stop in 0.. {
            let target = copy_of(&begun);
            let faults = FaultStore::new(target.inner(), FaultPlan::stop_after_writes(stop));
            let dying = Store::over(Arc::new(faults), "memory://dying");
            let repository = fixture.open();
            let outcome = replicate(Source::Opened(&repository), &dying, &Progress::default());
            drop(dying);
            let replica = replica_of(&fixture, &target);
            match replica.try_open() {
                Ok(opened) => {
                    let list = snapshots::list(&opened).unwrap();
                    assert_eq!(list.findings, [""; 0]);
                    assert!(list.snapshots.len() >= at_first.len());
                    for info in &list.snapshots {
                        let (_, bytes) = made.iter().find(|(it, _)| it.id == info.id).unwrap();
                        assert!(restore(&opened, info).unwrap() == *bytes, "after {stop} writes");
                    }
                }
                Err(
                    RepositoryError::NoRepository { .. }
                    | RepositoryError::UnfinishedReplica { .. },
                ) => {
                    assert!(at_first.is_empty() && outcome.is_err(), "after {stop} writes");
                }
                Err(error) => panic!("after {stop} writes: {error}"),
            }
            let report = replicated(&fixture, &target);
            assert_eq!(report.is_first, names(&begun, "").is_empty() && stop == 0);
            if outcome.is_ok() {
                assert_eq!(report.total().objects, 0);
                assert_sound(&replica, &made);
                break;
            }
            if stop % 5 == 0 {
                assert_sound(&replica, &made);
            }
        }
    }
}

/// What somebody else may do while a pass is under way.
fn others(fixture: &Fixture, made: &[(SnapshotInfo, Vec<u8>)], what: usize) {
    match what {
        // What the pass is to copy moves to other packs.
        0 => {}
        1 => drop(fixture.night(&noise(600, 200_000))),
        _ => {
            fixture.night(&touched(&made[2].1, 9));
            forgotten(fixture, &[&made[0].0, &made[3].0]);
        }
    }
    collected(fixture, &thorough());
}

#[test]
fn what_others_do_between_any_two_requests_of_a_pass_leaves_the_replica_whole() {
    let (fixture, mut made) = some_nights(517);
    let target = Store::memory();
    replicated(&fixture, &target);
    // What the pass is to copy: a night that needs half of the packs of one that was forgotten.
    let first = fixture.night(&[noise(518, 300_000), noise(519, 300_000)].concat());
    let night = noise(519, 300_000);
    made.push((fixture.night(&night), night));
    forgotten(&fixture, &[&first]);
    for what in 0..3 {
        for at in 0.. {
            let other = fixture.twin();
            let (copy, acting) = (copy_of(&target), other.clone());
            let made = made.clone();
            let meanwhile = MeanwhileStore::new(other.store.inner(), at, move || {
                others(&acting, &made, what);
            });
            let meanwhile = Arc::new(meanwhile);
            let watched = other
                .at(Store::over(meanwhile.clone(), "memory://watched"), other.world.fresh_cache());
            let environment = other.world.environment(Path::new("/nonexistent"));
            let found = Found::look(watched.store.clone()).unwrap();
            let source = Source::Sealed(&found, &environment);
            let report = replicate(source, &copy, &Progress::default()).unwrap();
            assert!(report.damaged.is_empty(), "{what}, {at}: {report:?}");
            let replica = replica_of(&other, &copy).open();
            let list = snapshots::list(&replica).unwrap();
            assert_eq!(list.findings, [""; 0], "{what}, {at}");
            for info in &list.snapshots {
                restore(&replica, info).unwrap_or_else(|error| panic!("{what}, {at}: {error}"));
            }
            assert!(list.snapshots.len() >= 2, "{what}, {at}: {} are there", list.snapshots.len());
            if !meanwhile.has_happened() {
                assert!(at > 10, "a pass makes {at} requests");
                break;
            }
        }
    }
}

#[test]
fn nobody_writes_to_a_replica() {
    let (fixture, made) = some_nights(505);
    let target = Store::memory();
    replicated(&fixture, &target);
    let before = names(&target, "");
    let replica = replica_of(&fixture, &target);
    let (info, _) = made.last().unwrap();
    let refused = |outcome: Result<(), RepositoryError>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, RepositoryError::Refused(_)), "{error}");
        assert!(error.to_string().contains("is a replica"), "{error}");
    };
    refused(back_up(&replica.open(), b"x").map(drop));
    refused(snapshots::forget(&replica.open(), &[info.id], "me", "test"));
    let gc = nightjar_repository::gc::collect(&replica.open(), &thorough(), &Progress::default());
    refused(gc.map(drop));
    refused(slots::remove(&mut replica.open(), fixture.open().keychain().slot()));
    assert_eq!(names(&target, ""), before);
    // Not what it alone still has, either.
    forgotten(&fixture, &[info]);
    replicated(&fixture, &target);
    let before = names(&target, "");
    refused(snapshots::forget(&replica.open(), &[info.id], "me", "test"));
    refused(snapshots::erase(&replica.open(), &[info.id], "me", "test"));
    assert_eq!(names(&target, ""), before);
}

#[test]
fn what_is_whole_in_a_replica_is_not_replaced_by_what_is_not() {
    let (fixture, made) = some_nights(518);
    let target = Store::memory();
    replicated(&fixture, &target);
    let before: Vec<(String, Vec<u8>)> =
        names(&target, "").into_iter().map(|name| (name.clone(), read(&target, &name))).collect();
    for folder in ["keyring", "slots", "ledger", "snapshots", "index", "packs"] {
        for longer in [false, true] {
            let source = fixture.twin();
            let name = names(&source.store, folder)[0].clone();
            let mut object = read(&source.store, &name);
            match longer {
                true => object.push(0),
                false => object.truncate(object.len() / 2),
            }
            write(&source.store, &name, object);
            let report = replicated_without_key(&source, &target);
            let told = match &report {
                Ok(report) => report.damaged.iter().any(|it| it.object == name),
                Err(error) => error.is_damage(),
            };
            assert!(told, "{name}: {report:?}");
            for (name, object) in &before {
                assert!(read(&target, name) == *object, "{name} is another one");
            }
        }
    }
    assert_sound(&replica_of(&fixture, &target), &made);
}

#[test]
fn a_source_that_was_put_back_and_went_another_way_is_refused() {
    let (fixture, made) = some_nights(519);
    let earlier = fixture.twin();
    let target = Store::memory();
    forgotten(&fixture, &[&made[0].0]);
    replicated(&fixture, &target);
    let before = names(&target, "");
    for _ in 0..3 {
        let environment = earlier.world.environment(Path::new("/nonexistent"));
        let found = Found::look(earlier.store.clone()).unwrap();
        let told = preview(Source::Sealed(&found, &environment), &target).map(drop);
        let done = replicated_without_key(&earlier, &target).map(drop);
        for error in [told.unwrap_err(), done.unwrap_err()] {
            assert!(error.to_string().contains("nothing was copied"), "{error}");
        }
        assert_eq!(names(&target, ""), before);
        // First it lacks a record, then it has another one, then more than the replica.
        forgotten(&earlier, &[&made[1].0]);
    }
}

#[test]
fn a_mark_that_somebody_makes_in_a_repository_hides_nothing_and_is_named() {
    let (fixture, made) = some_nights(520);
    fixture.open();
    let mark = ObjectName::Replica.to_string();
    write(&fixture.store, &mark, Vec::new());
    let repository = fixture.open();
    assert!(repository.is_history_altered());
    let told = repository.history_findings().join(" ");
    assert!(told.contains("was a repository when this machine last used it"), "{told}");
    let error = back_up(&repository, b"x").unwrap_err();
    assert!(error.to_string().contains(&mark), "{error}");
    fixture.store.delete(&mark).unwrap();
    assert_sound(&fixture, &made);
}

#[test]
fn what_the_repository_forgot_can_be_restored_from_a_replica_by_its_id() {
    let (fixture, made) = some_nights(506);
    let target = Store::memory();
    replicated(&fixture, &target);
    let (first, bytes) = &made[0];
    forgotten(&fixture, &[first]);
    collected(&fixture, &thorough());
    let report = replicated(&fixture, &target);
    assert!(report.damaged.is_empty(), "{report:?}");
    let replica = replica_of(&fixture, &target).open();
    let list = snapshots::list(&replica).unwrap();
    assert_eq!((list.snapshots.len(), list.forgotten.len()), (2, 1));
    let found = list.find(&first.id.to_string(), None).unwrap();
    assert!(found.forgotten && restore(&replica, found).unwrap() == *bytes);
    assert!(!list.find("latest", None).unwrap().forgotten);
    let snapshots: Vec<SessionId> = vec![first.id];
    let request = VerifyRequest {
        level: Level::Data,
        snapshots,
        whole_repository: true,
        ..VerifyRequest::default()
    };
    let report = verify(&replica, &request, &Progress::default()).unwrap();
    assert_eq!((report.findings, report.snapshots), (vec![], 1));
    // Gone in the repository itself.
    let list = snapshots::list(&fixture.open()).unwrap();
    assert!(list.find(&first.id.to_string(), None).is_err());
}

#[test]
fn a_place_that_is_not_for_this_replica_is_left_alone() {
    let (fixture, _) = some_nights(507);
    let (other, _) = some_nights(508);
    let target = Store::memory();
    replicated(&other, &target);
    for store in [&target, &other.store, &fixture.store] {
        let before = names(store, "");
        let outcome = replicate(Source::Opened(&fixture.open()), store, &Progress::default());
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("nothing was changed"), "{error}");
        assert_eq!(names(store, ""), before);
        assert!(lag_of(&fixture, store).is_err());
    }
}

#[test]
fn damage_does_not_spread_and_the_sound_copy_in_the_replica_stays() {
    let (fixture, made) = some_nights(509);
    let target = Store::memory();
    replicated(&fixture, &target);
    let known = names(&fixture.store, "packs")[0].clone();
    let sound = read(&target, &known);
    let night = noise(509, 400_000);
    let late = fixture.night(&night);
    let new = |folder: &str| {
        let there = names(&target, folder);
        names(&fixture.store, folder).into_iter().find(|name| !there.contains(name)).unwrap()
    };
    let (pack, index) = (new("packs"), new("index"));
    let (whole_pack, whole_index) = (read(&fixture.store, &pack), read(&fixture.store, &index));
    Damage::Halve.inflict(&fixture.store, &known);
    Damage::Flip(500).inflict(&fixture.store, &pack);
    Damage::Halve.inflict(&fixture.store, &index);
    let repository = fixture.open();
    let report = replicate(Source::Opened(&repository), &target, &Progress::default()).unwrap();
    let told: Vec<&str> = report.damaged.iter().map(|it| it.object.as_str()).collect();
    assert!([&known, &pack, &index].iter().all(|name| told.contains(&name.as_str())), "{told:?}");
    assert!(report.damaged.iter().all(|it| it.problem.contains(&it.object)), "{report:?}");
    assert!(read(&target, &known) == sound);
    assert!(target.head(&pack).unwrap().is_none() && target.head(&index).unwrap().is_none());
    // Without a key what only a signature tells is not seen, and what hashes tell is.
    let report = replicated_without_key(&fixture, &target).unwrap();
    assert!(report.damaged.len() >= 2, "{report:?}");
    write(&fixture.store, &known, sound);
    write(&fixture.store, &pack, whole_pack);
    write(&fixture.store, &index, whole_index);
    assert!(replicated(&fixture, &target).damaged.is_empty());
    let kept: Vec<_> = made.into_iter().chain([(late, night)]).collect();
    assert_sound(&replica_of(&fixture, &target), &kept);
}

#[test]
fn an_object_that_broke_off_in_the_replica_is_copied_again() {
    let (fixture, made) = some_nights(510);
    let target = Store::memory();
    replicated(&fixture, &target);
    for folder in ["packs", "index", "snapshots", "ledger", "slots"] {
        let name = names(&target, folder);
        let name = name.iter().find(|name| !name.ends_with("replica")).unwrap();
        Damage::Halve.inflict(&target, name);
    }
    let report = replicated(&fixture, &target);
    assert_eq!(report.total().objects, 5, "{report:?}");
    assert_sound(&replica_of(&fixture, &target), &made);
}

#[test]
fn a_replica_of_a_replica_is_one_too() {
    let (fixture, made) = some_nights(511);
    let (first, second) = (Store::memory(), Store::memory());
    replicated(&fixture, &first);
    replicated(&replica_of(&fixture, &first), &second);
    assert_eq!(names(&second, ""), names(&first, ""));
    assert_sound(&replica_of(&fixture, &second), &made);
}

#[test]
fn slots_that_come_and_go_are_followed() {
    let (fixture, made) = some_nights(512);
    let target = Store::memory();
    replicated(&fixture, &target);
    let writer = fixture.add_slot(Role::Write, "writer");
    fixture.add_slot(Role::Full, "second");
    replicated(&fixture, &target);
    let replica = replica_of(&fixture, &target);
    assert!(replica.open_with("writer").is_ok() && replica.open_with("second").is_ok());
    slots::remove(&mut fixture.open(), writer).unwrap();
    replicated(&fixture, &target);
    let error = replica.open_with("writer").err().unwrap();
    assert!(matches!(error, RepositoryError::RemovedSlot { .. }), "{error}");
    assert_sound(&replica, &made);
}

#[test]
fn how_far_a_replica_is_behind_is_told_without_a_key() {
    let (fixture, _) = some_nights(513);
    let target = Store::memory();
    let nothing = lag_of(&fixture, &target).unwrap();
    assert!(!nothing.is_usable && nothing.snapshots == 3 && nothing.newest.is_none());
    replicated(&fixture, &target);
    let level = lag_of(&fixture, &target).unwrap();
    assert!(level.is_usable && level.newest.is_some(), "{level:?}");
    assert_eq!((level.snapshots, level.since, level.missing.objects), (0, None, 0));
    let info = fixture.night(&noise(513, 100_000));
    forgotten(&fixture, &[&info]);
    let late = fixture.night(&noise(514, 100_000));
    let behind = lag_of(&fixture, &target).unwrap();
    assert_eq!((behind.snapshots, behind.has_snapshots), (1, 3));
    let name = ObjectName::Snapshot(late.id).to_string();
    let made = fixture.store.head(&name).unwrap().unwrap().modified_unix_nanos;
    assert_eq!(behind.since, Some(made));
    assert!(behind.missing.bytes > 100_000, "{behind:?}");
}

#[test]
fn a_machine_may_use_a_repository_and_its_replica_with_the_same_caches() {
    let (fixture, made) = some_nights(515);
    let target = Store::memory();
    replicated(&fixture, &target);
    let night = noise(515, 200_000);
    let late = fixture.night(&night);
    forgotten(&fixture, &[&made[0].0]);
    // The replica is behind what this machine has seen, and that is no tampering.
    let elsewhere = Store::over(target.inner(), "memory://replica");
    let replica = fixture.at(elsewhere, fixture.cache.clone());
    let mut model = Model::default();
    for (info, bytes) in &made {
        model.insert(info, bytes);
    }
    model.check(&replica.open(), None, "in the replica");
    model.remove(made[0].0.id);
    model.insert(&late, &night);
    model.check(&fixture.open(), None, "in the repository");
}

#[test]
fn a_damaged_replica_is_mended_by_replicating_again() {
    let (fixture, made) = some_nights(516);
    let target = Store::memory();
    replicated(&fixture, &target);
    let damaged = ["packs", "index", "snapshots"].map(|folder| names(&target, folder)[0].clone());
    for name in &damaged {
        Damage::Flip(500).inflict(&target, name);
    }
    assert_eq!(replicated(&fixture, &target).total().objects, 0, "listings show no damage");
    let replica = replica_of(&fixture, &target);
    let error = repaired(&replica, &fixture.store, PASSPHRASE).unwrap_err();
    assert!(error.to_string().contains("delete what is damaged there"), "{error}");
    for name in &damaged {
        target.delete(name).unwrap();
    }
    assert_eq!(replicated(&fixture, &target).total().objects, 3);
    assert_sound(&replica_of(&fixture, &target), &made);
}
