//! Listing, finding and forgetting snapshots.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_codec::digest;
use nightjar_codec::metadata::Opened;
use nightjar_format::ledger::{Hold, LedgerBody};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::slot::Role;
use nightjar_format::snapshot::{Previous, Register, Snapshot};
use nightjar_format::{Digest, SessionId, SlotId, limits};
use nightjar_storage::StoreError;

use crate::bundles::fill_cache;
use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;

/// A committed snapshot.
#[derive(Debug, Clone)]
pub struct SnapshotInfo {
    /// Which.
    pub id: SessionId,
    /// BLAKE3 of its object.
    pub digest: Digest,
    /// Who signed it.
    pub signer: SlotId,
    /// The role of that slot.
    pub role: Role,
    /// When the store says it was written, in Unix nanoseconds.
    pub stored: i64,
    /// Its record.
    pub snapshot: Snapshot,
    /// Who holds it, those whose time has come among them.
    pub holds: Vec<Hold>,
    /// A record forgets it, and it is still there: only in a replica.
    pub forgotten: bool,
    /// It was in the replica that was promoted: when it was stored says nothing about when it was made.
    pub was_copied: bool,
}

impl SnapshotInfo {
    /// Whether it was made from another one, whose times it has, by somebody who may do so.
    pub fn is_rewritten(&self) -> bool {
        self.snapshot.original.is_some() && self.role == Role::Full
    }

    /// The snapshots that it names: the one before it, and the one it was made from.
    fn named(&self) -> impl Iterator<Item = Previous> {
        self.snapshot.previous.into_iter().chain(self.snapshot.original)
    }
}

/// All committed, not forgotten snapshots, and what is wrong with others.
#[derive(Debug, Clone)]
pub struct SnapshotList {
    /// Oldest first.
    pub snapshots: Vec<SnapshotInfo>,
    /// What a replica still has of snapshots that a record forgets, oldest first: they are meant only
    /// where their ids are given.
    pub forgotten: Vec<SnapshotInfo>,
    /// What is not as it should be, for people to read.
    pub findings: Vec<String>,
    /// For each series, the start of the newest snapshot whose size somebody found to be right, in
    /// Unix nanoseconds.
    pub accepted: BTreeMap<String, i64>,
    /// Snapshots that should be there and cannot be read, or are gone; `findings` says so too.
    pub lost: BTreeSet<SessionId>,
    /// Registers that came after a promotion from the store that was given up: no snapshots.
    pub late: BTreeSet<SessionId>,
    /// Snapshots of which a later one says that they were others; `findings` says so too.
    pub exchanged: BTreeSet<SessionId>,
    names: BTreeSet<String>,
}

/// Lists the snapshots that exist.
pub fn list(repository: &Repository) -> Result<SnapshotList> {
    let ledger = ledger::read(repository)?;
    list_under(repository, &ledger)
}

/// Lists the snapshots that exist by a ledger that was just read.
pub fn list_under(repository: &Repository, ledger: &Ledger) -> Result<SnapshotList> {
    let forgotten: &BTreeSet<SessionId> = &ledger.state.forgotten;
    let mut found = SnapshotList {
        snapshots: Vec::new(),
        forgotten: Vec::new(),
        findings: ledger.findings.clone(),
        accepted: ledger.state.accepted.clone(),
        lost: BTreeSet::new(),
        late: BTreeSet::new(),
        exchanged: BTreeSet::new(),
        names: BTreeSet::new(),
    };
    let was_copied = |id: &SessionId| {
        ledger.state.promoted.as_ref().is_some_and(|(_, copied)| copied.contains(id))
    };
    // What is there can be read in a replica, whatever was forgotten since.
    let is_out = |id: &SessionId| forgotten.contains(id) && !ledger.is_replica;
    for id in repository.cache.snapshots().iter().filter(|id| is_out(id)) {
        repository.cache.remove(&ObjectName::Snapshot(*id));
    }
    let listed = repository.store.list("snapshots")?;
    let wanted = listed.iter().filter_map(|info| match ObjectName::parse(&info.name)? {
        name @ ObjectName::Snapshot(id) if !is_out(&id) => Some((name, info.size)),
        _ => None,
    });
    fill_cache(repository, wanted)?;
    for info in listed {
        found.names.insert(info.name.clone());
        let Some(name @ ObjectName::Snapshot(id)) = ObjectName::parse(&info.name) else {
            continue;
        };
        if is_out(&id) {
            continue;
        }
        let forgotten = forgotten.contains(&id);
        match fetch(repository, &name) {
            Ok((digest, Opened { record: Register::Committed(snapshot), signer, role, .. })) => {
                if !ledger.state.admits(&id, snapshot.incarnation) {
                    found.findings.push(late(&id));
                    found.late.insert(id);
                    continue;
                }
                let stored = info.modified_unix_nanos;
                let holds = ledger.state.holds_on(&id).to_vec();
                let snapshot = *snapshot;
                let list = if forgotten { &mut found.forgotten } else { &mut found.snapshots };
                list.push(SnapshotInfo {
                    id,
                    digest,
                    signer,
                    role,
                    stored,
                    snapshot,
                    holds,
                    forgotten,
                    was_copied: was_copied(&id),
                });
            }
            Err(error) if forgotten && error.is_damage() => {}
            Ok((_, Opened { record: Register::Fence { .. }, .. })) => {}
            // Gone since it was listed: forgotten, or found missing below.
            Err(_) if repository.store.head(&info.name)?.is_none() => {
                found.names.remove(&info.name);
            }
            Err(error) if error.is_damage() => {
                if ledger::are_keys_old(repository)? {
                    // What was sealed or signed since then is not damaged.
                    return Err(RepositoryError::KeysChanged);
                }
                found.findings.push(error.to_string());
                found.lost.insert(id);
            }
            Err(error) => return Err(error),
        }
    }
    for list in [&mut found.snapshots, &mut found.forgotten] {
        list.sort_by_key(|info| (info.snapshot.started, info.id));
    }
    // One that came and went between two passes of a replicator never was in the replica.
    if !ledger.is_replica {
        find_missing(repository, ledger, &mut found)?;
    }
    find_exchanged(&mut found);
    Ok(found)
}

/// Reports snapshots that are not those that a later one followed on.
fn find_exchanged(found: &mut SnapshotList) {
    let digests: BTreeMap<SessionId, Digest> =
        found.snapshots.iter().map(|info| (info.id, info.digest)).collect();
    let named = found.snapshots.iter().flat_map(|info| info.named().map(move |it| (info, it)));
    for (info, Previous { id, digest }) in named {
        if digests.get(&id).is_some_and(|there| *there != digest) {
            let (name, later) = (ObjectName::Snapshot(id), ObjectName::Snapshot(info.id));
            found.findings.push(format!(
                "{name} is not the one that {later} (signed by slot {}) says it followed on: one of \
                 them was exchanged",
                info.signer.short()
            ));
            found.exchanged.insert(id);
        }
    }
}

/// What to say of a snapshot that was committed in a store that was given up, and came after that.
fn late(id: &SessionId) -> String {
    let (name, short) = (ObjectName::Snapshot(*id), id.short());
    format!(
        "{name} is no part of the repository: it was backed up in the store that this one stands in \
         for, and came here after the promotion; `nightjar snapshot forget {short} --reason …` strikes \
         it off"
    )
}

/// Reports snapshots that a later one names, that this machine has seen or that a promotion found, and
/// that are neither there nor forgotten.
fn find_missing(repository: &Repository, ledger: &Ledger, found: &mut SnapshotList) -> Result<()> {
    let forgotten = &ledger.state.forgotten;
    // What came and went between two passes of a replicator never was in the replica.
    let copied = found.snapshots.iter().filter(|info| !info.was_copied);
    let named = copied.flat_map(SnapshotInfo::named).map(|named| named.id);
    let promoted = ledger.state.promoted.iter().flat_map(|(_, copied)| copied.iter().copied());
    let known = named.chain(promoted).chain(repository.cache.snapshots());
    let mut missing: BTreeSet<SessionId> = known.filter(|id| !forgotten.contains(id)).collect();
    for info in &found.snapshots {
        missing.remove(&info.id);
    }
    // A damaged or fenced one is there, and was reported where that is due.
    missing.retain(|id| !found.names.contains(&ObjectName::Snapshot(*id).to_string()));
    if missing.is_empty() {
        return Ok(());
    }
    // A fence that has gone is no loss: what it fenced never was a snapshot.
    missing.retain(|id| match cached(repository, id) {
        Some(Register::Fence { .. }) => false,
        Some(Register::Committed(it)) if !ledger.state.admits(id, it.incarnation) => {
            let name = ObjectName::Snapshot(*id);
            tracing::warn!(
                "{name} of the series {} is not here: it was backed up in the store that this one \
                 stands in for, after the last replication; said this once",
                it.series
            );
            repository.cache.remove(&name);
            false
        }
        _ => true,
    });
    // It may have been forgotten since the ledger was read.
    let now = ledger::read(repository)?.state.forgotten;
    for id in missing.difference(&now) {
        let name = ObjectName::Snapshot(*id);
        // It may have come while the others were listed, and another process cached it.
        if repository.store.head(&name.to_string())?.is_none() {
            found.findings.push(format!("{name} is gone, and no ledger record forgets it"));
            found.lost.insert(*id);
        }
    }
    Ok(())
}

fn cached(repository: &Repository, id: &SessionId) -> Option<Register> {
    let name = ObjectName::Snapshot(*id);
    let object = repository.cache.get(&name)?;
    let opened = repository.unseal::<Register>(MetadataKind::Snapshot, &name, &object).ok()?;
    Some(opened.record)
}

fn fetch(repository: &Repository, name: &ObjectName) -> Result<(Digest, Opened<Register>)> {
    let open = |object: &[u8]| -> Result<_> {
        let opened = repository.unseal::<Register>(MetadataKind::Snapshot, name, object)?;
        Ok((digest::hash(object), opened))
    };
    if let Some(object) = repository.cache.get(name)
        && let Ok(read) = open(&object)
    {
        return Ok(read);
    }
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    let object = repository.store.get(&name.to_string(), limit)?;
    let read = open(&object)?;
    repository.cache.put(name, &object);
    Ok(read)
}

impl SnapshotList {
    /// All registers that were listed: snapshots, fences, and what is damaged or forgotten.
    pub(crate) fn registers(&self) -> impl Iterator<Item = SessionId> {
        self.names.iter().filter_map(|name| match ObjectName::parse(name)? {
            ObjectName::Snapshot(id) => Some(id),
            _ => None,
        })
    }

    /// The newest snapshot of a series.
    pub fn latest_of(&self, series: &str) -> Option<&SnapshotInfo> {
        self.snapshots.iter().rev().find(|info| info.snapshot.series == series)
    }

    /// All snapshots of a series, the oldest first.
    pub fn of_series(&self, series: &str) -> Result<Vec<&SnapshotInfo>> {
        let of_series = |info: &&SnapshotInfo| info.snapshot.series == series;
        let found: Vec<&SnapshotInfo> = self.snapshots.iter().filter(of_series).collect();
        if found.is_empty() { Err(self.no_series(series)) } else { Ok(found) }
    }

    /// What a new snapshot of the series names as its predecessor.
    pub(crate) fn previous_of(&self, series: &str) -> Option<Previous> {
        self.latest_of(series).map(|info| Previous { id: info.id, digest: info.digest })
    }

    /// The snapshot that `text` means: `latest`, or the beginning of an id.
    pub fn find(&self, text: &str, series: Option<&str>) -> Result<&SnapshotInfo> {
        if text == "latest" {
            return self.find_latest(series);
        }
        let fits = |info: &&SnapshotInfo| {
            info.id.to_string().starts_with(text)
                && series.is_none_or(|series| info.snapshot.series == series)
        };
        let mut matches = self.snapshots.iter().chain(&self.forgotten).filter(fits);
        match (matches.next(), matches.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(self.missing(format!(
                "there is no snapshot {text:?}; `nightjar snapshot list` shows what there is"
            ))),
            (Some(_), Some(_)) => Err(RepositoryError::NoSuchSnapshot(format!(
                "{text:?} begins the ids of several snapshots; give more digits"
            ))),
        }
    }

    /// The one snapshot that is lost, or came late, and whose id begins so: it can be struck off.
    pub fn find_lost(&self, text: &str) -> Option<SessionId> {
        let mut matches =
            self.lost.iter().chain(&self.late).filter(|id| id.to_string().starts_with(text));
        matches.next().copied().filter(|_| matches.next().is_none())
    }

    fn find_latest(&self, series: Option<&str>) -> Result<&SnapshotInfo> {
        let all: BTreeSet<&str> =
            self.snapshots.iter().map(|info| info.snapshot.series.as_str()).collect();
        let series = match (series, all.len()) {
            (Some(series), _) => series,
            (None, 1) => all.first().copied().unwrap_or_default(),
            (None, 0) => {
                return Err(self.missing("the repository holds no snapshot yet".into()));
            }
            (None, _) => {
                let names: Vec<&str> = all.into_iter().collect();
                return Err(RepositoryError::NoSuchSnapshot(format!(
                    "there is more than one series; say which with --series: {}",
                    names.join(", ")
                )));
            }
        };
        self.latest_of(series).ok_or_else(|| self.no_series(series))
    }

    fn no_series(&self, series: &str) -> RepositoryError {
        self.missing(format!(
            "there is no snapshot of the series {series:?}; \
             `nightjar snapshot list` shows what there is"
        ))
    }

    /// A snapshot that is damaged or gone may be the one that is missed.
    fn missing(&self, message: String) -> RepositoryError {
        if self.findings.is_empty() {
            RepositoryError::NoSuchSnapshot(message)
        } else {
            let why = format!("{} ({message})", self.findings.join("; "));
            RepositoryError::Damaged { object: "the list of snapshots".into(), why }
        }
    }
}

/// Forgets snapshots: first the ledger says so, which settles it; then their objects go, unless
/// the store does not permit it. None is forgotten if one of them is held.
pub fn forget(repository: &Repository, ids: &[SessionId], who: &str, why: &str) -> Result<()> {
    forget_with(repository, ids, who, why, false)
}

/// Forgets snapshots and asks collectors to leave nothing in the store that only they hold. The same
/// can be asked of some that were forgotten before.
pub fn erase(repository: &Repository, ids: &[SessionId], who: &str, why: &str) -> Result<()> {
    forget_with(repository, ids, who, why, true)
}

/// The one snapshot that was forgotten and whose id begins so.
pub fn find_forgotten(repository: &Repository, text: &str) -> Result<Option<SessionId>> {
    let ledger = ledger::read(repository)?;
    let forgotten = ledger.state.forgotten.iter();
    let mut matches = forgotten.filter(|id| id.to_string().starts_with(text));
    Ok(matches.next().copied().filter(|_| matches.next().is_none()))
}

fn forget_with(
    repository: &Repository,
    ids: &[SessionId],
    who: &str,
    why: &str,
    erase: bool,
) -> Result<()> {
    // What it still has of forgotten ones is what a replica is for.
    repository.require_no_replica()?;
    repository.require_full("forget snapshots")?;
    let now = repository.environment.clock.now();
    ledger::append_decided(repository, |ledger| {
        refuse_held(ledger, ids, now)?;
        let forgotten = &ledger.state.forgotten;
        let snapshots: Vec<SessionId> =
            ids.iter().copied().filter(|id| erase || !forgotten.contains(id)).collect();
        let (who, why) = (who.to_owned(), why.to_owned());
        Ok((!snapshots.is_empty()).then_some(LedgerBody::Forget { snapshots, who, why, erase }))
    })?;
    delete_forgotten(repository, ids)
}

/// Refuses if one of these snapshots is held.
pub(crate) fn refuse_held(ledger: &Ledger, ids: &[SessionId], now: i64) -> Result<()> {
    for id in ids {
        if let Some(hold) = ledger.state.holds_on(id).iter().find(|hold| hold.holds_at(now)) {
            let (id, who, why) = (id.short(), &hold.who, &hold.why);
            return Err(RepositoryError::Refused(format!(
                "snapshot {id} is held by {who} ({why}) and cannot be forgotten; nothing was. \
                 `nightjar snapshot release {id} --reason …` ends the hold"
            )));
        }
    }
    Ok(())
}

/// Deletes the objects of snapshots that the ledger forgets, where the store permits it.
pub(crate) fn delete_forgotten<'a>(
    repository: &Repository,
    ids: impl IntoIterator<Item = &'a SessionId>,
) -> Result<()> {
    for id in ids {
        let name = ObjectName::Snapshot(*id);
        match repository.store.delete(&name.to_string()) {
            Err(error @ StoreError::PermissionDenied { .. }) => {
                tracing::warn!("{name} is forgotten, but its object stays in the store: {error}");
            }
            outcome => outcome?,
        }
        repository.cache.remove(&name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_not_told_to_be_missing_where_it_may_be_damaged() {
        let list = |findings: &[&str]| SnapshotList {
            snapshots: Vec::new(),
            forgotten: Vec::new(),
            findings: findings.iter().map(|&finding| finding.into()).collect(),
            accepted: BTreeMap::new(),
            late: BTreeSet::new(),
            lost: BTreeSet::new(),
            exchanged: BTreeSet::new(),
            names: BTreeSet::new(),
        };
        let none = list(&[]).of_series("orders").unwrap_err();
        assert!(!none.is_damage() && none.to_string().contains("\"orders\""), "{none}");
        let damaged = list(&["snapshots/00 is damaged"]).of_series("orders").unwrap_err();
        assert!(damaged.is_damage() && damaged.to_string().contains("snapshots/00"), "{damaged}");
    }
}
