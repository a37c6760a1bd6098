//! Links, pipes and devices: made under a temporary name, given their attributes, and renamed.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use nightjar_format::manifest::{Entry, EntryKind};
use rustix::fs::{FileType, Mode, OFlags, fstat, makedev, mknodat, openat, symlinkat};
use rustix::io::Errno;

use crate::restore::attributes::{self, Object, Standing};
use crate::restore::directory::OpenDirectory;
use crate::restore::links::Inode;
use crate::restore::tally::{Shortfall, count};
use crate::restore::temporary::Temporary;

/// Restores what is neither a file nor a directory, and says which it became, if anything.
pub(crate) fn restore(directory: &Arc<OpenDirectory>, entry: &Entry) -> io::Result<Option<Inode>> {
    let run = directory.run();
    let (kind, device) = match &entry.kind {
        EntryKind::Symlink { .. } => (FileType::Symlink, 0),
        EntryKind::Fifo => (FileType::Fifo, 0),
        EntryKind::CharacterDevice { major, minor } => {
            (FileType::CharacterDevice, makedev(*major, *minor))
        }
        EntryKind::BlockDevice { major, minor } => (FileType::BlockDevice, makedev(*major, *minor)),
        EntryKind::Socket | EntryKind::File(_) | EntryKind::Directory { .. } => {
            run.tally.miss(Shortfall::Socket);
            return Ok(None);
        }
    };
    let made = Temporary::make(directory, |at, name| match &entry.kind {
        EntryKind::Symlink { target } => symlinkat(OsStr::from_bytes(target), at, name),
        _ => mknodat(at, name, kind, Mode::RUSR | Mode::WUSR, device),
    });
    let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
    let (temporary, ()) = match made {
        Err(Errno::PERM | Errno::ACCESS) if is_device => {
            run.tally.miss(Shortfall::Device);
            return Ok(None);
        }
        made => made?,
    };
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = openat(directory, temporary.name(), flags, Mode::empty())?;
    // Somebody who may write here may have put something else in its place.
    let stat = fstat(&handle)?;
    let ours = FileType::from_raw_mode(stat.st_mode) == kind
        && stat.st_nlink == 1
        && stat.st_uid == run.user;
    if !ours {
        return Err(io::Error::other("somebody put something else in its place"));
    }
    let standing = match kind {
        FileType::Symlink => Standing::Fresh,
        _ => directory.standing(),
    };
    attributes::set(run, &Object::Handle(handle.as_fd()), entry, standing)?;
    temporary.rename(&entry.name)?;
    count(&run.tally.others);
    Ok(Some(Inode::of(&stat)))
}
