//! Directories whose entries are known to be on the disk.
//!
//! A file survives a power failure only if every directory on the way to it does. Whoever makes a
//! directory syncs the one above, but between the two steps anybody may find it and write into
//! it. So nobody trusts a directory that they find: the first write into it makes it, if need be,
//! and syncs the one above in any case.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The directories below a store's root.
#[derive(Debug)]
pub(super) struct Directories {
    durable: Mutex<HashSet<PathBuf>>,
}

impl Directories {
    /// `root` is durable already, and free of symbolic links.
    pub(super) fn below(root: PathBuf) -> Self {
        Self { durable: Mutex::new(HashSet::from([root])) }
    }

    /// Makes the directories above `file`, up to the root, and syncs their entries.
    pub(super) fn make_parent_durable(&self, file: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = file
            .ancestors()
            .skip(1)
            .take_while(|directory| !self.durable().contains(*directory))
            .collect();
        for directory in missing.into_iter().rev() {
            make_and_sync_entry(directory)?;
            self.durable().insert(directory.to_owned());
        }
        Ok(())
    }

    /// Syncs the names in the directory of `file`, which need not exist.
    pub(super) fn sync_parent(&self, file: &Path) -> io::Result<()> {
        match file.parent().map_or(Ok(()), sync) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    fn durable(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes `root` and the directories above it as far as they are missing, and syncs their entries.
pub(super) fn create_durably(root: &Path) -> io::Result<()> {
    let missing: Vec<&Path> =
        root.ancestors().take_while(|directory| !directory.exists()).collect();
    if missing.is_empty() {
        return sync_entry_where_permitted(root);
    }
    missing.into_iter().rev().try_for_each(make_and_sync_entry)
}

/// The root may have been made by somebody who was killed before syncing. Where the directory
/// above belongs to somebody else, or to a file system that cannot sync, it was made long ago.
fn sync_entry_where_permitted(root: &Path) -> io::Result<()> {
    use ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    match root.parent().map_or(Ok(()), sync) {
        Err(error) => match error.kind() {
            InvalidInput | PermissionDenied | ReadOnlyFilesystem | Unsupported => Ok(()),
            _ => Err(error),
        },
        Ok(()) => Ok(()),
    }
}

fn make_and_sync_entry(directory: &Path) -> io::Result<()> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    directory.parent().map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_trusted_only_after_its_entry_was_synced() {
        let root = tempfile::tempdir().unwrap();
        let directories = Directories::below(root.path().to_owned());
        fs::create_dir_all(root.path().join("packs/ab")).unwrap();
        let file = root.path().join("packs/ab/x");
        let is_trusted = |name: &str| directories.durable().contains(&root.path().join(name));
        assert!(!is_trusted("packs/ab"));
        directories.make_parent_durable(&file).unwrap();
        assert!(is_trusted("packs") && is_trusted("packs/ab"));
        assert!(!is_trusted("packs/cd"));
    }

    #[test]
    fn a_root_that_has_vanished_is_not_made_again() {
        let above = tempfile::tempdir().unwrap();
        let directories = Directories::below(above.path().join("root"));
        let error = directories.make_parent_durable(&above.path().join("root/packs/x"));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
