//! Reading back what was restored: from the disk, not from memory.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nightjar_format::manifest::{EntryKind, FileContent};
use nightjar_repository::RepositoryError;
use nightjar_repository::read::Reader;
use rustix::fs::{Advice, fadvise, fsync, syncfs};
use rustix::io::Errno;

use crate::error::{SourceError, at};
use crate::restore::directory::{open_below, open_destination};
use crate::restore::existing::{has_content, open_file};
use crate::restore::select::Selection;
use crate::restore::tally::Tally;
use crate::restore::{RestoreReport, RestoreRequest, below};

/// Compares the files of a directory with those of the snapshot, byte for byte.
///
/// The report counts the files that differ or cannot be read as failed; an error is what ended the
/// run.
pub fn verify_restored(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<RestoreReport, SourceError> {
    let tally = Tally::default();
    read_back(reader, request, directory, &tally)?;
    Ok(tally.report())
}

pub(crate) fn read_back(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
    tally: &Tally,
) -> Result<(), SourceError> {
    // Of what failed before, nothing need be there; that has been told.
    let complete = !tally.has_failures();
    let root = open_destination(directory).map_err(|error| at("open", directory)(error.into()))?;
    // All at once is faster than one by one.
    syncfs(&root).map_err(|error| at("write to disk", directory)(error.into()))?;
    let mut open = vec![Ok(root)];
    let mut selection = Selection::open(reader, request)?;
    while let Some(step) = selection.next(reader)? {
        open.truncate(step.depth());
        let Some(parent) = open.last() else { continue };
        // Below a directory that could not be opened, nothing can, for the same reason.
        let parent = parent.as_ref().map(AsFd::as_fd).map_err(|error: &Errno| *error);
        let (path, entry) = (below(directory, &step.visited.path), &step.visited.entry);
        let failed = match &entry.kind {
            EntryKind::Directory { .. } => {
                let opened = parent.and_then(|parent| open_below(parent, &entry.name));
                let failed = opened.as_ref().err().copied();
                open.push(opened);
                failed
            }
            EntryKind::File(content) => {
                match parent.and_then(|parent| open_file(parent, &entry.name)) {
                    Ok(Some((file, _))) => {
                        compare(reader, tally, &path, &file, content)?;
                        None
                    }
                    Ok(None) => Some(Errno::NOENT),
                    Err(error) => Some(error),
                }
            }
            _ => None,
        };
        match failed {
            None => {}
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if !complete => {}
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                tally.note_damage(format!("{} is not there", path.display()));
            }
            Some(error) => tally.fail("read back", &path, error),
        }
    }
    tally.check()
}

fn compare(
    reader: &Reader<'_>,
    tally: &Tally,
    path: &Path,
    file: &File,
    content: &FileContent,
) -> Result<(), SourceError> {
    let dropped = fsync(file).and_then(|()| fadvise(file, 0, None, Advice::DontNeed));
    if let Err(error) = dropped {
        tally.fail("read back", path, error);
        return Ok(());
    }
    match has_content(reader, file, content) {
        Ok(true) => Ok(()),
        Ok(false) => {
            tally.note_damage(format!(
                "{} does not hold what the snapshot does: what was read back from the disk \
                 differs; check the disk and restore it again",
                path.display()
            ));
            Ok(())
        }
        Err(SourceError::Repository(RepositoryError::Stream { source, .. })) => {
            tally.fail("read back", path, source);
            Ok(())
        }
        Err(SourceError::Repository(error)) if error.is_damage() => {
            tally.damage(path, &error);
            Ok(())
        }
        Err(error) => Err(error),
    }
}
