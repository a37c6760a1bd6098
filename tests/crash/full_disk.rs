//! The disk fills up: the repository's, or the one that is restored to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::data::{dump, noise};
use crate::harness::{Sandbox, assert_same, id_of, is_root};

/// A file system of a few megabytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(directory: &Path, mebibytes: u32) -> Self {
        assert!(is_root(), "mounting a small file system needs root; run the tests as root");
        fs::create_dir_all(directory).unwrap();
        let size = format!("size={mebibytes}m");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory));
        Self(directory.to_owned())
    }

    fn grow(&self, mebibytes: u32) {
        let options = format!("remount,size={mebibytes}m");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

#[test]
fn a_full_repository_disk_is_named_and_loses_nothing() {
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
    drop(fs::write(sandbox.path("disk/ballast"), noise(3, 6 << 20)));
    create(&noise(4, 1 << 20)).exits(1).says("no space is left");
    nightjar("snapshot verify --all --level data").done();
    assert_same(&stream(&kept), &first);

    fs::remove_file(sandbox.path("disk/ballast")).unwrap();
    disk.grow(40);
    let id = id_of(&create(&second).json());
    assert_same(&stream(&id), &second);
    assert_same(&stream(&kept), &first);
    nightjar("snapshot verify --all --level data").done();
}

#[test]
fn a_repository_can_be_made_again_after_its_disk_was_too_full_for_init() {
    let sandbox = Sandbox::without_repository();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 1);
    drop(fs::write(sandbox.path("disk/ballast"), noise(3, 2 << 20)));
    let repository = sandbox.path("disk/repository");
    let init =
        || sandbox.nightjar("init --argon2-memory 1MiB").env("NIGHTJAR_REPOSITORY", &repository);
    init().exits(1).says("no space");
    fs::remove_file(sandbox.path("disk/ballast")).unwrap();
    disk.grow(10);
    init().done();
}

#[test]
fn a_full_restore_disk_is_named_and_keeps_no_half_written_file() {
    let (sandbox, small, _) = Sandbox::with_dump();
    let large = noise(5, 8 << 20);
    let id = sandbox.store("large", &large);
    let disk = SmallDisk::mount(&sandbox.path("disk"), 4);
    let to = sandbox.path("disk/to");
    let restore = |id: &str| sandbox.nightjar("snapshot restore --to").arg(&to).arg(id);
    restore(&id).exits(1).says("No space left on device").says("large").prints_nothing();
    let left: Vec<_> = fs::read_dir(&to).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?} is left");

    disk.grow(40);
    restore(&id).done();
    assert_same(&fs::read(to.join("large")).unwrap(), &large);
    sandbox.nightjar("snapshot restore latest --series dump.sql --to").arg(&to).done();
    assert_same(&fs::read(to.join("dump.sql")).unwrap(), &small);
}

#[test]
fn a_full_cache_disk_is_named_and_loses_nothing() {
    let (sandbox, stream, id) = Sandbox::with_dump();
    let disk = SmallDisk::mount(&sandbox.path("disk"), 1);
    drop(fs::write(sandbox.path("disk/ballast"), noise(3, 2 << 20)));
    let nightjar =
        |args: &str| sandbox.nightjar(args).env("NIGHTJAR_CACHE_DIR", sandbox.path("disk/cache"));
    let create = nightjar("snapshot create --stdin dump.sql").stdin(stream.clone());
    create.exits(1).prints_nothing();
    nightjar("snapshot restore --stdout").arg(&id).exits(1).prints_nothing();
    sandbox.assert_verifies();
    assert_same(&sandbox.stream(&id), &stream);
    fs::remove_file(sandbox.path("disk/ballast")).unwrap();
    disk.grow(100);
    let restored = nightjar("snapshot restore --stdout").arg(&id).done();
    assert_same(&restored.stdout, &stream);
}
