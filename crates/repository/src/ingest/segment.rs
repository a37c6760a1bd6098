//! Segments: the buffers that carry plaintext, and the batches in them.

use crossbeam_channel::{Receiver, Sender, bounded};
use nightjar_format::manifest::{Content, Entry, Hole};

use crate::manifest::walk::NodePath;

/// All segments together, in bytes, unless chunks are so large that four would not fit.
const BUDGET_BYTES: usize = 24 << 20;

/// A fixed set of buffers. Taking one waits until one is free.
pub(crate) struct SegmentPool {
    free: Receiver<Vec<u8>>,
    give_back: Sender<Vec<u8>>,
    segment_bytes: usize,
}

/// A buffer on loan; dropping it gives it back.
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    give_back: Sender<Vec<u8>>,
}

impl SegmentPool {
    /// Buffers that each hold several chunks of the largest size.
    pub(crate) fn new(max_chunk_bytes: usize) -> Self {
        let segment_bytes = (2 << 20).max(max_chunk_bytes * 4);
        let count = (BUDGET_BYTES / segment_bytes).max(4);
        let (give_back, free) = bounded(count);
        for _ in 0..count {
            // Allocated when first used. The channel has room for all of them.
            let _ = give_back.send(Vec::new());
        }
        Self { free, give_back, segment_bytes }
    }

    /// A buffer of the pool's size, as soon as one is free.
    pub(crate) fn take(&self) -> Segment {
        let mut bytes = self.free.recv().unwrap_or_default();
        bytes.resize(self.segment_bytes, 0);
        Segment { bytes, give_back: self.give_back.clone() }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // When the pool is gone, so is the need for the buffer.
        let _ = self.give_back.try_send(std::mem::take(&mut self.bytes));
    }
}

/// What the feeder says, in order.
pub(crate) enum Item {
    /// A chunk of the current stream: where it lies in the segment.
    Chunk {
        start: usize,
        len: usize,
    },
    Mark(Mark),
}

/// What is not a chunk.
pub(crate) enum Mark {
    /// A directory begins; what follows lies in it.
    EnterDirectory,
    /// The stream of a file begins; this was its content in the previous snapshot.
    Stream(Option<Content>),
    /// The stream that has just ended broke off and belongs to nothing.
    Discard,
    /// The stream that has just ended is kept under this number, with its holes.
    Keep(u64, Vec<Hole>),
    /// What is kept under this number is not needed any more.
    Drop(u64),
    /// An entry of the directory that is open.
    Entry(Box<Entry>, EntryMark, Option<NodePath>),
}

/// What an entry still lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryMark {
    /// The root: it is the directory that has just ended.
    Directory,
    /// The content: the stream that has just ended.
    File,
    /// The content: the one that is kept under this number. Whether it is kept on.
    Kept { number: u64, last: bool },
    /// Nothing: it is a file that was not read, because it has not changed.
    Unchanged { is_first_name: bool },
    /// Nothing: it is no file.
    Other,
}

/// A numbered share of the work.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) segment: Segment,
    pub(crate) items: Vec<Item>,
}
