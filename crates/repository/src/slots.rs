//! Slots: adding, listing and removing holders of access (format-spec, chapter 2).
//!
//! Removing one makes a new epoch for all others, so that what is written from then on is
//! sealed under keys that the removed slot never gets. Order of writes: the keyrings of the new
//! epoch, by slot id, so that of two processes that do this at once one loses at the first;
//! then the ledger says so, then the removed slot's objects go. What others changed since the
//! repository was opened is read again first. A process that dies in between leaves an epoch that some
//! slots lack; they go on under the one before, and the next change fills the gap.

use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::metadata::{Sealer, Trust};
use nightjar_codec::sign::SignatureContext;
use nightjar_codec::slot::{
    NewSlot, Protection, SlotKeys, Voucher, key_commitment, open_label, seal_keyring, seal_slot,
};
use nightjar_codec::{CodecError, SecretKey, digest};
use nightjar_format::SlotId;
use nightjar_format::keyring::{EpochRecord, Keyring, Member};
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::record;
use nightjar_format::slot::{Role, SlotLabel, SlotObject, SlotRecord, Wrap};
use nightjar_storage::Created;

use crate::error::{RepositoryError, Result};
use crate::ledger;
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

/// Adds a slot and gives it every epoch's keys.
///
/// Order: keyrings first, then the slot object, so that a slot that stands has its keys. A full
/// slot becomes a member by a new epoch, whose record lists it.
pub fn add(
    repository: &mut Repository,
    role: Role,
    label: &str,
    protection: &Protection<'_>,
) -> Result<SlotId> {
    repository.require_full("add slots")?;
    repository.keychain = repository.reload_keychain()?;
    let Repository { store, record, keychain, environment, .. } = &*repository;
    let random = &*environment.random;
    let id = record.repository_id;
    let keys = SlotKeys::random(random).map_err(failed)?;
    let sealer = keychain.sealer().map_err(failed)?;
    let since_epoch = match role {
        Role::Full => keychain.epoch() + 1,
        Role::Write => keychain.epoch(),
    };
    let slot = seal_slot(
        &id,
        &keychain.anchor(),
        &keys,
        &NewSlot {
            role,
            since_epoch,
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
    if role == Role::Full {
        let mut slots = member_slots(repository)?;
        fill_gaps(repository, &slots)?;
        let member = Member {
            slot_id,
            role,
            sign_public: slot.record.sign_public,
            since: since_epoch,
            until: None,
        };
        slots.push(slot);
        make_epoch(repository, keychain.members().copied().chain([member]).collect(), &slots)?;
        repository.keychain = repository.reload_keychain()?;
    }
    Ok(slot_id)
}

/// The slot objects of the current members.
fn member_slots(repository: &Repository) -> Result<Vec<SlotObject>> {
    let keychain = &repository.keychain;
    let mut slots = read_slots(&repository.store)?;
    slots.retain(|slot| keychain.member(keychain.epoch(), slot.record.slot_id).is_some());
    Ok(slots)
}

/// The slots that have access now.
pub fn list(repository: &Repository) -> Result<Vec<SlotInfo>> {
    let Repository { record, keychain, .. } = repository;
    let slots = member_slots(repository)?.into_iter();
    Ok(slots
        .map(|slot| {
            let slot = slot.record;
            let label = keychain
                .metadata_key(label_epoch(&slot))
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

/// The epoch under whose metadata key a slot's label is sealed: the one in which it was added.
fn label_epoch(slot: &SlotRecord) -> u32 {
    match slot.role {
        Role::Full if slot.added_by != slot.slot_id => slot.since_epoch.saturating_sub(1),
        _ => slot.since_epoch,
    }
}

/// Takes a slot's access away: makes a new epoch for the others, then deletes its objects.
pub fn remove(repository: &mut Repository, removed: SlotId) -> Result<()> {
    repository.require_full("remove slots")?;
    repository.keychain = repository.reload_keychain()?;
    let Repository { store, keychain, .. } = &*repository;
    let mut remaining = member_slots(repository)?;
    remaining.retain(|slot| slot.record.slot_id != removed);
    if keychain.member(keychain.epoch(), removed).is_some() {
        if removed == keychain.slot() && remaining.iter().any(|s| s.record.role == Role::Full) {
            // It could not sign under the epoch it is no longer part of.
            return Err(RepositoryError::Refused(
                "this is the slot that was opened: open the repository with another full slot to \
                 remove it, which also shows that the other one works"
                    .into(),
            ));
        }
        if !remaining.iter().any(|slot| slot.record.role == Role::Full) {
            return Err(RepositoryError::Refused(
                "this is the last full slot: nobody could read the repository without it".into(),
            ));
        }
        fill_gaps(repository, &remaining)?;
        let number = keychain.epoch() + 1;
        let members = keychain.members().map(|member| Member {
            until: if member.slot_id == removed { Some(number) } else { member.until },
            ..*member
        });
        make_epoch(repository, members.collect(), &remaining)?;
    } else if store.head(&ObjectName::Slot(removed).to_string())?.is_none() {
        return Err(RepositoryError::Refused(format!("there is no slot {removed}")));
    }
    for epoch in 1..=keychain.epoch() {
        store.delete(&ObjectName::Keyring(epoch, removed).to_string())?;
    }
    store.delete(&ObjectName::Slot(removed).to_string())?;
    repository.keychain = repository.reload_keychain()?;
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

/// Makes a new epoch with these members, writes their keyrings, and says so in the ledger, under
/// the new keys: from then on, nothing that is sealed under older ones can be appended.
fn make_epoch(
    repository: &Repository,
    mut members: Vec<Member>,
    slots: &[SlotObject],
) -> Result<()> {
    let Repository { store, record, keychain, environment, .. } = repository;
    let random = &*environment.random;
    let id = record.repository_id;
    let number = keychain.epoch() + 1;
    let current = keychain
        .epochs()
        .last()
        .ok_or(RepositoryError::Internal("an opened repository has an epoch"))?;
    let metadata_key = SecretKey::random(random);
    let data_secret = PrivateKey::random(random).map_err(failed)?;
    members.sort_by_key(|member| member.slot_id);
    let epoch_record = record::encode(&EpochRecord {
        epoch: number,
        repository_hash: keychain.anchor().repository_hash,
        previous: Some(digest::hash(&current.keyring.epoch_record)),
        created_by: keychain.slot(),
        data_public: data_secret.public().to_bytes(),
        dedup_commitment: key_commitment(keychain.dedup_key()),
        metadata_commitment: key_commitment(&metadata_key),
        slots: members,
    });
    let message = [id.as_bytes().as_slice(), &epoch_record].concat();
    let body = LedgerBody::Epoch { epoch: number, digest: digest::hash(&epoch_record) };
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
        let object = seal_keyring(&id, number, &slot.record, &keyring, random).map_err(failed)?;
        create_new(store, &ObjectName::Keyring(number, slot.record.slot_id), object)?;
    }
    let sealer = Sealer {
        repository: id,
        epoch: number,
        metadata_key: &metadata_key,
        signer: keychain.slot(),
        sign_key: keychain.sign_key(),
    };
    ledger::append_sealed_by(repository, &sealer, &body).map(|_| ())
}
