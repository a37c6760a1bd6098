//! Looking through many trees for a few entries.
//!
//! Snapshots of one series share almost all their nodes. What was looked through and held nothing
//! that was wanted is remembered by its node's id and passed over wherever it comes up again: the
//! second of two like trees costs the nodes that differ and those above matches.

use std::collections::HashSet;
use std::vec::IntoIter;

use nightjar_format::BlobId;
use nightjar_format::manifest::{DirectoryNode, DirectoryRef, Entry, EntryKind};

use crate::error::Result;
use crate::manifest::lookup::check_level;
use crate::manifest::walk::{Visited, check_depth, join};
use crate::read::Reader;

/// What decides whether an entry is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// The entry itself: a directory that holds nothing wanted holds nothing wherever it stands.
    Entry,
    /// Its path too.
    Path,
}

/// Goes through trees, depth first and in order. The caller calls [`Self::keep`] for an entry that
/// is wanted; the same entries must be wanted in all trees.
pub struct Search {
    criterion: Criterion,
    barren: Barren,
    open: Vec<OpenNode>,
    /// Directories among the open nodes, the root included.
    depth: usize,
    /// How many nodes were open when the last entry was returned.
    holder: usize,
    nodes_read: u64,
}

/// A node and what is unread of it.
struct OpenNode {
    id: BlobId,
    /// Of the directory.
    path: Vec<u8>,
    is_root: bool,
    rest: Rest,
    /// Something in it or below it was wanted.
    fruitful: bool,
}

enum Rest {
    Entries(IntoIter<Entry>),
    Nodes(u8, IntoIter<DirectoryRef>),
}

impl Search {
    /// Begins at no tree.
    pub fn new(criterion: Criterion) -> Self {
        Self {
            criterion,
            barren: Barren::default(),
            open: Vec::new(),
            depth: 0,
            holder: 0,
            nodes_read: 0,
        }
    }

    /// Begins with the next tree. Where the last one was left before its end, nothing is remembered
    /// of the nodes that were open.
    pub fn enter(&mut self, reader: &Reader<'_>, root: BlobId) -> Result<()> {
        self.open.clear();
        self.depth = 0;
        self.open_node(reader, root, Vec::new(), None)
    }

    /// The next entry of the tree; a directory's own come after it.
    pub fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Visited>> {
        while let Some(node) = self.open.last_mut() {
            match &mut node.rest {
                Rest::Entries(entries) => match entries.next() {
                    Some(entry) => return self.visit(reader, entry).map(Some),
                    None => self.close_node(),
                },
                Rest::Nodes(level, nodes) => match nodes.next() {
                    Some(child) => {
                        let (level, path) = (*level, node.path.clone());
                        self.open_node(reader, child.id, path, Some(level))?;
                    }
                    None => self.close_node(),
                },
            }
        }
        Ok(None)
    }

    /// Returns an entry of the innermost node; opens it if it is a directory.
    fn visit(&mut self, reader: &Reader<'_>, entry: Entry) -> Result<Visited> {
        self.holder = self.open.len();
        let above = self.open.last().map(|node| node.path.as_slice()).unwrap_or_default();
        let path = join(above, &entry.name);
        if let EntryKind::Directory { root } = entry.kind {
            check_depth(self.depth, &path)?;
            self.open_node(reader, root, path.clone(), None)?;
        }
        Ok(Visited { path, entry })
    }

    /// Says that the entry that was returned last is wanted.
    pub fn keep(&mut self) {
        if let Some(node) = self.holder.checked_sub(1).and_then(|at| self.open.get_mut(at)) {
            node.fruitful = true;
        }
    }

    /// Directory nodes that were read so far.
    pub fn nodes_read(&self) -> u64 {
        self.nodes_read
    }

    fn open_node(
        &mut self,
        reader: &Reader<'_>,
        id: BlobId,
        path: Vec<u8>,
        above: Option<u8>,
    ) -> Result<()> {
        if self.barren.contains(&key(self.criterion, id, &path)) {
            return Ok(());
        }
        let node = reader.directory_node(&id)?;
        self.nodes_read += 1;
        check_level(&id, &node, above)?;
        let rest = match node {
            DirectoryNode::Leaf(entries) => Rest::Entries(entries.into_iter()),
            DirectoryNode::Inner { level, children } => Rest::Nodes(level, children.into_iter()),
        };
        let is_root = above.is_none();
        self.depth += usize::from(is_root);
        self.open.push(OpenNode { id, path, is_root, rest, fruitful: false });
        Ok(())
    }

    fn close_node(&mut self) {
        let Some(node) = self.open.pop() else { return };
        self.depth -= usize::from(node.is_root);
        if !node.fruitful {
            self.barren.insert(key(self.criterion, node.id, &node.path));
        } else if let Some(above) = self.open.last_mut() {
            above.fruitful = true;
        }
    }
}

/// A node, and where it stands if that matters.
type Key = (BlobId, Box<[u8]>);

fn key(criterion: Criterion, id: BlobId, path: &[u8]) -> Key {
    match criterion {
        Criterion::Entry => (id, Box::default()),
        Criterion::Path => (id, path.into()),
    }
}

/// What remembering a node takes, its path apart.
const KEY_BYTES: usize = 64;
/// What each of the two generations may take.
const GENERATION_BYTES: usize = 16 << 20;

/// Nodes below which nothing is wanted. When the young generation is full it becomes the old one,
/// and what was old and has not come up since is forgotten.
#[derive(Default)]
struct Barren {
    young: HashSet<Key>,
    old: HashSet<Key>,
    young_bytes: usize,
}

impl Barren {
    fn contains(&mut self, key: &Key) -> bool {
        if self.young.contains(key) {
            return true;
        }
        match self.old.take(key) {
            Some(key) => {
                self.insert(key);
                true
            }
            None => false,
        }
    }

    fn insert(&mut self, key: Key) {
        if self.young_bytes >= GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let bytes = KEY_BYTES + key.1.len();
        if self.young.insert(key) {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(number: u64) -> Key {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        (BlobId(id), Box::default())
    }

    #[test]
    fn memory_is_bounded_and_what_comes_up_again_is_kept() {
        let mut barren = Barren::default();
        let count = 4 * (GENERATION_BYTES / KEY_BYTES) as u64;
        for number in 1..count {
            barren.insert(numbered(number));
            barren.insert(numbered(0));
            assert!(barren.contains(&numbered(0)));
        }
        let most = 2 * (GENERATION_BYTES / KEY_BYTES) + 2;
        assert!(barren.young.len() + barren.old.len() <= most);
        assert!(barren.contains(&numbered(count - 1)));
        assert!(!barren.contains(&numbered(1)));
    }
}
