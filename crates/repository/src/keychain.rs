//! Which keys to use and whose signatures to believe (format-spec, chapter 2).
//!
//! Trust grows from the anchor inside the opener's own slot: the hash of the `repository`
//! object and the signing key of the root slot. Epoch 1 must be the root's; each later epoch
//! must be made by a full slot that the record of the one before lists. Full slots stand in
//! epoch records only; a write slot that was added since the newest epoch must be vouched for
//! by a full slot of that epoch. Nothing else the store says about keys is believed.

use std::collections::BTreeMap;

use nightjar_codec::digest::{self, Identifier};
use nightjar_codec::hybrid::{PrivateKey, PublicKey};
use nightjar_codec::metadata::{Sealer, Trust};
use nightjar_codec::sign::{self, SignKey, SignatureContext};
use nightjar_codec::slot::{Anchor, SlotKeys, key_commitment, verify_slot};
use nightjar_codec::{CodecError, SecretKey};
use nightjar_format::keyring::{EpochRecord, Keyring, Member};
use nightjar_format::record;
use nightjar_format::slot::{Role, SlotObject};
use nightjar_format::{Digest, RepositoryId, SlotId};

/// The keys of one epoch.
pub(crate) struct EpochKeys {
    pub(crate) record: EpochRecord,
    pub(crate) keyring: Keyring,
    metadata_key: SecretKey,
    data_public: PublicKey,
    data_secret: Option<PrivateKey>,
}

/// All keys of an opened slot, and what it believes about others.
pub struct Keychain {
    repository: RepositoryId,
    keys: SlotKeys,
    slot: SlotId,
    role: Role,
    sign_key: SignKey,
    anchor: Anchor,
    dedup_key: SecretKey,
    epochs: Vec<EpochKeys>,
    members: BTreeMap<SlotId, Member>,
}

impl Keychain {
    /// Checks the epochs, from 1 on, and the slots, and takes from them what can be believed.
    pub(crate) fn build(
        repository: RepositoryId,
        repository_hash: Digest,
        keys: &SlotKeys,
        anchor: Anchor,
        keyrings: Vec<Keyring>,
        slots: &[SlotObject],
    ) -> Result<Self, CodecError> {
        if anchor.repository_hash != repository_hash {
            return Err(CodecError::NotAuthentic { what: "repository object" });
        }
        let mut chain = Chain { repository, anchor, epochs: Vec::new(), members: BTreeMap::new() };
        for keyring in keyrings {
            chain.add_epoch(keyring)?;
        }
        chain.add_write_slots(slots);
        let slot = keys.slot_id();
        let role = chain
            .members
            .get(&slot)
            .filter(|member| member.until.is_none())
            .ok_or(CodecError::UntrustedSigner(slot))?
            .role;
        let current = chain.epochs.last().ok_or(CodecError::UnknownEpoch(1))?;
        if role == Role::Full && current.data_secret.is_none() {
            return Err(CodecError::NotAuthentic { what: "keyring" });
        }
        Ok(Self {
            repository,
            keys: keys.clone(),
            slot,
            role,
            sign_key: keys.sign_key(),
            anchor,
            dedup_key: SecretKey::new(current.keyring.dedup_key),
            epochs: chain.epochs,
            members: chain.members,
        })
    }

    /// The slot that was opened.
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The current epoch.
    pub fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |epoch| epoch.record.epoch)
    }

    /// Every slot there ever was.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub(crate) fn keys(&self) -> &SlotKeys {
        &self.keys
    }

    pub(crate) fn anchor(&self) -> Anchor {
        self.anchor
    }

    pub(crate) fn epochs(&self) -> &[EpochKeys] {
        &self.epochs
    }

    pub(crate) fn sign_key(&self) -> &SignKey {
        &self.sign_key
    }

    pub(crate) fn dedup_key(&self) -> &SecretKey {
        &self.dedup_key
    }

    pub(crate) fn identifier(&self) -> Identifier {
        Identifier::new(&self.dedup_key)
    }

    /// Seals and signs metadata objects under the current epoch.
    pub(crate) fn sealer(&self) -> Result<Sealer<'_>, CodecError> {
        let current = self.epochs.last().ok_or(CodecError::UnknownEpoch(1))?;
        Ok(Sealer {
            repository: self.repository,
            epoch: current.record.epoch,
            metadata_key: &current.metadata_key,
            signer: self.slot,
            sign_key: &self.sign_key,
        })
    }

    /// The current epoch's public key for data packs.
    pub(crate) fn data_public(&self) -> Result<&PublicKey, CodecError> {
        self.epochs.last().map(|epoch| &epoch.data_public).ok_or(CodecError::UnknownEpoch(1))
    }

    fn epoch_keys(&self, epoch: u32) -> Option<&EpochKeys> {
        self.epochs.get(epoch.checked_sub(1)? as usize)
    }

    /// BLAKE3 of an epoch's record.
    pub(crate) fn epoch_digest(&self, epoch: u32) -> Option<Digest> {
        self.epoch_keys(epoch).map(|keys| digest::hash(&keys.keyring.epoch_record))
    }

    /// An epoch's private key for data packs: full slots only.
    pub(crate) fn data_secret(&self, epoch: u32) -> Option<PrivateKey> {
        self.epoch_keys(epoch)?.data_secret.clone()
    }
}

impl Trust for Keychain {
    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn metadata_key(&self, epoch: u32) -> Option<&SecretKey> {
        self.epoch_keys(epoch).map(|keys| &keys.metadata_key)
    }

    fn member(&self, epoch: u32, slot: SlotId) -> Option<(Role, [u8; 32])> {
        let member = self.members.get(&slot).filter(|member| member.belongs_to(epoch))?;
        Some((member.role, member.sign_public))
    }
}

/// The epochs and members believed so far.
struct Chain {
    repository: RepositoryId,
    anchor: Anchor,
    epochs: Vec<EpochKeys>,
    members: BTreeMap<SlotId, Member>,
}

impl Chain {
    fn add_epoch(&mut self, keyring: Keyring) -> Result<(), CodecError> {
        let not_authentic = CodecError::NotAuthentic { what: "epoch record" };
        let record: EpochRecord = record::decode(&keyring.epoch_record)?;
        let previous = self.epochs.last().map(|epoch| digest::hash(&epoch.keyring.epoch_record));
        let expected = u32::try_from(self.epochs.len() + 1).unwrap_or(u32::MAX);
        if record.epoch != expected
            || record.previous != previous
            || record.repository_hash != self.anchor.repository_hash
            || !self.continues_history(&record)
        {
            return Err(not_authentic);
        }
        let maker = self.maker(&record)?;
        let message = [self.repository.as_bytes().as_slice(), &keyring.epoch_record].concat();
        let context = SignatureContext::Epoch;
        sign::verify(&maker, context, &message, &keyring.signature, "epoch record")?;
        let keys = EpochKeys::check(record, keyring)?;
        self.members = keys.record.slots.iter().map(|member| (member.slot_id, *member)).collect();
        self.epochs.push(keys);
        Ok(())
    }

    /// The signing key of the slot that made the epoch, if it was allowed to. `members` are
    /// those of the record before: a slot cannot let itself in.
    fn maker(&self, record: &EpochRecord) -> Result<[u8; 32], CodecError> {
        if record.epoch == 1 {
            let root = record.slots.iter().find(|member| member.slot_id == record.created_by);
            return root
                .filter(|root| {
                    root.role == Role::Full && root.sign_public == self.anchor.root_public
                })
                .map(|root| root.sign_public)
                .ok_or(CodecError::UntrustedSigner(record.created_by));
        }
        self.members
            .get(&record.created_by)
            .filter(|member| member.role == Role::Full && member.belongs_to(record.epoch - 1))
            .map(|member| member.sign_public)
            .ok_or(CodecError::UntrustedSigner(record.created_by))
    }

    /// Whether the record repeats every slot of the one before, `until` alone being added.
    fn continues_history(&self, record: &EpochRecord) -> bool {
        self.members.values().all(|before| {
            record.slots.iter().any(|now| {
                now.slot_id == before.slot_id
                    && now.role == before.role
                    && now.sign_public == before.sign_public
                    && now.since == before.since
                    && (now.until == before.until
                        || (before.until.is_none() && now.until == Some(record.epoch)))
            })
        })
    }

    /// Takes in the write slots that were added since the newest epoch.
    fn add_write_slots(&mut self, slots: &[SlotObject]) {
        let Some(newest) = self.epochs.last().map(|epoch| epoch.record.epoch) else { return };
        for slot in slots {
            let record = &slot.record;
            let vouched = self
                .members
                .get(&record.added_by)
                .filter(|member| member.role == Role::Full && member.belongs_to(newest))
                .is_some_and(|voucher| {
                    verify_slot(&self.repository, slot, &voucher.sign_public).is_ok()
                });
            let new = record.since_epoch == newest
                && record.role == Role::Write
                && !self.members.contains_key(&record.slot_id);
            if vouched && new {
                let member = Member {
                    slot_id: record.slot_id,
                    role: record.role,
                    sign_public: record.sign_public,
                    since: record.since_epoch,
                    until: None,
                };
                self.members.insert(record.slot_id, member);
            }
        }
    }
}

impl EpochKeys {
    fn check(record: EpochRecord, keyring: Keyring) -> Result<Self, CodecError> {
        let not_authentic = CodecError::NotAuthentic { what: "keyring" };
        let metadata_key = SecretKey::new(keyring.metadata_key);
        let dedup_key = SecretKey::new(keyring.dedup_key);
        let data_public = PublicKey::from_bytes(&record.data_public)?;
        let data_secret = keyring
            .data_secret
            .map(|seed| PrivateKey::from_seed(SecretKey::new(seed)))
            .transpose()?;
        let fits = key_commitment(&metadata_key) == record.metadata_commitment
            && key_commitment(&dedup_key) == record.dedup_commitment
            && data_secret.as_ref().is_none_or(|secret| secret.public() == data_public);
        if fits {
            Ok(Self { record, keyring, metadata_key, data_public, data_secret })
        } else {
            Err(not_authentic)
        }
    }
}
