//! Holds: snapshots that nobody may forget for now (format-spec, chapter 8).
//!
//! A hold and a Forget cannot miss one another: whoever forgets appends right after a head under
//! which nothing is held, and whoever holds right after one under which nothing is forgotten. One of
//! the two takes the next number, and the other looks again.

use nightjar_format::SessionId;
use nightjar_format::ledger::LedgerBody;

use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;

/// Holds snapshots, `until` that time in Unix nanoseconds or until they are released. Returns the
/// number of the ledger's record. Any slot may.
pub fn hold(
    repository: &Repository,
    ids: &[SessionId],
    until: Option<i64>,
    who: &str,
    why: &str,
) -> Result<u64> {
    append(repository, ids, |snapshots| LedgerBody::Hold {
        snapshots,
        until,
        who: who.to_owned(),
        why: why.to_owned(),
    })
}

/// Ends all holds on snapshots. Returns the number of the ledger's record.
pub fn release(repository: &Repository, ids: &[SessionId], who: &str, why: &str) -> Result<u64> {
    repository.require_full("release snapshots")?;
    append(repository, ids, |snapshots| LedgerBody::Release {
        snapshots,
        who: who.to_owned(),
        why: why.to_owned(),
    })
}

fn append(
    repository: &Repository,
    ids: &[SessionId],
    body: impl Fn(Vec<SessionId>) -> LedgerBody,
) -> Result<u64> {
    let appended = ledger::append_decided(repository, |ledger| {
        require_unforgotten(ledger, ids)?;
        Ok(Some(body(ids.to_vec())))
    })?;
    let position = appended.ok_or(RepositoryError::Internal("a hold was not appended"))?;
    Ok(position.number)
}

fn require_unforgotten(ledger: &Ledger, ids: &[SessionId]) -> Result<()> {
    match ids.iter().find(|id| ledger.state.forgotten.contains(id)) {
        None => Ok(()),
        Some(id) => Err(RepositoryError::NoSuchSnapshot(format!(
            "snapshot {} was forgotten at this moment; nothing was changed",
            id.short()
        ))),
    }
}
