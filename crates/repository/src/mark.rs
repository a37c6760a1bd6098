//! What is alive: everything that some snapshot needs (format-spec, chapter 10, Reachability).
//!
//! Alive are the roots, every node and chunk that a live node names, **and what each of them rests
//! on**: a delta keeps its bases alive, and they theirs. A place of a live blob is alive if its
//! pack is there: listed, of the right size, not retired.
//!
//! A blob may be stored in several such places. All of them are alive, and so are the bases of
//! each: which of them is sound shows only when they are read, and whoever published a place may
//! have lied. A collector that wants to drop one reads the other first.
//!
//! Nodes that snapshots share are visited once, so marking a year of one series costs little more
//! than marking a week. Takes memory for each live blob.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nightjar_format::manifest::{Content, DirectoryNode, EntryKind};
use nightjar_format::{BlobId, PackId};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::Database;
use crate::ledger;
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;

/// What is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// For each pack that holds live blobs, where these begin in it.
    pub offsets: BTreeMap<PackId, BTreeSet<u32>>,
    /// Bytes that live blobs take in packs.
    pub bytes: u64,
}

/// Marks what the snapshots with these roots need. A blob that is needed and cannot be read is an
/// error: nothing may be collected from a repository that lacks something.
pub fn mark(repository: &Repository, roots: &[BlobId], progress: &Progress) -> Result<Live> {
    let reader = Reader::open(repository, progress)?;
    let state = ledger::read(repository)?.state;
    let sizes = stored_sizes(repository)?;
    let mut marker = Marker {
        reader: &reader,
        packs: BTreeMap::new(),
        visited: HashSet::new(),
        kept: HashSet::new(),
        live: Live::default(),
    };
    for (ordinal, info) in reader.index.packs()? {
        let is_there = info.published && sizes.get(&info.pack_id) == Some(&info.size);
        if is_there && !state.retired.contains(&info.pack_id) {
            marker.packs.insert(ordinal, info.pack_id);
        }
    }
    let mut nodes: Vec<Node> = roots.iter().map(|root| Node::Directory(*root)).collect();
    while let Some(node) = nodes.pop() {
        marker.visit(node, &mut nodes)?;
    }
    Ok(marker.live)
}

enum Node {
    Directory(BlobId),
    List(BlobId),
}

struct Marker<'r, 'a> {
    reader: &'r Reader<'a>,
    /// Those that are there, by ordinal.
    packs: BTreeMap<u32, PackId>,
    /// Nodes that were looked into.
    visited: HashSet<BlobId>,
    /// Blobs whose places are marked, and those of all they rest on.
    kept: HashSet<BlobId>,
    live: Live,
}

impl Marker<'_, '_> {
    fn visit(&mut self, node: Node, below: &mut Vec<Node>) -> Result<()> {
        let (Node::Directory(id) | Node::List(id)) = node;
        // A node that is only another's base is kept, but nobody looks into it.
        if !self.visited.insert(id) {
            return Ok(());
        }
        self.need(id)?;
        match node {
            Node::Directory(id) => match self.reader.directory_node(&id)? {
                DirectoryNode::Leaf(entries) => {
                    entries.into_iter().try_for_each(|entry| self.visit_entry(entry.kind, below))
                }
                DirectoryNode::Inner { children, .. } => {
                    below.extend(children.iter().map(|child| Node::Directory(child.id)));
                    Ok(())
                }
            },
            Node::List(id) => {
                let node = self.reader.list_node(&id)?;
                if node.level == 0 {
                    return node.entries.iter().try_for_each(|entry| self.need(entry.id));
                }
                below.extend(node.entries.iter().map(|entry| Node::List(entry.id)));
                Ok(())
            }
        }
    }

    fn visit_entry(&mut self, kind: EntryKind, below: &mut Vec<Node>) -> Result<()> {
        match kind {
            EntryKind::Directory { root } => below.push(Node::Directory(root)),
            EntryKind::File(file) => match file.content {
                Content::List { id } => below.push(Node::List(id)),
                Content::Chunks(chunks) => {
                    return chunks.iter().try_for_each(|chunk| self.need(chunk.id));
                }
            },
            _ => {}
        }
        Ok(())
    }

    /// Marks a blob that must be readable, and what it rests on.
    fn need(&mut self, id: BlobId) -> Result<()> {
        if self.kept.contains(&id) {
            return Ok(());
        }
        let there = |_: &Database, ordinal| self.packs.contains_key(&ordinal);
        let readable = self.reader.index.support(&[id], &there)?.is_some();
        if !readable {
            let why = "it, or what it rests on, lies in no pack that is there".into();
            return Err(RepositoryError::LostBlob { id, why });
        }
        self.keep(id)
    }

    /// Marks the places of a blob, and of all that any of them rests on.
    fn keep(&mut self, id: BlobId) -> Result<()> {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !self.kept.insert(id) {
                continue;
            }
            for at in self.reader.index.locations(&id)? {
                let Some(pack) = self.packs.get(&at.pack) else { continue };
                if self.live.offsets.entry(*pack).or_default().insert(at.offset) {
                    self.live.bytes += u64::from(at.stored_len);
                }
                open.extend(at.encoding.bases());
            }
        }
        Ok(())
    }
}
