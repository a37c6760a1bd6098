//! Puts batches in order and builds manifests from them.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};
use nightjar_format::BlobId;
use nightjar_format::manifest::{ContentRef, Entry, EntryKind};
use nightjar_format::snapshot::Counts;

use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::ingest::encoder::{EncodedBatch, EncodedItem};
use crate::ingest::pack_writer::PackWriter;
use crate::ingest::segment::Mark;
use crate::manifest::directory::DirectoryBuilder;
use crate::manifest::list::ListBuilder;
use crate::packs::Uploader;
use crate::repository::Repository;
use crate::session::Session;

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
        let writer = PackWriter::new(repository, index, session.id(), level, uploader);
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
                for item in batch.items {
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
