//! What must hold in every state.

use crate::collector::Collector;
use crate::configuration::Configuration;
use crate::set::Set;
use crate::state::State;
use crate::store::{Register, Request};
use crate::writer::Outcome;

/// An invariant. Its name is that of the property that stateright checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// Every blob of a committed snapshot that is not forgotten, and its bases, can be read from
    /// packs that are in the store, listed, sound and not retired.
    NothingDangles,
    /// No pack is gone that the snapshot of a session would rest on which may still commit.
    NothingUsedIsDeleted,
    /// Who reported success has a snapshot, or it was forgotten; who reported failure has none.
    ReportsAreTrue,
    /// One collector left alone comes to its end and removes everything dead, whatever the others
    /// left behind.
    EverythingDeadGoes,
    /// No collector reports damage where there is none.
    NoFalseAlarm,
    /// Every snapshot of the replica can be read in it, without what its ledger retires.
    ReplicaIsWhole,
    /// The replicator left alone copies everything.
    ReplicaCatchesUp,
    /// Nobody begins an incarnation that has begun.
    PromotedOnce,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 8] = [
        Self::NothingDangles,
        Self::NothingUsedIsDeleted,
        Self::ReportsAreTrue,
        Self::EverythingDeadGoes,
        Self::NoFalseAlarm,
        Self::ReplicaIsWhole,
        Self::ReplicaCatchesUp,
        Self::PromotedOnce,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingDangles => "nothing dangles",
            Self::NothingUsedIsDeleted => "nothing used is deleted",
            Self::ReportsAreTrue => "reports are true",
            Self::EverythingDeadGoes => "everything dead goes",
            Self::NoFalseAlarm => "no false alarm",
            Self::ReplicaIsWhole => "the replica is whole",
            Self::ReplicaCatchesUp => "the replica catches up",
            Self::PromotedOnce => "promoted once",
        }
    }
}

pub(crate) fn nothing_dangles(configuration: &Configuration, state: &State) -> bool {
    let live = configuration.blobs_of_all(state.store.snapshots());
    state.store.readable(&configuration.bases).covers(live)
}

pub(crate) fn nothing_used_is_deleted(configuration: &Configuration, state: &State) -> bool {
    (0..configuration.writers.len()).all(|writer| {
        !may_commit(configuration, state, writer)
            || state.store.packs.covers(state.writers[writer].relies_on())
    })
}

/// A session may commit if nothing stands in its register, nobody forgot it, and its writer runs
/// or its create is on its way.
fn may_commit(configuration: &Configuration, state: &State, writer: usize) -> bool {
    let session = configuration.session_of(writer);
    let commit = Request::CreateRegister(session, Register::Committed);
    !state.store.is_resolved(session)
        && (state.writers[writer].is_running(configuration.variant) || state.late.contains(&commit))
}

pub(crate) fn reports_are_true(configuration: &Configuration, state: &State) -> bool {
    let snapshots = state.store.snapshots();
    let forgotten: Set = state.store.sum().forgotten;
    (0..configuration.writers.len()).all(|writer| {
        let session = configuration.session_of(writer);
        match state.writers[writer].outcome {
            Outcome::Success => snapshots.has(session) || forgotten.has(session),
            Outcome::Failure => !snapshots.has(session),
            Outcome::None | Outcome::Open => true,
        }
    })
}

/// Nothing that lives is ever unreadable here: any alarm is false.
pub(crate) fn no_false_alarm(state: &State) -> bool {
    !state.collectors.contains(&Collector::Alarmed)
}

pub(crate) fn replica_is_whole(configuration: &Configuration, state: &State) -> bool {
    let replica = &state.replicator;
    replica.is_whole(configuration, &state.store, replica.head)
}
