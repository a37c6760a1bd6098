//! Packs, read whole.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use nightjar_codec::pack::PackCipher;
use nightjar_codec::{CodecError, digest};
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable};
use nightjar_format::object::ObjectName;
use nightjar_format::pack::Trailer;
use nightjar_format::{BlobId, SessionId, limits};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::{Location, PackInfo};
use crate::packs::cipher_from;
use crate::read::SealedBlob;
use crate::verify::{Check, Finding, Level};

/// Blobs of a pack that are decoded together.
const BATCH_BLOBS: usize = 64;

impl Check<'_> {
    /// Checks the collected packs.
    pub(super) fn packs(&mut self, level: Level) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        let mut total = 0;
        for ordinal in touched.keys() {
            total += self.reader.index.pack(*ordinal)?.size;
        }
        if level > Level::Presence {
            let progress = &self.reader.progress;
            progress.total.store(total, std::sync::atomic::Ordering::Relaxed);
        }
        let mut whole = Vec::new();
        for (ordinal, snapshots) in touched {
            let pack = self.reader.index.pack(ordinal)?;
            self.report.packs += 1;
            let problem = match self.sizes.get(&pack.pack_id) {
                None => "it is missing from the store".to_owned(),
                Some(size) if *size != pack.size => {
                    format!("it has {size} bytes, the index says {}", pack.size)
                }
                Some(_) if level == Level::Presence => continue,
                Some(_) => {
                    whole.push((pack, snapshots));
                    continue;
                }
            };
            self.report_pack(&pack, problem, snapshots);
        }
        let repository = self.reader.repository;
        let names = whole.iter().map(|(pack, _)| (ObjectName::Pack(pack.pack_id), pack.size));
        let names: Vec<(ObjectName, u64)> = names.collect();
        let objects = Ahead::new(repository, names.into_iter(), limits::PACK_BYTES);
        for ((pack, snapshots), (_, object)) in whole.into_iter().zip(objects) {
            if let Some(problem) = self.check_pack(&pack, object, level)? {
                self.report_pack(&pack, problem, snapshots);
            }
            Progress::add(&self.reader.progress.items, 1);
        }
        Ok(())
    }

    fn report_pack(&mut self, pack: &PackInfo, problem: String, snapshots: BTreeSet<SessionId>) {
        let object = ObjectName::Pack(pack.pack_id).to_string();
        let snapshots = snapshots.into_iter().collect();
        self.report.findings.push(Finding { object, problem, snapshots });
    }

    /// Says what is wrong with a pack.
    fn check_pack(
        &mut self,
        pack: &PackInfo,
        object: Result<Bytes>,
        level: Level,
    ) -> Result<Option<String>> {
        let object = match object {
            Ok(object) => object,
            Err(error) if error.is_damage() => return Ok(Some(error.to_string())),
            Err(error) => return Err(error),
        };
        self.report.bytes += object.len() as u64;
        Progress::add(&self.reader.progress.bytes, object.len() as u64);
        if digest::pack_id(&object) != pack.pack_id {
            return Ok(Some("its bytes do not hash to its id: they were altered".into()));
        }
        if level < Level::Data && pack.kind() == BlobKind::Data {
            return Ok(None);
        }
        match self.check_blobs(pack, &object) {
            Ok(blobs) => {
                self.report.blobs += blobs;
                Ok(None)
            }
            Err(error) if error.is_damage() => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Compares the footer with the index and decodes every blob that has its bases; how many.
    fn check_blobs(&self, pack: &PackInfo, object: &[u8]) -> Result<u64> {
        let name = ObjectName::Pack(pack.pack_id);
        let damaged =
            |why: &str| RepositoryError::Damaged { object: name.to_string(), why: why.to_owned() };
        let cipher = cipher_from(self.reader.repository, &pack.pack_id, object)?;
        let table =
            footer_of(&cipher, object).map_err(|error| RepositoryError::in_object(name, error))?;
        let encoded = postcard::to_allocvec(&table)
            .map_err(|_| RepositoryError::Internal("a table does not encode"))?;
        if digest::hash(&encoded).0 != pack.table_digest {
            return Err(damaged("an index object tells other blobs than its footer"));
        }
        let entries: Vec<_> = table.entries(cipher.blobs_offset()).collect();
        let check = |entries: &[BlobEntry]| self.check_entries(&name, &cipher, object, entries);
        if self.reader.repository.environment.one_at_a_time {
            return entries.chunks(BATCH_BLOBS).map(check).sum();
        }
        entries.par_chunks(BATCH_BLOBS).map(check).sum()
    }

    /// Decodes blobs of a pack and returns how many could be decoded. What they rest on is read
    /// together, and decoded once.
    fn check_entries(
        &self,
        name: &ObjectName,
        cipher: &PackCipher,
        object: &[u8],
        entries: &[BlobEntry],
    ) -> Result<u64> {
        let mut decoded = 0;
        let reader = self.reader;
        let kind = cipher.header().kind;
        let bases: Vec<BlobId> =
            entries.iter().flat_map(|entry| entry.encoding.bases()).copied().collect();
        let mut fetched = reader.begin(kind, &bases)?.wait(reader)?;
        let mut scratch = Vec::new();
        for entry in entries {
            let start = entry.offset as usize;
            let sealed = object.get(start..start + entry.stored_len as usize);
            let sealed = sealed.ok_or_else(|| RepositoryError::Damaged {
                object: name.to_string(),
                why: "a blob lies outside it".into(),
            })?;
            scratch.clear();
            scratch.extend_from_slice(sealed);
            // A base that is lost is the fault of the pack it lay in, which is checked by itself if a
            // snapshot needs it; if none does, it may have been collected.
            let bases: Result<HashMap<BlobId, Bytes>> = entry
                .encoding
                .bases()
                .iter()
                .map(|base| Ok((*base, fetched.blob(base)?)))
                .collect();
            let bases = match bases {
                Err(error) if error.is_damage() => continue,
                bases => bases?,
            };
            let at = Location::new(0, 0, entry);
            let blob = SealedBlob { id: entry.id, at, name, cipher };
            let base = |base: &BlobId| bases.get(base).cloned().unwrap_or_default();
            reader.decode(kind, &blob, &mut scratch, &mut |id| Ok(base(id)))?;
            decoded += 1;
        }
        Ok(decoded)
    }
}

/// The blob table in the footer of a whole pack.
pub(crate) fn footer_of(
    cipher: &PackCipher,
    object: &[u8],
) -> std::result::Result<BlobTable, CodecError> {
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
