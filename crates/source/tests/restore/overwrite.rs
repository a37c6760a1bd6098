//! What happens to what stands there already.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, UNIX_EPOCH};

use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::Overwrite;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use crate::scene::{Scene, mode, names};

const BYTES: &[u8] = b"as in the snapshot";

/// A snapshot of one file, and another file in its place.
fn scene(seed: u64, there: &[u8]) -> (Scene, SnapshotInfo) {
    let scene = Scene::new(seed);
    let info = scene.snapshot(|tree| tree.directory("etc", |etc| etc.file("file", BYTES)));
    scene.write("target/etc/file", there);
    (scene, info)
}

/// The time of every entry.
fn set_time(scene: &Scene) {
    let file = fs::File::options().write(true).open(scene.at("etc/file")).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::new(1_767_225_600, 7)).unwrap();
}

#[test]
fn never_refuses_before_anything_is_written_and_says_how_to_go_on() {
    let (scene, info) = scene(41, b"mine");
    let error = scene.try_restore(&info.snapshot, |_| {}).unwrap_err().to_string();
    assert!(error.contains("etc/file") && error.contains("--overwrite if-changed"), "{error}");
    assert_eq!(fs::read(scene.at("etc/file")).unwrap(), b"mine");
}

#[test]
fn if_changed_keeps_a_file_of_the_same_size_and_time_and_corrects_its_attributes() {
    let (scene, info) = scene(42, b"as IN the snapshot");
    set_time(&scene);
    let file = scene.at("etc/file");
    setxattr(&file, "user.stray", b"x", XattrFlags::empty()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o604)).unwrap();
    let report = scene.restore(&info, |it| it.overwrite = Overwrite::IfChanged);
    assert_eq!((report.files, report.unchanged, report.bytes), (1, 1, 0));
    assert_eq!(fs::read(&file).unwrap(), b"as IN the snapshot");
    assert_eq!(mode(&file), 0o640);
    assert!(getxattr(&file, "user.stray", &mut [0u8; 8]).is_err());
}

#[test]
fn if_changed_replaces_a_file_of_another_size_or_time() {
    for there in [b"as IN the snapshot".as_slice(), b"shorter"] {
        let (scene, info) = scene(43, there);
        if there.len() != BYTES.len() {
            set_time(&scene);
        }
        let report = scene.restore(&info, |it| it.overwrite = Overwrite::IfChanged);
        assert_eq!((report.files, report.unchanged), (1, 0));
        assert_eq!(fs::read(scene.at("etc/file")).unwrap(), BYTES);
    }
}

#[test]
fn always_compares_the_bytes() {
    for (there, unchanged) in [(BYTES, 1), (b"as IN the snapshot", 0)] {
        let (scene, info) = scene(44, there);
        if unchanged == 0 {
            set_time(&scene);
        }
        let before = fs::metadata(scene.at("etc/file")).unwrap().ino();
        let report = scene.restore(&info, |it| it.overwrite = Overwrite::Always);
        assert_eq!(report.unchanged, unchanged);
        assert_eq!(fs::read(scene.at("etc/file")).unwrap(), BYTES);
        let after = fs::metadata(scene.at("etc/file")).unwrap();
        assert_eq!(after.ino() == before, unchanged == 1);
        assert_eq!((after.mtime(), after.mtime_nsec()), (1_767_225_600, 7));
    }
}

#[test]
fn a_directory_in_the_place_of_a_file_needs_delete() {
    let scene = Scene::new(45);
    let info = scene.snapshot(|tree| {
        tree.directory("directory", |it| it.file("inside", b"x"));
        tree.file("file", b"x");
    });
    scene.write("target/directory", b"a file");
    scene.write("target/file/deep/inside", b"in a directory");
    let error = scene.try_restore(&info.snapshot, |it| it.overwrite = Overwrite::Always);
    assert!(error.unwrap_err().to_string().contains("--delete"));
    assert_eq!(names(&scene.target()), ["directory", "file"]);
    let report = scene.restore(&info, |it| (it.overwrite, it.delete) = (Overwrite::Always, true));
    assert_eq!(report.deleted, 4);
    assert_eq!(fs::read(scene.at("file")).unwrap(), b"x");
    assert_eq!(names(&scene.at("directory")), ["inside"]);
}

#[test]
fn what_a_killed_restore_left_is_removed() {
    let (scene, info) = scene(46, BYTES);
    let left = scene.write("target/etc/.nightjar-restoring-0123456789abcdef", b"half");
    let stranger = scene.write("target/etc/.nightjar-restoring-mine", b"not ours");
    scene.restore(&info, |it| it.overwrite = Overwrite::IfChanged);
    assert!(!left.exists() && stranger.exists());
}
