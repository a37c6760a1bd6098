//! What is alive: everything that some snapshot needs (format-spec, chapter 10, Reachability).
//!
//! Alive are the roots, every node and chunk that a live node names, **and what each of them rests
//! on**: a delta keeps its bases alive, and they theirs. A blob may be stored in several places;
//! the one of least depth among the packs that are there is alive, because that is the one that
//! readers use, and its bases are those that must stay.
//!
//! Nodes that snapshots share are visited once, so marking a year of one series costs little more
//! than marking a week. Takes memory for each live blob.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nightjar_format::manifest::{Content, DirectoryNode, EntryKind};
use nightjar_format::{BlobId, PackId};

use crate::error::{RepositoryError, Result};
use crate::packs::stored_sizes;
use crate::read::Reader;

/// What is alive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// For each pack that holds live blobs, where these begin in it.
    pub offsets: BTreeMap<PackId, BTreeSet<u32>>,
    /// Bytes that live blobs take in packs.
    pub bytes: u64,
}

/// Marks what the snapshots with these roots need. A blob that is needed and lies in no pack is an
/// error: nothing may be collected from a repository that lacks something.
pub fn mark(reader: &Reader<'_>, roots: &[BlobId]) -> Result<Live> {
    let sizes = stored_sizes(reader.repository)?;
    let mut packs = BTreeMap::new();
    for (ordinal, info) in reader.index.packs()? {
        if sizes.contains_key(&info.pack_id) {
            packs.insert(ordinal, info.pack_id);
        }
    }
    let mut marker = Marker {
        reader,
        packs,
        visited: HashSet::new(),
        kept: HashSet::new(),
        live: Live::default(),
    };
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
    /// Those that are in the store, by ordinal.
    packs: BTreeMap<u32, PackId>,
    /// Nodes that were looked into.
    visited: HashSet<BlobId>,
    /// Blobs whose place is marked, and that of all they rest on.
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
        self.keep(id)?;
        match node {
            Node::Directory(id) => match self.reader.directory_node(&id)? {
                DirectoryNode::Leaf(entries) => {
                    for entry in entries {
                        match entry.kind {
                            EntryKind::Directory { root } => below.push(Node::Directory(root)),
                            EntryKind::File(file) => match file.content {
                                Content::List { id } => below.push(Node::List(id)),
                                Content::Chunks(chunks) => {
                                    for chunk in chunks {
                                        self.keep(chunk.id)?;
                                    }
                                }
                            },
                            _ => {}
                        }
                    }
                }
                DirectoryNode::Inner { children, .. } => {
                    below.extend(children.iter().map(|child| Node::Directory(child.id)));
                }
            },
            Node::List(id) => {
                let node = self.reader.list_node(&id)?;
                for entry in node.entries {
                    if node.level == 0 {
                        self.keep(entry.id)?;
                    } else {
                        below.push(Node::List(entry.id));
                    }
                }
            }
        }
        Ok(())
    }

    /// Marks a blob and what it rests on.
    fn keep(&mut self, id: BlobId) -> Result<()> {
        let mut open = vec![(id, u8::MAX)];
        while let Some((id, above)) = open.pop() {
            if !self.kept.insert(id) {
                continue;
            }
            let lost = |why: &str| RepositoryError::LostBlob { id, why: why.into() };
            let places = self.reader.index.locations(&id)?;
            let (pack, at) = places
                .iter()
                .find_map(|at| Some((*self.packs.get(&at.pack)?, at)))
                .ok_or_else(|| lost("it lies in no pack that is there"))?;
            let depth = at.encoding.depth();
            if depth >= above {
                return Err(lost("its bases do not end in a whole blob"));
            }
            if self.live.offsets.entry(pack).or_default().insert(at.offset) {
                self.live.bytes += u64::from(at.stored_len);
            }
            open.extend(at.encoding.bases().iter().map(|base| (*base, depth)));
        }
        Ok(())
    }
}
