//! What stands in the destination already: whether it is left there.
//!
//! A file that is kept gets the attributes of its entry, and with them perhaps rights that whoever
//! made it does not have. So only a file is kept that belongs to whom it will belong to or to who
//! restores; with setuid, only if it had that; and with names elsewhere, only if its entry has such
//! too and nothing about it changes.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use nightjar_format::manifest::{Entry, FileContent};
use nightjar_repository::read::Reader;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::error::SourceError;
use crate::restore::directory::look;
use crate::restore::layout::DataReader;
use crate::restore::run::Run;
use crate::restore::{Overwrite, attributes};

/// A file that can be kept.
pub(crate) struct Kept {
    pub(crate) file: File,
    pub(crate) stat: Stat,
}

/// The file that stands where an entry belongs, if it is kept.
pub(crate) fn kept(
    reader: &Reader<'_>,
    run: &Run,
    parent: BorrowedFd<'_>,
    entry: &Entry,
    content: &FileContent,
) -> Result<Option<Kept>, SourceError> {
    if run.overwrite == Overwrite::Never {
        return Ok(None);
    }
    let Ok(Some((file, stat))) = open_file(parent, &entry.name) else { return Ok(None) };
    if u64::try_from(stat.st_size) != Ok(content.size)
        || !is_trusted(run, file.as_fd(), &stat, entry)
    {
        return Ok(None);
    }
    let same = match run.overwrite {
        Overwrite::Never => false,
        Overwrite::IfChanged => {
            stat.st_mtime == entry.modified.seconds
                && stat.st_mtime_nsec == u64::from(entry.modified.nanoseconds)
        }
        Overwrite::Always => has_content(reader, &file, content)?,
    };
    Ok(same.then_some(Kept { file, stat }))
}

fn is_trusted(run: &Run, file: BorrowedFd<'_>, stat: &Stat, entry: &Entry) -> bool {
    let (user, _) = run.owners.of(entry);
    let owned = stat.st_uid == user || stat.st_uid == run.user;
    let same_rights = entry.mode & 0o6000 == 0 || stat.st_mode & 0o7777 == entry.mode;
    let only_here = stat.st_nlink == 1
        || entry.hard_link.is_some() && attributes::are_set(run, file, stat, entry);
    owned && same_rights && only_here
}

/// Opens a regular file for reading; nothing if something else or nothing stands there.
pub(crate) fn open_file(
    parent: BorrowedFd<'_>,
    name: &[u8],
) -> rustix::io::Result<Option<(File, Stat)>> {
    let is_file = |stat: &Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    // Looked at first: opening a device may do something.
    if !look(parent, name)?.is_some_and(|there| is_file(&there)) {
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
        outcome => outcome?,
    };
    let stat = fstat(&fd)?;
    Ok(is_file(&stat).then(|| (File::from(fd), stat)))
}

/// Whether a file has the bytes of a content, its holes included.
pub(crate) fn has_content(
    reader: &Reader<'_>,
    file: &File,
    content: &FileContent,
) -> Result<bool, SourceError> {
    let mut data = DataReader::new(file, &content.holes);
    let same = reader.content_matches(&content.content, &mut data)?;
    Ok(same && data.holes_were_empty())
}
