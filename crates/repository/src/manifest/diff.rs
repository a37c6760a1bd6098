//! What differs between two trees.
//!
//! Both are walked side by side; a directory whose root is the same in both is passed over, so
//! comparing costs what changed, not what is there.

use std::cmp::Ordering;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind};

use crate::error::Result;
use crate::manifest::lookup;
use crate::manifest::walk::{DirectoryWalk, check_depth, join};
use crate::read::Reader;

/// How an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is the content of an entry that is gone from its old path; only
    /// [`renames`](crate::manifest::renames) finds these.
    Renamed,
    /// Its content, target or kind is another.
    Modified,
    /// Only what is in [`Metadata`] differs.
    Metadata,
}

/// What an entry has besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// Permission bits.
    Mode,
    /// The owner's number or name.
    Owner,
    /// The group's number or name.
    Group,
    /// When it was modified.
    Modified,
    /// Extended attributes.
    Attributes,
    /// Which other entries are the same file.
    HardLink,
}

/// One entry that differs.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The names from the root, joined with slashes.
    pub path: Vec<u8>,
    /// Where it stood before, if it was renamed.
    pub old_path: Option<Vec<u8>>,
    /// How it changed.
    pub change: Change,
    /// As it was.
    pub old: Option<Entry>,
    /// As it is.
    pub new: Option<Entry>,
}

/// Two entries of one path, at least one of which is there.
struct Pair {
    path: Vec<u8>,
    old: Option<Entry>,
    new: Option<Entry>,
}

/// Goes through the differences between two trees in the order of their paths.
pub struct DiffWalk {
    /// What is compared when nothing is open.
    named: std::vec::IntoIter<Pair>,
    open: Vec<SideBySide>,
}

impl DiffWalk {
    /// Compares everything below two roots.
    pub fn new(old_root: BlobId, new_root: BlobId) -> Self {
        let mut walk = Self { named: Vec::new().into_iter(), open: Vec::new() };
        walk.open_directories(Vec::new(), Some(old_root), Some(new_root));
        walk
    }

    /// Compares only what stands at these paths and below them. Returns the paths that stand in
    /// neither tree as well.
    pub fn at(
        reader: &Reader<'_>,
        (old_root, new_root): (BlobId, BlobId),
        paths: &[Vec<u8>],
    ) -> Result<(Self, Vec<Vec<u8>>)> {
        let (mut pairs, mut missing) = (Vec::new(), Vec::new());
        for path in outermost(paths) {
            let old = lookup::find(reader, old_root, &path)?;
            let new = lookup::find(reader, new_root, &path)?;
            if old.is_none() && new.is_none() {
                missing.push(path);
            } else {
                pairs.push(Pair { path, old, new });
            }
        }
        Ok((Self { named: pairs.into_iter(), open: Vec::new() }, missing))
    }

    /// The next difference.
    pub fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Difference>> {
        while let Some(pair) = self.next_pair(reader)? {
            let (old_root, new_root) = (root_of(pair.old.as_ref()), root_of(pair.new.as_ref()));
            if old_root != new_root {
                check_depth(self.open.len(), &pair.path)?;
                self.open_directories(pair.path.clone(), old_root, new_root);
            }
            let change = match (&pair.old, &pair.new) {
                (None, _) => Some(Change::Added),
                (_, None) => Some(Change::Removed),
                (Some(old), Some(new)) => compare(old, new),
            };
            if let Some(change) = change {
                let Pair { path, old, new } = pair;
                return Ok(Some(Difference { path, old_path: None, change, old, new }));
            }
        }
        Ok(None)
    }

    fn next_pair(&mut self, reader: &Reader<'_>) -> Result<Option<Pair>> {
        while let Some(directories) = self.open.last_mut() {
            match directories.next(reader)? {
                Some(pair) => return Ok(Some(pair)),
                None => drop(self.open.pop()),
            }
        }
        Ok(self.named.next())
    }

    fn open_directories(&mut self, path: Vec<u8>, old: Option<BlobId>, new: Option<BlobId>) {
        if old != new {
            self.open.push(SideBySide { path, old: Side::new(old), new: Side::new(new) });
        }
    }
}

/// The paths without those that lie at or below others, sorted as a walk meets them.
fn outermost(paths: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut sorted: Vec<Vec<&[u8]>> =
        paths.iter().map(|path| path.split(|byte| *byte == b'/').collect()).collect();
    sorted.sort();
    let mut kept: Vec<Vec<&[u8]>> = Vec::new();
    for path in sorted {
        if kept.last().is_none_or(|last| !path.starts_with(last)) {
            kept.push(path);
        }
    }
    kept.into_iter().map(|names| names.join(&b'/')).collect()
}

/// Two directories of one path, one of which may be missing.
struct SideBySide {
    path: Vec<u8>,
    old: Side,
    new: Side,
}

/// One of the two, and the entry that was read of it and not yet compared.
struct Side {
    walk: Option<DirectoryWalk>,
    ahead: Option<Entry>,
}

impl Side {
    fn new(root: Option<BlobId>) -> Self {
        Self { walk: root.map(DirectoryWalk::new), ahead: None }
    }

    fn peek(&mut self, reader: &Reader<'_>) -> Result<Option<&Entry>> {
        if let (None, Some(walk)) = (&self.ahead, &mut self.walk) {
            self.ahead = walk.next(reader)?;
            if self.ahead.is_none() {
                self.walk = None;
            }
        }
        Ok(self.ahead.as_ref())
    }
}

impl SideBySide {
    /// The next name, with the entries that have it.
    fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Pair>> {
        let order = match (self.old.peek(reader)?, self.new.peek(reader)?) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let old = if order == Ordering::Greater { None } else { self.old.ahead.take() };
        let new = if order == Ordering::Less { None } else { self.new.ahead.take() };
        let entry = old.as_ref().or(new.as_ref());
        let path = join(&self.path, entry.map(|entry| entry.name.as_slice()).unwrap_or_default());
        Ok(Some(Pair { path, old, new }))
    }
}

fn root_of(entry: Option<&Entry>) -> Option<BlobId> {
    match entry.map(|entry| &entry.kind) {
        Some(EntryKind::Directory { root }) => Some(*root),
        _ => None,
    }
}

fn compare(old: &Entry, new: &Entry) -> Option<Change> {
    if !same_content(&old.kind, &new.kind) {
        return Some(Change::Modified);
    }
    (!metadata(old, new).is_empty()).then_some(Change::Metadata)
}

/// Whether two entries are of one kind and hold the same.
pub(crate) fn same_content(old: &EntryKind, new: &EntryKind) -> bool {
    match (old, new) {
        // What lies below is compared by itself.
        (EntryKind::Directory { .. }, EntryKind::Directory { .. }) => true,
        (EntryKind::File(old), EntryKind::File(new)) => {
            old.size == new.size && old.content == new.content && old.holes == new.holes
        }
        (old, new) => old == new,
    }
}

/// Which of their metadata differ. Where they were read (`origin`) is no property of theirs.
pub fn metadata(old: &Entry, new: &Entry) -> Vec<Metadata> {
    let differs = [
        (Metadata::Mode, old.mode != new.mode),
        (Metadata::Owner, old.uid != new.uid || old.user != new.user),
        (Metadata::Group, old.gid != new.gid || old.group != new.group),
        (Metadata::Modified, old.modified != new.modified),
        (Metadata::Attributes, old.attributes != new.attributes),
        (Metadata::HardLink, old.hard_link != new.hard_link),
    ];
    differs.into_iter().filter(|(_, differs)| *differs).map(|(metadata, _)| metadata).collect()
}

#[cfg(test)]
mod tests {
    use nightjar_format::manifest::{Attribute, Timestamp};

    use super::*;

    fn entry() -> Entry {
        Entry::new(b"a", EntryKind::Fifo)
    }

    #[test]
    fn each_piece_of_metadata_counts() {
        let attribute = Attribute { name: b"user.a".to_vec(), value: vec![] };
        let time = Timestamp { seconds: 1, nanoseconds: 0 };
        let cases = [
            (Entry { mode: 0o600, ..entry() }, Metadata::Mode),
            (Entry { uid: 2, ..entry() }, Metadata::Owner),
            (Entry { user: b"x".to_vec(), ..entry() }, Metadata::Owner),
            (Entry { gid: 2, ..entry() }, Metadata::Group),
            (Entry { group: b"x".to_vec(), ..entry() }, Metadata::Group),
            (Entry { modified: time, ..entry() }, Metadata::Modified),
            (Entry { attributes: vec![attribute], ..entry() }, Metadata::Attributes),
            (Entry { hard_link: Some(1), ..entry() }, Metadata::HardLink),
        ];
        for (new, expected) in cases {
            assert_eq!(metadata(&entry(), &new), [expected]);
            assert_eq!(compare(&entry(), &new), Some(Change::Metadata));
        }
        assert_eq!(compare(&entry(), &entry()), None);
    }

    #[test]
    fn another_kind_is_another_content() {
        let link = Entry { kind: EntryKind::Symlink { target: b"b".to_vec() }, ..entry() };
        let other = Entry { kind: EntryKind::Symlink { target: b"c".to_vec() }, ..entry() };
        assert_eq!(compare(&entry(), &link), Some(Change::Modified));
        assert_eq!(compare(&link, &other), Some(Change::Modified));
        assert_eq!(compare(&link, &link), None);
    }

    #[test]
    fn a_path_below_another_is_not_compared_twice() {
        let paths = |texts: &[&str]| -> Vec<Vec<u8>> {
            texts.iter().map(|text| text.as_bytes().to_vec()).collect()
        };
        assert_eq!(outermost(&paths(&["b", "a/c", "a", "b", "a-b"])), paths(&["a", "a-b", "b"]));
    }
}
