//! Owner, mode, extended attributes and times of what was restored.
//!
//! Everything is set through an open descriptor: a name could mean something else by now. The order
//! matters. Changing the owner clears setuid and file capabilities, so it comes first. Extended
//! attributes of a user can be set only while the mode lets its owner write, so the mode comes after
//! them; access control lists, whose mask is the mode's group bits, come after the mode. Each of
//! these may change times, which come last.
//!
//! What this user may not set is counted and told once (`tally`); it fails nothing.

use std::ffi::CString;
use std::io;
use std::os::fd::BorrowedFd;

use nightjar_format::manifest::{Attribute, Entry, EntryKind};
use rustix::fs::{
    AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid, XattrFlags, chmod, chownat, fchmod,
    fchown, fgetxattr, flistxattr, flistxattr_query, fremovexattr, fsetxattr, fstat, futimens,
    removexattr, setxattr, utimensat,
};
use rustix::io::Errno;

use crate::proc;
use crate::restore::run::Run;
use crate::restore::tally::Shortfall;

const ACL: &str = "system.posix_acl_access";
pub(crate) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// Something whose attributes are set.
pub(crate) enum Object<'a> {
    /// A file or directory that is open.
    Open(BorrowedFd<'a>),
    /// A place that cannot be opened, such as a link or a device: a descriptor of the name alone.
    Handle(BorrowedFd<'a>),
}

/// Which attributes it may have that its entry lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// None: the run has made it.
    Fresh,
    /// Access control lists: the run has made it where directories pass them on.
    WithAcls,
    /// Any: it was there before.
    There,
}

impl Object<'_> {
    pub(crate) fn stat(&self) -> rustix::io::Result<Stat> {
        match self {
            Self::Open(fd) | Self::Handle(fd) => fstat(fd),
        }
    }

    fn chown(&self, user: Option<u32>, group: Option<u32>) -> rustix::io::Result<()> {
        // The highest number means "as it is" to the system: nothing can belong to it.
        if user == Some(u32::MAX) || group == Some(u32::MAX) {
            return Err(Errno::INVAL);
        }
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        match self {
            Self::Open(fd) => fchown(fd, user, group),
            Self::Handle(fd) => chownat(fd, "", user, group, AtFlags::EMPTY_PATH),
        }
    }

    fn chmod(&self, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open(fd) => fchmod(fd, mode),
            Self::Handle(fd) => chmod(proc::path_of(fd), mode),
        }
    }

    fn set_attribute(&self, attribute: &Attribute) -> rustix::io::Result<()> {
        let name = CString::new(attribute.name.as_slice()).map_err(|_| Errno::INVAL)?;
        let (value, flags) = (&attribute.value, XattrFlags::empty());
        match self {
            Self::Open(fd) => fsetxattr(fd, &*name, value, flags),
            Self::Handle(fd) => setxattr(proc::path_of(fd), &*name, value, flags),
        }
    }

    fn has(&self, attribute: &Attribute) -> bool {
        let Self::Open(fd) = self else { return false };
        let mut value = vec![0u8; attribute.value.len() + 1];
        fgetxattr(fd, attribute.name.as_slice(), value.as_mut_slice())
            .is_ok_and(|len| value.get(..len) == Some(attribute.value.as_slice()))
    }

    fn set_times(&self, times: &Timestamps) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => futimens(fd, times),
            Self::Handle(fd) => utimensat(fd, "", times, AtFlags::EMPTY_PATH),
        }
    }

    fn remove_attribute(&self, name: &[u8]) -> rustix::io::Result<()> {
        match self {
            Self::Open(fd) => fremovexattr(fd, name),
            Self::Handle(fd) => removexattr(proc::path_of(fd), name),
        }
    }

    /// The names of its extended attributes. What cannot be opened is new, and can have nothing but
    /// what its directory passes on.
    fn attribute_names(&self) -> rustix::io::Result<Vec<Vec<u8>>> {
        let Self::Open(fd) = self else { return Ok(vec![ACL.into()]) };
        let mut list = match flistxattr_query(fd) {
            Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            outcome => vec![0u8; outcome?],
        };
        let len = flistxattr(fd, list.as_mut_slice())?;
        let names = list.get(..len).unwrap_or_default().split(|byte| *byte == 0);
        Ok(names.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }
}

/// Gives an object all attributes of its entry.
pub(crate) fn set(
    run: &Run,
    object: &Object<'_>,
    entry: &Entry,
    standing: Standing,
) -> io::Result<()> {
    let stat = object.stat()?;
    let owned = set_owner(run, object, &stat, entry)?;
    if standing != Standing::Fresh {
        remove_attributes(run, object, entry)?;
    }
    let is_acl = |it: &&Attribute| it.name == ACL.as_bytes() || it.name == DEFAULT_ACL.as_bytes();
    for attribute in entry.attributes.iter().filter(|it| !is_acl(it)) {
        // What is right already need not be permitted.
        if standing != Standing::There || !object.has(attribute) {
            set_attribute(run, object, attribute)?;
        }
    }
    if !matches!(entry.kind, EntryKind::Symlink { .. }) {
        set_mode(run, object, &stat, entry, owned)?;
    }
    for attribute in entry.attributes.iter().filter(is_acl) {
        set_attribute(run, object, attribute)?;
    }
    let modified =
        Timespec { tv_sec: entry.modified.seconds, tv_nsec: entry.modified.nanoseconds.into() };
    Ok(object.set_times(&Timestamps { last_access: modified, last_modification: modified })?)
}

/// Sets owner and group where they differ. Whether both are as recorded.
fn set_owner(run: &Run, object: &Object<'_>, stat: &Stat, entry: &Entry) -> io::Result<bool> {
    let (user, group) = run.owners.of(entry);
    let (other_user, other_group) = (stat.st_uid != user, stat.st_gid != group);
    let group = other_group.then_some(group);
    if !other_user && !other_group {
        return Ok(true);
    }
    let may = |outcome: rustix::io::Result<()>| match outcome {
        Ok(()) => Ok(true),
        // Also where a namespace has no such number.
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => Ok(false),
        Err(error) => Err(io::Error::from(error)),
    };
    if other_user {
        if may(object.chown(Some(user), group))? {
            return Ok(true);
        }
        run.tally.miss(Shortfall::Owner);
    }
    if other_group && !may(object.chown(None, group))? {
        run.tally.miss(Shortfall::Group);
        return Ok(false);
    }
    Ok(!other_user)
}

/// Setuid for whoever restores, instead of the owner, would give rights away.
fn set_mode(
    run: &Run,
    object: &Object<'_>,
    before: &Stat,
    entry: &Entry,
    owned: bool,
) -> io::Result<()> {
    let mut mode = entry.mode;
    if !owned && mode & 0o6000 != 0 {
        mode &= 0o1777;
        run.tally.miss(Shortfall::SetId);
    }
    // A change of owner has cleared setuid.
    if before.st_mode & 0o7777 != mode || mode & 0o6000 != 0 {
        object.chmod(mode)?;
    }
    Ok(())
}

fn set_attribute(run: &Run, object: &Object<'_>, attribute: &Attribute) -> io::Result<()> {
    match object.set_attribute(attribute) {
        Ok(()) => Ok(()),
        Err(error) if is_shortfall(error) => {
            run.tally.miss(Shortfall::Attributes(namespace(&attribute.name)));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether an attribute is impossible here, which is no fault of the disk. A file system that
/// keeps attributes in a block says that there is no space for a long one.
fn is_shortfall(error: Errno) -> bool {
    matches!(
        error,
        Errno::PERM
            | Errno::ACCESS
            | Errno::OPNOTSUPP
            | Errno::INVAL
            | Errno::RANGE
            | Errno::TOOBIG
            | Errno::NOSPC
            | Errno::NODATA
            | Errno::NOENT
    )
}

fn namespace(name: &[u8]) -> String {
    let first = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    String::from_utf8_lossy(first.get(..first.len().min(32)).unwrap_or_default()).into_owned()
}

/// Whether an attribute that an entry lacks is to go. Not what a system keeps for itself, such as
/// its labels or another kind of access control list.
fn is_removable(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name == ACL.as_bytes()
        || name == DEFAULT_ACL.as_bytes()
}

fn lacks(entry: &Entry, name: &[u8]) -> bool {
    !entry.attributes.iter().any(|attribute| attribute.name == name)
}

fn remove_attributes(run: &Run, object: &Object<'_>, entry: &Entry) -> io::Result<()> {
    for name in object.attribute_names()? {
        if !is_removable(&name) || !lacks(entry, &name) {
            continue;
        }
        match object.remove_attribute(&name) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) if is_shortfall(error) => {
                run.tally.miss(Shortfall::Attributes(namespace(&name)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes what a directory has from the one that it was made in.
pub(crate) fn remove_acls(object: &Object<'_>) -> rustix::io::Result<()> {
    let Object::Open(fd) = object else { return Ok(()) };
    for name in [ACL, DEFAULT_ACL] {
        match fremovexattr(fd, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a file has exactly the owner, mode and attributes of an entry.
pub(crate) fn are_set(run: &Run, fd: BorrowedFd<'_>, stat: &Stat, entry: &Entry) -> bool {
    let same_numbers =
        run.owners.of(entry) == (stat.st_uid, stat.st_gid) && stat.st_mode & 0o7777 == entry.mode;
    let object = Object::Open(fd);
    let Ok(names) = object.attribute_names() else { return false };
    same_numbers
        && !names.iter().any(|name| is_removable(name) && lacks(entry, name))
        && entry.attributes.iter().all(|attribute| object.has(attribute))
}
