//! Restoring: a plan first, then its execution.
//!
//! `plan` walks the snapshot and says what is to be written where, and refuses before anything
//! is written if something stands in the way. `directory` carries it out; `stream` hands one
//! file to standard output or to a command.

mod directory;
mod plan;
mod sparse;
mod stream;

use nightjar_format::snapshot::Snapshot;

pub use directory::restore_to_directory;
pub use stream::{restore_into_command, restore_to_writer};

/// What to do where something stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// Refuse, before anything is written.
    Never,
    /// Replace it.
    Always,
}

/// What to restore.
#[derive(Debug, Clone)]
pub struct RestoreRequest<'a> {
    /// From which snapshot.
    pub snapshot: &'a Snapshot,
    /// These paths and what lies below them; everything if there are none.
    pub paths: Vec<Vec<u8>>,
    /// What to do where something stands already.
    pub overwrite: Overwrite,
}

/// What was restored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// What could not be restored as it was, one line each.
    pub warnings: Vec<String>,
}
