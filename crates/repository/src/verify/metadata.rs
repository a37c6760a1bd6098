//! The objects that caches hide: read from the store, whatever was read before.

use std::collections::BTreeMap;

use nightjar_codec::slot::verify_slot;
use nightjar_codec::{CodecError, digest};
use nightjar_format::index::IndexRecord;
use nightjar_format::ledger::LedgerRecord;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::slot::SlotObject;
use nightjar_format::snapshot::Register;
use nightjar_format::{Digest, SlotId, limits};
use nightjar_storage::StoreError;

use super::check::Check;
use crate::ahead::Ahead;
use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;
use crate::snapshots::SnapshotInfo;

impl Check<'_> {
    /// Reads every index object, register and ledger record from the store: caches hide damage.
    pub(super) fn metadata_objects(&mut self) -> Result<()> {
        let repository = self.reader.repository;
        let limit = limits::METADATA_OBJECT_BYTES as u64;
        let named = named_records(self.ledger);
        for folder in ["index", "snapshots", "ledger"] {
            let listed = repository.store.list(folder)?;
            let objects =
                listed.iter().filter_map(|info| Some((ObjectName::parse(&info.name)?, info.size)));
            for (name, object) in Ahead::new(repository, objects, limit) {
                let sound = object.and_then(|object| {
                    open_metadata(repository, &name, &object)?;
                    require_named(&name, &object, &named)
                });
                match sound {
                    Err(error) if error.is_damage() => {
                        if !forgotten_meanwhile(repository, &name)? {
                            self.add(&name.to_string(), error);
                        }
                    }
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    /// Whether a snapshot's object in the store is what was listed, which a cache may have given.
    pub(super) fn has_register(&mut self, info: &SnapshotInfo) -> Result<bool> {
        let repository = self.reader.repository;
        let name = ObjectName::Snapshot(info.id);
        let limit = limits::METADATA_OBJECT_BYTES as u64;
        match repository.store.get(&name.to_string(), limit).map_err(RepositoryError::from) {
            Ok(object) if digest::hash(&object) == info.digest => return Ok(true),
            Ok(_) => self.add(&name.to_string(), "it is not the object that was read before"),
            Err(error) if error.is_damage() => {
                if forgotten_meanwhile(repository, &name)? {
                    return Ok(true);
                }
                self.add(&name.to_string(), error);
            }
            Err(error) => return Err(error),
        }
        Ok(false)
    }

    /// Every slot that has access needs its object, as its voucher signed it, and its keyrings.
    pub(super) fn slots(&mut self) -> Result<()> {
        let before = self.report.findings.len();
        self.look_at_slots()?;
        // What was taken away meanwhile is not damaged.
        let found = self.report.findings.len() > before;
        if found && ledger::are_keys_old(self.reader.repository)? {
            return Err(RepositoryError::KeysChanged);
        }
        Ok(())
    }

    fn look_at_slots(&mut self) -> Result<()> {
        let repository = self.reader.repository;
        let keychain = &repository.keychain;
        for info in repository.store.list("slots")? {
            let Some(ObjectName::Slot(id)) = ObjectName::parse(&info.name) else { continue };
            let object = match repository.store.get(&info.name, limits::PLAIN_OBJECT_BYTES as u64) {
                // Gone since it was listed: missed below if a member owns it.
                Err(StoreError::NotFound { .. }) => continue,
                object => object?,
            };
            if let Err(error) = check_slot(repository, id, &object) {
                self.add(&info.name, error);
            }
        }
        for member in keychain.members().filter(|member| member.until.is_none()) {
            let mut needed = vec![ObjectName::Slot(member.slot_id)];
            let epochs = 1..=keychain.epoch();
            needed.extend(epochs.filter_map(|it| keychain.keyring_name(it, member.slot_id)));
            for name in needed {
                if repository.store.head(&name.to_string())?.is_none() {
                    self.add(&name.to_string(), "it is missing: this slot cannot be opened");
                }
            }
        }
        Ok(())
    }
}

/// What the objects of ledger records must be, by the record after each.
fn named_records(ledger: &Ledger) -> BTreeMap<ObjectName, Digest> {
    let named = ledger.records.iter().filter_map(|(record, _)| {
        let before = record.number.checked_sub(1)?;
        Some((ObjectName::Ledger(before), record.previous))
    });
    named.chain([(ObjectName::Ledger(ledger.head.number), ledger.head_digest)]).collect()
}

/// Whether an object that cannot be read is a snapshot that somebody forgot since it was listed.
fn forgotten_meanwhile(repository: &Repository, name: &ObjectName) -> Result<bool> {
    let ObjectName::Snapshot(id) = name else { return Ok(false) };
    if repository.store.head(&name.to_string())?.is_some() {
        return Ok(false);
    }
    Ok(ledger::read(repository)?.state.forgotten.contains(id))
}

fn require_named(
    name: &ObjectName,
    object: &[u8],
    named: &BTreeMap<ObjectName, Digest>,
) -> Result<()> {
    if named.get(name).is_none_or(|named| *named == digest::hash(object)) {
        return Ok(());
    }
    let why = "it is not the object that was read before, or that the next record names".to_owned();
    Err(RepositoryError::Damaged { object: name.to_string(), why })
}

fn open_metadata(repository: &Repository, name: &ObjectName, object: &[u8]) -> Result<()> {
    match name {
        ObjectName::Index(_) => {
            repository.unseal::<IndexRecord>(MetadataKind::Index, name, object).map(|_| ())
        }
        ObjectName::Snapshot(_) => {
            repository.unseal::<Register>(MetadataKind::Snapshot, name, object).map(|_| ())
        }
        ObjectName::Ledger(..) => {
            repository.unseal::<LedgerRecord>(MetadataKind::Ledger, name, object).map(|_| ())
        }
        _ => Ok(()),
    }
}

/// Whether a slot's object is as its voucher signed it.
pub(crate) fn check_slot(
    repository: &Repository,
    id: SlotId,
    object: &[u8],
) -> std::result::Result<(), CodecError> {
    let slot = SlotObject::from_object(object)?;
    let voucher = repository.keychain.members().find(|it| it.slot_id == slot.record.added_by);
    let voucher = voucher.ok_or(CodecError::UntrustedSigner(slot.record.added_by))?;
    if slot.record.slot_id != id {
        return Err(CodecError::NotAuthentic { what: "slot object" });
    }
    verify_slot(&repository.id(), &slot, &voucher.sign_public)
}
