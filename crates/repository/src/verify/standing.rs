//! Damage that is known without reading a pack: what the ledger records, and what is not in the store.
//!
//! The ledger does not tell which blobs of a pack are lost: here all of them may be. A check at the
//! level data tells.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nightjar_format::{PackId, SessionId};

use super::hits::{self, BadPack, Lost, PackHits, SnapshotHit};
use super::listed::Listed;
use crate::environment::Progress;
use crate::error::Result;
use crate::index::LocalIndex;
use crate::index::sync::{Copies, open_private};
use crate::ledger::{self, Ledger};
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;
use crate::snapshots::SnapshotInfo;

/// Packs that are damaged or missing, and what rests on them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StandingDamage {
    /// The packs, whatever rests on them.
    pub packs: Vec<DamagedPack>,
    /// The snapshots of which something lies in these packs alone, lost or not.
    pub hits: Vec<SnapshotHit>,
    /// Snapshots of which there was no time to find out whether they are among these.
    pub hits_unknown: u64,
}

/// A pack that is not to be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedPack {
    /// Which.
    pub pack: PackId,
    /// What is wrong with it, for people to read.
    pub problem: String,
    /// Blobs in it. The ledger does not tell how many of them are lost.
    pub blobs: u64,
    /// The snapshots of which something lies in it, and nowhere else but in others of these.
    pub snapshots: Vec<SessionId>,
    /// How many there are besides: only where very much is lost.
    pub more_snapshots: u64,
}

/// The damage that is known, and what of these snapshots it hits. They are walked only if there is
/// any.
pub fn standing_damage(
    repository: &Repository,
    snapshots: &[&SnapshotInfo],
) -> Result<StandingDamage> {
    let ledger = ledger::read(repository)?;
    let (index, _) = open_private(repository, Copies::Welcome)?;
    // After the index: what that lists is in the store.
    let sizes = stored_sizes(repository)?;
    standing_in(repository, index, &ledger, &sizes, snapshots, None)
}

/// The same by an index and a listing that are at hand. No snapshot but the first is begun after the
/// deadline, in Unix nanoseconds.
pub(crate) fn standing_in(
    repository: &Repository,
    index: LocalIndex,
    ledger: &Ledger,
    sizes: &HashMap<PackId, u64>,
    snapshots: &[&SnapshotInfo],
    deadline: Option<i64>,
) -> Result<StandingDamage> {
    let listed = Listed::new(&index, sizes)?;
    let mut bad = BTreeMap::new();
    for (ordinal, pack) in listed.all() {
        let recorded = ledger.state.damaged.contains(&pack.id);
        let recorded = recorded.then(|| "the ledger records it as damaged".to_owned());
        if let Some(problem) = pack.problem().or(recorded) {
            bad.insert(ordinal, BadPack { problem, lost: Lost::All });
        }
    }
    if !bad.is_empty() {
        // A collector may have been at work since the index was read.
        let now = ledger::read(repository)?.state;
        bad.retain(|ordinal, _| {
            listed.get(*ordinal).is_some_and(|pack| !now.retired.contains(&pack.id))
        });
    }
    if bad.is_empty() {
        return Ok(StandingDamage::default());
    }
    let progress = Progress::default();
    let reader = Reader::over(repository, Arc::new(index), None, &progress);
    let clock = &repository.environment.clock;
    let is_over = || deadline.is_some_and(|deadline| clock.now() >= deadline);
    let mut hits = hits::find(&reader, &listed, &bad, snapshots, &is_over)?;
    let mut packs = Vec::with_capacity(bad.len());
    for (ordinal, BadPack { problem, .. }) in bad {
        let info = reader.index.pack(ordinal)?;
        let PackHits { snapshots, more } = hits.by_pack.remove(&ordinal).unwrap_or_default();
        packs.push(DamagedPack {
            pack: info.pack_id,
            problem,
            blobs: info.blobs,
            snapshots,
            more_snapshots: more,
        });
    }
    packs.sort_by_key(|it| it.pack);
    let hits_unknown = (snapshots.len() - hits.walked) as u64;
    Ok(StandingDamage { packs, hits: hits.snapshots, hits_unknown })
}
