//! What a snapshot has lost: directories of which a node cannot be read, and files of which a list
//! node or a chunk cannot be had.
//!
//! A blob counts as lost if it, or what it rests on, lies in no pack that is listed, in the store, of
//! the right size and in no closed set: what is recorded as damaged may not be relied on, even where
//! some of it can still be read. Nodes are read as well, for the walk needs them; chunks are not.

use std::collections::{BTreeSet, HashSet};

use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{ContentRef, Entry, EntryKind, FileContent};

use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::manifest::walk::{ContentWalk, DirectoryWalk, check_depth, join};
use crate::read::Reader;
use crate::rewrite::Tally;

/// An entry that has lost something, and does not lie in a directory that has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Where it stands; empty for the root.
    pub path: Vec<u8>,
    /// It is a directory, and what lies in it is unknown.
    pub is_directory: bool,
    /// What is lost.
    pub why: String,
}

/// What a snapshot has lost, and what it has not.
#[derive(Debug, Default)]
pub(super) struct Loss {
    pub(super) left_out: Vec<LeftOut>,
    pub(super) kept: Tally,
}

/// Looks at snapshots, one after another.
pub(super) struct Look<'a, 'r> {
    reader: &'a Reader<'r>,
    /// It knows which packs are closed.
    index: &'a LocalIndex,
    /// Nodes that are known to be there.
    present: HashSet<BlobId>,
}

/// Nodes that are remembered.
const REMEMBERED: usize = 1 << 20;

type Verdict = std::result::Result<(), String>;

impl<'a, 'r> Look<'a, 'r> {
    pub(super) fn new(reader: &'a Reader<'r>, index: &'a LocalIndex) -> Self {
        Self { reader, index, present: HashSet::new() }
    }

    /// Walks the tree below a root.
    pub(super) fn at(&mut self, root: BlobId) -> Result<Loss> {
        let mut loss = Loss::default();
        // Numbers of files with several names whose bytes were counted.
        let mut linked = HashSet::new();
        if let Err(why) = self.directory(root)? {
            loss.left_out.push(LeftOut { path: Vec::new(), is_directory: true, why });
            return self.checked(loss);
        }
        let mut open = vec![(Vec::new(), DirectoryWalk::new(root))];
        while let Some((above, directory)) = open.last_mut() {
            let Some(entry) = directory.next(self.reader)? else {
                open.pop();
                continue;
            };
            let path = join(above, &entry.name);
            let depth = open.len();
            if let Err(why) = self.entry(&entry, depth, &path)? {
                let is_directory = entry.is_directory();
                loss.left_out.push(LeftOut { path, is_directory, why });
                continue;
            }
            count(&entry, &mut loss.kept, &mut linked);
            if let EntryKind::Directory { root } = entry.kind {
                open.push((path, DirectoryWalk::new(root)));
            }
        }
        self.checked(loss)
    }

    /// A damaged cache must not be taken for a damaged repository.
    fn checked(&self, loss: Loss) -> Result<Loss> {
        match self.index.is_damaged() {
            true => Err(RepositoryError::LocalIndex("it is damaged".into())),
            false => Ok(loss),
        }
    }

    fn entry(&mut self, entry: &Entry, depth: usize, path: &[u8]) -> Result<Verdict> {
        match &entry.kind {
            EntryKind::Directory { root } => match check_depth(depth, path) {
                Ok(()) => self.directory(*root),
                Err(error) => Ok(Err(error.to_string())),
            },
            EntryKind::File(file) => self.file(file),
            _ => Ok(Ok(())),
        }
    }

    /// Whether all nodes of one directory can be read.
    fn directory(&mut self, root: BlobId) -> Result<Verdict> {
        let mut walk = DirectoryWalk::new(root);
        let mut nodes: Vec<BlobId> = vec![root];
        loop {
            for node in &nodes {
                if !self.has_node(node) {
                    let why =
                        "one of its nodes lies in packs that are damaged, missing or not listed";
                    return Ok(Err(why.to_owned()));
                }
            }
            match super::or_damage(walk.next(self.reader))? {
                Err(why) => return Ok(Err(why)),
                Ok(None) => return Ok(Ok(())),
                Ok(Some(_)) => nodes = walk.path().to_vec(),
            }
        }
    }

    fn file(&mut self, file: &FileContent) -> Result<Verdict> {
        let mut chunks = ContentWalk::new(&file.content);
        let mut missing = 0u64;
        let mut length = file.hole_bytes();
        let root = match &file.content {
            nightjar_format::manifest::Content::List { id } => Some(*id),
            nightjar_format::manifest::Content::Chunks(_) => None,
        };
        let mut nodes: Vec<BlobId> = root.into_iter().collect();
        loop {
            if nodes.iter().any(|node| !self.has_node(node)) {
                let why =
                    "a node of its content lies in packs that are damaged, missing or not listed";
                return Ok(Err(why.to_owned()));
            }
            nodes.clear();
            let chunk = match super::or_damage(chunks.next(self.reader))? {
                Err(why) => return Ok(Err(why)),
                Ok(None) => break,
                Ok(Some(chunk)) => chunk,
            };
            missing += u64::from(!self.has_chunk(&chunk)?);
            length = length.saturating_add(chunk.length);
            if !chunks.is_within_node() {
                nodes = chunks.path().to_vec();
            }
        }
        Ok(match missing {
            0 if length == file.size => Ok(()),
            0 => Err(format!("its chunks make {length} bytes, not {}", file.size)),
            missing => Err(format!("{missing} of its chunks are lost")),
        })
    }

    fn has_node(&mut self, node: &BlobId) -> bool {
        if self.present.contains(node) {
            return true;
        }
        let there = self.index.is_present(node);
        if there {
            if self.present.len() >= REMEMBERED {
                self.present.clear();
            }
            self.present.insert(*node);
        }
        there
    }

    /// Whether a chunk, of the length that its list tells, is in packs that may be relied on.
    fn has_chunk(&self, chunk: &ContentRef) -> Result<bool> {
        if !self.index.is_present(&chunk.id) {
            return Ok(false);
        }
        let locations = self.index.locations(&chunk.id)?;
        let Some(at) = locations.iter().find(|at| self.index.is_open(at.pack)) else {
            return Ok(false);
        };
        let is_data = self.index.pack(at.pack)?.kind() == BlobKind::Data;
        Ok(is_data && u64::from(at.raw_len) == chunk.length)
    }
}

fn count(entry: &Entry, kept: &mut Tally, linked: &mut HashSet<u64>) {
    match &entry.kind {
        EntryKind::Directory { .. } => kept.directories += 1,
        EntryKind::File(file) => {
            kept.files += 1;
            if entry.hard_link.is_none_or(|number| linked.insert(number)) {
                kept.bytes += file.data_bytes();
            }
        }
        _ => kept.others += 1,
    }
}

/// The paths of what is left out.
pub(super) fn paths(left_out: &[LeftOut]) -> BTreeSet<Vec<u8>> {
    left_out.iter().map(|it| it.path.clone()).collect()
}
