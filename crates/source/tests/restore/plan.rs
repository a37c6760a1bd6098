//! A dry run tells what the restore does.

use std::fs;

use nightjar_format::manifest::EntryKind;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{Overwrite, RestorePlan, RestoreRequest, plan_restore};
use nightjar_testkit::generate::noise;

use crate::scene::{Scene, names, symlink_to};

fn scene(seed: u64) -> (Scene, SnapshotInfo) {
    let scene = Scene::new(seed);
    let info = scene.snapshot(|tree| {
        tree.directory("etc", |etc| {
            etc.file("changed", b"new");
            etc.file("same", b"same");
        });
        tree.file_with("first", &noise(1, 5 << 20), |entry| entry.hard_link = Some(1));
        tree.other("link", symlink_to("first".as_ref()), |_| {});
        tree.file_with("second", &noise(1, 5 << 20), |entry| entry.hard_link = Some(1));
    });
    (scene, info)
}

fn plan<'s>(
    scene: &Scene,
    info: &'s SnapshotInfo,
    change: impl FnOnce(&mut RestoreRequest<'s>),
) -> RestorePlan {
    let mut request = RestoreRequest::new(&info.snapshot);
    change(&mut request);
    scene.with_reader(|reader| plan_restore(reader, &request, &scene.target()).unwrap())
}

#[test]
fn a_dry_run_writes_nothing_not_even_the_directory() {
    let (scene, info) = scene(61);
    let plan = plan(&scene, &info, |_| {});
    assert!(!scene.target().exists());
    assert_eq!((plan.directories, plan.files, plan.others, plan.links), (2, 3, 1, 1));
    assert_eq!(plan.bytes, (5 << 20) + 7);
    assert_eq!((plan.replaced, plan.unchanged, plan.deleted), (0, 0, 0));
    assert!(plan.requests >= 3, "five MiB lie in several packs: {plan:?}");
}

#[test]
fn what_the_plan_tells_is_what_is_done() {
    let (scene, info) = scene(62);
    scene.write("target/etc/same", b"same");
    scene.write("target/etc/changed", b"old");
    scene.write("target/etc/extra/file", b"x");
    let change = |request: &mut RestoreRequest<'_>| {
        (request.overwrite, request.delete) = (Overwrite::Always, true);
    };
    let planned = plan(&scene, &info, change);
    assert_eq!(names(&scene.at("etc")), ["changed", "extra", "same"]);
    assert_eq!(fs::read(scene.at("etc/changed")).unwrap(), b"old");
    let done = scene.restore(&info, change);
    assert_eq!(planned.bytes, done.bytes);
    assert_eq!((planned.unchanged, done.unchanged), (1, 1));
    assert_eq!((planned.deleted, done.deleted), (2, 2));
    assert_eq!((planned.links, done.links), (1, 1));
    assert_eq!(planned.files + planned.unchanged + planned.links, done.files);
    assert_eq!((planned.replaced, planned.others, planned.directories), (1, 1, 0));
}

#[test]
fn what_stands_in_the_place_of_a_socket_stays_and_is_not_counted() {
    let scene = Scene::new(68);
    let info = scene.snapshot(|tree| tree.other("socket", EntryKind::Socket, |_| {}));
    scene.write("target/socket/inside", b"x");
    let change = |request: &mut RestoreRequest<'_>| {
        (request.overwrite, request.delete) = (Overwrite::IfChanged, true);
    };
    let planned = plan(&scene, &info, change);
    let done = scene.restore(&info, change);
    assert_eq!((planned.deleted, done.deleted), (0, 0));
    assert_eq!(names(&scene.at("socket")), ["inside"]);
}
