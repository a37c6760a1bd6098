//! Damage in the store and on the disk: what it does not hit comes back, what it hits is named.

use std::fs;
use std::sync::Arc;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Content, DirectoryNode, Entry, EntryKind, FileContent};
use nightjar_source::{Overwrite, RestoreRequest, verify_restored};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, names as objects, read};
use nightjar_testkit::generate::noise;

use crate::hostile::{plant, rooted, stored_file};
use crate::scene::{Scene, names};

/// The one that holds the files' data.
fn damage_largest_pack(scene: &Scene, damage: &Damage) {
    let mut packs = objects(&scene.fixture.store, "packs");
    packs.sort_by_key(|pack| read(&scene.fixture.store, pack).len());
    damage.inflict(&scene.fixture.store, packs.last().unwrap());
}

fn mirror(request: &mut RestoreRequest<'_>) {
    (request.overwrite, request.delete) = (Overwrite::Always, true);
}

#[test]
fn a_damaged_pack_fails_only_the_files_in_it() {
    let scene = Scene::new(71);
    let contents: Vec<Vec<u8>> = (0..40).map(|seed| noise(seed, 200_000)).collect();
    let info = scene.snapshot(|tree| {
        for (number, content) in contents.iter().enumerate() {
            tree.file(&format!("{number:02}"), content);
        }
    });
    damage_largest_pack(&scene, &Damage::Flip(500));
    let report = scene.try_restore(&info.snapshot, |_| {}).unwrap();
    assert!(report.damaged);
    assert!((1..=2).contains(&report.failed), "{:?}", report.failures);
    assert_eq!(report.files + report.failed, 40);
    for (number, content) in contents.iter().enumerate() {
        let path = scene.at(&format!("{number:02}"));
        let shown = path.display().to_string();
        let failed = report.failures.iter().any(|failure| failure.contains(&shown));
        assert_eq!(path.exists(), !failed, "{shown}");
        assert!(failed || fs::read(path).unwrap() == *content, "{shown}");
    }
}

#[test]
fn nothing_is_deleted_where_something_is_damaged() {
    let scene = Scene::new(74);
    let info = scene.snapshot(|tree| {
        tree.directory("deep", |deep| deep.file("file", &noise(1, 200_000)));
        tree.file("was a directory", &noise(2, 100_000));
    });
    scene.write("target/extra", b"all there is");
    scene.write("target/deep/extra", b"all there is");
    scene.write("target/was a directory/inside", b"all there is");
    damage_largest_pack(&scene, &Damage::Empty);
    let report = scene.try_restore(&info.snapshot, mirror).unwrap();
    assert_eq!((report.failed, report.deleted), (2, 0), "{:?}", report.failures);
    for name in ["extra", "deep/extra", "was a directory/inside"] {
        assert!(scene.at(name).exists(), "{name}");
    }
    assert!(report.warnings[0].starts_with("2 entries that the snapshot does not hold were not"));
}

#[test]
fn nothing_is_deleted_above_what_is_damaged() {
    let scene = Scene::new(76);
    let info = scene.snapshot(|tree| {
        tree.directory("a", |a| {
            a.directory("b", |b| b.directory("c", |c| c.file("moved here", &noise(1, 200_000))));
        });
        tree.file("later", b"x");
    });
    scene.write("target/a/b/moved from here", b"all there is");
    scene.write("target/a/extra", b"all there is");
    damage_largest_pack(&scene, &Damage::Empty);
    let report = scene.try_restore(&info.snapshot, mirror).unwrap();
    assert_eq!(report.deleted, 0, "{:?}", report.failures);
    assert_eq!(names(&scene.at("a")), ["b", "extra"]);
    assert_eq!(names(&scene.at("a/b")), ["c", "moved from here"]);
}

#[test]
fn a_store_that_fails_leaves_no_half_file_and_nothing_is_deleted() {
    let mut scene = Scene::new(75);
    let content = noise(1, 12 << 20);
    let info = scene.snapshot(|tree| {
        tree.directory("deep", |deep| deep.file("large", &content));
    });
    let delete = |request: &mut RestoreRequest<'_>| {
        (request.overwrite, request.delete) = (Overwrite::IfChanged, true);
    };
    scene.write("target/extra", b"all there is");
    scene.write("target/deep/extra", b"all there is");
    let packs = objects(&scene.fixture.store, "packs");
    assert!(packs.len() > 10);
    for pack in packs {
        let failing = FaultStore::new(scene.fixture.store.inner(), FaultPlan::unreadable(&pack));
        let store = Store::over(Arc::new(failing), "memory://failing");
        scene.repository = scene.fixture.at(store, scene.fixture.world.fresh_cache()).open();
        let error = scene.try_restore(&info.snapshot, delete).unwrap_err();
        assert!(error.to_string().contains(&pack), "{error}");
        assert_eq!(names(&scene.target()), ["deep", "extra"], "{pack}");
        assert_eq!(names(&scene.at("deep")), ["extra"], "{pack}");
    }
    scene.repository = scene.fixture.open();
    let report = scene.restore(&info, delete);
    assert_eq!((report.files, report.unchanged, report.deleted), (1, 0, 2));
    assert!(fs::read(scene.at("deep/large")).unwrap() == content);
}

#[test]
fn a_content_list_that_is_lost_or_wrong_fails_only_its_file() {
    let mut scene = Scene::new(72);
    let (snapshot, sound) = stored_file(&scene, "c sound");
    let changed = |name: &str, change: &dyn Fn(&mut FileContent)| {
        let mut entry = Entry { name: name.as_bytes().to_vec(), ..sound.clone() };
        let EntryKind::File(content) = &mut entry.kind else { panic!("it is a file") };
        change(content);
        entry
    };
    let lost = |content: &mut FileContent| content.content = Content::List { id: BlobId([9; 32]) };
    let ids = plant(
        &mut scene,
        &[DirectoryNode::Leaf(vec![
            changed("a lost", &lost),
            changed("b empty", &|content| {
                lost(content);
                content.size = 0;
            }),
            sound.clone(),
        ])],
    );
    let report = scene.try_restore(&rooted(&snapshot, ids[0]), |_| {}).unwrap();
    assert_eq!((report.files, report.failed, report.damaged), (1, 2, true));
    assert!(report.failures.iter().any(|it| it.contains("a lost")), "{:?}", report.failures);
    assert_eq!(names(&scene.target()), ["c sound"]);
}

#[test]
fn verifying_finds_a_flipped_byte() {
    let scene = Scene::new(73);
    let content = noise(1, 3 << 20);
    let info = scene.snapshot(|tree| {
        tree.directory("deep", |deep| deep.file("file", &content));
        tree.file("other", b"x");
    });
    scene.restore(&info, |request| request.verify = true);
    let verify = || {
        let request = RestoreRequest::new(&info.snapshot);
        scene.with_reader(|reader| verify_restored(reader, &request, &scene.target()).unwrap())
    };
    assert_eq!(verify().failed, 0);
    let mut altered = content;
    altered[2 << 20] ^= 1;
    fs::write(scene.at("deep/file"), &altered).unwrap();
    let found = verify();
    assert_eq!((found.failed, found.damaged), (1, true));
    assert!(found.failures[0].contains("deep/file"), "{:?}", found.failures);
    fs::remove_file(scene.at("other")).unwrap();
    assert_eq!(verify().failed, 2);
    fs::rename(scene.at("deep"), scene.path("elsewhere")).unwrap();
    let found = verify();
    let ends = ["/deep is not there", "/deep/file is not there", "/other is not there"];
    assert_eq!(found.failed, 3);
    for (failure, end) in found.failures.iter().zip(ends) {
        assert!(failure.ends_with(end), "{failure}");
    }
}
