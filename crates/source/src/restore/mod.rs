//! Restoring: a plan first, then its execution.
//!
//! [`restore_to_directory`] walks the snapshot twice. `plan` says what is to be written, and
//! refuses before anything is written if something stands in the way; `execute` goes through the
//! tree again and carries it out. Neither holds the tree in memory.
//!
//! **No name leads elsewhere.** Everything happens below the open destination directory, one name
//! at a time: each directory is opened from the one above it and never through a link
//! (`directory`), so neither a hostile snapshot nor somebody who swaps a directory for a link
//! reaches anything outside.
//!
//! **No half-written file under its name.** A file is written under a temporary name beside its
//! place (`temporary`) and renamed when it has its bytes and attributes (`file`). What a killed run
//! left is removed when its directory is entered.
//!
//! **Order.** Bytes, owner and group, mode, extended attributes, times (`attributes`); a
//! directory's own attributes when everything in it is done, and until then nobody else may enter a
//! directory that was made. The walk is one thread; the engine's workers write and finish files.
//!
//! `links` joins hard links again, `existing` decides about what stands there already, `delete`
//! removes what the snapshot does not hold, `verify` reads back what was written. `stream` hands one
//! file to standard output or to a command. What goes wrong with one file is told by `tally`, and
//! the others go on.

mod attributes;
mod delete;
mod directory;
mod execute;
mod existing;
mod file;
pub(crate) mod layout;
mod links;
mod owners;
mod plan;
mod run;
pub(crate) mod select;
mod special;
pub(crate) mod stream;
mod tally;
mod temporary;
mod verify;

use std::path::{Path, PathBuf};

use nightjar_format::snapshot::Snapshot;
use nightjar_repository::read::Reader;

use crate::error::SourceError;
use crate::restore::run::Run;

pub use plan::{RestorePlan, plan_restore};
pub use stream::{restore_into_command, restore_to_writer};
pub use verify::verify_restored;

/// What to do where something stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse, before anything is written.
    Never,
    /// Replace it, unless it is a file of the same size and time: that one only gets its
    /// attributes.
    IfChanged,
    /// Replace it, unless it is a file with the same bytes: that one only gets its attributes.
    Always,
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest<'a> {
    /// From which snapshot.
    pub snapshot: &'a Snapshot,
    /// A directory of the snapshot that is taken for its root; empty for the root itself.
    pub subtree: Vec<u8>,
    /// These paths and what lies below them; everything if there are none.
    pub paths: Vec<Vec<u8>>,
    /// What to do where something stands already.
    pub overwrite: Overwrite,
    /// Remove what the snapshot does not hold from directories that are restored wholly.
    pub delete: bool,
    /// Take owners and groups by their numbers, whatever they are called here.
    pub numeric_ids: bool,
    /// Read back what was written.
    pub verify: bool,
}

impl<'a> RestoreRequest<'a> {
    /// All of a snapshot, to where nothing stands.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self {
            snapshot,
            subtree: Vec::new(),
            paths: Vec::new(),
            overwrite: Overwrite::Never,
            delete: false,
            numeric_ids: false,
            verify: false,
        }
    }
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Regular files that now stand as in the snapshot, with those counted below.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of files that were written.
    pub bytes: u64,
    /// Files that stood there already.
    pub unchanged: u64,
    /// Files that are another name of one that was restored before.
    pub links: u64,
    /// Entries that were removed because the snapshot does not hold them.
    pub deleted: u64,
    /// Entries that could not be restored.
    pub failed: u64,
    /// Whether damage was among the reasons.
    pub damaged: bool,
    /// The first of these failures, one line each.
    pub failures: Vec<String>,
    /// What could not be restored as it was, one line each.
    pub warnings: Vec<String>,
}

/// Restores into a directory, which is made if it is missing.
///
/// What goes wrong with single files is in the report; an error is what ended the run.
pub fn restore_to_directory(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<RestoreReport, SourceError> {
    plan::refuse_conflicts(reader, request, directory)?;
    let run = Run::new(request);
    execute::execute(reader, request, directory, &run)?;
    if request.verify {
        verify::read_back(reader, request, directory, &run.tally)?;
    }
    Ok(run.tally.report())
}

/// A path below one that was given by the user, as it is shown.
fn below(directory: &Path, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    directory.join(std::ffi::OsStr::from_bytes(name))
}
