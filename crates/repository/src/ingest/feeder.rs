//! Reads streams into segments and cuts them into chunks.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use nightjar_codec::chunker::Chunker;
use nightjar_format::manifest::{Content, Entry, EntryKind, Hole, Origin, Timestamp};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::ingest::assembler::FromFeeder;
use crate::ingest::previous::PreviousTree;
use crate::ingest::segment::{Batch, EntryMark, Item, Mark, Segment, SegmentPool};

/// Tells whoever waits for a slow source that the rest of the pipeline has stopped.
#[derive(Clone)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)))
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has: what is read from now on goes nowhere.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What tells a file that has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    /// In bytes.
    pub size: u64,
    /// mtime.
    pub modified: Timestamp,
    /// ctime and inode.
    pub origin: Origin,
}

/// Takes streams and directory entries in the order in which they stand in the snapshot: depth
/// first, each directory sorted by name.
pub struct Feeder<'a> {
    chunker: Chunker,
    pool: SegmentPool,
    stop: StopSignal,
    assembler: Sender<FromFeeder>,
    progress: &'a Progress,
    previous: PreviousTree<'a>,
    batch: Batch,
    /// Bytes of the segment that hold plaintext.
    filled: usize,
    /// Where the next chunk begins.
    start: usize,
}

impl<'a> Feeder<'a> {
    pub(crate) fn new(
        chunker: Chunker,
        stop: StopSignal,
        assembler: Sender<FromFeeder>,
        progress: &'a Progress,
        previous: PreviousTree<'a>,
    ) -> Self {
        let pool = SegmentPool::new(chunker.max_len());
        let batch = Batch { number: 0, segment: pool.take(), items: Vec::new() };
        Self { chunker, pool, stop, assembler, progress, previous, batch, filled: 0, start: 0 }
    }

    /// Reads the stream of a file to its end and returns its length in bytes. Its entry, of the
    /// same name, follows with [`Self::file`].
    ///
    /// `what` names the stream in errors.
    pub fn stream(&mut self, name: &[u8], reader: &mut dyn Read, what: &str) -> Result<u64> {
        self.stream_inspected(name, reader, what, &mut |_| {})
    }

    /// Like [`Self::stream`], showing all bytes to `inspect` as they come.
    pub fn stream_inspected(
        &mut self,
        name: &[u8],
        reader: &mut dyn Read,
        what: &str,
        inspect: &mut dyn FnMut(&[u8]),
    ) -> Result<u64> {
        let content = self.previous.content(name);
        self.read_stream(content, reader, what, inspect)
    }

    /// Reads the stream of the file at a path, in whatever order paths come. It is to be kept: its
    /// entry follows when its turn has come.
    pub fn stream_anywhere(
        &mut self,
        path: &[u8],
        reader: &mut dyn Read,
        what: &str,
    ) -> Result<u64> {
        let content = self.previous.content_at(path);
        self.read_stream(content, reader, what, &mut |_| {})
    }

    fn read_stream(
        &mut self,
        previous: Option<Content>,
        reader: &mut dyn Read,
        what: &str,
        inspect: &mut dyn FnMut(&[u8]),
    ) -> Result<u64> {
        self.mark(Mark::Stream(previous))?;
        let mut length = 0;
        loop {
            let room = self.batch.segment.bytes.get_mut(self.filled..).unwrap_or_default();
            if room.is_empty() {
                self.cut(false);
                self.hand_over()?;
                continue;
            }
            let read = match reader.read(room) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let what = format!("cannot read {what}");
                    return Err(RepositoryError::Stream { what, source });
                }
            };
            inspect(room.get(..read).unwrap_or_default());
            self.filled += read;
            length += read as u64;
            self.progress.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        self.cut(true);
        Ok(length)
    }

    /// To be looked at while a source is silent.
    pub fn stop_signal(&self) -> StopSignal {
        self.stop.clone()
    }

    /// The file whose stream has just ended.
    pub fn file(&mut self, entry: Entry) -> Result<()> {
        self.entry(entry, EntryMark::File)
    }

    /// Keeps the stream that has just ended, and the holes in it, for entries that follow. It takes
    /// memory until it is dropped or its last entry has come.
    pub fn keep(&mut self, number: u64, holes: Vec<Hole>) -> Result<()> {
        self.mark(Mark::Keep(number, holes))
    }

    /// A file whose stream was kept; whether it is the `last` one.
    pub fn kept_file(&mut self, entry: Entry, number: u64, last: bool) -> Result<()> {
        self.entry(entry, EntryMark::Kept { number, last })
    }

    /// Drops a stream that was kept.
    pub fn drop_kept(&mut self, number: u64) -> Result<()> {
        self.mark(Mark::Drop(number))
    }

    /// The stream that has just ended broke off: no entry follows for it.
    pub fn discard(&mut self) -> Result<()> {
        self.mark(Mark::Discard)
    }

    /// An entry without content.
    pub fn other(&mut self, entry: Entry) -> Result<()> {
        self.entry(entry, EntryMark::Other)
    }

    /// Begins a directory of this name; its entries follow.
    pub fn enter_directory(&mut self, name: &[u8]) -> Result<()> {
        self.previous.enter(name);
        self.mark(Mark::EnterDirectory)
    }

    /// Ends the directory, of which this is the entry.
    pub fn leave_directory(&mut self, entry: Entry) -> Result<()> {
        self.previous.leave();
        self.entry(entry, EntryMark::Directory)
    }

    /// The entry of this name in the previous snapshot, in the directory that is open, if nothing
    /// of it has changed since. Names must be asked for in order.
    pub fn find_untouched(&mut self, name: &[u8], now: &Origin) -> Option<&Entry> {
        let changed_safely = self.previous.was_read_after(&now.changed);
        self.previous.entry(name).filter(|entry| changed_safely && entry.origin == Some(*now))
    }

    /// The entry of a file in the previous snapshot, if the file has not changed since and all of
    /// it is still stored: then it need not be read (format-spec, chapter 6).
    pub fn find_unchanged(&mut self, name: &[u8], now: &FileState) -> Option<Entry> {
        let entry = self.find_untouched(name, &now.origin)?.clone();
        let EntryKind::File(file) = &entry.kind else { return None };
        let same = entry.modified == now.modified && file.size == now.size;
        if !same || file.changed_while_read {
            return None;
        }
        self.previous.is_stored(&file.content).then_some(entry)
    }

    /// The entry of a file that was found unchanged, with its content; whether this is the first
    /// of its names.
    pub fn unchanged(&mut self, entry: Entry, is_first_name: bool) -> Result<()> {
        self.entry(entry, EntryMark::Unchanged { is_first_name })
    }

    fn entry(&mut self, entry: Entry, mark: EntryMark) -> Result<()> {
        let near = self.previous.near(&entry.name);
        self.mark(Mark::Entry(Box::new(entry), mark, near))
    }

    fn mark(&mut self, mark: Mark) -> Result<()> {
        self.batch.items.push(Item::Mark(mark));
        // Marks take memory too: a tree of empty files must not pile them up.
        if self.batch.items.len() >= MOST_ITEMS { self.hand_over() } else { Ok(()) }
    }

    /// Cuts chunks off what is filled; all of it if the stream has ended.
    fn cut(&mut self, ended: bool) {
        loop {
            let rest = self.batch.segment.bytes.get(self.start..self.filled).unwrap_or_default();
            if rest.is_empty() || (!ended && rest.len() < self.chunker.max_len()) {
                return;
            }
            let len = self.chunker.cut(rest);
            self.batch.items.push(Item::Chunk { start: self.start, len });
            self.start += len;
        }
    }

    /// Sends the batch to the workers and moves what is not yet cut into a fresh segment.
    fn hand_over(&mut self) -> Result<()> {
        let mut segment: Segment = self.pool.take();
        let tail = self.batch.segment.bytes.get(self.start..self.filled).unwrap_or_default();
        let len = tail.len();
        segment.bytes.get_mut(..len).unwrap_or_default().copy_from_slice(tail);
        let next = Batch { number: self.batch.number + 1, segment, items: Vec::new() };
        let batch = std::mem::replace(&mut self.batch, next);
        (self.start, self.filled) = (0, len);
        if self.stop.is_set() {
            return Err(RepositoryError::Internal("the pipeline has stopped"));
        }
        // The assembler is gone only if it failed, and then it says why.
        let _ = self.assembler.send(FromFeeder::Batch(batch));
        Ok(())
    }

    /// Sends what is left and says how many batches there were.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.hand_over()?;
        let batches = self.batch.number;
        // As above.
        let _ = self.assembler.send(FromFeeder::End { batches });
        Ok(())
    }
}

/// Items in a batch, at most.
const MOST_ITEMS: usize = 4096;
