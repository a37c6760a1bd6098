//! What is left out of a tree.
//!
//! Patterns are those of `.gitignore` files (gitignore(5)), compared with paths in the snapshot:
//! those given for the whole run first, then those of ignore files, the deepest first. The first
//! that matches decides; what lies in a directory that is left out is not looked at.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::fs::{FileType, Mode, OFlags, openat};

use crate::error::SourceError;
use crate::tree::status::Status;

/// What to leave out.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    /// Patterns for the whole run.
    pub patterns: Vec<String>,
    /// Files with patterns, one per line, for the whole run.
    pub pattern_files: Vec<PathBuf>,
    /// Names of files that hold patterns for the directory they lie in.
    pub ignore_files: Vec<String>,
    /// What lies in directories with a `CACHEDIR.TAG`.
    pub caches: bool,
    /// What lies on another file system than the path that leads to it.
    pub other_file_systems: bool,
    /// Files of more bytes.
    pub larger_than: Option<u64>,
    /// Directories of this program, such as the repository: storing them in themselves would make
    /// them grow with every run.
    pub own: Vec<PathBuf>,
    /// Files last modified before this time, in Unix nanoseconds.
    pub older_than: Option<i64>,
}

/// Patterns for a whole run.
pub struct Patterns(Gitignore);

impl Patterns {
    /// Takes patterns, then those in files, one per line.
    pub fn new(patterns: &[String], files: &[PathBuf]) -> Result<Self, SourceError> {
        let bad = |error: ignore::Error| SourceError::Selection(format!("--exclude: {error}"));
        let mut builder = GitignoreBuilder::new("");
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(bad)?;
        }
        for path in files {
            let text = std::fs::read_to_string(path).map_err(|error| SourceError::Path {
                path: path.clone(),
                why: error.to_string(),
            })?;
            for line in text.lines() {
                builder.add_line(Some(path.clone()), line).map_err(bad)?;
            }
        }
        builder.build().map(Self).map_err(bad)
    }

    /// Whether they leave out the entry at this path in a snapshot, and what lies in it if it is a
    /// directory.
    pub fn leave_out(&self, place: &[u8], is_directory: bool) -> bool {
        let place = Path::new(OsStr::from_bytes(place));
        matches!(self.0.matched(place, is_directory), Match::Ignore(_))
    }
}

/// Decides what is left out.
pub(crate) struct Filter {
    excludes: Excludes,
    given: Patterns,
    /// Device and inode of [`Excludes::own`].
    own: Vec<((u32, u32), u64)>,
    /// Of the ignore files in the directories that are open, the deepest last.
    found: Vec<Gitignore>,
}

/// Bytes of an ignore file, at most.
const IGNORE_FILE_BYTES: u64 = 1 << 20;
/// What a directory of caches is known by (bford.info/cachedir).
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

impl Filter {
    pub(crate) fn new(excludes: &Excludes) -> Result<Self, SourceError> {
        let given = Patterns::new(&excludes.patterns, &excludes.pattern_files)?;
        // What does not exist yet is not met.
        let status = |path: &PathBuf| Status::followed(path).ok();
        let own = excludes.own.iter().filter_map(status).map(|it| (it.device(), it.inode()));
        let own = own.collect();
        Ok(Self { excludes: excludes.clone(), given, own, found: Vec::new() })
    }

    /// Whether this is a directory of this program.
    pub(crate) fn is_own(&self, status: &Status) -> bool {
        status.is_directory() && self.own.contains(&(status.device(), status.inode()))
    }

    /// Whether an entry is left out; `place` is its path in the snapshot.
    pub(crate) fn leaves_out(&self, place: &[u8], status: &Status) -> bool {
        self.is_unwanted(status) || self.matches(place, status.is_directory())
    }

    fn is_unwanted(&self, status: &Status) -> bool {
        if status.kind() != FileType::RegularFile {
            return false;
        }
        let modified = status.modified();
        let nanos = i128::from(modified.seconds) * 1_000_000_000 + i128::from(modified.nanoseconds);
        self.excludes.larger_than.is_some_and(|limit| status.size() > limit)
            || self.excludes.older_than.is_some_and(|limit| nanos < i128::from(limit))
    }

    fn matches(&self, place: &[u8], is_directory: bool) -> bool {
        let place = Path::new(OsStr::from_bytes(place));
        let rules = std::iter::once(&self.given.0).chain(self.found.iter().rev());
        for rules in rules.filter(|rules| !rules.is_empty()) {
            match rules.matched(place, is_directory) {
                Match::None => {}
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
            }
        }
        false
    }

    /// Whether what lies in a directory is left out because it lies on another file system than
    /// `home`.
    pub(crate) fn stops_at(&self, home: (u32, u32), status: &Status) -> bool {
        self.excludes.other_file_systems && status.device() != home
    }

    /// Enters a directory: reads its ignore files. Says of those that cannot be read why.
    pub(crate) fn enter(&mut self, directory: &OwnedFd, place: &[u8]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut builder = GitignoreBuilder::new(Path::new(OsStr::from_bytes(place)));
        for name in &self.excludes.ignore_files {
            let text = match read_text(directory, name) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    complaints.push(format!("{name}: {error}"));
                    continue;
                }
            };
            for line in text.lines() {
                if let Err(error) = builder.add_line(None, line) {
                    complaints.push(format!("{name}: {error}"));
                }
            }
        }
        self.found.push(builder.build().unwrap_or_else(|error| {
            complaints.push(error.to_string());
            Gitignore::empty()
        }));
        complaints
    }

    /// Leaves the directory that was entered last.
    pub(crate) fn leave(&mut self) {
        self.found.pop();
    }

    /// The one name that is stored of a directory of caches, if this is one and they are left out.
    pub(crate) fn only_name(&self, directory: &OwnedFd) -> Option<&'static str> {
        let is_tagged = || read_beginning(directory, CACHE_TAG, CACHE_SIGNATURE.len() as u64);
        (self.excludes.caches && is_tagged().ok()? == CACHE_SIGNATURE).then_some(CACHE_TAG)
    }
}

/// Part of an ignore file could say the opposite of all of it, so it is all or nothing.
fn read_text(directory: &OwnedFd, name: &str) -> io::Result<String> {
    let text = read_beginning(directory, name, IGNORE_FILE_BYTES + 1)?;
    if text.len() as u64 > IGNORE_FILE_BYTES {
        return Err(io::Error::other("it is longer than 1 MiB, and nothing in it counts"));
    }
    String::from_utf8(text)
        .map_err(|_| io::Error::other("it is no UTF-8, and nothing in it counts"))
}

fn read_beginning(directory: &OwnedFd, name: &str, bytes: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let mut beginning = Vec::new();
    file.take(bytes).read_to_end(&mut beginning)?;
    Ok(beginning)
}
