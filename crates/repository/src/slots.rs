//! Slots: adding, listing and removing holders of access (format-spec, chapter 2).
//!
//! Removing one makes a new epoch for all others, so that what is written from then on is
//! sealed under keys that the removed slot never gets. Order of writes: the keyrings of the new
//! epoch, by slot id, so that of two processes that do this at once one loses at the first;
//! then the removed slot's objects go. A process that dies in between leaves an epoch that some
//! slots lack; they go on under the one before, and the next change fills the gap.

use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::metadata::Trust;
use nightjar_codec::sign::SignatureContext;
use nightjar_codec::slot::{
    NewSlot, Protection, SlotKeys, Voucher, key_commitment, open_label, seal_keyring, seal_slot,
};
use nightjar_codec::{CodecError, SecretKey, digest};
use nightjar_format::SlotId;
use nightjar_format::keyring::{EpochRecord, Keyring, Member};
use nightjar_format::object::ObjectName;
use nightjar_format::record;
use nightjar_format::slot::{Role, SlotLabel, SlotObject, Wrap};
use nightjar_storage::Created;

use crate::error::{RepositoryError, Result};
use crate::repository::{Repository, create_new, read_slots};

/// A slot, for people to read.
#[derive(Debug, Clone)]
pub struct SlotInfo {
    /// Which.
    pub id: SlotId,
    /// What it may do.
    pub role: Role,
    /// What its owner calls it.
    pub label: String,
    /// Unix nanoseconds.
    pub created: i64,
    /// "passphrase", "key file" or the name of a key service.
    pub protection: String,
    /// It is the one that was opened.
    pub current: bool,
}

fn failed(error: CodecError) -> RepositoryError {
    RepositoryError::in_object("slot", error)
}

/// Adds a slot to the current epoch and gives it every epoch's keys.
///
/// Order: keyrings first, the slot object last, so a slot that stands has its keys.
pub fn add(
    repository: &Repository,
    role: Role,
    label: &str,
    protection: &Protection<'_>,
) -> Result<SlotId> {
    repository.require_full("add slots")?;
    let Repository { store, record, keychain, environment, .. } = repository;
    let random = &*environment.random;
    let id = record.repository_id;
    let keys = SlotKeys::random(random).map_err(failed)?;
    let sealer = keychain.sealer().map_err(failed)?;
    let slot = seal_slot(
        &id,
        &keychain.anchor(),
        &keys,
        &NewSlot {
            role,
            since_epoch: keychain.epoch(),
            label: SlotLabel { label: label.to_owned(), created: environment.clock.now() },
        },
        protection,
        &Voucher {
            slot_id: keychain.slot(),
            sign_key: keychain.sign_key(),
            metadata_key: sealer.metadata_key,
        },
        random,
    )
    .map_err(failed)?;
    let slot_id = slot.record.slot_id;
    for epoch in keychain.epochs() {
        let keyring = keyring_for(role, &epoch.keyring);
        let number = epoch.record.epoch;
        let object = seal_keyring(&id, number, &slot.record, &keyring, random).map_err(failed)?;
        create_new(store, &ObjectName::Keyring(number, slot_id), object)?;
    }
    create_new(store, &ObjectName::Slot(slot_id), slot.to_object())?;
    Ok(slot_id)
}

/// The slots that have access now.
pub fn list(repository: &Repository) -> Result<Vec<SlotInfo>> {
    let Repository { store, record, keychain, .. } = repository;
    let present = |id| keychain.members().any(|m| m.slot_id == id && m.until.is_none());
    let slots = read_slots(store)?.into_iter().filter(|slot| present(slot.record.slot_id));
    Ok(slots
        .map(|slot| {
            let slot = slot.record;
            let label = keychain
                .metadata_key(slot.since_epoch)
                .and_then(|key| open_label(&record.repository_id, &slot, key).ok());
            SlotInfo {
                id: slot.slot_id,
                role: slot.role,
                created: label.as_ref().map_or(0, |label| label.created),
                label: label.map_or_else(|| "(unreadable)".to_owned(), |label| label.label),
                protection: match slot.wrap {
                    Wrap::Passphrase { .. } => "passphrase".to_owned(),
                    Wrap::KeyFile { .. } => "key file".to_owned(),
                    Wrap::External { service, .. } => service,
                },
                current: slot.slot_id == keychain.slot(),
            }
        })
        .collect())
}

/// Takes a slot's access away: makes a new epoch for the others, then deletes its objects.
pub fn remove(repository: &Repository, removed: SlotId) -> Result<()> {
    repository.require_full("remove slots")?;
    let Repository { store, keychain, .. } = repository;
    let remaining: Vec<SlotObject> = read_slots(store)?
        .into_iter()
        .filter(|slot| slot.record.slot_id != removed)
        .filter(|slot| keychain.member(keychain.epoch(), slot.record.slot_id).is_some())
        .collect();
    if keychain.member(keychain.epoch(), removed).is_none() {
        return Err(RepositoryError::Refused(format!("there is no slot {removed}")));
    }
    if !remaining.iter().any(|slot| slot.record.role == Role::Full) {
        return Err(RepositoryError::Refused(
            "this is the last full slot: nobody could read the repository without it".into(),
        ));
    }
    fill_gaps(repository, &remaining)?;
    make_epoch(repository, removed, &remaining)?;
    for epoch in 1..=keychain.epoch() {
        store.delete(&ObjectName::Keyring(epoch, removed).to_string())?;
    }
    store.delete(&ObjectName::Slot(removed).to_string())?;
    Ok(())
}

/// What a keyring says to a slot of this role.
fn keyring_for(role: Role, keyring: &Keyring) -> Keyring {
    let data_secret = keyring.data_secret.filter(|_| role == Role::Full);
    Keyring { data_secret, ..keyring.clone() }
}

/// Gives every slot the keyrings that an interrupted change left out.
fn fill_gaps(repository: &Repository, slots: &[SlotObject]) -> Result<()> {
    let Repository { store, record, keychain, environment, .. } = repository;
    for epoch in keychain.epochs() {
        let number = epoch.record.epoch;
        for slot in slots {
            let name = ObjectName::Keyring(number, slot.record.slot_id).to_string();
            if store.head(&name)?.is_some() {
                continue;
            }
            let keyring = keyring_for(slot.record.role, &epoch.keyring);
            let random = &*environment.random;
            let object =
                seal_keyring(&record.repository_id, number, &slot.record, &keyring, random)
                    .map_err(failed)?;
            match store.create(&name, object.into())? {
                Created::Created | Created::Exists => {}
            }
        }
    }
    Ok(())
}

fn make_epoch(repository: &Repository, removed: SlotId, slots: &[SlotObject]) -> Result<()> {
    let Repository { store, record, keychain, environment, .. } = repository;
    let random = &*environment.random;
    let number = keychain.epoch() + 1;
    let current = keychain
        .epochs()
        .last()
        .ok_or(RepositoryError::Internal("an opened repository has an epoch"))?;
    let metadata_key = SecretKey::random(random);
    let data_secret = PrivateKey::random(random).map_err(failed)?;
    let members = keychain.members().map(|member| Member {
        until: if member.slot_id == removed { Some(number) } else { member.until },
        ..*member
    });
    let epoch_record = record::encode(&EpochRecord {
        epoch: number,
        repository_hash: keychain.anchor().repository_hash,
        previous: Some(digest::hash(&current.keyring.epoch_record)),
        created_by: keychain.slot(),
        data_public: data_secret.public().to_bytes(),
        dedup_commitment: key_commitment(keychain.dedup_key()),
        metadata_commitment: key_commitment(&metadata_key),
        slots: members.collect(),
    });
    let message = [record.repository_id.as_bytes().as_slice(), &epoch_record].concat();
    let keyring = Keyring {
        signature: keychain.sign_key().sign(SignatureContext::Epoch, &message),
        epoch_record,
        dedup_key: *keychain.dedup_key().expose(),
        metadata_key: *metadata_key.expose(),
        data_secret: Some(*data_secret.seed().expose()),
    };
    let mut slots: Vec<&SlotObject> = slots.iter().collect();
    slots.sort_by_key(|slot| slot.record.slot_id);
    for slot in slots {
        let keyring = keyring_for(slot.record.role, &keyring);
        let id = &record.repository_id;
        let object = seal_keyring(id, number, &slot.record, &keyring, random).map_err(failed)?;
        create_new(store, &ObjectName::Keyring(number, slot.record.slot_id), object)?;
    }
    Ok(())
}
