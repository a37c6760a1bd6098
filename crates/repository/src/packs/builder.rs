//! A pack while it is filled.

use nightjar_codec::aead::TAG_LEN;
use nightjar_codec::compress::Payload;
use nightjar_codec::digest;
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_codec::sketch::Sketch;
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable};
use nightjar_format::index::PackRecord;
use nightjar_format::object::ObjectName;
use nightjar_format::pack::PackHeader;
use nightjar_format::{BlobId, SessionId};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::error::{RepositoryError, Result};
use crate::repository::Repository;

/// Plain payloads at their final offsets.
pub(crate) struct OpenPack {
    cipher: PackCipher,
    object: Vec<u8>,
    entries: Vec<BlobEntry>,
}

/// Room beyond a pack's target for its last blob, its footer and its padding.
const ROOM_BYTES: usize = 1 << 20;

/// A finished object and what an index object says about it.
pub(crate) struct SealedPack {
    pub(crate) cipher: PackCipher,
    pub(crate) name: ObjectName,
    pub(crate) object: Vec<u8>,
    pub(crate) record: PackRecord,
}

/// Blobs in a pack that is written, at most: very small ones would make tables of hundreds of
/// megabytes in memory.
const MOST_BLOBS: usize = 1 << 16;

fn failed(error: nightjar_codec::CodecError) -> RepositoryError {
    RepositoryError::in_object("new pack", error)
}

impl OpenPack {
    pub(crate) fn create(
        repository: &Repository,
        kind: BlobKind,
        session: SessionId,
    ) -> Result<Self> {
        let keychain = &repository.keychain;
        let sealer = keychain.sealer().map_err(failed)?;
        let header = PackHeader { kind, epoch: sealer.epoch, session };
        let source = match kind {
            BlobKind::Data => PackKeySource::Data(keychain.data_public().map_err(failed)?),
            BlobKind::Tree => PackKeySource::Tree(sealer.metadata_key),
        };
        let random = &*repository.environment.random;
        let (cipher, mut object) =
            PackCipher::create(repository.id(), header, &source, random).map_err(failed)?;
        if kind == BlobKind::Data {
            // Growing step by step would copy a pack twice over; unused room is never touched.
            object.reserve_exact(repository.record.pack_target_bytes as usize + ROOM_BYTES);
        }
        Ok(Self { cipher, object, entries: Vec::new() })
    }

    /// Whether another blob would still begin below the target, and the table is not too long.
    pub(crate) fn has_room(&self, target_bytes: u32) -> bool {
        self.object.len() < target_bytes as usize && self.entries.len() < MOST_BLOBS
    }

    /// Adds a blob and returns its length in the pack.
    pub(crate) fn push(
        &mut self,
        id: BlobId,
        raw_len: usize,
        payload: &Payload,
        sketch: Sketch,
    ) -> Result<u32> {
        let too_large = |_| RepositoryError::Internal("a blob does not fit a pack");
        let stored_len = u32::try_from(payload.bytes.len() + TAG_LEN).map_err(too_large)?;
        self.entries.push(BlobEntry {
            id,
            offset: u32::try_from(self.object.len()).map_err(too_large)?,
            stored_len,
            raw_len: u32::try_from(raw_len).map_err(too_large)?,
            encoding: payload.encoding,
            sketch,
        });
        self.object.extend_from_slice(&payload.bytes);
        self.object.extend_from_slice(&[0; TAG_LEN]);
        Ok(stored_len)
    }

    /// Seals every blob, the footer and the trailer.
    pub(crate) fn seal(mut self) -> Result<SealedPack> {
        let Self { cipher, object, entries } = &mut self;
        let mut rest = object.get_mut(cipher.blobs_offset()..).unwrap_or_default();
        let mut parts = Vec::with_capacity(entries.len());
        for entry in entries.iter() {
            let (blob, after) = rest
                .split_at_mut_checked(entry.stored_len as usize)
                .ok_or(RepositoryError::Internal("a pack is shorter than its blobs"))?;
            parts.push((entry, blob));
            rest = after;
        }
        let cipher = &*cipher;
        parts
            .into_par_iter()
            .try_for_each(|(entry, blob)| cipher.seal_blob(&entry.id, entry.offset, blob))
            .map_err(failed)?;
        let table = BlobTable::from_entries(entries);
        cipher.finish(object, table.clone()).map_err(failed)?;
        let PackHeader { kind, epoch, .. } = *cipher.header();
        let pack_id = digest::pack_id(object);
        let record =
            PackRecord { pack_id, size: object.len() as u64, kind: kind as u8, epoch, table };
        let Self { cipher, object, .. } = self;
        Ok(SealedPack { cipher, name: ObjectName::Pack(pack_id), object, record })
    }
}
