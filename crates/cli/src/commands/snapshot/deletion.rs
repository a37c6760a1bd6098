//! What a restore with `--delete` must not delete: the repository that it reads from.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;
use nightjar_repository::RepositoryError;

use super::super::Program;

/// Refuses a restore of `paths` that removes what the snapshot lacks, if the repository lies where
/// it would: no snapshot holds all of the repository it is in.
pub(super) fn spare_repository(
    program: &Program<'_>,
    destination: &Path,
    paths: &[Vec<u8>],
) -> Result<()> {
    let url = &program.access()?.url;
    // What is not there holds nothing.
    let real = |path: &Path| path.canonicalize().ok();
    let (Some(repository), Some(real_destination)) =
        (url.directory().and_then(real), real(destination))
    else {
        return Ok(());
    };
    if !endangers(&repository, &real_destination, paths) {
        return Ok(());
    }
    Err(RepositoryError::Refused(format!(
        "--delete would remove what the repository in {} consists of; restore to another directory \
         than {}, or only what lies beside it, or without --delete",
        repository.display(),
        destination.display()
    ))
    .into())
}

/// Whether a directory that is restored wholly holds the repository or lies in it.
fn endangers(repository: &Path, destination: &Path, paths: &[Vec<u8>]) -> bool {
    let Ok(repository) = repository.strip_prefix(destination) else {
        return destination.starts_with(repository);
    };
    let selected = |path: &Vec<u8>| {
        let path = Path::new(OsStr::from_bytes(path));
        repository.starts_with(path) || path.starts_with(repository)
    };
    paths.is_empty() || paths.iter().any(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endangered(destination: &str, paths: &[&str]) -> bool {
        let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        endangers(Path::new("/srv/backup"), Path::new(destination), &paths)
    }

    #[test]
    fn a_repository_is_not_deleted_by_a_restore_from_it() {
        for destination in ["/", "/srv", "/srv/backup", "/srv/backup/packs"] {
            assert!(endangered(destination, &[]), "{destination}");
        }
        assert!(endangered("/", &["etc", "srv"]));
        assert!(endangered("/", &["srv/backup"]));
        assert!(endangered("/", &["srv/backup/packs/00"]));
    }

    #[test]
    fn what_lies_beside_the_repository_can_be_restored() {
        for destination in ["/srv/backup2", "/srv/data", "/home"] {
            assert!(!endangered(destination, &[]), "{destination}");
        }
        assert!(!endangered("/", &["etc", "srv/data", "srv/backup2"]));
        assert!(!endangered("/srv", &["data"]));
    }
}
