//! A directory of the destination, open: names are looked up in it, and in nothing else.
//!
//! A directory is opened from the one above it, never through a link, and stays open as long as
//! anything in it or below it is under way. Whoever drops the last hold removes what does not belong in it and
//! sets its attributes: by then everything in it is done, or else the run has broken off, and
//! nothing happens to it. One that the run made is closed to others until then.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use nightjar_format::manifest::Entry;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmod, fchmod, fgetxattr, fstat, mkdirat, open,
    openat, stat, statat,
};
use rustix::io::Errno;

use crate::error::{SourceError, at};
use crate::proc;
use crate::restore::attributes::{self, Object, Standing};
use crate::restore::run::Run;
use crate::restore::tally::Shortfall;
use crate::restore::temporary::remove_leftovers;
use crate::restore::{Overwrite, below, delete};

const OPEN: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory by its name in another; a link to one is none.
pub(crate) fn open_below(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    openat(parent, name, OPEN, Mode::empty())
}

/// What stands under a name, if anything does.
pub(crate) fn look(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        outcome => outcome.map(Some),
    }
}

pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Opens the destination that the user named, who may name a link.
pub(crate) fn open_destination(path: &Path) -> rustix::io::Result<OwnedFd> {
    open(path, OPEN.difference(OFlags::NOFOLLOW), Mode::empty())
}

/// A directory that is restored into.
pub(crate) struct OpenDirectory {
    fd: OwnedFd,
    /// As it is shown.
    path: PathBuf,
    /// Whether the run made it: then nothing stands in it but what the run put there.
    made: bool,
    /// Whether what is made in it gets access control lists that nobody asked for.
    passes_acl_on: bool,
    /// What it is given when all in it is done.
    entry: Option<Entry>,
    /// What is removed from it then.
    extras: OnceLock<Vec<Box<[u8]>>>,
    /// The one that it lies in, which is done after it; the destination has none.
    above: Option<Arc<Self>>,
    run: Arc<Run>,
}

impl OpenDirectory {
    /// The destination itself. `entry` is what it becomes if it is made.
    pub(crate) fn destination(
        run: &Arc<Run>,
        path: &Path,
        entry: Option<&Entry>,
    ) -> Result<Self, SourceError> {
        let made = make_destination(path).map_err(at("make", path))?;
        let fd = open_destination(path).map_err(|error| at("open", path)(error.into()))?;
        remove_leftovers(fd.as_fd());
        let entry = entry.filter(|_| made).cloned();
        Ok(Self::new(run, fd, path.to_path_buf(), made, entry, None))
    }

    /// Fails if the path that the user named leads elsewhere by now: where a disk is removed while
    /// it is in use, what is written goes to where nobody finds it.
    pub(crate) fn still_at(&self, path: &Path) -> Result<(), SourceError> {
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        let compare = || -> io::Result<bool> {
            let mine = identity(fstat(&self.fd)?);
            match stat(path) {
                Err(Errno::NOENT) => Ok(false),
                there => Ok(identity(there?) == mine),
            }
        };
        let moved = || {
            let why = "it is not where it was: was its disk removed while it was restored to?";
            io::Error::other(why)
        };
        let outcome = compare().and_then(|same| if same { Ok(()) } else { Err(moved()) });
        outcome.map_err(at("restore to", path))
    }

    fn new(
        run: &Arc<Run>,
        fd: OwnedFd,
        path: PathBuf,
        made: bool,
        entry: Option<Entry>,
        above: Option<Arc<Self>>,
    ) -> Self {
        run.open_directories.fetch_add(1, Ordering::Relaxed);
        let passes_acl_on = !matches!(
            fgetxattr(&fd, attributes::DEFAULT_ACL, &mut [0u8; 0]),
            Err(Errno::NODATA | Errno::OPNOTSUPP)
        );
        let extras = OnceLock::new();
        Self { fd, path, made, passes_acl_on, entry, extras, above, run: Arc::clone(run) }
    }

    /// Makes a directory in this one, or uses the one that is there.
    pub(crate) fn enter(self: &Arc<Self>, entry: &Entry) -> io::Result<Self> {
        let name = entry.name.as_slice();
        let made = match mkdirat(self.as_fd(), name, Mode::RWXU) {
            Err(Errno::EXIST) => false,
            outcome => outcome.map(|()| true)?,
        };
        let fd = match open_below(self.as_fd(), name) {
            Err(Errno::ACCESS) if !made => self.open_locked(name)?,
            outcome => outcome?,
        };
        let replaces = self.run.overwrite != Overwrite::Never;
        if made {
            // Somebody who may write here may have put another in its place.
            if fstat(&fd)?.st_uid != self.run.user {
                return Err(io::Error::other("it was replaced by somebody else's directory"));
            }
            if self.passes_acl_on {
                attributes::remove_acls(&Object::Open(fd.as_fd()))?;
            }
        } else {
            if replaces {
                unlock(fd.as_fd(), self.run.user)?;
            }
            remove_leftovers(fd.as_fd());
        }
        // One that was there keeps what it has, unless it is to be replaced.
        let entry = Some(entry).filter(|_| made || replaces).cloned();
        let path = below(&self.path, name);
        Ok(Self::new(&self.run, fd, path, made, entry, Some(Arc::clone(self))))
    }

    /// Opens a directory that its owner, who runs this, has locked for everybody.
    fn open_locked(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH.union(OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC);
        let handle = openat(self, name, flags, Mode::empty())?;
        if self.run.overwrite == Overwrite::Never || fstat(&handle)?.st_uid != self.run.user {
            return Err(Errno::ACCESS.into());
        }
        chmod(proc::path_of(&handle), Mode::RWXU)?;
        Ok(openat(&handle, ".", OPEN, Mode::empty())?)
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        &self.run
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn made(&self) -> bool {
        self.made
    }

    /// These names are to be removed when all in it is done, if all went well: what is lost by
    /// damage in the store must not be lost here as well.
    pub(crate) fn remove_in_the_end(&self, extras: Vec<Box<[u8]>>) {
        // Entered once, so told once.
        let _ = self.extras.set(extras);
    }

    fn remove_extras(&self) {
        let extras = self.extras.get().map(Vec::as_slice).unwrap_or_default();
        for name in extras {
            if self.run.tally.has_failures() {
                self.run.tally.miss(Shortfall::Extra);
            } else {
                delete::remove(&self.run, self.as_fd(), name, &self.path);
            }
        }
    }

    /// All in it is done, or will not be.
    fn end(&self) {
        self.run.open_directories.fetch_sub(1, Ordering::Relaxed);
        // What a run that broke off made stays closed to others.
        if self.run.tally.is_broken_off() {
            return;
        }
        self.remove_extras();
        let Some(entry) = &self.entry else { return };
        let standing = if self.made { Standing::Fresh } else { Standing::There };
        let object = Object::Open(self.fd.as_fd());
        if let Err(error) = attributes::set(&self.run, &object, entry, standing) {
            self.run.tally.fail("set the attributes of", &self.path, error);
        }
    }

    /// What is made in it, before it has attributes.
    pub(crate) fn standing(&self) -> Standing {
        if self.passes_acl_on { Standing::WithAcls } else { Standing::Fresh }
    }
}

impl AsFd for OpenDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for OpenDirectory {
    fn drop(&mut self) {
        self.end();
        // One by one: a tree may be deeper than the stack.
        let mut above = self.above.take();
        while let Some(mut directory) = above.and_then(Arc::into_inner) {
            above = directory.above.take();
        }
    }
}

/// Whether it was made.
fn make_destination(path: &Path) -> io::Result<bool> {
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => {
            let parent = path.parent().filter(|_| error.kind() == io::ErrorKind::NotFound);
            std::fs::create_dir_all(parent.ok_or(error)?)?;
            rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o777))?;
            Ok(true)
        }
    }
}

/// Lets its owner write into a directory; its mode is set when all is in it.
fn unlock(directory: BorrowedFd<'_>, user: u32) -> rustix::io::Result<()> {
    let stat = fstat(directory)?;
    if user != 0 && stat.st_uid == user && stat.st_mode & 0o700 != 0o700 {
        fchmod(directory, Mode::RWXU)?;
    }
    Ok(())
}
