//! What differs between two trees.
//!
//! Both are walked side by side; a directory whose root is the same in both is passed over, so
//! comparing costs what changed, not what is there.

use std::cmp::Ordering;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind};

use crate::error::Result;
use crate::manifest::walk::{DirectoryWalk, join};
use crate::read::Reader;

/// How an entry changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// Its content, target or kind is another.
    Modified,
    /// Only mode, owner, times or attributes differ.
    Metadata,
}

/// One entry that differs.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The names from the root, joined with slashes.
    pub path: Vec<u8>,
    /// How it changed.
    pub change: Change,
    /// As it was.
    pub old: Option<Entry>,
    /// As it is.
    pub new: Option<Entry>,
}

/// Tells `report` every difference between two trees, in the order of their paths.
pub fn diff(
    reader: &Reader<'_>,
    old_root: BlobId,
    new_root: BlobId,
    report: &mut dyn FnMut(Difference) -> Result<()>,
) -> Result<()> {
    if old_root == new_root {
        return Ok(());
    }
    directories(reader, b"", Some(old_root), Some(new_root), report)
}

/// Compares two directories, one of which may be missing.
fn directories(
    reader: &Reader<'_>,
    path: &[u8],
    old_root: Option<BlobId>,
    new_root: Option<BlobId>,
    report: &mut dyn FnMut(Difference) -> Result<()>,
) -> Result<()> {
    let (mut old_walk, mut new_walk) =
        (old_root.map(DirectoryWalk::new), new_root.map(DirectoryWalk::new));
    let next = |walk: &mut Option<DirectoryWalk>| match walk {
        Some(walk) => walk.next(reader),
        None => Ok(None),
    };
    let (mut old, mut new) = (next(&mut old_walk)?, next(&mut new_walk)?);
    loop {
        let order = match (&old, &new) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.name.cmp(&new.name),
        };
        let (left, right) = match order {
            Ordering::Less => (old.take(), None),
            Ordering::Greater => (None, new.take()),
            Ordering::Equal => (old.take(), new.take()),
        };
        entries(reader, path, left, right, report)?;
        if order != Ordering::Greater {
            old = next(&mut old_walk)?;
        }
        if order != Ordering::Less {
            new = next(&mut new_walk)?;
        }
    }
}

/// Compares two entries of one name, one of which may be missing.
fn entries(
    reader: &Reader<'_>,
    path: &[u8],
    old: Option<Entry>,
    new: Option<Entry>,
    report: &mut dyn FnMut(Difference) -> Result<()>,
) -> Result<()> {
    let name = old.as_ref().or(new.as_ref()).map(|entry| entry.name.clone()).unwrap_or_default();
    let path = join(path, &name);
    let root_of = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.kind) {
        Some(EntryKind::Directory { root }) => Some(*root),
        _ => None,
    };
    let (old_root, new_root) = (root_of(&old), root_of(&new));
    let change = match (&old, &new) {
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(old), Some(new)) => compare(old, new),
    };
    if let Some(change) = change {
        report(Difference { path: path.clone(), change, old, new })?;
    }
    if old_root == new_root {
        return Ok(());
    }
    directories(reader, &path, old_root, new_root, report)
}

fn compare(old: &Entry, new: &Entry) -> Option<Change> {
    let same_content = match (&old.kind, &new.kind) {
        // What lies below is compared by itself.
        (EntryKind::Directory { .. }, EntryKind::Directory { .. }) => true,
        (EntryKind::File(old), EntryKind::File(new)) => {
            old.size == new.size && old.content == new.content && old.holes == new.holes
        }
        (old, new) => old == new,
    };
    if !same_content {
        return Some(Change::Modified);
    }
    let same_metadata = old.mode == new.mode
        && (old.uid, old.gid) == (new.uid, new.gid)
        && (&old.user, &old.group) == (&new.user, &new.group)
        && old.modified == new.modified
        && old.attributes == new.attributes;
    (!same_metadata).then_some(Change::Metadata)
}
