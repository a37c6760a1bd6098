//! Recording in the ledger what is damaged, and what is sound again (format-spec, chapter 14).

use nightjar_format::PackId;
use nightjar_format::ledger::LedgerBody;

use super::check::Outcome;
use crate::error::Result;
use crate::ledger;
use crate::repository::Repository;

/// Appends what is not recorded yet. A check does not fail where that is not possible: it is told.
pub(super) fn record(repository: &Repository, outcome: &mut Outcome) {
    // The ledger of a replica is that of its source, and so are the packs that it speaks of.
    if repository.is_replica() {
        return;
    }
    match record_damaged(repository, outcome) {
        Ok(packs) => outcome.report.recorded_damaged = packs,
        Err(error) => outcome
            .report
            .unrecorded
            .push(format!("the damage could not be recorded, so backups may rely on it: {error}")),
    }
    match record_repaired(repository, outcome) {
        Ok(packs) => outcome.report.recorded_repaired = packs,
        Err(error) => outcome
            .report
            .unrecorded
            .push(format!("that packs are sound again could not be recorded: {error}")),
    }
}

fn record_damaged(repository: &Repository, outcome: &Outcome) -> Result<Vec<PackId>> {
    let mut packs = Vec::new();
    if outcome.damaged.is_empty() {
        return Ok(packs);
    }
    ledger::append_decided(repository, |ledger| {
        // What was read before somebody mended a pack says nothing of it.
        let (_, repaired) = ledger.packs_named_after(outcome.head);
        let is_news = |id: &&PackId| {
            !ledger.state.damaged.contains(*id)
                && !ledger.state.retired.contains(*id)
                && !repaired.contains(*id)
        };
        packs = outcome.damaged.iter().filter(is_news).copied().collect();
        Ok((!packs.is_empty()).then(|| LedgerBody::Damaged { packs: packs.clone() }))
    })?;
    Ok(packs)
}

fn record_repaired(repository: &Repository, outcome: &Outcome) -> Result<Vec<PackId>> {
    let mut packs = Vec::new();
    if outcome.sound_again.is_empty() {
        return Ok(packs);
    }
    ledger::append_decided(repository, |ledger| {
        // Who found a pack damaged since then may know better than who read it before.
        let (damaged, _) = ledger.packs_named_after(outcome.head);
        let is_news = |id: &&PackId| ledger.state.damaged.contains(*id) && !damaged.contains(*id);
        packs = outcome.sound_again.iter().filter(is_news).copied().collect();
        Ok((!packs.is_empty()).then(|| LedgerBody::Repaired { packs: packs.clone() }))
    })?;
    Ok(packs)
}
