//! Thousands of schedules of several processes on one failing store: what was reported is there,
//! what failed said so, and nothing else.
//!
//! `NIGHTJAR_SIMULATION_SEEDS=100000` runs more of them, from `NIGHTJAR_SIMULATION_FIRST` on;
//! `NIGHTJAR_SIMULATION_SEED=7` runs one and prints every request (CONTRIBUTING.md).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may panic, print, and be told how much to do"
)]

use std::collections::BTreeMap;
use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nightjar_testkit::simulation::{self, Outcome};

/// Schedules in an ordinary run: some two minutes on two cores.
const SEEDS: u64 = 2_000;
/// A run that found as many failing seeds has found enough.
const ENOUGH: usize = 5;

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap())
}

#[test]
fn what_was_reported_is_there_whatever_the_schedule() {
    if let Some(seed) = number("NIGHTJAR_SIMULATION_SEED") {
        let outcome = simulation::run(seed);
        println!("{outcome}");
        assert!(outcome.breaches.is_empty(), "seed {seed}: {:#?}", outcome.breaches);
        return;
    }
    let first = number("NIGHTJAR_SIMULATION_FIRST").unwrap_or(0);
    let end = first + number("NIGHTJAR_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let done = run_all(first, end);
    for kind in [
        "back up",
        "restore",
        "verify",
        "forget",
        "rewrite",
        "collect",
        "replicate",
        "add a slot",
        "remove a slot",
    ] {
        let times = done.get(kind).copied().unwrap_or_default();
        assert!(times >= (end - first) / 100, "{kind}: {times} of {done:?}");
    }
}

/// Runs schedules on every core; how many processes of each kind succeeded.
fn run_all(first: u64, end: u64) -> BTreeMap<&'static str, u64> {
    let next = AtomicU64::new(first);
    let done: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let failed: Mutex<BTreeMap<u64, Vec<String>>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failed.lock().unwrap().len() >= ENOUGH {
                        return;
                    }
                    let Outcome { done: of_seed, breaches, .. } = simulation::run(seed);
                    for (kind, times) in of_seed {
                        *done.lock().unwrap().entry(kind).or_default() += times;
                    }
                    if !breaches.is_empty() {
                        println!("seed {seed}: {breaches:#?}");
                        failed.lock().unwrap().insert(seed, breaches);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "replay with NIGHTJAR_SIMULATION_SEED=N, one of {:?}: {failed:#?}",
        failed.keys()
    );
    done.into_inner().unwrap()
}

#[test]
fn a_seed_gives_the_same_requests_every_time() {
    for seed in 0..40 {
        let first = simulation::run(seed);
        let second = simulation::run(seed);
        let differs = first.log.iter().zip(&second.log).position(|(one, two)| one != two);
        if let Some(at) = differs {
            let (one, two) = (first.log.get(at), second.log.get(at));
            assert_eq!(one, two, "seed {seed}, line {at}");
        }
        assert_eq!(first, second, "seed {seed}");
    }
}
