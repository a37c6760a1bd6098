//! Check objects: reading them, and publishing what a run has checked.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_format::check::{CheckRecord, PackCheck, SnapshotCheck};
use nightjar_format::limits;
use nightjar_format::object::{MetadataHeader, MetadataKind, ObjectName};
use nightjar_format::slot::Role;
use nightjar_format::{CheckId, PackId, SessionId};

use super::Coverage;
use crate::ahead::Ahead;
use crate::error::{RepositoryError, Result};
use crate::repository::{Repository, create_new};
use crate::verify::Level;

/// A run publishes what it has checked this often, in nanoseconds: so much is lost when it is cut
/// off.
const PUBLISHING_INTERVAL: i64 = 5 * 60 * 1_000_000_000;

/// An object in the store.
pub(super) struct CheckObject {
    pub(super) id: CheckId,
    /// What it says; none if it does not open.
    pub(super) record: Option<CheckRecord>,
}

/// Reads the objects that are there. Those that are sealed under an epoch that is yet to come to
/// this machine are nobody's business here.
pub(super) fn read_all(repository: &Repository) -> Result<Vec<CheckObject>> {
    let listed = repository.store.list("checks")?;
    let listed: BTreeMap<CheckId, u64> = listed
        .iter()
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Check(id)) => Some((id, info.size)),
            _ => None,
        })
        .collect();
    for id in repository.cache.checks() {
        if !listed.contains_key(&id) {
            repository.cache.remove(&ObjectName::Check(id));
        }
    }
    let mut found = Vec::with_capacity(listed.len());
    let mut lacking = Vec::new();
    for (id, size) in listed {
        let name = ObjectName::Check(id);
        match repository.cache.get(&name).and_then(|object| open(repository, &name, &object)) {
            Some(record) => found.push(CheckObject { id, record: Some(record) }),
            None => lacking.push((name, size)),
        }
    }
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    for (name, object) in Ahead::new(repository, lacking.into_iter(), limit) {
        let ObjectName::Check(id) = name else { continue };
        let object = match object {
            Ok(object) => object,
            // Another run merged it.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        let record = open(repository, &name, &object);
        let epoch = MetadataHeader::split(&object).map_or(0, |(header, _)| header.epoch);
        match &record {
            Some(_) => repository.cache.put(&name, &object),
            None if epoch > repository.keychain.epoch() => continue,
            None => tracing::debug!("{name} does not open: it counts for nothing"),
        }
        found.push(CheckObject { id, record });
    }
    Ok(found)
}

/// What an object says, as far as its signer could know it.
fn open(repository: &Repository, name: &ObjectName, object: &[u8]) -> Option<CheckRecord> {
    let opened = repository.unseal::<CheckRecord>(MetadataKind::Check, name, object).ok()?;
    let mut record = opened.record;
    if opened.role != Role::Full {
        for it in &mut record.packs {
            it.packs = it.packs.or(it.data);
            it.data = None;
        }
    }
    Some(record)
}

/// Publishes a record under a name of its own.
pub(super) fn publish(repository: &Repository, record: &CheckRecord) -> Result<CheckId> {
    let id = CheckId(repository.environment.random.array());
    let name = ObjectName::Check(id);
    let object = repository.seal(MetadataKind::Check, &name, record)?;
    repository.cache.put(&name, &object);
    create_new(&repository.store, &name, object).inspect_err(|_| repository.cache.remove(&name))?;
    Ok(id)
}

/// Cuts sorted lists into records that are not too large; none where there is nothing to say.
pub(super) fn cut(packs: Vec<PackCheck>, snapshots: Vec<SnapshotCheck>) -> Vec<CheckRecord> {
    let packs = packs.chunks(limits::CHECK_ENTRIES);
    let mut records: Vec<CheckRecord> =
        packs.map(|packs| CheckRecord { packs: packs.to_vec(), snapshots: vec![] }).collect();
    if let Some(last) = records.last_mut()
        && last.packs.len().saturating_add(snapshots.len()) <= limits::CHECK_ENTRIES
    {
        last.snapshots = snapshots;
        return records;
    }
    let snapshots = snapshots.chunks(limits::CHECK_ENTRIES);
    records.extend(
        snapshots.map(|snapshots| CheckRecord { packs: vec![], snapshots: snapshots.to_vec() }),
    );
    records
}

/// Collects what a run has found sound, and publishes it now and then.
pub(crate) struct Recorder<'a> {
    repository: &'a Repository,
    /// False: it only collects.
    publishes: bool,
    packs: BTreeMap<PackId, (Level, i64)>,
    snapshots: BTreeMap<SessionId, i64>,
    /// What was collected since it last published.
    unpublished: (BTreeSet<PackId>, BTreeSet<SessionId>),
    published: i64,
    failure: Option<RepositoryError>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(repository: &'a Repository, publishes: bool) -> Self {
        Self {
            repository,
            publishes,
            packs: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            unpublished: Default::default(),
            published: repository.environment.clock.now(),
            failure: None,
        }
    }

    /// A pack was sound at this level.
    pub(crate) fn pack(&mut self, id: PackId, level: Level) {
        let now = self.repository.environment.clock.now();
        self.packs.insert(id, (level, now));
        self.unpublished.0.insert(id);
        self.publish_if_due(now);
    }

    /// A snapshot was walked, and nothing was missing.
    pub(crate) fn snapshot(&mut self, id: SessionId) {
        let now = self.repository.environment.clock.now();
        self.snapshots.insert(id, now);
        self.unpublished.1.insert(id);
        self.publish_if_due(now);
    }

    fn publish_if_due(&mut self, now: i64) {
        if now.saturating_sub(self.published) >= PUBLISHING_INTERVAL {
            self.published = now;
            self.publish();
        }
    }

    /// Publishes what was collected. What fails is told in the end: no check fails for it.
    pub(crate) fn publish(&mut self) {
        let (packs, snapshots) = std::mem::take(&mut self.unpublished);
        if !self.publishes || self.failure.is_some() {
            return;
        }
        let packs = packs.iter().filter_map(|id| {
            let (level, at) = *self.packs.get(id)?;
            let at = Some(at);
            let (packs, data) = if level == Level::Data { (None, at) } else { (at, None) };
            Some(PackCheck { pack: *id, packs, data })
        });
        let snapshots = snapshots.iter().filter_map(|id| {
            Some(SnapshotCheck { snapshot: *id, walked: *self.snapshots.get(id)? })
        });
        for record in cut(packs.collect(), snapshots.collect()) {
            if let Err(error) = publish(self.repository, &record) {
                self.failure = Some(error);
                return;
            }
        }
    }

    /// Why not everything was published.
    pub(crate) fn failure(&self) -> Option<&RepositoryError> {
        self.failure.as_ref()
    }

    /// Adds what was collected to what was known before.
    pub(crate) fn add_to(&self, coverage: &mut Coverage) {
        let now = self.repository.environment.clock.now();
        let packs = self.packs.iter().map(|(pack, (level, at))| {
            let at = Some(*at);
            let (packs, data) = if *level == Level::Data { (None, at) } else { (at, None) };
            PackCheck { pack: *pack, packs, data }
        });
        let snapshots = self.snapshots.iter();
        let snapshots =
            snapshots.map(|(id, walked)| SnapshotCheck { snapshot: *id, walked: *walked });
        let record = CheckRecord { packs: packs.collect(), snapshots: snapshots.collect() };
        coverage.add(&record, now);
    }
}
