//! Copying objects from one store to another, several at once, each checked on the way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_format::index::IndexRecord;
use nightjar_format::ledger::LedgerRecord;
use nightjar_format::limits;
use nightjar_format::object::{MetadataHeader, MetadataKind, ObjectName, padme};
use nightjar_format::pack::PackHeader;
use nightjar_format::repository::RepositoryRecord;
use nightjar_format::slot::SlotObject;
use nightjar_format::snapshot::Register;
use nightjar_storage::{Created, Purpose, Store, StoreError};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::packs::purpose_of;
use crate::repository::Repository;

/// Objects under way at once, and the bytes that they may take: one at least, however large it is.
const AT_ONCE: usize = 16;
const BYTES_AT_ONCE: u64 = 96 << 20;

/// From where to where.
pub(super) struct Copier<'a> {
    pub(super) source: &'a Store,
    pub(super) target: &'a Store,
    /// The source, if it could be opened: then signatures are checked.
    pub(super) opened: Option<&'a Repository>,
    pub(super) progress: &'a Progress,
    /// No request while another is under way.
    pub(super) one_at_a_time: bool,
}

/// What became of some objects.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Names and sizes of those that were copied.
    pub(super) copied: Vec<(ObjectName, u64)>,
    /// Those that were there when they were listed, and are no more.
    pub(super) gone: u64,
    /// Those that are not what they should be, and were left out.
    pub(super) damaged: Vec<(ObjectName, String)>,
}

/// What the threads share.
struct Queue<Objects> {
    objects: Mutex<Objects>,
    outcome: Mutex<Outcome>,
    failure: Mutex<Option<RepositoryError>>,
    stop: AtomicBool,
    room: Budget,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Copier<'_> {
    /// Copies objects, given with their sizes, in any order.
    pub(super) fn copy(&self, objects: Vec<(ObjectName, u64)>) -> Result<Outcome> {
        let threads = if self.one_at_a_time { 1 } else { AT_ONCE.min(objects.len()) };
        self.copy_with(threads, objects)
    }

    /// Copies objects one after another: whoever looks meanwhile sees the first ones.
    pub(super) fn copy_in_order(&self, objects: Vec<(ObjectName, u64)>) -> Result<Outcome> {
        self.copy_with(1, objects)
    }

    fn copy_with(&self, threads: usize, objects: Vec<(ObjectName, u64)>) -> Result<Outcome> {
        let queue = Queue {
            objects: Mutex::new(objects.into_iter()),
            outcome: Mutex::default(),
            failure: Mutex::default(),
            stop: AtomicBool::new(false),
            room: Budget::default(),
        };
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|| self.work(&queue));
            }
            self.work(&queue);
        });
        match queue.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(queue.outcome.into_inner().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    fn work(&self, queue: &Queue<impl Iterator<Item = (ObjectName, u64)>>) {
        while !queue.stop.load(Ordering::Relaxed) {
            let Some((name, size)) = lock(&queue.objects).next() else { return };
            let room = Room::take(&queue.room, size);
            if queue.stop.load(Ordering::Relaxed) {
                return;
            }
            let copied = self.copy_one(&name, size);
            drop(room);
            match copied {
                Ok(bytes) => lock(&queue.outcome).copied.push((name, bytes)),
                Err(Failure::Gone) => lock(&queue.outcome).gone += 1,
                Err(Failure::Damaged(why)) => lock(&queue.outcome).damaged.push((name, why)),
                Err(Failure::Other(error)) => {
                    queue.stop.store(true, Ordering::Relaxed);
                    lock(&queue.failure).get_or_insert(error);
                }
            }
            Progress::add(&self.progress.items, 1);
            Progress::add(&self.progress.bytes, size);
        }
    }

    fn copy_one(&self, name: &ObjectName, listed: u64) -> std::result::Result<u64, Failure> {
        let object = match self.source.get(&name.to_string(), limit(name).min(listed)) {
            Err(StoreError::NotFound { .. }) => return Err(Failure::Gone),
            object => object.map_err(RepositoryError::from)?,
        };
        let purpose = match self.opened {
            Some(repository) => check_opened(repository, name, &object),
            None => check(name, &object),
        }?;
        let size = object.len() as u64;
        self.write(name, object, purpose)?;
        Progress::add(&self.progress.stored, size);
        Ok(size)
    }

    /// Writes a checked object where the target has none, or one that broke off.
    fn write(
        &self,
        name: &ObjectName,
        object: Bytes,
        purpose: Purpose,
    ) -> std::result::Result<(), Failure> {
        let text = name.to_string();
        if let ObjectName::Pack(_) = name {
            // Its name says which bytes it has.
            let put = self.target.start_put(text, object, purpose).wait();
            return put.map_err(|error| Failure::Other(error.into()));
        }
        match self.target.create(&text, object.clone()).map_err(RepositoryError::from)? {
            Created::Created => Ok(()),
            Created::Exists => {
                let there = self.target.get(&text, limit(name)).map_err(RepositoryError::from)?;
                if there == object {
                    return Ok(());
                }
                if matches!(name, ObjectName::Ledger(_)) && !object.starts_with(&there) {
                    let why = format!(
                        "{name} of the replica is another one than the source's: the replica was \
                         promoted meanwhile, or somebody else writes there; nothing more was copied"
                    );
                    return Err(Failure::Other(RepositoryError::Tampered(why)));
                }
                if self.is_sound(name, &there) || !self.is_sound(name, &object) {
                    let why = "the replica has another object of this name, which is left as it is; if that is the \
                                damaged one, delete it there and run this again";
                    return Err(Failure::Damaged(format!("{name}: {why}")));
                }
                let put = self.target.put(&text, object);
                put.map_err(|error| Failure::Other(error.into()))
            }
        }
    }

    /// Whether an object of this name can be what it should be, as far as that can be told: what is in
    /// the replica gives way only if it cannot.
    fn is_sound(&self, name: &ObjectName, object: &Bytes) -> bool {
        let checked = match (name, self.opened) {
            (ObjectName::Ledger(..), None) => is_metadata(name, MetadataKind::Ledger, object),
            (ObjectName::Ledger(..), Some(repository)) => {
                repository.unseal::<LedgerRecord>(MetadataKind::Ledger, name, object).map(drop)
            }
            (_, None) => check(name, object).map(drop),
            (_, Some(repository)) => check_opened(repository, name, object).map(drop),
        };
        checked.is_ok()
    }
}

/// Bytes of objects that are under way.
#[derive(Default)]
struct Budget {
    bytes: Mutex<u64>,
    freed: Condvar,
}

/// A share of the budget, given back when it is dropped.
struct Room<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl<'a> Room<'a> {
    /// Waits until there is room.
    fn take(budget: &'a Budget, bytes: u64) -> Self {
        let mut used = lock(&budget.bytes);
        while *used > 0 && used.saturating_add(bytes) > BYTES_AT_ONCE {
            used = budget.freed.wait(used).unwrap_or_else(PoisonError::into_inner);
        }
        *used = used.saturating_add(bytes);
        Self { budget, bytes }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut used = lock(&self.budget.bytes);
        *used = used.saturating_sub(self.bytes);
        drop(used);
        self.budget.freed.notify_all();
    }
}

/// Why an object was not copied.
enum Failure {
    Gone,
    Damaged(String),
    Other(RepositoryError),
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        if error.is_damage() { Self::Damaged(error.to_string()) } else { Self::Other(error) }
    }
}

const fn limit(name: &ObjectName) -> u64 {
    let bytes = match name {
        ObjectName::Pack(_) => return limits::PACK_BYTES,
        ObjectName::Repository | ObjectName::Slot(_) | ObjectName::Replica => {
            limits::PLAIN_OBJECT_BYTES
        }
        ObjectName::Keyring(..) => limits::KEYRING_BYTES,
        ObjectName::Bundle(..) => limits::BUNDLE_BYTES,
        ObjectName::Index(_)
        | ObjectName::Session(_)
        | ObjectName::Check(_)
        | ObjectName::Snapshot(_)
        | ObjectName::Ledger(..) => limits::METADATA_OBJECT_BYTES,
    };
    bytes as u64
}

/// Checks what can be checked without a key, and says what the object is for.
fn check(name: &ObjectName, object: &Bytes) -> Result<Purpose> {
    let damaged =
        |why: &str| RepositoryError::Damaged { object: name.to_string(), why: why.into() };
    let kind = match name {
        ObjectName::Pack(id) => {
            if digest::hash(object).0 != id.0 {
                return Err(damaged("its bytes do not hash to its id"));
            }
            let header = PackHeader::from_bytes(object);
            let header = header.map_err(|error| RepositoryError::in_format(name, error))?;
            return Ok(purpose_of(header.kind));
        }
        ObjectName::Index(_) => MetadataKind::Index,
        ObjectName::Snapshot(_) => MetadataKind::Snapshot,
        ObjectName::Slot(_) => {
            let slot = SlotObject::from_object(object);
            slot.map_err(|error| RepositoryError::in_format(name, error))?;
            return Ok(Purpose::Metadata);
        }
        ObjectName::Repository => {
            let record = RepositoryRecord::from_object(object);
            record.map_err(|error| RepositoryError::in_format(name, error))?;
            return Ok(Purpose::Metadata);
        }
        // A record that is void keeps its number, whatever it is; a gap would be tampering.
        _ => return Ok(Purpose::Metadata),
    };
    is_metadata(name, kind, object).map(|()| Purpose::Metadata)
}

/// Whether a sealed object has the header and one of the lengths of its kind.
fn is_metadata(name: &ObjectName, kind: MetadataKind, object: &Bytes) -> Result<()> {
    let damaged =
        |why: &str| RepositoryError::Damaged { object: name.to_string(), why: why.into() };
    let (header, _) =
        MetadataHeader::split(object).map_err(|error| RepositoryError::in_format(name, error))?;
    if header.kind != kind {
        return Err(damaged("it is an object of another kind"));
    }
    let len = object.len() as u64;
    if padme(len) != len {
        return Err(damaged("it is cut off"));
    }
    Ok(())
}

/// Checks signatures as well.
fn check_opened(repository: &Repository, name: &ObjectName, object: &Bytes) -> Result<Purpose> {
    let purpose = check(name, object)?;
    match name {
        ObjectName::Index(_) => {
            repository.unseal::<IndexRecord>(MetadataKind::Index, name, object)?;
        }
        ObjectName::Snapshot(_) => {
            repository.unseal::<Register>(MetadataKind::Snapshot, name, object)?;
        }
        _ => {}
    }
    Ok(purpose)
}

#[cfg(test)]
mod tests {
    use nightjar_format::PackId;

    use super::*;

    #[test]
    fn a_pack_of_other_bytes_is_found_out_without_a_key() {
        let object = Bytes::from_static(b"no pack at all");
        let error = check(&ObjectName::Pack(PackId([0; 32])), &object).unwrap_err();
        assert!(error.is_damage() && error.to_string().contains("hash"), "{error}");
    }
}
