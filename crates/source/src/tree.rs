//! Files and directories.
//!
//! Each given path stands in the snapshot's root under its own last name. What cannot be read
//! is reported, counted and left out; the snapshot says how many.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind, Origin, Timestamp};
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, Feeder};
use rustix::fs::{Mode, OFlags};

use crate::dump::empty_file;
use crate::error::SourceError;
use crate::{Notes, recognise};

/// Feeds the given paths.
pub fn feed_paths(
    feeder: &mut Feeder<'_>,
    paths: &[PathBuf],
    notes: &mut Notes,
) -> Result<Fed, SourceError> {
    let mut roots: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for path in paths {
        let name = root_name(path)?;
        if let Some(other) = roots.insert(name.clone(), path.clone()) {
            let why = format!("it has the same last name as {}", other.display());
            return Err(SourceError::Path { path: path.clone(), why });
        }
    }
    let mut walker = Walker { feeder, notes };
    for (name, path) in &roots {
        // A path that was named must be there: leaving it out in silence would be a lie.
        let metadata = fs::symlink_metadata(path)
            .map_err(|error| SourceError::Path { path: path.clone(), why: error.to_string() })?;
        if !metadata.is_dir() && !metadata.is_file() {
            let what = if metadata.is_symlink() { "a symbolic link" } else { "not a file" };
            let warning = format!("{} is {what}: nothing behind it is stored", path.display());
            walker.notes.warnings.push(warning);
        }
        walker.visit(path, name, &metadata)?;
    }
    let unreadable = walker.notes.unreadable;
    let paths = paths.iter().map(|path| path.as_os_str().as_bytes().to_vec()).collect();
    Ok(Fed { source: Source::Paths { paths }, unreadable })
}

/// The name under which a path stands in the snapshot.
fn root_name(path: &Path) -> Result<OsString, SourceError> {
    let unnamed = |why: String| SourceError::Path { path: path.to_path_buf(), why };
    if let (Some(name), false) = (path.file_name(), path.as_os_str().as_bytes().ends_with(b"/.")) {
        return Ok(name.to_owned());
    }
    let full = fs::canonicalize(path).map_err(|error| unnamed(error.to_string()))?;
    full.file_name().map(OsStr::to_owned).ok_or_else(|| {
        unnamed("the root of the file system has no name; give the paths below it".into())
    })
}

struct Walker<'a, 'b> {
    feeder: &'a mut Feeder<'b>,
    notes: &'a mut Notes,
}

impl Walker<'_, '_> {
    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        self.notes.unreadable += 1;
        self.notes.warnings.push(format!("cannot read {}: {error}", path.display()));
    }

    fn visit(&mut self, path: &Path, name: &OsStr, metadata: &Metadata) -> Result<(), SourceError> {
        let kind = metadata.file_type();
        if kind.is_dir() {
            return self.directory(path, name, metadata);
        }
        if kind.is_file() {
            return self.file(path, name, metadata);
        }
        let (major, minor) = device_numbers(metadata.rdev());
        let kind = if kind.is_symlink() {
            match fs::read_link(path) {
                Ok(target) => EntryKind::Symlink { target: target.into_os_string().into_vec() },
                Err(error) => {
                    self.unreadable(path, &error);
                    return Ok(());
                }
            }
        } else if kind.is_fifo() {
            EntryKind::Fifo
        } else if kind.is_char_device() {
            EntryKind::CharacterDevice { major, minor }
        } else if kind.is_block_device() {
            EntryKind::BlockDevice { major, minor }
        } else {
            EntryKind::Socket
        };
        Ok(self.feeder.other(entry(name, metadata, kind))?)
    }

    fn directory(
        &mut self,
        path: &Path,
        name: &OsStr,
        metadata: &Metadata,
    ) -> Result<(), SourceError> {
        let listed = fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
        let mut names: Vec<OsString> = match listed {
            Ok(names) => names,
            Err(error) => {
                self.unreadable(path, &error);
                return Ok(());
            }
        };
        names.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        self.feeder.enter_directory(name.as_bytes())?;
        for name in names {
            let path = path.join(&name);
            match fs::symlink_metadata(&path) {
                Ok(metadata) => self.visit(&path, &name, &metadata)?,
                Err(error) => self.unreadable(&path, &error),
            }
        }
        // The engine puts the root in when it has built the directory.
        let kind = EntryKind::Directory { root: BlobId([0; 32]) };
        Ok(self.feeder.leave_directory(entry(name, metadata, kind))?)
    }

    fn file(&mut self, path: &Path, name: &OsStr, metadata: &Metadata) -> Result<(), SourceError> {
        let file = match open_same(path, metadata) {
            Ok(file) => file,
            Err(error) => {
                self.unreadable(path, &error);
                return Ok(());
            }
        };
        let mut reader = Watched { file: &file, error: None };
        let mut beginning = Vec::new();
        let is_toc = name == "toc.dat";
        let what = path.display().to_string();
        self.feeder.stream_inspected(name.as_bytes(), &mut reader, &what, &mut |bytes| {
            if is_toc && beginning.is_empty() {
                beginning = bytes.get(..bytes.len().min(64)).unwrap_or_default().to_vec();
            }
        })?;
        if let Some(error) = reader.error {
            self.unreadable(path, &error);
            return Ok(self.feeder.discard()?);
        }
        // A directory-format dump tells in its table of contents whether it is compressed.
        if beginning.starts_with(b"PGDMP") {
            self.notes.warnings.extend(recognise::advice(&beginning));
        }
        let mut entry = entry(name, metadata, empty_file());
        if let EntryKind::File(content) = &mut entry.kind {
            content.changed_while_read =
                file.metadata().is_ok_and(|after| changed(metadata, &after));
            if content.changed_while_read {
                let warning = format!("{} changed while it was read", path.display());
                self.notes.warnings.push(warning);
            }
        }
        Ok(self.feeder.file(entry)?)
    }
}

/// Opens a file that was looked at before. Something else may stand there by now: a link is not
/// followed, and a pipe not waited for.
fn open_same(path: &Path, metadata: &Metadata) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | flags, Mode::empty())?);
    let opened = file.metadata()?;
    let identity = |m: &Metadata| (m.dev(), m.ino());
    if opened.is_file() && identity(&opened) == identity(metadata) {
        Ok(file)
    } else {
        Err(io::Error::other("it was replaced by something else while it was looked at"))
    }
}

/// Ends the stream at an error and keeps the error: one bad file must not end the run.
struct Watched<'a> {
    file: &'a File,
    error: Option<io::Error>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.file.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.error = Some(error);
                Ok(0)
            }
            outcome => outcome,
        }
    }
}

fn changed(before: &Metadata, after: &Metadata) -> bool {
    let state = |m: &Metadata| (m.len(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec());
    state(before) != state(after)
}

fn device_numbers(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

fn timestamp(seconds: i64, nanoseconds: i64) -> Timestamp {
    Timestamp { seconds, nanoseconds: u32::try_from(nanoseconds).unwrap_or(0) }
}

fn entry(name: &OsStr, metadata: &Metadata, kind: EntryKind) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        user: vec![],
        group: vec![],
        modified: timestamp(metadata.mtime(), metadata.mtime_nsec()),
        origin: Some(Origin {
            changed: timestamp(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }),
        hard_link: None,
        attributes: vec![],
        kind,
    }
}
