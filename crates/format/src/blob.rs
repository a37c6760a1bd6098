//! Blobs: kinds, encodings and the table that lists them (format-spec, chapters 3 and 4).

use std::collections::HashSet;

use indexmap::IndexSet;
use serde::{Deserialize, Serialize};

use crate::ids::BlobId;
use crate::{FormatError, limits};

/// Bytes that sealing adds to a payload.
pub const TAG_LEN: usize = 16;

/// What a blob, and the pack it lies in, holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobKind {
    /// A chunk of a stream.
    Data = 1,
    /// A list or directory node.
    Tree = 2,
}

impl BlobKind {
    /// From its number.
    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Tree].into_iter().find(|kind| *kind as u8 == byte)
    }
}

impl std::fmt::Display for BlobKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Tree => "tree",
        })
    }
}

/// How a blob's payload decodes, as a table's row tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowEncoding {
    /// The plaintext itself.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with the base's plaintext as prefix.
    Delta {
        /// Row of the base, or n plus its place among the external bases.
        base: u32,
        /// Deltas down to a whole blob, this one included.
        depth: u8,
    },
}

/// How a blob's payload decodes, its base named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The plaintext itself.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with the base's plaintext as prefix.
    Delta {
        /// Whose plaintext.
        base: BlobId,
        /// Deltas down to a whole blob, this one included.
        depth: u8,
    },
}

impl Encoding {
    /// Deltas between this blob and the whole one its chain rests on.
    pub fn depth(&self) -> u8 {
        match self {
            Self::Raw | Self::Zstd => 0,
            Self::Delta { depth, .. } => *depth,
        }
    }
}

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobEntry {
    /// Which.
    pub id: BlobId,
    /// Where its ciphertext begins in the object.
    pub offset: u32,
    /// Length of the ciphertext, tag included.
    pub stored_len: u32,
    /// Length of the plaintext.
    pub raw_len: u32,
    /// How the payload decodes.
    pub encoding: Encoding,
    /// Three super-features; all zero if it has none.
    pub sketch: [u32; 3],
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRow {
    /// Length of the ciphertext, tag included.
    pub stored_len: u32,
    /// Length of the plaintext.
    pub raw_len: u32,
    /// How the payload decodes.
    pub encoding: RowEncoding,
}

/// The blobs of one pack, in the order they lie there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobTable {
    /// No id twice.
    pub ids: Vec<BlobId>,
    /// Bases that lie in other packs, no id twice.
    pub external_bases: Vec<BlobId>,
    /// One per id.
    pub rows: Vec<BlobRow>,
    /// None, or one per id.
    pub sketches: Vec<[u32; 3]>,
}

const WHAT: &str = "blob table";

impl BlobTable {
    /// Builds the table of blobs that lie back to back.
    pub fn from_entries(entries: &[BlobEntry]) -> Self {
        let rows_by_id: std::collections::HashMap<BlobId, u32> =
            entries.iter().zip(0..).map(|(entry, row)| (entry.id, row)).collect();
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let mut external = IndexSet::new();
        let rows = entries
            .iter()
            .zip(0u32..)
            .map(|(entry, row)| BlobRow {
                stored_len: entry.stored_len,
                raw_len: entry.raw_len,
                encoding: match entry.encoding {
                    Encoding::Raw => RowEncoding::Raw,
                    Encoding::Zstd => RowEncoding::Zstd,
                    Encoding::Delta { base, depth } => RowEncoding::Delta {
                        base: rows_by_id
                            .get(&base)
                            .copied()
                            .filter(|base_row| *base_row < row)
                            .unwrap_or_else(|| count.saturating_add(position(&mut external, base))),
                        depth,
                    },
                },
            })
            .collect();
        let sketched = entries.iter().any(|entry| entry.sketch != [0; 3]);
        Self {
            ids: entries.iter().map(|entry| entry.id).collect(),
            external_bases: external.into_iter().collect(),
            rows,
            sketches: if sketched {
                entries.iter().map(|entry| entry.sketch).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// Checks everything a reader relies on.
    pub fn validate(&self) -> Result<(), FormatError> {
        let n = self.ids.len();
        if self.rows.len() != n || !(self.sketches.is_empty() || self.sketches.len() == n) {
            return Err(FormatError::malformed(WHAT, "its columns differ in length"));
        }
        let unique = |ids: &[BlobId]| ids.iter().collect::<HashSet<_>>().len() == ids.len();
        if !unique(&self.ids) || !unique(&self.external_bases) {
            return Err(FormatError::malformed(WHAT, "it names a blob twice"));
        }
        let mut total = 0u64;
        for (row, position) in self.rows.iter().zip(0u64..) {
            let (raw, stored) = (row.raw_len as usize, row.stored_len as usize);
            let most = raw + limits::PAYLOAD_OVERHEAD_BYTES;
            if raw > limits::BLOB_BYTES || stored < TAG_LEN || stored > most {
                return Err(FormatError::malformed(WHAT, "a blob's length is out of bounds"));
            }
            total += u64::from(row.stored_len);
            if let RowEncoding::Delta { base, depth } = row.encoding {
                let external = u64::from(base).checked_sub(n as u64);
                let known = u64::from(base) < position
                    || external.is_some_and(|place| place < self.external_bases.len() as u64);
                if !known || !(1..=limits::CHAIN_DEPTH).contains(&depth) {
                    return Err(FormatError::malformed(WHAT, "a delta's base is out of bounds"));
                }
            }
        }
        if total > limits::PACK_BYTES {
            return Err(FormatError::malformed(WHAT, "its blobs exceed the size of a pack"));
        }
        Ok(())
    }

    /// The blobs of a validated table, in order; the first begins at `offset`.
    pub fn entries(&self, offset: usize) -> impl Iterator<Item = BlobEntry> + '_ {
        let mut offset = u32::try_from(offset).unwrap_or(u32::MAX);
        self.ids.iter().zip(&self.rows).enumerate().map(move |(place, (id, row))| {
            let entry = BlobEntry {
                id: *id,
                offset,
                stored_len: row.stored_len,
                raw_len: row.raw_len,
                encoding: self.name_base(row.encoding),
                sketch: self.sketches.get(place).copied().unwrap_or_default(),
            };
            offset = offset.saturating_add(row.stored_len);
            entry
        })
    }

    fn name_base(&self, encoding: RowEncoding) -> Encoding {
        match encoding {
            RowEncoding::Raw => Encoding::Raw,
            RowEncoding::Zstd => Encoding::Zstd,
            RowEncoding::Delta { base, depth } => {
                let place = base as usize;
                let base = self
                    .ids
                    .get(place)
                    .or_else(|| self.external_bases.get(place.checked_sub(self.ids.len())?));
                // A validated table names every base; an id that is nobody's resolves to nothing.
                Encoding::Delta { base: base.copied().unwrap_or(BlobId([0; 32])), depth }
            }
        }
    }

    /// Bytes that the sealed blobs take.
    pub fn stored_bytes(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.stored_len)).sum()
    }
}

fn position(ids: &mut IndexSet<BlobId>, id: BlobId) -> u32 {
    u32::try_from(ids.insert_full(id).0).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, offset: u32, encoding: Encoding) -> BlobEntry {
        BlobEntry {
            id: BlobId([id; 32]),
            offset,
            stored_len: 100,
            raw_len: 90,
            encoding,
            sketch: [id.into(), 0, 0],
        }
    }

    fn sample() -> Vec<BlobEntry> {
        let delta = |base, depth| Encoding::Delta { base: BlobId([base; 32]), depth };
        vec![
            entry(1, 57, Encoding::Zstd),
            entry(2, 157, delta(1, 1)),
            entry(3, 257, delta(9, 4)),
            entry(4, 357, delta(9, 4)),
            entry(5, 457, Encoding::Raw),
        ]
    }

    #[test]
    fn a_table_gives_its_blobs_back() {
        let table = BlobTable::from_entries(&sample());
        assert_eq!(table.validate(), Ok(()));
        assert_eq!(table.external_bases, [BlobId([9; 32])]);
        assert_eq!(table.entries(57).collect::<Vec<_>>(), sample());
    }

    #[test]
    fn a_base_must_lie_before_its_delta_or_elsewhere() {
        for base in [2, 7, u32::MAX] {
            let mut table = BlobTable::from_entries(&sample());
            table.rows[2].encoding = RowEncoding::Delta { base, depth: 1 };
            assert!(table.validate().is_err(), "{base}");
        }
    }

    #[test]
    fn impossible_lengths_and_repeated_ids_are_refused() {
        let mut table = BlobTable::from_entries(&sample());
        table.rows[0].stored_len = 15;
        assert!(table.validate().is_err());
        let mut table = BlobTable::from_entries(&sample());
        table.rows[0].raw_len = u32::MAX;
        assert!(table.validate().is_err());
        let mut table = BlobTable::from_entries(&sample());
        table.ids[1] = table.ids[0];
        assert!(table.validate().is_err());
    }
}
