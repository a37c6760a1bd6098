//! Epochs and the keyrings that carry their keys to the slots (format-spec, chapter 2).

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, SlotId};
use crate::reader::FieldReader;
use crate::record::{Record, strictly_sorted};
use crate::slot::{KEM_PUBLIC_LEN, Role, Signature};
use crate::{FormatError, limits};

const MAGIC: &[u8; 4] = b"NJK1";

/// Bytes of an X-Wing encapsulated key.
pub const ENCAPSULATED_LEN: usize = 1120;

/// What a keyring object's ciphertext holds. Secret: the codec zeroizes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    /// [`EpochRecord`], as signed.
    pub epoch_record: Vec<u8>,
    /// By the slot that made the epoch.
    pub signature: Signature,
    /// The same in every epoch.
    pub dedup_key: [u8; 32],
    /// Seals metadata objects and tree packs.
    pub metadata_key: [u8; 32],
    /// Opens data packs; full slots only.
    pub data_secret: Option<[u8; 32]>,
}

impl Record for Keyring {
    const NAME: &'static str = "keyring";
    const LIMIT_BYTES: usize = limits::KEYRING_BYTES;
}

/// What is signed about an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u32,
    /// BLAKE3 of the `repository` object.
    pub repository_hash: Digest,
    /// BLAKE3 of the record of the epoch before.
    pub previous: Option<Digest>,
    /// A full slot.
    pub created_by: SlotId,
    /// Data packs are sealed to it.
    pub data_public: Vec<u8>,
    /// To the dedup key.
    pub dedup_commitment: [u8; 32],
    /// To the metadata key.
    pub metadata_commitment: [u8; 32],
    /// Every slot there ever was, sorted by id.
    pub slots: Vec<Member>,
}

impl Record for EpochRecord {
    const NAME: &'static str = "epoch record";
    const LIMIT_BYTES: usize = limits::KEYRING_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        if self.epoch == 0 || (self.epoch == 1) != self.previous.is_none() {
            return Err(FormatError::malformed(Self::NAME, "its number and predecessor disagree"));
        }
        if self.data_public.len() != KEM_PUBLIC_LEN {
            return Err(FormatError::malformed(Self::NAME, "its public key has a wrong length"));
        }
        if !strictly_sorted(&self.slots, |member| member.slot_id) {
            return Err(FormatError::malformed(Self::NAME, "its slots are not sorted"));
        }
        Ok(())
    }
}

/// A slot as an epoch lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Whose.
    pub slot_id: SlotId,
    /// What it may do.
    pub role: Role,
    /// Verifies its signatures.
    pub sign_public: [u8; 32],
    /// First epoch it is part of.
    pub since: u32,
    /// First epoch it is no longer part of.
    pub until: Option<u32>,
}

impl Member {
    /// Whether it is part of `epoch`.
    pub fn belongs_to(&self, epoch: u32) -> bool {
        self.since <= epoch && self.until.is_none_or(|until| epoch < until)
    }
}

/// Joins the parts of a keyring object.
pub fn to_object(encapsulated: &[u8], ciphertext: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), encapsulated, ciphertext].concat()
}

/// Splits a keyring object into encapsulated key and ciphertext.
pub fn split(object: &[u8]) -> Result<(&[u8], &[u8]), FormatError> {
    if object.len() > limits::KEYRING_BYTES {
        return Err(FormatError::TooLarge {
            what: Keyring::NAME,
            size: object.len() as u64,
            limit: limits::KEYRING_BYTES as u64,
        });
    }
    let mut fields = FieldReader::new(Keyring::NAME, object);
    fields.magic(MAGIC)?;
    Ok((fields.take(ENCAPSULATED_LEN)?, fields.rest()))
}
