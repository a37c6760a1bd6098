//! A repository in memory, snapshots made by hand, and a directory to restore into.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nightjar_format::manifest::{Attribute, Entry, EntryKind, Hole};
use nightjar_format::snapshot::{Snapshot, Source};
use nightjar_repository::ingest::{Fed, Feeder, create_snapshot};
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, Repository};
use nightjar_source::{RestoreReport, RestoreRequest, SourceError, restore_to_directory};
use nightjar_testkit::fixture::{Fixture, empty_file, entry, request};
use tempfile::TempDir;

pub(crate) struct Scene {
    pub(crate) fixture: Fixture,
    pub(crate) repository: Repository,
    directory: TempDir,
}

/// What stands in a snapshot's directory, in the order of names.
pub(crate) struct Tree<'f, 'a>(&'f mut Feeder<'a>);

impl Tree<'_, '_> {
    pub(crate) fn file(&mut self, name: &str, bytes: &[u8]) {
        self.file_with(name, bytes, |_| {});
    }

    pub(crate) fn file_with(&mut self, name: &str, mut bytes: &[u8], change: impl Fn(&mut Entry)) {
        self.0.stream(name.as_bytes(), &mut bytes, name).unwrap();
        let mut file = mine(name, empty_file());
        change(&mut file);
        self.0.file(file).unwrap();
    }

    pub(crate) fn other(&mut self, name: &str, kind: EntryKind, change: impl Fn(&mut Entry)) {
        let mut other = mine(name, kind);
        change(&mut other);
        self.0.other(other).unwrap();
    }

    pub(crate) fn directory(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        self.directory_with(name, inside, |_| {});
    }

    pub(crate) fn directory_with(
        &mut self,
        name: &str,
        inside: impl FnOnce(&mut Self),
        change: impl Fn(&mut Entry),
    ) {
        self.0.enter_directory(name.as_bytes()).unwrap();
        inside(self);
        let root = nightjar_format::BlobId([0; 32]);
        let mut directory = mine(name, EntryKind::Directory { root });
        directory.mode = 0o755;
        change(&mut directory);
        self.0.leave_directory(directory).unwrap();
    }
}

/// An entry of whoever runs the test.
pub(crate) fn mine(name: &str, kind: EntryKind) -> Entry {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let none = Vec::new();
    let numbers = (user.as_raw(), group.as_raw());
    Entry { uid: numbers.0, gid: numbers.1, user: none, ..entry(name.as_bytes(), kind) }
}

pub(crate) fn attribute(name: &str, value: &[u8]) -> Attribute {
    Attribute { name: name.as_bytes().to_vec(), value: value.to_vec() }
}

pub(crate) fn symlink_to(target: &Path) -> EntryKind {
    EntryKind::Symlink { target: target.as_os_str().as_encoded_bytes().to_vec() }
}

/// Gives a file holes; its size follows from them and its bytes.
pub(crate) fn with_holes(entry: &mut Entry, holes: &[(u64, u64)]) {
    let EntryKind::File(content) = &mut entry.kind else { panic!("only files have holes") };
    content.holes = holes.iter().map(|(offset, length)| hole(*offset, *length)).collect();
}

fn hole(offset: u64, length: u64) -> Hole {
    Hole { offset, length }
}

impl Scene {
    pub(crate) fn new(seed: u64) -> Self {
        let fixture = Fixture::new(seed);
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { repository: fixture.open(), fixture, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where snapshots are restored to.
    pub(crate) fn target(&self) -> PathBuf {
        self.path("target")
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.target().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A snapshot of a tree.
    pub(crate) fn snapshot(&self, build: impl FnOnce(&mut Tree<'_, '_>)) -> SnapshotInfo {
        let feed = |feeder: &mut Feeder<'_>| {
            build(&mut Tree(feeder));
            Ok::<_, SourceError>(Fed { source: Source::Paths { paths: vec![] }, unreadable: 0 })
        };
        let progress = Progress::default();
        create_snapshot(&self.repository, &request("tree"), &progress, feed).unwrap()
    }

    pub(crate) fn with_reader<T>(&self, work: impl FnOnce(&Reader<'_>) -> T) -> T {
        let progress = Progress::default();
        work(&Reader::open(&self.repository, &progress).unwrap())
    }

    pub(crate) fn try_restore<'s>(
        &self,
        snapshot: &'s Snapshot,
        change: impl FnOnce(&mut RestoreRequest<'s>),
    ) -> Result<RestoreReport, SourceError> {
        let mut request = RestoreRequest::new(snapshot);
        change(&mut request);
        self.with_reader(|reader| restore_to_directory(reader, &request, &self.target()))
    }

    /// Restores a snapshot; nothing may fail.
    #[track_caller]
    pub(crate) fn restore<'s>(
        &self,
        info: &'s SnapshotInfo,
        change: impl FnOnce(&mut RestoreRequest<'s>),
    ) -> RestoreReport {
        let report = self.try_restore(&info.snapshot, change).unwrap();
        assert_eq!(report.failures, [""; 0]);
        report
    }
}

/// Names below a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a test again as a user who may do nothing special; `true` where that has been done. Whoever
/// is no root already goes on.
pub(crate) fn done_as_ordinary_user(test: &str) -> bool {
    if !is_root() {
        return false;
    }
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where tests are built, others may not even look.
    let copy = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut again = Command::new("setpriv");
    again.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    run_alone(again, test).unwrap_or_else(|said| panic!("{said}"));
    true
}

/// Runs a test again as root, who alone may give files away, make devices and mount; `true` where
/// that has been done. Whoever is root already goes on.
pub(crate) fn done_as_root(test: &str) -> bool {
    if is_root() {
        return false;
    }
    let mut again = Command::new("sudo");
    again.arg("-n").arg(std::env::current_exe().unwrap());
    run_alone(again, test).unwrap_or_else(|said| {
        panic!(
            "only root can run this test: run it as root, or as somebody whom `sudo -n` asks for \
             no password\n{said}"
        )
    });
    true
}

/// Runs one of the tests of a command that runs tests; an error is what was said if it did not
/// pass, be it because there is no test of that name.
fn run_alone(mut command: Command, test: &str) -> Result<(), String> {
    let output = command.args(["--exact", "--nocapture", test]).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() && said.contains("1 passed") { Ok(()) } else { Err(said) }
}
