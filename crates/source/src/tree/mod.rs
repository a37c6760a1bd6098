//! Files and directories, with everything that Linux keeps of them.
//!
//! The tree is walked depth first, each directory in the order of its names, through open
//! directories only (`openat(2)`): nobody can lead the walk elsewhere by exchanging a directory
//! for a link. A file that has not changed since the previous snapshot of the series is not
//! opened. What cannot be read, or goes while it is looked at, is reported, counted and left out;
//! the snapshot says how many.
//!
//! `roots` holds the paths that were given, `exclude` says what is left out of them, `walk` goes
//! from directory to directory; `entry` stores what stands at a `place`, of which `file`, `links`,
//! `attributes` and `status` read the parts.

mod attributes;
mod entry;
mod exclude;
mod file;
mod links;
mod place;
mod roots;
mod status;
mod walk;

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, Feeder};

pub(crate) use attributes::MOST_ATTRIBUTE_BYTES;
pub use exclude::{Excludes, Patterns};

use crate::Notes;
use crate::error::SourceError;
use crate::tree::entry::EntryFeeder;
use crate::tree::exclude::Filter;
use crate::tree::roots::Root;
use crate::tree::walk::Walker;

/// What to store of a file system.
#[derive(Debug, Clone, Default)]
pub struct TreeRequest {
    /// Paths that must be there.
    pub paths: Vec<PathBuf>,
    /// Paths that may have gone.
    pub listed: Vec<PathBuf>,
    /// What to leave out.
    pub excludes: Excludes,
    /// Whether to read files that have not changed as well.
    pub read_all: bool,
}

/// Feeds the given paths.
pub fn feed_paths(
    feeder: &mut Feeder<'_>,
    request: &TreeRequest,
    notes: &mut Notes,
) -> Result<Fed, SourceError> {
    let mut root = Root::default();
    request.paths.iter().try_for_each(|path| root.add(path, true))?;
    request.listed.iter().try_for_each(|path| root.add(path, false))?;
    root.settle()?;
    let before = notes.unreadable;
    let filter = Filter::new(&request.excludes)?;
    Walker::new(EntryFeeder::new(feeder, notes, request.read_all), filter).walk(root)?;
    let paths = request.paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    Ok(Fed { source: Source::Paths { paths }, unreadable: notes.unreadable - before })
}
