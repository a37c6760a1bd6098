//! Slots: holders of access (format-spec, chapter 2).

use serde::{Deserialize, Serialize};

use crate::ids::SlotId;
use crate::reader::FieldReader;
use crate::record::{self, Record};
use crate::{FormatError, limits};

const MAGIC: &[u8; 4] = b"NJS1";

/// Bytes of an X-Wing public key.
pub const KEM_PUBLIC_LEN: usize = 1216;

/// An Ed25519 signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature([u8; 32], [u8; 32]);

impl Signature {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// From its 64 bytes.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        let (mut r, mut s) = ([0; 32], [0; 32]);
        let (left, right) = bytes.split_at(32);
        r.copy_from_slice(left);
        s.copy_from_slice(right);
        Self(r, s)
    }

    /// Its 64 bytes.
    pub fn to_bytes(self) -> [u8; 64] {
        let mut out = [0; 64];
        let (left, right) = out.split_at_mut(32);
        left.copy_from_slice(&self.0);
        right.copy_from_slice(&self.1);
        out
    }
}

/// What a slot may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Everything: read, forget, collect, add and remove slots.
    Full,
    /// Back up, list and check; never read the data of a backup.
    Write,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Write => "write",
        })
    }
}

/// A slot's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// A hash of the two public keys.
    pub slot_id: SlotId,
    /// What it may do.
    pub role: Role,
    /// Receives keyrings.
    pub kem_public: Vec<u8>,
    /// Verifies its signatures.
    pub sign_public: [u8; 32],
    /// The epoch that was current when it was added.
    pub since_epoch: u32,
    /// The full slot that vouches for it.
    pub added_by: SlotId,
    /// Sealed [`SlotLabel`]: salt, then ciphertext.
    pub label: Vec<u8>,
    /// How its secret halves are protected.
    pub wrap: Wrap,
}

impl Record for SlotRecord {
    const NAME: &'static str = "slot object";
    const LIMIT_BYTES: usize = limits::PLAIN_OBJECT_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        if self.kem_public.len() != KEM_PUBLIC_LEN {
            return Err(FormatError::malformed(Self::NAME, "its public key has a wrong length"));
        }
        match self.wrap {
            Wrap::Passphrase { argon2, .. } if !argon2.is_bounded() => {
                Err(FormatError::malformed(Self::NAME, "its Argon2 parameters exceed the limits"))
            }
            _ => Ok(()),
        }
    }
}

/// A slot's private remarks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotLabel {
    /// What its owner calls it.
    pub label: String,
    /// Unix nanoseconds.
    pub created: i64,
}

impl Record for SlotLabel {
    const NAME: &'static str = "slot label";
    const LIMIT_BYTES: usize = limits::PLAIN_OBJECT_BYTES;
}

/// How a slot's secret halves are protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wrap {
    /// By a passphrase.
    Passphrase {
        /// Cost of deriving the secret.
        argon2: Argon2Parameters,
        /// The halves.
        sealed: WrappedSecret,
    },
    /// By the content of a file.
    KeyFile {
        /// The halves.
        sealed: WrappedSecret,
    },
    /// By a secret that an external key service unwraps.
    External {
        /// Which service.
        service: String,
        /// Which key of it.
        reference: String,
        /// What it unwraps to the secret.
        wrapped_secret: Vec<u8>,
        /// The halves.
        sealed: WrappedSecret,
    },
}

/// Argon2id parameters (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argon2Parameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Parameters {
    /// RFC 9106's second recommendation: 64 MiB, three passes, four lanes.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl Argon2Parameters {
    fn is_bounded(self) -> bool {
        self.memory_kib <= limits::ARGON2_MEMORY_KIB
            && (1..=limits::ARGON2_PASSES).contains(&self.passes)
            && (1..=limits::ARGON2_LANES).contains(&self.lanes)
    }
}

/// Secret halves under a key derived from a secret, with a commitment to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedSecret {
    /// Random.
    pub salt: [u8; 32],
    /// Differs if the secret is wrong.
    pub commitment: [u8; 32],
    /// Of 128 bytes.
    pub ciphertext: Vec<u8>,
}

/// A slot object: the record's bytes and the signature over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotObject {
    /// Decoded.
    pub record: SlotRecord,
    /// As signed.
    pub record_bytes: Vec<u8>,
    /// By `added_by`.
    pub signature: Signature,
}

impl SlotObject {
    /// The whole object.
    pub fn to_object(&self) -> Vec<u8> {
        let len = u32::try_from(self.record_bytes.len()).unwrap_or(u32::MAX);
        [MAGIC.as_slice(), &len.to_le_bytes(), &self.record_bytes, &self.signature.to_bytes()]
            .concat()
    }

    /// Reads the object. The signature is not checked here.
    pub fn from_object(object: &[u8]) -> Result<Self, FormatError> {
        let mut fields = FieldReader::new(SlotRecord::NAME, object);
        fields.magic(MAGIC)?;
        let len = fields.u32()? as usize;
        let record_bytes = fields.take(len)?.to_vec();
        let signature = Signature::from_bytes(fields.array()?);
        if !fields.rest().is_empty() {
            return Err(FormatError::malformed(SlotRecord::NAME, "bytes follow its end"));
        }
        let record = record::decode(&record_bytes)?;
        Ok(Self { record, record_bytes, signature })
    }
}
