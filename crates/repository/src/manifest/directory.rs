//! Builds the nodes of a directory from its entries, sorted by name.

use nightjar_codec::digest::Identifier;
use nightjar_format::BlobId;
use nightjar_format::manifest::{DirectoryNode, DirectoryRef, Entry, NODE_MAX_WEIGHT, ends_node};

use crate::error::{RepositoryError, Result};
use crate::manifest::NodeSink;
use crate::manifest::walk::NodePath;

/// An unfinished directory: one unfinished node per level.
#[derive(Default)]
pub(crate) struct DirectoryBuilder {
    leaf: Vec<Entry>,
    /// What the entries of the unfinished leaf weigh.
    weight: usize,
    /// Of levels 1 and up.
    inner: Vec<Vec<DirectoryRef>>,
    last_name: Option<Vec<u8>>,
    /// The nodes of the previous snapshot's directory where the last entry stood in it.
    near: Option<NodePath>,
}

impl DirectoryBuilder {
    /// Appends an entry, whose name must come after the last one's; `near` are the nodes of the
    /// previous directory at its place, if it has one.
    pub(crate) fn push(
        &mut self,
        entry: Entry,
        near: Option<NodePath>,
        identifier: &Identifier,
        sink: &mut dyn NodeSink,
    ) -> Result<()> {
        if self.last_name.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(RepositoryError::Internal("directory entries are out of order"));
        }
        self.last_name = Some(entry.name.clone());
        if near.is_some() {
            self.near = near;
        }
        let hash = identifier.directory_cut(&entry.name);
        self.weight += entry.weight();
        self.leaf.push(entry);
        if ends_node(self.leaf.len(), &hash) || self.weight >= NODE_MAX_WEIGHT {
            self.end_leaf(identifier, sink)?;
        }
        Ok(())
    }

    fn end_leaf(&mut self, identifier: &Identifier, sink: &mut dyn NodeSink) -> Result<()> {
        let entries = std::mem::take(&mut self.leaf);
        self.weight = 0;
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let first_name = first.name.clone();
        let id = sink.put_node(DirectoryNode::Leaf(entries).encode(), self.like(0))?;
        self.push_ref(0, DirectoryRef { first_name, id }, identifier, sink)
    }

    /// Appends to the level above the leaves that is number `place` of those.
    fn push_ref(
        &mut self,
        place: usize,
        child: DirectoryRef,
        identifier: &Identifier,
        sink: &mut dyn NodeSink,
    ) -> Result<()> {
        if self.inner.len() == place {
            self.inner.push(Vec::new());
        }
        let hash = identifier.directory_cut(&child.first_name);
        let Some(children) = self.inner.get_mut(place) else {
            return Ok(());
        };
        children.push(child);
        if ends_node(children.len(), &hash) {
            self.end_inner(place, identifier, sink)?;
        }
        Ok(())
    }

    /// The node that one of this level probably resembles.
    fn like(&self, level: usize) -> Option<BlobId> {
        self.near.as_ref().and_then(|near| near.get(level)).copied()
    }

    fn end_inner(
        &mut self,
        place: usize,
        identifier: &Identifier,
        sink: &mut dyn NodeSink,
    ) -> Result<()> {
        let children = self.inner.get_mut(place).map(std::mem::take).unwrap_or_default();
        let Some(first) = children.first() else {
            return Ok(());
        };
        let first_name = first.first_name.clone();
        let id = sink.put_node(inner_node(place, children).encode(), self.like(place + 1))?;
        self.push_ref(place + 1, DirectoryRef { first_name, id }, identifier, sink)
    }

    /// Ends the directory and returns its root node.
    pub(crate) fn finish(
        mut self,
        identifier: &Identifier,
        sink: &mut dyn NodeSink,
    ) -> Result<BlobId> {
        if self.inner.is_empty() {
            let like = self.like(0);
            return sink.put_node(DirectoryNode::Leaf(self.leaf).encode(), like);
        }
        self.end_leaf(identifier, sink)?;
        let mut place = 0;
        while place + 1 < self.inner.len() {
            self.end_inner(place, identifier, sink)?;
            place += 1;
        }
        let top = self.inner.pop().unwrap_or_default();
        match top.as_slice() {
            [only] => Ok(only.id),
            _ => sink.put_node(inner_node(place, top).encode(), self.like(place + 1)),
        }
    }
}

fn inner_node(place: usize, children: Vec<DirectoryRef>) -> DirectoryNode {
    DirectoryNode::Inner { level: u8::try_from(place + 1).unwrap_or(u8::MAX), children }
}
