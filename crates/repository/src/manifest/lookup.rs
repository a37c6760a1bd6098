//! Finding one entry by its path, reading only the nodes that lead to it.

use nightjar_format::BlobId;
use nightjar_format::manifest::{DirectoryNode, DirectoryRef, Entry, EntryKind};

use crate::error::{RepositoryError, Result};
use crate::read::Reader;

/// The entry at a path, names joined with slashes; `None` if nothing stands there. The root has no
/// entry of its own.
pub fn find(reader: &Reader<'_>, root: BlobId, path: &[u8]) -> Result<Option<Entry>> {
    let mut names = path.split(|byte| *byte == b'/').peekable();
    let mut directory = root;
    while let Some(name) = names.next() {
        let Some(entry) = find_name(reader, directory, name)? else {
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
fn find_name(reader: &Reader<'_>, root: BlobId, name: &[u8]) -> Result<Option<Entry>> {
    let (mut id, mut above) = (root, None);
    loop {
        let node = reader.directory_node(&id)?;
        check_level(&id, &node, above)?;
        match node {
            DirectoryNode::Leaf(entries) => {
                return Ok(entries.into_iter().find(|entry| entry.name == name));
            }
            DirectoryNode::Inner { level, children } => match child_for(&children, name) {
                Some(child) => (id, above) = (child, Some(level)),
                None => return Ok(None),
            },
        }
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
