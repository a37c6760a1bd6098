//! The disk fills up: the repository's, or the one that is restored to.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::data::{dump, noise};
use crate::harness::mount::Mount;
use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{Sandbox, assert_same, id_of, namespace};

/// A file system with little room.
struct SmallDisk(Mount);

/// What can be freed, in MiB.
const BALLAST: usize = 64;

impl SmallDisk {
    /// With room for so many MiB, until [`Self::free_some`].
    fn mount(directory: &Path, room: usize) -> Self {
        let disk = Self(Mount::new(directory, &format!("size={}m", BALLAST + room)));
        fs::write(disk.ballast(), vec![1; BALLAST << 20]).unwrap();
        disk
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    /// Takes all room there is.
    fn fill(&self) {
        let path = self.0.path().join("filling");
        assert!(fs::write(path, vec![1; BALLAST << 20]).is_err(), "there is still room");
    }

    fn free_some(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

fn done_in_namespace(test: &str) -> bool {
    namespace::done_in_namespace(module_path!(), test)
}

#[test]
fn a_full_disk_is_told_while_the_command_is_silent() {
    if done_in_namespace("a_full_disk_is_told_while_the_command_is_silent") {
        return;
    }
    let sandbox = Sandbox::without_repository();
    let _disk = SmallDisk::mount(&sandbox.path("disk"), 6);
    let repository = sandbox.path("disk/repository");
    let nightjar = |args: &str| sandbox.nightjar(args).env("NIGHTJAR_REPOSITORY", &repository);
    nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    let (stream, late) = (sandbox.write("stream", noise(2, 30 << 20)), sandbox.path("late"));
    let script = format!("cat {}; sleep 60; touch {}", stream.display(), late.display());
    let create = nightjar("snapshot create --name dump.sql -- sh -c").arg(script);
    create.exits(1).says("no space is left");
    assert!(!late.exists(), "the command was waited for");
}

#[test]
fn a_full_repository_disk_is_named_and_loses_nothing() {
    if done_in_namespace("a_full_repository_disk_is_named_and_loses_nothing") {
        return;
    }
    let sandbox = Sandbox::without_repository();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 6);
    let repository = sandbox.path("disk/repository");
    let nightjar = |args: &str| sandbox.nightjar(args).env("NIGHTJAR_REPOSITORY", &repository);
    nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    let (first, second) = (dump(1, 20_000), noise(2, 12 << 20));
    let create = |bytes: &[u8]| nightjar("snapshot create --stdin dump.sql").stdin(bytes);
    let stream = |id: &str| nightjar("snapshot restore --stdout").arg(id).done().stdout;
    let kept = id_of(&create(&first).json());

    for _ in 0..2 {
        create(&second).exits(1).says("no space is left").prints_nothing();
        nightjar("snapshot verify --all --level data").done();
        let list = nightjar("snapshot list").json();
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        assert_same(&stream(&kept), &first);
    }
    // Full to the last byte, it can still be read.
    disk.fill();
    create(&noise(4, 1 << 20)).exits(1).says("no space is left");
    nightjar("snapshot verify --all --level data").done();
    assert_same(&stream(&kept), &first);

    disk.free_some();
    let id = id_of(&create(&second).json());
    assert_same(&stream(&id), &second);
    assert_same(&stream(&kept), &first);
    nightjar("snapshot verify --all --level data").done();
}

#[test]
fn a_repository_can_be_made_again_after_its_disk_was_too_full_for_init() {
    if done_in_namespace("a_repository_can_be_made_again_after_its_disk_was_too_full_for_init") {
        return;
    }
    let sandbox = Sandbox::without_repository();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 1);
    disk.fill();
    let repository = sandbox.path("disk/repository");
    let init =
        || sandbox.nightjar("init --argon2-memory 1MiB").env("NIGHTJAR_REPOSITORY", &repository);
    init().exits(1).says("no space");
    disk.free_some();
    init().done();
}

#[test]
fn a_full_restore_disk_is_named_and_keeps_no_half_written_file() {
    if done_in_namespace("a_full_restore_disk_is_named_and_keeps_no_half_written_file") {
        return;
    }
    let (sandbox, small, _) = Sandbox::with_dump();
    let large = noise(5, 8 << 20);
    let id = sandbox.store("large", &large);
    let disk = SmallDisk::mount(&sandbox.path("disk"), 4);
    let to = sandbox.path("disk/to");
    let restore = |id: &str| sandbox.nightjar("snapshot restore --to").arg(&to).arg(id);
    restore(&id).exits(1).says("No space left on device").says("large").prints_nothing();
    let left: Vec<_> = fs::read_dir(&to).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?} is left");

    disk.free_some();
    restore(&id).done();
    assert_same(&fs::read(to.join("large")).unwrap(), &large);
    sandbox.nightjar("snapshot restore latest --series dump.sql --to").arg(&to).done();
    assert_same(&fs::read(to.join("dump.sql")).unwrap(), &small);
}

#[test]
fn a_disk_that_small_files_fill_ends_the_restore() {
    if done_in_namespace("a_disk_that_small_files_fill_ends_the_restore") {
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    for seed in 0..400 {
        sandbox.write(&format!("tree/{seed}"), noise(seed, 50_000));
    }
    sandbox.nightjar("snapshot create").source(sandbox.path("tree")).done();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 4);
    let to = sandbox.path("disk/to");
    let restore = || sandbox.nightjar("snapshot restore latest --to").arg(&to);
    let outcome = restore().exits(1).says("No space left on device").prints_nothing();
    assert_eq!(outcome.stderr.matches("No space").count(), 1, "{outcome}");
    for entry in fs::read_dir(to.join("tree")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_same(&fs::read(&path).unwrap(), &sandbox.read(&format!("tree/{name}")));
    }
    disk.free_some();
    let report = restore().args("--overwrite if-changed").json();
    assert_eq!((&report["files"], &report["failed"]), (&400.into(), &0.into()), "{report}");
    assert_same_trees(&read(&to.join("tree")), &read(&sandbox.path("tree")));
}

#[test]
fn a_full_cache_disk_is_named_and_loses_nothing() {
    if done_in_namespace("a_full_cache_disk_is_named_and_loses_nothing") {
        return;
    }
    let (sandbox, stream, id) = Sandbox::with_dump();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 1);
    disk.fill();
    let nightjar =
        |args: &str| sandbox.nightjar(args).env("NIGHTJAR_CACHE_DIR", sandbox.path("disk/cache"));
    let create = nightjar("snapshot create --stdin dump.sql").stdin(stream.clone());
    create.exits(1).prints_nothing();
    nightjar("snapshot restore --stdout").arg(&id).exits(1).prints_nothing();
    sandbox.assert_verifies();
    assert_same(&sandbox.stream(&id), &stream);
    disk.free_some();
    let restored = nightjar("snapshot restore --stdout").arg(&id).done();
    assert_same(&restored.stdout, &stream);
}
