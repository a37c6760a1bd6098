//! Bringing the local index up to date, and making private copies of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nightjar_format::bundle::BundleKind;
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::pack::{PackHeader, Trailer};
use nightjar_format::{IndexId, PackId, SessionId, limits};
use nightjar_storage::ObjectInfo;
use rustix::fs::{FlockOperation, flock};

use crate::ahead::Ahead;
use crate::bundles::take_copies;
use crate::error::{RepositoryError, Result, local};
use crate::index::LocalIndex;
use crate::index::database::{Database, Standing};
use crate::packs::cipher_of;
use crate::repository::Repository;

/// What filling the local index found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Index objects in the store.
    pub index_objects: u64,
    /// Those that were not in the local index before.
    pub applied: u64,
    /// Packs known now.
    pub packs: u64,
    /// Blobs in them.
    pub blobs: u64,
    /// What could not be read, for people to read.
    pub findings: Vec<String>,
}

/// Whether index objects may be taken from bundles. Who checks or repairs something reads them
/// themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copies {
    Welcome,
    Refused,
}

/// Brings the shared index up to date and returns a private copy of it.
pub(crate) fn open_private(
    repository: &Repository,
    copies: Copies,
) -> Result<(LocalIndex, SyncReport)> {
    let _lock = lock_shared(repository)?;
    remove_stale_copies(repository);
    let (database, report) = bring_up_to_date(repository, copies)?;
    let directory = PrivateDirectory::create(repository)?;
    let path = directory.path.join("index");
    database.checkpoint(&path)?;
    drop(database);
    Ok((LocalIndex::new(directory, path)?, report))
}

/// Makes the shared index anew from the index objects.
pub fn rebuild(repository: &Repository) -> Result<SyncReport> {
    let _lock = lock_shared(repository)?;
    remove_database(&shared_path(repository))?;
    bring_up_to_date(repository, Copies::Refused).map(|(_, report)| report)
}

/// Makes the shared index anew from the index objects, then adds what only the footers of packs
/// tell. Packs that no index object lists serve readers, never writers.
pub fn rebuild_from_packs(repository: &Repository) -> Result<SyncReport> {
    repository.require_full("read the footers of data packs")?;
    let _lock = lock_shared(repository)?;
    remove_database(&shared_path(repository))?;
    let (mut database, mut report) = bring_up_to_date(repository, Copies::Refused)?;
    let listed: BTreeSet<PackId> =
        database.packs()?.map(|pack| pack.map(|(_, info)| info.pack_id)).collect::<Result<_>>()?;
    for info in repository.store.list("packs")? {
        let Some(name @ ObjectName::Pack(id)) = ObjectName::parse(&info.name) else {
            continue;
        };
        if listed.contains(&id) {
            continue;
        }
        match read_footer(repository, &info, id) {
            Ok((pack, session)) => {
                report.packs += 1;
                report.blobs += pack.table.ids.len() as u64;
                database.add_pack(&pack, session, Standing::Found)?;
            }
            Err(error) if error.is_damage() => report.findings.push(format!("{name}: {error}")),
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// Drops the shared index; whoever needs it next makes it anew.
pub fn discard(repository: &Repository) -> Result<()> {
    let _lock = lock_shared(repository)?;
    remove_database(&shared_path(repository))
}

/// What the local index holds, after bringing it up to date.
pub fn status(repository: &Repository) -> Result<SyncReport> {
    let _lock = lock_shared(repository)?;
    bring_up_to_date(repository, Copies::Welcome).map(|(_, report)| report)
}

/// The index objects that list one of these packs, and all others, after bringing the local index
/// up to date.
pub(crate) fn index_objects_naming(
    repository: &Repository,
    packs: &BTreeSet<PackId>,
) -> Result<(BTreeSet<IndexId>, BTreeSet<IndexId>)> {
    let _lock = lock_shared(repository)?;
    let (database, _) = bring_up_to_date(repository, Copies::Welcome)?;
    let mut ordinals = BTreeSet::new();
    for pack in database.packs()? {
        let (ordinal, info) = pack?;
        if packs.contains(&info.pack_id) {
            ordinals.insert(ordinal);
        }
    }
    let (mut naming, mut others) = (BTreeSet::new(), BTreeSet::new());
    for id in database.applied()? {
        let listed = database.packs_of(&id)?.unwrap_or_default();
        let names = listed.iter().any(|ordinal| ordinals.contains(ordinal));
        if names {
            naming.insert(id)
        } else {
            others.insert(id)
        };
    }
    Ok((naming, others))
}

fn shared_path(repository: &Repository) -> PathBuf {
    repository.cache.directory().join("index")
}

fn lock_shared(repository: &Repository) -> Result<File> {
    let path = repository.cache.directory().join("lock");
    let what = format!("cannot lock {}", path.display());
    let file = File::create(&path).map_err(local(&what))?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| local(&what)(error.into()))?;
    Ok(file)
}

fn remove_database(path: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => fs::remove_file(path),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(local(format!("cannot remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

/// So often the store's index objects are listed again because a collector replaced some while
/// they were read.
const LISTINGS: usize = 8;

/// Opens the shared index, made anew if it is corrupt, applies the index objects that it lacks and
/// takes out those that are gone.
fn bring_up_to_date(repository: &Repository, copies: Copies) -> Result<(Database, SyncReport)> {
    let path = shared_path(repository);
    let database = match Database::open(&path) {
        Ok(database) => database,
        Err(error) => {
            tracing::warn!("{error}; making it anew");
            remove_database(&path)?;
            Database::open(&path)?
        }
    };
    let mut filling = Filling { repository, database, report: SyncReport::default() };
    let mut unreadable = filling.follow(list_index(repository)?, copies)?;
    for _ in 0..LISTINGS {
        if unreadable.is_empty() {
            break;
        }
        let listed = list_index(repository)?;
        if unreadable.keys().all(|id| listed.iter().any(|(_, listed, _)| listed == id)) {
            break;
        }
        unreadable = filling.follow(listed, copies)?;
    }
    // Their packs count as absent; verify reports it, and the next sync tries again.
    filling.report.findings.extend(unreadable.into_values());
    let Filling { database, mut report, .. } = filling;
    let mut gone_blobs = 0;
    for pack in database.all_packs()? {
        let (_, info) = pack?;
        if info.standing == Standing::Gone {
            gone_blobs += info.blobs;
        } else {
            report.packs += 1;
            report.blobs += info.blobs;
        }
    }
    if gone_blobs > report.blobs {
        tracing::debug!("most of the local index is gone; making it anew");
        drop(database);
        remove_database(&path)?;
        return bring_up_to_date(repository, copies);
    }
    for finding in &report.findings {
        tracing::warn!("{finding}");
    }
    Ok((database, report))
}

/// The index objects in the store with their times and sizes, the oldest first: of blobs with like
/// sketches, the newest is to be found.
fn list_index(repository: &Repository) -> Result<Vec<(i64, IndexId, u64)>> {
    let objects = repository.store.list("index")?;
    let parsed = objects.iter().filter_map(|info| match ObjectName::parse(&info.name) {
        Some(ObjectName::Index(id)) => Some((info.modified_unix_nanos, id, info.size)),
        _ => None,
    });
    let mut listed: Vec<_> = parsed.collect();
    listed.sort_unstable();
    Ok(listed)
}

/// The shared index while index objects are added to it.
struct Filling<'a> {
    repository: &'a Repository,
    database: Database,
    report: SyncReport,
}

impl Filling<'_> {
    /// Takes in the index objects that are there and takes out those that are not; says which
    /// cannot be read, and why.
    fn follow(
        &mut self,
        listed: Vec<(i64, IndexId, u64)>,
        copies: Copies,
    ) -> Result<BTreeMap<IndexId, String>> {
        let present: BTreeSet<IndexId> = listed.iter().map(|(_, id, _)| *id).collect();
        let applied: BTreeSet<IndexId> = self.database.applied()?.into_iter().collect();
        self.report.index_objects = present.len() as u64;
        let missing = listed.into_iter().filter(|(_, id, _)| !applied.contains(id));
        let missing: Vec<_> = missing.map(|(_, id, size)| (ObjectName::Index(id), size)).collect();
        let cold = applied.len() < missing.len();
        let missing = match copies {
            Copies::Welcome => self.apply_copies(missing, cold)?,
            Copies::Refused => missing,
        };
        let unreadable = self.apply(missing)?;
        // After those that stand in their place are in.
        let gone: BTreeSet<IndexId> = applied.difference(&present).copied().collect();
        if !gone.is_empty() {
            self.database.retract(&gone)?;
        }
        Ok(unreadable)
    }

    /// Adds the index objects that bundles hold copies of, and returns the others.
    fn apply_copies(
        &mut self,
        objects: Vec<(ObjectName, u64)>,
        cold: bool,
    ) -> Result<Vec<(ObjectName, u64)>> {
        let repository = self.repository;
        let names = objects.iter().map(|(name, _)| *name).collect();
        let rest =
            take_copies(
                repository,
                BundleKind::Index,
                names,
                cold,
                |name, copy| match open_index(repository, name, copy) {
                    Ok(record) => self.add(name, &record).map(|()| true),
                    Err(_) => Ok(false),
                },
            )?;
        Ok(objects.into_iter().filter(|(name, _)| rest.contains(name)).collect())
    }

    /// Adds index objects, given with their sizes; says which cannot be read, and why.
    fn apply(&mut self, objects: Vec<(ObjectName, u64)>) -> Result<BTreeMap<IndexId, String>> {
        let repository = self.repository;
        let limit = limits::METADATA_OBJECT_BYTES as u64;
        let mut unreadable = BTreeMap::new();
        for (name, object) in Ahead::new(repository, objects.into_iter(), limit) {
            match object.and_then(|object| open_index(repository, &name, &object)) {
                Ok(record) => self.add(&name, &record)?,
                Err(error) if error.is_damage() => {
                    if let ObjectName::Index(id) = name {
                        unreadable.insert(id, error.to_string());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(unreadable)
    }

    fn add(&mut self, name: &ObjectName, record: &IndexRecord) -> Result<()> {
        let mut packs = Vec::with_capacity(record.packs.len());
        for pack in &record.packs {
            packs.push(self.database.add_pack(pack, record.session, Standing::Listed)?);
        }
        if let ObjectName::Index(id) = name {
            self.database.mark_applied(id, &packs)?;
        }
        self.report.applied += 1;
        Ok(())
    }
}

pub(crate) fn open_index(
    repository: &Repository,
    name: &ObjectName,
    object: &[u8],
) -> Result<IndexRecord> {
    Ok(repository.unseal::<IndexRecord>(MetadataKind::Index, name, object)?.record)
}

/// What a pack's footer says.
pub(crate) fn read_footer(
    repository: &Repository,
    info: &ObjectInfo,
    pack_id: PackId,
) -> Result<(PackRecord, SessionId)> {
    let store = &repository.store;
    let name = info.name.as_str();
    let failed = |error| RepositoryError::in_object(name, error);
    let cipher = cipher_of(repository, &pack_id, info.size)?;
    let trailer_start = info.size.saturating_sub(Trailer::SEALED_LEN as u64);
    let sealed = store.get_range(name, trailer_start..info.size)?;
    let trailer = cipher.open_trailer(&sealed, info.size).map_err(failed)?;
    let sealed = store.get_range(name, trailer.footer_range(info.size))?;
    let table = cipher.open_footer(&sealed, &trailer, info.size).map_err(failed)?;
    let PackHeader { kind, epoch, session } = *cipher.header();
    Ok((PackRecord { pack_id, size: info.size, kind: kind as u8, epoch, table }, session))
}

/// A directory for one process's copy, locked as long as it is in use.
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    _lock: File,
}

impl PrivateDirectory {
    fn create(repository: &Repository) -> Result<Self> {
        let nonce: [u8; 4] = repository.environment.random.array();
        let name =
            format!("{}-{}", repository.environment.process, nightjar_format::ids::to_hex(&nonce));
        let path = repository.cache.directory().join("private").join(name);
        let what = format!("cannot make {}", path.display());
        fs::create_dir_all(&path).map_err(local(&what))?;
        let lock = File::create(path.join("lock")).map_err(local(&what))?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| local(&what)(error.into()))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// Removes the copies of processes that died. Called under the shared lock, as copies are made.
fn remove_stale_copies(repository: &Repository) {
    let Ok(entries) = fs::read_dir(repository.cache.directory().join("private")) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let in_use = File::open(path.join("lock"))
            .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err());
        if !in_use && let Err(error) = fs::remove_dir_all(&path) {
            tracing::debug!("cannot remove {}: {error}", path.display());
        }
    }
}
