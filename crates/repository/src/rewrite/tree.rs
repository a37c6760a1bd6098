//! A tree without what is taken out of it.

use nightjar_codec::digest::Identifier;
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Entry, EntryKind};

use super::LeavesOut;
use super::look::Touched;
use crate::error::{RepositoryError, Result};
use crate::manifest::NodeSink;
use crate::manifest::directory::DirectoryBuilder;
use crate::manifest::walk::{DirectoryWalk, join};
use crate::read::Reader;

/// What is needed to make a tree anew. Directories that are not touched keep their nodes, even where a
/// program of today would cut them in other places.
pub(super) struct Rebuild<'a, 'r> {
    pub(super) reader: &'a Reader<'r>,
    pub(super) leaves_out: LeavesOut<'a>,
    pub(super) touched: &'a Touched,
}

/// A directory that is under way: directories may nest deeper than a stack of calls.
struct Open {
    path: Vec<u8>,
    /// How it stands in the directory above; the root stands in none.
    entry: Option<Entry>,
    walk: DirectoryWalk,
    builder: DirectoryBuilder,
}

impl Open {
    fn new(path: Vec<u8>, entry: Option<Entry>, root: BlobId) -> Self {
        let (walk, builder) = (DirectoryWalk::new(root), DirectoryBuilder::default());
        Self { path, entry, walk, builder }
    }
}

impl Rebuild<'_, '_> {
    /// Hands the new nodes to `sink` and returns the new root.
    pub(super) fn run(&self, root: BlobId, sink: &mut dyn NodeSink) -> Result<BlobId> {
        let identifier = self.reader.repository.identifier();
        let mut above: Vec<Open> = Vec::new();
        let mut directory = Open::new(Vec::new(), None, root);
        loop {
            let Some(entry) = directory.walk.next(self.reader)? else {
                let Open { entry, builder, .. } = directory;
                let root = builder.finish(&identifier, sink)?;
                let Some(entry) = entry else { return Ok(root) };
                let kind = EntryKind::Directory { root };
                directory = above.pop().ok_or(RepositoryError::Internal("no directory above"))?;
                directory.builder.push(Entry { kind, ..entry }, None, &identifier, sink)?;
                continue;
            };
            let path = join(&directory.path, &entry.name);
            if (self.leaves_out)(&path, entry.is_directory()) {
                continue;
            }
            match entry.kind {
                EntryKind::Directory { root } if self.touched.contains(&path) => {
                    above.push(directory);
                    directory = Open::new(path, Some(entry), root);
                }
                // A delta against a node that names what has to go would keep that alive.
                _ => directory.builder.push(entry, None, &identifier, sink)?,
            }
        }
    }
}

/// Stores nothing: tells only how a tree would be named.
pub(super) struct OnlyIds(pub(super) Identifier);

impl NodeSink for OnlyIds {
    fn put_node(&mut self, plaintext: Vec<u8>, _: Option<BlobId>) -> Result<BlobId> {
        Ok(self.0.blob_id(BlobKind::Tree, &plaintext))
    }
}
