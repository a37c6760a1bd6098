//! Which snapshots are looked into, and which paths of their trees are shown.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use nightjar_repository::RepositoryError;
use nightjar_repository::snapshots::{SnapshotInfo, SnapshotList};

use super::super::paths_in_snapshot;
use crate::output::format;

/// The snapshots with these ids, else all of the series, else all: each once, oldest first.
pub(in crate::commands) fn snapshots<'a>(
    list: &'a SnapshotList,
    ids: &[String],
    series: Option<&str>,
) -> Result<Vec<&'a SnapshotInfo>> {
    let all = list.snapshots.iter();
    if !ids.is_empty() {
        let found = ids.iter().map(|id| Ok(list.find(id, series)?.id));
        let ids = found.collect::<Result<BTreeSet<_>>>()?;
        let all = all.chain(&list.forgotten);
        return Ok(all.filter(|info| ids.contains(&info.id)).collect());
    }
    match series {
        Some(series) => Ok(list.of_series(series)?),
        None => Ok(all.collect()),
    }
}

/// Paths that were named and what lies below them, or all; only so many levels of them.
pub(super) struct Selection {
    paths: Vec<Vec<u8>>,
    depth: usize,
    unseen: BTreeSet<Vec<u8>>,
}

impl Selection {
    pub(super) fn new(paths: &[PathBuf], depth: Option<usize>) -> Result<Self> {
        let paths = paths_in_snapshot(paths)?;
        let unseen = paths.iter().cloned().collect();
        Ok(Self { unseen, paths, depth: depth.unwrap_or(usize::MAX) })
    }

    /// Whether this path is shown.
    pub(super) fn takes(&mut self, path: &[u8]) -> bool {
        self.unseen.remove(path);
        self.levels_above(path).is_some_and(|levels| levels <= self.depth)
    }

    /// Whether something that is shown, or was named, may lie below this path.
    pub(super) fn goes_below(&self, path: &[u8]) -> bool {
        self.levels_above(path).is_some_and(|levels| levels < self.depth)
            || self.paths.iter().any(|wanted| levels_between(path, wanted).is_some())
    }

    /// How many levels a path lies below the nearest that was named, or below the root.
    fn levels_above(&self, path: &[u8]) -> Option<usize> {
        if self.paths.is_empty() {
            return Some(1 + slashes(path));
        }
        self.paths.iter().filter_map(|wanted| levels_between(wanted, path)).min()
    }

    /// Refuses if something that was named did not come up.
    pub(super) fn check(&self) -> Result<()> {
        match self.unseen.first() {
            None => Ok(()),
            Some(path) => Err(RepositoryError::Refused(format!(
                "{} is not in the snapshot; `nightjar snapshot find` tells which snapshots hold it",
                format::path(path)
            ))
            .into()),
        }
    }
}

/// How many levels lie between a path and one at or below it.
fn levels_between(above: &[u8], path: &[u8]) -> Option<usize> {
    let rest = path.strip_prefix(above)?;
    (rest.is_empty() || rest.starts_with(b"/")).then(|| slashes(rest))
}

fn slashes(path: &[u8]) -> usize {
    path.iter().filter(|byte| **byte == b'/').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_directory_stands_for_what_lies_below_it() {
        let mut selection = Selection::new(&["a/b".into()], None).unwrap();
        assert!(!selection.takes(b"a"));
        assert!(selection.goes_below(b"a"));
        assert!(selection.check().is_err());
        assert!(selection.takes(b"a/b"));
        assert!(selection.takes(b"a/b/c"));
        assert!(!selection.takes(b"a/bc"));
        assert!(!selection.goes_below(b"a/bc"));
        assert!(selection.check().is_ok());
    }

    #[test]
    fn without_paths_everything_is_shown() {
        let mut selection = Selection::new(&[], None).unwrap();
        assert!(selection.takes(b"a"));
        assert!(selection.goes_below(b"a"));
        assert!(selection.check().is_ok());
    }

    #[test]
    fn levels_count_from_what_was_named() {
        let mut all = Selection::new(&[], Some(1)).unwrap();
        assert!(all.takes(b"a") && !all.goes_below(b"a") && !all.takes(b"a/b"));
        let mut named = Selection::new(&["a".into(), "a/b/c".into()], Some(1)).unwrap();
        assert!(named.takes(b"a") && named.takes(b"a/b") && !named.takes(b"a/b/d"));
        // What was named lies below.
        assert!(named.goes_below(b"a/b") && !named.goes_below(b"a/x"));
        assert!(named.takes(b"a/b/c") && named.takes(b"a/b/c/d") && !named.takes(b"a/b/c/d/e"));
        assert!(named.goes_below(b"a/b/c") && !named.goes_below(b"a/b/c/d"));
    }
}
