//! The soak test: months of backups in the real program, real processes and a real directory.
//!
//! The simulation (`crates/repository/tests/simulation.rs`) runs the engine one step at a time in
//! memory; this is its complement. Several hosts with caches of their own, some with write slots,
//! store dumps and a tree that change from night to night, beside two collectors and forgetters.
//! They are killed at random moments, stopped until they are taken for dead, set back to caches of
//! weeks ago; packs are damaged and put right; a write slot forges the ledger.
//!
//! - `series`: what changes from night to night, as a seed decides;
//! - `nights`: the model: what was tried, what was reported, what must be there;
//! - `host`: a machine with its cache;
//! - `months`: everything together, and what happens in which order;
//! - `day`: processes side by side; `paused`: writers that outlive their timeout;
//! - `harm`: damage and forgery; `checks`: what must hold;
//! - `tally`: what was done, printed in the end.
//!
//! A seed decides what is done, not when the system lets it happen: a failure may need several runs
//! to come again. `NIGHTJAR_SOAK=3600` runs for so many seconds, `NIGHTJAR_SOAK_SEED=7` another
//! course of events (CONTRIBUTING.md).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test panics when something is not as it should be, and says how far it is"
)]

mod checks;
mod day;
mod harm;
#[allow(dead_code, unused_imports, reason = "the other suite uses all of it")]
#[path = "../harness/mod.rs"]
mod harness;
mod host;
mod months;
mod nights;
mod paused;
mod series;
mod tally;

use std::time::{Duration, Instant};

use months::Months;

/// Days of an ordinary run: two to three minutes on two cores.
const DAYS: u64 = 60;
/// The course of events of an ordinary run.
const SEED: u64 = 6;

#[expect(clippy::disallowed_methods, reason = "nobody hands a test its environment")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn months_of_backups_beside_collectors_lose_nothing() {
    let seed = number("NIGHTJAR_SOAK_SEED").unwrap_or(SEED);
    let end = number("NIGHTJAR_SOAK").map(|it| Instant::now() + Duration::from_secs(it));
    println!("seed {seed}");
    let mut months = Months::new(seed);
    while end.map_or(months.day < DAYS, |end| Instant::now() < end) {
        months.play_a_day();
    }
    months.end();
    println!("{} days: {}", months.day, months.tally);
    months.tally.assert_that_much_happened(months.day);
}
