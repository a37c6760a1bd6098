//! A plan that is being carried out: what has happened so far, and what becomes of each request.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use object_store::Error;
use object_store::path::Path;

use super::chance::{Chance, Drawn, Kind};
use super::plan::{After, FaultPlan, FaultRates, LastWrite, LoggedWrite, WriteOperation};

/// A late write arrives after at most so many further requests.
const LATEST: u64 = 60;

/// What becomes of a write.
pub(super) enum WriteVerdict {
    Proceed,
    Refuse(Error),
    ProceedAndDeny(Error),
    /// Once now, and once after so many requests.
    ProceedAndRepeat(u64),
    /// Only after so many requests; now there is an error.
    HoldBack(u64, Error),
}

/// What becomes of a read.
pub(super) enum ReadVerdict {
    Proceed,
    Refuse(Error),
    /// Half of it comes, then this.
    Truncate(Error),
    Pause(Duration),
}

#[derive(Debug)]
pub(super) struct Progress {
    plan: FaultPlan,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    writes: u64,
    bytes: u64,
    stopped: bool,
    injected: u64,
    chance: Chance,
    log: Vec<LoggedWrite>,
}

impl Progress {
    pub(super) fn new(plan: FaultPlan) -> Self {
        Self { plan, state: Mutex::default() }
    }

    pub(super) fn log(&self) -> Vec<LoggedWrite> {
        self.state().log.clone()
    }

    pub(super) fn injected(&self) -> u64 {
        self.state().injected
    }

    pub(super) fn stop(&self) {
        self.state().stopped = true;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state().stopped
    }

    pub(super) fn read(&self, kind: Kind, name: &str) -> ReadVerdict {
        let mut state = self.state();
        if state.stopped || self.plan.stops(&state, false) {
            state.stopped = true;
            state.injected += 1;
            return ReadVerdict::Refuse(lost());
        }
        state.requests += 1;
        let verdict = self.plan.judge_read(&mut state, kind, name);
        state.injected += u64::from(!matches!(verdict, ReadVerdict::Proceed));
        verdict
    }

    pub(super) fn write(
        &self,
        operation: WriteOperation,
        location: &Path,
        len: usize,
    ) -> WriteVerdict {
        let mut state = self.state();
        if state.stopped {
            state.injected += 1;
            return WriteVerdict::Refuse(lost());
        }
        let name = location.as_ref();
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let verdict = self.plan.judge_write(&mut state, operation, name, len);
        state.requests += 1;
        state.writes += 1;
        state.injected += u64::from(!matches!(verdict, WriteVerdict::Proceed));
        if !matches!(verdict, WriteVerdict::Refuse(_) | WriteVerdict::HoldBack(..)) {
            state.log.push(LoggedWrite { operation, name: name.to_owned() });
        }
        verdict
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FaultPlan {
    fn stops(&self, state: &State, is_write: bool) -> bool {
        self.stop.is_some_and(|stop| match stop.after {
            After::Writes(writes) => is_write && state.writes >= writes,
            After::Requests(requests) => state.requests >= requests,
        })
    }

    fn judge_read(&self, state: &mut State, kind: Kind, name: &str) -> ReadVerdict {
        if kind == Kind::Get && self.unreadable.as_deref() == Some(name) {
            return ReadVerdict::Refuse(no_answer());
        }
        let rates = self.rates;
        let drawn = state.chance.draw(self.seed, kind, name);
        let mut pick = Pick { drawn, passed: 0 };
        if pick.falls_on(rates.refused) {
            ReadVerdict::Refuse(no_answer())
        } else if pick.falls_on(rates.throttled) {
            ReadVerdict::Refuse(busy())
        } else if kind != Kind::Head && pick.falls_on(rates.truncated) {
            ReadVerdict::Truncate(injected(io::ErrorKind::UnexpectedEof, "the answer broke off"))
        } else if kind == Kind::Get && pick.falls_on(rates.slow) {
            ReadVerdict::Pause(rates.pause)
        } else {
            ReadVerdict::Proceed
        }
    }

    fn judge_write(
        &self,
        state: &mut State,
        operation: WriteOperation,
        name: &str,
        len: u64,
    ) -> WriteVerdict {
        let kind = match operation {
            WriteOperation::Put => Kind::Put,
            WriteOperation::Create => Kind::Create,
            WriteOperation::Delete => Kind::Delete,
        };
        let drawn = state.chance.draw(self.seed, kind, name);
        if self.stops(state, true) {
            state.stopped = true;
            return match self.stop.map_or(LastWrite::Lost, |stop| stop.last) {
                LastWrite::Lost => WriteVerdict::Refuse(lost()),
                LastWrite::Torn => WriteVerdict::ProceedAndDeny(lost()),
                LastWrite::Late => WriteVerdict::HoldBack(drawn.up_to(LATEST), lost()),
            };
        }
        if operation == WriteOperation::Delete
            && self.locked.as_ref().is_some_and(|folder| name.starts_with(folder))
        {
            return WriteVerdict::Refuse(denied(name));
        }
        if let Some(bytes) = self.space_bytes {
            if len > bytes.saturating_sub(state.bytes) {
                let full = injected(io::ErrorKind::StorageFull, "no space left");
                return WriteVerdict::Refuse(full);
            }
            state.bytes += len;
        }
        self.rates.judge_write(drawn, operation)
    }
}

impl FaultRates {
    fn judge_write(&self, drawn: Drawn, operation: WriteOperation) -> WriteVerdict {
        let mut pick = Pick { drawn, passed: 0 };
        if pick.falls_on(self.refused) || pick.falls_on(self.write_refused) {
            WriteVerdict::Refuse(no_answer())
        } else if pick.falls_on(self.throttled) {
            WriteVerdict::Refuse(busy())
        } else if pick.falls_on(self.answer_lost) {
            WriteVerdict::ProceedAndDeny(no_answer())
        } else if pick.falls_on(self.late) {
            WriteVerdict::HoldBack(drawn.up_to(LATEST), no_answer())
        } else if pick.falls_on(self.repeated) {
            WriteVerdict::ProceedAndRepeat(drawn.up_to(LATEST))
        } else if operation == WriteOperation::Create && pick.falls_on(self.conflict) {
            match (drawn.coin(), drawn.up_to(2)) {
                (true, _) => WriteVerdict::Refuse(conflict()),
                (false, 1) => WriteVerdict::Refuse(unavailable()),
                (false, _) => WriteVerdict::ProceedAndDeny(unavailable()),
            }
        } else {
            WriteVerdict::Proceed
        }
    }
}

/// Which fault was drawn: each has its share of the numbers below 1000.
struct Pick {
    drawn: Drawn,
    passed: u64,
}

impl Pick {
    fn falls_on(&mut self, rate: u32) -> bool {
        let from = self.passed;
        self.passed += u64::from(rate);
        (from..self.passed).contains(&self.drawn.thousandths())
    }
}

pub(super) fn lost() -> Error {
    injected(io::ErrorKind::NotConnected, "the store is lost")
}

fn no_answer() -> Error {
    injected(io::ErrorKind::TimedOut, "no answer came")
}

fn busy() -> Error {
    injected(io::ErrorKind::ResourceBusy, "503 Slow Down")
}

fn unavailable() -> Error {
    injected(io::ErrorKind::Other, "503 Service Unavailable")
}

fn conflict() -> Error {
    injected(io::ErrorKind::Other, "409 ConditionalRequestConflict")
}

fn denied(name: &str) -> Error {
    let source = "403 AccessDenied: object is under a lock (injected fault)".into();
    Error::PermissionDenied { path: name.to_owned(), source }
}

fn injected(kind: io::ErrorKind, what: &str) -> Error {
    let source = Box::new(io::Error::new(kind, format!("{what} (injected fault)")));
    Error::Generic { store: "FaultStore", source }
}
