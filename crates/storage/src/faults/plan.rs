//! What fails when, and what has happened so far.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use object_store::path::Path;
use object_store::{Error, Result};

/// When a [`FaultStore`](super::FaultStore) fails, and how. Everything is determined by the plan
/// and the order of the requests.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Never,
    StopAfterWrites { writes: u64, torn: bool },
    NoSpaceAfterBytes { bytes: u64 },
    Flaky { seed: u64, one_in: u64 },
    Unreadable { name: String },
}

impl FaultPlan {
    /// Nothing fails; only the log is kept, as it is with every plan.
    pub fn record() -> Self {
        Self { rule: Rule::Never }
    }

    /// The first `writes` mutating operations succeed; then the store is lost: every later
    /// operation fails, reads too, and nothing takes effect.
    pub fn stop_after_writes(writes: u64) -> Self {
        Self { rule: Rule::StopAfterWrites { writes, torn: false } }
    }

    /// As [`FaultPlan::stop_after_writes`], but the write that finds the store lost still takes
    /// effect, only its answer is an error.
    pub fn stop_after_writes_torn(writes: u64) -> Self {
        Self { rule: Rule::StopAfterWrites { writes, torn: true } }
    }

    /// A write that would bring the bytes written in all above `bytes` fails for want of space.
    /// Smaller ones may still fit; deletions succeed and free nothing.
    pub fn no_space_after_bytes(bytes: u64) -> Self {
        Self { rule: Rule::NoSpaceAfterBytes { bytes } }
    }

    /// On average one write in `one_in` is answered with an error; about half of these take effect
    /// nevertheless. The same seed fails the same writes.
    pub fn flaky(seed: u64, one_in: u64) -> Self {
        Self { rule: Rule::Flaky { seed, one_in: one_in.max(1) } }
    }

    /// Reads of one object are answered with an error that says nothing of the object.
    pub fn unreadable(name: &str) -> Self {
        Self { rule: Rule::Unreadable { name: name.to_owned() } }
    }
}

/// A kind of mutating operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOperation {
    /// A write that replaces.
    Put,
    /// A conditional creation.
    Create,
    /// A deletion.
    Delete,
}

/// One mutating operation that reached the store below.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoggedWrite {
    /// What was done.
    pub operation: WriteOperation,
    /// To which object.
    pub name: String,
}

/// What becomes of a write.
pub(super) enum Verdict {
    Proceed,
    Refuse(Error),
    ProceedAndDeny(Error),
}

/// A plan that is being carried out.
#[derive(Debug)]
pub(super) struct Progress {
    plan: FaultPlan,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writes: u64,
    bytes: u64,
    stopped: bool,
    log: Vec<LoggedWrite>,
}

impl Progress {
    pub(super) fn new(plan: FaultPlan) -> Self {
        Self { plan, state: Mutex::default() }
    }

    pub(super) fn log(&self) -> Vec<LoggedWrite> {
        self.state().log.clone()
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
    }

    pub(super) fn read(&self) -> Result<()> {
        if self.state().stopped { Err(lost()) } else { Ok(()) }
    }

    pub(super) fn read_object(&self, name: &Path) -> Result<()> {
        match &self.plan.rule {
            Rule::Unreadable { name: unreadable } if name.as_ref() == unreadable => {
                Err(injected(io::ErrorKind::TimedOut, "no answer came"))
            }
            _ => self.read(),
        }
    }

    pub(super) fn write(&self, operation: WriteOperation, name: &Path, len: usize) -> Verdict {
        let mut state = self.state();
        if state.stopped {
            return Verdict::Refuse(lost());
        }
        let verdict = self.plan.rule.judge(&mut state, u64::try_from(len).unwrap_or(u64::MAX));
        state.writes += 1;
        if !matches!(verdict, Verdict::Refuse(_)) {
            state.log.push(LoggedWrite { operation, name: name.to_string() });
        }
        verdict
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rule {
    fn judge(&self, state: &mut State, len: u64) -> Verdict {
        match *self {
            Self::Never | Self::Unreadable { .. } => Verdict::Proceed,
            Self::StopAfterWrites { writes, .. } if state.writes < writes => Verdict::Proceed,
            Self::StopAfterWrites { torn, .. } => {
                state.stopped = true;
                if torn { Verdict::ProceedAndDeny(lost()) } else { Verdict::Refuse(lost()) }
            }
            Self::NoSpaceAfterBytes { bytes } if len > bytes.saturating_sub(state.bytes) => {
                Verdict::Refuse(injected(io::ErrorKind::StorageFull, "no space left"))
            }
            Self::NoSpaceAfterBytes { .. } => {
                state.bytes += len;
                Verdict::Proceed
            }
            Self::Flaky { seed, one_in } => {
                let chance = mix(seed ^ mix(state.writes));
                let error = injected(io::ErrorKind::TimedOut, "no answer came");
                match (chance % one_in, chance >> 63) {
                    (0, 0) => Verdict::Refuse(error),
                    (0, _) => Verdict::ProceedAndDeny(error),
                    _ => Verdict::Proceed,
                }
            }
        }
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn lost() -> Error {
    injected(io::ErrorKind::NotConnected, "the store is lost")
}

fn injected(kind: io::ErrorKind, what: &str) -> Error {
    let source = Box::new(io::Error::new(kind, format!("{what} (injected fault)")));
    Error::Generic { store: "FaultStore", source }
}
