//! What a restore will write.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nightjar_format::manifest::EntryKind;
use nightjar_repository::manifest::walk::{TreeWalk, Visited};
use nightjar_repository::read::Reader;

use crate::error::SourceError;
use crate::restore::{Overwrite, RestoreRequest};

/// Whether `path` is `selected`, lies below it, or leads to it.
enum Relation {
    Inside,
    OnTheWay,
    Outside,
}

fn relation(path: &[u8], selected: &[Vec<u8>]) -> Relation {
    if selected.is_empty() {
        return Relation::Inside;
    }
    let below = |path: &[u8], top: &[u8]| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if selected.iter().any(|top| below(path, top)) {
        Relation::Inside
    } else if selected.iter().any(|top| below(top, path)) {
        Relation::OnTheWay
    } else {
        Relation::Outside
    }
}

/// Calls `visit` for every entry that is to be restored, directories before what lies in them.
/// Directories that only lead to a selected path are included.
pub(crate) fn visit_selected(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    visit: &mut dyn FnMut(Visited) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut walk = TreeWalk::new(request.snapshot.root);
    let mut found = vec![false; request.paths.len()];
    while let Some(visited) = walk.next(reader)? {
        let is_directory = matches!(visited.entry.kind, EntryKind::Directory { .. });
        for (top, found) in request.paths.iter().zip(&mut found) {
            *found |= *top == visited.path;
        }
        match relation(&visited.path, &request.paths) {
            Relation::Inside => visit(visited)?,
            Relation::OnTheWay if is_directory => visit(visited)?,
            Relation::OnTheWay | Relation::Outside if is_directory => walk.skip(),
            Relation::OnTheWay | Relation::Outside => {}
        }
    }
    match request.paths.iter().zip(&found).find(|(_, found)| !**found) {
        Some((path, _)) => Err(SourceError::Selection(format!(
            "the snapshot holds no {}; `nightjar snapshot ls` shows what it holds",
            String::from_utf8_lossy(path)
        ))),
        None => Ok(()),
    }
}

/// Where an entry of the snapshot goes.
pub(crate) fn destination(directory: &Path, path: &[u8]) -> PathBuf {
    directory.join(OsStr::from_bytes(path))
}

/// Bytes to restore. Refuses if something stands where an entry belongs.
pub(crate) fn plan(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<u64, SourceError> {
    let mut bytes = 0;
    visit_selected(reader, request, &mut |visited| {
        let path = destination(directory, &visited.path);
        let wants_directory = matches!(visited.entry.kind, EntryKind::Directory { .. });
        if let EntryKind::File(file) = &visited.entry.kind {
            bytes += file.size;
        }
        let Ok(there) = fs::symlink_metadata(&path) else {
            return Ok(());
        };
        // A directory that is there already is used; a link to one would lead elsewhere.
        match (wants_directory, there.is_dir(), request.overwrite) {
            (true, true, _) => Ok(()),
            (false, false, Overwrite::Always) => Ok(()),
            (_, _, Overwrite::Never) => Err(SourceError::Exists { path }),
            (true, false, Overwrite::Always) => Err(SourceError::Path {
                path,
                why: "a directory belongs here, but something else is in its place; move it".into(),
            }),
            (false, true, Overwrite::Always) => Err(SourceError::Path {
                path,
                why: "a directory is in the place of something else; move it".into(),
            }),
        }
    })?;
    Ok(bytes)
}
