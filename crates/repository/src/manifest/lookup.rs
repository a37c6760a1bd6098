//! Finding one entry by its path, reading only the nodes that lead to it.

use std::collections::VecDeque;
use std::sync::Arc;

use nightjar_format::BlobId;
use nightjar_format::manifest::{DirectoryNode, DirectoryRef, Entry, EntryKind};

use crate::error::{RepositoryError, Result};
use crate::read::Reader;

/// Nodes that [`Lookup`] remembers: enough for a few directories side by side and the levels above.
const REMEMBERED_NODES: usize = 16;

/// The entry at a path, names joined with slashes; `None` if nothing stands there. The root has no
/// entry of its own.
pub fn find(reader: &Reader<'_>, root: BlobId, path: &[u8]) -> Result<Option<Entry>> {
    Lookup::new(reader, root).find(path)
}

/// Finds one entry after the other. It remembers the nodes read last, as paths that follow each
/// other mostly lie in the same directories.
pub(crate) struct Lookup<'a> {
    reader: &'a Reader<'a>,
    root: BlobId,
    recent: VecDeque<(BlobId, Arc<DirectoryNode>)>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(reader: &'a Reader<'a>, root: BlobId) -> Self {
        Self { reader, root, recent: VecDeque::new() }
    }

    /// The entry at a path.
    pub(crate) fn find(&mut self, path: &[u8]) -> Result<Option<Entry>> {
        let mut names = path.split(|byte| *byte == b'/').peekable();
        let mut directory = self.root;
        while let Some(name) = names.next() {
            let Some(entry) = self.find_name(directory, name)? else {
                return Ok(None);
            };
            match entry.kind {
                _ if names.peek().is_none() => return Ok(Some(entry)),
                EntryKind::Directory { root } => directory = root,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The entry of this name in one directory.
    fn find_name(&mut self, root: BlobId, name: &[u8]) -> Result<Option<Entry>> {
        let (mut id, mut above) = (root, None);
        loop {
            let node = self.node(&id)?;
            check_level(&id, &node, above)?;
            match node.as_ref() {
                DirectoryNode::Leaf(entries) => {
                    return Ok(entries.iter().find(|entry| entry.name == name).cloned());
                }
                DirectoryNode::Inner { level, children } => match child_for(children, name) {
                    Some(child) => (id, above) = (child, Some(*level)),
                    None => return Ok(None),
                },
            }
        }
    }

    fn node(&mut self, id: &BlobId) -> Result<Arc<DirectoryNode>> {
        let known = self.recent.iter().position(|(it, _)| it == id);
        let (id, node) = match known.and_then(|at| self.recent.remove(at)) {
            Some(known) => known,
            None => (*id, Arc::new(self.reader.directory_node(id)?)),
        };
        self.recent.truncate(REMEMBERED_NODES - 1);
        self.recent.push_front((id, Arc::clone(&node)));
        Ok(node)
    }
}

/// The only child that can hold a name: the last that does not begin after it.
fn child_for(children: &[DirectoryRef], name: &[u8]) -> Option<BlobId> {
    children.iter().rev().find(|child| child.first_name.as_slice() <= name).map(|child| child.id)
}

/// A node must lie one level below the one that names it, or reading might never end.
pub(crate) fn check_level(id: &BlobId, node: &DirectoryNode, above: Option<u8>) -> Result<()> {
    if above.is_some_and(|above| node.level() + 1 != above) {
        let why = "this directory node does not fit the one that names it".into();
        return Err(RepositoryError::LostBlob { id: *id, why });
    }
    Ok(())
}
