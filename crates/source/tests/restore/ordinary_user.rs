//! What somebody who is not root gets: all that is possible, and one line for each kind of thing
//! that is not.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use nightjar_format::manifest::EntryKind;
use rustix::fs::getxattr;

use crate::scene::{Scene, attribute, done_as_ordinary_user, mode, names};

#[test]
fn what_only_root_may_set_is_told_once_with_a_count() {
    let name = "ordinary_user::what_only_root_may_set_is_told_once_with_a_count";
    if done_as_ordinary_user(name) {
        return;
    }
    let scene = Scene::new(21);
    let info = scene.snapshot(|tree| {
        tree.other("device", EntryKind::CharacterDevice { major: 1, minor: 3 }, |_| {});
        for number in 0..20 {
            tree.file_with(&format!("file {number:02}"), b"x", |entry| {
                (entry.uid, entry.gid, entry.mode) = (0, 0, 0o444);
                entry.attributes = vec![attribute("trusted.x", b"1"), attribute("user.x", b"kept")];
            });
        }
        tree.file_with("root's setuid", b"x", |entry| (entry.uid, entry.mode) = (0, 0o4755));
        tree.file_with("setuid of my own", b"x", |entry| entry.mode = 0o4755);
    });
    let report = scene.restore(&info, |_| {});
    let warnings = report.warnings.join("\n");
    assert!(warnings.contains("the owner of 21 entries"), "{warnings}");
    assert!(warnings.contains("the group of 20 entries"), "{warnings}");
    assert!(warnings.contains("`trusted.*` of 20 entries"), "{warnings}");
    assert!(warnings.contains("1 entry: devices"), "{warnings}");
    assert!(warnings.contains("setuid and setgid were left out of 1 entry"), "{warnings}");
    assert_eq!(report.warnings.len(), 5, "{warnings}");
    assert_eq!(report.failed, 0);
    assert_eq!(mode(&scene.at("root's setuid")), 0o755);
    assert_eq!(mode(&scene.at("setuid of my own")), 0o4755);
    let file = scene.at("file 00");
    assert_eq!(mode(&file), 0o444);
    assert_eq!(fs::metadata(&file).unwrap().mtime_nsec(), 7);
    let mut value = [0u8; 16];
    assert_eq!(getxattr(&file, "user.x", &mut value), Ok(4), "it must be set before the mode");
}

#[test]
fn a_directory_that_may_not_be_written_to_fails_alone() {
    let name = "ordinary_user::a_directory_that_may_not_be_written_to_fails_alone";
    if done_as_ordinary_user(name) {
        return;
    }
    let scene = Scene::new(22);
    let info = scene.snapshot(|tree| {
        tree.directory("closed", |closed| {
            closed.directory("deeper", |deeper| deeper.file("file", b"x"));
            closed.file("file", b"x");
        });
        tree.directory("open", |open| open.file("file", b"x"));
    });
    fs::create_dir_all(scene.at("closed")).unwrap();
    fs::set_permissions(scene.at("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    let report = scene.try_restore(&info.snapshot, |_| {}).unwrap();
    assert_eq!((report.failed, report.damaged), (2, false));
    assert!(report.failures[0].contains("closed/deeper"), "{:?}", report.failures);
    assert!(report.failures.iter().any(|it| it.contains("closed/file")), "{:?}", report.failures);
    assert_eq!(fs::read(scene.at("open/file")).unwrap(), b"x");
}

#[test]
fn directories_that_their_owner_locked_are_restored_and_restored_again() {
    let name = "ordinary_user::directories_that_their_owner_locked_are_restored_and_restored_again";
    if done_as_ordinary_user(name) {
        return;
    }
    let scene = Scene::new(23);
    let info = scene.snapshot(|tree| {
        tree.directory_with(
            "locked",
            |locked| {
                locked.file("file", b"x");
                locked.directory_with("inner", |it| it.file("file", b"x"), |it| it.mode = 0);
            },
            |locked| locked.mode = 0o100,
        );
    });
    for overwrite in [nightjar_source::Overwrite::Never, nightjar_source::Overwrite::IfChanged] {
        scene.restore(&info, |request| request.overwrite = overwrite);
        assert_eq!(mode(&scene.at("locked")), 0o100);
    }
    fs::set_permissions(scene.at("locked"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(mode(&scene.at("locked/inner")), 0);
    fs::set_permissions(scene.at("locked/inner"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names(&scene.at("locked/inner")), ["file"]);
}
