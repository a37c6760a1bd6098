//! What is alive: everything that some snapshot needs (format-spec, chapter 10, Reachability).
//!
//! Alive are the roots, every node and chunk that a live node names, **and what each of them rests
//! on**: a delta keeps its bases alive, and they theirs. Of a blob that is stored in several places
//! the one of least depth is marked; whoever lets another go reads that one first ([`Marks::doubts`]).
//!
//! **Memory** is a few bits for each stored blob, what lies between the nodes that were read and
//! those that are yet to be, and the blobs that are looked up together: a sixteenth of all, or four
//! million, at 48 bytes. Chunks are looked up in sorted batches, and the local index is read
//! through in its own order where it has not many others between them. Nodes that snapshots share are read once: marking a year of one series
//! costs little more than marking a week.
//!
//! **Bases** are looked up like everything else, and must lie at a smaller depth than what rests
//! on them. If each has such a place, all that is marked can be read: from any place, each step
//! goes down, and the last is whole. If one has none, its delta may still be had from another place;
//! then everything is marked once more, each blob with the whole search that a reader makes.

use std::collections::HashSet;

use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Content, DirectoryNode, EntryKind, ListNode};
use nightjar_format::record;
use rayon::slice::ParallelSliceMut;

use crate::error::{RepositoryError, Result};
use crate::gc::rows::{RowLayout, RowSet};
use crate::index::database::{Database, Location};
use crate::read::Reader;

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is not there: no blob counts as lying in it.
    Absent,
    /// It is there, and stays.
    Stays,
    /// It is there, and is about to go: what is alive in it moves.
    Goes,
    /// It is there, stays, and is recorded as damaged: what lies nowhere else may be had from it.
    Suspect,
}

/// A live blob that lies only in packs that go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Move {
    /// In the order in which snapshots, the newest first, name blobs.
    pub(crate) order: u64,
    pub(crate) id: BlobId,
    /// Where it lies.
    pub(crate) pack: u32,
    pub(crate) row: u32,
}

/// What is alive.
pub(crate) struct Marks {
    live: RowSet,
    /// What snapshots name themselves; the rest of what is alive are bases of it.
    pub(super) wanted: RowSet,
    /// Bytes of what is alive and in no snapshot.
    pub(super) dead_weight: u64,
    /// Bytes that live blobs take, by the pack's ordinal.
    pub(crate) bytes: Vec<u64>,
    /// How many there are.
    pub(crate) blobs: Vec<u64>,
    /// What has to move.
    pub(crate) moves: Vec<Move>,
    /// Blobs that stay in one place and lose another, or what that one rests on: they are to be read
    /// before the other goes.
    pub(crate) doubts: HashSet<BlobId>,
    /// Deltas that have to move and lie in several places, of which only decoding tells which is
    /// sound.
    pub(crate) contested: HashSet<BlobId>,
}

/// Nodes that are read together.
const NODES_AT_ONCE: usize = 64;
/// Blobs that are looked up together in the order of their ids: this part of all, for the larger it
/// is the less each one costs.
const NEEDS_SHARE: u64 = 16;
const LEAST_NEEDS: u64 = 1 << 16;
const MOST_NEEDS: u64 = 1 << 22;
/// Blobs whose places are held together.
const WINDOW: usize = 1 << 15;

/// Marks what snapshots with these roots need, the newest first; `fates` says what becomes of each
/// pack, by ordinal, and `copies` are packs into which this round copied what goes. A blob that is needed and cannot be read is an error: nothing may be collected
/// from a repository that lacks something.
pub(crate) fn mark(
    reader: &Reader<'_>,
    roots: &[BlobId],
    fates: &[Fate],
    copies: &HashSet<u32>,
) -> Result<Marks> {
    let mut marker = Marker::new(reader, fates, copies, false)?;
    if marker.run(roots)? {
        return Ok(marker.marks);
    }
    tracing::debug!("a base is missing; marking again, with a search for each blob");
    let mut marker = Marker::new(reader, fates, copies, true)?;
    marker.run(roots)?;
    Ok(marker.marks)
}

/// A blob that must be found below a depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    id: BlobId,
    below: u8,
    order: u64,
}

#[derive(Debug, Clone, Copy)]
enum Node {
    Directory(BlobId),
    List(BlobId),
}

struct Marker<'r, 'a> {
    reader: &'r Reader<'a>,
    fates: &'r [Fate],
    copies: &'r HashSet<u32>,
    /// Searches for each blob all that it rests on, instead of following the least depth.
    thorough: bool,
    /// Nodes that were looked into.
    visited: RowSet,
    needs: Vec<Need>,
    needs_at_once: usize,
    order: u64,
    marks: Marks,
}

impl<'r, 'a> Marker<'r, 'a> {
    fn new(
        reader: &'r Reader<'a>,
        fates: &'r [Fate],
        copies: &'r HashSet<u32>,
        thorough: bool,
    ) -> Result<Self> {
        let (mut rows, mut blobs) = (vec![0; fates.len()], 0);
        for (ordinal, info) in reader.index.packs()? {
            if let Some(rows) = rows.get_mut(ordinal as usize) {
                *rows = info.blobs;
                blobs += info.blobs;
            }
        }
        let layout = RowLayout::new(rows.into_iter());
        let marks = Marks {
            live: RowSet::new(&layout),
            wanted: RowSet::new(&layout),
            dead_weight: 0,
            bytes: vec![0; fates.len()],
            blobs: vec![0; fates.len()],
            moves: Vec::new(),
            doubts: HashSet::new(),
            contested: HashSet::new(),
        };
        Ok(Self {
            reader,
            fates,
            copies,
            thorough,
            visited: RowSet::new(&layout),
            needs: Vec::new(),
            needs_at_once: (blobs / NEEDS_SHARE).clamp(LEAST_NEEDS, MOST_NEEDS) as usize,
            order: 0,
            marks,
        })
    }

    /// False if a base is missing somewhere and this was not thorough.
    fn run(&mut self, roots: &[BlobId]) -> Result<bool> {
        let mut open: Vec<Node> = roots.iter().rev().map(|root| Node::Directory(*root)).collect();
        while !open.is_empty() {
            let next = open.split_off(open.len().saturating_sub(NODES_AT_ONCE));
            if !self.visit(next, &mut open)? || !self.settle(self.needs_at_once)? {
                return Ok(false);
            }
        }
        self.settle(1)
    }

    /// Looks into nodes, the last one first; those below them are left open.
    fn visit(&mut self, nodes: Vec<Node>, open: &mut Vec<Node>) -> Result<bool> {
        let mut ids = Vec::with_capacity(nodes.len());
        let mut fresh = Vec::with_capacity(nodes.len());
        for node in nodes.into_iter().rev() {
            let (Node::Directory(id) | Node::List(id)) = node;
            let need = self.next_need(id);
            let Some(at) = self.resolve(need)? else { return Ok(false) };
            // A node that is only another's base is kept, but nobody looks into it.
            if self.visited.insert(at.pack, at.row) {
                ids.push(id);
                fresh.push(node);
            }
        }
        let mut fetched = self.reader.begin(BlobKind::Tree, &ids)?.wait(self.reader)?;
        let mut below = Vec::new();
        for node in fresh {
            let (Node::Directory(id) | Node::List(id)) = node;
            let plaintext = fetched.blob(&id)?;
            let damaged = |error: nightjar_format::FormatError| RepositoryError::LostBlob {
                id,
                why: error.to_string(),
            };
            match node {
                Node::Directory(_) => match DirectoryNode::decode(&plaintext).map_err(damaged)? {
                    DirectoryNode::Leaf(entries) => {
                        entries.into_iter().for_each(|it| self.visit_entry(it.kind, &mut below));
                    }
                    DirectoryNode::Inner { children, .. } => {
                        below.extend(children.iter().map(|child| Node::Directory(child.id)));
                    }
                },
                Node::List(_) => {
                    let node: ListNode = record::decode(&plaintext).map_err(damaged)?;
                    for entry in &node.entries {
                        if node.level == 0 {
                            self.need(entry.id);
                        } else {
                            below.push(Node::List(entry.id));
                        }
                    }
                }
            }
        }
        open.extend(below.into_iter().rev());
        Ok(true)
    }

    fn visit_entry(&mut self, kind: EntryKind, below: &mut Vec<Node>) {
        match kind {
            EntryKind::Directory { root } => below.push(Node::Directory(root)),
            EntryKind::File(file) => match file.content {
                Content::List { id } => below.push(Node::List(id)),
                Content::Chunks(chunks) => chunks.iter().for_each(|chunk| self.need(chunk.id)),
            },
            _ => {}
        }
    }

    fn next_need(&mut self, id: BlobId) -> Need {
        self.order += 1;
        Need { id, below: u8::MAX, order: self.order }
    }

    fn need(&mut self, id: BlobId) {
        let need = self.next_need(id);
        self.needs.push(need);
    }

    /// Looks up what is needed, and what that rests on, if there is as much as `at_least`.
    fn settle(&mut self, at_least: usize) -> Result<bool> {
        if self.needs.len() < at_least {
            return Ok(true);
        }
        while !self.needs.is_empty() {
            let mut needs = std::mem::take(&mut self.needs);
            needs.par_sort_unstable();
            needs.dedup_by_key(|need| (need.id, need.below));
            for needs in needs.chunks(WINDOW) {
                if !self.resolve_all(needs)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The same as [`Self::resolve`] for many, in the order of their ids.
    fn resolve_all(&mut self, needs: &[Need]) -> Result<bool> {
        if self.thorough {
            needs.iter().try_for_each(|need| self.resolve_thoroughly(*need).map(|_| ()))?;
            return Ok(true);
        }
        let ids: Vec<BlobId> = needs.iter().map(|need| need.id).collect();
        let places = self.reader.index.locations_of(&ids)?;
        for (need, places) in needs.iter().zip(places) {
            if self.resolve_among(*need, &places)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fate(&self, pack: u32) -> Fate {
        self.fates.get(pack as usize).copied().unwrap_or(Fate::Absent)
    }

    /// Finds and marks the place of a blob; what it rests on is needed next. `None` if it has none
    /// and this is not thorough.
    fn resolve(&mut self, need: Need) -> Result<Option<Location>> {
        if self.thorough {
            return self.resolve_thoroughly(need).map(Some);
        }
        let places = self.reader.index.locations(&need.id)?;
        self.resolve_among(need, &places)
    }

    fn resolve_among(&mut self, need: Need, places: &[Location]) -> Result<Option<Location>> {
        let of_fate = |fate| {
            let fits =
                |at: &&Location| at.encoding.depth() < need.below && self.fate(at.pack) == fate;
            places.iter().find(fits)
        };
        let best = [Fate::Stays, Fate::Goes, Fate::Suspect].into_iter().find_map(of_fate);
        let Some(at) = best else { return Ok(None) };
        if self.take(need, at) {
            let below = at.encoding.depth();
            let bases = at.encoding.bases().iter();
            self.needs.extend(bases.map(|id| Need { id: *id, below, order: need.order }));
            self.note_others(need.id, at, places)?;
        }
        self.note_wanted(need, at);
        Ok(Some(*at))
    }

    /// The same with the search that a reader makes: places count only if their bases do.
    fn resolve_thoroughly(&mut self, need: Need) -> Result<Location> {
        let found = |fates: &[Fate]| {
            let counts = |_: &Database, ordinal| fates.contains(&self.fate(ordinal));
            self.reader.index.support(&[need.id], &counts)
        };
        let any = [Fate::Stays, Fate::Goes, Fate::Suspect];
        let mut support = None;
        for fates in [&any[..1], &any[..2], &any[..]] {
            if support.is_none() {
                support = found(fates)?;
            }
        }
        let lost = || RepositoryError::LostBlob {
            id: need.id,
            why: "it, or what it rests on, lies in no pack that is there".into(),
        };
        // Bases before what rests on them.
        for (id, at) in &support.as_ref().ok_or_else(lost)?.places {
            let places = self.reader.index.locations(id)?;
            if self.take(Need { id: *id, ..need }, at) {
                self.note_others(*id, at, &places)?;
            }
        }
        let top = support.and_then(|support| support.places.last().copied());
        let (_, at) = top.ok_or_else(lost)?;
        self.note_wanted(need, &at);
        Ok(at)
    }

    /// Notes the place of what a snapshot names, and not only another blob rests on.
    fn note_wanted(&mut self, need: Need, at: &Location) {
        if need.below == u8::MAX && self.marks.wanted.insert(at.pack, at.row) {
            self.marks.dead_weight -= u64::from(at.stored_len);
        }
    }

    /// Marks a place; false if it was marked.
    fn take(&mut self, need: Need, at: &Location) -> bool {
        if !self.marks.live.insert(at.pack, at.row) {
            return false;
        }
        self.marks.dead_weight += u64::from(at.stored_len);
        let pack = at.pack as usize;
        if let (Some(bytes), Some(blobs)) =
            (self.marks.bytes.get_mut(pack), self.marks.blobs.get_mut(pack))
        {
            *bytes += u64::from(at.stored_len);
            *blobs += 1;
        }
        if self.fate(at.pack) == Fate::Goes {
            let Need { id, order, .. } = need;
            self.marks.moves.push(Move { order, id, pack: at.pack, row: at.row });
        }
        true
    }

    /// Notes a blob that stays if another place of it goes, or what that one rests on; and a delta
    /// that moves if it has another place.
    fn note_others(&mut self, id: BlobId, chosen: &Location, places: &[Location]) -> Result<()> {
        match self.fate(chosen.pack) {
            Fate::Stays => {}
            // It moves, and what is whole is compared with its id for that.
            Fate::Goes => {
                let is_other = |it: &Location| it != chosen && self.fate(it.pack) != Fate::Absent;
                if chosen.encoding.depth() > 0 && places.iter().any(is_other) {
                    self.marks.contested.insert(id);
                }
                return Ok(());
            }
            Fate::Absent | Fate::Suspect => return Ok(()),
        }
        let is_other = |it: &&Location| *it != chosen && self.fate(it.pack) != Fate::Absent;
        let others: Vec<&Location> = places.iter().filter(is_other).collect();
        if self.copies.contains(&chosen.pack) {
            // What is whole was compared with its id when it was copied. A delta was not decoded, but
            // is worth as much as what it was copied from, if it lies nowhere else.
            let only_original =
                others.len() == 1 && others.iter().all(|it| self.fate(it.pack) == Fate::Goes);
            if chosen.encoding.depth() == 0 || only_original {
                return Ok(());
            }
        }
        for other in others {
            let loses = match self.fate(other.pack) {
                Fate::Absent => false,
                Fate::Goes => true,
                Fate::Stays | Fate::Suspect => self.loses_a_base(other)?,
            };
            if loses {
                self.marks.doubts.insert(id);
            }
        }
        Ok(())
    }

    fn loses_a_base(&self, at: &Location) -> Result<bool> {
        for base in at.encoding.bases() {
            let places = self.reader.index.locations(base)?;
            if places.iter().any(|at| self.fate(at.pack) == Fate::Goes) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
