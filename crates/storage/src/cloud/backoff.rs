//! How long to wait before a request is tried again.
//!
//! Exponential, with "full jitter" (Brooker, Exponential Backoff And Jitter, AWS Architecture Blog,
//! 2015): each pause is drawn evenly between nothing and a bound that doubles, so that processes
//! that failed together do not come back together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The bound of the first pause.
const FIRST: Duration = Duration::from_millis(200);
/// The bound of all pauses.
const LONGEST: Duration = Duration::from_secs(20);

/// Draws pauses for all requests of a store.
#[derive(Debug)]
pub(crate) struct Jitter(AtomicU64);

impl Jitter {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number between nothing and `bound` (`SplitMix64`; Steele, Lea, Flood, OOPSLA 2014).
    fn below(&self, bound: Duration) -> Duration {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed ^ (mixed >> 31)) >> 32;
        let nanos = (bound.as_nanos() * u128::from(share)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// One request's attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    began: Instant,
    budget: Duration,
    bound: Duration,
}

impl Attempts {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { began: Instant::now(), budget, bound: FIRST }
    }

    /// How long to wait before the next attempt; nothing if it would begin too late. `asked` is how
    /// long the store asked to be left alone.
    pub(crate) fn pause(&mut self, jitter: &Jitter, asked: Option<Duration>) -> Option<Duration> {
        let pause = jitter.below(self.bound).max(asked.unwrap_or_default());
        self.bound = (self.bound * 2).min(LONGEST);
        (self.began.elapsed() + pause < self.budget).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_differ_and_end_with_the_budget() {
        let jitter = Jitter::new(7);
        let mut attempts = Attempts::new(Duration::from_mins(10));
        let pauses: Vec<_> =
            std::iter::from_fn(|| attempts.pause(&jitter, None)).take(40).collect();
        assert!(pauses[0] <= FIRST);
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses.iter().skip(10).any(|pause| *pause > Duration::from_secs(5)));
        assert!(pauses.windows(2).all(|pair| pair[0] != pair[1]));
        let mut attempts = Attempts::new(Duration::from_secs(1));
        assert_eq!(attempts.pause(&jitter, Some(Duration::from_secs(2))), None);
    }

    #[test]
    fn a_store_that_asks_for_time_gets_it() {
        let mut attempts = Attempts::new(Duration::from_mins(1));
        let asked = Some(Duration::from_secs(3));
        assert!(attempts.pause(&Jitter::new(1), asked).is_some_and(|it| Some(it) >= asked));
    }
}
