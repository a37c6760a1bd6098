//! Snapshots that somebody made to do harm, and destinations that somebody prepared.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use nightjar_codec::compress::Payload;
use nightjar_format::blob::{BlobKind, Encoding};
use nightjar_format::manifest::{DirectoryNode, DirectoryRef, Entry, EntryKind};
use nightjar_format::snapshot::Snapshot;
use nightjar_format::{BlobId, SessionId};
use nightjar_source::Overwrite;
use nightjar_testkit::generate::noise;
use nightjar_testkit::insider::{HandMade, Insider};

use crate::scene::{Scene, mine, names, symlink_to};

const SESSION: SessionId = SessionId([7; 16]);

/// Stores directory nodes as nobody else would; returns their ids.
pub(crate) fn plant(scene: &mut Scene, nodes: &[DirectoryNode]) -> Vec<BlobId> {
    let insider = Insider::first(&scene.fixture);
    let blobs: Vec<HandMade> = nodes
        .iter()
        .map(|node| {
            let plain = node.encode();
            let payload = Payload { encoding: Encoding::Raw, bytes: plain.clone() };
            let id = insider.identifier().blob_id(BlobKind::Tree, &plain);
            HandMade { id, raw_len: plain.len(), payload }
        })
        .collect();
    let pack = insider.write_pack(BlobKind::Tree, SESSION, &blobs);
    insider.write_index(SESSION, vec![pack]);
    scene.repository = scene.fixture.open();
    blobs.iter().map(|blob| blob.id).collect()
}

fn leaf(entries: Vec<Entry>) -> DirectoryNode {
    DirectoryNode::Leaf(entries)
}

pub(crate) fn rooted(snapshot: &Snapshot, root: BlobId) -> Snapshot {
    Snapshot { root, ..snapshot.clone() }
}

/// A file whose content is stored.
pub(crate) fn stored_file(scene: &Scene, name: &str) -> (Snapshot, Entry) {
    let info = scene.snapshot(|tree| tree.file("content", b"harm"));
    let file = scene.with_reader(|reader| {
        let mut walk = nightjar_repository::manifest::walk::TreeWalk::new(info.snapshot.root);
        walk.next(reader).unwrap().unwrap().entry
    });
    (info.snapshot, Entry { name: name.as_bytes().to_vec(), ..file })
}

#[test]
fn names_that_lead_elsewhere_are_refused_before_anything_is_written() {
    for name in ["..", ".", "", "/etc/cron.d/x", "../outside", "a/b", "a\0b"] {
        let mut scene = Scene::new(31);
        let (snapshot, file) = stored_file(&scene, name);
        let ids = plant(&mut scene, &[leaf(vec![file])]);
        let restored = scene.try_restore(&rooted(&snapshot, ids[0]), |_| {});
        assert!(restored.is_err(), "{name:?}");
        assert!(!scene.target().exists() && !scene.path("outside").exists(), "{name:?}");
    }
}

#[test]
fn a_link_and_a_directory_of_the_same_name_are_refused() {
    let mut scene = Scene::new(32);
    let (snapshot, file) = stored_file(&scene, "file");
    fs::create_dir(scene.path("elsewhere")).unwrap();
    let below = plant(&mut scene, &[leaf(vec![file])])[0];
    let link = mine("a", symlink_to(&scene.path("elsewhere")));
    let directory = mine("a", EntryKind::Directory { root: below });
    // In one node, and in two that stand beside each other.
    let one = plant(&mut scene, &[leaf(vec![link.clone(), directory.clone()])])[0];
    let two = plant(&mut scene, &[leaf(vec![link]), leaf(vec![directory])]);
    let children = [b"a".to_vec(), b"b".to_vec()].into_iter().zip(&two);
    let children = children.map(|(first_name, id)| DirectoryRef { first_name, id: *id }).collect();
    let inner = plant(&mut scene, &[DirectoryNode::Inner { level: 1, children }])[0];
    for root in [one, inner] {
        for overwrite in [Overwrite::Never, Overwrite::Always] {
            let snapshot = rooted(&snapshot, root);
            let restored = scene.try_restore(&snapshot, |it| it.overwrite = overwrite);
            assert!(restored.is_err());
            assert_eq!(names(&scene.path("elsewhere")), [""; 0]);
        }
    }
}

#[test]
fn two_files_of_the_same_name_are_refused() {
    for overwrite in [Overwrite::Never, Overwrite::IfChanged, Overwrite::Always] {
        let mut scene = Scene::new(37);
        let (snapshot, file) = stored_file(&scene, "file");
        let ids = plant(&mut scene, &[leaf(vec![file.clone(), file])]);
        let snapshot = rooted(&snapshot, ids[0]);
        assert!(scene.try_restore(&snapshot, |it| it.overwrite = overwrite).is_err());
        assert!(!scene.at("file").exists(), "{overwrite:?}");
    }
}

/// Where case counts, these are four entries. Where it does not, the second name finds a link
/// standing there, which is the test below.
#[test]
fn names_that_differ_in_case_only_are_names_of_their_own() {
    let scene = Scene::new(38);
    fs::create_dir(scene.path("elsewhere")).unwrap();
    let info = scene.snapshot(|tree| {
        tree.directory("A", |a| a.file("file", b"in A"));
        tree.file("B", b"B");
        tree.other("a", symlink_to(&scene.path("elsewhere")), |_| {});
        tree.other("b", symlink_to(&scene.path("elsewhere/file")), |_| {});
    });
    scene.restore(&info, |_| {});
    assert_eq!(names(&scene.target()), ["A", "B", "a", "b"]);
    assert_eq!(fs::read(scene.at("A/file")).unwrap(), b"in A");
    assert_eq!(fs::read(scene.at("B")).unwrap(), b"B");
    assert_eq!(names(&scene.path("elsewhere")), [""; 0]);
}

#[test]
fn a_link_that_stands_in_the_place_of_a_directory_is_never_entered() {
    let scene = Scene::new(33);
    let info = scene.snapshot(|tree| tree.directory("a", |a| a.file("file", b"new")));
    let precious = scene.write("elsewhere/precious", b"precious");
    fs::create_dir(scene.target()).unwrap();
    let lead_away = || symlink(scene.path("elsewhere"), scene.at("a")).unwrap();
    lead_away();
    for overwrite in [Overwrite::Never, Overwrite::IfChanged, Overwrite::Always] {
        let restored = scene.try_restore(&info.snapshot, |it| it.overwrite = overwrite);
        assert!(restored.is_err(), "{overwrite:?}");
    }
    // Told to delete what is in the way, it deletes the link.
    scene.restore(&info, |it| (it.overwrite, it.delete) = (Overwrite::Always, true));
    assert!(fs::symlink_metadata(scene.at("a")).unwrap().is_dir());
    assert_eq!(names(&scene.path("elsewhere")), ["precious"]);
    assert_eq!(fs::read(precious).unwrap(), b"precious");
}

/// Somebody swaps a directory for a link as fast as they can; whatever the moment, nothing arrives
/// where the link leads.
#[test]
fn directories_that_are_swapped_for_links_lead_nowhere() {
    let scene = Scene::new(34);
    let bytes = noise(1, 40_000);
    let info = scene.snapshot(|tree| {
        tree.directory("a", |a| {
            for number in 0..300 {
                a.directory(&format!("{number:03}"), |it| it.file("file", &bytes));
            }
        });
    });
    fs::create_dir(scene.path("elsewhere")).unwrap();
    for number in 0..300 {
        fs::create_dir(scene.path("elsewhere").join(format!("{number:03}"))).unwrap();
    }
    fs::create_dir_all(scene.at("a")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                drop(fs::rename(scene.at("a"), scene.at("b")));
                drop(symlink(scene.path("elsewhere"), scene.at("a")));
                drop(fs::remove_file(scene.at("a")));
                drop(fs::rename(scene.at("b"), scene.at("a")));
            }
        });
        for _ in 0..30 {
            // It fails or it does not.
            let overwrite = |it: &mut nightjar_source::RestoreRequest<'_>| {
                (it.overwrite, it.delete) = (Overwrite::Always, true);
            };
            drop(scene.try_restore(&info.snapshot, overwrite));
        }
        stop.store(true, Ordering::Relaxed);
    });
    for number in 0..300 {
        let inside = names(&scene.path("elsewhere").join(format!("{number:03}")));
        assert_eq!(inside, [""; 0], "something arrived behind a link, or was deleted there");
    }
    assert_eq!(names(&scene.path("elsewhere")).len(), 300);
}

#[test]
fn a_destination_that_is_a_link_is_what_the_user_named() {
    let scene = Scene::new(35);
    let info = scene.snapshot(|tree| tree.file("file", b"x"));
    fs::create_dir(scene.path("real")).unwrap();
    symlink(scene.path("real"), scene.target()).unwrap();
    scene.restore(&info, |_| {});
    assert_eq!(names(&scene.path("real")), ["file"]);
}

/// A file that has another name outside would get its attributes there, too.
#[test]
fn a_file_that_is_linked_from_elsewhere_is_replaced_and_not_changed() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let scene = Scene::new(36);
    let info = scene.snapshot(|tree| {
        tree.file_with("file", b"same bytes", |entry| entry.mode = 0o777);
    });
    let outside = scene.write("outside", b"same bytes");
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(scene.target()).unwrap();
    fs::hard_link(&outside, scene.at("file")).unwrap();
    let report = scene.restore(&info, |it| it.overwrite = Overwrite::Always);
    assert_eq!(report.unchanged, 0);
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(scene.at("file")).unwrap().mode() & 0o7777, 0o777);
}
