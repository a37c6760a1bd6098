//! Copies of some series only.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_format::SessionId;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::replicate::{Kind, ReplicationReport, Source, lag, preview, replicate};
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::{Progress, Repository, RepositoryError, ledger};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::{Damage, copy_of, names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, request, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::Insider;
use nightjar_testkit::meanwhile::MeanwhileStore;

use crate::gc::{assert_sound, collected, forgotten, thorough};

type Made = Vec<(SnapshotInfo, Vec<u8>)>;

fn try_copy(
    repository: &Repository,
    target: &Store,
    series: &[&str],
) -> Result<ReplicationReport, RepositoryError> {
    let filter = |name: &str| series.contains(&name);
    replicate(Source::OfSeries(repository, &filter), target, &Progress::default())
}

fn copy(fixture: &Fixture, target: &Store, series: &[&str]) -> ReplicationReport {
    let report = try_copy(&fixture.open(), target, series).unwrap();
    assert_eq!(report.damaged, []);
    report
}

fn copied(report: &ReplicationReport, kind: Kind) -> u64 {
    report.copied.get(&kind).map_or(0, |amount| amount.objects)
}

fn of_series(made: &Made, series: &[&str]) -> Made {
    made.iter().filter(|(info, _)| series.contains(&&*info.snapshot.series)).cloned().collect()
}

/// The replica, seen by a machine that knows nothing of its source.
fn replica_of(fixture: &Fixture, target: &Store) -> Fixture {
    fixture.at(target.clone(), fixture.world.fresh_cache())
}

/// The replica shows these snapshots and no others, and nothing is wrong with it.
fn assert_holds(fixture: &Fixture, target: &Store, made: &Made) {
    let replica = replica_of(fixture, target);
    let list = snapshots::list(&replica.open()).unwrap();
    assert_eq!(list.findings, [""; 0]);
    let there: BTreeSet<SessionId> = list.snapshots.iter().map(|info| info.id).collect();
    assert_eq!(there, made.iter().map(|(info, _)| info.id).collect());
    assert_sound(&replica, made);
}

/// The replica's snapshots are whole without all that its ledger retires.
fn assert_rests_on_nothing_retired(fixture: &Fixture, target: &Store, made: &Made) {
    let stripped = copy_of(target);
    let replica = replica_of(fixture, &stripped);
    for pack in &ledger::read(&replica.open()).unwrap().state.retired {
        stripped.delete(&ObjectName::Pack(*pack).to_string()).unwrap();
    }
    assert_sound(&replica, made);
}

/// Three series by turns: what is new in `users` is what `orders` holds already, or a delta against it,
/// and `logs` share nothing with them.
fn some_series(seed: u64) -> (Fixture, Made) {
    nights_of_series(seed, 3)
}

fn nights_of_series(seed: u64, nights: u64) -> (Fixture, Made) {
    let fixture = Fixture::new(seed);
    let mut orders = dump(seed, 400_000);
    let mut made = Vec::new();
    for night in 0..nights {
        let users = [&touched(&orders[100_000..300_000], night + 50), &orders[..100_000]].concat();
        let logs = noise(seed + night, 300_000);
        for (series, bytes) in [("orders", orders.clone()), ("users", users), ("logs", logs)] {
            made.push((fixture.night_as(&request(series), &bytes), bytes));
        }
        orders = touched(&orders, night);
    }
    (fixture, made)
}

#[test]
fn a_replica_of_some_series_holds_these_and_no_more_than_they_need() {
    let (fixture, made) = some_series(701);
    let orders_alone = Store::memory();
    copy(&fixture, &orders_alone, &["orders"]);
    let target = Store::memory();
    let told = preview(Source::OfSeries(&fixture.open(), &|it| it == "users"), &target).unwrap();
    assert_eq!(names(&target, ""), [""; 0]);
    let report = copy(&fixture, &target, &["users"]);
    assert_eq!((told.copied, copied(&report, Kind::Snapshots)), (report.copied.clone(), 3));
    let kept = of_series(&made, &["users"]);
    assert_holds(&fixture, &target, &kept);
    let packs = |store: &Store| names(store, "packs").into_iter().collect::<BTreeSet<_>>();
    let shared = packs(&target).intersection(&packs(&orders_alone)).count();
    assert!(shared > 0, "no pack holds what both series need");
    assert!(packs(&target).len() < packs(&fixture.store).len());
    // None of the packs is there in vain.
    for pack in packs(&target) {
        let without = copy_of(&target);
        without.delete(&pack).unwrap();
        let replica = replica_of(&fixture, &without).open();
        let is_whole = kept.iter().all(|(info, _)| restore(&replica, info).is_ok());
        assert!(!is_whole, "nothing needs {pack}");
    }
    assert_eq!(names(&target, "bundles"), [""; 0]);
    for folder in ["index", "ledger", "slots", "keyring"] {
        let mut there = names(&target, folder);
        there.retain(|name| *name != ObjectName::Replica.to_string());
        assert_eq!(there, names(&fixture.store, folder));
    }
}

#[test]
fn a_write_slot_can_copy_some_series() {
    let (fixture, made) = some_series(702);
    fixture.add_slot(Role::Write, "writer");
    let target = Store::memory();
    try_copy(&fixture.open_with("writer").unwrap(), &target, &["users"]).unwrap();
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
}

#[test]
fn a_pass_without_news_walks_nothing_and_the_next_one_what_is_new() {
    let (fixture, mut made) = some_series(703);
    let target = Store::memory();
    copy(&fixture, &target, &["users"]);
    let repository = fixture.open();
    let before = fixture.store.counters();
    let report = try_copy(&repository, &target, &["users"]).unwrap();
    assert_eq!(report.total().objects, 0);
    let after = fixture.store.counters();
    assert_eq!(after.get - before.get, 1, "it reads more than the `repository` object");
    let night = noise(7031, 200_000);
    made.push((fixture.night_as(&request("users"), &night), night));
    fixture.night_as(&request("logs"), &noise(7032, 300_000));
    let report = copy(&fixture, &target, &["users"]);
    assert_eq!(copied(&report, Kind::Snapshots), 1);
    assert!(copied(&report, Kind::Packs) <= 2, "{report:?}");
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
    // A machine that has never copied it finds the same.
    assert_eq!(copy(&fixture.elsewhere(), &target, &["users"]).total().objects, 0);
}

#[test]
fn a_wider_filter_copies_more_and_a_narrower_one_deletes_nothing() {
    let (fixture, mut made) = some_series(704);
    let target = Store::memory();
    copy(&fixture, &target, &["users"]);
    let report = copy(&fixture, &target, &["users", "logs"]);
    assert_eq!(copied(&report, Kind::Snapshots), 3);
    assert_holds(&fixture, &target, &of_series(&made, &["users", "logs"]));
    let before = names(&target, "");
    assert_eq!(copy(&fixture, &target, &["logs"]).total().objects, 0);
    assert_eq!(names(&target, ""), before);
    // What is there goes on to be whole, whatever is chosen now.
    let night = noise(7041, 200_000);
    made.push((fixture.night_as(&request("logs"), &night), night));
    let (first, _) = made.remove(0);
    forgotten(&fixture, &[&first]);
    collected(&fixture, &thorough());
    copy(&fixture, &target, &["logs"]);
    let kept = of_series(&made, &["users", "logs"]);
    assert_holds(&fixture, &target, &kept);
    assert_rests_on_nothing_retired(&fixture, &target, &kept);
    replicate(Source::Opened(&fixture.open()), &target, &Progress::default()).unwrap();
    assert_holds(&fixture, &target, &made);
}

#[test]
fn a_pass_that_is_cut_off_anywhere_leaves_a_whole_replica_of_some_series_or_none() {
    let (fixture, mut made) = some_series(705);
    let (empty, full) = (Store::memory(), Store::memory());
    copy(&fixture, &full, &["users"]);
    // What it rests on moves as well.
    let (first, _) = made.remove(0);
    forgotten(&fixture, &[&first]);
    let night = [dump(7051, 150_000), noise(7052, 150_000)].concat();
    made.push((fixture.night_as(&request("users"), &night), night));
    collected(&fixture, &thorough());
    let users = of_series(&made, &["users"]);
    for (begun, least) in [(empty, 0), (full, users.len() - 1)] {
        for stop in 0.. {
            let target = copy_of(&begun);
            let faults = FaultStore::new(target.inner(), FaultPlan::stop_after_writes(stop));
            let dying = Store::over(Arc::new(faults), "memory://dying");
            let outcome = try_copy(&fixture.open(), &dying, &["users"]);
            drop(dying);
            let replica = replica_of(&fixture, &target);
            match replica.try_open() {
                Ok(opened) => {
                    let list = snapshots::list(&opened).unwrap();
                    assert_eq!(list.findings, [""; 0]);
                    let there = &list.snapshots;
                    assert!(there.len() >= least);
                    let kept =
                        users.iter().filter(|(info, _)| there.iter().any(|it| it.id == info.id));
                    let kept: Made = kept.cloned().collect();
                    assert_eq!(kept.len(), there.len());
                    assert_rests_on_nothing_retired(&fixture, &target, &kept);
                }
                Err(
                    RepositoryError::NoRepository { .. }
                    | RepositoryError::UnfinishedReplica { .. },
                ) => assert!(least == 0 && outcome.is_err(), "after {stop} writes"),
                Err(error) => panic!("after {stop} writes: {error}"),
            }
            copy(&fixture, &target, &["users"]);
            assert_holds(&fixture, &target, &users);
            if outcome.is_ok() {
                break;
            }
        }
    }
}

/// What somebody else may do while a pass is under way.
fn others(fixture: &Fixture, made: &Made, what: usize) {
    match what {
        // What the pass is to copy moves to other packs.
        0 => forgotten(fixture, &[&made[0].0]),
        1 => drop(fixture.night_as(&request("users"), &noise(7061, 150_000))),
        _ => forgotten(fixture, &[&made[0].0, &made[1].0]),
    }
    collected(fixture, &thorough());
}

#[test]
fn a_collection_between_any_two_requests_leaves_a_replica_of_some_series_whole() {
    let (fixture, made) = nights_of_series(706, 1);
    let target = Store::memory();
    copy(&fixture, &target, &["users"]);
    fixture.night_as(&request("users"), &noise(7062, 150_000));
    for what in 0..3 {
        for at in 0.. {
            let other = fixture.twin();
            let (copy, acting) = (copy_of(&target), other.clone());
            let made = made.clone();
            let meanwhile = MeanwhileStore::new(other.store.inner(), at, move || {
                others(&acting, &made, what);
            });
            let meanwhile = Arc::new(meanwhile);
            let watched = Store::over(meanwhile.clone(), "memory://watched");
            let watched = other.at(watched, other.world.copy_of_cache(&other.cache));
            let report = try_copy(&watched.open(), &copy, &["users"]).unwrap();
            assert_eq!(report.damaged, [], "{what}, {at}");
            let list = snapshots::list(&replica_of(&other, &copy).open()).unwrap();
            assert_eq!(list.findings, [""; 0], "{what}, {at}");
            assert!(!list.snapshots.is_empty(), "{what}, {at}: {}", list.snapshots.len());
            let stripped = copy_of(&copy);
            let replica = replica_of(&other, &stripped).open();
            for pack in &ledger::read(&replica).unwrap().state.retired {
                stripped.delete(&ObjectName::Pack(*pack).to_string()).unwrap();
            }
            for info in &list.snapshots {
                assert_eq!(info.snapshot.series, "users");
                restore(&replica, info).unwrap_or_else(|error| panic!("{what}, {at}: {error}"));
            }
            if !meanwhile.has_happened() {
                assert!(at > 10, "a pass makes {at} requests");
                break;
            }
        }
    }
}

#[test]
fn what_was_deleted_in_a_replica_of_some_series_is_copied_again() {
    let (fixture, made) = some_series(707);
    let target = Store::memory();
    copy(&fixture, &target, &["users"]);
    for fixture in [fixture.clone(), fixture.elsewhere()] {
        for pack in names(&target, "packs") {
            target.delete(&pack).unwrap();
            let report = copy(&fixture, &target, &["users"]);
            assert_eq!(report.total().objects, 1);
        }
    }
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
}

#[test]
fn a_snapshot_that_is_not_whole_is_left_out_and_told_and_keeps_no_other() {
    let (fixture, mut made) = some_series(708);
    let night = noise(7081, 200_000);
    let before = names(&fixture.store, "packs");
    let lost = fixture.night_as(&request("users"), &night);
    let mut packs = names(&fixture.store, "packs");
    packs.retain(|name| !before.contains(name));
    let packs: Vec<_> = packs.into_iter().map(|name| (read(&fixture.store, &name), name)).collect();
    for (_, name) in &packs {
        fixture.store.delete(name).unwrap();
    }
    let register = ObjectName::Snapshot(made[2].0.id).to_string();
    let sound = read(&fixture.store, &register);
    Damage::Flip(40).inflict(&fixture.store, &register);
    // Which may tell what it said.
    for bundle in names(&fixture.store, "bundles") {
        fixture.store.delete(&bundle).unwrap();
    }
    let fixture = fixture.elsewhere();
    let target = Store::memory();
    let users = |it: &str| it == "users";
    let told = preview(Source::OfSeries(&fixture.open(), &users), &target).unwrap().damaged;
    let report = try_copy(&fixture.open(), &target, &["users"]).unwrap();
    let names: BTreeSet<&str> = report.damaged.iter().map(|it| it.object.as_str()).collect();
    let name = ObjectName::Snapshot(lost.id).to_string();
    assert_eq!(names, BTreeSet::from([name.as_str(), register.as_str()]));
    assert_eq!(told, report.damaged);
    assert!(report.damaged.iter().all(|it| it.problem.contains(&it.object)), "{report:?}");
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
    let behind = lag(Source::OfSeries(&fixture.open(), &users), &target).unwrap();
    assert_eq!((behind.snapshots, behind.has_snapshots), (2, 3));
    for (object, name) in packs {
        write(&fixture.store, &name, object);
    }
    write(&fixture.store, &register, sound);
    copy(&fixture, &target, &["users"]);
    made.push((lost, night));
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
}

#[test]
fn damage_in_a_pack_that_is_needed_is_told_until_it_is_mended() {
    let (fixture, made) = some_series(709);
    let target = Store::memory();
    let (first, _) = &made[1];
    let mine = |name: &String| {
        let without = copy_of(&fixture.store);
        without.delete(name).unwrap();
        restore(&fixture.at(without, fixture.world.fresh_cache()).open(), first).is_err()
    };
    let pack = names(&fixture.store, "packs").into_iter().find(mine).unwrap();
    let sound = read(&fixture.store, &pack);
    let mut altered = sound.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    write(&fixture.store, &pack, altered);
    for _ in 0..2 {
        let report = try_copy(&fixture.open(), &target, &["users"]).unwrap();
        let told: Vec<&str> = report.damaged.iter().map(|it| it.object.as_str()).collect();
        assert_eq!(told, [pack.as_str()]);
    }
    write(&fixture.store, &pack, sound);
    copy(&fixture, &target, &["users"]);
    assert_holds(&fixture, &target, &of_series(&made, &["users"]));
}

#[test]
fn how_far_a_replica_of_some_series_is_behind_counts_these_alone() {
    let (fixture, _) = some_series(710);
    let target = Store::memory();
    let repository = fixture.open();
    let users = |it: &str| it == "users";
    let source = Source::OfSeries(&repository, &users);
    assert_eq!(lag(source, &target).unwrap().snapshots, 3);
    copy(&fixture, &target, &["users"]);
    let level = lag(source, &target).unwrap();
    assert_eq!((level.snapshots, level.missing.objects, level.only_there.objects), (0, 0, 0));
    assert_eq!(lag(Source::Opened(&repository), &target).unwrap().snapshots, 6);
    fixture.night_as(&request("logs"), &noise(7101, 200_000));
    let late = fixture.night_as(&request("users"), &noise(7102, 200_000));
    let behind = lag(source, &target).unwrap();
    assert_eq!((behind.snapshots, behind.has_snapshots), (1, 3));
    let name = ObjectName::Snapshot(late.id).to_string();
    let made = fixture.store.head(&name).unwrap().unwrap().modified_unix_nanos;
    assert_eq!(behind.since, Some(made));
    assert!((200_000..300_000).contains(&behind.missing.bytes), "{behind:?}");
}

#[test]
fn of_a_blob_in_two_packs_the_one_that_was_copied_is_found() {
    const SESSION: SessionId = SessionId([5; 16]);
    let fixture = Fixture::new(711);
    let text = dump(711, 4000);
    let insider = Insider::first(&fixture);
    for _ in 0..2 {
        let pack = insider.write_pack(BlobKind::Data, SESSION, &[insider.whole(&text)]);
        insider.write_index(SESSION, vec![pack]);
    }
    let info = fixture.night_as(&request("users"), &text);
    assert_eq!(info.snapshot.counts.chunks_new, 0);
    let chains = Chains::of(&fixture.open());
    let places = chains.places(&insider.chunk_id(&text));
    assert_eq!(places.len(), 2);
    let target = Store::memory();
    copy(&fixture, &target, &["users"]);
    let is_there = |pack| target.head(&ObjectName::Pack(pack).to_string()).unwrap().is_some();
    assert_eq!(places.iter().filter(|at| is_there(at.pack)).count(), 1);
    assert_holds(&fixture, &target, &vec![(info.clone(), text.clone())]);
    // The other one, too, whichever a reader tries first.
    for at in places {
        let name = ObjectName::Pack(at.pack).to_string();
        match is_there(at.pack) {
            true => target.delete(&name).unwrap(),
            false => write(&target, &name, read(&fixture.store, &name)),
        }
    }
    assert_holds(&fixture, &target, &vec![(info, text)]);
}
