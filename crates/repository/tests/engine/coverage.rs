//! What was checked is kept in the repository: runs that check a part come around to everything, on
//! whatever machine, and nothing rests on it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::coverage::CoverageSummary;
use nightjar_repository::status::status;
use nightjar_repository::verify::{Bounds, Level, Sample, VerifyReport, VerifyRequest, verify};
use nightjar_repository::{Clock, Environment, Progress, Repository, ledger, snapshots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore, LoggedWrite};
use nightjar_testkit::damage::{Damage, names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, back_up, passphrase, request};
use nightjar_testkit::generate::{dump, noise};

use crate::gc::{collected, forgotten, thorough};

const WRITER: &str = "the writer's passphrase";
const EVERYTHING: Bounds = Bounds { sample: None, before: None, deadline: None };

/// Four nights of two series, in a dozen packs.
pub(crate) fn nights(seed: u64) -> Fixture {
    let fixture = Fixture::new(seed);
    let mut bytes = dump(seed, 2_500_000);
    for night in 0..3 {
        fixture.night(&[noise(seed + night, 1_500_000), bytes.clone()].concat());
        bytes = touched(&bytes, night);
    }
    fixture.night_as(&request("other"), &noise(seed + 9, 2_000_000));
    fixture
}

pub(crate) fn all_of(repository: &Repository, level: Level, bounds: Bounds) -> VerifyRequest {
    let list = snapshots::list(repository).unwrap();
    VerifyRequest {
        level,
        snapshots: list.snapshots.iter().map(|info| info.id).collect(),
        whole_repository: true,
        bounds,
        record: true,
    }
}

/// Checks the whole repository, and records.
pub(crate) fn check(fixture: &Fixture, level: Level, bounds: Bounds) -> VerifyReport {
    fixture.world.sleep_until_next_night();
    let repository = fixture.open();
    verify(&repository, &all_of(&repository, level, bounds), &Progress::default()).unwrap()
}

fn sample(permille: u32) -> Bounds {
    Bounds { sample: Some(Sample::Permille(permille)), ..EVERYTHING }
}

/// What somebody sees who has never seen the repository.
fn seen_elsewhere(fixture: &Fixture) -> CoverageSummary {
    status(&fixture.elsewhere().open()).unwrap().coverage
}

fn packs(fixture: &Fixture) -> u64 {
    names(&fixture.store, "packs").len() as u64
}

#[test]
fn what_was_checked_is_seen_by_every_machine() {
    let fixture = nights(301);
    let before = seen_elsewhere(&fixture);
    assert_eq!((before.data.checked, before.data.total), (0, packs(&fixture)));
    let report = check(&fixture, Level::Packs, EVERYTHING);
    assert!(report.complete && report.findings.is_empty());
    let seen = seen_elsewhere(&fixture);
    assert_eq!(seen, report.coverage);
    assert_eq!((seen.packs.never(), seen.data.never()), (0, packs(&fixture)));
    assert_eq!(seen.packs.bytes_checked, seen.packs.bytes);
    assert_eq!((seen.snapshots.checked, seen.snapshots.total), (4, 4));
    check(&fixture.elsewhere(), Level::Data, EVERYTHING);
    let seen = seen_elsewhere(&fixture);
    assert_eq!(seen.data.never(), 0);
    assert!(seen.data.newest > before.data.newest && seen.data.newest == seen.packs.newest);
}

#[test]
fn who_only_looks_leaves_nothing_behind() {
    let fixture = nights(302);
    let before = names(&fixture.store, "");
    let repository = fixture.open();
    let looks = VerifyRequest { record: false, ..all_of(&repository, Level::Data, EVERYTHING) };
    let report = verify(&repository, &looks, &Progress::default()).unwrap();
    // It knows what it has seen itself.
    assert_eq!(report.coverage.data.never(), 0);
    assert_eq!(names(&fixture.store, ""), before);
}

#[test]
fn successive_samples_come_around_to_everything_on_whatever_machine() {
    let fixture = nights(303);
    let (packs, mut read, mut walked) = (packs(&fixture), 0, 0);
    assert!(packs >= 10, "{packs}");
    for run in 1..=5 {
        let machine = if run % 2 == 0 { fixture.elsewhere() } else { fixture.clone() };
        let report = check(&machine, Level::Data, sample(200));
        assert!(!report.complete && !report.out_of_time && report.findings.is_empty());
        assert_eq!((report.packs_in_scope, report.snapshots_in_scope), (packs, 4));
        let bytes = report.coverage.data.bytes;
        let largest = fixture.store.list("packs").unwrap().iter().map(|it| it.size).max().unwrap();
        assert!(report.bytes < bytes / 5 + largest, "{} of {bytes}", report.bytes);
        assert!(report.coverage.data.checked >= read);
        read = report.coverage.data.checked;
        walked += report.snapshots;
        assert_eq!(report.snapshots, 1, "a fifth of four, rounded up");
        assert!(report.coverage.snapshots.checked == walked.min(4));
    }
    let seen = seen_elsewhere(&fixture);
    assert_eq!((seen.data.never(), seen.snapshots.never()), (0, 0));
}

#[test]
fn a_budget_of_bytes_takes_what_was_checked_longest_ago() {
    let fixture = nights(304);
    let bytes = Bounds { sample: Some(Sample::Bytes(1)), ..EVERYTHING };
    let mut oldest = BTreeSet::new();
    for run in 1..=packs(&fixture) {
        let report = check(&fixture, Level::Packs, bytes);
        assert_eq!((report.packs, report.coverage.packs.checked), (1, run));
        oldest.insert(report.coverage.packs.oldest);
    }
    assert_eq!(oldest.len(), 1, "none was checked twice before all were checked once");
    let before = seen_elsewhere(&fixture).packs.oldest;
    check(&fixture, Level::Packs, bytes);
    assert!(seen_elsewhere(&fixture).packs.oldest > before);
}

#[test]
fn a_run_without_time_checks_one_of_each_and_the_next_goes_on() {
    let fixture = nights(305);
    let over = Bounds { deadline: Some(0), ..EVERYTHING };
    for run in 1..=packs(&fixture) {
        let report = check(&fixture, Level::Data, over);
        assert_eq!((report.packs, report.snapshots, report.out_of_time), (1, 1, true));
        assert!(report.findings.is_empty() && !report.complete);
        assert_eq!(report.coverage.data.checked, run);
        assert_eq!(report.coverage.snapshots.checked, run.min(4));
    }
}

#[test]
fn what_was_checked_lately_is_passed_over() {
    let fixture = nights(306);
    check(&fixture, Level::Data, EVERYTHING);
    let now = fixture.open();
    let before = |time| Bounds { before: Some(time), ..EVERYTHING };
    let time = status(&now).unwrap().coverage.data.newest.unwrap();
    let report = check(&fixture, Level::Data, before(time));
    assert_eq!((report.packs, report.snapshots, report.bytes), (0, 0, 0));
    // What came since was never checked.
    fixture.night_as(&request("new"), &noise(77, 1_200_000));
    let report = check(&fixture, Level::Data, before(time));
    assert!(report.packs > 0 && report.packs < report.packs_in_scope, "{}", report.packs);
    assert_eq!(report.snapshots, 1);
    let report = check(&fixture, Level::Data, before(time + 1));
    assert!(report.packs >= 10 && report.snapshots == 4, "{report:?}");
}

#[test]
fn of_a_series_only_what_it_needs_is_checked() {
    let fixture = nights(307);
    let repository = fixture.open();
    let list = snapshots::list(&repository).unwrap();
    let other = list.of_series("other").unwrap()[0].id;
    let request = VerifyRequest {
        snapshots: vec![other],
        whole_repository: false,
        ..all_of(&repository, Level::Data, sample(1))
    };
    let mut runs = 0;
    loop {
        let report = verify(&fixture.open(), &request, &Progress::default()).unwrap();
        runs += 1;
        assert!(report.packs_in_scope > 1 && report.packs_in_scope < packs(&fixture));
        assert_eq!((report.packs, report.snapshots), (1, 1));
        if report.coverage.data.never() == 0 {
            assert_eq!(runs, report.packs_in_scope);
            break;
        }
    }
    assert!(seen_elsewhere(&fixture).data.never() > 0);
}

#[test]
fn what_a_write_slot_says_counts_for_no_data() {
    let fixture = nights(308);
    fixture.add_slot(Role::Write, WRITER);
    let writer = fixture.open_with(WRITER).unwrap();
    let request = all_of(&writer, Level::Packs, EVERYTHING);
    let report = verify(&writer, &request, &Progress::default()).unwrap();
    assert_eq!((report.findings, report.unrecorded), (vec![], vec![]));
    let seen = seen_elsewhere(&fixture);
    assert_eq!((seen.packs.never(), seen.data.checked, seen.snapshots.never()), (0, 0, 0));
}

#[test]
fn a_write_slot_that_merges_takes_no_check_of_data_away() {
    let fixture = nights(309);
    fixture.add_slot(Role::Write, WRITER);
    check(&fixture, Level::Data, EVERYTHING);
    let bytes = Bounds { sample: Some(Sample::Bytes(1)), ..EVERYTHING };
    for _ in 0..30 {
        fixture.world.sleep_until_next_night();
        let writer = fixture.open_with(WRITER).unwrap();
        let request = all_of(&writer, Level::Packs, bytes);
        verify(&writer, &request, &Progress::default()).unwrap();
    }
    assert!(names(&fixture.store, "checks").len() <= 10);
    assert_eq!(seen_elsewhere(&fixture).data.never(), 0);
}

#[test]
fn many_check_objects_become_few_and_say_the_same() {
    let fixture = nights(310);
    let bytes = Bounds { sample: Some(Sample::Bytes(1)), ..EVERYTHING };
    for run in 1..=30 {
        let report = check(&fixture, Level::Data, bytes);
        let objects = names(&fixture.store, "checks").len();
        assert!(objects <= 9, "run {run}: {objects}");
        assert_eq!(seen_elsewhere(&fixture), report.coverage, "run {run}");
    }
}

#[test]
fn a_check_object_that_is_lost_or_damaged_costs_only_checking() {
    for damage in [Damage::Delete, Damage::Halve, Damage::Empty, Damage::Flip(0), Damage::Flip(500)]
    {
        for warm in [false, true] {
            let fixture = nights(311);
            check(&fixture, Level::Data, EVERYTHING);
            let name = names(&fixture.store, "checks").remove(0);
            damage.inflict(&fixture.store, &name);
            let machine = if warm { fixture.clone() } else { fixture.elsewhere() };
            // A copy that was sound is as good as ever.
            let is_known = warm && damage != Damage::Delete;
            let seen = status(&machine.open()).unwrap().coverage.data;
            assert_eq!(seen.checked > 0, is_known, "{damage:?}");
            let report = check(&machine, Level::Data, EVERYTHING);
            assert!(report.findings.is_empty() && report.complete, "{damage:?}");
            assert_eq!(seen_elsewhere(&fixture).data.never(), 0, "{damage:?}");
        }
    }
}

#[test]
fn a_collection_leaves_checks_alone_and_what_is_gone_is_forgotten() {
    let fixture = nights(312);
    check(&fixture, Level::Data, EVERYTHING);
    let objects = names(&fixture.store, "checks");
    let list = snapshots::list(&fixture.open()).unwrap();
    forgotten(&fixture, &[&list.snapshots[3]]);
    let report = collected(&fixture, &thorough());
    assert!(report.swept.packs > 0);
    assert_eq!(names(&fixture.store, "checks"), objects);
    let seen = seen_elsewhere(&fixture);
    assert_eq!((seen.data.total, seen.snapshots.total), (packs(&fixture), 3));
    assert!(seen.data.never() < seen.data.total);
    let report = check(&fixture, Level::Data, EVERYTHING);
    assert!(report.findings.is_empty() && report.complete, "{:?}", report.findings);
}

#[test]
fn backups_take_no_notice_of_checks() {
    let fixture = nights(313);
    check(&fixture, Level::Data, EVERYTHING);
    let bytes = noise(5, 400_000);
    let first = back_up(&fixture.open(), &bytes).unwrap();
    check(&fixture, Level::Data, EVERYTHING);
    let second = back_up(&fixture.open(), &bytes).unwrap();
    assert_eq!(second.snapshot.counts.chunks_new, 0);
    assert!(first.snapshot.counts.chunks_new > 0);
}

#[test]
fn where_nothing_may_be_deleted_unions_do_not_pile_up() {
    let fixture = nights(314);
    let locked = FaultStore::new(fixture.store.inner(), FaultPlan::locked("checks"));
    let store = Store::over(Arc::new(locked), "memory://locked");
    let machine = fixture.at(store, fixture.cache.clone());
    let bytes = Bounds { sample: Some(Sample::Bytes(1)), ..EVERYTHING };
    for run in 1..=14 {
        let report = check(&machine, Level::Data, bytes);
        assert_eq!(report.unrecorded, [""; 0]);
        assert!(names(&fixture.store, "checks").len() <= run + 1, "run {run}");
        assert_eq!(seen_elsewhere(&fixture), report.coverage);
    }
}

#[test]
fn where_nothing_may_be_written_a_check_is_made_all_the_same_and_says_so() {
    let fixture = nights(315);
    let full = FaultStore::new(fixture.store.inner(), FaultPlan::no_space_after_bytes(0));
    let store = Store::over(Arc::new(full), "memory://full");
    let report = check(&fixture.at(store, fixture.cache.clone()), Level::Data, EVERYTHING);
    assert!(report.findings.is_empty() && report.complete);
    assert!(report.unrecorded[0].contains("could not be kept"), "{:?}", report.unrecorded);
    assert_eq!(names(&fixture.store, "checks"), [""; 0]);
}

/// Whoever looks what damage hits goes through all snapshots: that counts for those that are as they
/// were listed, and for no others.
#[test]
fn a_snapshot_that_is_damaged_itself_does_not_count_as_walked() {
    let fixture = nights(318);
    let before: BTreeSet<String> = names(&fixture.store, "packs").into_iter().collect();
    fixture.night_as(&request("new"), &noise(78, 1_200_000));
    let new = names(&fixture.store, "packs").into_iter().find(|name| !before.contains(name));
    let Some(ObjectName::Pack(pack)) = ObjectName::parse(&new.unwrap()) else { panic!("no pack") };
    ledger::append(&fixture.open(), &LedgerBody::Damaged { packs: vec![pack] }).unwrap();
    let list = snapshots::list(&fixture.open()).unwrap();
    let name = ObjectName::Snapshot(list.snapshots[1].id).to_string();
    let right = read(&fixture.store, &name);
    // This machine has it in its cache.
    Damage::Flip(500).inflict(&fixture.store, &name);
    let report = check(&fixture, Level::Packs, sample(1));
    assert_eq!((report.snapshots, report.hits.len()), (1, 1));
    assert!(report.findings.iter().any(|it| it.object == name), "{:?}", report.findings);
    // Neither does the one that is hit.
    let seen = report.coverage.snapshots;
    assert_eq!((seen.checked, seen.never()), (3, 2));
    assert_eq!(seen_elsewhere(&fixture).snapshots.checked, 3);
    write(&fixture.store, &name, right);
    check(&fixture, Level::Packs, sample(1));
    assert_eq!(seen_elsewhere(&fixture).snapshots.checked, 4);
}

/// Goes on by a minute whenever somebody looks.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> i64 {
        self.0.fetch_add(60_000_000_000, Ordering::Relaxed)
    }
}

/// The repository as somebody sees it whose clock goes fast, and what he writes.
pub(crate) fn hurried(fixture: &Fixture) -> (Repository, Arc<FaultStore>) {
    let recording = Arc::new(FaultStore::new(fixture.store.inner(), FaultPlan::record()));
    let store = Store::over(recording.clone(), "memory://recorded");
    let environment = fixture.world.environment(&fixture.cache);
    let clock = Arc::new(Ticking(AtomicI64::new(environment.clock.now())));
    let environment = Environment { clock, ..environment };
    (Repository::open(store, &passphrase(PASSPHRASE), environment).unwrap(), recording)
}

#[test]
fn a_long_run_keeps_on_the_way_what_it_has_checked() {
    let fixture = nights(316);
    let (repository, recording) = hurried(&fixture);
    let request = all_of(&repository, Level::Data, EVERYTHING);
    let report = verify(&repository, &request, &Progress::default()).unwrap();
    assert!(report.complete && report.findings.is_empty());
    let is_check = |write: &&LoggedWrite| write.name.starts_with("checks/");
    assert!(recording.log().iter().filter(is_check).count() > 2);
    fixture.world.sleep_until_next_night();
    assert_eq!(seen_elsewhere(&fixture).data.never(), 0);
}

#[test]
fn a_run_that_is_cut_off_has_walked_and_read_and_the_next_goes_on() {
    let fixture = nights(317);
    let mut checked = 0;
    for run in 1.. {
        let (repository, _) = hurried(&fixture);
        let now = fixture.world.environment(&fixture.cache).clock.now();
        let bounds = Bounds { deadline: Some(now + 20 * 60_000_000_000), ..EVERYTHING };
        let request = all_of(&repository, Level::Data, bounds);
        let report = verify(&repository, &request, &Progress::default()).unwrap();
        assert!(report.snapshots > 0 && report.packs > 0 && report.packs < report.packs_in_scope);
        assert!(report.out_of_time && !report.complete);
        fixture.world.sleep_until_next_night();
        let seen = seen_elsewhere(&fixture);
        assert!(seen.data.checked >= (checked + 1).min(seen.data.total), "run {run}");
        checked = seen.data.checked;
        if seen.data.never() == 0 && seen.snapshots.never() == 0 {
            break;
        }
    }
}
