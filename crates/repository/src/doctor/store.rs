//! Whether the store answers, how fast, what it permits, and what it promises.
//!
//! What is written lies below `probe/` under random names, where no command looks for anything, and
//! is removed again. Where removing is not permitted it stays, and is named.

use std::time::Duration;

use bytes::Bytes;
use nightjar_format::ids::to_hex;
use nightjar_format::object::ObjectName;
use nightjar_storage::{Store, StoreError};

use super::{Check, State};
use crate::environment::Environment;

/// Objects that only try things out lie below it.
const SCRATCH: &str = "probe";
const BYTES: &[u8] = b"nightjar doctor";
/// A store this slow makes every command slow.
const SLOW: Duration = Duration::from_secs(1);
/// Times in lists begin to mislead.
const SKEW_SECONDS: u64 = 60;
/// S3 refuses requests beyond it.
const SKEW_REFUSED_SECONDS: u64 = 15 * 60;

/// What an examination of a store brought to light.
#[derive(Debug, Clone, Default)]
pub struct StoreFindings {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// The fastest of three answers.
    pub latency: Option<Duration>,
    /// How far the store's clock is ahead of this machine's; negative if it is behind.
    pub clock_skew_seconds: Option<i64>,
    /// Whether it refuses to create what exists, if that could be found out.
    pub honours_conditions: Option<bool>,
    /// It answers: looking further makes sense.
    pub reached: bool,
}

const NAMES: [&str; 9] =
    ["list", "latency", "create", "replace", "read", "range", "clock", "conditions", "delete"];

impl StoreFindings {
    /// A store that cannot be looked at.
    pub fn unreached(check: Check) -> Self {
        let skipped = NAMES.map(|name| Check::skipped(name, "the store was not reached"));
        Self { checks: [check].into_iter().chain(skipped).collect(), ..Self::default() }
    }
}

/// Examines a store.
pub fn examine(store: &Store, environment: &Environment) -> StoreFindings {
    let listed = store.list(SCRATCH);
    let left: Vec<String> = match &listed {
        Ok(objects) => objects.iter().map(|object| object.name.clone()).collect(),
        Err(StoreError::PermissionDenied { .. }) => vec![],
        Err(error) => return StoreFindings::unreached(Check::failed("reach", error)),
    };
    let mut examination = Examination {
        store,
        environment,
        name: scratch_name(environment),
        found: StoreFindings { reached: true, ..StoreFindings::default() },
    };
    examination.add(Check::ok("reach", format!("{} answers", store.url())));
    examination.add(match listed {
        Ok(_) if left.is_empty() => Check::ok("list", "permitted"),
        Ok(_) => Check::warning(
            "list",
            format!("permitted; an earlier probe left {}", left.join(", ")),
            "delete them, if no other `nightjar doctor` or `nightjar init` runs there",
        ),
        Err(error) => Check::failed("list", error),
    });
    examination.measure_latency();
    examination.try_objects();
    examination.found
}

fn scratch_name(environment: &Environment) -> String {
    let nonce: [u8; 16] = environment.random.array();
    format!("{SCRATCH}/{}", to_hex(&nonce))
}

struct Examination<'a> {
    store: &'a Store,
    environment: &'a Environment,
    /// The scratch object.
    name: String,
    found: StoreFindings,
}

impl Examination<'_> {
    fn add(&mut self, check: Check) {
        self.found.checks.push(check);
    }

    fn skip(&mut self, names: &[&'static str], why: &str) {
        self.found.checks.extend(names.iter().map(|name| Check::skipped(name, why)));
    }

    fn measure_latency(&mut self) {
        let now = || self.environment.clock.now();
        let repository = ObjectName::Repository.to_string();
        let times: Result<Vec<i64>, StoreError> = (0..3)
            .map(|_| {
                let before = now();
                self.store.head(&repository).map(|_| now().saturating_sub(before).max(0))
            })
            .collect();
        let check = match times {
            Err(error) => Check::failed("latency", error),
            Ok(times) => {
                let nanos = times.into_iter().min().unwrap_or(0).unsigned_abs();
                let latency = Duration::from_nanos(nanos);
                self.found.latency = Some(latency);
                let told = format!("{:.1} ms for a small request", latency.as_secs_f64() * 1e3);
                let advice = "every command waits for some of them: look for a store, a region or \
                              a way to it that is nearer";
                if latency < SLOW {
                    Check::ok("latency", told)
                } else {
                    Check::warning("latency", told, advice)
                }
            }
        };
        self.add(check);
    }

    fn try_objects(&mut self) {
        let before = self.environment.clock.now();
        match self.store.put(&self.name, Bytes::from_static(BYTES)) {
            Ok(()) => {
                self.add(Check::ok("create", "permitted"));
                self.try_the_rest(before);
            }
            Err(error @ StoreError::PermissionDenied { .. }) => {
                self.add(Check::warning(
                    "create",
                    super::with_causes(&error),
                    "these credentials may only read: listing, restoring and checking work with \
                     them, backing up does not",
                ));
                self.skip(&["replace"], "nothing may be written");
                self.read_what_is_there();
                self.skip(&["clock", "conditions", "delete"], "nothing may be written");
            }
            Err(error) => {
                self.add(Check::failed("create", error));
                self.skip(
                    &["replace", "read", "range", "clock", "conditions", "delete"],
                    "nothing could be written",
                );
            }
        }
    }

    fn try_the_rest(&mut self, before: i64) {
        let told = |name, outcome: Result<(), StoreError>| match outcome {
            Ok(()) => Check::ok(name, "permitted"),
            Err(error) => Check::failed(name, error),
        };
        let replaced = self.store.put(&self.name, Bytes::from_static(BYTES));
        self.add(told("replace", replaced));
        let read = self.store.get(&self.name, 1024);
        self.add(self.compared("read", read, BYTES));
        let range = self.store.get_range(&self.name, 9..15);
        self.add(self.compared("range", range, b"doctor"));
        let clock = self.compare_clocks(before);
        self.add(clock);
        let conditions = self.try_conditions();
        self.add(conditions);
        let deletion = self.try_deletion();
        self.add(deletion);
    }

    fn compared(
        &self,
        name: &'static str,
        read: Result<Bytes, StoreError>,
        expected: &[u8],
    ) -> Check {
        match read {
            Ok(bytes) if bytes == expected => Check::ok(name, "permitted"),
            Ok(_) => Check {
                name,
                state: State::Failed,
                found: format!("{} came back with other bytes than were written", self.name),
                advice: Some(
                    "do not keep backups there before this is cleared up: look at what stands \
                     between this machine and the store"
                        .into(),
                ),
            },
            Err(error) => Check::failed(name, error),
        }
    }

    /// Where nothing may be written, the repository object shows what may be read.
    fn read_what_is_there(&mut self) {
        let name = ObjectName::Repository.to_string();
        let there = match self.store.head(&name) {
            Ok(there) => there.is_some(),
            Err(error) => {
                self.add(Check::failed("read", error));
                return self.skip(&["range"], "nothing could be read");
            }
        };
        if !there {
            return self.skip(&["read", "range"], "there is nothing to read");
        }
        let read = |name, outcome: Result<Bytes, StoreError>| match outcome {
            Ok(_) => Check::ok(name, "permitted"),
            Err(error) => Check::failed(name, error),
        };
        self.add(read("read", self.store.get(&name, 1 << 20)));
        self.add(read("range", self.store.get_range(&name, 0..1)));
    }

    /// The store says when the scratch object was last written, in whole seconds.
    fn compare_clocks(&mut self, before: i64) -> Check {
        let written = match self.store.head(&self.name) {
            Ok(Some(info)) => info.modified_unix_nanos,
            Ok(None) => return Check::skipped("clock", format!("{} is gone", self.name)),
            Err(error) => return Check::failed("clock", error),
        };
        let after = self.environment.clock.now();
        let skew = skew_seconds(written, before, after);
        self.found.clock_skew_seconds = Some(skew);
        told_skew(skew)
    }

    fn try_conditions(&mut self) -> Check {
        match self.store.probe_conditional_create(&scratch_name(self.environment)) {
            Ok(true) => {
                self.found.honours_conditions = Some(true);
                Check::ok("conditions", "the store refuses to create what is there")
            }
            Ok(false) => {
                self.found.honours_conditions = Some(false);
                Check::warning(
                    "conditions",
                    "the store overwrites what it is asked to create: a repository there has a \
                     single writer",
                    "run only one of `key add`, `key remove`, `retention apply` and `snapshot forget`, \
                     `hold`, `release`, `accept` at a time; backups and restores may run side by side",
                )
            }
            Err(error) => Check::failed("conditions", error),
        }
    }

    fn try_deletion(&self) -> Check {
        match self.store.delete(&self.name) {
            Ok(()) => Check::ok("delete", "permitted"),
            Err(error @ StoreError::PermissionDenied { .. }) => Check::warning(
                "delete",
                super::with_causes(&error),
                format!(
                    "backups and restores work; what is forgotten stays in the store, and so does \
                     {}. With write-only credentials or an object lock that is as it should be",
                    self.name
                ),
            ),
            Err(error) => Check::failed("delete", error),
        }
    }
}

/// How far `written`, by the store's clock and cut to seconds, lies outside of the time in which
/// it was written, by ours.
fn skew_seconds(written: i64, before: i64, after: i64) -> i64 {
    const SECOND: i64 = 1_000_000_000;
    let earliest = before.saturating_sub(SECOND);
    let skew = match written {
        early if early < earliest => early.saturating_sub(earliest),
        late if late > after => late.saturating_sub(after),
        _ => 0,
    };
    skew / SECOND
}

fn told_skew(skew: i64) -> Check {
    let seconds = skew.unsigned_abs();
    let direction = if skew < 0 { "behind" } else { "ahead of" };
    let told = match seconds {
        0 => "the store's clock and this machine's agree".to_owned(),
        1..120 => format!("the store's clock is {seconds} s {direction} this machine's"),
        _ => format!("the store's clock is {} min {direction} this machine's", seconds / 60),
    };
    if seconds < SKEW_SECONDS {
        return Check::ok("clock", told);
    }
    let advice = "set this machine's clock; S3 refuses requests that are 15 minutes off";
    let state = if seconds < SKEW_REFUSED_SECONDS { State::Warning } else { State::Failed };
    Check { state, ..Check::warning("clock", told, advice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_only_if_the_time_of_writing_does_not_explain_it() {
        const S: i64 = 1_000_000_000;
        let skew = |written: i64| skew_seconds(written * S, 100 * S + S / 2, 103 * S);
        assert_eq!([100, 101, 103].map(skew), [0; 3]);
        assert_eq!(skew(98), -1);
        assert_eq!(skew(164), 61);
        assert_eq!(skew_seconds(i64::MIN, 0, 0), (i64::MIN + S) / S);
    }

    #[test]
    fn small_differences_are_fine_large_ones_are_named() {
        for (skew, state) in [
            (0, State::Ok),
            (-59, State::Ok),
            (60, State::Warning),
            (-899, State::Warning),
            (900, State::Failed),
        ] {
            let check = told_skew(skew);
            assert_eq!(check.state, state, "{check:?}");
        }
        assert!(told_skew(-600).found.contains("10 min behind"));
    }
}
