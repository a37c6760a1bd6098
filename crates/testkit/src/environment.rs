//! A world in which nothing happens by chance.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nightjar_codec::Random;
use nightjar_repository::{Clock, Environment};
use tempfile::TempDir;

use crate::generate::Rng;

/// The first moment of every world: 2026-01-01, in Unix nanoseconds.
const BEGINNING: i64 = 1_767_225_600_000_000_000;

/// Stands still until it is moved.
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Stands at the beginning of all worlds, or so many nanoseconds off.
    pub fn new(offset: i64) -> Self {
        Self(AtomicI64::new(BEGINNING.saturating_add(offset)))
    }

    /// Lets so many nanoseconds go by.
    pub fn advance(&self, nanos: i64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Random numbers that a seed decides. Nothing sealed with them is secret.
pub struct SeededRandom(Mutex<Rng>);

impl SeededRandom {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }
}

impl Random for SeededRandom {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
    }
}

/// Clock, random numbers and a directory for caches, which goes with it.
#[derive(Clone)]
pub struct World {
    clock: Arc<ManualClock>,
    random: Arc<SeededRandom>,
    caches: Arc<TempDir>,
    fresh: Arc<AtomicU32>,
}

impl World {
    /// The world of a seed.
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Arc::new(ManualClock::new(0)),
            random: Arc::new(SeededRandom::new(seed)),
            caches: Arc::new(scratch_directory()),
            fresh: Arc::default(),
        }
    }

    /// Lets a day go by.
    pub fn sleep_until_next_night(&self) {
        self.clock.advance(24 * 3600 * 1_000_000_000);
    }

    /// Its random numbers.
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// A cache directory that nobody has used.
    pub fn fresh_cache(&self) -> PathBuf {
        let number = self.fresh.fetch_add(1, Ordering::Relaxed);
        let path = self.caches.path().join(number.to_string());
        fs::create_dir(&path).unwrap();
        path
    }

    /// A copy of a cache directory that no process has open.
    pub fn copy_of_cache(&self, cache: &Path) -> PathBuf {
        let copy = self.fresh_cache();
        copy_directory(cache, &copy);
        copy
    }

    /// What the engine is handed.
    pub fn environment(&self, cache: &Path) -> Environment {
        Environment {
            clock: self.clock.clone(),
            random: self.random.clone(),
            host: "testhost".into(),
            user: "tester".into(),
            process: std::process::id(),
            program: "nightjar tests".into(),
            cache_dir: cache.to_path_buf(),
            one_at_a_time: false,
        }
    }
}

/// In memory where the system offers that: what syncing costs is not what these tests are about.
fn scratch_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies everything in `from` into `to`, which exists.
pub fn copy_directory(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
