//! Removing what the snapshot does not hold.
//!
//! Directories are entered by their names in the directory above, never through a link, and never
//! where another file system begins: what is mounted below the destination was put there by
//! somebody else for another purpose.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nightjar_format::BlobId;
use nightjar_repository::manifest::walk::DirectoryWalk;
use nightjar_repository::read::Reader;
use rustix::fs::{AtFlags, Mode, StatxAttributes, StatxFlags, fchmod, fstat, statx, unlinkat};
use rustix::io::Errno;

use crate::error::SourceError;
use crate::listing::names;
use crate::restore::below;
use crate::restore::directory::{is_directory, look, open_below};
use crate::restore::run::Run;
use crate::restore::tally::{Shortfall, count};
use crate::restore::temporary::is_leftover;

/// Of the sorted names in a directory, those that are not in the snapshot's. Leftovers go anyway.
pub(crate) fn extras(
    reader: &Reader<'_>,
    root: BlobId,
    names: Vec<Box<[u8]>>,
) -> Result<Vec<Box<[u8]>>, SourceError> {
    let mut walk = DirectoryWalk::new(root);
    let mut held = walk.next(reader)?;
    let mut extras = Vec::new();
    for name in names {
        while held.as_ref().is_some_and(|held| *held.name < *name) {
            held = walk.next(reader)?;
        }
        if held.as_ref().is_none_or(|held| *held.name != *name) && !is_leftover(&name) {
            extras.push(name);
        }
    }
    Ok(extras)
}

/// A directory that is being emptied.
struct Emptied {
    fd: OwnedFd,
    name: Vec<u8>,
    left: Vec<Box<[u8]>>,
    path: std::path::PathBuf,
}

/// Removes what stands under a name, and all below it. Not gone into deeper with every level: a
/// tree may be as deep as its maker liked.
pub(crate) fn remove(run: &Run, parent: BorrowedFd<'_>, name: &[u8], parent_path: &Path) {
    let mut open: Vec<Emptied> = Vec::new();
    descend_or_unlink(run, &mut open, Some(parent), name, parent_path);
    while let Some(last) = open.last_mut() {
        if let Some(name) = last.left.pop() {
            let path = last.path.clone();
            descend_or_unlink(run, &mut open, None, &name, &path);
            continue;
        }
        let Some(Emptied { name, path, .. }) = open.pop() else { return };
        let above = open.last().map_or(parent, |above| above.fd.as_fd());
        match unlinkat(above, name.as_slice(), AtFlags::REMOVEDIR) {
            Ok(()) => count(&run.tally.deleted),
            // What is left in it has been told.
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
            Err(error) => run.tally.fail("delete", &path, error),
        }
    }
}

/// Unlinks a name in the innermost open directory, or opens it if it is a directory itself.
fn descend_or_unlink(
    run: &Run,
    open: &mut Vec<Emptied>,
    top: Option<BorrowedFd<'_>>,
    name: &[u8],
    parent_path: &Path,
) {
    let path = below(parent_path, name);
    let above = open.last().map(|above| above.fd.as_fd()).or(top);
    let Some(above) = above else { return };
    let opened = look(above, name).and_then(|there| match there {
        Some(stat) if is_directory(&stat) => enter(run, above, name),
        Some(_) => unlinkat(above, name, AtFlags::empty()).map(|()| {
            count(&run.tally.deleted);
            None
        }),
        None => Ok(None),
    });
    match opened {
        Ok(Some((fd, left))) => open.push(Emptied { fd, name: name.to_vec(), left, path }),
        Ok(None) => {}
        Err(error) => run.tally.fail("delete", &path, error),
    }
}

type Entered = Option<(OwnedFd, Vec<Box<[u8]>>)>;

/// Opens a directory that is to be emptied, unless another file system begins there.
fn enter(run: &Run, above: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Entered> {
    let fd = open_below(above, name)?;
    if is_mounted(fd.as_fd(), above)? {
        run.tally.miss(Shortfall::MountPoint);
        return Ok(None);
    }
    let stat = fstat(&fd)?;
    if run.user != 0 && stat.st_uid == run.user && stat.st_mode & 0o700 != 0o700 {
        fchmod(&fd, Mode::RWXU)?;
    }
    let left = names(&fd)?.collect::<rustix::io::Result<_>>()?;
    Ok(Some((fd, left)))
}

/// Whether a directory is a mount point, even one of the same file system.
fn is_mounted(directory: BorrowedFd<'_>, above: BorrowedFd<'_>) -> rustix::io::Result<bool> {
    if fstat(directory)?.st_dev != fstat(above)?.st_dev {
        return Ok(true);
    }
    match statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty()) {
        Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        // An old kernel: removing the mount point itself will fail.
        Err(Errno::NOSYS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// How many entries [`remove`] would remove.
pub(crate) fn count_below(parent: BorrowedFd<'_>, name: &[u8]) -> u64 {
    let Ok(Some(stat)) = look(parent, name) else { return 0 };
    if !is_directory(&stat) {
        return 1;
    }
    let mut found = 0;
    let mut open: Vec<(OwnedFd, Vec<Box<[u8]>>)> = Vec::new();
    found += u64::from(list_below(parent, name, &mut open));
    while let Some((fd, left)) = open.last_mut() {
        let Some(name) = left.pop() else {
            open.pop();
            continue;
        };
        let is_directory =
            look(fd.as_fd(), &name).is_ok_and(|it| it.is_some_and(|it| is_directory(&it)));
        if !is_directory {
            found += 1;
            continue;
        }
        let Ok(parent) = fd.try_clone() else { continue };
        found += u64::from(list_below(parent.as_fd(), &name, &mut open));
    }
    found
}

/// Opens a directory to be counted; whether it would be removed.
fn list_below(
    parent: BorrowedFd<'_>,
    name: &[u8],
    open: &mut Vec<(OwnedFd, Vec<Box<[u8]>>)>,
) -> bool {
    let Ok(fd) = open_below(parent, name) else { return false };
    if is_mounted(fd.as_fd(), parent).unwrap_or(true) {
        return false;
    }
    let left = names(&fd).into_iter().flatten().flatten().collect();
    open.push((fd, left));
    true
}
