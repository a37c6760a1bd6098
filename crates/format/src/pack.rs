//! Packs: objects that hold many sealed blobs (format-spec, chapter 4).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::blob::{BlobKind, BlobTable, TAG_LEN};
use crate::ids::SessionId;
use crate::keyring::ENCAPSULATED_LEN;
use crate::limits;
use crate::reader::FieldReader;
use crate::record::Record;

const MAGIC: &[u8; 4] = b"NJP1";
const WHAT: &str = "pack";

/// Bytes of a sealed 32-byte pack key, behind the encapsulated key.
const SEALED_KEY_LEN: usize = 32 + TAG_LEN;

/// The clear beginning of a pack, in front of its key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHeader {
    /// What it holds.
    pub kind: BlobKind,
    /// The epoch whose keys seal it.
    pub epoch: u32,
    /// Whose run wrote it.
    pub session: SessionId,
}

/// What leads to a pack's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMaterial<'a> {
    /// The key, sealed to the epoch's public key.
    Data {
        /// X-Wing's encapsulated key.
        encapsulated: &'a [u8],
        /// HPKE's ciphertext.
        ciphertext: &'a [u8],
    },
    /// Salt for a key derived from the metadata key.
    Tree {
        /// Random.
        salt: [u8; 32],
    },
}

impl PackHeader {
    /// Length in bytes, without key material.
    pub const LEN: usize = 25;

    /// Where the blobs of a pack of this kind begin.
    pub const fn blobs_offset(kind: BlobKind) -> usize {
        Self::LEN
            + match kind {
                BlobKind::Data => ENCAPSULATED_LEN + SEALED_KEY_LEN,
                BlobKind::Tree => 32,
            }
    }

    /// The bytes in front of the key material: the associated data of footer and trailer.
    pub fn to_bytes(self) -> Vec<u8> {
        [MAGIC.as_slice(), &[self.kind as u8], &self.epoch.to_le_bytes(), self.session.as_bytes()]
            .concat()
    }

    /// Reads a header without key material; `bytes` may go on.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        Self::read(&mut FieldReader::new(WHAT, bytes))
    }

    fn read(fields: &mut FieldReader<'_>) -> Result<Self, FormatError> {
        fields.magic(MAGIC)?;
        let [kind] = fields.array()?;
        let kind =
            BlobKind::from_byte(kind).ok_or(FormatError::malformed(WHAT, "its kind is unknown"))?;
        Ok(Self { kind, epoch: fields.u32()?, session: SessionId(fields.array()?) })
    }

    /// Reads the beginning of a pack; `bytes` may go on.
    pub fn parse(bytes: &[u8]) -> Result<(Self, KeyMaterial<'_>), FormatError> {
        let mut fields = FieldReader::new(WHAT, bytes);
        let header = Self::read(&mut fields)?;
        let material = match header.kind {
            BlobKind::Data => KeyMaterial::Data {
                encapsulated: fields.take(ENCAPSULATED_LEN)?,
                ciphertext: fields.take(SEALED_KEY_LEN)?,
            },
            BlobKind::Tree => KeyMaterial::Tree { salt: fields.array()? },
        };
        Ok((header, material))
    }
}

/// What a nonce is used for, within one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedPart {
    /// The blob at this offset.
    Blob {
        /// Of its ciphertext in the object.
        offset: u32,
    },
    /// The footer.
    Footer,
    /// The trailer.
    Trailer,
}

impl SealedPart {
    /// The nonce: unique within the pack.
    pub fn nonce(self) -> [u8; 12] {
        let (offset, domain) = match self {
            Self::Blob { offset } => (u64::from(offset), 0u32),
            Self::Footer => (0, 1),
            Self::Trailer => (0, 2),
        };
        let mut nonce = [0; 12];
        let (left, right) = nonce.split_at_mut(8);
        left.copy_from_slice(&offset.to_le_bytes());
        right.copy_from_slice(&domain.to_le_bytes());
        nonce
    }
}

/// The record in a pack's footer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// The pack's blobs.
    pub table: BlobTable,
}

impl Record for Footer {
    const NAME: &'static str = "pack footer";

    fn validate(&self) -> Result<(), FormatError> {
        if self.table.ids.is_empty() {
            return Err(FormatError::malformed(Self::NAME, "it lists no blob"));
        }
        self.table.validate()
    }
}

/// The last bytes of a pack: where its footer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trailer {
    /// Length of the sealed footer, tag included.
    pub footer_len: u32,
    /// Length of the zstd frame at the beginning of the footer's plaintext.
    pub frame_len: u32,
}

impl Trailer {
    /// Length of the plaintext in bytes.
    pub const LEN: usize = 8;
    /// Length of the sealed trailer in bytes.
    pub const SEALED_LEN: usize = Self::LEN + TAG_LEN;

    /// The plaintext.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let both = u64::from(self.footer_len) | u64::from(self.frame_len) << 32;
        both.to_le_bytes()
    }

    /// Reads the plaintext of the trailer of a pack of `pack_size` bytes.
    pub fn parse(bytes: &[u8], kind: BlobKind, pack_size: u64) -> Result<Self, FormatError> {
        let mut fields = FieldReader::new("pack trailer", bytes);
        let trailer = Self { footer_len: fields.u32()?, frame_len: fields.u32()? };
        if !fields.rest().is_empty() {
            return Err(FormatError::malformed(WHAT, "bytes follow its trailer"));
        }
        let room = pack_size
            .checked_sub((PackHeader::blobs_offset(kind) + Self::SEALED_LEN) as u64)
            .ok_or(FormatError::malformed(WHAT, "it is too short"))?;
        let footer = u64::from(trailer.footer_len);
        let frame = u64::from(trailer.frame_len) + TAG_LEN as u64;
        if pack_size > limits::PACK_BYTES || footer > room || frame > footer {
            return Err(FormatError::malformed(WHAT, "its trailer points outside it"));
        }
        Ok(trailer)
    }

    /// Where the sealed footer of a pack of `pack_size` bytes lies.
    pub fn footer_range(&self, pack_size: u64) -> std::ops::Range<u64> {
        let end = pack_size.saturating_sub(Self::SEALED_LEN as u64);
        end.saturating_sub(u64::from(self.footer_len))..end
    }
}
