//! What is taken out of a snapshot.
//!
//! Where many snapshots share their directories, those in which nothing is taken out are read once
//! ([`Search`]).

use std::collections::{BTreeMap, BTreeSet};

use nightjar_format::manifest::{Entry, EntryKind};

use super::LeavesOut;
use crate::error::Result;
use crate::manifest::search::{Criterion, Search};
use crate::manifest::walk::{TreeWalk, Visited};
use crate::read::Reader;
use crate::snapshots::SnapshotInfo;

/// Paths of directories; the root's is empty.
pub(super) type Touched = BTreeSet<Vec<u8>>;

/// How much is taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Regular files; a hard link counts each time.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Bytes of files of which no name is left.
    pub bytes: u64,
}

impl Tally {
    /// All entries.
    pub fn entries(&self) -> u64 {
        self.files + self.directories + self.others
    }
}

/// An entry that is taken out, and does not lie in a directory that is.
#[derive(Debug, Clone, Copy)]
pub struct Taken<'a> {
    /// Where it stands.
    pub path: &'a [u8],
    /// It is a directory, and everything in it is taken out too.
    pub is_directory: bool,
}

pub(super) struct Found {
    pub(super) taken: Tally,
    pub(super) touched: Touched,
}

/// Looks at one snapshot after another.
pub(super) struct Look<'a, 'r> {
    reader: &'a Reader<'r>,
    leaves_out: LeavesOut<'a>,
    search: Search,
}

impl<'a, 'r> Look<'a, 'r> {
    pub(super) fn new(reader: &'a Reader<'r>, leaves_out: LeavesOut<'a>) -> Self {
        Self { reader, leaves_out, search: Search::new(Criterion::Path) }
    }

    pub(super) fn at(
        &mut self,
        info: &SnapshotInfo,
        each: &mut dyn FnMut(Taken<'_>),
    ) -> Result<Found> {
        let mut found = Found { taken: Tally::default(), touched: Touched::new() };
        // Bytes of files with several names, by their number.
        let mut linked = BTreeMap::new();
        let mut inside: Option<Vec<u8>> = None;
        self.search.enter(self.reader, info.snapshot.root)?;
        while let Some(Visited { path, entry }) = self.search.next(self.reader)? {
            if !inside.as_ref().is_some_and(|above| lies_in(&path, above)) {
                inside = None;
                let is_directory = entry.is_directory();
                if !(self.leaves_out)(&path, is_directory) {
                    continue;
                }
                each(Taken { path: &path, is_directory });
                touch(&mut found.touched, &path);
                inside = is_directory.then_some(path);
            }
            self.search.keep();
            count(&entry, &mut found.taken, &mut linked);
        }
        if !linked.is_empty() {
            self.keep_linked(info, &mut linked)?;
            found.taken.bytes += linked.values().sum::<u64>();
        }
        Ok(found)
    }

    /// Strikes out files that keep another name.
    fn keep_linked(&self, info: &SnapshotInfo, linked: &mut BTreeMap<u64, u64>) -> Result<()> {
        let mut walk = TreeWalk::new(info.snapshot.root);
        while let Some(Visited { path, entry }) = walk.next(self.reader)? {
            let is_directory = entry.is_directory();
            if !(self.leaves_out)(&path, is_directory) {
                entry.hard_link.iter().for_each(|number| {
                    linked.remove(number);
                });
            } else if is_directory {
                walk.skip();
            }
        }
        Ok(())
    }
}

fn lies_in(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}

/// Notes all directories above a path.
pub(super) fn touch(touched: &mut Touched, path: &[u8]) {
    let mut above = path;
    while let Some(end) = above.iter().rposition(|byte| *byte == b'/') {
        above = above.get(..end).unwrap_or_default();
        if !touched.insert(above.to_vec()) {
            return;
        }
    }
    touched.insert(Vec::new());
}

fn count(entry: &Entry, taken: &mut Tally, linked: &mut BTreeMap<u64, u64>) {
    match (&entry.kind, entry.hard_link) {
        (EntryKind::Directory { .. }, _) => taken.directories += 1,
        (EntryKind::File(file), None) => {
            taken.files += 1;
            taken.bytes += file.data_bytes();
        }
        (EntryKind::File(file), Some(number)) => {
            taken.files += 1;
            linked.insert(number, file.data_bytes());
        }
        _ => taken.others += 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_directories_above_what_is_taken_out_are_touched() {
        let mut touched = Touched::new();
        for path in [b"a/b/c".as_slice(), b"a/b2", b"d", b"a/b/e"] {
            touch(&mut touched, path);
        }
        let paths: Vec<&[u8]> = touched.iter().map(Vec::as_slice).collect();
        assert_eq!(paths, [b"".as_slice(), b"a", b"a/b"]);
    }

    #[test]
    fn a_name_that_begins_alike_lies_elsewhere() {
        assert!(lies_in(b"a/b/c", b"a/b") && !lies_in(b"a/bc", b"a/b") && !lies_in(b"a/b", b"a/b"));
    }
}
