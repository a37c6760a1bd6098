//! Which entries of a snapshot are meant: those below a directory that is taken for the root, and
//! of them those at or below some paths.

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_repository::manifest::lookup;
use nightjar_repository::manifest::walk::{TreeWalk, Visited};
use nightjar_repository::read::Reader;

use crate::error::SourceError;
use crate::restore::RestoreRequest;

/// Whether a path is selected, lies below what is, or leads to it.
enum Relation {
    Inside,
    OnTheWay,
    Outside,
}

fn relation(path: &[u8], selected: &[Vec<u8>]) -> Relation {
    if selected.is_empty() {
        return Relation::Inside;
    }
    let below = |path: &[u8], top: &[u8]| {
        path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    if selected.iter().any(|top| below(path, top)) {
        Relation::Inside
    } else if selected.iter().any(|top| below(top, path)) {
        Relation::OnTheWay
    } else {
        Relation::Outside
    }
}

/// An entry that is to be restored.
pub(crate) struct Step {
    pub(crate) visited: Visited,
    /// Whether all below it is, too; a directory may only lead to a selected path.
    pub(crate) whole: bool,
}

impl Step {
    /// How many directories lead to it.
    pub(crate) fn depth(&self) -> usize {
        self.visited.path.iter().filter(|byte| **byte == b'/').count() + 1
    }
}

/// Goes through the entries that are meant, directories before what lies in them.
pub(crate) struct Selection<'a> {
    paths: &'a [Vec<u8>],
    found: Vec<bool>,
    root: BlobId,
    subtree: Option<Entry>,
    walk: TreeWalk,
}

impl<'a> Selection<'a> {
    pub(crate) fn open(
        reader: &Reader<'_>,
        request: &'a RestoreRequest<'_>,
    ) -> Result<Self, SourceError> {
        let (root, subtree) = match request.subtree.as_slice() {
            b"" => (request.snapshot.root, None),
            path => {
                let entry = lookup::find(reader, request.snapshot.root, path)?;
                match entry.as_ref().map(|entry| &entry.kind) {
                    Some(EntryKind::Directory { root }) => (*root, entry),
                    found => return Err(no_subtree(path, found.is_some())),
                }
            }
        };
        let (paths, found) = (request.paths.as_slice(), vec![false; request.paths.len()]);
        Ok(Self { paths, found, root, subtree, walk: TreeWalk::new(root) })
    }

    /// The directory that is taken for the snapshot's root.
    pub(crate) fn root(&self) -> BlobId {
        self.root
    }

    /// Its entry, where it is another.
    pub(crate) fn subtree(&self) -> Option<&Entry> {
        self.subtree.as_ref()
    }

    /// Whether everything below the root is meant.
    pub(crate) fn is_whole(&self) -> bool {
        self.paths.is_empty()
    }

    pub(crate) fn next(&mut self, reader: &Reader<'_>) -> Result<Option<Step>, SourceError> {
        while let Some(visited) = self.walk.next(reader)? {
            for (top, found) in self.paths.iter().zip(&mut self.found) {
                *found |= *top == visited.path;
            }
            let is_directory = visited.entry.is_directory();
            match relation(&visited.path, self.paths) {
                Relation::Inside => return Ok(Some(Step { visited, whole: true })),
                Relation::OnTheWay if is_directory => {
                    return Ok(Some(Step { visited, whole: false }));
                }
                Relation::Outside if is_directory => self.walk.skip(),
                Relation::OnTheWay | Relation::Outside => {}
            }
        }
        Ok(None)
    }

    /// Passes over what lies in the directory that was returned last.
    pub(crate) fn skip(&mut self) {
        self.walk.skip();
    }

    /// Whether every path was there, once all has been gone through.
    pub(crate) fn check_found(&self) -> Result<(), SourceError> {
        match self.paths.iter().zip(&self.found).find(|(_, found)| !**found) {
            Some((path, _)) => Err(SourceError::Selection(format!(
                "the snapshot holds no {}; `nightjar snapshot ls` shows what it holds",
                String::from_utf8_lossy(path)
            ))),
            None => Ok(()),
        }
    }
}

fn no_subtree(path: &[u8], is_something: bool) -> SourceError {
    let path = String::from_utf8_lossy(path);
    SourceError::Selection(if is_something {
        format!("{path} is no directory of the snapshot: name it as a PATH, without --subtree")
    } else {
        format!(
            "the snapshot holds no directory {path}; `nightjar snapshot ls` shows what it holds"
        )
    })
}
