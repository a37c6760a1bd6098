//! Trees of a real file system, stored and given back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::Path;

use nightjar_repository::ingest::{Feeder, create_snapshot};
use nightjar_repository::manifest::walk::{TreeWalk, Visited};
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, Repository};
use nightjar_source::tree::Excludes;
use nightjar_source::{
    Notes, RestoreRequest, TreeRequest, feed_paths, restore_to_directory, verify_restored,
};
use nightjar_testkit::fixture::{Fixture, request};
use rustix::fs::{
    AtFlags, Mode, OFlags, XattrFlags, fsetxattr, linkat, mkdirat, openat, symlinkat,
};
use tempfile::TempDir;

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

    /// All that a snapshot holds.
    fn visited(&self, info: &SnapshotInfo) -> Vec<Visited> {
        let progress = Progress::default();
        let reader = Reader::open(&self.repository, &progress).unwrap();
        let mut walk = TreeWalk::new(info.snapshot.root);
        std::iter::from_fn(|| walk.next(&reader).unwrap()).collect()
    }

    /// The paths that a snapshot holds of the directory.
    fn held(&self, info: &SnapshotInfo) -> Vec<String> {
        let visited = self.visited(info).into_iter();
        let paths = visited.map(|visited| String::from_utf8(visited.path).unwrap());
        let above = format!("{}/", self.path().strip_prefix("/").unwrap().display());
        paths.filter_map(|path| path.strip_prefix(&above).map(str::to_owned)).collect()
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
    assert_eq!((verify().failed, verify().damaged), (3, true));
    std::os::unix::fs::symlink("elsewhere", a.join("b")).unwrap();
    assert_eq!((verify().failed, verify().damaged), (3, true));
}

#[test]
fn an_ignore_file_that_is_too_long_leaves_nothing_out() {
    let scene = Scene::new();
    scene.write("data/kept", b"");
    // Cut in the wrong place, it would leave all data out.
    let wanted = [&b"#".repeat((1 << 20) - 6), b"\n/data/tmp\n".as_slice()].concat();
    scene.write(".ignore", &wanted);
    let ignore_files = vec![".ignore".to_owned()];
    let (info, notes) = scene.store_all(Excludes { ignore_files, ..Excludes::default() });
    assert_eq!(scene.held(&info), [".ignore", "data", "data/kept"]);
    assert!(notes.warnings.concat().contains("longer than 1 MiB"), "{:?}", notes.warnings);
}

#[test]
fn only_the_signature_of_a_cache_tag_counts() {
    let scene = Scene::new();
    let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# caf\xe9\n";
    scene.write("cache/CACHEDIR.TAG", tag);
    scene.write("cache/left out", b"");
    scene.write("other/CACHEDIR.TAG", b"Signature: none");
    scene.write("other/kept", b"");
    let (info, _) = scene.store_all(Excludes { caches: true, ..Excludes::default() });
    let held = ["cache", "cache/CACHEDIR.TAG", "other", "other/CACHEDIR.TAG", "other/kept"];
    assert_eq!(scene.held(&info), held);
}

#[test]
fn a_listed_path_below_a_file_stands_nowhere() {
    let scene = Scene::new();
    scene.write("file", b"");
    let listed = vec![scene.path().join("file/gone")];
    let (info, notes) = scene.store(&TreeRequest { listed, ..TreeRequest::default() });
    assert_eq!(scene.held(&info), [""; 0]);
    assert_eq!((notes.unreadable, info.snapshot.counts.unreadable), (1, 1));
}

#[test]
fn attributes_are_read_however_long_the_path_is() {
    let scene = Scene::new();
    let mut deep = fs::File::open(scene.path()).unwrap();
    let level = "level".repeat(40);
    for _ in 0..25 {
        mkdirat(&deep, &level, Mode::RWXU).unwrap();
        deep = openat(&deep, &level, OFlags::RDONLY, Mode::empty()).unwrap().into();
    }
    let flags = OFlags::RDWR | OFlags::CREATE;
    let file = openat(&deep, "first name", flags, Mode::RWXU).unwrap();
    fsetxattr(&file, "user.note", b"hello", XattrFlags::empty()).unwrap();
    linkat(&deep, "first name", &deep, "second name", AtFlags::empty()).unwrap();
    symlinkat("nowhere", &deep, "symlink").unwrap();
    let (info, notes) = scene.store_all(Excludes::default());
    assert_eq!(notes.warnings, [""; 0]);
    let names = scene.visited(&info).into_iter().map(|visited| visited.entry);
    let files: Vec<_> = names.filter(|entry| entry.name.ends_with(b" name")).collect();
    assert_eq!(files.len(), 2);
    assert!(files.iter().all(|entry| entry.attributes.len() == 1), "{files:?}");
}
