//! What was done, for whoever reads the end of a run; and that it was not nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::harness::number;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<&'static str, u64>,
    bytes_freed: i64,
    bytes_moved: u64,
    bytes_unused: u64,
    bytes_kept: u64,
    gc_requests: u64,
    /// Of files that were to become objects, when their process was killed.
    bytes_left_over: u64,
}

/// What has to happen at least once in so many days, or the run proves nothing.
const MUST_HAPPEN: [(&str, u64); 13] = [
    ("nights stored", 1),
    ("nights restored", 1),
    ("nights forgotten", 2),
    ("gc runs", 1),
    ("gc runs that waited", 20),
    ("backups killed", 20),
    ("gc runs killed", 30),
    ("forgetters killed", 60),
    ("writers fenced while they were stopped", 10),
    ("caches set back", 30),
    ("packs damaged and put right", 10),
    ("nights held", 30),
    ("rounds forged in vain", 25),
];

impl Tally {
    /// It happened once more.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Takes the report of a collector into account.
    pub(crate) fn collected(&mut self, report: &Value) {
        self.count("gc runs");
        self.bytes_freed += report["bytes_freed"].as_i64().unwrap();
        self.bytes_moved += number(report, "bytes_moved");
        self.bytes_unused = number(&report["plan"], "bytes_unused");
        self.bytes_kept = number(&report["plan"], "bytes_kept");
        let kinds = ["put", "create", "get", "head", "list", "delete"];
        self.gc_requests += kinds.map(|kind| number(&report["requests"], kind)).iter().sum::<u64>();
        if !report["waiting"].as_array().unwrap().is_empty() {
            self.count("gc runs that waited");
        }
    }

    /// A process that was killed left so many bytes, which no collector sees.
    pub(crate) fn left_over(&mut self, bytes: u64) {
        self.count("files of killed processes that are left over");
        self.bytes_left_over += bytes;
    }

    /// A test in which nothing happens cannot fail.
    pub(crate) fn assert_that_much_happened(&self, days: u64) {
        for (what, every) in MUST_HAPPEN {
            let times = self.counts.get(what).copied().unwrap_or_default();
            assert!(times >= days / every, "{what}: {times} in {days} days: {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, times) in &self.counts {
            writeln!(f, "{times:>8} {what}")?;
        }
        let Self { bytes_freed, bytes_moved, bytes_unused, bytes_kept, gc_requests, .. } = self;
        writeln!(f, "{:>8} bytes in files that are left over", self.bytes_left_over)?;
        write!(
            f,
            "gc: {bytes_freed} bytes freed, {bytes_moved} moved, {bytes_unused} of {bytes_kept} \
             left unused, {gc_requests} requests"
        )
    }
}
