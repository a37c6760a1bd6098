//! Erasure: what only erased snapshots held is gone, and the ledger says so (format-spec, chapter 13).
//!
//! While a Forget asks for it, a run leaves nothing unused at all and no delta on what no snapshot
//! holds. It is carried out once a survey that began after everybody who may have copied from these
//! snapshots had ended finds nothing more, and everything that was retired is deleted.

use nightjar_format::ledger::LedgerBody;
use nightjar_format::limits;
use nightjar_format::session::Position;

use super::plan::{self, Bounds};
use super::sessions::{self, Waiting};
use super::take_survey;
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

/// What a run did for it, for the record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Deleted {
    pub(super) packs: u64,
    pub(super) bytes: u64,
    /// Objects that could not be deleted.
    pub(super) undeleted: usize,
}

/// Looks whether everything is gone that Forgets up to `up_to` are about, and records it.
pub(super) fn conclude(
    repository: &Repository,
    session: &mut Session<'_>,
    up_to: u64,
    timeout: i64,
    deleted: Deleted,
    progress: &Progress,
) -> Result<Erasure> {
    // Before the survey: what they still write after it was not there, nor copied from there.
    let writers = sessions::unresolved(repository, session, None, timeout)?;
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    let survey = take_survey(repository, &ledger, &Default::default(), progress)?;
    let candidates = survey.candidates(repository, &ledger, Some(session.id()))?;
    let misfits = candidates.misfits.len();
    let everything = Bounds { unused_permille: 0, move_bytes: None };
    let target = u64::from(repository.record.pack_target_bytes);
    let left = plan::plan(candidates, target, &everything);
    let open = |why: String| Ok(Erasure::Open { why });
    if let Some(writer) = writers.iter().find(|writer| may_have_copied(writer, up_to)) {
        return open(format!(
            "session {} of {} is at work since before; run gc again when it has ended",
            writer.session.short(),
            writer.host
        ));
    }
    if deleted.undeleted > 0 {
        return open(format!(
            "{} could not be deleted; run gc again when the store permits it, or when the lock on \
             them has ended",
            count(deleted.undeleted as u64, "object", "objects")
        ));
    }
    if left.unused_bytes > 0 || survey.marks.dead_weight > 0 || !ledger.state.condemned.is_empty() {
        return open(
            "something that no snapshot needs is still there; run gc again without --max-repack \
             and --max-time, and if that does not help, mend the damage that it reports first"
                .into(),
        );
    }
    if misfits > 0 {
        return open(format!(
            "{} not as long as the index says and may hold anything; `nightjar snapshot verify \
             --all` names them",
            count(misfits as u64, "pack is", "packs are")
        ));
    }
    let who = format!("gc on {}", repository.environment.host);
    let Deleted { packs, bytes, .. } = deleted;
    let body = LedgerBody::Erased { up_to, packs, bytes, who };
    let position = ledger::append(repository, &body)?;
    Ok(Erasure::Done { record: position.number })
}

/// Whether a writer may hold something that it had from snapshots forgotten at `up_to`: it began
/// before, or is a collector, which copies what was alive when it looked.
fn may_have_copied(writer: &Waiting, up_to: u64) -> bool {
    let after = |noted: Position| noted.number >= up_to && noted.number < limits::LEDGER_NUMBER;
    !writer.noted.is_some_and(after)
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
