//! Looking whether there is a repository, and opening it with a slot (format-spec, chapters 1 and 2).

use bytes::Bytes;
use nightjar_codec::CodecError;
use nightjar_codec::digest;
use nightjar_codec::slot::{Anchor, SlotKeys, Unlock, unwrap, verify_slot};
use nightjar_format::keyring::Keyring;
use nightjar_format::object::ObjectName;
use nightjar_format::repository::RepositoryRecord;
use nightjar_format::slot::SlotObject;
use nightjar_format::{Digest, RepositoryId, limits};
use nightjar_storage::{Store, StoreError};

use crate::environment::Environment;
use crate::error::{RepositoryError, Result};
use crate::keychain::Keychain;
use crate::repository::{Repository, handle_for, read_keyring, read_slots};

/// A repository that is there, and closed.
pub struct Found {
    store: Store,
    record: RepositoryRecord,
    hash: Digest,
}

impl Found {
    /// Looks whether there is a repository: nobody should be asked for a passphrase for none.
    pub fn look(store: Store) -> Result<Self> {
        let (record, hash) = read_repository_object(&store)?;
        let store = handle_for(store, &record);
        Ok(Self { store, record, hash })
    }

    /// Where its objects lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Opens it with a passphrase or key file.
    pub fn open(self, unlock: &Unlock, environment: Environment) -> Result<Repository> {
        let Self { store, record, hash } = self;
        let slots = read_slots(&store)?;
        let repository = record.repository_id;
        let mut failure = None;
        for (keys, anchor) in unlock_slots(&store, &repository, &slots, unlock, &mut failure)? {
            let begin = |first| {
                Keychain::begin(repository, hash, keys.clone(), anchor, first, slots.clone())
                    .map_err(|error| RepositoryError::Tampered(format!("its keys: {error}")))
            };
            let opened = first_epoch(&store, &repository, &keys, begin).and_then(|keychain| {
                Repository::begin(store.clone(), record.clone(), keychain, environment.clone())
            });
            match opened {
                Ok(opened) => return Ok(opened),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or(RepositoryError::WrongSecret))
    }
}

/// Reads and checks the `repository` object; gives its hash, too.
pub(crate) fn read_repository_object(store: &Store) -> Result<(RepositoryRecord, Digest)> {
    let (record, object) = fetch_repository_object(store)?;
    Ok((record, digest::hash(&object)))
}

/// The record, and the object's bytes.
pub(crate) fn fetch_repository_object(store: &Store) -> Result<(RepositoryRecord, Bytes)> {
    let name = ObjectName::Repository;
    let object = match store.get(&name.to_string(), limits::PLAIN_OBJECT_BYTES as u64) {
        Err(StoreError::NotFound { .. }) => return Err(no_repository_object(store)?),
        object => object?,
    };
    let record = RepositoryRecord::from_object(&object)
        .map_err(|error| RepositoryError::in_format(name, error))?;
    Ok((record, object))
}

fn no_repository_object(store: &Store) -> Result<RepositoryError> {
    let url = store.url().to_owned();
    if store.head(&ObjectName::Replica.to_string())?.is_some() {
        return Ok(RepositoryError::UnfinishedReplica { url });
    }
    Ok(if store.list("slots")?.is_empty() {
        RepositoryError::NoRepository { url }
    } else {
        RepositoryError::Damaged {
            object: ObjectName::Repository.to_string(),
            why: "it is missing, though other objects of a repository are there; \
                  `nightjar repair --from URL` brings it back from a copy"
                .into(),
        }
    })
}

/// The slots that open with what was given: more than one where an interrupted change left a
/// slot object that never became a member. Damage goes to `failure`; if nothing opens, it may be
/// the reason.
fn unlock_slots(
    store: &Store,
    repository: &RepositoryId,
    slots: &[SlotObject],
    unlock: &Unlock,
    failure: &mut Option<RepositoryError>,
) -> Result<Vec<(SlotKeys, Anchor)>> {
    let mut opened = Vec::new();
    for slot in slots {
        match unwrap(repository, &slot.record, unlock) {
            Ok(keys) => opened.push(keys),
            Err(CodecError::WrongSecret) => {}
            // The right secret, and yet it does not open: both objects are bound into it.
            Err(error) => {
                let name = ObjectName::Slot(slot.record.slot_id);
                let object = format!("{name} or the repository object");
                *failure = Some(RepositoryError::in_object(object, error));
            }
        }
    }
    if opened.is_empty() && failure.is_none() {
        *failure = damaged_slots(store, repository)?;
    }
    Ok(opened)
}

/// Slot objects that are not as their makers signed them: where nothing opens, the secret may be
/// right and the slot damaged.
fn damaged_slots(store: &Store, repository: &RepositoryId) -> Result<Option<RepositoryError>> {
    let sound = read_slots(store)?;
    let is_sound = |name: &str| {
        let Some(ObjectName::Slot(id)) = ObjectName::parse(name) else { return true };
        let Some(slot) = sound.iter().find(|slot| slot.record.slot_id == id) else { return false };
        let voucher = sound.iter().find(|it| it.record.slot_id == slot.record.added_by);
        voucher.is_none_or(|it| verify_slot(repository, slot, &it.record.sign_public).is_ok())
    };
    let names = store.list("slots")?.into_iter().map(|info| info.name);
    let damaged: Vec<String> = names.filter(|name| !is_sound(name)).collect();
    Ok((!damaged.is_empty()).then(|| RepositoryError::Damaged {
        object: damaged.join(", "),
        why: "no other slot opens with this passphrase or key file, if that is right".into(),
    }))
}

/// Begins a keychain with the slot's keyring of epoch 1. Anybody can seal something to the slot
/// and put it there: the one that can be believed counts.
fn first_epoch(
    store: &Store,
    repository: &RepositoryId,
    keys: &SlotKeys,
    begin: impl Fn(Keyring) -> Result<Keychain>,
) -> Result<Keychain> {
    let slot = keys.slot_id();
    let mut failure = RepositoryError::Damaged {
        object: format!("keyring/00000001-…/{slot}"),
        why: "it is missing: this slot has no keys; use another slot".into(),
    };
    for info in store.list("keyring")? {
        let Some(name @ ObjectName::Keyring(1, attempt, owner)) = ObjectName::parse(&info.name)
        else {
            continue;
        };
        if owner != slot {
            continue;
        }
        let begun = read_keyring(store, repository, &name, keys).and_then(|keyring| {
            if digest::hash(&keyring.epoch_record).attempt() != attempt {
                let why = format!("{name} is of another epoch record than its name tells");
                return Err(RepositoryError::Tampered(why));
            }
            begin(keyring)
        });
        match begun {
            Ok(keychain) => return Ok(keychain),
            Err(error) => failure = error,
        }
    }
    // Slots go before their keyrings: this one was removed since it was read.
    if store.head(&ObjectName::Slot(slot).to_string())?.is_none() {
        return Err(RepositoryError::WrongSecret);
    }
    Err(failure)
}
