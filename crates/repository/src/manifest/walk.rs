//! Going through stored manifests without holding them in memory.

use std::sync::Arc;

use nightjar_format::BlobId;
use nightjar_format::limits;
use nightjar_format::manifest::{Content, ContentRef, DirectoryNode, DirectoryRef, Entry};

use crate::error::{RepositoryError, Result};
use crate::manifest::lookup::check_level;
use crate::read::Reader;

/// The nodes above an item, the nearest first.
pub(crate) type NodePath = Arc<[BlobId]>;

/// The inner nodes that are open, the highest first, each with what is unread of it.
struct OpenNodes<T> {
    inner: Vec<(u8, BlobId, std::vec::IntoIter<T>)>,
    leaf: Option<BlobId>,
}

impl<T> OpenNodes<T> {
    fn new() -> Self {
        Self { inner: Vec::new(), leaf: None }
    }

    fn path(&self) -> NodePath {
        let inner = self.inner.iter().rev().map(|(_, id, _)| *id);
        self.leaf.into_iter().chain(inner).collect()
    }
}

/// Goes through the chunks of a content in order, one unfinished node per level.
pub(crate) struct ContentWalk {
    chunks: std::vec::IntoIter<ContentRef>,
    above: OpenNodes<ContentRef>,
    root: Option<BlobId>,
}

impl ContentWalk {
    pub(crate) fn new(content: &Content) -> Self {
        let (chunks, root) = match content {
            Content::Chunks(chunks) => (chunks.clone(), None),
            Content::List { id } => (Vec::new(), Some(*id)),
        };
        Self { chunks: chunks.into_iter(), above: OpenNodes::new(), root }
    }

    /// The next chunk.
    pub(crate) fn next(&mut self, reader: &Reader<'_>) -> Result<Option<ContentRef>> {
        loop {
            if let Some(chunk) = self.chunks.next() {
                return Ok(Some(chunk));
            }
            if let Some(root) = self.root.take() {
                self.descend(reader, &root, None, None)?;
                continue;
            }
            let Some((level, _, nodes)) = self.above.inner.last_mut() else {
                return Ok(None);
            };
            let level = *level;
            match nodes.next() {
                Some(node) => self.descend(reader, &node.id, Some(level), Some(node.length))?,
                None => {
                    self.above.inner.pop();
                }
            }
        }
    }

    /// Whether the next chunk comes from the node that the last one came from.
    pub(crate) fn is_within_node(&self) -> bool {
        self.chunks.len() > 0
    }

    /// The nodes above the chunk that was returned last; none if it stands in the entry itself.
    pub(crate) fn path(&self) -> NodePath {
        self.above.path()
    }

    /// Reads a node, which must lie one level below `above` and hold as many bytes as its
    /// reference says.
    fn descend(
        &mut self,
        reader: &Reader<'_>,
        id: &BlobId,
        above: Option<u8>,
        length: Option<u64>,
    ) -> Result<()> {
        let node = reader.list_node(id)?;
        let level_fits = above.is_none_or(|above| node.level + 1 == above);
        let length_fits = length.is_none_or(|length| node.length() == Some(length));
        if !level_fits || !length_fits {
            let why = "this list node does not fit the one that names it".into();
            return Err(RepositoryError::LostBlob { id: *id, why });
        }
        if node.level == 0 {
            self.chunks = node.entries.into_iter();
            self.above.leaf = Some(*id);
        } else {
            self.above.inner.push((node.level, *id, node.entries.into_iter()));
        }
        Ok(())
    }
}

/// Goes through the entries of one directory in order of their names.
pub struct DirectoryWalk {
    entries: std::vec::IntoIter<Entry>,
    above: OpenNodes<DirectoryRef>,
    root: Option<BlobId>,
    last_name: Option<Vec<u8>>,
}

impl DirectoryWalk {
    /// Begins with the directory's root node.
    pub fn new(root: BlobId) -> Self {
        Self {
            entries: Vec::new().into_iter(),
            above: OpenNodes::new(),
            root: Some(root),
            last_name: None,
        }
    }

    /// The next entry.
    pub fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                // Sorted across nodes too: no name may appear twice.
                if self.last_name.as_ref().is_some_and(|last| *last >= entry.name) {
                    return Err(RepositoryError::Damaged {
                        object: "a directory".into(),
                        why: "its names are not sorted".into(),
                    });
                }
                self.last_name = Some(entry.name.clone());
                return Ok(Some(entry));
            }
            if let Some(root) = self.root.take() {
                self.descend(reader, &root, None)?;
                continue;
            }
            let Some((level, _, nodes)) = self.above.inner.last_mut() else {
                return Ok(None);
            };
            let level = *level;
            match nodes.next() {
                Some(node) => self.descend(reader, &node.id, Some(level))?,
                None => {
                    self.above.inner.pop();
                }
            }
        }
    }

    /// The nodes above the entry that was returned last.
    pub(crate) fn path(&self) -> NodePath {
        self.above.path()
    }

    fn descend(&mut self, reader: &Reader<'_>, id: &BlobId, above: Option<u8>) -> Result<()> {
        let node = reader.directory_node(id)?;
        check_level(id, &node, above)?;
        match node {
            DirectoryNode::Leaf(entries) => {
                self.entries = entries.into_iter();
                self.above.leaf = Some(*id);
            }
            DirectoryNode::Inner { level, children } => {
                self.above.inner.push((level, *id, children.into_iter()));
            }
        }
        Ok(())
    }
}

/// An entry and where it stands.
#[derive(Debug, Clone)]
pub struct Visited {
    /// The names from the root, joined with slashes.
    pub path: Vec<u8>,
    /// The entry.
    pub entry: Entry,
}

/// Goes through a whole tree, depth first, each directory after its own entry and in order.
pub struct TreeWalk {
    open: Vec<(Vec<u8>, DirectoryWalk)>,
}

impl TreeWalk {
    /// Begins at a snapshot's root.
    pub fn new(root: BlobId) -> Self {
        Self { open: vec![(Vec::new(), DirectoryWalk::new(root))] }
    }

    /// The next entry; a directory's own come after it, unless [`Self::skip`] is called.
    pub fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Visited>> {
        while let Some((path, directory)) = self.open.last_mut() {
            let Some(entry) = directory.next(reader)? else {
                self.open.pop();
                continue;
            };
            let path = join(path, &entry.name);
            if let nightjar_format::manifest::EntryKind::Directory { root } = entry.kind {
                check_depth(self.open.len(), &path)?;
                self.open.push((path.clone(), DirectoryWalk::new(root)));
            }
            return Ok(Some(Visited { path, entry }));
        }
        Ok(None)
    }

    /// The directory whose entries come next, or could not be read.
    pub(crate) fn path(&self) -> &[u8] {
        self.open.last().map_or(&[], |(path, _)| path)
    }

    /// Passes over what lies in the directory that was returned last.
    pub fn skip(&mut self) {
        self.open.pop();
    }
}

/// Refuses to go below a directory at `path`, where `open` directories lie above it already, if
/// that is deeper than directories may nest.
pub(crate) fn check_depth(open: usize, path: &[u8]) -> Result<()> {
    if open < limits::DIRECTORY_DEPTH {
        return Ok(());
    }
    Err(RepositoryError::Damaged {
        object: String::from_utf8_lossy(path).into_owned(),
        why: "directories nest too deeply".into(),
    })
}

/// A path and a name below it.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    if path.is_empty() { name.to_vec() } else { [path, b"/", name].concat() }
}
