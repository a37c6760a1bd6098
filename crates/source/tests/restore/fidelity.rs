//! Everything that an entry says comes back.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use nightjar_format::manifest::{Entry, EntryKind, Timestamp};
use nightjar_testkit::generate::noise;
use rustix::fs::{XattrFlags, getxattr, lgetxattr, listxattr, setxattr};

use crate::scene::{Scene, attribute, done_as_root, mode, names, symlink_to, with_holes};

/// rw- for the owner, r-- for user 1234, rwx for the mask: as the kernel keeps it.
const ACL: &[u8] = &[
    2, 0, 0, 0, // version
    1, 0, 6, 0, 255, 255, 255, 255, // owner rw-
    2, 0, 4, 0, 0xd2, 4, 0, 0, // user 1234 r--
    4, 0, 4, 0, 255, 255, 255, 255, // group r--
    16, 0, 4, 0, 255, 255, 255, 255, // mask r--
    32, 0, 0, 0, 255, 255, 255, 255, // others ---
];

fn at(seconds: i64, nanoseconds: u32) -> impl Fn(&mut Entry) {
    move |entry| entry.modified = Timestamp { seconds, nanoseconds }
}

#[test]
fn root_gets_everything_back() {
    if done_as_root("fidelity::root_gets_everything_back") {
        return;
    }
    let scene = Scene::new(1);
    let big = noise(1, 3 << 20);
    let info = scene.snapshot(|tree| {
        tree.other("disk", EntryKind::BlockDevice { major: 7, minor: 200 }, |_| {});
        tree.directory_with(
            "etc",
            |etc| {
                etc.file("big", &big);
                etc.file("empty", b"");
                etc.file_with("listed", b"access", |entry| {
                    entry.mode = 0o640;
                    entry.attributes = vec![
                        attribute("system.posix_acl_access", ACL),
                        attribute("trusted.of", b"root"),
                        attribute("user.note", b"\0any bytes\xff"),
                    ];
                });
            },
            |etc| {
                (etc.mode, etc.uid, etc.gid) = (0o2751, 1234, 4321);
                etc.attributes = vec![attribute("user.what", b"directory")];
                at(-1, 999_999_999)(etc);
            },
        );
        tree.other("link", symlink_to("etc/big".as_ref()), |link| {
            (link.uid, link.gid) = (77, 78);
            link.attributes = vec![attribute("trusted.on", b"a link")];
            at(-86_400, 5)(link);
        });
        tree.other("null", EntryKind::CharacterDevice { major: 1, minor: 3 }, |null| {
            (null.mode, null.uid) = (0o666, 99);
            at(4_000_000_000, 1)(null);
        });
        tree.other("pipe", EntryKind::Fifo, |pipe| pipe.mode = 0o1620);
        tree.file_with("su", b"#!", |su| {
            (su.mode, su.uid, su.gid) = (0o6755, 1234, 4321);
            at(1, 2)(su);
        });
    });
    let report = scene.restore(&info, |_| {});
    assert_eq!(report.warnings, [""; 0]);
    assert_eq!((report.files, report.directories, report.others), (4, 1, 4));
    assert_eq!(names(&scene.target()), ["disk", "etc", "link", "null", "pipe", "su"]);

    assert!(fs::read(scene.at("etc/big")).unwrap() == big);
    assert_eq!(fs::read(scene.at("etc/empty")).unwrap(), b"");
    let state = |name: &str| {
        let it = fs::symlink_metadata(scene.at(name)).unwrap();
        (it.mode() & 0o7777, it.uid(), it.gid(), it.mtime(), it.mtime_nsec())
    };
    assert_eq!(state("etc"), (0o2751, 1234, 4321, -1, 999_999_999));
    assert_eq!(state("su"), (0o6755, 1234, 4321, 1, 2));
    assert_eq!(state("link"), (0o777, 77, 78, -86_400, 5));
    assert_eq!(state("null"), (0o666, 99, 0, 4_000_000_000, 1));
    assert_eq!(mode(&scene.at("pipe")), 0o1620);
    let kind = |name: &str| fs::symlink_metadata(scene.at(name)).unwrap();
    assert!(kind("disk").file_type().is_block_device());
    assert_eq!(kind("disk").rdev(), rustix::fs::makedev(7, 200));
    assert!(kind("null").file_type().is_char_device());
    assert_eq!(kind("null").rdev(), rustix::fs::makedev(1, 3));
    assert!(kind("pipe").file_type().is_fifo());

    let value = |name: &str, attribute: &str| {
        let mut value = [0u8; 128];
        let len = lgetxattr(scene.at(name), attribute, &mut value).unwrap();
        value[..len].to_vec()
    };
    assert_eq!(value("etc/listed", "system.posix_acl_access"), ACL);
    assert_eq!(value("etc/listed", "user.note"), b"\0any bytes\xff");
    assert_eq!(value("etc/listed", "trusted.of"), b"root");
    assert_eq!(mode(&scene.at("etc/listed")), 0o640);
    assert_eq!(value("etc", "user.what"), b"directory");
    assert_eq!(value("link", "trusted.on"), b"a link");
}

#[test]
fn holes_take_no_room_and_read_as_zeros() {
    let scene = Scene::new(2);
    let data = noise(2, 300_000);
    let info = scene.snapshot(|tree| {
        tree.file_with("only a hole", b"", |entry| with_holes(entry, &[(0, 50 << 20)]));
        tree.file_with("sparse", &data, |entry| {
            with_holes(
                entry,
                &[(0, 1 << 20), ((1 << 20) + 100_000, 8 << 20), (9_737_184, 64 << 20)],
            );
        });
    });
    // The third hole begins where the data ends.
    let end = (9 << 20) + 300_000;
    assert_eq!(end, 9_737_184);
    let report = scene.restore(&info, |request| request.verify = true);
    assert_eq!(report.bytes, 300_000);
    let sparse = fs::read(scene.at("sparse")).unwrap();
    assert_eq!(sparse.len(), end + (64 << 20));
    assert!(sparse[1 << 20..(1 << 20) + 100_000] == data[..100_000]);
    assert!(sparse[(9 << 20) + 100_000..end] == data[100_000..]);
    assert_eq!(sparse.iter().filter(|byte| **byte != 0).count(), nonzero(&data));
    let taken = fs::metadata(scene.at("sparse")).unwrap().blocks() * 512;
    assert!(taken < 1 << 20, "{taken} bytes are taken");
    assert_eq!(fs::metadata(scene.at("only a hole")).unwrap().len(), 50 << 20);
    assert!(fs::metadata(scene.at("only a hole")).unwrap().blocks() < 100);
}

fn nonzero(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte != 0).count()
}

#[test]
fn access_lists_of_the_directory_above_are_not_inherited() {
    let scene = Scene::new(3);
    let info = scene.snapshot(|tree| {
        tree.directory("below", |below| below.file("file", b"x"));
        tree.file("file", b"x");
    });
    fs::create_dir(scene.target()).unwrap();
    let (list, flags) = ("system.posix_acl_default", XattrFlags::empty());
    setxattr(scene.target(), list, ACL, flags).unwrap();
    scene.restore(&info, |_| {});
    for name in ["file", "below", "below/file"] {
        let mut list = [0u8; 256];
        let len = listxattr(scene.at(name), &mut list).unwrap();
        assert!(!String::from_utf8_lossy(&list[..len]).contains("acl"), "{name}");
    }
    assert_eq!(mode(&scene.at("file")), 0o640);
    // What is not the snapshot's keeps what it has.
    assert!(getxattr(scene.target(), "system.posix_acl_default", &mut [0u8; 256]).is_ok());
}

#[test]
fn owners_are_those_of_the_name_unless_numbers_are_asked_for() {
    if done_as_root("fidelity::owners_are_those_of_the_name_unless_numbers_are_asked_for") {
        return;
    }
    let scene = Scene::new(4);
    let info = scene.snapshot(|tree| {
        tree.file_with("file", b"x", |entry| {
            (entry.uid, entry.gid) = (4711, 4712);
            (entry.user, entry.group) = (b"nobody".to_vec(), b"nogroup".to_vec());
        });
        tree.file_with("unknown", b"x", |entry| {
            (entry.uid, entry.user) = (4711, b"nobody here has this name".to_vec());
        });
    });
    scene.restore(&info, |_| {});
    let owner = |name: &str| {
        let it = fs::metadata(scene.at(name)).unwrap();
        (it.uid(), it.gid())
    };
    assert_eq!(owner("file"), (65534, 65534));
    assert_eq!(owner("unknown"), (4711, 0));
    fs::remove_dir_all(scene.target()).unwrap();
    scene.restore(&info, |request| request.numeric_ids = true);
    assert_eq!(owner("file"), (4711, 4712));
}

#[test]
fn sockets_are_left_out_with_one_warning() {
    let scene = Scene::new(5);
    let info = scene.snapshot(|tree| {
        tree.other("a.sock", EntryKind::Socket, |_| {});
        tree.other("b.sock", EntryKind::Socket, |_| {});
    });
    let report = scene.restore(&info, |_| {});
    assert_eq!(report.warnings.len(), 1);
    assert!(report.warnings[0].contains("2 entries"), "{:?}", report.warnings);
    assert_eq!(names(&scene.target()), [""; 0]);
}

#[test]
fn a_directory_of_the_snapshot_can_be_taken_for_its_root() {
    let scene = Scene::new(6);
    let info = scene.snapshot(|tree| {
        tree.directory("srv", |srv| {
            srv.directory_with(
                "data",
                |data| {
                    data.directory("deep", |deep| deep.file("one", b"1"));
                    data.file("two", b"2");
                },
                |data| data.mode = 0o711,
            );
        });
    });
    let under = |request: &mut nightjar_source::RestoreRequest<'_>| {
        request.subtree = b"srv/data".to_vec();
    };
    scene.restore(&info, under);
    assert_eq!(names(&scene.target()), ["deep", "two"]);
    assert_eq!(mode(&scene.target()), 0o711);
    fs::remove_dir_all(scene.target()).unwrap();
    scene.restore(&info, |request| {
        under(request);
        request.paths = vec![b"deep/one".to_vec()];
    });
    assert_eq!(names(&scene.target()), ["deep"]);
    let none = scene.try_restore(&info.snapshot, |request| request.subtree = b"srv/no".to_vec());
    assert!(none.unwrap_err().to_string().contains("srv/no"));
    let file = |request: &mut nightjar_source::RestoreRequest<'_>| {
        request.subtree = b"srv/data/two".to_vec();
    };
    assert!(scene.try_restore(&info.snapshot, file).is_err());
}

#[test]
fn many_directories_do_not_take_more_descriptors_than_there_are() {
    let scene = Scene::new(7);
    let info = scene.snapshot(|tree| {
        for number in 0..3000 {
            tree.directory(&format!("{number:04}"), |it| it.file("file", b"small"));
        }
    });
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit { current: Some(400), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    let report = scene.restore(&info, |_| {});
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    assert_eq!((report.files, report.directories), (3000, 3000));
}
