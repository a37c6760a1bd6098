//! Deleting what the ledger says is gone (format-spec, chapter 13: the collector's step 7).
//!
//! Everything here rests on records that stand in the ledger and were read back, and can be done
//! again by anyone at any time; each run begins with it, for a late request can bring back what
//! was deleted. Packs go first. Then the index objects that name them: their other packs are listed
//! in a new one, *then* they go; so no pack is unlisted at any moment.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::ledger::LedgerState;
use nightjar_format::limits;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::{IndexId, PackId, SessionId};
use nightjar_storage::{ObjectInfo, Pending, StoreError};

use crate::ahead::Ahead;
use crate::bundles;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::gc::SESSION_TIMEOUT;
use crate::index::sync;
use crate::repository::{Repository, create_new};

/// Deletions under way at once.
const AT_ONCE: usize = 32;
/// Where writers write.
const FOLDERS: [&str; 7] =
    ["packs", "index", "bundles", "sessions", "snapshots", "ledger", "checks"];
/// Blobs that one index object lists, and small index objects that become one.
const INDEX_BLOBS: usize = 100_000;
const SMALL_INDEX_BYTES: u64 = 128 << 10;
const SMALL_INDEXES: usize = 64;

/// What was deleted, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Index objects that others now stand for.
    pub index_objects: u64,
    /// Registers of forgotten snapshots.
    pub snapshots: u64,
    /// Announcements of sessions that have ended.
    pub sessions: u64,
    /// Bundles of copies most of which are of objects that are gone.
    pub bundles: u64,
    /// Files that writers which were killed left half-written, where the store is a directory.
    pub unfinished: u64,
    /// Their bytes.
    pub unfinished_bytes: u64,
    /// Objects that stay, each with the reason; the next run tries again.
    pub undeleted: BTreeMap<String, String>,
}

impl Swept {
    /// Adds what another pass did. What it could not delete is what stays.
    pub(super) fn add(&mut self, other: Self) {
        self.packs += other.packs;
        self.pack_bytes += other.pack_bytes;
        self.index_objects += other.index_objects;
        self.snapshots += other.snapshots;
        self.sessions += other.sessions;
        self.bundles += other.bundles;
        self.unfinished += other.unfinished;
        self.unfinished_bytes += other.unfinished_bytes;
        self.undeleted = other.undeleted;
    }
}

/// Deletes everything that a ledger says is gone.
pub(super) fn sweep(
    repository: &Repository,
    session: SessionId,
    state: &LedgerState,
    progress: &Progress,
) -> Result<Swept> {
    let mut swept = Swept::default();
    let packs = parsed(repository, "packs", |name| match name {
        ObjectName::Pack(id) => state.retired.contains(&id),
        _ => false,
    })?;
    let deleted = delete_all(repository, &packs, &mut swept, progress)?;
    swept.packs = deleted.len() as u64;
    swept.pack_bytes = deleted.iter().map(|info| info.size).sum();
    rewrite_index(repository, session, &state.retired, &mut swept, progress)?;
    let registers = parsed(repository, "snapshots", |name| match name {
        ObjectName::Snapshot(id) => state.forgotten.contains(&id),
        _ => false,
    })?;
    swept.snapshots = delete_all(repository, &registers, &mut swept, progress)?.len() as u64;
    let ended = ended_sessions(repository, &state.forgotten)?;
    swept.sessions = delete_all(repository, &ended, &mut swept, progress)?.len() as u64;
    Ok(swept)
}

/// Deletes bundles of copies of what is gone; with `any`, those that copy so much as one such object.
pub(super) fn sweep_bundles(
    repository: &Repository,
    any: bool,
    swept: &mut Swept,
    progress: &Progress,
) -> Result<()> {
    let stale = bundles::stale(repository, any)?;
    if stale.is_empty() {
        return Ok(());
    }
    let is_stale =
        |info: &ObjectInfo| ObjectName::parse(&info.name).is_some_and(|name| stale.contains(&name));
    let listed = repository.store.list("bundles")?;
    let objects: Vec<ObjectInfo> = listed.into_iter().filter(is_stale).collect();
    swept.bundles += delete_all(repository, &objects, swept, progress)?.len() as u64;
    Ok(())
}

/// Removes what writers that were killed left half-written, if nothing was added to it for a day
/// or the longer time after which they are taken for dead, by the store's clock, which the collector's
/// own announcement shows.
pub(super) fn sweep_unfinished(
    repository: &Repository,
    session: SessionId,
    timeout: i64,
    swept: &mut Swept,
) -> Result<()> {
    let own = repository.store.head(&ObjectName::Session(session).to_string())?;
    let Some(own) = own else { return Ok(()) };
    let is_abandoned = |info: &ObjectInfo| {
        let idle = own.modified_unix_nanos.saturating_sub(info.modified_unix_nanos);
        idle > timeout.max(SESSION_TIMEOUT) && ObjectName::parse(&info.name).is_some()
    };
    for folder in FOLDERS {
        match repository.store.remove_unfinished(folder, is_abandoned) {
            Ok(removed) => {
                swept.unfinished += removed.len() as u64;
                swept.unfinished_bytes += removed.iter().map(|info| info.size).sum::<u64>();
            }
            Err(error @ StoreError::PermissionDenied { .. }) => tracing::warn!("{error}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// How many objects the ledger says are gone, and are there.
pub(super) fn leftovers(repository: &Repository, state: &LedgerState) -> Result<u64> {
    let is_gone = |name| match name {
        ObjectName::Pack(id) => state.retired.contains(&id),
        ObjectName::Snapshot(id) => state.forgotten.contains(&id),
        _ => false,
    };
    let packs = parsed(repository, "packs", is_gone)?;
    Ok((packs.len() + parsed(repository, "snapshots", is_gone)?.len()) as u64)
}

fn parsed(
    repository: &Repository,
    folder: &str,
    is_gone: impl Fn(ObjectName) -> bool,
) -> Result<Vec<ObjectInfo>> {
    let listed = repository.store.list(folder)?.into_iter();
    Ok(listed.filter(|info| ObjectName::parse(&info.name).is_some_and(&is_gone)).collect())
}

/// Announcements of sessions that are over: committed, fenced or forgotten.
fn ended_sessions(
    repository: &Repository,
    forgotten: &BTreeSet<SessionId>,
) -> Result<Vec<ObjectInfo>> {
    let sessions = repository.store.list("sessions")?;
    if sessions.is_empty() {
        return Ok(sessions);
    }
    let registers: HashSet<String> =
        repository.store.list("snapshots")?.into_iter().map(|info| info.name).collect();
    let has_ended = |info: &ObjectInfo| match ObjectName::parse(&info.name) {
        Some(ObjectName::Session(id)) => {
            forgotten.contains(&id) || registers.contains(&ObjectName::Snapshot(id).to_string())
        }
        _ => false,
    };
    Ok(sessions.into_iter().filter(has_ended).collect())
}

/// Deletes objects and returns those that are gone. What the store does not permit is noted.
fn delete_all<'o>(
    repository: &Repository,
    objects: &'o [ObjectInfo],
    swept: &mut Swept,
    progress: &Progress,
) -> Result<Vec<&'o ObjectInfo>> {
    let at_once = if repository.environment.one_at_a_time { 1 } else { AT_ONCE };
    let mut under_way: VecDeque<(&ObjectInfo, Pending<()>)> = VecDeque::new();
    let mut deleted = Vec::with_capacity(objects.len());
    let mut objects = objects.iter();
    loop {
        while under_way.len() < at_once {
            let Some(info) = objects.next() else { break };
            under_way.push_back((info, repository.store.start_delete(&info.name)));
        }
        let Some((info, pending)) = under_way.pop_front() else { return Ok(deleted) };
        match pending.wait() {
            Ok(()) => {
                Progress::add(&progress.items, 1);
                deleted.push(info);
            }
            // Its own words: a lock, say, and until when.
            Err(StoreError::PermissionDenied { source, .. }) => {
                swept.undeleted.insert(info.name.clone(), source.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Replaces the index objects that name retired packs, and small ones if there are many.
fn rewrite_index(
    repository: &Repository,
    session: SessionId,
    retired: &BTreeSet<PackId>,
    swept: &mut Swept,
    progress: &Progress,
) -> Result<()> {
    let replaced = replaced(repository, retired)?;
    if replaced.is_empty() {
        return Ok(());
    }
    let mut kept: BTreeMap<(PackId, Vec<u8>), PackRecord> = BTreeMap::new();
    let mut read: Vec<ObjectInfo> = Vec::new();
    let mut blobs = 0;
    let names = replaced.iter().map(|info| (info.name.as_str(), info.size));
    let names = names.filter_map(|(name, size)| Some((ObjectName::parse(name)?, size)));
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    for (name, object) in Ahead::new(repository, names, limit) {
        let opened = object.and_then(|object| {
            repository.unseal::<IndexRecord>(MetadataKind::Index, &name, &object)
        });
        let record = match opened {
            Ok(opened) => opened.record,
            // Somebody else replaced it, or it is damaged: verify tells.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        read.extend(replaced.iter().filter(|info| info.name == name.to_string()).cloned());
        for pack in record.packs.into_iter().filter(|pack| !retired.contains(&pack.pack_id)) {
            blobs += pack.table.ids.len();
            let table = nightjar_format::record::encode(&IndexRecord {
                session,
                packs: vec![pack.clone()],
            });
            kept.insert((pack.pack_id, table), pack);
        }
        if blobs >= INDEX_BLOBS {
            publish(repository, session, std::mem::take(&mut kept))?;
            blobs = 0;
        }
    }
    publish(repository, session, kept)?;
    // Only now: each of their packs that is not retired is listed in another one.
    swept.index_objects += delete_all(repository, &read, swept, progress)?.len() as u64;
    Ok(())
}

/// The index objects that are to be replaced.
fn replaced(repository: &Repository, retired: &BTreeSet<PackId>) -> Result<Vec<ObjectInfo>> {
    let listed = repository.store.list("index")?;
    let is_small = |info: &ObjectInfo| info.size < SMALL_INDEX_BYTES;
    let many = listed.iter().filter(|info| is_small(info)).count() >= SMALL_INDEXES;
    if retired.is_empty() && !many {
        return Ok(Vec::new());
    }
    let (naming, others) = sync::index_objects_naming(repository, retired)?;
    let is_replaced = |info: &ObjectInfo| match ObjectName::parse(&info.name) {
        Some(ObjectName::Index(id)) => {
            naming.contains(&id) || (many && is_small(info) && others.contains(&id))
        }
        _ => false,
    };
    Ok(listed.into_iter().filter(is_replaced).collect())
}

fn publish(
    repository: &Repository,
    session: SessionId,
    packs: BTreeMap<(PackId, Vec<u8>), PackRecord>,
) -> Result<()> {
    if packs.is_empty() {
        return Ok(());
    }
    let name = ObjectName::Index(IndexId(repository.environment.random.array()));
    let record = IndexRecord { session, packs: packs.into_values().collect() };
    let object = repository.seal(MetadataKind::Index, &name, &record)?;
    match create_new(&repository.store, &name, object) {
        Err(RepositoryError::AlreadyThere { .. }) => {
            Err(RepositoryError::Internal("a random index id was taken"))
        }
        outcome => outcome,
    }
}
