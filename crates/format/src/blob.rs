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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RowEncoding {
    /// The plaintext itself.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with the plaintexts of its bases, joined, as prefix.
    Delta {
        /// Row of each base, or n plus its place among the external bases.
        bases: Vec<u32>,
        /// Deltas down to a whole blob, this one included.
        depth: u8,
    },
}

/// The blobs that a delta is made against, in order: at least one, none twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<BlobId>", into = "Vec<BlobId>")]
pub struct Bases {
    ids: [BlobId; limits::BASES],
    count: usize,
}

impl Bases {
    /// `None` if these may not be the bases of one delta.
    pub fn new(bases: &[BlobId]) -> Option<Self> {
        let mut ids = [BlobId([0; 32]); limits::BASES];
        ids.get_mut(..bases.len())?.copy_from_slice(bases);
        let twice = bases
            .iter()
            .zip(1..)
            .any(|(id, after)| bases.get(after..).is_some_and(|rest| rest.contains(id)));
        (!bases.is_empty() && !twice).then_some(Self { ids, count: bases.len() })
    }

    /// Their ids.
    pub fn ids(&self) -> &[BlobId] {
        self.ids.get(..self.count).unwrap_or_default()
    }
}

impl TryFrom<Vec<BlobId>> for Bases {
    type Error = FormatError;

    fn try_from(ids: Vec<BlobId>) -> Result<Self, FormatError> {
        Self::new(&ids).ok_or(FormatError::malformed(WHAT, "a delta's bases are out of bounds"))
    }
}

impl From<Bases> for Vec<BlobId> {
    fn from(bases: Bases) -> Self {
        bases.ids().to_vec()
    }
}

/// How a blob's payload decodes, its bases named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// The plaintext itself.
    Raw,
    /// A zstd frame.
    Zstd,
    /// A zstd frame with the plaintexts of its bases, joined, as prefix.
    Delta {
        /// Whose plaintexts.
        bases: Bases,
        /// Deltas down to a whole blob, this one included.
        depth: u8,
    },
}

impl Encoding {
    /// The blobs that it is made against; none if it is stored whole.
    pub fn bases(&self) -> &[BlobId] {
        match self {
            Self::Raw | Self::Zstd => &[],
            Self::Delta { bases, .. } => bases.ids(),
        }
    }

    /// Deltas between this blob and the whole ones it rests on, at most.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
                    Encoding::Delta { bases, depth } => {
                        let mut place = |base: &BlobId| {
                            rows_by_id
                                .get(base)
                                .copied()
                                .filter(|base_row| *base_row < row)
                                .unwrap_or_else(|| {
                                    count.saturating_add(position(&mut external, *base))
                                })
                        };
                        RowEncoding::Delta {
                            bases: bases.ids().iter().map(&mut place).collect(),
                            depth,
                        }
                    }
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
            if let RowEncoding::Delta { bases, depth } = &row.encoding {
                let is_known = |base: &u32| {
                    let external = u64::from(*base).checked_sub(n as u64);
                    u64::from(*base) < position
                        || external.is_some_and(|place| place < self.external_bases.len() as u64)
                };
                let ids: Option<Vec<BlobId>> = bases.iter().map(|base| self.base(*base)).collect();
                let own = self.ids.get(usize::try_from(position).unwrap_or(usize::MAX));
                let fits = ids.is_some_and(|ids| {
                    Bases::new(&ids).is_some() && own.is_none_or(|own| !ids.contains(own))
                });
                if !bases.iter().all(is_known)
                    || !fits
                    || !(1..=limits::CHAIN_DEPTH).contains(depth)
                {
                    return Err(FormatError::malformed(WHAT, "a delta's bases are out of bounds"));
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
                encoding: self.name_bases(&row.encoding),
                sketch: self.sketches.get(place).copied().unwrap_or_default(),
            };
            offset = offset.saturating_add(row.stored_len);
            entry
        })
    }

    fn name_bases(&self, encoding: &RowEncoding) -> Encoding {
        match encoding {
            RowEncoding::Raw => Encoding::Raw,
            RowEncoding::Zstd => Encoding::Zstd,
            RowEncoding::Delta { bases, depth } => {
                // A validated table names every base; an id that is nobody's resolves to nothing.
                let nobody = BlobId([0; 32]);
                let ids: Vec<BlobId> =
                    bases.iter().map(|base| self.base(*base).unwrap_or(nobody)).collect();
                let only = Bases { ids: [nobody; limits::BASES], count: 1 };
                Encoding::Delta { bases: Bases::new(&ids).unwrap_or(only), depth: *depth }
            }
        }
    }

    fn base(&self, place: u32) -> Option<BlobId> {
        let place = place as usize;
        let external = || self.external_bases.get(place.checked_sub(self.ids.len())?);
        self.ids.get(place).or_else(external).copied()
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
        let delta = |bases: &[u8], depth| {
            let ids: Vec<BlobId> = bases.iter().map(|base| BlobId([*base; 32])).collect();
            Encoding::Delta { bases: Bases::new(&ids).unwrap(), depth }
        };
        vec![
            entry(1, 57, Encoding::Zstd),
            entry(2, 157, delta(&[1], 1)),
            entry(3, 257, delta(&[9, 2], 4)),
            entry(4, 357, delta(&[2, 9, 1, 8], 4)),
            entry(5, 457, Encoding::Raw),
        ]
    }

    #[test]
    fn a_table_gives_its_blobs_back() {
        let table = BlobTable::from_entries(&sample());
        assert_eq!(table.validate(), Ok(()));
        assert_eq!(table.external_bases, [BlobId([9; 32]), BlobId([8; 32])]);
        assert_eq!(table.entries(57).collect::<Vec<_>>(), sample());
    }

    #[test]
    fn a_base_must_lie_before_its_delta_or_elsewhere() {
        let with = |bases: &[u32]| {
            let mut table = BlobTable::from_entries(&sample());
            table.rows[2].encoding = RowEncoding::Delta { bases: bases.to_vec(), depth: 1 };
            table.validate()
        };
        assert_eq!(with(&[6, 0, 1, 5]), Ok(()));
        // A blob is named twice also where one name is a row and the other stands outside.
        for (id, bases) in [(1, &[0, 5][..]), (3, &[5])] {
            let mut table = BlobTable::from_entries(&sample());
            table.external_bases[0] = BlobId([id; 32]);
            table.rows[2].encoding = RowEncoding::Delta { bases: bases.to_vec(), depth: 1 };
            assert!(table.validate().is_err(), "{id}");
        }
        for bases in [&[2][..], &[7], &[u32::MAX], &[0, 2], &[0, 0], &[], &[0, 1, 5, 6, 0]] {
            assert!(with(bases).is_err(), "{bases:?}");
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
