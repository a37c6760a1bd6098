//! What a policy lets go is forgotten with a record, and nothing else, whoever works beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use nightjar_format::SessionId;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::retention::calendar::Period;
use nightjar_repository::retention::{
    Applied, PeriodRule, Policy, Reason, Request, accept, apply, plan,
};
use nightjar_repository::snapshots::{self, SnapshotInfo, SnapshotList};
use nightjar_repository::{Clock, Repository, RepositoryError, holds, ledger};
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_storage::{Store, StoreSettings, StoreUrl};
use nightjar_testkit::damage::{names, read, write};
use nightjar_testkit::environment::ManualClock;
use nightjar_testkit::fixture::{Fixture, back_up, passphrase, restore};
use nightjar_testkit::generate::dump;
use nightjar_testkit::model::{Model, verify_all};

const WRITER: &str = "the writer's passphrase";
const YEAR: i64 = 366 * 24 * 3600 * 1_000_000_000;

/// Keeps the newest so many, and believes whatever times there are: worlds of tests lie years
/// before the times of their stores.
fn last(many: u32) -> Policy {
    let last = NonZeroU32::new(many);
    Policy { last, tolerance: 50 * YEAR, size_drop_percent: 0, ..Policy::new("last") }
}

/// What is asked of a plan: one policy for all series, days of UTC.
fn asked<T>(policy: &Policy, now: i64, then: impl FnOnce(&Request<'_>) -> T) -> T {
    let policy_of = |_: &str| Some(policy);
    then(&Request { policy_of: &policy_of, zone: &TimeZone::UTC, now, copied_until: None })
}

fn now(fixture: &Fixture) -> i64 {
    fixture.world.environment(&fixture.cache).clock.now()
}

/// Plans, lets something happen, and applies the plan.
fn apply_after(
    fixture: &Fixture,
    policy: &Policy,
    meanwhile: impl FnOnce(&SnapshotList),
) -> Result<Applied, RepositoryError> {
    asked(policy, now(fixture), |request| {
        let repository = fixture.open();
        let list = snapshots::list(&repository).unwrap();
        let shown = plan(&list.snapshots, &list.accepted, request);
        meanwhile(&list);
        apply(&repository, &shown, request, "me@here")
    })
}

fn apply_now(fixture: &Fixture, policy: &Policy) -> Result<Applied, RepositoryError> {
    apply_after(fixture, policy, |_| {})
}

fn nights(fixture: &Fixture, many: u64) -> Vec<SnapshotInfo> {
    (0..many).map(|number| fixture.night(&dump(number, 100_000))).collect()
}

fn ids(repository: &Repository) -> Vec<SessionId> {
    let list = snapshots::list(repository).unwrap();
    assert_eq!(list.findings, [""; 0]);
    list.snapshots.iter().map(|info| info.id).collect()
}

#[test]
fn a_policy_is_applied_and_the_ledger_says_by_whom_and_why() {
    let fixture = Fixture::new(200);
    let made = nights(&fixture, 6);
    let other = fixture.elsewhere();
    assert_eq!(ids(&other.open()).len(), 6);
    let applied = apply_now(&fixture, &last(4)).unwrap();
    let gone = [made[0].id, made[1].id];
    assert_eq!(applied.forgotten, gone.into());
    assert!(applied.kept.is_empty());
    for fixture in [&fixture, &other] {
        assert_eq!(ids(&fixture.open()), made[2..].iter().map(|info| info.id).collect::<Vec<_>>());
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
    }
    assert!(restore(&fixture.open(), &made[5]).unwrap() == dump(5, 100_000));
    let ledger = ledger::read(&fixture.open()).unwrap();
    let (record, signer) = ledger.records.last().unwrap();
    assert_eq!(applied.records, [record.number]);
    assert_eq!(*signer, fixture.open().keychain().slot());
    let LedgerBody::Forget { snapshots, who, why, .. } = &record.body else { panic!("{record:?}") };
    let mut sorted = snapshots.clone();
    sorted.sort();
    assert_eq!(sorted, applied.forgotten.iter().copied().collect::<Vec<_>>());
    assert_eq!(who, "me@here");
    let told = "retention (keep-last 4): dump: 2 of 2026-01-02T00:00:00Z to 2026-01-03T00:00:00Z";
    assert_eq!(why, told);
    // Once more: there is nothing to do, and nothing is recorded.
    assert_eq!(apply_now(&fixture, &last(4)).unwrap(), Applied::default());
}

#[test]
fn a_hold_that_is_placed_between_plan_and_apply_wins() {
    let fixture = Fixture::new(201);
    let made = nights(&fixture, 5);
    let writer = fixture.elsewhere();
    fixture.add_slot(Role::Write, WRITER);
    let applied = apply_after(&fixture, &last(2), |_| {
        // A host that may only write protects what it needs.
        let host = writer.open_with(WRITER).unwrap();
        holds::hold(&host, &[made[1].id], None, "host", "the migration").unwrap();
    })
    .unwrap();
    assert_eq!(applied.forgotten, [made[0].id, made[2].id].into());
    assert_eq!(applied.kept, [made[1].id].into());
    let list = snapshots::list(&fixture.open()).unwrap();
    assert_eq!(list.snapshots[0].holds[0].why, "the migration");
    // Nor can it be forgotten by hand, or released by who may only write.
    let error = snapshots::forget(&fixture.open(), &[made[1].id], "me", "why").unwrap_err();
    assert!(error.to_string().contains("held by host (the migration)"), "{error}");
    let host = writer.open_with(WRITER).unwrap();
    let error = holds::release(&host, &[made[1].id], "host", "why").unwrap_err();
    assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
    holds::release(&fixture.open(), &[made[1].id], "me", "it is over").unwrap();
    assert_eq!(apply_now(&fixture, &last(2)).unwrap().forgotten, [made[1].id].into());
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
}

#[test]
fn a_hold_and_a_forget_at_the_same_moment_do_not_miss_one_another() {
    let fixture = Fixture::new(202);
    let made = nights(&fixture, 3);
    let victim = made[0].id;
    let (mut held, mut forgotten) = (0, 0);
    for round in 0..20 {
        let (one, two) = (fixture.twin(), fixture.world.fresh_cache());
        let other = one.at(one.store.clone(), two);
        let (hold, forget) = thread::scope(|scope| {
            let holding = scope.spawn(|| {
                let repository = other.open();
                holds::hold(&repository, &[victim], None, "host", "why")
            });
            let forgetting = scope.spawn(|| match round % 2 {
                0 => apply_now(&one, &last(1)).map(|applied| applied.forgotten.contains(&victim)),
                _ => snapshots::forget(&one.open(), &[victim], "me", "why").map(|()| true),
            });
            (holding.join().unwrap(), forgetting.join().unwrap())
        });
        let there = ids(&one.open()).contains(&victim);
        // Held before it was forgotten, or told that it had been.
        match (hold, forget) {
            (Ok(_), Ok(false) | Err(RepositoryError::Refused(_))) => {
                assert!(there);
                held += 1;
            }
            (Err(RepositoryError::NoSuchSnapshot(_)), Ok(true)) => {
                assert!(!there);
                forgotten += 1;
            }
            (hold, forget) => panic!("held: {hold:?}, forgotten: {forget:?}, there: {there}"),
        }
    }
    assert_eq!(held + forgotten, 20);
}

#[test]
fn backups_that_end_meanwhile_are_kept() {
    let fixture = Fixture::new(203);
    nights(&fixture, 6);
    let here = fixture.elsewhere();
    let newest = thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|number| {
                let writer = fixture.elsewhere();
                scope.spawn(move || {
                    let night = |night| dump(100 * number + night, 300_000);
                    let back_up = |bytes| back_up(&writer.open(), bytes).unwrap().id;
                    [back_up(&night(1)), back_up(&night(2))]
                })
            })
            .collect();
        for _ in 0..4 {
            apply_now(&here, &last(4)).unwrap();
        }
        writers.into_iter().flat_map(|it| it.join().unwrap()).collect::<Vec<_>>()
    });
    let left = ids(&fixture.open());
    assert!(newest.iter().all(|id| left.contains(id)), "{newest:?} {left:?}");
    apply_now(&here, &last(4)).unwrap();
    assert_eq!(ids(&fixture.open()).len(), 4);
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
}

#[test]
fn nothing_is_forgotten_that_was_not_shown() {
    let fixture = Fixture::new(204);
    let made = nights(&fixture, 3);
    let applied = apply_after(&fixture, &last(2), |_| {
        // By now two more would go.
        fixture.night(&dump(8, 100_000));
        fixture.night(&dump(9, 100_000));
    });
    assert_eq!(applied.unwrap().forgotten, [made[0].id].into());
    assert_eq!(ids(&fixture.open()).len(), 4);
}

#[test]
fn an_apply_that_is_cut_off_anywhere_forgets_wholly_or_not() {
    let fixture = Fixture::new(205);
    let made = nights(&fixture, 4);
    let mut cut_short = 0;
    for number in 0..6 {
        for plan in
            [FaultPlan::stop_after_writes(number), FaultPlan::stop_after_writes_torn(number)]
        {
            let when = format!("after {number} writes: {plan:?}");
            let twin = fixture.twin();
            let faults = Arc::new(FaultStore::new(twin.store.inner(), plan));
            let failing = twin.at(Store::over(faults, "memory://faulty"), twin.cache.clone());
            let applied = apply_now(&failing, &last(1));
            cut_short += usize::from(applied.is_err());
            for fixture in [twin.clone(), twin.elsewhere()] {
                let left = ids(&fixture.open());
                let all = left.len() == 4;
                assert!(all || left == [made[3].id], "{when}: {left:?}");
                assert!(!(all && applied.is_ok()), "{when}: forgotten, yet there");
                let mut model = Model::default();
                for (number, info) in (0..).zip(&made).filter(|(_, info)| left.contains(&info.id)) {
                    model.insert(info, &dump(number, 100_000));
                }
                model.check(&fixture.open(), None, &when);
            }
        }
    }
    assert!(cut_short > 4, "the faults did not hit");
}

#[test]
fn a_write_slot_applies_no_policy_and_accepts_nothing() {
    let fixture = Fixture::new(206);
    let made = nights(&fixture, 3);
    fixture.add_slot(Role::Write, WRITER);
    let policy = last(1);
    asked(&policy, now(&fixture), |request| {
        let host = fixture.open_with(WRITER).unwrap();
        let list = snapshots::list(&host).unwrap();
        let shown = plan(&list.snapshots, &list.accepted, request);
        assert_eq!(shown.going().count(), 2);
        let error = apply(&host, &shown, request, "host").unwrap_err();
        assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
        let error = accept(&host, &made[0], "host", "why").unwrap_err();
        assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
    });
    assert_eq!(ids(&fixture.open()).len(), 3);
}

#[test]
fn a_hold_ends_when_its_time_has_come() {
    let fixture = Fixture::new(207);
    let made = nights(&fixture, 2);
    let until = now(&fixture) + 24 * 3600 * 1_000_000_000;
    let repository = fixture.open();
    holds::hold(&repository, &[made[0].id], Some(until), "me", "until tomorrow").unwrap();
    let forget = || snapshots::forget(&repository, &[made[0].id], "me", "why");
    assert!(matches!(forget().unwrap_err(), RepositoryError::Refused(_)));
    // One that is placed later and shorter changes nothing.
    holds::hold(&repository, &[made[0].id], Some(1), "me", "short").unwrap();
    assert!(matches!(forget().unwrap_err(), RepositoryError::Refused(_)));
    fixture.world.sleep_until_next_night();
    forget().unwrap();
    assert_eq!(ids(&repository), [made[1].id]);
    // What is forgotten is neither held nor forgotten again.
    let error = holds::hold(&repository, &[made[0].id], None, "me", "why").unwrap_err();
    assert!(matches!(error, RepositoryError::NoSuchSnapshot(_)), "{error}");
    let head = ledger::read(&repository).unwrap().head;
    forget().unwrap();
    assert_eq!(ledger::read(&repository).unwrap().head, head);
}

#[test]
fn nothing_is_forgotten_while_a_snapshot_is_lost_and_it_can_be_struck_off() {
    for damage in ["deleted", "damaged"] {
        let fixture = Fixture::new(208);
        let made = nights(&fixture, 4);
        let lost = made[2].id;
        let name = ObjectName::Snapshot(lost).to_string();
        match damage {
            "deleted" => fixture.store.delete(&name).unwrap(),
            _ => write(&fixture.store, &name, vec![0; 400]),
        }
        let other = fixture.elsewhere();
        let error = apply_now(&other, &last(1)).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains(&lost.short()), "{error}");
        let list = snapshots::list(&other.open()).unwrap();
        assert_eq!(list.snapshots.len(), 3, "{damage}");
        assert_eq!(list.find_lost(&lost.short()), Some(lost));
        snapshots::forget(&other.open(), &[lost], "me", "the disk lost it").unwrap();
        assert_eq!(ids(&other.open()).len(), 3);
        assert_eq!(apply_now(&other, &last(1)).unwrap().forgotten.len(), 2);
        assert_eq!(verify_all(&other.open()).unwrap().findings, []);
    }
}

#[test]
fn what_somebody_accepted_is_the_usual_size_from_then_on() {
    let fixture = Fixture::new(209);
    let policy = Policy { size_drop_percent: 50, ..last(2) };
    let large = [1, 2, 3].map(|number| fixture.night(&dump(number, 300_000)));
    let small = fixture.night(&dump(4, 100_000));
    fixture.night(&dump(5, 100_000));
    assert!(apply_now(&fixture, &policy).unwrap().forgotten.is_empty());
    accept(&fixture.open(), &small, "me", "a table was dropped").unwrap();
    let forgotten = apply_now(&fixture, &policy).unwrap().forgotten;
    assert_eq!(forgotten, large.map(|info| info.id).into());
    // Also once what was accepted has gone itself.
    fixture.night(&dump(6, 100_000));
    assert_eq!(apply_now(&fixture, &policy).unwrap().forgotten, [small.id].into());
    fixture.night(&dump(7, 20_000));
    assert!(apply_now(&fixture, &policy).unwrap().forgotten.is_empty());
    let list = snapshots::list(&fixture.open()).unwrap();
    asked(&policy, now(&fixture), |request| {
        let plan = plan(&list.snapshots, &list.accepted, request);
        assert_eq!(plan.series[0].out_of_line.len(), 1);
    });
}

/// The repository of a fixture in a directory, whose files have the times that their snapshots
/// claim.
fn on_disk(memory: &Fixture) -> (Fixture, std::path::PathBuf) {
    let directory = memory.world.fresh_cache();
    let url = StoreUrl::parse(directory.to_str().unwrap(), Path::new("/")).unwrap();
    let store = Store::open_or_create(&url, &StoreSettings::default()).unwrap();
    for name in names(&memory.store, "") {
        write(&store, &name, read(&memory.store, &name));
    }
    for info in snapshots::list(&memory.open()).unwrap().snapshots {
        stamp(&directory, info.id, info.snapshot.finished);
    }
    (memory.at(store, memory.world.fresh_cache()), directory)
}

fn stamp(directory: &Path, id: SessionId, nanos: i64) {
    let path = directory.join(ObjectName::Snapshot(id).to_string());
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos.try_into().unwrap());
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_stolen_host_cannot_make_a_policy_forget_what_others_stored() {
    let memory = Fixture::new(210);
    memory.add_slot(Role::Write, WRITER);
    let made = nights(&memory, 5);
    let (fixture, directory) = on_disk(&memory);
    // It claims days that have gone by and days that will come, each time later than the real one.
    // (The days next to its own it can reach without forging: by being there.)
    let day = 24 * 3600 * 1_000_000_000;
    let mut forged = Vec::new();
    for days in (-4i64..=-2).chain(2..=4) {
        let mut environment = fixture.world.environment(&fixture.world.fresh_cache());
        let offset = now(&fixture) - ManualClock::new(0).now() + days * day + day / 24;
        environment.clock = Arc::new(ManualClock::new(offset));
        let host =
            Repository::open(fixture.store.clone(), &passphrase(WRITER), environment).unwrap();
        let info = back_up(&host, &dump(50, 100_000)).unwrap();
        // The store says when that really was.
        stamp(&directory, info.id, now(&fixture) + day / 20);
        forged.push(info);
    }
    let daily = PeriodRule { count: NonZeroU32::new(5), within: None };
    let policy = Policy {
        periods: BTreeMap::from([(Period::Day, daily)]),
        size_drop_percent: 0,
        ..Policy::new("daily")
    };
    fixture.world.sleep_until_next_night();
    assert_eq!(apply_now(&fixture, &policy).unwrap(), Applied::default());
    let list = snapshots::list(&fixture.open()).unwrap();
    asked(&policy, now(&fixture), |request| {
        let plan = plan(&list.snapshots, &list.accepted, request);
        let doubted = plan.series[0].snapshots.iter().filter(|planned| {
            planned.reasons.iter().any(|reason| matches!(reason, Reason::Implausible(_)))
        });
        let doubted: Vec<SessionId> = doubted.map(|planned| planned.info.id).collect();
        assert_eq!(doubted.len(), 6);
        assert!(forged.iter().all(|info| doubted.contains(&info.id)), "{doubted:?}");
    });
    // A tool that believed them would let go what is real.
    let gullible = Policy { tolerance: 50 * YEAR, ..policy };
    let lost = apply_now(&fixture, &gullible).unwrap().forgotten;
    assert!(made.iter().any(|info| lost.contains(&info.id)));
}
