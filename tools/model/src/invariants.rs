//! What must hold in every state.

use crate::completion;
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
    /// Once all writers have ended, one collector left alone removes everything dead, whatever
    /// the others left behind.
    EverythingDeadGoes,
    /// Every snapshot of the replica can be read in it.
    ReplicaIsWhole,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 5] = [
        Self::NothingDangles,
        Self::NothingUsedIsDeleted,
        Self::ReportsAreTrue,
        Self::EverythingDeadGoes,
        Self::ReplicaIsWhole,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NothingDangles => "nothing dangles",
            Self::NothingUsedIsDeleted => "nothing used is deleted",
            Self::ReportsAreTrue => "reports are true",
            Self::EverythingDeadGoes => "everything dead goes",
            Self::ReplicaIsWhole => "the replica is whole",
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
        && (state.writers[writer].is_running(configuration.variant)
            || state.late.contains(&commit))
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

pub(crate) fn everything_dead_goes(configuration: &Configuration, state: &State) -> bool {
    let variant = configuration.variant;
    state.writers.iter().any(|writer| writer.is_running(variant))
        || completion::complete(configuration, &state.store).is_ok()
}

pub(crate) fn replica_is_whole(configuration: &Configuration, state: &State) -> bool {
    let replica = &state.replicator;
    replica.is_whole(configuration, &state.store, replica.head)
}
