//! The previous content of the stream that is read, beside it: where each chunk probably stood last
//! night.
//!
//! That is **locality**: what follows a chunk tonight followed its predecessor last night. The
//! chunks of the previous list form a window around the place that the run has reached, so memory
//! is bounded whatever the list's length. A chunk that is found in the window again aligns the
//! two streams; from there on, a new chunk's predecessor is the old one at the same distance in
//! bytes. A predecessor of nearly the same length aligns them anew, so that what rows grow and
//! shrink by does not add up.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use nightjar_format::blob::Bases;
use nightjar_format::manifest::Content;
use nightjar_format::{BlobId, limits};

use crate::error::Result;
use crate::manifest::walk::{ContentWalk, NodePath};
use crate::read::Reader;

/// Chunks of the previous list that are kept behind the place reached, and looked at ahead.
const BEHIND: usize = 2048;
const AHEAD: usize = 16_384;

/// Bytes by which a chunk's place and length may be off: what rows grow and shrink by.
const SLACK: u64 = 2048;

/// What stood last night where a new chunk stands tonight.
pub(crate) struct Predecessor {
    /// The chunk of about the same length that stood there; or else those that it overlaps.
    pub(crate) bases: Bases,
    pub(crate) near: NodePath,
}

/// A chunk of the previous stream.
struct Past {
    id: BlobId,
    start: u64,
    length: u64,
    near: NodePath,
}

impl Past {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// The previous content of the stream that is read.
pub(crate) struct PreviousStream {
    walk: ContentWalk,
    near: Option<NodePath>,
    ended: bool,
    window: VecDeque<Past>,
    /// Number of the window's first chunk in the whole list.
    first: u64,
    /// Where chunks of the window stand; of repeated ones, the last.
    places: HashMap<BlobId, u64>,
    /// No chunk but a stream's last is smaller.
    least_bytes: u64,
    /// Bytes of the previous stream that the window has seen.
    seen: u64,
    /// Bytes of the new stream so far.
    offset: u64,
    /// The previous stream is ahead of the new one by this many bytes.
    shift: i64,
}

impl PreviousStream {
    pub(crate) fn new(reader: &Reader<'_>, content: &Content) -> Self {
        Self {
            least_bytes: reader.repository.record.chunker.min.into(),
            walk: ContentWalk::new(content),
            near: None,
            ended: false,
            window: VecDeque::new(),
            first: 0,
            places: HashMap::new(),
            seen: 0,
            offset: 0,
            shift: 0,
        }
    }

    /// Where in the previous stream a byte of the new one probably stood.
    fn expected(&self, offset: u64) -> u64 {
        offset.saturating_add_signed(self.shift)
    }

    /// The end of a new chunk stood where this one ends.
    fn align(&mut self, end: u64, past_end: u64) {
        self.shift = past_end.cast_signed().wrapping_sub(end.cast_signed());
    }

    /// Moves the window on, so that it reaches well beyond `offset` of the previous stream.
    fn fill(&mut self, reader: &Reader<'_>, offset: u64) -> Result<()> {
        let reached = |past: &Past| past.end() <= offset;
        while !self.ended
            && self
                .window
                .len()
                .checked_sub(AHEAD)
                .is_none_or(|at| self.window.get(at).is_none_or(reached))
        {
            let fresh_node = !self.walk.is_within_node();
            let Some(chunk) = self.walk.next(reader)? else {
                self.ended = true;
                break;
            };
            // No chunk but the last is that short: who made such a list wants it to be read.
            if self.window.back().is_some_and(|last| last.length < self.least_bytes) {
                self.ended = true;
                break;
            }
            if fresh_node {
                self.near = None;
            }
            let near = self.near.get_or_insert_with(|| self.walk.path()).clone();
            self.places.insert(chunk.id, self.first + self.window.len() as u64);
            let start = self.seen;
            self.seen = self.seen.saturating_add(chunk.length);
            self.window.push_back(Past { id: chunk.id, start, length: chunk.length, near });
        }
        while self.window.get(BEHIND).is_some_and(reached) {
            let Some(past) = self.window.pop_front() else { break };
            if self.places.get(&past.id) == Some(&self.first) {
                self.places.remove(&past.id);
            }
            self.first += 1;
        }
        Ok(())
    }

    fn place_of(&self, id: &BlobId) -> Option<&Past> {
        let place = self.places.get(id)?.checked_sub(self.first)?;
        self.window.get(usize::try_from(place).ok()?)
    }

    /// The chunk of the window that holds a byte of the previous stream.
    fn at(&self, offset: u64) -> Option<&Past> {
        let after = self.window.partition_point(|past| past.end() <= offset);
        self.window.get(after).filter(|past| past.start <= offset)
    }

    /// A chunk comes that is stored already: the nodes above it in the previous list.
    pub(crate) fn known(
        &mut self,
        reader: &Reader<'_>,
        id: &BlobId,
        length: u64,
    ) -> Result<Option<NodePath>> {
        self.fill(reader, self.expected(self.offset))?;
        let middle = self.expected(self.offset.saturating_add(length / 2));
        self.offset = self.offset.saturating_add(length);
        // A chunk that stands in many places is taken for the one at its own.
        let here = self.at(middle).filter(|past| past.id == *id);
        let Some(past) = here.or_else(|| self.place_of(id)) else {
            return Ok(None);
        };
        let (past_end, near) = (past.end(), past.near.clone());
        self.align(self.offset, past_end);
        Ok(Some(near))
    }

    /// A chunk comes that is new; `similar` were found by its sketch.
    pub(crate) fn predecessor(
        &mut self,
        reader: &Reader<'_>,
        length: u64,
        similar: &[BlobId],
    ) -> Result<Option<Predecessor>> {
        self.fill(reader, self.expected(self.offset))?;
        let start = self.expected(self.offset);
        let middle = self.expected(self.offset.saturating_add(length / 2));
        self.offset = self.offset.saturating_add(length);
        let by_sketch = similar.iter().find_map(|id| self.place_of(id));
        let Some(past) = by_sketch.or_else(|| self.at(middle)) else {
            return Ok(None);
        };
        let (past_start, past_end, near) = (past.start, past.end(), past.near.clone());
        if past.length.abs_diff(length) <= SLACK + length / 64 {
            let bases = Bases::new(&[past.id]);
            self.align(self.offset, past_end);
            return Ok(bases.map(|bases| Predecessor { bases, near }));
        }
        let lies_across = |start: u64| {
            start.saturating_sub(SLACK)..start.saturating_add(length).saturating_add(SLACK)
        };
        let mut range = lies_across(start);
        if range.end <= past_start || past_end <= range.start {
            // What the sketch found stood elsewhere: this part of the stream has moved.
            range = lies_across(past_start);
            self.align(self.offset, past_start.saturating_add(length));
        }
        let bases = self.overlapping(range);
        Ok(bases.map(|bases| Predecessor { bases, near }))
    }

    /// The chunks of the window that hold these bytes of the previous stream, as many as may be
    /// the bases of one delta.
    fn overlapping(&self, range: Range<u64>) -> Option<Bases> {
        let first = self.window.partition_point(|past| past.end() <= range.start);
        let mut ids: Vec<BlobId> = Vec::new();
        for past in self.window.range(first..).take_while(|past| past.start < range.end) {
            if !ids.contains(&past.id) && ids.len() < limits::BASES {
                ids.push(past.id);
            }
        }
        Bases::new(&ids)
    }
}
