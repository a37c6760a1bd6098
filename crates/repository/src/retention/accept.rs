//! Somebody has looked: the sizes of a series are as they should be.

use nightjar_format::ledger::LedgerBody;

use super::policy::Policy;
use crate::error::{RepositoryError, Result};
use crate::ledger;
use crate::repository::Repository;
use crate::snapshots::SnapshotInfo;

/// Accepts the sizes of a series up to this snapshot: those that come are compared with it and what
/// comes after it. Returns the number of the ledger's record.
pub fn accept(repository: &Repository, info: &SnapshotInfo, who: &str, why: &str) -> Result<u64> {
    repository.require_full("accept the sizes of snapshots")?;
    let up_to = info.snapshot.started;
    let now = repository.environment.clock.now();
    if up_to > now.saturating_add(Policy::TOLERANCE) {
        // Every snapshot that comes would be accepted with it.
        return Err(RepositoryError::Refused(format!(
            "snapshot {} claims to have begun in the future and counts for nothing; forget it, or \
             accept another one",
            info.id.short()
        )));
    }
    let position = ledger::append(
        repository,
        &LedgerBody::Accept {
            series: info.snapshot.series.clone(),
            up_to,
            who: who.to_owned(),
            why: why.to_owned(),
        },
    )?;
    Ok(position.number)
}
