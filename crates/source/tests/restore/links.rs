//! Hard links.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nightjar_format::manifest::Entry;
use nightjar_source::Overwrite;
use nightjar_testkit::generate::noise;

use crate::scene::{Scene, names};

fn linked(key: u64) -> impl Fn(&mut Entry) {
    move |entry| entry.hard_link = Some(key)
}

fn inode(scene: &Scene, name: &str) -> (u64, u64) {
    let it = fs::metadata(scene.at(name)).unwrap();
    (it.ino(), it.nlink())
}

#[test]
fn names_of_one_file_are_names_of_one_file_again() {
    let scene = Scene::new(11);
    // Under way for longer than the walk takes to come to its other names.
    let big = noise(1, 20 << 20);
    let info = scene.snapshot(|tree| {
        tree.directory("a", |a| a.file_with("first", &big, linked(5)));
        tree.directory("b", |b| {
            b.directory("c", |c| c.file_with("second", &big, linked(5)));
            b.file_with("other", b"other", linked(6));
        });
        tree.file_with("third", &big, linked(5));
    });
    let report = scene.restore(&info, |_| {});
    assert_eq!((report.files, report.links, report.bytes), (4, 2, (20 << 20) + 5));
    assert_eq!(inode(&scene, "a/first"), inode(&scene, "b/c/second"));
    assert_eq!(inode(&scene, "a/first"), inode(&scene, "third"));
    assert_eq!(inode(&scene, "third").1, 3);
    assert_eq!(inode(&scene, "b/other").1, 1);
    assert!(fs::read(scene.at("third")).unwrap() == big);

    // Over itself, and where a name was torn off.
    for overwrite in [Overwrite::IfChanged, Overwrite::Always] {
        fs::remove_file(scene.at("third")).unwrap();
        fs::write(scene.at("third"), "another file").unwrap();
        let report = scene.restore(&info, |request| request.overwrite = overwrite);
        assert_eq!(report.bytes, 0, "{overwrite:?}");
        assert_eq!(inode(&scene, "a/first"), inode(&scene, "third"));
        assert_eq!(inode(&scene, "third").1, 3);
        assert_eq!(names(&scene.target()), ["a", "b", "third"], "a temporary name is left");
        assert_eq!(names(&scene.at("b/c")), ["second"], "a temporary name is left");
    }
}

#[test]
fn entries_that_are_only_called_one_file_are_restored_apart() {
    let scene = Scene::new(12);
    let info = scene.snapshot(|tree| {
        tree.file_with("a", b"one content", linked(5));
        tree.file_with("b", b"another one", linked(5));
        tree.file_with("c", b"one content", |entry| {
            (entry.hard_link, entry.mode) = (Some(5), 0o600)
        });
        tree.file_with("d", b"one content", linked(5));
    });
    let report = scene.restore(&info, |_| {});
    assert_eq!((report.files, report.links), (4, 1));
    assert_eq!(inode(&scene, "a"), inode(&scene, "d"));
    for (name, bytes) in [("b", "another one"), ("c", "one content")] {
        assert_eq!(inode(&scene, name).1, 1);
        assert_eq!(fs::read_to_string(scene.at(name)).unwrap(), bytes);
    }
}

#[test]
fn more_links_than_wait_together_are_made() {
    let scene = Scene::new(13);
    let info = scene.snapshot(|tree| {
        for number in 0..1000 {
            tree.file_with(&format!("{number:04}"), b"same", linked(1 + number % 2));
        }
    });
    let report = scene.restore(&info, |_| {});
    assert_eq!((report.files, report.links), (1000, 998));
    assert_eq!(inode(&scene, "0999").1, 500);
}
