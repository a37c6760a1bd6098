//! Puts batches in order, fills packs, builds manifests, publishes index objects.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};
use nightjar_codec::compress::{self, Payload};
use nightjar_codec::digest::Identifier;
use nightjar_format::blob::BlobKind;
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::manifest::{ContentRef, Entry, EntryKind};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::snapshot::Counts;
use nightjar_format::{BlobId, IndexId, SessionId};
use nightjar_storage::Created;

use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::ingest::encoder::{EncodedBatch, EncodedItem};
use crate::ingest::segment::Mark;
use crate::manifest::NodeSink;
use crate::manifest::directory::DirectoryBuilder;
use crate::manifest::list::ListBuilder;
use crate::packs::{OpenPack, Uploaded, Uploader};
use crate::repository::Repository;
use crate::session::Session;

/// Index objects are published at least this often while packs become durable, in nanoseconds,
/// so that an interrupted run loses little.
const PUBLISH_INTERVAL: i64 = 5 * 60 * 1_000_000_000;
/// And at this many blobs, which keeps index objects and the memory for them small.
const PUBLISH_BLOBS: usize = 100_000;
/// How often the clock is looked at while nothing arrives.
const TICK: Duration = Duration::from_secs(20);

/// What arrives at the assembler.
pub(crate) enum Assembly {
    Batch(EncodedBatch),
    /// All batches were handed over; this many.
    End {
        batches: u64,
    },
}

/// What a finished pipeline leaves behind.
pub(crate) struct Assembled {
    pub(crate) root: BlobId,
    pub(crate) counts: Counts,
}

/// Everything that turns nodes and payloads into packs and index objects.
struct PackWriter<'a> {
    repository: &'a Repository,
    index: &'a LocalIndex,
    identifier: Identifier,
    session: SessionId,
    level: i32,
    uploader: Uploader,
    data: Option<OpenPack>,
    tree: Option<OpenPack>,
    /// Blobs in packs that are open or on their way.
    pending: HashSet<BlobId>,
    /// Durable packs that no index object lists yet.
    unlisted: Vec<PackRecord>,
    last_published: i64,
    counts: Counts,
}

/// The assembler.
pub(crate) struct Assembler<'a, 'session> {
    writer: PackWriter<'a>,
    session: &'a mut Session<'session>,
    list: ListBuilder,
    directories: Vec<DirectoryBuilder>,
}

impl<'a, 'session> Assembler<'a, 'session> {
    pub(crate) fn new(
        repository: &'a Repository,
        index: &'a LocalIndex,
        session: &'a mut Session<'session>,
        level: i32,
        uploader: Uploader,
    ) -> Self {
        let writer = PackWriter {
            repository,
            index,
            identifier: repository.identifier(),
            session: session.id(),
            level,
            uploader,
            data: None,
            tree: None,
            pending: HashSet::new(),
            unlisted: Vec::new(),
            last_published: repository.environment.clock.now(),
            counts: Counts::default(),
        };
        let directories = vec![DirectoryBuilder::default()];
        Self { writer, session, list: ListBuilder::default(), directories }
    }

    /// Assembles until the end arrives. If the feeder gives up before that, what is durable is
    /// still listed, so that the next run finds it.
    pub(crate) fn run(mut self, arrivals: &Receiver<Assembly>) -> Result<Option<Assembled>> {
        if self.assemble_all(arrivals)? {
            self.finish().map(Some)
        } else {
            self.writer.close().map(|_| None)
        }
    }

    /// Whether the end arrived.
    fn assemble_all(&mut self, arrivals: &Receiver<Assembly>) -> Result<bool> {
        let mut early: BTreeMap<u64, EncodedBatch> = BTreeMap::new();
        let mut next = 0;
        let mut batches = None;
        while batches != Some(next) {
            match self.wait(arrivals)? {
                Arrival::Batch(batch) => {
                    early.insert(batch.number, batch);
                }
                Arrival::End(count) => batches = Some(count),
                Arrival::Nothing => {}
                Arrival::FeederGone => return Ok(false),
            }
            while let Some(batch) = early.remove(&next) {
                for item in batch.items? {
                    self.assemble(item)?;
                }
                next += 1;
            }
            self.session.renew_if_due()?;
            self.writer.publish_if_due()?;
        }
        Ok(true)
    }

    fn wait(&mut self, arrivals: &Receiver<Assembly>) -> Result<Arrival> {
        let uploaded = if self.writer.uploader.in_flight > 0 {
            self.writer.uploader.uploaded().clone()
        } else {
            never()
        };
        select! {
            recv(arrivals) -> arrival => Ok(match arrival {
                Ok(Assembly::Batch(batch)) => Arrival::Batch(batch),
                Ok(Assembly::End { batches }) => Arrival::End(batches),
                Err(_) => Arrival::FeederGone,
            }),
            recv(uploaded) -> pack => {
                if let Ok(pack) = pack {
                    self.writer.settle(pack)?;
                }
                Ok(Arrival::Nothing)
            }
            default(TICK) => Ok(Arrival::Nothing),
        }
    }

    fn assemble(&mut self, item: EncodedItem) -> Result<()> {
        match item {
            EncodedItem::Chunk { id, raw_len, payload } => {
                self.writer.put_chunk(id, raw_len, payload)?;
                let chunk = ContentRef { id, length: raw_len as u64 };
                self.list.push(chunk, &mut self.writer)
            }
            EncodedItem::Mark(Mark::EnterDirectory) => {
                self.directories.push(DirectoryBuilder::default());
                Ok(())
            }
            EncodedItem::Mark(Mark::LeaveDirectory(mut entry)) => {
                let directory = self.pop_directory()?;
                let root = directory.finish(&self.writer.identifier.clone(), &mut self.writer)?;
                entry.kind = EntryKind::Directory { root };
                self.writer.counts.directories += 1;
                self.add(*entry)
            }
            EncodedItem::Mark(Mark::File(mut entry)) => {
                let list = std::mem::take(&mut self.list);
                let length = list.length();
                let content = list.finish(&mut self.writer)?;
                let EntryKind::File(file) = &mut entry.kind else {
                    return Err(RepositoryError::Internal("a stream belongs to no file"));
                };
                let holes: u64 = file.holes.iter().map(|hole| hole.length).sum();
                file.size = length + holes;
                file.content = content;
                self.writer.counts.files += 1;
                self.writer.counts.bytes_read += length;
                self.add(*entry)
            }
            EncodedItem::Mark(Mark::Discard) => {
                self.list = ListBuilder::default();
                Ok(())
            }
            EncodedItem::Mark(Mark::Other(entry)) => {
                self.writer.counts.others += 1;
                self.add(*entry)
            }
        }
    }

    fn pop_directory(&mut self) -> Result<DirectoryBuilder> {
        self.directories.pop().ok_or(RepositoryError::Internal("directories do not nest"))
    }

    fn add(&mut self, entry: Entry) -> Result<()> {
        let identifier = self.writer.identifier.clone();
        let directory =
            self.directories.last_mut().ok_or(RepositoryError::Internal("no open directory"))?;
        directory.push(entry, &identifier, &mut self.writer)
    }

    fn finish(mut self) -> Result<Assembled> {
        let root = self.pop_directory()?;
        let identifier = self.writer.identifier.clone();
        let root = root.finish(&identifier, &mut self.writer)?;
        if !self.directories.is_empty() {
            return Err(RepositoryError::Internal("a directory was not left"));
        }
        let counts = self.writer.close()?;
        Ok(Assembled { root, counts })
    }
}

enum Arrival {
    Batch(EncodedBatch),
    End(u64),
    Nothing,
    FeederGone,
}

impl PackWriter<'_> {
    /// Whether a blob needs no storing: in the index, or in a pack of this run.
    fn has(&self, id: &BlobId) -> Result<bool> {
        Ok(self.pending.contains(id) || self.index.is_present(id)?)
    }

    fn put_chunk(&mut self, id: BlobId, raw_len: usize, payload: Option<Payload>) -> Result<()> {
        self.counts.chunks += 1;
        // A worker saw it stored, or saw it earlier in its batch; else another batch may have
        // brought it meanwhile.
        let Some(payload) = payload else {
            return Ok(());
        };
        if self.has(&id)? {
            return Ok(());
        }
        self.counts.chunks_new += 1;
        self.counts.bytes_new += raw_len as u64;
        let stored = self.put(BlobKind::Data, id, raw_len, &payload)?;
        self.counts.bytes_stored += u64::from(stored);
        Ok(())
    }

    fn put(
        &mut self,
        kind: BlobKind,
        id: BlobId,
        raw_len: usize,
        payload: &Payload,
    ) -> Result<u32> {
        let slot = match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.tree,
        };
        let mut pack = match slot.take() {
            Some(pack) => pack,
            None => OpenPack::create(self.repository, kind, self.session)?,
        };
        let stored = pack.push(id, raw_len, payload)?;
        self.pending.insert(id);
        if pack.has_room(self.repository.record.pack_target_bytes) {
            *slot = Some(pack);
        } else {
            self.uploader.send(pack)?;
        }
        Ok(stored)
    }

    /// Takes note of a pack that became durable.
    fn settle(&mut self, uploaded: Uploaded) -> Result<()> {
        self.uploader.in_flight -= 1;
        let pack = uploaded?;
        self.counts.bytes_added += pack.size;
        self.index.add_own_pack(&pack, self.session)?;
        for id in &pack.table.ids {
            self.pending.remove(id);
        }
        self.unlisted.push(pack);
        Ok(())
    }

    fn publish_if_due(&mut self) -> Result<()> {
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
            // The name is random: what stands there is our own, by an answer that was lost.
            Created::Created | Created::Exists => Ok(()),
        }
    }

    /// Sends what is open, waits for what is on its way, lists everything.
    fn close(mut self) -> Result<Counts> {
        for pack in [self.data.take(), self.tree.take()].into_iter().flatten() {
            self.uploader.send(pack)?;
        }
        while self.uploader.in_flight > 0 {
            let uploaded = self
                .uploader
                .uploaded()
                .recv()
                .map_err(|_| RepositoryError::Internal("the uploaders are gone"))?;
            self.settle(uploaded)?;
        }
        self.publish()?;
        Ok(self.counts)
    }
}

impl NodeSink for PackWriter<'_> {
    fn put_node(&mut self, plaintext: Vec<u8>) -> Result<BlobId> {
        let id = self.identifier.blob_id(BlobKind::Tree, &plaintext);
        if !self.has(&id)? {
            let payload = compress::encode_verified(&plaintext, self.level);
            self.put(BlobKind::Tree, id, plaintext.len(), &payload)?;
        }
        Ok(id)
    }
}
