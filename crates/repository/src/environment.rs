//! What the engine knows of the world: handed in, never looked up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nightjar_codec::Random;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Unix nanoseconds.
    fn now(&self) -> i64;
}

/// Clock, random numbers, names and the place for caches.
#[derive(Clone)]
pub struct Environment {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Cryptographically secure.
    pub random: Arc<dyn Random>,
    /// The name of this machine.
    pub host: String,
    /// Who runs the program.
    pub user: String,
    /// The number of this process.
    pub process: u32,
    /// Name and version of the program.
    pub program: String,
    /// Directory under which each repository gets a directory for its caches.
    pub cache_dir: PathBuf,
    /// Whether no request may be made while another is under way: with the same environment and
    /// the same answers, the same requests then come in the same order. Slower, and the only way
    /// to see a run exactly as it was.
    pub one_at_a_time: bool,
}

/// How far a long operation has come; another thread may watch.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of plaintext done.
    pub bytes: AtomicU64,
    /// Bytes of plaintext there will be; 0 while unknown.
    pub total: AtomicU64,
    /// What they were the last time, good enough for a bar; 0 if there was none.
    pub expected: AtomicU64,
    /// Bytes sent to or fetched from the store.
    pub stored: AtomicU64,
    /// Files, packs or snapshots done.
    pub items: AtomicU64,
}

impl Progress {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        counter.fetch_add(amount, Ordering::Relaxed);
    }
}
