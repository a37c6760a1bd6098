//! Going through a snapshot, past what cannot be read.

use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{EntryKind, FileContent};

use crate::error::{RepositoryError, Result};
use crate::manifest::walk::{ContentWalk, TreeWalk};
use crate::read::Reader;

/// What is met on the way.
pub(super) enum Met<'a> {
    /// A blob is named; of a chunk, with the bytes that it must have.
    Reference { kind: BlobKind, id: &'a BlobId, length: Option<u64> },
    /// A node cannot be read: what lies below it is not met.
    Unreadable(&'a RepositoryError),
    /// The chunks of a file do not make up its size.
    Length { found: u64, said: u64 },
}

/// Decodes every node of a snapshot, and tells `meet` all that is met, each with the path of the
/// file or directory it belongs to.
pub(super) fn through(
    reader: &Reader<'_>,
    root: &BlobId,
    meet: &mut dyn FnMut(&[u8], Met<'_>) -> Result<()>,
) -> Result<()> {
    meet(&[], Met::Reference { kind: BlobKind::Tree, id: root, length: None })?;
    let mut walk = TreeWalk::new(*root);
    loop {
        let visited = match walk.next(reader) {
            Ok(None) => return Ok(()),
            Ok(Some(visited)) => visited,
            Err(error) if error.is_damage() => {
                meet(walk.path(), Met::Unreadable(&error))?;
                // What else lies in that directory can hardly be had; its neighbours can.
                walk.skip();
                continue;
            }
            Err(error) => return Err(error),
        };
        match visited.entry.kind {
            EntryKind::File(file) => through_file(reader, &visited.path, &file, meet)?,
            EntryKind::Directory { root } => {
                let met = Met::Reference { kind: BlobKind::Tree, id: &root, length: None };
                meet(&visited.path, met)?;
            }
            _ => {}
        }
    }
}

fn through_file(
    reader: &Reader<'_>,
    path: &[u8],
    file: &FileContent,
    meet: &mut dyn FnMut(&[u8], Met<'_>) -> Result<()>,
) -> Result<()> {
    let mut chunks = ContentWalk::new(&file.content);
    let mut found = file.hole_bytes();
    loop {
        match chunks.next(reader) {
            Ok(Some(chunk)) => {
                let length = Some(chunk.length);
                meet(path, Met::Reference { kind: BlobKind::Data, id: &chunk.id, length })?;
                found = found.saturating_add(chunk.length);
            }
            Ok(None) => break,
            Err(error) if error.is_damage() => return meet(path, Met::Unreadable(&error)),
            Err(error) => return Err(error),
        }
    }
    if found != file.size {
        meet(path, Met::Length { found, said: file.size })?;
    }
    Ok(())
}
