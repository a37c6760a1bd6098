//! A run is cut off between any two writes: what was reported before is whole, what was under
//! way is whole or absent, and the next run succeeds.

use std::path::PathBuf;
use std::sync::Arc;

use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::copy_of;
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::model::Model;

/// About four data packs and a tree pack.
fn first_night() -> Vec<u8> {
    [noise(1, 2 << 20), dump(1, 3 << 20)].concat()
}

/// Half of it is new.
fn second_night() -> Vec<u8> {
    [noise(1, 2 << 20), dump(2, 2 << 20), noise(2, 2 << 20)].concat()
}

/// A repository as it stood before the run that is to be cut off.
struct Before {
    fixture: Fixture,
    model: Model,
}

impl Before {
    fn first_night() -> Self {
        Self { fixture: Fixture::new(11), model: Model::default() }
    }

    fn second_night() -> Self {
        Self::after(&first_night())
    }

    fn after(bytes: &[u8]) -> Self {
        let Self { fixture, mut model } = Self::first_night();
        model.insert(&fixture.night(bytes), bytes);
        fixture.world.sleep_until_next_night();
        Self { fixture, model }
    }

    /// A copy of it, store and cache.
    fn copy(&self) -> Fixture {
        let cache = self.fixture.world.copy_of_cache(&self.fixture.cache);
        self.fixture.at(copy_of(&self.fixture.store), cache)
    }

    /// How many writes the run takes when nothing cuts it off.
    fn writes(&self, bytes: &[u8]) -> u64 {
        let fixture = self.copy();
        let (faults, outcome) = run_on(&fixture, FaultPlan::record(), bytes);
        assert!(outcome);
        faults.log().len() as u64
    }
}

/// Runs a backup on a store that fails by plan; whether it was reported as done.
fn run_on(fixture: &Fixture, plan: FaultPlan, bytes: &[u8]) -> (Arc<FaultStore>, bool) {
    let faults = Arc::new(FaultStore::new(fixture.store.inner(), plan));
    let store = Store::over(faults.clone(), "memory://faulty");
    let repository = fixture.at(store, fixture.cache.clone()).open();
    let reported = back_up(&repository, bytes).is_ok();
    (faults, reported)
}

/// Cuts the run off after each number of writes, and looks what is left from the same machine and
/// from one that has never seen the repository.
fn cut_off_everywhere(before: &Before, bytes: &[u8]) {
    let writes = before.writes(bytes);
    assert!(writes >= 8, "{writes} writes are too few to be interesting");
    let mut cut_short = 0;
    let mut unreported_but_whole = 0;
    for number in 0..=writes {
        let plans =
            [FaultPlan::stop_after_writes(number), FaultPlan::stop_after_writes_torn(number)];
        for (plan, torn) in plans.into_iter().zip([false, true]) {
            let when = format!("after {number} of {writes} writes (torn: {torn})");
            let fixture = before.copy();
            let (_, reported) = run_on(&fixture, plan, bytes);
            assert!(reported || number < writes, "{when}: nothing was cut off, but it failed");
            cut_short += usize::from(!reported);
            let other_cache = fixture.world.fresh_cache();
            for cache in [fixture.cache.clone(), other_cache] {
                let there = look(before, &fixture, cache, bytes, &when);
                assert!(there || !reported, "{when}: a reported snapshot is lost");
                unreported_but_whole += usize::from(there && !reported);
            }
        }
    }
    assert!(cut_short >= writes as usize, "the faults did not hit");
    // The torn commit.
    assert!(unreported_but_whole > 0, "no run was cut off just after its commit");
}

/// Checks what a cut off run left behind, then makes the next run. Whether the cut off run had
/// committed.
fn look(before: &Before, left: &Fixture, cache: PathBuf, bytes: &[u8], when: &str) -> bool {
    let fixture = left.at(copy_of(&left.store), cache);
    let there = before.model.check(&fixture.open(), Some(bytes), when);
    let next = fixture.night(bytes);
    let restored = restore(&fixture.open(), &next).unwrap();
    assert!(restored == bytes, "{when}: the next run restores other bytes");
    there
}

#[test]
fn a_first_night_that_is_cut_off_anywhere_harms_nothing() {
    cut_off_everywhere(&Before::first_night(), &first_night());
}

#[test]
fn a_second_night_that_is_cut_off_anywhere_harms_nothing() {
    cut_off_everywhere(&Before::second_night(), &second_night());
}

#[test]
fn a_night_of_deltas_that_is_cut_off_anywhere_harms_nothing() {
    let rows = dump(1, 1 << 20);
    let before = Before::after(&rows);
    let bytes = [touched(&rows, 1), noise(3, 3 << 19)].concat();
    let counts = before.copy().night(&bytes).snapshot.counts;
    assert!(counts.chunks_delta > 40, "{counts:?}");
    cut_off_everywhere(&before, &bytes);
}

#[test]
fn a_forget_that_is_cut_off_anywhere_forgets_wholly_or_not() {
    let before = Before::second_night();
    let (id, kept) = {
        let fixture = &before.fixture;
        let forgotten = before.model.iter().next().unwrap().0;
        (forgotten, fixture.night(&second_night()))
    };
    for number in 0..4 {
        for plan in
            [FaultPlan::stop_after_writes(number), FaultPlan::stop_after_writes_torn(number)]
        {
            let when = format!("forget, after {number} writes: {plan:?}");
            let fixture = before.copy();
            let faults = Arc::new(FaultStore::new(fixture.store.inner(), plan));
            let store = Store::over(faults, "memory://faulty");
            let repository = fixture.at(store, fixture.cache.clone()).open();
            let done = nightjar_repository::snapshots::forget(&repository, &[id], "me", "why");
            drop(repository);
            let mut model = Model::default();
            model.insert(&kept, &second_night());
            for fixture in [fixture.clone(), fixture.elsewhere()] {
                let there = model.check(&fixture.open(), Some(&first_night()), &when);
                assert!(!(there && done.is_ok()), "{when}: forgotten, yet there");
            }
        }
    }
}

#[test]
fn a_store_that_loses_answers_loses_nothing_else() {
    let bytes = second_night();
    let mut failed = 0;
    for seed in 0..12 {
        let before = Before::second_night();
        let fixture = before.copy();
        let (_, reported) = run_on(&fixture, FaultPlan::flaky(seed, 6), &bytes);
        failed += usize::from(!reported);
        let when = format!("flaky store, seed {seed}");
        let there = look(&before, &fixture, fixture.cache.clone(), &bytes, &when);
        assert!(there || !reported, "{when}: a reported snapshot is lost");
    }
    assert!(failed > 0, "no answer was lost");
}
