//! Index objects made anew from the footers of packs (format-spec, chapter 10).
//!
//! Order: the packs are listed first, then sessions, then index objects, then the ledger is read. So
//! a pack of somebody who is at work has its session in the second listing, and is left alone: its
//! writer lists it, or nobody does. Each pack is read whole before it is listed, for what is listed
//! anew, and signed by a full slot, others will rely on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nightjar_codec::metadata::{self, Opened};
use nightjar_codec::{CodecError, digest};
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::pack::PackHeader;
use nightjar_format::{IndexId, PackId, SessionId, limits};
use nightjar_storage::StoreError;

use super::{Left, listings, or_damage};
use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::ledger;
use crate::packs::{WholePack, stored_sizes};
use crate::repository::{Repository, create_new};
use crate::session::Session;

/// Blobs that one index object lists.
const BLOBS: usize = 100_000;
const LIMIT: u64 = limits::METADATA_OBJECT_BYTES as u64;

/// What would be listed anew.
#[derive(Debug, Clone, Default)]
pub struct IndexPlan {
    /// Packs that no index object lists, with their sizes.
    pub packs: BTreeMap<PackId, u64>,
    /// Packs of writers that are at work: they list them themselves.
    pub busy: BTreeSet<PackId>,
    /// Index objects that do not open, with the reason.
    pub damaged: BTreeMap<IndexId, String>,
    /// Those among them whose bits are damaged: no other key would open them.
    pub deletable: BTreeSet<IndexId>,
    /// Packs that cannot be listed.
    pub left: Vec<Left>,
}

impl IndexPlan {
    /// What has to be read, in bytes.
    pub fn bytes(&self) -> u64 {
        self.packs.values().sum()
    }
}

/// What was listed anew.
#[derive(Debug, Clone, Default)]
pub struct IndexReport {
    /// Index objects that were written.
    pub written: Vec<IndexId>,
    /// Packs that they list.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// Damaged index objects that were deleted.
    pub deleted: Vec<IndexId>,
    /// What is still not as it should be.
    pub left: Vec<Left>,
}

/// Finds the packs that no index object lists. Nothing is changed.
pub fn plan(repository: &Repository) -> Result<IndexPlan> {
    repository.require_full("read the footers of data packs")?;
    let here = stored_sizes(repository)?;
    let at_work = sessions_at_work(repository)?;
    let read = listings::read(repository)?;
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    if !read.damaged.is_empty() && ledger::are_keys_old(repository)? {
        return Err(RepositoryError::KeysChanged);
    }
    let mut plan = IndexPlan { damaged: read.damaged, ..IndexPlan::default() };
    for id in plan.damaged.keys() {
        if are_bits_damaged(repository, id)? {
            plan.deletable.insert(*id);
        }
    }
    let retired = &ledger.state.retired;
    let unlisted =
        here.iter().filter(|(id, _)| !read.packs.0.contains_key(*id) && !retired.contains(*id));
    let unlisted: BTreeMap<PackId, u64> = unlisted.map(|(id, size)| (*id, *size)).collect();
    for (id, size) in unlisted {
        let name = ObjectName::Pack(id);
        let beginning = 0..size.min(PackHeader::LEN as u64);
        let header = repository.store.get_range(&name.to_string(), beginning);
        let header = match header {
            // Collected since it was listed.
            Err(StoreError::NotFound { .. }) => continue,
            header => header?,
        };
        match PackHeader::from_bytes(&header) {
            Ok(header) if at_work.contains(&header.session) => drop(plan.busy.insert(id)),
            Ok(_) => drop(plan.packs.insert(id, size)),
            Err(error) => plan.left.push(Left::new(name, error)),
        }
    }
    Ok(plan)
}

/// Sessions that are announced and have neither committed nor been fenced or forgotten.
fn sessions_at_work(repository: &Repository) -> Result<BTreeSet<SessionId>> {
    let mut at_work = BTreeSet::new();
    for info in repository.store.list("sessions")? {
        let Some(ObjectName::Session(id)) = ObjectName::parse(&info.name) else { continue };
        if repository.store.head(&ObjectName::Snapshot(id).to_string())?.is_none() {
            at_work.insert(id);
        }
    }
    if at_work.is_empty() {
        return Ok(at_work);
    }
    let forgotten = ledger::read(repository)?.state.forgotten;
    at_work.retain(|id| !forgotten.contains(id));
    Ok(at_work)
}

/// Whether an index object can be opened by nobody, whatever keys there may be elsewhere.
fn are_bits_damaged(repository: &Repository, id: &IndexId) -> Result<bool> {
    let name = ObjectName::Index(*id);
    let object = match repository.store.get(&name.to_string(), LIMIT) {
        Ok(object) => object,
        Err(StoreError::TooLarge { .. }) => return Ok(true),
        Err(StoreError::NotFound { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let opened: std::result::Result<Opened<IndexRecord>, _> =
        metadata::open(&repository.keychain, MetadataKind::Index, &name, &object);
    Ok(match opened {
        Ok(_) | Err(CodecError::UnknownEpoch(_) | CodecError::UntrustedSigner(_)) => false,
        Err(_) => true,
    })
}

/// Lists the planned packs in new index objects. With `delete_damaged`, index objects whose bits are
/// damaged go then, if no pack is left that only they may have told of.
pub fn execute(
    repository: &Repository,
    plan: &IndexPlan,
    delete_damaged: bool,
    progress: &Progress,
) -> Result<IndexReport> {
    repository.require_no_replica()?;
    repository.require_full("write index objects for others' packs")?;
    let mut report = IndexReport { left: plan.left.clone(), ..IndexReport::default() };
    if !plan.packs.is_empty() {
        let session = Session::begin(repository)?;
        let listed = list_packs(repository, &session, plan, &mut report, progress);
        session.abandon();
        listed?;
    }
    // What could not be listed anew may be told of by these alone, to whoever has a copy.
    if delete_damaged && report.left.is_empty() {
        for id in &plan.deletable {
            // Again: whoever restored it meanwhile must not lose it.
            if are_bits_damaged(repository, id)? {
                repository.store.delete(&ObjectName::Index(*id).to_string())?;
                report.deleted.push(*id);
            }
        }
    }
    let deleted: BTreeSet<IndexId> = report.deleted.iter().copied().collect();
    for (id, why) in plan.damaged.iter().filter(|(id, _)| !deleted.contains(*id)) {
        report.left.push(Left::new(ObjectName::Index(*id), why));
    }
    Ok(report)
}

fn list_packs(
    repository: &Repository,
    session: &Session<'_>,
    plan: &IndexPlan,
    report: &mut IndexReport,
    progress: &Progress,
) -> Result<()> {
    progress.total.store(plan.bytes(), Ordering::Relaxed);
    let retired = &session.ledger().state.retired;
    let wanted = plan.packs.iter().filter(|(id, _)| !retired.contains(*id));
    let names = wanted.map(|(id, size)| (ObjectName::Pack(*id), *size));
    let mut packs = Vec::new();
    let mut blobs = 0;
    for (name, object) in Ahead::new(repository, names, limits::PACK_BYTES) {
        let ObjectName::Pack(id) = name else { continue };
        let object = or_damage(object)?;
        Progress::add(&progress.bytes, object.as_ref().map_or(0, |it| it.len() as u64));
        let record = match object {
            Ok(object) => or_damage(record_of(repository, &id, &object))?,
            Err(why) => Err(why),
        };
        match record {
            Ok(record) => {
                blobs += record.table.ids.len();
                packs.push(record);
            }
            Err(_) if repository.store.head(&name.to_string())?.is_none() => {}
            Err(why) => report.left.push(Left::new(name, why)),
        }
        if blobs >= BLOBS {
            publish(repository, session.id(), std::mem::take(&mut packs), report)?;
            blobs = 0;
        }
    }
    publish(repository, session.id(), packs, report)
}

/// What an index object has to say of a whole pack.
fn record_of(repository: &Repository, id: &PackId, object: &Bytes) -> Result<PackRecord> {
    if digest::pack_id(object) != *id {
        let why = "its bytes do not hash to its id: they were altered".to_owned();
        return Err(RepositoryError::Damaged { object: ObjectName::Pack(*id).to_string(), why });
    }
    Ok(WholePack::open(repository, id, object)?.into_record())
}

fn publish(
    repository: &Repository,
    session: SessionId,
    packs: Vec<PackRecord>,
    report: &mut IndexReport,
) -> Result<()> {
    if packs.is_empty() {
        return Ok(());
    }
    let id = IndexId(repository.environment.random.array());
    let name = ObjectName::Index(id);
    report.packs += packs.len() as u64;
    report.blobs += packs.iter().map(|pack| pack.table.ids.len() as u64).sum::<u64>();
    let object = repository.seal(MetadataKind::Index, &name, &IndexRecord { session, packs })?;
    create_new(&repository.store, &name, object)?;
    report.written.push(id);
    Ok(())
}
