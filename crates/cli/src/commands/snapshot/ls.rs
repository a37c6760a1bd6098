//! `nightjar snapshot ls`

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_repository::manifest::walk::{TreeWalk, Visited};
use nightjar_repository::read::Reader;
use nightjar_repository::{Progress, RepositoryError};

use super::super::{Program, find_snapshot, paths_in_snapshot};
use crate::args::SnapshotLs;
use crate::exit::Exit;
use crate::output::Listing;
use crate::output::format::{self, local_time, nanos};
use crate::output::views::{EntryView, file_size};

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotLs) -> Result<Exit> {
    let mut selection = Selection::new(&arguments.paths)?;
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let mut walk = TreeWalk::new(info.snapshot.root);
    let mut listing = Listing::begin(program.output)?;
    while let Some(Visited { path, entry }) = walk.next(&reader)? {
        if selection.takes(&path) {
            let view = EntryView::new(&path, &entry);
            listing.add(&view, || line(&path, &entry, arguments.long))?;
        } else if !selection.lies_below(&path) && matches!(entry.kind, EntryKind::Directory { .. })
        {
            walk.skip();
        }
    }
    listing.end()?;
    selection.check()?;
    Ok(Exit::Done)
}

/// Which paths are shown: those that were named and what lies below them, or all.
struct Selection {
    paths: Vec<Vec<u8>>,
    unseen: BTreeSet<Vec<u8>>,
}

impl Selection {
    fn new(paths: &[PathBuf]) -> Result<Self> {
        let paths = paths_in_snapshot(paths)?;
        Ok(Self { unseen: paths.iter().cloned().collect(), paths })
    }

    fn takes(&mut self, path: &[u8]) -> bool {
        self.unseen.remove(path);
        self.paths.is_empty() || self.paths.iter().any(|wanted| is_at_or_below(path, wanted))
    }

    /// Whether something that was named lies below this path.
    fn lies_below(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|wanted| is_at_or_below(wanted, path))
    }

    fn check(&self) -> Result<()> {
        match self.unseen.first() {
            None => Ok(()),
            Some(path) => Err(RepositoryError::Refused(format!(
                "{} is not in the snapshot",
                format::path(path)
            ))
            .into()),
        }
    }
}

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn line(path: &[u8], entry: &Entry, long: bool) -> String {
    let path = format::path(path);
    let path = match &entry.kind {
        EntryKind::Directory { .. } => format!("{path}/"),
        EntryKind::Symlink { target } if long => format!("{path} -> {}", format::path(target)),
        _ => path,
    };
    if !long {
        return path;
    }
    let size = match entry.kind {
        EntryKind::CharacterDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            format!("{major},{minor}")
        }
        _ => file_size(entry).map(format::size).unwrap_or_default(),
    };
    format!(
        "{}{}  {:<8} {:<8} {size:>10}  {}  {path}",
        kind_letter(entry),
        permissions(entry.mode),
        owner(&entry.user, entry.uid),
        owner(&entry.group, entry.gid),
        local_time(nanos(&entry.modified)),
    )
}

fn owner(name: &[u8], number: u32) -> String {
    if name.is_empty() { number.to_string() } else { format::path(name) }
}

fn kind_letter(entry: &Entry) -> char {
    match entry.kind {
        EntryKind::File(_) => '-',
        EntryKind::Directory { .. } => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharacterDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
    }
}

/// `rwxr-xr-x`, with the letters of `ls` for setuid, setgid and sticky.
fn permissions(mode: u32) -> String {
    let triple = |shift: u32, special: u32, letter: char| {
        let bits = mode >> shift;
        let run = match (bits & 1 != 0, mode & special != 0) {
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
            (true, false) => 'x',
            (false, false) => '-',
        };
        let read = if bits & 4 != 0 { 'r' } else { '-' };
        let write = if bits & 2 != 0 { 'w' } else { '-' };
        [read, write, run]
    };
    [triple(6, 0o4000, 's'), triple(3, 0o2000, 's'), triple(0, 0o1000, 't')]
        .iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_in_ls() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o4755, "rwsr-xr-x"),
            (0o2640, "rw-r-S---"),
            (0o1777, "rwxrwxrwt"),
            (0o1000, "--------T"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn a_named_directory_stands_for_what_lies_below_it() {
        let mut selection = Selection::new(&["a/b".into()]).unwrap();
        assert!(!selection.takes(b"a"));
        assert!(selection.lies_below(b"a"));
        assert!(selection.check().is_err());
        assert!(selection.takes(b"a/b"));
        assert!(selection.takes(b"a/b/c"));
        assert!(!selection.takes(b"a/bc"));
        assert!(!selection.lies_below(b"a/bc"));
        assert!(selection.check().is_ok());
    }

    #[test]
    fn without_paths_everything_is_shown() {
        let mut selection = Selection::new(&[]).unwrap();
        assert!(selection.takes(b"a"));
        assert!(selection.check().is_ok());
    }
}
