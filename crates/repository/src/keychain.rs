//! Which keys to use and whose signatures to believe (format-spec, chapter 2).
//!
//! Trust grows from the anchor inside the opener's own slot: the hash of the `repository`
//! object and the signing key of the root slot. Epoch 1 must be the root's; each later epoch
//! must be made by a full slot that the record of the one before lists. Full slots stand in
//! epoch records only; a write slot that was added since the newest epoch must be vouched for
//! by a full slot of that epoch. Which epochs have begun, the ledger tells. Nothing else the
//! store says about keys is believed.

use std::collections::BTreeMap;

use nightjar_codec::digest::{self, Identifier};
use nightjar_codec::hybrid::{PrivateKey, PublicKey};
use nightjar_codec::metadata::{Sealer, Trust};
use nightjar_codec::sign::{self, SignKey, SignatureContext};
use nightjar_codec::slot::{Anchor, SlotKeys, key_commitment, verify_slot};
use nightjar_codec::{CodecError, SecretKey};
use nightjar_format::keyring::{EpochRecord, Keyring, Member};
use nightjar_format::object::ObjectName;
use nightjar_format::record;
use nightjar_format::slot::{Role, SlotObject, SlotRecord};
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
    sign_key: SignKey,
    anchor: Anchor,
    role: Role,
    dedup_key: SecretKey,
    epochs: Vec<EpochKeys>,
    /// Every slot object in the store, believed or not.
    slots: Vec<SlotObject>,
    members: BTreeMap<SlotId, Member>,
}

impl Keychain {
    /// Begins with epoch 1. [`Self::add_epoch`] and then [`Self::confirm`] follow.
    pub(crate) fn begin(
        repository: RepositoryId,
        repository_hash: Digest,
        keys: SlotKeys,
        anchor: Anchor,
        first: Keyring,
        slots: Vec<SlotObject>,
    ) -> Result<Self, CodecError> {
        if anchor.repository_hash != repository_hash {
            return Err(CodecError::NotAuthentic { what: "repository object" });
        }
        let mut keychain = Self {
            repository,
            sign_key: keys.sign_key(),
            keys,
            anchor,
            role: Role::Write,
            dedup_key: SecretKey::new(first.dedup_key),
            epochs: Vec::new(),
            slots,
            members: BTreeMap::new(),
        };
        keychain.add_epoch(first)?;
        Ok(keychain)
    }

    /// Takes in the next epoch, if it can be believed.
    pub(crate) fn add_epoch(&mut self, keyring: Keyring) -> Result<(), CodecError> {
        let not_authentic = CodecError::NotAuthentic { what: "epoch record" };
        let record: EpochRecord = record::decode(&keyring.epoch_record)?;
        let previous = self.epochs.last().map(|epoch| digest::hash(&epoch.keyring.epoch_record));
        if record.epoch != self.epoch() + 1
            || record.previous != previous
            || record.repository_hash != self.anchor.repository_hash
            || !self.continues_history(&record)
            || keyring.dedup_key != *self.dedup_key.expose()
        {
            return Err(not_authentic);
        }
        let maker = self.maker(&record)?;
        let message = [self.repository.as_bytes().as_slice(), &keyring.epoch_record].concat();
        let context = SignatureContext::Epoch;
        sign::verify(&maker, context, &message, &keyring.signature, "epoch record")?;
        self.epochs.push(EpochKeys::check(record, keyring)?);
        self.take_in_members();
        Ok(())
    }

    /// Exchanges the slot objects for those that are in the store now.
    pub(crate) fn set_slots(&mut self, slots: Vec<SlotObject>) {
        self.slots = slots;
        self.take_in_members();
    }

    /// Checks that the opened slot is a member of the newest epoch.
    pub(crate) fn confirm(&mut self) -> Result<(), CodecError> {
        let slot = self.slot();
        let member = self.members.get(&slot).filter(|member| member.belongs_to(self.epoch()));
        self.role = member.ok_or(CodecError::UntrustedSigner(slot))?.role;
        let reads = self.epochs.last().is_some_and(|epoch| epoch.data_secret.is_some());
        if (self.role == Role::Full) == reads {
            Ok(())
        } else {
            Err(CodecError::NotAuthentic { what: "keyring" })
        }
    }

    /// The signing key of the slot that made the epoch, if it was allowed to: a full slot that
    /// the record before lists. A slot cannot let itself in.
    fn maker(&self, record: &EpochRecord) -> Result<[u8; 32], CodecError> {
        let untrusted = CodecError::UntrustedSigner(record.created_by);
        let by_maker =
            |member: &&Member| member.slot_id == record.created_by && member.role == Role::Full;
        let maker = match self.epochs.last() {
            None => record
                .slots
                .iter()
                .find(by_maker)
                .filter(|root| root.sign_public == self.anchor.root_public),
            Some(before) => before
                .record
                .slots
                .iter()
                .find(by_maker)
                .filter(|maker| maker.belongs_to(before.record.epoch)),
        };
        maker.map(|maker| maker.sign_public).ok_or(untrusted)
    }

    /// Whether the record repeats every slot of the one before, `until` alone being added, and
    /// lists others only as they can have come in: a full slot with this epoch, a write slot with
    /// this or during the one before.
    fn continues_history(&self, record: &EpochRecord) -> bool {
        let Some(before) = self.epochs.last() else { return true };
        let repeated = |before: &Member| {
            record.slots.iter().any(|now| {
                now.slot_id == before.slot_id
                    && now.role == before.role
                    && now.sign_public == before.sign_public
                    && now.since == before.since
                    && (now.until == before.until
                        || (before.until.is_none() && now.until == Some(record.epoch)))
            })
        };
        let is_new =
            |now: &Member| !before.record.slots.iter().any(|before| before.slot_id == now.slot_id);
        let came_in = |now: &Member| match now.role {
            Role::Full => now.since == record.epoch && now.until.is_none(),
            Role::Write => {
                (before.record.epoch..=record.epoch).contains(&now.since)
                    && now.until.is_none_or(|until| until == record.epoch)
            }
        };
        before.record.slots.iter().all(repeated)
            && record.slots.iter().filter(|now| is_new(now)).all(came_in)
    }

    /// The slots of the newest record, and the write slots that a full one of them added since.
    fn take_in_members(&mut self) {
        let Some(newest) = self.epochs.last().map(|epoch| &epoch.record) else { return };
        let listed: BTreeMap<SlotId, Member> =
            newest.slots.iter().map(|member| (member.slot_id, *member)).collect();
        let mut members = listed.clone();
        for slot in &self.slots {
            let record = &slot.record;
            let vouched = listed
                .get(&record.added_by)
                .filter(|it| it.role == Role::Full && it.belongs_to(newest.epoch))
                .is_some_and(|it| verify_slot(&self.repository, slot, &it.sign_public).is_ok());
            let new = record.since_epoch == newest.epoch
                && record.role == Role::Write
                && !listed.contains_key(&record.slot_id);
            if vouched && new {
                let SlotRecord { slot_id, role, sign_public, since_epoch: since, .. } = *record;
                let member = Member { slot_id, role, sign_public, since, until: None };
                members.insert(slot_id, member);
            }
        }
        self.members = members;
    }

    /// The slot that was opened.
    pub fn slot(&self) -> SlotId {
        self.keys.slot_id()
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

    /// The slot objects in the store, believed or not.
    pub(crate) fn slot_objects(&self) -> &[SlotObject] {
        &self.slots
    }

    /// The name of a slot's keyring of an epoch that has begun.
    pub(crate) fn keyring_name(&self, epoch: u32, slot: SlotId) -> Option<ObjectName> {
        let attempt = self.epoch_digest(epoch)?.attempt();
        Some(ObjectName::Keyring(epoch, attempt, slot))
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
            signer: self.slot(),
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
