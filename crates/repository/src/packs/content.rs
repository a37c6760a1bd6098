//! A whole pack: what it holds, and whether index objects tell the same.
//!
//! A pack is *sound* if its bytes hash to its id, if every index object that lists it tells its size,
//! its kind and its blobs, and if every blob decodes to its id. Whoever checks packs, and whoever says
//! that one may be relied on again, asks for that here.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nightjar_codec::pack::PackCipher;
use nightjar_codec::{CodecError, digest};
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable};
use nightjar_format::index::PackRecord;
use nightjar_format::object::ObjectName;
use nightjar_format::pack::{PackHeader, Trailer};
use nightjar_format::{BlobId, Digest, PackId};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use super::cipher_from;
use crate::error::{RepositoryError, Result};
use crate::index::database::{Database, Location, Standing};
use crate::read::{Reader, SealedBlob};
use crate::repository::Repository;

/// Blobs that are decoded together.
const BATCH_BLOBS: usize = 64;

/// As what an index object lists a pack: where two differ, one of them lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Listing {
    pub(crate) pack_id: PackId,
    pub(crate) kind: BlobKind,
    /// Bytes of the whole pack.
    pub(crate) size: u64,
    /// BLAKE3 of its encoded table.
    pub(crate) table: Digest,
}

impl Listing {
    pub(crate) fn of(pack: &PackRecord) -> Result<Self> {
        let table = table_digest(&pack.table)?;
        Ok(Self { pack_id: pack.pack_id, kind: pack.blob_kind(), size: pack.size, table })
    }

    /// Whether a pack is of this size and kind, which it shows without a key.
    pub(crate) fn require_outside(&self, object: &[u8]) -> Result<()> {
        let header = header_of(&self.pack_id, object)?;
        if object.len() as u64 != self.size {
            return Err(self.contradicts("an index object tells another size than it has"));
        }
        if header.kind != self.kind {
            return Err(self.contradicts("an index object tells another kind than its header"));
        }
        Ok(())
    }

    fn contradicts(&self, why: &str) -> RepositoryError {
        let object = ObjectName::Pack(self.pack_id).to_string();
        RepositoryError::Damaged { object, why: why.to_owned() }
    }
}

fn table_digest(table: &BlobTable) -> Result<Digest> {
    let encoded = postcard::to_allocvec(table)
        .map_err(|_| RepositoryError::Internal("a table does not encode"))?;
    Ok(digest::hash(&encoded))
}

/// The header of a pack, as its first bytes show it without a key.
pub(crate) fn header_of(id: &PackId, beginning: &[u8]) -> Result<PackHeader> {
    PackHeader::from_bytes(beginning)
        .map_err(|error| RepositoryError::in_format(ObjectName::Pack(*id), error))
}

/// A whole pack, opened.
pub(crate) struct WholePack<'o> {
    id: PackId,
    object: &'o [u8],
    cipher: PackCipher,
    table: BlobTable,
}

/// What became of the blobs of a pack.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// How many gave their content back.
    pub(crate) blobs: u64,
    /// Those that did not.
    pub(crate) lost: Vec<BlobId>,
    /// What is wrong with the first of these.
    pub(crate) why: Option<String>,
    /// Bases that could not be had, with the reason; what rests on them was not decoded. A base that
    /// is lost is the fault of the pack that it lay in; or it was collected, if no snapshot needs it.
    pub(crate) lost_bases: BTreeMap<BlobId, String>,
}

impl Decoded {
    fn add(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.lost.extend(other.lost);
        self.why = self.why.take().or(other.why);
        self.lost_bases.extend(other.lost_bases);
    }

    /// Leaves out bases that were collected: no index object lists a pack, but retired ones, from which
    /// they could be had. What rests on them is as dead as they are, and says nothing of the pack.
    pub(crate) fn without_collected(
        mut self,
        reader: &Reader<'_>,
        retired: &BTreeSet<PackId>,
    ) -> Result<Self> {
        let may_be_there = |database: &Database, ordinal| {
            database.pack(ordinal).is_ok_and(|pack| {
                pack.standing == Standing::Listed && !retired.contains(&pack.pack_id)
            })
        };
        let mut kept = BTreeMap::new();
        for (base, why) in self.lost_bases {
            if reader.index.support(&[base], &may_be_there)?.is_some() {
                kept.insert(base, why);
            }
        }
        self.lost_bases = kept;
        Ok(self)
    }
}

impl<'o> WholePack<'o> {
    /// Opens a pack. Whether its bytes hash to its id is not looked at: what was altered may still
    /// hold much that was not.
    pub(crate) fn open(repository: &Repository, id: &PackId, object: &'o [u8]) -> Result<Self> {
        let cipher = cipher_from(repository, id, object)?;
        let table = footer_of(&cipher, object)
            .map_err(|error| RepositoryError::in_object(ObjectName::Pack(*id), error))?;
        Ok(Self { id: *id, object, cipher, table })
    }

    /// Whether it is what an index object lists.
    pub(crate) fn require(&self, listing: &Listing) -> Result<()> {
        listing.require_outside(self.object)?;
        if table_digest(&self.table)? != listing.table {
            return Err(listing.contradicts("an index object tells other blobs than its footer"));
        }
        Ok(())
    }

    /// What an index object has to say of it.
    pub(crate) fn into_record(self) -> PackRecord {
        let PackHeader { kind, epoch, .. } = *self.cipher.header();
        let size = self.object.len() as u64;
        PackRecord { pack_id: self.id, size, kind: kind as u8, epoch, table: self.table }
    }

    /// Decodes every blob that has its bases.
    pub(crate) fn decode(&self, reader: &Reader<'_>) -> Result<Decoded> {
        let entries: Vec<_> = self.table.entries(self.cipher.blobs_offset()).collect();
        let decode = |entries: &[BlobEntry]| self.decode_some(reader, entries);
        let parts: Vec<Decoded> = if reader.repository.environment.one_at_a_time {
            entries.chunks(BATCH_BLOBS).map(decode).collect::<Result<_>>()?
        } else {
            entries.par_chunks(BATCH_BLOBS).map(decode).collect::<Result<_>>()?
        };
        let mut decoded = Decoded::default();
        parts.into_iter().for_each(|part| decoded.add(part));
        Ok(decoded)
    }

    /// Decodes some blobs. What they rest on is read together, and decoded once.
    fn decode_some(&self, reader: &Reader<'_>, entries: &[BlobEntry]) -> Result<Decoded> {
        let mut decoded = Decoded::default();
        let (name, kind) = (ObjectName::Pack(self.id), self.cipher.header().kind);
        let bases: Vec<BlobId> =
            entries.iter().flat_map(|entry| entry.encoding.bases()).copied().collect();
        let mut fetched = reader.begin(kind, &bases)?.wait(reader)?;
        let mut scratch = Vec::new();
        for entry in entries {
            let start = entry.offset as usize;
            let sealed = self.object.get(start..start + entry.stored_len as usize);
            let sealed = sealed.ok_or_else(|| RepositoryError::Damaged {
                object: name.to_string(),
                why: "a blob lies outside it".into(),
            })?;
            scratch.clear();
            scratch.extend_from_slice(sealed);
            let mut bases = HashMap::new();
            for base in entry.encoding.bases() {
                match fetched.blob(base) {
                    Ok(plaintext) => drop(bases.insert(*base, plaintext)),
                    Err(error) if error.is_damage() => {
                        decoded.lost_bases.insert(*base, error.to_string());
                    }
                    Err(error) => return Err(error),
                }
            }
            if entry.encoding.bases().iter().any(|base| !bases.contains_key(base)) {
                continue;
            }
            let at = Location::new(0, 0, entry);
            let blob = SealedBlob { id: entry.id, at, name: &name, cipher: &self.cipher };
            let base = |base: &BlobId| bases.get(base).cloned().unwrap_or_default();
            match reader.decode(kind, &blob, &mut scratch, &mut |id| Ok(base(id))) {
                Ok(_) => decoded.blobs += 1,
                Err(error) if error.is_damage() => {
                    decoded.lost.push(entry.id);
                    decoded.why.get_or_insert_with(|| error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(decoded)
    }
}

/// The blob table in the footer of a whole pack.
fn footer_of(cipher: &PackCipher, object: &[u8]) -> std::result::Result<BlobTable, CodecError> {
    let short = CodecError::NotAuthentic { what: "pack trailer" };
    let trailer_start =
        object.len().checked_sub(Trailer::SEALED_LEN).ok_or_else(|| short.clone())?;
    let sealed = object.get(trailer_start..).unwrap_or_default();
    let trailer = cipher.open_trailer(sealed, object.len() as u64)?;
    let range = trailer.footer_range(object.len() as u64);
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    let sealed =
        start.ok().zip(end.ok()).and_then(|(start, end)| object.get(start..end)).ok_or(short)?;
    cipher.open_footer(sealed, &trailer, object.len() as u64)
}
