//! Slots: adding, listing and removing holders of access (format-spec, chapter 2).
//!
//! Every change is decided by one create in the ledger. What it needs is written before under
//! names that no other attempt uses, and is nobody's until then; the ledger is read before the
//! slots are, and the record is appended right after the head that was read. If that number is
//! taken, something else happened meanwhile, and the change begins anew. So two changes at once
//! never lose one another, and an interrupted one has not happened.

use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::metadata::Trust;
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
use nightjar_storage::StoreError;

use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
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

/// Adds a slot and gives it every epoch's keys. A full slot becomes a member by a new epoch,
/// whose record lists it.
pub fn add(
    repository: &mut Repository,
    role: Role,
    label: &str,
    protection: &Protection<'_>,
) -> Result<SlotId> {
    repository.require_no_replica()?;
    repository.require_full("add slots")?;
    loop {
        repository.refresh_keys()?;
        let mut made = Vec::new();
        // After an error the record may still arrive: what it needs stays.
        if let Some((slot, decided)) = try_add(repository, role, label, protection, &mut made)?
            && (decided || note_member(repository, slot)?)
        {
            repository.refresh_keys()?;
            return Ok(slot);
        }
        delete_all(repository, &made);
    }
}

/// Another change came before the record of a write slot. Its objects are there, and that is
/// enough to be a member: whoever makes an epoch now lists it, so they must stay. Says so in the
/// ledger, unless an epoch does already. False if an epoch began without it: then it never will be
/// a member.
fn note_member(repository: &mut Repository, slot: SlotId) -> Result<bool> {
    loop {
        repository.refresh_keys()?;
        let Some(ledger) = read_state(repository)? else { continue };
        let epoch = repository.keychain.epoch();
        let mut members = repository.keychain.members();
        match members.find(|member| member.slot_id == slot && member.belongs_to(epoch)) {
            None => return Ok(false),
            Some(member) if member.since < epoch => return Ok(true),
            Some(_) => {}
        }
        let body = LedgerBody::Slot { slot };
        if ledger::append_after(repository, &ledger, &body)?.is_some() {
            return Ok(true);
        }
    }
}

/// One attempt: the slot, and whether the ledger has it. If not, another change came first, and
/// what it `made` is nobody's, unless that is a write slot that others have seen.
fn try_add(
    repository: &mut Repository,
    role: Role,
    label: &str,
    protection: &Protection<'_>,
    made: &mut Vec<ObjectName>,
) -> Result<Option<(SlotId, bool)>> {
    let Some(ledger) = read_state(repository)? else { return Ok(None) };
    let repository = &*repository;
    let Repository { store, record, keychain, environment, .. } = repository;
    let mut slots = member_slots(repository);
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
        let number = epoch.record.epoch;
        let name = keychain
            .keyring_name(number, slot_id)
            .ok_or(RepositoryError::Internal("an epoch has no keyring"))?;
        let keyring = keyring_for(role, &epoch.keyring);
        let object = seal_keyring(&id, number, &slot.record, &keyring, random).map_err(failed)?;
        made.push(name);
        create_new(store, &name, object)?;
    }
    made.push(ObjectName::Slot(slot_id));
    create_new(store, &ObjectName::Slot(slot_id), slot.to_object())?;
    let decided = match role {
        Role::Write => {
            let body = LedgerBody::Slot { slot: slot_id };
            ledger::append_after(repository, &ledger, &body)?.is_some()
        }
        Role::Full => {
            let sign_public = slot.record.sign_public;
            let member = Member { slot_id, role, sign_public, since: since_epoch, until: None };
            slots.push(slot);
            let members = keychain.members().copied().chain([member]).collect();
            make_epoch(repository, &ledger, members, &slots, made)?
        }
    };
    Ok(Some((slot_id, decided)))
}

/// Deletes what an attempt left, the slot before its keyrings: a slot without keyrings is damage.
/// What cannot be deleted is in nobody's way.
fn delete_all(repository: &Repository, names: &[ObjectName]) {
    for name in names.iter().rev() {
        if let Err(error) = repository.store.delete(&name.to_string()) {
            tracing::debug!("cannot delete {name}: {error}");
        }
    }
}

/// Reads the ledger, *then* the slots: whoever is added after that takes the next number of the
/// ledger. Nothing if an epoch has begun that this process does not know.
fn read_state(repository: &mut Repository) -> Result<Option<Ledger>> {
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    repository.keychain.set_slots(read_slots(&repository.store)?);
    Ok(Some(ledger).filter(|ledger| ledger.next_epoch.is_none()))
}

/// The slot objects of the current members.
fn member_slots(repository: &Repository) -> Vec<SlotObject> {
    let keychain = &repository.keychain;
    let is_member =
        |slot: &&SlotObject| keychain.member(keychain.epoch(), slot.record.slot_id).is_some();
    keychain.slot_objects().iter().filter(is_member).cloned().collect()
}

/// The slots that have access now.
pub fn list(repository: &Repository) -> Result<Vec<SlotInfo>> {
    let Repository { record, keychain, .. } = repository;
    let slots = member_slots(repository).into_iter();
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
    repository.require_no_replica()?;
    repository.require_full("remove slots")?;
    loop {
        repository.refresh_keys()?;
        let mut made = Vec::new();
        // After an error the record may still arrive: what it needs stays.
        if try_remove(repository, removed, &mut made)? {
            repository.refresh_keys()?;
            return delete_removed(repository);
        }
        delete_all(repository, &made);
    }
}

/// One attempt. False if another change came first; what it `made` is then nobody's.
fn try_remove(
    repository: &mut Repository,
    removed: SlotId,
    made: &mut Vec<ObjectName>,
) -> Result<bool> {
    let Some(ledger) = read_state(repository)? else { return Ok(false) };
    let repository = &*repository;
    let Repository { store, keychain, .. } = repository;
    if keychain.member(keychain.epoch(), removed).is_none() {
        // Already decided: its objects may still be there.
        let known = keychain.members().any(|member| member.slot_id == removed);
        return if known || store.head(&ObjectName::Slot(removed).to_string())?.is_some() {
            Ok(true)
        } else {
            Err(RepositoryError::Refused(format!("there is no slot {removed}")))
        };
    }
    let mut remaining = member_slots(repository);
    remaining.retain(|slot| slot.record.slot_id != removed);
    if !remaining.iter().any(|slot| slot.record.role == Role::Full) {
        return Err(RepositoryError::Refused(
            "this is the last full slot: nobody could read the repository without it".into(),
        ));
    }
    if removed == keychain.slot() {
        return Err(RepositoryError::Refused(
            "this is the slot that was opened: open the repository with another full slot to \
             remove it, which also shows that the other one works"
                .into(),
        ));
    }
    let number = keychain.epoch() + 1;
    let members = keychain.members().map(|member| Member {
        until: if member.slot_id == removed { Some(number) } else { member.until },
        ..*member
    });
    make_epoch(repository, &ledger, members.collect(), &remaining, made)
}

/// Deletes the slot objects of slots that are no longer members, then their keyrings, where the
/// store permits it: a slot without keyrings is damage.
fn delete_removed(repository: &Repository) -> Result<()> {
    let Repository { store, keychain, .. } = repository;
    let gone: Vec<SlotId> = keychain
        .members()
        .filter(|member| member.until.is_some())
        .map(|member| member.slot_id)
        .collect();
    for info in store.list("slots")?.into_iter().chain(store.list("keyring")?) {
        let owner = match ObjectName::parse(&info.name) {
            Some(ObjectName::Keyring(_, _, owner) | ObjectName::Slot(owner)) => owner,
            _ => continue,
        };
        if !gone.contains(&owner) {
            continue;
        }
        match store.delete(&info.name) {
            Err(error @ StoreError::PermissionDenied { .. }) => tracing::warn!(
                "{owner} has no access to what is written from now on, but its objects stay in the \
                 store: {error}"
            ),
            outcome => outcome?,
        }
    }
    Ok(())
}

/// What a keyring says to a slot of this role.
pub(crate) fn keyring_for(role: Role, keyring: &Keyring) -> Keyring {
    let data_secret = keyring.data_secret.filter(|_| role == Role::Full);
    Keyring { data_secret, ..keyring.clone() }
}

/// Makes a new epoch with these members: writes their keyrings, then lets the ledger decide.
/// False if another change came first.
fn make_epoch(
    repository: &Repository,
    ledger: &Ledger,
    mut members: Vec<Member>,
    slots: &[SlotObject],
    made: &mut Vec<ObjectName>,
) -> Result<bool> {
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
    let digest = digest::hash(&epoch_record);
    let keyring = Keyring {
        signature: keychain.sign_key().sign(SignatureContext::Epoch, &message),
        epoch_record,
        dedup_key: *keychain.dedup_key().expose(),
        metadata_key: *metadata_key.expose(),
        data_secret: Some(*data_secret.seed().expose()),
    };
    for slot in slots {
        let keyring = keyring_for(slot.record.role, &keyring);
        let object = seal_keyring(&id, number, &slot.record, &keyring, random).map_err(failed)?;
        let name = ObjectName::Keyring(number, digest.attempt(), slot.record.slot_id);
        made.push(name);
        create_new(store, &name, object)?;
    }
    let body = LedgerBody::Epoch { epoch: number, digest };
    Ok(ledger::append_after(repository, ledger, &body)?.is_some())
}
