//! The entries of the previous snapshot, asked for in the order in which the run meets their
//! names.

use nightjar_format::BlobId;
use nightjar_format::manifest::{Content, Entry, EntryKind, Timestamp};
use nightjar_format::snapshot::Snapshot;

use crate::manifest::lookup::Lookup;
use crate::manifest::walk::{DirectoryWalk, NodePath};
use crate::read::Reader;

/// The previous snapshot's tree, as far as the run has come in it.
pub(crate) struct PreviousTree<'a> {
    reader: &'a Reader<'a>,
    /// When the run began that made it, in Unix nanoseconds.
    started: i64,
    /// Whether anything is to be stored as a delta against what it holds.
    for_deltas: bool,
    /// For what comes in no order.
    lookup: Option<Lookup<'a>>,
    open: Vec<Option<PreviousDirectory>>,
}

/// The coarsest clock of a file system in use, in nanoseconds: that of FAT.
const TICK: i64 = 2_000_000_000;

/// A directory, and the first of its entries that was not passed.
struct PreviousDirectory {
    walk: DirectoryWalk,
    next: Option<Entry>,
    /// Whether its first entry was read.
    begun: bool,
}

impl<'a> PreviousTree<'a> {
    /// Begins at a snapshot's root, if there is one.
    pub(crate) fn new(
        reader: &'a Reader<'a>,
        snapshot: Option<&Snapshot>,
        for_deltas: bool,
    ) -> Self {
        let started = snapshot.map_or(i64::MIN, |snapshot| snapshot.started);
        let root = snapshot.map(|snapshot| snapshot.root);
        let lookup = root.filter(|_| for_deltas).map(|root| Lookup::new(reader, root));
        let mut tree = Self { reader, started, for_deltas, lookup, open: Vec::new() };
        tree.open_directory(root);
        tree
    }

    /// Whether whatever changed at that time was read so much later that a change after the reading
    /// would bear another time.
    pub(crate) fn was_read_after(&self, changed: &Timestamp) -> bool {
        let nanos = changed
            .seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(changed.nanoseconds.into());
        nanos < self.started.saturating_sub(TICK)
    }

    /// Whether every blob below a content can be relied on.
    pub(crate) fn is_stored(&self, content: &Content) -> bool {
        match content {
            Content::Chunks(chunks) => chunks.iter().all(|it| self.reader.index.is_present(&it.id)),
            Content::List { id } => self.list_is_stored(id, u8::MAX),
        }
    }

    fn list_is_stored(&self, id: &BlobId, above: u8) -> bool {
        if !self.reader.index.is_present(id) {
            return false;
        }
        let node = self.reader.list_node(id);
        node.is_ok_and(|node| {
            node.level < above
                && node.entries.iter().all(|entry| match node.level {
                    0 => self.reader.index.is_present(&entry.id),
                    level => self.list_is_stored(&entry.id, level),
                })
        })
    }

    fn open_directory(&mut self, root: Option<BlobId>) {
        self.open.push(root.map(|root| PreviousDirectory {
            walk: DirectoryWalk::new(root),
            next: None,
            begun: false,
        }));
    }

    /// The directory that is open, moved on to this name or beyond.
    fn seek(&mut self, name: &[u8]) -> Option<&PreviousDirectory> {
        let slot = self.open.last_mut()?;
        let directory = slot.as_mut()?;
        while directory.is_before(name) {
            if directory.advance(self.reader).is_none() {
                *slot = None;
                return None;
            }
        }
        slot.as_ref()
    }

    /// The entry of this name in the directory that is open. Names must be asked for in order.
    pub(crate) fn entry(&mut self, name: &[u8]) -> Option<&Entry> {
        self.seek(name)?.next.as_ref().filter(|entry| entry.name == name)
    }

    /// The nodes above the entry of this name, or where it would stand.
    pub(crate) fn near(&mut self, name: &[u8]) -> Option<NodePath> {
        if !self.for_deltas {
            return None;
        }
        self.seek(name).map(|directory| directory.walk.path())
    }

    /// The content of the file of this name.
    pub(crate) fn content(&mut self, name: &[u8]) -> Option<Content> {
        if !self.for_deltas {
            return None;
        }
        match &self.entry(name)?.kind {
            EntryKind::File(file) => Some(file.content.clone()),
            _ => None,
        }
    }

    /// The content of the file at a path, wherever the run has come.
    pub(crate) fn content_at(&mut self, path: &[u8]) -> Option<Content> {
        match self.lookup.as_mut()?.find(path).ok()??.kind {
            EntryKind::File(file) => Some(file.content),
            _ => None,
        }
    }

    /// A directory of this name begins.
    pub(crate) fn enter(&mut self, name: &[u8]) {
        let root = match self.entry(name).map(|entry| &entry.kind) {
            Some(EntryKind::Directory { root }) => Some(*root),
            _ => None,
        };
        self.open_directory(root);
    }

    /// The directory ends.
    pub(crate) fn leave(&mut self) {
        self.open.pop();
    }
}

impl PreviousDirectory {
    fn is_before(&self, name: &[u8]) -> bool {
        !self.begun || self.next.as_ref().is_some_and(|entry| entry.name.as_slice() < name)
    }

    fn advance(&mut self, reader: &Reader<'_>) -> Option<()> {
        self.begun = true;
        self.next = self
            .walk
            .next(reader)
            .inspect_err(|error| tracing::debug!("the previous snapshot breaks off: {error}"))
            .ok()?;
        Some(())
    }
}
