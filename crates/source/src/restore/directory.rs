//! Restoring into a directory.
//!
//! A file is written under a temporary name beside its place and renamed when it is complete
//! and has its mode and time: no half-written file ever stands under its final name. A temporary
//! name is always a fresh one; what a killed run left is removed when its directory is entered,
//! before anything is restored there. Modes and times of directories are set when everything in
//! them is.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use nightjar_format::manifest::{Entry, EntryKind, FileContent};
use nightjar_repository::manifest::walk::Visited;
use nightjar_repository::read::Reader;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, makedev, mknodat,
    renameat_with, utimensat,
};

use crate::error::{SourceError, at};
use crate::restore::plan::{destination, plan, visit_selected};
use crate::restore::sparse::Sparse;
use crate::restore::{Overwrite, RestoreReport, RestoreRequest};

/// Restores into a directory, which is made if it is missing.
pub fn restore_to_directory(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<RestoreReport, SourceError> {
    let bytes = plan(reader, request, directory)?;
    reader.progress().total.store(bytes, Ordering::Relaxed);
    fs::create_dir_all(directory).map_err(at("make", directory))?;
    remove_leftovers(directory);
    let mut restore = Restore {
        reader,
        overwrite: request.overwrite,
        as_root: rustix::process::geteuid().is_root(),
        open_directories: Vec::new(),
        temporaries: 0,
        report: RestoreReport::default(),
    };
    visit_selected(reader, request, &mut |visited| restore.entry(directory, visited))?;
    restore.close_directories(|_| false)?;
    Ok(restore.report)
}

struct Restore<'a> {
    reader: &'a Reader<'a>,
    overwrite: Overwrite,
    as_root: bool,
    /// Directories whose modes and times are still to be set, outermost first.
    open_directories: Vec<(PathBuf, Entry)>,
    /// Temporary names used so far.
    temporaries: u32,
    report: RestoreReport,
}

impl Restore<'_> {
    fn entry(&mut self, directory: &Path, visited: Visited) -> Result<(), SourceError> {
        let path = destination(directory, &visited.path);
        self.close_directories(|open| path.starts_with(open))?;
        let entry = visited.entry;
        match &entry.kind {
            EntryKind::Directory { .. } => {
                let made = make_directory(&path)?;
                if !made && self.overwrite == Overwrite::Always {
                    // So that its owner can write into it; its mode is set when all is in it.
                    let _ = fs::set_permissions(&path, Permissions::from_mode(0o700));
                }
                self.report.directories += 1;
                // One that was there keeps what it has, unless it is to be replaced.
                if made || self.overwrite == Overwrite::Always {
                    self.open_directories.push((path, entry));
                }
                Ok(())
            }
            EntryKind::File(file) => {
                self.in_place(&path, &entry, |this, temporary| this.file(temporary, file))?;
                self.report.files += 1;
                self.report.bytes += file.size;
                Ok(())
            }
            EntryKind::Socket => {
                let warning = format!("{} is a socket, which cannot be restored", path.display());
                self.report.warnings.push(warning);
                Ok(())
            }
            kind => {
                self.report.others += 1;
                self.in_place(&path, &entry, |this, temporary| this.special(temporary, kind))
            }
        }
    }

    /// Makes something under a temporary name, then gives it its attributes and its name.
    fn in_place(
        &mut self,
        path: &Path,
        entry: &Entry,
        make: impl Fn(&mut Self, &Path) -> Result<bool, SourceError>,
    ) -> Result<(), SourceError> {
        let (temporary, made) = loop {
            self.temporaries = self.temporaries.wrapping_add(1);
            let number = (rustix::process::getpid().as_raw_pid(), self.temporaries);
            let temporary = path.with_file_name(temporary_name(number));
            match make(self, &temporary) {
                // Somebody else's: left alone.
                Err(SourceError::Local { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists => {}
                made => break (temporary, made),
            }
        };
        let outcome = made.and_then(|made| {
            if made {
                self.set_attributes(&temporary, entry)?;
                self.rename(&temporary, path)?;
            }
            Ok(())
        });
        if outcome.is_err() {
            // What failed already says why.
            let _ = fs::remove_file(&temporary);
        }
        outcome.map_err(|error| match error {
            // The temporary name means nothing to anybody.
            SourceError::Local { action, path: at, source } if at == temporary => {
                SourceError::Local { action, path: path.to_path_buf(), source }
            }
            other => other,
        })
    }

    fn file(&mut self, path: &Path, content: &FileContent) -> Result<bool, SourceError> {
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(at("make", path))?;
        write_content(self.reader, content, &mut file)
            .map_err(|error| name_destination(error, path))?;
        Ok(true)
    }

    fn special(&mut self, path: &Path, kind: &EntryKind) -> Result<bool, SourceError> {
        let made = match kind {
            EntryKind::Symlink { target } => {
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path)
            }
            EntryKind::Fifo => node(path, FileType::Fifo, 0),
            EntryKind::CharacterDevice { major, minor } => {
                node(path, FileType::CharacterDevice, makedev(*major, *minor))
            }
            EntryKind::BlockDevice { major, minor } => {
                node(path, FileType::BlockDevice, makedev(*major, *minor))
            }
            _ => Ok(()),
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && !self.as_root => {
                let warning = format!("cannot make {}: {error}", path.display());
                self.report.warnings.push(warning);
                Ok(false)
            }
            outcome => outcome.map(|()| true).map_err(at("make", path)),
        }
    }

    /// Owner first: changing it clears setuid.
    fn set_attributes(&mut self, path: &Path, entry: &Entry) -> Result<(), SourceError> {
        if self.as_root {
            std::os::unix::fs::lchown(path, Some(entry.uid), Some(entry.gid))
                .map_err(at("set the owner of", path))?;
        }
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            // Setuid for whoever restores, instead of the owner, would give rights away.
            let mode = if self.as_root { entry.mode } else { entry.mode & 0o1777 };
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(at("set the mode of", path))?;
        }
        let modified =
            Timespec { tv_sec: entry.modified.seconds, tv_nsec: entry.modified.nanoseconds.into() };
        let times = Timestamps { last_access: modified, last_modification: modified };
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| at("set the time of", path)(error.into()))
    }

    fn rename(&self, temporary: &Path, path: &Path) -> Result<(), SourceError> {
        let flags = match self.overwrite {
            Overwrite::Never => RenameFlags::NOREPLACE,
            Overwrite::Always => RenameFlags::empty(),
        };
        match renameat_with(CWD, temporary, CWD, path, flags) {
            Err(rustix::io::Errno::EXIST) => Err(SourceError::Exists { path: path.to_path_buf() }),
            // Some file systems know no flags; the plan has looked.
            Err(rustix::io::Errno::INVAL) => {
                fs::rename(temporary, path).map_err(at("rename to", path))
            }
            outcome => outcome.map_err(|error| at("rename to", path)(error.into())),
        }
    }

    /// Sets modes and times of the directories that are done: all but those `still_open`.
    fn close_directories(&mut self, still_open: impl Fn(&Path) -> bool) -> Result<(), SourceError> {
        while let Some((path, entry)) = self.open_directories.pop_if(|(path, _)| !still_open(path))
        {
            self.set_attributes(&path, &entry)?;
        }
        Ok(())
    }
}

/// Makes a directory, or uses the one that is there; a link to one would lead elsewhere. Whether
/// it was made.
fn make_directory(path: &Path) -> Result<bool, SourceError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let there = fs::symlink_metadata(path).map_err(at("look at", path))?;
            if !there.is_dir() {
                return Err(at("make", path)(error));
            }
            remove_leftovers(path);
            Ok(false)
        }
        outcome => outcome.map(|()| true).map_err(at("make", path)),
    }
}

const TEMPORARY: &str = ".nightjar-restoring-";

/// A name that no other process of this machine uses.
fn temporary_name((process, number): (i32, u32)) -> String {
    format!("{TEMPORARY}{process:08x}{number:08x}")
}

/// Removes what a killed run left in a directory. Temporary names are ours; whether one is in
/// use by a restore into the same place at the same time cannot be told, and that one fails.
fn remove_leftovers(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let digits = name.to_str().and_then(|name| name.strip_prefix(TEMPORARY));
        let ours = digits.is_some_and(|digits| {
            digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
        if ours {
            // If it cannot go, it is in nobody's way.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn node(path: &Path, kind: FileType, device: u64) -> io::Result<()> {
    Ok(mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device)?)
}

/// Writes a file's bytes, holes left out.
fn write_content(
    reader: &Reader<'_>,
    content: &FileContent,
    file: &mut File,
) -> Result<(), SourceError> {
    if content.holes.is_empty() {
        reader.copy_content(&content.content, file)?;
        return Ok(());
    }
    let mut sparse = Sparse::new(file, &content.holes);
    reader.copy_content(&content.content, &mut sparse)?;
    file.set_len(content.size).map_err(|source| nightjar_repository::RepositoryError::Stream {
        what: "cannot set the length".into(),
        source,
    })?;
    Ok(())
}

/// Says which file a write error hit.
fn name_destination(error: SourceError, path: &Path) -> SourceError {
    match error {
        SourceError::Repository(nightjar_repository::RepositoryError::Stream {
            source, ..
        }) => at("write", path)(source),
        other => other,
    }
}
