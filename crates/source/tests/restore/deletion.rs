//! `--delete`: what the snapshot does not hold goes, and nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{Overwrite, RestoreRequest};

use crate::scene::{Scene, done_as_root, names};

fn mirror(request: &mut RestoreRequest<'_>) {
    (request.overwrite, request.delete) = (Overwrite::IfChanged, true);
}

fn scene(seed: u64) -> (Scene, SnapshotInfo) {
    let scene = Scene::new(seed);
    let info = scene.snapshot(|tree| {
        tree.directory("etc", |etc| {
            etc.file("file", b"x");
            etc.directory("kept", |kept| kept.file("inside", b"x"));
        });
        tree.file("top", b"x");
    });
    (scene, info)
}

#[test]
fn what_the_snapshot_lacks_is_removed_and_links_are_not_followed() {
    let (scene, info) = scene(51);
    scene.restore(&info, |_| {});
    scene.write("elsewhere/precious", b"precious");
    scene.write("target/extra", b"x");
    scene.write("target/etc/deep/er/file", b"x");
    symlink(scene.path("elsewhere"), scene.at("etc/link")).unwrap();
    symlink(scene.path("elsewhere"), scene.at("etc/deep/link")).unwrap();
    let report = scene.restore(&info, mirror);
    assert_eq!(report.deleted, 6);
    assert_eq!(report.unchanged, 3);
    assert_eq!(names(&scene.target()), ["etc", "top"]);
    assert_eq!(names(&scene.at("etc")), ["file", "kept"]);
    assert_eq!(names(&scene.path("elsewhere")), ["precious"]);
}

#[test]
fn beside_what_was_selected_nothing_is_removed() {
    let (scene, info) = scene(52);
    scene.restore(&info, |_| {});
    for name in ["target/extra", "target/etc/extra", "target/etc/kept/extra"] {
        scene.write(name, b"x");
    }
    let report = scene.restore(&info, |request| {
        mirror(request);
        request.paths = vec![b"etc/kept".to_vec()];
    });
    assert_eq!(report.deleted, 1);
    assert_eq!(names(&scene.at("etc/kept")), ["inside"]);
    assert_eq!(names(&scene.at("etc")), ["extra", "file", "kept"]);
    assert_eq!(names(&scene.target()), ["etc", "extra", "top"]);
}

#[test]
fn without_delete_nothing_is_removed() {
    let (scene, info) = scene(53);
    scene.write("target/etc/extra", b"x");
    let report = scene.restore(&info, |request| request.overwrite = Overwrite::Always);
    assert_eq!(report.deleted, 0);
    assert!(scene.at("etc/extra").exists());
}

/// Gone when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).status());
    }
}

#[test]
fn what_is_mounted_in_the_destination_is_let_alone() {
    if done_as_root("deletion::what_is_mounted_in_the_destination_is_let_alone") {
        return;
    }
    let (scene, info) = scene(54);
    scene.restore(&info, |_| {});
    scene.write("same disk/precious", b"precious");
    let mount = |words: &[&str], name: &str| {
        fs::create_dir_all(scene.at(name)).unwrap();
        let mounted = Command::new("mount").args(words).arg(scene.at(name)).status().unwrap();
        assert!(mounted.success());
        Mounted(scene.at(name))
    };
    let _other = mount(&["-t", "tmpfs", "tmpfs"], "extra/other");
    let from = scene.path("same disk").into_os_string().into_string().unwrap();
    let _bind = mount(&["--bind", &from], "bound");
    fs::write(scene.at("extra/other/file"), "x").unwrap();
    let report = scene.restore(&info, mirror);
    assert!(report.warnings[0].starts_with("2 entries: other file systems"), "{report:?}");
    assert_eq!(names(&scene.at("extra/other")), ["file"]);
    assert_eq!(names(&scene.path("same disk")), ["precious"]);
}

#[test]
fn a_tree_that_is_deeper_than_any_stack_is_removed() {
    let (scene, info) = scene(55);
    fs::create_dir(scene.target()).unwrap();
    let mut open = fs::File::open(scene.target()).unwrap();
    // As deep as the descriptors of an ordinary process reach.
    for _ in 0..300 {
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkdirat(&open, "deeper", mode).unwrap();
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY;
        open = rustix::fs::openat(&open, "deeper", flags, mode).unwrap().into();
    }
    drop(open);
    let report = scene.restore(&info, mirror);
    assert_eq!(report.deleted, 300);
    assert_eq!(names(&scene.target()), ["etc", "top"]);
}
