//! Names that nothing keeps: what is under way stands under one, and is renamed when it is whole.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, RenameFlags, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use crate::listing::names;
use crate::restore::directory::OpenDirectory;
use crate::restore::{Overwrite, delete};

const PREFIX: &str = ".nightjar-restoring-";

/// Names that no other process of this machine uses.
pub(crate) struct TemporaryNames {
    process: i32,
    used: AtomicU32,
}

impl TemporaryNames {
    pub(crate) fn new() -> Self {
        Self { process: rustix::process::getpid().as_raw_pid(), used: AtomicU32::new(0) }
    }

    fn next(&self) -> String {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        format!("{PREFIX}{:08x}{number:08x}", self.process)
    }
}

/// Something under a temporary name; removed when it is dropped.
pub(crate) struct Temporary {
    directory: Arc<OpenDirectory>,
    name: String,
    stands: bool,
}

impl Temporary {
    /// Makes something in a directory under a name that is free.
    pub(crate) fn make<T>(
        directory: &Arc<OpenDirectory>,
        make: impl Fn(BorrowedFd<'_>, &str) -> rustix::io::Result<T>,
    ) -> rustix::io::Result<(Self, T)> {
        loop {
            let name = directory.run().names.next();
            match make(directory.as_fd(), &name) {
                // Somebody else's: left alone.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
                Ok(made) => {
                    let directory = Arc::clone(directory);
                    return Ok((Self { directory, name, stands: true }, made));
                }
            }
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it its final name. What stands there is replaced, if the run may do that.
    pub(crate) fn rename(mut self, name: &[u8]) -> io::Result<()> {
        let run = self.directory.run();
        match self.try_rename(name) {
            Err(Errno::ISDIR) if run.delete => {
                delete::remove(run, self.directory.as_fd(), name, self.directory.path());
                self.try_rename(name)?;
            }
            outcome => outcome?,
        }
        self.stands = false;
        Ok(())
    }

    fn try_rename(&self, name: &[u8]) -> rustix::io::Result<()> {
        let fd = self.directory.as_fd();
        let replace = || renameat(fd, &*self.name, fd, name);
        match self.directory.run().overwrite {
            Overwrite::Never => {
                match renameat_with(fd, &*self.name, fd, name, RenameFlags::NOREPLACE) {
                    // Some file systems know no flags; the plan has looked.
                    Err(Errno::INVAL) => replace(),
                    outcome => outcome,
                }
            }
            Overwrite::IfChanged | Overwrite::Always => replace(),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if self.stands {
            // If it cannot go, it is in nobody's way.
            let _ = unlinkat(self.directory.as_fd(), &*self.name, AtFlags::empty());
        }
    }
}

/// Whether it is one of ours.
pub(crate) fn is_leftover(name: &[u8]) -> bool {
    name.strip_prefix(PREFIX.as_bytes())
        .is_some_and(|digits| digits.len() == 16 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Removes what a killed run left in a directory. Whether one is in use by a restore into the same
/// place at the same time cannot be told, and that one fails.
pub(crate) fn remove_leftovers(directory: BorrowedFd<'_>) {
    let Ok(names) = names(directory) else { return };
    for name in names.flatten().filter(|name| is_leftover(name)) {
        let _ = unlinkat(directory, &*name, AtFlags::empty());
    }
}
