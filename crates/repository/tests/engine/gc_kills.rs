//! A collector is killed after any of its writes, or its requests are lost: nothing is lost with
//! it, and whoever comes next goes on.

use std::sync::Arc;

use nightjar_repository::gc::{GcRequest, collect};
use nightjar_repository::{Progress, RepositoryError};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::fixture::{Fixture, request};
use nightjar_testkit::generate::dump;

use crate::gc::{assert_sound, collected, forgotten, nights, thorough};

fn run_on(fixture: &Fixture, plan: FaultPlan) -> (Arc<FaultStore>, Result<(), RepositoryError>) {
    let faults = Arc::new(FaultStore::new(fixture.store.inner(), plan));
    let store = Store::over(faults.clone(), "memory://faulty");
    let repository = fixture.at(store, fixture.cache.clone()).open();
    let outcome = collect(&repository, &thorough(), &Progress::default()).map(drop);
    (faults, outcome)
}

#[test]
fn a_collector_that_is_killed_anywhere_loses_nothing_and_the_next_goes_on() {
    let (fixture, made) = nights(211, &request("dump"));
    let (gone, kept) = made.split_at(3);
    forgotten(&fixture, &gone.iter().map(|(info, _)| info).collect::<Vec<_>>());
    let (faults, outcome) = run_on(&fixture.twin(), FaultPlan::record());
    outcome.unwrap();
    let writes = faults.log().len() as u64;
    assert!(writes > 12, "{writes}");
    let mut cut_short = 0;
    for number in 0..writes {
        for plan in
            [FaultPlan::stop_after_writes(number), FaultPlan::stop_after_writes_torn(number)]
        {
            let left = fixture.twin();
            cut_short += usize::from(run_on(&left, plan).1.is_err());
            assert_sound(&left, kept);
            // Dead writers are not waited for: what it left is its own session.
            let now = GcRequest { session_timeout: 0, ..thorough() };
            let next = collected(&left.elsewhere(), &now);
            assert_eq!(next.waiting, [], "after {number} writes");
            let last = collected(&left, &now);
            assert_eq!((last.rounds, last.plan.unused_bytes), (0, 0), "after {number} writes");
            assert_sound(&left, kept);
        }
    }
    // All but those that met only the end of its session.
    assert!(cut_short as u64 + 4 >= 2 * writes, "{cut_short} of {writes}");
}

/// What a collector copies before it condemns anything is used by the next one, though it died.
#[test]
fn copies_of_a_collector_that_died_before_it_condemned_are_not_made_again() {
    let fixture = Fixture::new(212);
    let (old, new) = (dump(212, 2_000_000), dump(1212, 400_000));
    let first = fixture.night(&old);
    let bytes = [&old[..1_000_000], &new].concat();
    let kept = [(fixture.night(&bytes), bytes)];
    forgotten(&fixture, &[&first]);
    let whole = collected(&fixture.twin(), &thorough());
    assert!(whole.rounds == 1 && whole.moved_blobs > 5, "{whole:?}");
    let (faults, outcome) = run_on(&fixture.twin(), FaultPlan::record());
    outcome.unwrap();
    let condemn = faults.log().iter().position(|write| write.name.starts_with("ledger/")).unwrap();
    run_on(&fixture, FaultPlan::stop_after_writes(condemn as u64)).1.unwrap_err();
    let copied: u64 = fixture.store.list("packs").unwrap().iter().map(|info| info.size).sum();
    let next = collected(&fixture.elsewhere(), &GcRequest { session_timeout: 0, ..thorough() });
    assert_eq!((next.rounds, next.moved_blobs, next.waiting.len()), (1, 0, 0), "{next:?}");
    let left: u64 = fixture.store.list("packs").unwrap().iter().map(|info| info.size).sum();
    assert!(left + next.swept.pack_bytes <= copied, "{next:?}");
    assert_sound(&fixture, &kept);
    let last = collected(&fixture, &thorough());
    assert_eq!((last.rounds, last.plan.unused_bytes), (0, 0), "{last:?}");
}
