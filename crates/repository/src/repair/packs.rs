//! Packs: which are to be fetched, and which may be relied on again.
//!
//! A pack's id is the hash of its bytes, so whoever hands it out needs no trust. Whether it holds what
//! index objects say is another matter: one that is recorded as damaged is relied on again only when
//! it was read whole from the store and found to be sound, as `packs::content` defines it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_format::blob::BlobKind;
use nightjar_format::ledger::{LedgerBody, LedgerState};
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{PackId, limits};
use nightjar_storage::{Pending, Purpose};

use super::listings::{Listed, Listings, is_listed_with};
use super::{Left, Means, Mend, Plan, Repairing, Report, Trouble, listings, or_damage};
use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::sync::{self, Copies, open_private};
use crate::ledger::{self, Ledger};
use crate::packs::{Decoded, WholePack, header_of, purpose_of, stored_sizes};
use crate::read::Reader;
use crate::repository::Repository;

/// Packs written at once: this bounds the memory they take.
const AT_ONCE: usize = 3;

/// What can be done about packs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) mends: Vec<Mend>,
    pub(super) suspects: BTreeSet<PackId>,
    pub(super) left: Vec<Left>,
    pub(super) read: u64,
}

/// Looks at both stores; reads packs that are recorded as damaged, or all.
pub(super) fn plan(
    repairing: &Repairing,
    listings: &Listings,
    check: bool,
    progress: &Progress,
) -> Result<Planned> {
    let Repairing { repository, copy, ledger, .. } = repairing;
    let here = stored_sizes(repository)?;
    let mut there = HashMap::new();
    for info in copy.list("packs")? {
        if let Some(ObjectName::Pack(id)) = ObjectName::parse(&info.name) {
            there.insert(id, info.size);
        }
    }
    let state = &ledger.state;
    let to_read = |id: &PackId, listed: &Listed| {
        let has_size = here.get(id).is_some_and(|size| is_listed_with(listed, *size));
        has_size && !state.retired.contains(id) && (check || state.damaged.contains(id))
    };
    let to_read = listings.0.iter().filter(|(id, listed)| to_read(id, listed));
    let to_read: Vec<(ObjectName, u64)> = to_read
        .map(|(id, _)| (ObjectName::Pack(*id), here.get(id).copied().unwrap_or(0)))
        .collect();
    progress.total.store(to_read.iter().map(|(_, size)| size).sum(), Ordering::Relaxed);
    let (mut altered, mut read) = (BTreeSet::new(), 0);
    for (name, object) in Ahead::new(repository, to_read.into_iter(), limits::PACK_BYTES) {
        let ObjectName::Pack(id) = name else { continue };
        let object = or_damage(object)?;
        read += 1;
        Progress::add(&progress.bytes, object.as_ref().map_or(0, |object| object.len() as u64));
        if !object.is_ok_and(|object| digest::pack_id(&object) == id) {
            altered.insert(id);
        }
    }
    Ok(Planned { read, ..decide(listings, &here, &there, state, &altered) })
}

/// Says what to fetch and what cannot be had.
fn decide(
    listings: &Listings,
    here: &HashMap<PackId, u64>,
    there: &HashMap<PackId, u64>,
    state: &LedgerState,
    altered: &BTreeSet<PackId>,
) -> Planned {
    let mut planned = Planned::default();
    for (id, listed) in &listings.0 {
        if state.retired.contains(id) {
            continue;
        }
        if state.damaged.contains(id) {
            planned.suspects.insert(*id);
        }
        let (trouble, problem) = match here.get(id) {
            None => (Trouble::Missing, "it is missing"),
            Some(size) if !is_listed_with(listed, *size) => {
                (Trouble::Damaged, "it has another size")
            }
            Some(_) if altered.contains(id) => (Trouble::Damaged, "its bytes were altered"),
            Some(_) => continue,
        };
        let name = ObjectName::Pack(*id);
        let why = match there.get(id) {
            Some(bytes) if is_listed_with(listed, *bytes) => {
                planned.mends.push(Mend { name, trouble, means: Means::Copy, bytes: *bytes });
                continue;
            }
            Some(_) => "that of the copy has not the size either that an index object tells",
            None => "the copy does not have it",
        };
        planned.left.push(Left::new(name, format!("{problem}, and {why}")));
    }
    planned
}

/// Fetches the planned packs; each is written only if its bytes hash to its id.
pub(super) fn fetch(
    repairing: &Repairing,
    plan: &Plan,
    retired: &BTreeSet<PackId>,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let Repairing { repository, copy, .. } = repairing;
    let is_wanted =
        |mend: &&Mend| matches!(mend.name, ObjectName::Pack(id) if !retired.contains(&id));
    let wanted: BTreeMap<ObjectName, Mend> =
        plan.mends.iter().filter(is_wanted).map(|mend| (mend.name, *mend)).collect();
    progress.bytes.store(0, Ordering::Relaxed);
    progress.total.store(wanted.values().map(|mend| mend.bytes).sum(), Ordering::Relaxed);
    let names = wanted.values().map(|mend| (mend.name, mend.bytes));
    let one_at_a_time = repository.environment.one_at_a_time;
    let at_once = if one_at_a_time { 1 } else { AT_ONCE };
    let mut under_way: VecDeque<(Mend, Pending<()>)> = VecDeque::new();
    for (name, object) in Ahead::over(copy, one_at_a_time, names, limits::PACK_BYTES) {
        let (ObjectName::Pack(id), Some(mend)) = (name, wanted.get(&name)) else { continue };
        let object = match or_damage(object)? {
            Ok(object) if digest::pack_id(&object) == id => object,
            Ok(_) => {
                let why = "that of the copy is damaged too: its bytes do not hash to its id";
                report.left.push(Left::new(name, why));
                continue;
            }
            Err(why) => {
                report.left.push(Left::new(name, format!("that of the copy cannot be had: {why}")));
                continue;
            }
        };
        Progress::add(&progress.bytes, object.len() as u64);
        let header = header_of(&id, &object);
        let purpose = header.map_or(Purpose::Metadata, |header| purpose_of(header.kind));
        if under_way.len() >= at_once {
            settle_oldest(&mut under_way, report, progress)?;
        }
        under_way.push_back((*mend, repository.store.start_put(name.to_string(), object, purpose)));
    }
    while !under_way.is_empty() {
        settle_oldest(&mut under_way, report, progress)?;
    }
    Ok(())
}

fn settle_oldest(
    under_way: &mut VecDeque<(Mend, Pending<()>)>,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    if let Some((mend, pending)) = under_way.pop_front() {
        pending.wait()?;
        Progress::add(&progress.stored, mend.bytes);
        Progress::add(&progress.items, 1);
        report.mended.push(mend);
    }
    Ok(())
}

/// Deletes again what was retired since `before` was read, and says in the ledger which of the packs
/// that are recorded as damaged may be relied on.
pub(super) fn settle(
    repairing: &Repairing,
    plan: &Plan,
    before: &Ledger,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let repository = &repairing.repository;
    let ledger = ledger::read(repository)?;
    let is_retired = |mend: &Mend| matches!(mend.name, ObjectName::Pack(id) if ledger.state.retired.contains(&id));
    for mend in report.mended.iter().filter(|mend| is_retired(mend)) {
        if let Err(error) = repository.store.delete(&mend.name.to_string()) {
            tracing::debug!("cannot delete {}: {error}; gc will", mend.name);
        }
    }
    report.mended.retain(|mend| !is_retired(mend));
    let suspects: BTreeSet<PackId> =
        plan.suspects.difference(&ledger.state.retired).copied().collect();
    if suspects.is_empty() {
        return Ok(());
    }
    let mut sound = look_again(repository, &suspects, &ledger.state.retired, report, progress)?;
    ledger::append_decided(repository, |ledger| {
        // Who found one damaged since then may know better than who read it before.
        let (damaged, _) = ledger.packs_named_after(before.head.number);
        let LedgerState { damaged: recorded, retired, .. } = &ledger.state;
        sound.retain(|id| recorded.contains(id) && !retired.contains(id) && !damaged.contains(id));
        let packs: Vec<PackId> = sound.iter().copied().collect();
        Ok((!packs.is_empty()).then_some(LedgerBody::Repaired { packs }))
    })?;
    report.repaired = sound;
    Ok(())
}

/// Reads packs whole from the store and returns those that may be relied on.
fn look_again(
    repository: &Repository,
    suspects: &BTreeSet<PackId>,
    retired: &BTreeSet<PackId>,
    report: &mut Report,
    progress: &Progress,
) -> Result<BTreeSet<PackId>> {
    let listings = listings::read(repository)?.packs;
    let reader = match open_private(repository, Copies::Refused) {
        Err(RepositoryError::LocalIndex(why)) => {
            tracing::warn!("the local index failed ({why}); making it anew");
            sync::discard(repository)?;
            open_private(repository, Copies::Refused)
        }
        opened => opened,
    };
    let reader = Reader::over(repository, Arc::new(reader?.0), None, progress);
    let here = stored_sizes(repository)?;
    let names =
        suspects.iter().map(|id| (ObjectName::Pack(*id), here.get(id).copied().unwrap_or(0)));
    let told: HashSet<String> = report.left.iter().map(|left| left.object.clone()).collect();
    let mut sound = BTreeSet::new();
    for (name, object) in Ahead::new(repository, names, limits::PACK_BYTES) {
        let ObjectName::Pack(id) = name else { continue };
        let Some(listed) = listings.0.get(&id) else { continue };
        let checked = object.and_then(|object| check(&reader, &id, listed, &object, retired));
        match or_damage(checked)? {
            Ok(Ok(())) => drop(sound.insert(id)),
            Ok(Err(why)) | Err(why) if !told.contains(&name.to_string()) => {
                let why = format!("{why}; it stays recorded as damaged");
                report.left.push(Left::new(name, why));
            }
            _ => {}
        }
    }
    Ok(sound)
}

/// Why a pack cannot be relied on, if so.
fn check(
    reader: &Reader<'_>,
    id: &PackId,
    listed: &Listed,
    object: &Bytes,
    retired: &BTreeSet<PackId>,
) -> Result<std::result::Result<(), String>> {
    if digest::pack_id(object) != *id {
        return Ok(Err("its bytes do not hash to its id".into()));
    }
    let repository = reader.repository;
    let is_data = header_of(id, object)?.kind == BlobKind::Data;
    if is_data && repository.keychain.role() != Role::Full {
        let why = "its bytes are right; whether it holds what the index says, only a full slot \
                   can tell";
        return Ok(Err(why.into()));
    }
    let whole = WholePack::open(repository, id, object)?;
    listed.iter().try_for_each(|listing| whole.require(listing))?;
    let decoded = whole.decode(reader)?;
    let Decoded { why, lost_bases, .. } = decoded.without_collected(reader, retired)?;
    let base = lost_bases.into_values().next();
    let base = base.map(|why| format!("what a blob of it rests on is lost: {why}"));
    Ok(why.or(base).map_or(Ok(()), Err))
}

#[cfg(test)]
mod tests {
    use nightjar_format::Digest;

    use super::*;
    use crate::packs::Listing;

    fn id(number: u8) -> PackId {
        PackId([number; 32])
    }

    fn listing(pack_id: PackId, size: u64) -> Listed {
        BTreeSet::from([Listing { pack_id, kind: BlobKind::Data, size, table: Digest([0; 32]) }])
    }

    #[test]
    fn what_is_missing_or_altered_here_and_not_retired_is_fetched() {
        let listings = (1..=8).map(|number| (id(number), listing(id(number), 10)));
        let listings = Listings(listings.collect());
        let here = HashMap::from([(id(1), 10), (id(3), 9), (id(4), 10), (id(5), 10), (id(8), 10)]);
        let there = HashMap::from([
            (id(1), 10),
            (id(2), 10),
            (id(3), 10),
            (id(4), 10),
            (id(6), 10),
            (id(7), 9),
        ]);
        let mut state = LedgerState::default();
        state.retired.insert(id(6));
        state.damaged.extend([id(4), id(8)]);
        let altered = BTreeSet::from([id(4), id(5)]);
        let planned = decide(&listings, &here, &there, &state, &altered);
        let mend = |number, trouble| {
            let name = ObjectName::Pack(id(number));
            Mend { name, trouble, means: Means::Copy, bytes: 10 }
        };
        assert_eq!(
            planned.mends,
            [mend(2, Trouble::Missing), mend(3, Trouble::Damaged), mend(4, Trouble::Damaged)]
        );
        assert_eq!(planned.suspects, BTreeSet::from([id(4), id(8)]));
        let left: Vec<&str> = planned.left.iter().map(|left| left.object.as_str()).collect();
        let names = [5, 7].map(|number| ObjectName::Pack(id(number)).to_string());
        assert_eq!(left, names);
    }
}
