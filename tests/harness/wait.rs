//! Waiting for something to happen.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Waits until `happened` gives something; fails after a minute.
pub(crate) fn wait_until<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(outcome) = happened() {
            return outcome;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "waited a minute until {what}");
        sleep(Duration::from_millis(2));
    }
}
