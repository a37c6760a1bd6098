//! Trees of a real file system, stored and given back.

use std::fs;
use std::path::Path;

use nightjar_repository::ingest::{Feeder, create_snapshot};
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, Repository};
use nightjar_testkit::fixture::{Fixture, request};
use tempfile::TempDir;

use super::*;

/// A repository in memory and a directory to store.
struct Scene {
    repository: Repository,
    directory: TempDir,
    _fixture: Fixture,
}

impl Scene {
    fn new() -> Self {
        let fixture = Fixture::new(1);
        let directory = tempfile::tempdir().unwrap();
        Self { repository: fixture.open(), directory, _fixture: fixture }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A file of the directory, with those that lead to it.
    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn store(&self, tree: &TreeRequest) -> (SnapshotInfo, Notes) {
        let mut notes = Notes::default();
        let feed = |feeder: &mut Feeder<'_>| feed_paths(feeder, tree, &mut notes);
        let progress = Progress::default();
        let info = create_snapshot(&self.repository, &request("tree"), &progress, feed).unwrap();
        (info, notes)
    }

    /// Stores all of the directory but what is excluded.
    fn store_all(&self, excludes: Excludes) -> (SnapshotInfo, Notes) {
        let paths = vec![self.path().to_path_buf()];
        self.store(&TreeRequest { paths, excludes, ..TreeRequest::default() })
    }
}

#[test]
fn verifying_misses_the_files_of_a_directory_that_is_gone() {
    let scene = Scene::new();
    scene.write("a/b/1", b"one");
    scene.write("a/b/2", b"two");
    let (info, _) = scene.store_all(Excludes::default());
    let progress = Progress::default();
    let reader = Reader::open(&scene.repository, &progress).unwrap();
    let restored = RestoreRequest::new(&info.snapshot);
    let target = tempfile::tempdir().unwrap();
    let verify = || verify_restored(&reader, &restored, target.path()).unwrap();
    restore_to_directory(&reader, &restored, target.path()).unwrap();
    assert_eq!(verify().failed, 0);
    let a = target.path().join(scene.path().strip_prefix("/").unwrap()).join("a");
    fs::rename(a.join("b"), a.join("elsewhere")).unwrap();
    assert_eq!((verify().failed, verify().damaged), (2, true));
    std::os::unix::fs::symlink("elsewhere", a.join("b")).unwrap();
    assert_eq!((verify().failed, verify().damaged), (2, true));
}
