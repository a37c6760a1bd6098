//! Index objects: which blobs lie in which packs (format-spec, chapter 5).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::blob::{BlobKind, BlobTable};
use crate::ids::{PackId, SessionId};
use crate::limits;
use crate::record::Record;

/// The record of an index object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRecord {
    /// The session whose packs these are.
    pub session: SessionId,
    /// The packs.
    pub packs: Vec<PackRecord>,
}

/// A pack as an index object lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRecord {
    /// Which.
    pub pack_id: PackId,
    /// The object's length in bytes.
    pub size: u64,
    /// 1 data, 2 tree.
    pub kind: u8,
    /// The epoch whose keys seal it.
    pub epoch: u32,
    /// As in its footer.
    pub table: BlobTable,
}

impl PackRecord {
    /// What the pack holds; a validated record always tells.
    pub fn blob_kind(&self) -> BlobKind {
        BlobKind::from_byte(self.kind).unwrap_or(BlobKind::Tree)
    }
}

impl Record for IndexRecord {
    const NAME: &'static str = "index object";

    fn validate(&self) -> Result<(), FormatError> {
        for pack in &self.packs {
            if BlobKind::from_byte(pack.kind).is_none() {
                return Err(FormatError::malformed(Self::NAME, "a pack's kind is unknown"));
            }
            if pack.size > limits::PACK_BYTES || pack.size < pack.table.stored_bytes() {
                return Err(FormatError::malformed(Self::NAME, "a pack's size is out of bounds"));
            }
            pack.table.validate()?;
        }
        Ok(())
    }
}
