//! Conducts the pipeline: hands batches to the workers, plans what they do, puts what they made
//! in order, and builds manifests from it.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};
use nightjar_format::BlobId;
use nightjar_format::manifest::{ContentRef, Entry, EntryKind, FileContent, Hole};
use nightjar_format::snapshot::Counts;
use rayon::ScopeFifo;

use crate::error::{RepositoryError, Result};
use crate::ingest::encoder::{EncodedBatch, EncodedItem, Encoder, IdentifiedBatch, PlannedBatch};
use crate::ingest::pack_writer::PackWriter;
use crate::ingest::planner::Planner;
use crate::ingest::segment::{Batch, EntryMark, Mark};
use crate::manifest::directory::DirectoryBuilder;
use crate::manifest::list::ListBuilder;
use crate::manifest::walk::NodePath;
use crate::repository::Repository;
use crate::session::Session;

/// How often the clock is looked at while nothing arrives.
const TICK: Duration = Duration::from_secs(20);

/// What the feeder sends.
pub(crate) enum FromFeeder {
    Batch(Batch),
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

/// What the workers send back.
enum Done {
    Identified(IdentifiedBatch),
    Encoded(EncodedBatch),
    Panicked,
}

/// The assembler.
pub(crate) struct Assembler<'a, 'session> {
    encoder: &'a Encoder<'a, 'a>,
    planner: Planner<'a, 'a>,
    writer: PackWriter<'a>,
    session: &'a mut Session<'session>,
    list: ListBuilder,
    directories: Vec<DirectoryBuilder>,
    /// Streams that were kept for entries to come, by number; boxed, as there may be millions.
    kept: HashMap<u64, Box<FileContent>>,
    to_plan: InOrder<IdentifiedBatch>,
    to_assemble: InOrder<EncodedBatch>,
}

/// Gives numbered batches out in their order.
struct InOrder<T> {
    early: BTreeMap<u64, T>,
    next: u64,
}

impl<T> InOrder<T> {
    fn new() -> Self {
        Self { early: BTreeMap::new(), next: 0 }
    }

    fn put(&mut self, number: u64, batch: T) {
        self.early.insert(number, batch);
    }

    fn take(&mut self) -> Option<T> {
        let batch = self.early.remove(&self.next)?;
        self.next += 1;
        Some(batch)
    }
}

impl<'a, 'session> Assembler<'a, 'session> {
    pub(crate) fn new(
        encoder: &'a Encoder<'a, 'a>,
        planner: Planner<'a, 'a>,
        writer: PackWriter<'a>,
        session: &'a mut Session<'session>,
    ) -> Self {
        let directories = vec![DirectoryBuilder::default()];
        Self {
            encoder,
            planner,
            writer,
            session,
            list: ListBuilder::default(),
            directories,
            kept: HashMap::new(),
            to_plan: InOrder::new(),
            to_assemble: InOrder::new(),
        }
    }

    /// Assembles until the end arrives. If the feeder gives up before that, what is durable is
    /// still listed, so that the next run finds it.
    pub(crate) fn run(mut self, fed: &Receiver<FromFeeder>) -> Result<Option<Assembled>> {
        let ended = rayon::in_place_scope_fifo(|scope| self.assemble_all(scope, fed))?;
        if ended { self.finish().map(Some) } else { self.writer.close().map(|_| None) }
    }

    /// Whether the end arrived.
    fn assemble_all<'scope>(
        &mut self,
        scope: &ScopeFifo<'scope>,
        fed: &Receiver<FromFeeder>,
    ) -> Result<bool>
    where
        'a: 'scope,
    {
        let (to_me, done) = unbounded();
        let mut batches = None;
        while batches != Some(self.to_assemble.next) {
            match self.wait(fed, &done, batches.is_some())? {
                Arrival::Fed(FromFeeder::Batch(batch)) => {
                    let (encoder, to_me) = (self.encoder, to_me.clone());
                    let identify = move || Done::Identified(encoder.identify(batch));
                    spawn(self.writer.repository, scope, to_me, identify);
                }
                Arrival::Fed(FromFeeder::End { batches: count }) => batches = Some(count),
                Arrival::Done(Done::Identified(batch)) => {
                    self.to_plan.put(batch.number, batch);
                    while let Some(batch) = self.to_plan.take() {
                        let writer = &mut self.writer;
                        let planned = self.planner.plan(batch, |id| writer.schedule(id));
                        self.spawn_encode(scope, to_me.clone(), planned);
                    }
                }
                Arrival::Done(Done::Encoded(batch)) => {
                    self.to_assemble.put(batch.number, batch);
                    while let Some(batch) = self.to_assemble.take() {
                        for item in batch.items {
                            self.assemble(item)?;
                        }
                    }
                }
                Arrival::Done(Done::Panicked) => {
                    return Err(RepositoryError::Internal("a worker panicked"));
                }
                Arrival::Nothing => {}
                Arrival::FeederGone => return Ok(false),
            }
            self.session.renew_if_due()?;
            self.writer.publish_if_due()?;
        }
        Ok(true)
    }

    fn spawn_encode<'scope>(
        &self,
        scope: &ScopeFifo<'scope>,
        to_me: Sender<Done>,
        batch: PlannedBatch,
    ) where
        'a: 'scope,
    {
        let encoder = self.encoder;
        let encode = move || Done::Encoded(encoder.encode(batch));
        spawn(self.writer.repository, scope, to_me, encode);
    }

    fn wait(
        &mut self,
        fed: &Receiver<FromFeeder>,
        done: &Receiver<Done>,
        fed_all: bool,
    ) -> Result<Arrival> {
        let uploaded = if self.writer.uploader.in_flight > 0 {
            self.writer.uploader.uploaded().clone()
        } else {
            never()
        };
        // After the end the feeder is gone, and that says nothing.
        let fed = if fed_all { &never() } else { fed };
        select! {
            recv(done) -> done => Ok(done.map_or(Arrival::Nothing, Arrival::Done)),
            recv(fed) -> fed => Ok(fed.map_or(Arrival::FeederGone, Arrival::Fed)),
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
            EncodedItem::Chunk { id, raw_len, near, payload } => {
                self.writer.put_chunk(id, raw_len, payload)?;
                let chunk = ContentRef { id, length: raw_len as u64 };
                self.list.push(chunk, near, &mut self.writer)
            }
            EncodedItem::Mark(Mark::Stream(_)) => Ok(()),
            EncodedItem::Mark(Mark::Discard) => {
                self.list = ListBuilder::default();
                Ok(())
            }
            EncodedItem::Mark(Mark::Keep(number, holes)) => {
                let file = self.end_stream(holes)?;
                self.kept.insert(number, Box::new(file));
                Ok(())
            }
            EncodedItem::Mark(Mark::Drop(number)) => {
                self.kept.remove(&number);
                Ok(())
            }
            EncodedItem::Mark(Mark::EnterDirectory) => {
                self.directories.push(DirectoryBuilder::default());
                Ok(())
            }
            EncodedItem::Mark(Mark::Entry(entry, mark, near)) => {
                let entry = self.complete(*entry, mark)?;
                self.add(entry, near)
            }
        }
    }

    /// Gives an entry what it lacks, and counts it.
    fn complete(&mut self, mut entry: Entry, mark: EntryMark) -> Result<Entry> {
        if mark == EntryMark::Directory {
            let directory = self.pop_directory()?;
            let root = directory.finish(&self.writer.identifier.clone(), &mut self.writer)?;
            entry.kind = EntryKind::Directory { root };
            self.writer.counts.directories += 1;
            return Ok(entry);
        }
        if mark == EntryMark::Other {
            self.writer.counts.others += 1;
            return Ok(entry);
        }
        let EntryKind::File(file) = &mut entry.kind else {
            return Err(RepositoryError::Internal("a stream belongs to no file"));
        };
        self.writer.counts.files += 1;
        match mark {
            EntryMark::File => {
                let changed_while_read = file.changed_while_read;
                let read = self.end_stream(std::mem::take(&mut file.holes))?;
                *file = FileContent { changed_while_read, ..read };
            }
            EntryMark::Kept { number, last } => {
                let kept = match last {
                    true => self.kept.remove(&number),
                    false => self.kept.get(&number).cloned(),
                };
                *file = *kept.ok_or(RepositoryError::Internal("a file was not kept"))?;
            }
            EntryMark::Unchanged { is_first_name } => {
                self.writer.counts.files_unchanged += 1;
                if is_first_name {
                    self.writer.counts.bytes_unchanged += file.data_bytes();
                }
            }
            EntryMark::Directory | EntryMark::Other => {}
        }
        Ok(entry)
    }

    /// The stream that has just ended, with its holes.
    fn end_stream(&mut self, holes: Vec<Hole>) -> Result<FileContent> {
        let list = std::mem::take(&mut self.list);
        self.writer.counts.bytes_read += list.length();
        let length = list.length();
        let content = list.finish(&mut self.writer)?;
        let mut file = FileContent { content, holes, ..FileContent::default() };
        file.size = length + file.hole_bytes();
        Ok(file)
    }

    fn pop_directory(&mut self) -> Result<DirectoryBuilder> {
        self.directories.pop().ok_or(RepositoryError::Internal("directories do not nest"))
    }

    fn add(&mut self, entry: Entry, near: Option<NodePath>) -> Result<()> {
        let identifier = self.writer.identifier.clone();
        let directory =
            self.directories.last_mut().ok_or(RepositoryError::Internal("no open directory"))?;
        directory.push(entry, near, &identifier, &mut self.writer)
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

/// Has a worker do something and send what came of it.
fn spawn<'scope>(
    repository: &Repository,
    scope: &ScopeFifo<'scope>,
    to_me: Sender<Done>,
    work: impl FnOnce() -> Done + Send + 'scope,
) {
    repository.spawn(scope, move || {
        // A panic must not leave the assembler waiting for a batch that never comes.
        let done = catch_unwind(AssertUnwindSafe(work)).unwrap_or(Done::Panicked);
        // The assembler is gone only if it failed, and then it says why.
        let _ = to_me.send(done);
    });
}

enum Arrival {
    Fed(FromFeeder),
    Done(Done),
    Nothing,
    FeederGone,
}
