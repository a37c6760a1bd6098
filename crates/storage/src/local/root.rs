//! The directory that a store was opened in, told from whatever stands in its place later.
//!
//! Where a disk is removed, its mount point remains, and paths lead there: what is written is no
//! longer in the store, and what is in the store seems to be gone. So nothing is written, and
//! nothing acknowledged or said to be absent, unless the path still leads to the same directory.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory with its device and number.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    identity: (u64, u64),
    /// As long as it is open, nothing else gets its number. Who may not list it cannot hold it.
    _held: Option<File>,
}

impl Root {
    /// `path` is free of symbolic links.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let held = File::open(&path).ok();
        let identity = identity(&fs::metadata(&path)?);
        Ok(Self { path, identity, _held: held })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails if the path leads elsewhere by now.
    pub(super) fn check(&self) -> io::Result<()> {
        let gone = |why: &str| {
            let path = self.path.display();
            io::Error::other(format!("{path} {why} since it was opened: was its disk removed?"))
        };
        match fs::metadata(&self.path) {
            Ok(metadata) if identity(&metadata) == self.identity => Ok(()),
            Ok(_) => Err(gone("was replaced by another directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(gone("has gone")),
            Err(error) => Err(error),
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
