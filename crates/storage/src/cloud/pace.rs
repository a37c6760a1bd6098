//! Bandwidth limits.
//!
//! A virtual clock per direction: bytes are granted in the order in which they are asked for, each
//! grant moves the time at which the next may be given, and a pause in traffic saves up at most
//! [`BURST`] of it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// What a pause saves up.
const BURST: Duration = Duration::from_millis(100);

/// A limit on one direction, shared by all requests.
#[derive(Debug)]
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    /// When the next byte may move.
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.filter(|rate| *rate > 0), next: Mutex::default() }
    }

    /// Waits until so many bytes may move.
    pub(crate) async fn wait(&self, bytes: usize) {
        let Some(rate) = self.bytes_per_second else { return };
        let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let now = Instant::now();
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let earliest = now.checked_sub(BURST).unwrap_or(now);
            let start = next.unwrap_or(now).max(earliest);
            *next = Some(start + takes);
            start + takes
        };
        if until > now {
            sleep_until(until).await;
        }
    }
}
