//! A replica that takes the place of its repository.

use std::sync::Arc;

use nightjar_format::ledger::{LedgerBody, Promotion};
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{IncarnationId, SessionId};
use nightjar_repository::promote::{PromoteReport, preview, promote};
use nightjar_repository::replicate::{Source, replicate};
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::{Progress, RepositoryError, ledger, slots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, copy_of, names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::meanwhile::MeanwhileStore;

use crate::gc::{assert_sound, collected, forgotten, thorough};

type Night = (SnapshotInfo, Vec<u8>);

/// Some nights, and a replica of them that this machine has never read.
fn replicated_nights(seed: u64) -> (Fixture, Fixture, Vec<Night>) {
    let fixture = Fixture::new(seed);
    let mut bytes = [dump(seed, 500_000), noise(seed, 300_000)].concat();
    let mut made = Vec::new();
    for night in 0..3 {
        made.push((fixture.night(&bytes), bytes.clone()));
        bytes = touched(&bytes, night);
    }
    let replica = empty_place(&fixture, "memory://replica");
    copy(&fixture, &replica);
    (fixture, replica, made)
}

/// A store with nothing in it, and a machine that knows nothing.
fn empty_place(fixture: &Fixture, url: &str) -> Fixture {
    fixture.at(Store::over(Store::memory().inner(), url), fixture.world.fresh_cache())
}

fn copy(from: &Fixture, to: &Fixture) {
    replicate(Source::Opened(&from.open()), &to.store, &Progress::default()).unwrap();
}

fn promoted(replica: &Fixture) -> PromoteReport {
    promote(&replica.open(), "me", "the region is gone", &Progress::default()).unwrap()
}

fn ids(infos: &[SnapshotInfo]) -> Vec<SessionId> {
    infos.iter().map(|info| info.id).collect()
}

fn findings(fixture: &Fixture) -> Vec<String> {
    snapshots::list(&fixture.open()).unwrap().findings
}

#[test]
fn a_promoted_replica_is_a_repository_like_any_other() {
    let (fixture, replica, mut made) = replicated_nights(701);
    let before = names(&replica.store, "");
    let told = preview(&replica.open(), &Progress::default()).unwrap();
    assert_eq!(
        (told.record, ids(&told.snapshots)),
        (None, ids(&made.iter().map(|it| it.0.clone()).collect::<Vec<_>>()))
    );
    assert_eq!(names(&replica.store, ""), before);
    let report = promoted(&replica);
    assert_eq!(report.record, Some(1));
    assert_eq!((ids(&report.snapshots), report.findings), (ids(&told.snapshots), vec![]));
    drop(fixture);
    let night = touched(&made[2].1, 7);
    made.push((replica.night(&night), night));
    let (first, _) = made.remove(0);
    forgotten(&replica, &[&first]);
    collected(&replica, &thorough());
    for machine in [replica.clone(), replica.elsewhere()] {
        assert_sound(&machine, &made);
        assert_eq!(findings(&machine), [""; 0]);
    }
    replica.add_slot(Role::Full, "another");
    let repository = replica.open();
    assert!(!repository.is_replica() && repository.keychain().epoch() == 2);
}

#[test]
fn what_the_repository_forgot_is_back_and_what_it_erased_is_not() {
    let (fixture, replica, mut made) = replicated_nights(702);
    // Both are collected there; the replica, which deletes nothing, still has all of both.
    let (secret, _) = made.remove(0);
    forgotten(&fixture, &[&made[0].0]);
    snapshots::erase(&fixture.open(), &[secret.id], "me", "a right").unwrap();
    collected(&fixture, &thorough());
    copy(&fixture, &replica);
    let report = promoted(&replica);
    assert_eq!(
        (ids(&report.snapshots), ids(&report.back)),
        (vec![made[1].0.id], vec![made[0].0.id])
    );
    assert_eq!(ids(&report.in_part), [secret.id]);
    assert!(report.packs_back > 0, "{report:?}");
    assert_sound(&replica, &made);
    // The erasure is carried out here, too.
    assert!(!ledger::read(&replica.open()).unwrap().state.erasures.is_empty());
    collected(&replica, &thorough());
    assert!(ledger::read(&replica.open()).unwrap().state.erasures.is_empty());
    let register = ObjectName::Snapshot(secret.id).to_string();
    assert!(replica.store.head(&register).unwrap().is_none());
    for machine in [replica.clone(), replica.elsewhere()] {
        assert_sound(&machine, &made);
        assert_eq!(findings(&machine), [""; 0]);
    }
}

#[test]
fn a_forgotten_snapshot_that_is_not_whole_stays_forgotten() {
    let (fixture, replica, mut made) = replicated_nights(703);
    let night = noise(9703, 400_000);
    let lost = fixture.night(&night);
    let before = names(&replica.store, "packs");
    copy(&fixture, &replica);
    let new: Vec<String> =
        names(&replica.store, "packs").into_iter().filter(|it| !before.contains(it)).collect();
    let (first, _) = made.remove(0);
    forgotten(&fixture, &[&lost, &first]);
    copy(&fixture, &replica);
    // Somebody cleaned up by hand.
    new.iter().for_each(|name| replica.store.delete(name).unwrap());
    let report = promoted(&replica);
    assert_eq!((ids(&report.back), ids(&report.in_part)), (vec![first.id], vec![lost.id]));
    let bytes = restore(&replica.open(), &first).unwrap();
    made.insert(0, (first, bytes));
    collected(&replica, &thorough());
    assert_sound(&replica, &made);
}

#[test]
fn what_a_machine_saw_of_the_lost_repository_is_told_once_and_the_lost_one_is_refused() {
    let (fixture, replica, made) = replicated_nights(704);
    let last = fixture.night(&noise(704, 100_000));
    forgotten(&fixture, &[&made[0].0]);
    promoted(&replica);
    // What stands behind the promotion must not hide it from who knows another record of its number.
    collected(&replica, &thorough());
    ledger::append(&replica.open(), &hold(made[0].0.id)).unwrap();
    // The machine that backed up to the lost one goes on with the promoted one.
    let moved = fixture.at(replica.store.clone(), fixture.cache.clone());
    let repository = moved.open();
    let told = repository.history_findings().join("; ");
    assert!(told.contains("a replica was promoted") && told.contains("to record 1"), "{told}");
    assert!(!repository.is_history_altered());
    assert_eq!(moved.open().history_findings(), [""; 0]);
    assert_eq!(findings(&moved), [""; 0]);
    assert!(snapshots::list(&moved.open()).unwrap().find(&last.id.to_string(), None).is_err());
    assert_sound(&moved, &made);
    moved.night(&noise(705, 50_000));
    // And from then on it does not take the lost one for the repository.
    let repository = fixture.open();
    assert!(repository.is_history_altered());
    let told = repository.history_findings().join("; ");
    assert!(told.contains("two stores go on as the same repository"), "{told}");
    assert!(back_up(&repository, b"x").is_err());
    // Nor does it count against the promoted one to have looked.
    assert_eq!(findings(&moved), [""; 0]);
}

#[test]
fn what_comes_late_from_the_lost_repository_counts_for_nothing() {
    let (fixture, replica, made) = replicated_nights(706);
    let late = fixture.night(&noise(706, 300_000));
    ledger::append(&fixture.open(), &hold(late.id)).unwrap();
    // A replicator copied its packs and was cut off before its register.
    for name in names(&fixture.store, "packs").iter().chain(&names(&fixture.store, "index")) {
        if replica.store.head(name).unwrap().is_none() {
            write(&replica.store, name, read(&fixture.store, name));
        }
    }
    promoted(&replica);
    collected(&replica, &thorough());
    // It goes on.
    let register = ObjectName::Snapshot(late.id).to_string();
    write(&replica.store, &register, read(&fixture.store, &register));
    ledger::append(&replica.open(), &hold(made[0].0.id)).unwrap();
    for machine in [replica.clone(), replica.elsewhere()] {
        let told = findings(&machine).join("; ");
        assert!(
            told.contains(&register) && told.contains("came here after the promotion"),
            "{told}"
        );
        let listed = snapshots::list(&machine.open()).unwrap();
        assert_eq!(listed.snapshots.len(), 3);
        for (info, bytes) in &made {
            assert!(restore(&machine.open(), info).unwrap() == *bytes);
        }
    }
    // A record of it that lands behind the promotion is void, and stops nobody.
    let record = ObjectName::Ledger(1).to_string();
    let next = ObjectName::Ledger(ledger::read(&replica.open()).unwrap().head.number + 1);
    write(&replica.store, &next.to_string(), read(&fixture.store, &record));
    let told = findings(&replica.elsewhere()).join("; ");
    assert!(told.contains(&next.to_string()), "{told}");
    let night = noise(707, 100_000);
    let new = replica.night(&night);
    assert!(restore(&replica.open(), &new).unwrap() == night);
    // Nor does it count after another promotion, and it can be struck off.
    let home = empty_place(&fixture, "memory://home");
    copy(&replica, &home);
    promoted(&home);
    assert_eq!(snapshots::list(&home.open()).unwrap().snapshots.len(), 4);
    assert!(findings(&home).join("; ").contains("came here after the promotion"));
    let id = snapshots::list(&home.open()).unwrap().find_lost(&late.id.to_string()).unwrap();
    snapshots::forget(&home.open(), &[id], "me", "it came late").unwrap();
    assert!(!findings(&home.elsewhere()).join("; ").contains("came here after"));
}

fn hold(id: SessionId) -> LedgerBody {
    let (who, why) = ("me".to_owned(), "it is mine".to_owned());
    LedgerBody::Hold { snapshots: vec![id], until: None, who, why }
}

#[test]
fn a_promotion_between_any_two_requests_of_a_replicator_stands() {
    let (fixture, replica, made) = replicated_nights(716);
    fixture.night(&noise(716, 60_000));
    for _ in 0..3 {
        ledger::append(&fixture.open(), &hold(made[0].0.id)).unwrap();
    }
    let mut refused = 0;
    for at in 0.. {
        let target = copy_of(&replica.store);
        let acting = replica.at(target.clone(), replica.world.fresh_cache());
        let (other, id) = (acting.elsewhere(), made[1].0.id);
        let meanwhile = MeanwhileStore::new(target.inner(), at, move || {
            promoted(&other);
            ledger::append(&other.open(), &hold(id)).unwrap();
        });
        let meanwhile = Arc::new(meanwhile);
        let watched = Store::over(meanwhile.clone(), "memory://replica");
        let told = replicate(Source::Opened(&fixture.open()), &watched, &Progress::default());
        if !meanwhile.has_happened() {
            told.unwrap();
            break;
        }
        refused += u32::from(told.is_err());
        let repository = acting.open();
        assert!(!repository.is_replica() && !repository.is_history_altered(), "{at}");
        let state = ledger::read(&repository).unwrap().state;
        assert!(state.holds.contains_key(&id), "{at}: a record of the promoted one is gone");
        for (info, bytes) in &made {
            assert!(restore(&repository, info).unwrap() == *bytes, "{at}");
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn nothing_is_replicated_to_what_was_promoted() {
    let (fixture, replica, made) = replicated_nights(708);
    promoted(&replica);
    let before = names(&replica.store, "");
    for _ in 0..2 {
        let told = replicate(Source::Opened(&fixture.open()), &replica.store, &Progress::default());
        let error = told.unwrap_err();
        assert!(error.to_string().contains("the replica was promoted"), "{error}");
        assert_eq!(names(&replica.store, ""), before);
        fixture.night(&noise(708, 10_000));
        forgotten(&fixture, &[&made[0].0]);
    }
    assert_sound(&replica, &made);
}

#[test]
fn two_who_promote_at_once_agree() {
    let (_, replica, made) = replicated_nights(709);
    for at in 0.. {
        let store = copy_of(&replica.store);
        let first =
            replica.at(Store::over(store.inner(), "memory://a"), replica.world.fresh_cache());
        let acting = first.elsewhere();
        let meanwhile = MeanwhileStore::new(store.inner(), at, move || drop(promoted(&acting)));
        let meanwhile = Arc::new(meanwhile);
        let watched =
            first.at(Store::over(meanwhile.clone(), "memory://a"), first.world.fresh_cache());
        let told = promote(&watched.open(), "you", "why", &Progress::default());
        if !meanwhile.has_happened() {
            told.unwrap();
            assert!(at > 10, "it makes {at} requests");
            break;
        }
        match told {
            Err(error) => assert!(error.to_string().contains("me promoted it"), "{at}: {error}"),
            // The other one came after it, and was told.
            Ok(_) => panic!("both promoted it, at {at}"),
        }
        let ledger = ledger::read(&first.open()).unwrap();
        assert_eq!((ledger.head.number, ledger.findings), (1, vec![]));
        assert_sound(&first, &made);
    }
}

#[test]
fn a_promotion_that_is_cut_off_leaves_a_replica_or_a_repository() {
    let (_, replica, made) = replicated_nights(710);
    let mut was_replica = 0;
    for stop in 0.. {
        let target = copy_of(&replica.store);
        let faults = FaultStore::new(target.inner(), FaultPlan::stop_after_writes(stop));
        let dying = replica
            .at(Store::over(Arc::new(faults), "memory://replica"), replica.world.fresh_cache());
        let outcome =
            dying.try_open().and_then(|it| promote(&it, "me", "why", &Progress::default()));
        let after = replica
            .at(Store::over(target.inner(), "memory://replica"), replica.world.fresh_cache());
        match (outcome, after.open().is_replica()) {
            (Ok(_), false) => break,
            (Err(_), true) => was_replica += 1,
            (Err(_), false) => {}
            (Ok(_), true) => panic!("it said that it was promoted"),
        }
        assert_sound(&after, &made);
    }
    assert!(was_replica > 0);
}

#[test]
fn where_the_record_is_damaged_nobody_goes_on_by_the_old_ones() {
    let (fixture, replica, made) = replicated_nights(711);
    forgotten(&fixture, &[&made[0].0]);
    collected(&fixture, &thorough());
    copy(&fixture, &replica);
    let record = ObjectName::Ledger(promoted(&replica).record.unwrap()).to_string();
    Damage::Flip(900).inflict(&replica.store, &record);
    let machine = replica.elsewhere();
    assert!(machine.open().is_replica());
    let error = back_up(&machine.open(), b"x").unwrap_err();
    assert!(error.to_string().contains("is a replica"), "{error}");
    // Promoting it again takes its place.
    promoted(&machine);
    let healed = machine.elsewhere();
    collected(&healed, &thorough());
    for (info, bytes) in &made {
        assert!(restore(&healed.open(), info).unwrap() == *bytes);
    }
}

#[test]
fn the_way_back_is_another_replica_that_is_promoted() {
    let (fixture, replica, mut made) = replicated_nights(712);
    promoted(&replica);
    let moved = fixture.at(replica.store.clone(), fixture.cache.clone());
    let night = touched(&made[2].1, 5);
    made.push((moved.night(&night), night));
    forgotten(&moved, &[&made.remove(0).0]);
    collected(&moved, &thorough());
    let home = empty_place(&fixture, "memory://home");
    copy(&moved, &home);
    promoted(&home);
    let back = fixture.at(home.store.clone(), fixture.cache.clone());
    let night = touched(&night_of(&made), 6);
    made.push((back.night(&night), night));
    collected(&back, &thorough());
    for machine in [back.clone(), home.elsewhere()] {
        assert_sound(&machine, &made);
        assert_eq!(findings(&machine), [""; 0]);
        assert_eq!(ledger::read(&machine.open()).unwrap().broken, [""; 0]);
    }
    // And nobody who was there goes on elsewhere.
    assert!(moved.open().is_history_altered() && fixture.open().is_history_altered());
    // A replica of it is one like any other.
    let third = empty_place(&fixture, "memory://third");
    copy(&back, &third);
    assert!(third.open().is_replica());
    assert_sound(&third, &made);
}

fn night_of(made: &[Night]) -> Vec<u8> {
    made.last().unwrap().1.clone()
}

#[test]
fn who_may_promote_and_what() {
    let (fixture, replica, made) = replicated_nights(713);
    fixture.add_slot(Role::Write, "writer");
    copy(&fixture, &replica);
    let refused = |outcome: Result<PromoteReport, RepositoryError>, says: &str| {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    };
    let progress = Progress::default();
    let before = names(&replica.store, "");
    refused(promote(&replica.open_with("writer").unwrap(), "me", "why", &progress), "write");
    refused(promote(&fixture.open(), "me", "why", &progress), "is a repository and no replica");
    refused(preview(&fixture.open(), &progress), "is a repository and no replica");
    assert_eq!(names(&replica.store, ""), before);
    // A mark that is damaged is no obstacle.
    write(&replica.store, &ObjectName::Replica.to_string(), Vec::new());
    promoted(&replica);
    assert_sound(&replica, &made);
    refused(promote(&replica.open(), "you", "why", &progress), "me promoted it (ledger record");
}

#[test]
fn who_was_removed_cannot_undo_that_by_a_promotion() {
    let fixture = Fixture::new(714);
    let info = fixture.night(&dump(714, 200_000));
    let removed = fixture.add_slot(Role::Full, "removed");
    // Somebody who can write to the store puts back what was there before the removal.
    let before = copy_of(&fixture.store);
    slots::remove(&mut fixture.open(), removed).unwrap();
    let held = fixture.at(before, fixture.world.fresh_cache());
    let promotion = Promotion {
        incarnation: IncarnationId([7; 8]),
        snapshots: [info.id].into(),
        revived: [].into(),
        who: "nobody".into(),
        why: "why".into(),
    };
    let repository = held.open_with("removed").unwrap();
    ledger::append(&repository, &LedgerBody::Promote(Box::new(promotion))).unwrap();
    let deceived = fixture.at(held.store.clone(), fixture.cache.clone());
    assert!(deceived.open().is_history_altered());
    assert!(back_up(&deceived.open(), b"x").is_err());
}

#[test]
fn a_run_that_ends_in_another_incarnation_than_it_began_in_fails() {
    let fixture = Fixture::new(715);
    let first = fixture.night(&dump(715, 200_000));
    let night = noise(715, 200_000);
    let mut stopped = 0;
    for at in 0.. {
        let other = fixture.twin();
        let acting = other.elsewhere();
        // As if the address led to a promoted replica from now on.
        let meanwhile = MeanwhileStore::new(other.store.inner(), at, move || {
            let repository = acting.open();
            let there = snapshots::list(&repository).unwrap().snapshots;
            let promotion = Promotion {
                incarnation: IncarnationId([7; 8]),
                snapshots: there.iter().map(|info| info.id).collect(),
                revived: [].into(),
                who: "me".into(),
                why: "why".into(),
            };
            ledger::append(&repository, &LedgerBody::Promote(Box::new(promotion))).unwrap();
        });
        let meanwhile = Arc::new(meanwhile);
        let store = Store::over(meanwhile.clone(), "memory://watched");
        let watched = other.at(store, other.world.fresh_cache());
        let outcome = watched.try_open().and_then(|it| back_up(&it, &night));
        let listed = snapshots::list(&other.elsewhere().open()).unwrap();
        match &outcome {
            Ok(info) => {
                assert!(!meanwhile.has_happened() || ids(&listed.snapshots).contains(&info.id));
            }
            Err(error) => {
                stopped += 1;
                assert!(error.to_string().contains("promoted"), "{at}: {error}");
                assert_eq!(ids(&listed.snapshots), [first.id]);
            }
        }
        if !meanwhile.has_happened() {
            break;
        }
    }
    assert!(stopped > 5, "{stopped}");
}
