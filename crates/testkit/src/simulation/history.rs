//! What was tried and what was reported: the model that the repository is held to, while actors
//! run and afterwards.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightjar_format::object::ObjectName;
use nightjar_format::{SessionId, SlotId};

/// What is known of a run whose register was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// Nothing yet, or the process was killed.
    Nothing,
    /// It is there.
    Committed,
    /// The run failed, and said that the snapshot may be there.
    Open,
    /// The run failed.
    Failed,
}

/// What is known of something that was to be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    /// Nobody tried.
    No,
    /// Somebody tried, and may have been heard.
    Perhaps,
    /// Somebody was told that it is done.
    Yes,
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) reported: Reported,
    /// Somebody has listed it: it is there for good.
    pub(super) seen: bool,
    pub(super) forgotten: Taken,
}

impl Run {
    pub(super) fn must_be_there(&self) -> bool {
        (self.reported == Reported::Committed || self.seen) && self.forgotten == Taken::No
    }

    pub(super) fn may_be_there(&self) -> bool {
        self.reported != Reported::Failed && self.forgotten != Taken::Yes
    }
}

/// A slot that was added.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) id: Option<SlotId>,
    pub(super) removed: Taken,
}

/// The history of one schedule.
#[derive(Default)]
pub(super) struct History {
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// What each actor is storing.
    storing: BTreeMap<usize, Arc<Vec<u8>>>,
    /// The newest version of each series that anybody tried to store.
    pub(super) newest: BTreeMap<String, Arc<Vec<u8>>>,
    pub(super) runs: BTreeMap<SessionId, Run>,
    /// By passphrase.
    pub(super) slots: BTreeMap<String, Slot>,
    /// What must not be.
    pub(super) breaches: Vec<String>,
    /// What was done, by name: a simulation in which nothing succeeds proves nothing.
    pub(super) done: BTreeMap<&'static str, u64>,
}

impl History {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An actor begins to store this.
    pub(super) fn storing(&self, actor: usize, series: &str, bytes: &Arc<Vec<u8>>) {
        let mut state = self.state();
        state.storing.insert(actor, Arc::clone(bytes));
        state.newest.insert(series.to_owned(), Arc::clone(bytes));
    }

    /// An actor sends a creation. If that is a register, what it stores may be there from now on.
    pub(super) fn sending(&self, actor: usize, name: &str) {
        let Some(ObjectName::Snapshot(id)) = ObjectName::parse(name) else { return };
        let mut state = self.state();
        if let Some(bytes) = state.storing.get(&actor).cloned() {
            let (reported, forgotten) = (Reported::Nothing, Taken::No);
            let run = Run { bytes, reported, seen: false, forgotten };
            state.runs.entry(id).or_insert(run);
        }
    }

    /// An actor ends its run. Whatever it sent and did not hear of is settled by what it reports.
    pub(super) fn stored(&self, actor: usize, reported: Reported) {
        let mut state = self.state();
        let Some(bytes) = state.storing.remove(&actor) else { return };
        for run in state.runs.values_mut() {
            if Arc::ptr_eq(&run.bytes, &bytes) && run.reported == Reported::Nothing {
                run.reported = reported;
            }
        }
    }

    /// A snapshot was made when all was over.
    pub(super) fn made(&self, id: SessionId, bytes: &[u8]) {
        let (bytes, reported) = (Arc::new(bytes.to_vec()), Reported::Committed);
        let run = Run { bytes, reported, seen: true, forgotten: Taken::No };
        self.state().runs.insert(id, run);
    }

    /// Something must not be.
    pub(super) fn breach(&self, what: String) {
        self.state().breaches.push(what);
    }

    /// Something succeeded.
    pub(super) fn done(&self, what: &'static str) {
        *self.state().done.entry(what).or_default() += 1;
    }
}
