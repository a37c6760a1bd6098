//! Where something stands, and how it is reached: by its name in an open directory, or by the path
//! that was given.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};

use crate::tree::status::Status;

/// A place in the file system and in the snapshot.
pub(crate) struct Place<'d> {
    /// Its name in the snapshot.
    pub(crate) name: Vec<u8>,
    /// As messages name it.
    pub(crate) path: PathBuf,
    /// Its path in the snapshot.
    pub(crate) place: Vec<u8>,
    /// The file system of the path that was given.
    pub(crate) home: (u32, u32),
    pub(crate) reached: Reached<'d>,
}

/// How a place is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reached<'d> {
    /// By its name in this directory: a link is never followed.
    In(BorrowedFd<'d>),
    /// By its path. Whether a link there is followed.
    ByPath { follow: bool },
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl Place<'_> {
    fn anchor(&self) -> (BorrowedFd<'_>, &[u8]) {
        match self.reached {
            Reached::In(directory) => (directory, &self.name),
            Reached::ByPath { .. } => (CWD, self.path.as_os_str().as_bytes()),
        }
    }

    pub(crate) fn status(&self) -> io::Result<Status> {
        if let Reached::ByPath { follow: true } = self.reached {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            return Ok(Status::of(openat(CWD, &self.path, flags, Mode::empty())?)?);
        }
        let (directory, name) = self.anchor();
        Ok(Status::at(directory, name)?)
    }

    /// Opens what stands there. A link that has come there meanwhile is not followed, and a pipe
    /// not waited for.
    pub(crate) fn open(&self, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = match self.reached {
            Reached::ByPath { follow: true } => READ | flags,
            _ => READ | flags | OFlags::NOFOLLOW,
        };
        let (directory, name) = self.anchor();
        Ok(openat(directory, name, flags, Mode::empty())?)
    }

    /// Where a link leads.
    pub(crate) fn target(&self) -> io::Result<Vec<u8>> {
        let (directory, name) = self.anchor();
        Ok(readlinkat(directory, name, Vec::new())?.into_bytes())
    }
}

/// Opens a directory by its path, following links.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty())?)
}
