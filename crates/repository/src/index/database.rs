//! The tables of the local index, on RocksDB.
//!
//! | family | key | value |
//! |---|---|---|
//! | `blobs` | blob id | every [`Location`], joined by the merge operator |
//! | `sketches` | place of the super-feature ‖ super-feature | beginning of the newest blob's id |
//! | `packs` | ordinal, big-endian | [`PackInfo`] |
//! | `listings` | pack id ‖ digest of its table ‖ kind ‖ size | ordinal |
//! | `applied` | index id | ordinals of the packs that this index object lists |
//! | `meta` | name | value |
//!
//! Packs have small ordinals, so that a location takes few bytes. A pack of which two index objects
//! tell the same has one ordinal; where they differ in its table, kind or size (one of them lies) it
//! has two, and neither shadows the other.
//!
//! When index objects go, the packs that no other one lists are *gone*: their rows stay, and
//! nobody is shown them, until so many are gone that the tables are made anew.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use nightjar_codec::sketch::Sketch;
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable, Encoding, RowEncoding};
use nightjar_format::index::PackRecord;
use nightjar_format::pack::PackHeader;
use nightjar_format::{BlobId, Digest, IndexId, PackId, SessionId};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, MergeOperands, Options, WriteBatch,
};
use serde::{Deserialize, Serialize};

use crate::error::{RepositoryError, Result};
use crate::packs::Listing;

/// Changed whenever the tables change: another number means "make it anew".
const LAYOUT: &[u8] = b"4";

const BLOBS: &str = "blobs";
const SKETCHES: &str = "sketches";
const PACKS: &str = "packs";
const LISTINGS: &str = "listings";
const APPLIED: &str = "applied";
const META: &str = "meta";

/// Shared by all tables, in bytes.
const BLOCK_CACHE_BYTES: usize = 24 << 20;
/// All write buffers together, in bytes.
const WRITE_BUFFER_BYTES: usize = 8 << 20;
/// What RocksDB takes the number of a table's keys for.
const ESTIMATED_KEYS: &str = "rocksdb.estimate-num-keys";
/// To search for a blob takes as long as to read on over about so many.
const NEAR: usize = 32;
/// Written in one batch.
const BATCH_BLOBS: usize = 16_384;

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Location {
    /// The pack's ordinal.
    pub(crate) pack: u32,
    /// Its place in the pack's table.
    pub(crate) row: u32,
    pub(crate) offset: u32,
    pub(crate) stored_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) encoding: Encoding,
}

impl Location {
    pub(crate) fn new(pack: u32, row: u32, entry: &BlobEntry) -> Self {
        let BlobEntry { offset, stored_len, raw_len, encoding, .. } = *entry;
        Self { pack, row, offset, stored_len, raw_len, encoding }
    }

    /// As the pack's table tells it.
    pub(crate) fn entry(&self, id: BlobId) -> BlobEntry {
        BlobEntry {
            id,
            offset: self.offset,
            stored_len: self.stored_len,
            raw_len: self.raw_len,
            encoding: self.encoding,
            sketch: [0; 3],
        }
    }

    /// Where its ciphertext lies in the pack.
    pub(crate) fn range(&self) -> std::ops::Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.stored_len)
    }
}

/// What is known of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PackInfo {
    pub(crate) pack_id: PackId,
    pub(crate) size: u64,
    kind: u8,
    pub(crate) session: SessionId,
    /// BLAKE3 of its encoded table.
    table_digest: Digest,
    pub(crate) blobs: u64,
    pub(crate) raw_bytes: u64,
    /// What its blobs take in it.
    pub(crate) stored_bytes: u64,
    /// How many blobs there are of each depth, from 0.
    pub(crate) depths: Vec<u64>,
    pub(crate) standing: Standing,
}

/// How a pack came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    /// An index object lists it.
    Listed,
    /// None does, but its footer was read.
    Found,
    /// The index objects that listed it are no more.
    Gone,
}

impl PackInfo {
    pub(crate) fn kind(&self) -> BlobKind {
        BlobKind::from_byte(self.kind).unwrap_or(BlobKind::Tree)
    }

    /// As what it is listed.
    pub(crate) fn listing(&self) -> Listing {
        let Self { pack_id, size, table_digest: table, .. } = *self;
        Listing { pack_id, kind: self.kind(), size, table }
    }
}

/// The tables.
pub(crate) struct Database {
    db: DB,
    next_ordinal: u32,
    /// Packs that are gone.
    gone: HashSet<u32>,
}

impl Database {
    /// Opens the tables at `path`, creating what is missing. An error means: make them anew.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
        options.set_max_open_files(256);
        // Otherwise opening begins fifteen threads for each family, whatever there is to open.
        options.set_max_file_opening_threads(1);
        options.set_keep_log_file_num(1);
        options.set_max_background_jobs(2);
        let families = [BLOBS, SKETCHES, PACKS, LISTINGS, APPLIED, META]
            .map(|name| ColumnFamilyDescriptor::new(name, family_options(name, &cache)));
        let db = DB::open_cf_descriptors(&options, path, families)?;
        let mut database = Self { db, next_ordinal: 0, gone: HashSet::new() };
        match database.get(META, b"layout")? {
            Some(layout) if layout == LAYOUT => {}
            Some(_) => return Err(RepositoryError::LocalIndex("it has another layout".into())),
            None => database.db.put_cf(database.family(META)?, b"layout", LAYOUT)?,
        }
        if let Some(gone) = database.get(META, b"gone")? {
            database.gone = postcard::from_bytes(&gone).map_err(|_| unreadable())?;
        }
        database.next_ordinal = database.read_next_ordinal()?;
        Ok(database)
    }

    fn family(&self, name: &str) -> Result<&ColumnFamily> {
        self.db.cf_handle(name).ok_or(RepositoryError::Internal("a table is missing"))
    }

    fn get(&self, family: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.db.get_cf(self.family(family)?, key)?)
    }

    fn read_next_ordinal(&self) -> Result<u32> {
        let mut iterator = self.db.raw_iterator_cf(self.family(PACKS)?);
        iterator.seek_to_last();
        let last = iterator.key().map(ordinal_of).transpose()?;
        iterator.status()?;
        Ok(last.map_or(0, |last| last + 1))
    }

    /// Makes a checkpoint: hard links to the same tables.
    pub(crate) fn checkpoint(&self, path: &Path) -> Result<()> {
        Ok(rocksdb::checkpoint::Checkpoint::new(&self.db)?.create_checkpoint(path)?)
    }

    /// The index objects that are in.
    pub(crate) fn applied(&self) -> Result<Vec<IndexId>> {
        self.db
            .iterator_cf(self.family(APPLIED)?, rocksdb::IteratorMode::Start)
            .map(|item| {
                let (key, _) = item?;
                key.as_array::<16>().copied().map(IndexId).ok_or_else(unreadable)
            })
            .collect()
    }

    /// Notes that all packs of an index object are in.
    pub(crate) fn mark_applied(&self, id: &IndexId, packs: &[u32]) -> Result<()> {
        let value = postcard::to_allocvec(packs).map_err(|_| unreadable())?;
        Ok(self.db.put_cf(self.family(APPLIED)?, id.as_bytes(), value)?)
    }

    /// The packs that an index object lists, if it is in.
    pub(crate) fn packs_of(&self, id: &IndexId) -> Result<Option<Vec<u32>>> {
        let value = self.get(APPLIED, id.as_bytes())?;
        value.map(|value| postcard::from_bytes(&value).map_err(|_| unreadable())).transpose()
    }

    /// Takes index objects out, and what only they listed.
    pub(crate) fn retract(&mut self, ids: &BTreeSet<IndexId>) -> Result<()> {
        let (mut unlisted, mut listed) = (HashSet::new(), HashSet::new());
        for id in self.applied()? {
            let packs = self.packs_of(&id)?.unwrap_or_default();
            if ids.contains(&id) { unlisted.extend(packs) } else { listed.extend(packs) }
        }
        for ordinal in unlisted.difference(&listed) {
            let info = self.pack(*ordinal)?;
            self.put_info(*ordinal, &PackInfo { standing: Standing::Gone, ..info })?;
            self.gone.insert(*ordinal);
        }
        self.save_gone()?;
        // Last: what is cut short begins again.
        let applied = self.family(APPLIED)?;
        ids.iter().try_for_each(|id| Ok(self.db.delete_cf(applied, id.as_bytes())?))
    }

    /// Adds a pack with its blobs and returns its ordinal. Adding it again changes nothing.
    pub(crate) fn add_pack(
        &mut self,
        pack: &PackRecord,
        session: SessionId,
        standing: Standing,
    ) -> Result<u32> {
        let Listing { pack_id, size, table, .. } = Listing::of(pack)?;
        let (id, size) = (pack_id.as_bytes(), size.to_be_bytes());
        let listing = [id.as_slice(), table.as_bytes(), &[pack.kind], &size].concat();
        if let Some(known) = self.get(LISTINGS, &listing)? {
            let ordinal = ordinal_of(&known)?;
            if standing == Standing::Listed {
                self.list(ordinal)?;
            }
            return Ok(ordinal);
        }
        let ordinal = self.next_ordinal;
        self.next_ordinal += 1;
        let info = PackInfo {
            pack_id: pack.pack_id,
            size: pack.size,
            kind: pack.kind,
            session,
            table_digest: table,
            blobs: pack.table.ids.len() as u64,
            stored_bytes: pack.table.stored_bytes(),
            raw_bytes: pack.table.rows.iter().map(|row| u64::from(row.raw_len)).sum(),
            depths: depths_of(&pack.table),
            standing,
        };
        // The pack first: its ordinal is taken even if the process dies before the listing is
        // written, and then its blobs are written again under another.
        self.put_info(ordinal, &info)?;
        let entries = pack.table.entries(PackHeader::blobs_offset(info.kind()));
        let entries: Vec<(u32, BlobEntry)> = (0..).zip(entries).collect();
        for entries in entries.chunks(BATCH_BLOBS) {
            let mut batch = WriteBatch::default();
            let (blobs, sketches) = (self.family(BLOBS)?, self.family(SKETCHES)?);
            for (row, entry) in entries {
                let location = postcard::to_allocvec(&Location::new(ordinal, *row, entry))
                    .map_err(|_| unreadable())?;
                batch.merge_cf(blobs, entry.id.as_bytes(), location);
                for key in sketch_keys(&entry.sketch) {
                    batch.put_cf(sketches, key, id_prefix(&entry.id));
                }
            }
            self.db.write(batch)?;
        }
        self.db.put_cf(self.family(LISTINGS)?, listing, ordinal.to_be_bytes())?;
        Ok(ordinal)
    }

    fn put_info(&self, ordinal: u32, info: &PackInfo) -> Result<()> {
        let value = postcard::to_allocvec(info).map_err(|_| unreadable())?;
        Ok(self.db.put_cf(self.family(PACKS)?, ordinal.to_be_bytes(), value)?)
    }

    fn save_gone(&self) -> Result<()> {
        let gone = postcard::to_allocvec(&self.gone).map_err(|_| unreadable())?;
        Ok(self.db.put_cf(self.family(META)?, b"gone", gone)?)
    }

    /// An index object lists a pack that is known already.
    fn list(&mut self, ordinal: u32) -> Result<()> {
        if self.gone.remove(&ordinal) {
            self.save_gone()?;
        }
        match self.pack(ordinal)? {
            info if info.standing == Standing::Listed => Ok(()),
            info => self.put_info(ordinal, &PackInfo { standing: Standing::Listed, ..info }),
        }
    }

    /// A pack by its ordinal.
    pub(crate) fn pack(&self, ordinal: u32) -> Result<PackInfo> {
        let value = self.get(PACKS, &ordinal.to_be_bytes())?.ok_or_else(unreadable)?;
        postcard::from_bytes(&value).map_err(|_| unreadable())
    }

    /// Every pack that is not gone, by ordinal.
    pub(crate) fn packs(&self) -> Result<impl Iterator<Item = Result<(u32, PackInfo)>>> {
        let packs = self.all_packs()?;
        let is_there = |info: &PackInfo| info.standing != Standing::Gone;
        Ok(packs.filter(move |pack| pack.as_ref().map_or(true, |(_, info)| is_there(info))))
    }

    /// Every pack, by ordinal.
    pub(crate) fn all_packs(&self) -> Result<impl Iterator<Item = Result<(u32, PackInfo)>>> {
        let iterator = self.db.iterator_cf(self.family(PACKS)?, rocksdb::IteratorMode::Start);
        Ok(iterator.map(|item| {
            let (key, value) = item?;
            let info = postcard::from_bytes(&value).map_err(|_| unreadable())?;
            Ok((ordinal_of(&key)?, info))
        }))
    }

    /// The newest blobs that share a super-feature with a sketch, those that share most first.
    pub(crate) fn similar(&self, sketch: &Sketch) -> Result<Vec<BlobId>> {
        let mut found: Vec<(BlobId, usize)> = Vec::new();
        for key in sketch_keys(sketch) {
            let Some(prefix) = self.get(SKETCHES, &key)? else { continue };
            let Some(id) = self.blob_beginning_with(&prefix)? else { continue };
            match found.iter_mut().find(|(other, _)| *other == id) {
                Some((_, shared)) => *shared += 1,
                None => found.push((id, 1)),
            }
        }
        found.sort_by_key(|(_, shared)| std::cmp::Reverse(*shared));
        Ok(found.into_iter().map(|(id, _)| id).collect())
    }

    fn blob_beginning_with(&self, prefix: &[u8]) -> Result<Option<BlobId>> {
        let mut iterator = self.db.raw_iterator_cf(self.family(BLOBS)?);
        iterator.seek(prefix);
        let id = iterator
            .key()
            .filter(|key| key.starts_with(prefix))
            .map(|key| key.as_array::<32>().copied().map(BlobId).ok_or_else(unreadable))
            .transpose()?;
        iterator.status()?;
        Ok(id)
    }

    /// Every place a blob lies at, least depth first, then the oldest.
    pub(crate) fn locations(&self, id: &BlobId) -> Result<Vec<Location>> {
        let family = self.family(BLOBS)?;
        let Some(value) = self.db.get_pinned_cf(family, id.as_bytes())? else {
            return Ok(Vec::new());
        };
        self.decode_locations(&value)
    }

    /// The same of many blobs, whose ids ascend. Where they lie near each other the table is read
    /// through instead of searched for each.
    pub(crate) fn locations_of(&self, ids: &[BlobId]) -> Result<Vec<Vec<Location>>> {
        debug_assert!(ids.is_sorted());
        let (Some(first), Some(last)) = (ids.first(), ids.last()) else { return Ok(Vec::new()) };
        let family = self.family(BLOBS)?;
        let blobs = self.db.property_int_value_cf(family, ESTIMATED_KEYS)?.unwrap_or_default();
        // Ids are digests, so the table is about as dense everywhere.
        let span = u64::from_be_bytes(id_prefix(last)) - u64::from_be_bytes(id_prefix(first));
        let between = (u128::from(blobs) * u128::from(span)) >> 64;
        if between > ids.len() as u128 * NEAR as u128 {
            return ids.iter().map(|id| self.locations(id)).collect();
        }
        let mut iterator = self.db.raw_iterator_cf(family);
        iterator.seek(first.as_bytes());
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            let mut steps = 0;
            while iterator.key().is_some_and(|key| key < id.as_bytes().as_slice()) {
                steps += 1;
                if steps > 4 * NEAR { iterator.seek(id.as_bytes()) } else { iterator.next() }
            }
            found.push(match iterator.item() {
                Some((key, value)) if key == id.as_bytes() => self.decode_locations(value)?,
                _ => Vec::new(),
            });
        }
        iterator.status()?;
        Ok(found)
    }

    /// Blobs in the order of their ids, with every place that each lies at: at most so many, from
    /// the one that follows on `after`, or from the first.
    pub(crate) fn blobs_after(
        &self,
        after: Option<&BlobId>,
        most: usize,
    ) -> Result<Vec<(BlobId, Vec<Location>)>> {
        let mut iterator = self.db.raw_iterator_cf(self.family(BLOBS)?);
        match after {
            Some(id) => iterator.seek([id.as_bytes().as_slice(), &[0]].concat()),
            None => iterator.seek_to_first(),
        }
        let mut blobs = Vec::with_capacity(most);
        while blobs.len() < most
            && let Some((key, value)) = iterator.item()
        {
            let id = key.as_array::<32>().copied().map(BlobId).ok_or_else(unreadable)?;
            blobs.push((id, self.decode_locations(value)?));
            iterator.next();
        }
        iterator.status()?;
        Ok(blobs)
    }

    fn decode_locations(&self, value: &[u8]) -> Result<Vec<Location>> {
        let mut rest = value;
        let mut locations = Vec::new();
        while !rest.is_empty() {
            let (location, after) =
                postcard::take_from_bytes::<Location>(rest).map_err(|_| unreadable())?;
            if !self.gone.contains(&location.pack) && !locations.contains(&location) {
                locations.push(location);
            }
            rest = after;
        }
        locations.sort_by_key(|location| (location.encoding.depth(), location.pack));
        Ok(locations)
    }
}

fn depths_of(table: &BlobTable) -> Vec<u64> {
    let mut depths = Vec::new();
    for row in &table.rows {
        let depth = match row.encoding {
            RowEncoding::Raw | RowEncoding::Zstd => 0,
            RowEncoding::Delta { depth, .. } => usize::from(depth),
        };
        if depths.len() <= depth {
            depths.resize(depth + 1, 0);
        }
        if let Some(count) = depths.get_mut(depth) {
            *count += 1;
        }
    }
    depths
}

/// The keys under which a sketch is found; none if there is no sketch.
fn sketch_keys(sketch: &Sketch) -> impl Iterator<Item = [u8; 5]> {
    (0u8..).zip(*sketch).filter(|(_, value)| *value != 0).map(|(place, value)| {
        let [a, b, c, d] = value.to_be_bytes();
        [place, a, b, c, d]
    })
}

/// Enough of an id to find it by: what is found is only a proposal.
fn id_prefix(id: &BlobId) -> [u8; 8] {
    id.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn family_options(name: &str, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(10.0, false);
    // In small blocks of their own: whole, those of a few files would fill the cache and drive each
    // other out of it, and every look-up would read and check them again.
    blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    blocks.set_partition_filters(true);
    blocks.set_metadata_block_size(4 << 10);
    blocks.set_pin_top_level_index_and_filter(true);
    blocks.set_format_version(5);
    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    // Ids do not compress.
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES / 2);
    options.set_target_file_size_base(64 << 20);
    if name == BLOBS {
        options.set_merge_operator_associative("join locations", join);
    }
    options
}

/// Joins the locations of a blob: each is self-delimiting, so bytes are simply put in a row.
fn join(_: &[u8], existing: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let mut joined = existing.unwrap_or_default().to_vec();
    operands.iter().for_each(|operand| joined.extend_from_slice(operand));
    Some(joined)
}

fn ordinal_of(bytes: &[u8]) -> Result<u32> {
    bytes.as_array::<4>().map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(unreadable)
}

fn unreadable() -> RepositoryError {
    RepositoryError::LocalIndex("a value does not decode".into())
}

#[cfg(test)]
mod tests {
    use nightjar_codec::digest;

    use super::*;

    fn id(number: u32) -> BlobId {
        BlobId(digest::hash(&number.to_be_bytes()).0)
    }

    fn pack(number: u8, blobs: impl Iterator<Item = u32>) -> PackRecord {
        let whole = |number| BlobEntry {
            id: id(number),
            offset: 0,
            stored_len: 10 + number,
            raw_len: 20,
            encoding: Encoding::Zstd,
            sketch: [0; 3],
        };
        let table = BlobTable::from_entries(&blobs.map(whole).collect::<Vec<_>>());
        PackRecord { pack_id: PackId([number; 32]), size: 1000, kind: 1, epoch: 1, table }
    }

    #[test]
    fn many_are_found_as_each_is_whether_they_lie_near_each_other_or_not() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Database::open(directory.path()).unwrap();
        for pack in [pack(1, 0..10_000), pack(2, 5_000..15_000), pack(3, 14_000..20_000)] {
            database.add_pack(&pack, SessionId([1; 16]), Standing::Listed).unwrap();
        }
        for step in [1, 7, 500, 19_000] {
            // One in three is not there.
            let mut ids: Vec<BlobId> = (0..30_000).step_by(step).map(id).collect();
            ids.sort_unstable();
            let found = database.locations_of(&ids).unwrap();
            assert_eq!(found.len(), ids.len());
            for (id, found) in ids.iter().zip(&found) {
                assert_eq!(*found, database.locations(id).unwrap());
            }
            assert!(found.iter().any(|places| !places.is_empty()), "{step}");
        }
        assert_eq!(database.locations(&id(6_000)).unwrap().len(), 2);
        assert!(database.locations_of(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_listing_that_lies_about_a_pack_does_not_stand_in_place_of_a_true_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut database = Database::open(directory.path()).unwrap();
        let mut add = |pack: &PackRecord| {
            database.add_pack(pack, SessionId([1; 16]), Standing::Listed).unwrap()
        };
        let sound = pack(1, 0..3);
        let longer = PackRecord { size: 1001, ..pack(1, 0..3) };
        let other_kind = PackRecord { kind: 2, ..pack(1, 0..3) };
        let ordinals = [&longer, &other_kind, &sound].map(&mut add);
        assert_eq!(ordinals, [0, 1, 2]);
        assert_eq!([&sound, &longer].map(&mut add), [2, 0]);
        assert_eq!(database.locations(&id(1)).unwrap().len(), 3);
        assert_eq!(database.pack(2).unwrap().size, 1000);
    }
}
