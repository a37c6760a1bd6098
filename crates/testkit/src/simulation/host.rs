//! A machine from which actors work.

use std::path::PathBuf;
use std::sync::Arc;

use nightjar_repository::Clock;

use crate::environment::ManualClock;
use crate::generate::Rng;

/// What stays the same from one process of a host to the next.
pub(super) struct Host {
    /// Its cache directory; others may use the same.
    pub(super) cache: PathBuf,
    /// How it opens the repository.
    pub(super) passphrase: &'static str,
    /// A store far away, or a disk.
    pub(super) url: &'static str,
}

/// The time as a host has it.
struct Skewed {
    clock: Arc<ManualClock>,
    nanos: i64,
}

impl Clock for Skewed {
    fn now(&self) -> i64 {
        self.clock.now() + self.nanos
    }
}

impl Host {
    /// Its clock: mostly right, else up to two days off, and from one process to the next it may
    /// be set.
    pub(super) fn clock(&self, clock: &Arc<ManualClock>, rng: &mut Rng) -> Arc<dyn Clock> {
        const HOUR: i64 = 3_600_000_000_000;
        let hours = if rng.below(3) > 0 { 48 } else { rng.below(97) };
        let nanos = (i64::try_from(hours).unwrap() - 48) * HOUR;
        Arc::new(Skewed { clock: Arc::clone(clock), nanos })
    }
}
