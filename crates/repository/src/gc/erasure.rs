//! Erasure: what only erased snapshots held is gone, and the ledger says so (format-spec, chapter 13).
//!
//! While a Forget asks for it, a run leaves nothing unused at all and no delta on what no snapshot
//! holds. It is carried out once a survey that began after everybody who may have copied from these
//! snapshots had ended finds nothing more, and everything that was retired is deleted.

use std::collections::BTreeSet;

use nightjar_format::ledger::LedgerBody;
use nightjar_format::session::Position;
use nightjar_format::{IncarnationId, limits};

use super::evacuate::Copies;
use super::sessions::{self, Waiting};
use super::sweep::Swept;
use super::{GcRequest, take_survey};
use crate::environment::Progress;
use crate::error::Result;
use crate::ledger;
use crate::repository::Repository;
use crate::session::Session;

/// How an erasure that the ledger asks for stands at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erasure {
    /// It was carried out; the ledger's record with this number says so.
    Done {
        /// Its number.
        record: u64,
        /// Until when the store keeps what was deleted, in Unix nanoseconds, if anybody told.
        kept_until: Option<i64>,
    },
    /// Something that it is about may still be in the store.
    Open {
        /// What, and what to do about it.
        why: String,
    },
}

/// The number of the newest Forget that asks for erasure, if one is not carried out.
pub(super) fn asked_for(repository: &Repository) -> Result<Option<u64>> {
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    Ok(ledger.state.erasures.last().copied())
}

/// Looks whether everything is gone that Forgets up to `up_to` are about, and records it. `swept` is
/// what the run deleted, and could not.
pub(super) fn conclude(
    repository: &Repository,
    session: &mut Session<'_>,
    up_to: u64,
    request: &GcRequest,
    swept: &Swept,
    progress: &Progress,
) -> Result<Erasure> {
    // Before the survey: what they still write after it was not there, nor copied from there.
    let writers = sessions::unresolved(repository, session, None, request.session_timeout)?;
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    let survey = take_survey(repository, &ledger, &BTreeSet::new(), &Copies::new(), progress)?;
    let candidates = survey.candidates(repository, &ledger, Some(session.id()))?;
    let is_heavy = survey.marks.dead_weight > 0;
    let open = |why: String| Ok(Erasure::Open { why });
    if let Some(Waiting { session, host, .. }) =
        writers.iter().find(|writer| may_have_copied(writer, up_to, ledger.head.incarnation))
    {
        let session = session.short();
        return open(format!(
            "session {session} of {host} is at work since before; run gc again when it has ended"
        ));
    }
    if !swept.undeleted.is_empty() {
        return open(format!(
            "objects that could not be deleted: {}; run gc again when the store permits it, or when \
             the lock on them has ended",
            swept.undeleted.len()
        ));
    }
    if candidates.has_garbage() || is_heavy || !ledger.state.condemned.is_empty() {
        return open(
            "something that no snapshot needs is still there; run gc again without --max-repack \
             and --max-time, and if that does not help, mend the damage that it reports first"
                .into(),
        );
    }
    if !candidates.misfits.is_empty() {
        return open(format!(
            "packs that are not as long as the index says, and may hold anything: {}; `nightjar \
             snapshot verify --all` names them",
            candidates.misfits.len()
        ));
    }
    let who = format!("gc on {}", repository.environment.host);
    let (packs, bytes) = (swept.packs, swept.pack_bytes);
    // What an earlier run deleted ends before.
    let now = repository.environment.clock.now();
    let kept_until = request.keeps_deleted.map(|time| now.saturating_add(time));
    let body = LedgerBody::Erased { up_to, packs, bytes, kept_until, who };
    let position = ledger::append(repository, &body)?;
    Ok(Erasure::Done { record: position.number, kept_until })
}

/// Whether a writer may hold something that it had from snapshots forgotten at `up_to`: it began
/// before, or is a collector, which copies what was alive when it looked.
fn may_have_copied(writer: &Waiting, up_to: u64, incarnation: IncarnationId) -> bool {
    let after = |noted: Position| {
        noted.incarnation == incarnation
            && noted.number >= up_to
            && noted.number < limits::LEDGER_NUMBER
    };
    !writer.noted.is_some_and(after)
}
