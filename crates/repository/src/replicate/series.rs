//! What a replica of some series is to have (format-spec, chapter 15, Some series only).
//!
//! Of registers, those of the series and all fences; of packs, those that hold what these snapshots
//! need, each blob at the place that a collector would keep (`gc::mark`). All else is small, and is
//! copied as ever.
//!
//! **Walked is what is new.** Which packs a snapshot needs stays true until one of them is retired. So
//! it is noted on this machine, by the target's address, when a pass is brought to an end, and a pass
//! without news walks nothing. Where there is no note, or a pack in it is retired, gone or damaged, all
//! snapshots are walked that are chosen or in the replica already: so none ever rests on what the
//! replica's own ledger retires, and a pack that somebody deleted in the replica is copied again.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use nightjar_format::ledger::LedgerState;
use nightjar_format::object::ObjectName;
use nightjar_format::{BlobId, PackId, SessionId};
use nightjar_storage::Store;

use super::note::Needs;
use super::plan::{Kind, Listing};
use super::{Unsound, is_ledger_as_listed};
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::gc::mark::{Fate, mark};
use crate::index::database::Standing;
use crate::index::sync::{Copies, open_private};
use crate::ledger;
use crate::read::Reader;
use crate::repository::Repository;
use crate::snapshots::{self, SnapshotInfo, SnapshotList};

/// Says of a series whether it is to be copied.
pub type SeriesFilter<'a> = &'a dyn Fn(&str) -> bool;

/// What the replica is to have.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) needs: Needs,
    /// Snapshots that are left out: their series is not known, or what they need is not there.
    pub(super) left_out: Vec<Unsound>,
}

/// Leaves in `here`, which lists the source, what the replica is to have; `there` is what it has.
/// `None` if somebody wrote to the ledger meanwhile, and something went.
pub(super) fn choose(
    repository: &Repository,
    filter: SeriesFilter<'_>,
    here: &mut Listing,
    there: &Listing,
    target: &Store,
) -> Result<Option<Chosen>> {
    let ledger = ledger::read(repository)?;
    let list = snapshots::list_under(repository, &ledger)?;
    let chosen = chosen_of(&list, filter, here, there);
    let mut left_out = unknown_of(&list, here);
    let noted = Needs::read(repository, target);
    let mut needs = noted.filter(|it| it.hold(&ledger.state, here, there)).unwrap_or_default();
    let ids: BTreeSet<SessionId> = chosen.iter().map(|info| info.id).collect();
    needs.snapshots.retain(|id| ids.contains(id));
    let is_new = |info: &&SnapshotInfo| !needs.snapshots.contains(&info.id);
    let new: Vec<&SnapshotInfo> = chosen.into_iter().filter(is_new).collect();
    if !new.is_empty() {
        let Some(walked) = walk(repository, &ledger.state, here, there, &new)? else {
            return Ok(None);
        };
        needs.packs.extend(walked.needed);
        needs.snapshots.extend(walked.whole);
        left_out.extend(walked.lost);
        here.extend(walked.packs);
    }
    let fences = fences(&list);
    here.retain(|name| match name {
        ObjectName::Pack(id) => needs.packs.contains(id),
        ObjectName::Snapshot(id) => needs.snapshots.contains(id) || fences.contains(id),
        // They hold copies of the registers of all series.
        ObjectName::Bundle(..) => false,
        _ => true,
    });
    Ok(Some(Chosen { needs, left_out }))
}

fn unsound(id: SessionId, why: &str) -> Unsound {
    let object = ObjectName::Snapshot(id).to_string();
    let damaged = RepositoryError::Damaged { object: object.clone(), why: why.to_owned() };
    Unsound { object, problem: damaged.to_string() }
}

fn has(listing: &Listing, id: SessionId) -> bool {
    listing.get(&ObjectName::Snapshot(id)).is_some()
}

/// The snapshots of the series, and those that the replica has already.
fn chosen_of<'a>(
    list: &'a SnapshotList,
    filter: SeriesFilter<'_>,
    here: &Listing,
    there: &Listing,
) -> Vec<&'a SnapshotInfo> {
    let is_chosen = |info: &&SnapshotInfo| {
        has(here, info.id) && (filter(&info.snapshot.series) || has(there, info.id))
    };
    list.snapshots.iter().filter(is_chosen).collect()
}

fn unknown_of(list: &SnapshotList, here: &Listing) -> Vec<Unsound> {
    let lost = list.lost.iter().filter(|id| has(here, **id));
    lost.map(|id| unsound(*id, "it cannot be opened, so its series is not known")).collect()
}

/// Registers that are no snapshots, and were never told to be.
fn fences(list: &SnapshotList) -> BTreeSet<SessionId> {
    let mut ids: BTreeSet<SessionId> = list.registers().collect();
    for info in list.snapshots.iter().chain(&list.forgotten) {
        ids.remove(&info.id);
    }
    ids.difference(&list.lost).copied().collect()
}

/// What walking snapshots found.
#[derive(Default)]
struct Walked {
    /// The packs in the source.
    packs: Listing,
    needed: BTreeSet<PackId>,
    whole: Vec<SessionId>,
    lost: Vec<Unsound>,
}

impl Walked {
    fn add(&mut self, snapshots: &[&SnapshotInfo], needed: Vec<PackId>) {
        self.whole.extend(snapshots.iter().map(|info| info.id));
        self.needed.extend(needed);
    }
}

/// Finds out which packs snapshots need, the oldest of which comes first.
fn walk(
    repository: &Repository,
    ledger: &LedgerState,
    here: &Listing,
    there: &Listing,
    snapshots: &[&SnapshotInfo],
) -> Result<Option<Walked>> {
    // The index after the snapshots, the packs after the index: so all that they need is seen.
    let (index, _) = open_private(repository, Copies::Welcome)?;
    let packs = Listing::of(repository.store(), Kind::Packs)?;
    // What is read here is no part of what is copied.
    let progress = Progress::default();
    let reader = Reader::over(repository, Arc::new(index), None, &progress);
    let finder = Finder { fates: fates(&reader, ledger, &packs, there)?, reader };
    let mut walked = Walked { packs, ..Walked::default() };
    match finder.packs_of(snapshots) {
        Ok(needed) => walked.add(snapshots, needed),
        Err(error) if !error.is_damage() => return Err(error),
        Err(_) if !is_ledger_as_listed(repository.store(), here)? => return Ok(None),
        // One that cannot be had keeps no other from being copied.
        Err(_) => {
            for info in snapshots {
                match finder.packs_of(&[info]) {
                    Ok(needed) => walked.add(&[info], needed),
                    Err(error) if error.is_damage() => {
                        walked.lost.push(unsound(info.id, &error.to_string()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }
    Ok(Some(walked))
}

/// What becomes of each pack, by ordinal: those stay that a reader of the replica will find.
fn fates(
    reader: &Reader<'_>,
    ledger: &LedgerState,
    here: &Listing,
    there: &Listing,
) -> Result<Vec<Fate>> {
    let packs = reader.index.packs()?;
    let ordinals = packs.iter().map(|(ordinal, _)| *ordinal as usize + 1).max();
    let mut fates = vec![Fate::Absent; ordinals.unwrap_or_default()];
    for (ordinal, info) in packs {
        let name = ObjectName::Pack(info.pack_id);
        let has = |listing: &Listing| listing.get(&name).is_some_and(|it| it.size == info.size);
        let is_there = info.standing == Standing::Listed
            && !ledger.retired.contains(&info.pack_id)
            && (has(here) || has(there));
        let fate = match is_there {
            false => Fate::Absent,
            true if ledger.damaged.contains(&info.pack_id) => Fate::Suspect,
            true => Fate::Stays,
        };
        if let Some(slot) = fates.get_mut(ordinal as usize) {
            *slot = fate;
        }
    }
    Ok(fates)
}

struct Finder<'a> {
    reader: Reader<'a>,
    fates: Vec<Fate>,
}

impl Finder<'_> {
    fn packs_of(&self, snapshots: &[&SnapshotInfo]) -> Result<Vec<PackId>> {
        let roots: Vec<BlobId> = snapshots.iter().rev().map(|info| info.snapshot.root).collect();
        let marks = mark(&self.reader, &roots, &self.fates, &HashSet::new())?;
        let is_needed =
            |ordinal: u32| marks.blobs.get(ordinal as usize).is_some_and(|blobs| *blobs > 0);
        let packs = self.reader.index.packs()?.into_iter();
        Ok(packs.filter(|(it, _)| is_needed(*it)).map(|(_, info)| info.pack_id).collect())
    }
}
