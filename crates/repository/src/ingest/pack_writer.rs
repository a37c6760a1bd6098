//! Puts blobs into packs, and packs into index objects.

use std::collections::HashSet;

use nightjar_codec::compress::{self, Payload};
use nightjar_codec::digest::Identifier;
use nightjar_codec::sketch::{self, Sketch};
use nightjar_format::blob::{Bases, BlobKind};
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::snapshot::Counts;
use nightjar_format::{BlobId, IndexId, SessionId};
use nightjar_storage::Created;

use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::ingest::delta::DeltaEncoder;
use crate::manifest::NodeSink;
use crate::packs::{OpenPack, Uploaded, Uploader};
use crate::repository::Repository;

/// Index objects are published at least this often while packs become durable, in nanoseconds,
/// so that an interrupted run loses little.
const PUBLISH_INTERVAL: i64 = 5 * 60 * 1_000_000_000;
/// And at this many blobs, which keeps index objects and the memory for them small.
const PUBLISH_BLOBS: usize = 100_000;

/// Open packs, packs on their way, and durable packs that are yet to be listed.
pub(crate) struct PackWriter<'a> {
    pub(crate) repository: &'a Repository,
    index: &'a LocalIndex,
    pub(crate) identifier: Identifier,
    session: SessionId,
    level: i32,
    delta: Option<&'a DeltaEncoder<'a, 'a>>,
    pub(crate) uploader: Uploader,
    data: Option<OpenPack>,
    tree: Option<OpenPack>,
    /// Blobs in packs that are open or on their way.
    pending: HashSet<BlobId>,
    /// Durable packs that no index object lists yet.
    unlisted: Vec<PackRecord>,
    last_published: i64,
    pub(crate) counts: Counts,
}

impl<'a> PackWriter<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        index: &'a LocalIndex,
        session: SessionId,
        level: i32,
        delta: Option<&'a DeltaEncoder<'a, 'a>>,
        uploader: Uploader,
    ) -> Self {
        Self {
            repository,
            index,
            identifier: repository.identifier(),
            session,
            level,
            delta,
            uploader,
            data: None,
            tree: None,
            pending: HashSet::new(),
            unlisted: Vec::new(),
            last_published: repository.environment.clock.now(),
            counts: Counts::default(),
        }
    }

    /// Whether a blob needs no storing: in the index, or in a pack of this run.
    fn has(&self, id: &BlobId) -> bool {
        self.pending.contains(id) || self.index.is_present(id)
    }

    /// Whether a chunk is to be stored; if so, it counts as stored from now on. A worker did not
    /// see it in the index, but another batch may have brought it meanwhile.
    pub(crate) fn schedule(&mut self, id: BlobId) -> bool {
        !self.has(&id) && self.pending.insert(id)
    }

    /// Takes a chunk of the stream, and stores it if there is a payload.
    pub(crate) fn put_chunk(
        &mut self,
        id: BlobId,
        raw_len: usize,
        payload: Option<(Payload, Sketch)>,
    ) -> Result<()> {
        self.counts.chunks += 1;
        let Some((payload, sketch)) = payload else {
            return Ok(());
        };
        let stored = u64::from(self.put(BlobKind::Data, id, raw_len, &payload, sketch)?);
        self.counts.chunks_new += 1;
        self.counts.bytes_new += raw_len as u64;
        self.counts.bytes_stored += stored;
        if payload.encoding.depth() > 0 {
            self.counts.chunks_delta += 1;
            self.counts.bytes_delta += raw_len as u64;
            self.counts.bytes_stored_delta += stored;
        }
        Ok(())
    }

    /// Puts a blob into the open pack of its kind; returns its length there.
    pub(crate) fn put(
        &mut self,
        kind: BlobKind,
        id: BlobId,
        raw_len: usize,
        payload: &Payload,
        sketch: Sketch,
    ) -> Result<u32> {
        let slot = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.tree,
        };
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => OpenPack::create(self.repository, kind, self.session)?,
        };
        let stored = pack.push(id, raw_len, payload, sketch)?;
        self.pending.insert(id);
        if pack.has_room(self.repository.record.pack_target_bytes) {
            *slot = Some(pack);
        } else {
            self.uploader.send(pack)?;
            if self.repository.environment.one_at_a_time {
                self.settle_all()?;
            }
        }
        Ok(stored)
    }

    /// Takes note of what became durable meanwhile, and publishes it if it is time.
    pub(crate) fn settle_some(&mut self) -> Result<()> {
        while let Ok(uploaded) = self.uploader.uploaded().try_recv() {
            self.settle(uploaded)?;
        }
        self.publish_if_due()
    }

    /// Takes note of a pack that became durable.
    pub(crate) fn settle(&mut self, uploaded: Uploaded) -> Result<()> {
        self.uploader.in_flight -= 1;
        let pack = uploaded?;
        self.counts.bytes_added += pack.size;
        match self.index.add_own_pack(&pack, self.session) {
            Ok(()) => pack.table.ids.iter().for_each(|id| {
                self.pending.remove(id);
            }),
            // They stay pending, so that none is stored twice; and the backup goes on.
            Err(error) => tracing::warn!("{error}; going on without noting a pack there"),
        }
        self.unlisted.push(pack);
        Ok(())
    }

    /// Publishes an index object if it is time.
    pub(crate) fn publish_if_due(&mut self) -> Result<()> {
        let now = self.repository.environment.clock.now();
        let blobs: usize = self.unlisted.iter().map(|pack| pack.table.ids.len()).sum();
        if blobs >= PUBLISH_BLOBS || now.saturating_sub(self.last_published) >= PUBLISH_INTERVAL {
            self.publish()?;
            self.last_published = now;
        }
        Ok(())
    }

    /// Lists the durable packs in an index object.
    fn publish(&mut self) -> Result<()> {
        if self.unlisted.is_empty() {
            return Ok(());
        }
        let packs = std::mem::take(&mut self.unlisted);
        let name = ObjectName::Index(IndexId(self.repository.environment.random.array()));
        let record = IndexRecord { session: self.session, packs };
        let object = self.repository.seal(MetadataKind::Index, &name, &record)?;
        self.counts.bytes_added += object.len() as u64;
        match self.repository.store.create(&name.to_string(), object.into())? {
            Created::Created => Ok(()),
            Created::Exists => Err(RepositoryError::Internal("a random index id was taken")),
        }
    }

    /// Sends what is open, waits for what is on its way, lists everything.
    pub(crate) fn close(mut self) -> Result<Counts> {
        for pack in [self.data.take(), self.tree.take()].into_iter().flatten() {
            self.uploader.send(pack)?;
            if self.repository.environment.one_at_a_time {
                self.settle_all()?;
            }
        }
        self.settle_all()?;
        self.publish()?;
        Ok(self.counts)
    }

    /// Waits for what is on its way.
    fn settle_all(&mut self) -> Result<()> {
        while self.uploader.in_flight > 0 {
            let uploaded = self
                .uploader
                .uploaded()
                .recv()
                .map_err(|_| RepositoryError::Internal("the uploaders are gone"))?;
            self.settle(uploaded)?;
        }
        Ok(())
    }
}

impl NodeSink for PackWriter<'_> {
    fn put_node(&mut self, plaintext: Vec<u8>, like: Option<BlobId>) -> Result<BlobId> {
        let id = self.identifier.blob_id(BlobKind::Tree, &plaintext);
        if !self.has(&id) {
            let payload = self.encode_node(&plaintext, like);
            self.put(BlobKind::Tree, id, plaintext.len(), &payload, sketch::NONE)?;
        }
        Ok(id)
    }
}

impl PackWriter<'_> {
    /// Ids do not compress, but most of a node's stood in last night's.
    fn encode_node(&self, plaintext: &[u8], like: Option<BlobId>) -> Payload {
        let alone = compress::encode_verified(plaintext, self.level);
        self.delta
            .zip(like.and_then(|like| Bases::new(&[like])))
            .and_then(|(delta, bases)| {
                let usable = delta.usable(bases)?;
                delta.encode(BlobKind::Tree, plaintext, &usable, None)
            })
            .filter(|delta| delta.bytes.len() < alone.bytes.len())
            .unwrap_or(alone)
    }
}
