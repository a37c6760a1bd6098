//! Objects: their names, the layout of sealed metadata objects, padding (format-spec, chapter 1).

use std::fmt;

use crate::bundle::BundleKind;
use crate::ids::{AttemptId, BundleId, CheckId, IndexId, PackId, RepositoryId, SessionId, SlotId};
use crate::limits;
use crate::reader::FieldReader;
use crate::{FormatError, slot::Signature};

/// The name of an object within its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectName {
    /// The plain description of the repository.
    Repository,
    /// One holder of access.
    Slot(SlotId),
    /// What one slot may have of one epoch.
    Keyring(u32, AttemptId, SlotId),
    /// Many sealed blobs.
    Pack(PackId),
    /// Which blobs lie in which packs.
    Index(IndexId),
    /// A writer's announcement.
    Session(SessionId),
    /// The register that a session commits to.
    Snapshot(SessionId),
    /// A maintenance record.
    Ledger(u64),
    /// Copies of small objects.
    Bundle(BundleKind, BundleId),
    /// Says that the store holds a replica.
    Replica,
    /// What was checked, and when.
    Check(CheckId),
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository => f.write_str("repository"),
            Self::Slot(id) => write!(f, "slots/{id}"),
            Self::Keyring(epoch, attempt, id) => write!(f, "keyring/{epoch:08}-{attempt}/{id}"),
            Self::Pack(id) => {
                let hex = id.to_string();
                write!(f, "packs/{}/{hex}", hex.get(..2).unwrap_or_default())
            }
            Self::Index(id) => write!(f, "index/{id}"),
            Self::Session(id) => write!(f, "sessions/{id}"),
            Self::Snapshot(id) => write!(f, "snapshots/{id}"),
            Self::Ledger(number) => write!(f, "ledger/{number:012}"),
            Self::Bundle(kind, id) => write!(f, "{}/{id}", kind.folder()),
            Self::Replica => f.write_str("ledger/replica"),
            Self::Check(id) => write!(f, "checks/{id}"),
        }
    }
}

impl ObjectName {
    /// Reads a name; none if it is not one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let parsed = match parts.as_slice() {
            ["repository"] => Self::Repository,
            ["slots", id] => Self::Slot(id.parse().ok()?),
            ["keyring", epoch, id] => {
                let (epoch, attempt) = epoch.split_once('-')?;
                Self::Keyring(epoch.parse().ok()?, attempt.parse().ok()?, id.parse().ok()?)
            }
            ["packs", _, id] => Self::Pack(id.parse().ok()?),
            ["index", id] => Self::Index(id.parse().ok()?),
            ["sessions", id] => Self::Session(id.parse().ok()?),
            ["snapshots", id] => Self::Snapshot(id.parse().ok()?),
            ["ledger", "replica"] => Self::Replica,
            ["ledger", number] => Self::Ledger(number.parse().ok()?),
            ["bundles", "index", id] => Self::Bundle(BundleKind::Index, id.parse().ok()?),
            ["bundles", "snapshots", id] => Self::Bundle(BundleKind::Snapshots, id.parse().ok()?),
            ["bundles", "ledger", slot, id] => {
                Self::Bundle(BundleKind::Ledger(slot.parse().ok()?), id.parse().ok()?)
            }
            ["checks", id] => Self::Check(id.parse().ok()?),
            _ => return None,
        };
        let in_bounds = match parsed {
            Self::Keyring(epoch, ..) => epoch <= limits::EPOCH,
            Self::Ledger(number) => number <= limits::LEDGER_NUMBER,
            _ => true,
        };
        // One spelling per name: "keyring/1/…" or a pack in the wrong folder is not ours.
        (in_bounds && parsed.to_string() == name).then_some(parsed)
    }
}

/// The kinds of sealed metadata objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataKind {
    /// An index object.
    Index = 1,
    /// A session.
    Session = 2,
    /// A snapshot register.
    Snapshot = 3,
    /// A ledger record.
    Ledger = 4,
    /// A check object.
    Check = 5,
}

impl MetadataKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Index, Self::Session, Self::Snapshot, Self::Ledger, Self::Check]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

const METADATA_MAGIC: &[u8; 4] = b"NJM1";

/// The clear beginning of a metadata object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataHeader {
    /// What it holds.
    pub kind: MetadataKind,
    /// The epoch whose metadata key seals it.
    pub epoch: u32,
    /// Makes the object's key unique.
    pub salt: [u8; 32],
}

impl MetadataHeader {
    /// Length in bytes.
    pub const LEN: usize = 41;

    /// The header's bytes.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let bytes = METADATA_MAGIC
            .iter()
            .copied()
            .chain([self.kind as u8])
            .chain(self.epoch.to_le_bytes())
            .chain(self.salt);
        for (to, from) in out.iter_mut().zip(bytes) {
            *to = from;
        }
        out
    }

    /// Splits a metadata object into header and ciphertext.
    pub fn split(object: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        const WHAT: &str = "metadata object";
        if object.len() > limits::METADATA_OBJECT_BYTES {
            return Err(FormatError::TooLarge {
                what: WHAT,
                size: object.len() as u64,
                limit: limits::METADATA_OBJECT_BYTES as u64,
            });
        }
        let mut fields = FieldReader::new(WHAT, object);
        fields.magic(METADATA_MAGIC)?;
        let [kind] = fields.array()?;
        let kind = MetadataKind::from_byte(kind)
            .ok_or(FormatError::malformed(WHAT, "its kind is unknown"))?;
        let header = Self { kind, epoch: fields.u32()?, salt: fields.array()? };
        Ok((header, fields.rest()))
    }
}

/// What the ciphertext of a metadata object holds: a signed, compressed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataPayload<'a> {
    /// Whose signature it bears.
    pub signer: SlotId,
    /// Over [`signed_message`].
    pub signature: Signature,
    /// The zstd frame of the record.
    pub frame: &'a [u8],
}

impl<'a> MetadataPayload<'a> {
    /// Bytes in front of the frame.
    pub const OVERHEAD: usize = SlotId::LEN + Signature::LEN + 4;

    /// The payload, padded with zeros to `len` bytes.
    pub fn to_bytes(&self, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(self.signer.as_bytes());
        out.extend_from_slice(&self.signature.to_bytes());
        let frame_len = u32::try_from(self.frame.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&frame_len.to_le_bytes());
        out.extend_from_slice(self.frame);
        out.resize(len.max(out.len()), 0);
        out
    }

    /// Reads a payload; its padding must be zero.
    pub fn parse(payload: &'a [u8]) -> Result<Self, FormatError> {
        const WHAT: &str = "metadata payload";
        let mut fields = FieldReader::new(WHAT, payload);
        let signer = SlotId(fields.array()?);
        let signature = Signature::from_bytes(fields.array()?);
        let frame_len = fields.u32()? as usize;
        let frame = fields.take(frame_len)?;
        if fields.rest().iter().any(|byte| *byte != 0) {
            return Err(FormatError::malformed(WHAT, "its padding is not zero"));
        }
        Ok(Self { signer, signature, frame })
    }
}

/// The bytes that a metadata object's signature covers, behind its context string.
pub fn signed_message(
    repository: &RepositoryId,
    header: &MetadataHeader,
    name: &ObjectName,
    frame: &[u8],
) -> Vec<u8> {
    let name = name.to_string();
    let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [
        repository.as_bytes().as_slice(),
        &header.to_bytes(),
        &name_len.to_le_bytes(),
        name.as_bytes(),
        frame,
    ]
    .concat()
}

/// The Padmé length for `len` bytes (Nikitin et al., PETS 2019): at most 12 % more, and it tells
/// only O(log log len) bits about `len`.
pub fn padme(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    let significant = exponent.checked_ilog2().unwrap_or(0) + 1;
    let mask = (1u64 << exponent.saturating_sub(significant)) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_survives_its_text() {
        let names = [
            ObjectName::Repository,
            ObjectName::Slot(SlotId([1; 16])),
            ObjectName::Keyring(7, AttemptId([9; 8]), SlotId([2; 16])),
            ObjectName::Pack(PackId([3; 32])),
            ObjectName::Index(IndexId([4; 16])),
            ObjectName::Session(SessionId([5; 16])),
            ObjectName::Snapshot(SessionId([6; 16])),
            ObjectName::Ledger(12),
            ObjectName::Bundle(BundleKind::Index, BundleId([8; 16])),
            ObjectName::Bundle(BundleKind::Snapshots, BundleId([9; 16])),
            ObjectName::Bundle(BundleKind::Ledger(SlotId([11; 16])), BundleId([12; 16])),
            ObjectName::Replica,
            ObjectName::Check(CheckId([10; 16])),
        ];
        for name in names {
            assert_eq!(ObjectName::parse(&name.to_string()), Some(name));
        }
    }

    #[test]
    fn other_spellings_are_not_names() {
        let id = SlotId([2; 16]);
        for name in [
            format!("keyring/00000001/{id}"),
            format!("keyring/1-{}/{id}", "09".repeat(8)),
            format!("keyring/+0000001-{}/{id}", "09".repeat(8)),
            format!("packs/00/{}", PackId([3; 32])),
            format!("slots/{id}/"),
            "config".to_owned(),
        ] {
            assert_eq!(ObjectName::parse(&name), None, "{name}");
        }
    }

    #[test]
    fn padding_adds_at_most_an_eighth_and_never_shrinks() {
        for len in (0..100_000u64).chain([1 << 24, (1 << 24) + 1, (1 << 30) - 1]) {
            let padded = padme(len);
            assert!(padded >= len && padded <= len + len / 8 + 1, "{len} → {padded}");
            assert_eq!(padme(padded), padded, "{len}");
        }
    }

    #[test]
    fn padding_follows_the_paper() {
        // L = 9: E = 3, S = 2, so 1 bit goes: 10. L = 1025: E = 10, S = 4: multiples of 64.
        assert_eq!((padme(9), padme(1025), padme(1024)), (10, 1088, 1024));
    }
}
