//! Tars: what GNU tar wrote is stored member by member, and what is written GNU tar reads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::Value;

use crate::harness::data::noise;
use crate::harness::make::{make_everything, set_time};
use crate::harness::tree::{Kind, Node, Tree, assert_same_trees, read};
use crate::harness::{Nightjar, Outcome, Sandbox, id_of, number};

/// Runs GNU tar in a directory and returns what it prints.
#[track_caller]
fn tar(directory: &Path, words: &str) -> Vec<u8> {
    let mut command = Command::new("tar");
    command.args(words.split_whitespace()).current_dir(directory).stderr(Stdio::inherit());
    let output = command.output().expect("GNU tar runs");
    assert!(output.status.success(), "tar {words}: {}", output.status);
    output.stdout
}

/// What GNU tar makes of a tar.
#[track_caller]
fn extract(sandbox: &Sandbox, name: &str, archive: &[u8]) -> PathBuf {
    let target = sandbox.path(name);
    fs::create_dir(&target).unwrap();
    let file = sandbox.write(&format!("{name}.tar"), archive);
    let file = file.display();
    tar(&target, &format!("--xattrs --xattrs-include=* -xpf {file}"));
    target
}

fn store(sandbox: &Sandbox, archive: impl Into<Vec<u8>>) -> Nightjar {
    sandbox.nightjar("backup --tar --stdin base.tar").stdin(archive)
}

#[track_caller]
fn refused(sandbox: &Sandbox, archive: impl Into<Vec<u8>>) -> Outcome {
    let outcome = store(sandbox, archive).exits(1).says("no snapshot").prints_nothing();
    assert!(sandbox.snapshots().is_empty(), "a snapshot was made\n{outcome}");
    outcome
}

fn long(length: usize) -> String {
    "long-".repeat(length.div_ceil(5))[..length].to_owned()
}

/// The harness's tree, with what tars have trouble with besides.
fn make_tree(root: &Path) {
    make_everything(root);
    for length in [99, 100, 101, 200, 255] {
        fs::write(root.join(long(length)), format!("a name of {length} bytes")).unwrap();
    }
    let deep = root.join(long(255)[..200].to_owned() + "-d").join(long(200)).join(long(150));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "at the end of a long path").unwrap();
    fs::write(deep.join(OsStr::from_bytes(b"\xff\xfe\n")), "not UTF-8").unwrap();
    symlink(long(400), root.join("long link")).unwrap();
    fs::create_dir(root.join("links")).unwrap();
    fs::write(root.join("links/b-first"), noise(9, 100_000)).unwrap();
    fs::hard_link(root.join("links/b-first"), root.join("links/a-second")).unwrap();
    fs::hard_link(root.join("links/b-first"), root.join("third")).unwrap();
    let sparse = File::create(root.join("sparse")).unwrap();
    sparse.set_len(5_000_000).unwrap();
    sparse.write_all_at(b"in the middle", 1 << 20).unwrap();
    sparse.write_all_at(b"further on", 3 << 20).unwrap();
    set_time(&root.join("sparse"), 1_500_000_000, 987_654_321);
}

fn entries(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let list = sandbox.nightjar("snapshot ls latest").json();
    let list = list.as_array().unwrap().clone();
    list.into_iter().map(|it| (it["path"].as_str().unwrap().to_owned(), it)).collect()
}

#[test]
fn a_tar_of_gnu_tar_comes_back_as_the_same_tree() {
    for format in ["--format=gnu", "--format=pax", "--format=pax --sparse-version=0.0"] {
        let sandbox = Sandbox::new();
        make_tree(&sandbox.path("tree"));
        let archive = tar(&sandbox.path(""), &format!("{format} -S -cf - tree"));
        let original = read(&extract(&sandbox, "original", &archive).join("tree"));
        let created = store(&sandbox, archive).json();
        assert_eq!(
            (number(&created, "unreadable"), &created["warnings"]),
            (0, &Value::Array(vec![]))
        );

        let written = sandbox.nightjar("restore latest --tar --stdout").done().stdout;
        let extracted = extract(&sandbox, "extracted", &written).join("tree");
        assert_same_trees(&without_holes(read(&extracted)), &without_holes(original.clone()));
        assert_links(&extracted);
        let restored = sandbox.path("restored");
        sandbox.nightjar("restore latest --to").arg(&restored).done();
        assert_same_trees(&read(&restored.join("tree")), &original);

        let sparse = &entries(&sandbox)["tree/sparse"];
        assert!(number(sparse, "hole_bytes") > 4_900_000, "{format}: {sparse}");
        assert_eq!(number(sparse, "size"), 5_000_000);
        sandbox.assert_verifies();
    }
}

/// More holes than a header has room for, and more than a snapshot notes.
#[test]
fn files_of_many_holes_come_back() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    for (name, holes) in [("some", 60), ("many", 4200)] {
        let file = File::create(sandbox.path("tree").join(name)).unwrap();
        for hole in 0..holes {
            // Some are twice as long.
            let offset = (hole * 2 + hole / 1000) * 4096;
            file.write_all_at(format!("data {hole}").as_bytes(), offset).unwrap();
        }
        file.set_len(40_000_000).unwrap();
    }
    let original = read(&sandbox.path("tree"));
    for format in ["--format=gnu", "--format=pax", "--format=pax --sparse-version=0.1"] {
        let archive = tar(&sandbox.path(""), &format!("{format} -S -cf - tree"));
        assert!(archive.len() < 30_000_000, "it is not sparse");
        store(&sandbox, archive).done();
        let restored = sandbox.path("restored");
        sandbox.nightjar("restore latest --overwrite always --to").arg(&restored).done();
        let restored = without_holes(read(&restored.join("tree")));
        let original = without_holes(original.clone());
        for name in ["some", "many"].map(Path::new) {
            assert!(restored[name].kind == original[name].kind);
        }
        let found = entries(&sandbox);
        assert!(number(&found["tree/some"], "hole_bytes") > 39_000_000, "{found:?}");
        assert!(number(&found["tree/many"], "hole_bytes") > 5_000_000, "{found:?}");
    }
}

/// A tar that we write holds zeros for holes.
fn without_holes(mut tree: Tree) -> Tree {
    for node in tree.values_mut() {
        if let Kind::File(_, holes) = &mut node.kind {
            holes.clear();
        }
    }
    tree
}

#[track_caller]
fn assert_links(tree: &Path) {
    let inode = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
    assert_eq!(inode("links/a-second"), inode("links/b-first"));
    assert_eq!(inode("third"), inode("links/b-first"));
}

#[test]
fn times_to_the_nanosecond_and_attributes_come_back() {
    let sandbox = Sandbox::new();
    make_tree(&sandbox.path("tree"));
    let file = sandbox.path("tree/run-me");
    let (name, value) = ("user.with=sign%", b"bytes\0and\n12 newlines=\n".as_slice());
    setxattr(&file, name, value, XattrFlags::empty()).unwrap();
    let original = read(&sandbox.path("tree"));
    let archive = tar(&sandbox.path(""), "--xattrs --format=pax -cf - tree");
    store(&sandbox, archive).done();
    let written = sandbox.nightjar("restore latest --tar --stdout").done().stdout;
    let extracted = extract(&sandbox, "extracted", &written).join("tree");
    assert_same_trees(&without_holes(read(&extracted)), &without_holes(original.clone()));
    let mut buffer = [0; 100];
    let length = getxattr(extracted.join("run-me"), name, &mut buffer[..]).unwrap();
    assert_eq!(&buffer[..length], value);
}

#[test]
fn a_directory_comes_back_as_a_tar() {
    let sandbox = Sandbox::new();
    make_tree(&sandbox.path("tree"));
    let _socket = UnixListener::bind(sandbox.path("tree/socket")).unwrap();
    let mut original = read(&sandbox.path("tree"));
    original.remove(Path::new("socket"));
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    let target = sandbox.path("target");
    fs::create_dir(&target).unwrap();
    sandbox
        .nightjar("restore latest --tar -- tar -xpf - -C")
        .arg(&target)
        .done()
        .says("socket is a socket, which a tar cannot hold");
    assert_same_trees(&without_holes(read(&target.join("tree"))), &without_holes(original));
    assert_links(&target.join("tree"));
}

#[test]
fn a_part_comes_back_as_a_tar() {
    let sandbox = Sandbox::new();
    make_tree(&sandbox.path("tree"));
    let original = read(&sandbox.path("tree"));
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    let restore = sandbox.nightjar("restore latest tree/etc/deep tree/third --tar --stdout");
    let extracted = extract(&sandbox, "part", &restore.done().stdout);
    let restored = without_holes(read(&extracted.join("tree")));
    assert_eq!(restored.len(), 7, "{:?}", restored.keys());
    for (path, node) in &restored {
        // The other names of the file are not here.
        let original = Node { same_as: None, ..original[path].clone() };
        assert!(*node == original, "{}: {node:?}, not {original:?}", path.display());
    }
    sandbox
        .nightjar("restore latest tree/none --tar --stdout")
        .exits(1)
        .says("holds no tree/none")
        .prints_nothing();
}

#[test]
fn a_command_that_takes_the_tar_decides() {
    let sandbox = Sandbox::new();
    make_everything(&sandbox.path("tree"));
    sandbox.nightjar("backup").source(sandbox.path("tree")).done();
    let restore = || sandbox.nightjar("restore latest --tar");
    restore().shell("cat > /dev/null; exit 7").exits(1).says("failed with exit status 7");
    restore().shell("head -c 600 > /dev/null").exits(1).says("before it had taken everything");
}

#[test]
fn single_members_come_back() {
    let sandbox = Sandbox::new();
    make_everything(&sandbox.path("tree"));
    let original = read(&sandbox.path("tree"));
    store(&sandbox, tar(&sandbox.path("tree"), "--format=pax -cf - .")).done();
    let restored = sandbox.path("restored");
    sandbox.nightjar("restore latest etc/deep/noise fifo --to").arg(&restored).done();
    let found = read(&restored);
    for name in ["etc/deep/noise", "fifo", "etc/deep"].map(Path::new) {
        assert!(found[name] == original[name], "{}", name.display());
    }
    sandbox.nightjar("snapshot cat latest etc/service.conf").done().prints_bytes(b"port = 5432\n");
    sandbox.nightjar("snapshot show latest").done().prints("the members of the tar base.tar");
    let shown = sandbox.nightjar("snapshot show latest").json();
    assert_eq!(shown["source"]["tar"], true);
}

#[test]
fn a_second_night_adds_what_changed() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    for file in 0..40 {
        sandbox.write(&format!("tree/{file}"), noise(file, 200_000));
    }
    let archive = || tar(&sandbox.path(""), "-cf - tree");
    let first = store(&sandbox, archive()).json();
    let mut changed = noise(7, 200_000);
    changed[100_000] ^= 1;
    sandbox.write("tree/7", &changed);
    let second = store(&sandbox, archive()).json();
    assert!(number(&first, "chunks") > 40, "{first}");
    assert_eq!(number(&second, "chunks_new"), 1, "{second}");
    assert_eq!(number(&second, "chunks_delta"), 1, "{second}");
    assert!(number(&second, "bytes_added") < 20_000, "{second}");
    let (first, second) = (id_of(&first), id_of(&second));
    let diff = sandbox.nightjar("snapshot diff --no-metadata").arg(first).arg(second).done();
    assert_eq!(diff.text().lines().count(), 1, "{diff}");

    // And a directory of the same files adds nothing but its entries.
    let directory = sandbox.nightjar("backup").source(sandbox.path("tree")).json();
    assert_eq!(number(&directory, "chunks_new"), 0, "{directory}");
}

#[test]
fn a_truncated_tar_is_no_snapshot() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    sandbox.write("tree/a", noise(1, 3_000_000));
    sandbox.write("tree/b", "short");
    let archive = tar(&sandbox.path(""), "--format=pax -b1 -cf - tree");
    let end = archive.len() - 1024;
    for length in
        [0, 100, 512, 700, 512 * 3, 2_000_000, end - 512, end - 510, end - 1, end, end + 1]
    {
        let outcome = refused(&sandbox, &archive[..length]);
        outcome.says("without the end-of-archive blocks").never_says("panicked");
    }
    // One block of zeros is the end.
    store(&sandbox, &archive[..end + 512]).done();
    sandbox.assert_verifies();
}

#[test]
fn a_command_must_succeed_though_its_tar_is_whole() {
    let sandbox = Sandbox::new();
    make_everything(&sandbox.path("tree"));
    let backup = || sandbox.nightjar("backup --tar --name t.tar").in_directory(&sandbox.path(""));
    backup().shell("tar -cf - tree; exit 5").exits(1).says("exit status 5");
    // The command's own words are worth more than that its tar is truncated.
    let broken = backup().shell("tar -cf - tree | head -c 9000; echo disk on fire >&2; exit 6");
    broken.exits(1).says("exit status 6").says("disk on fire");
    backup().shell("tar -cf - tree | head -c 9000").exits(1).says("may be truncated");
    backup().args("--min-size 1GB").shell("tar -cf - tree").exits(1).says("--min-size");
    assert!(sandbox.snapshots().is_empty());
    backup().args("--min-size 1KB").shell("tar -cf - tree; cat /dev/zero | head -c 3000000").done();
}

#[test]
fn what_is_no_tar_is_refused() {
    let sandbox = Sandbox::new();
    refused(&sandbox, noise(1, 100_000)).says("base.tar is not a tar");
    refused(&sandbox, "CREATE TABLE a (id integer);\n".repeat(100)).says("base.tar is not a tar");
    make_everything(&sandbox.path("tree"));
    let compressed = tar(&sandbox.path(""), "-czf - tree");
    refused(&sandbox, compressed).says("compressed with gzip").says("without -z");
    fs::create_dir(sandbox.path("small")).unwrap();
    let small = tar(&sandbox.path(""), "-czf - small");
    assert!(small.len() < 512);
    refused(&sandbox, small).says("compressed with gzip");
    let mut damaged = tar(&sandbox.path(""), "-cf - tree");
    let header = damaged.windows(11).rposition(|it| it == b"etc/deep/no").unwrap();
    damaged[header] ^= 1;
    refused(&sandbox, damaged).says("no member's header where one belongs");
    // However long it would go on.
    sandbox.nightjar("backup --tar --name n.tar -- yes").exits(1).says("n.tar is not a tar");
}

#[test]
fn members_that_lead_elsewhere_are_left_out_and_counted() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("tree/below")).unwrap();
    sandbox.write("tree/outside", "outside");
    sandbox.write("tree/below/inside", "inside");
    let below = sandbox.path("tree/below");
    let archive = tar(&below, "-P -cf - ../outside inside");
    let outcome = store(&sandbox, archive).with_json().exits(3).says("../outside").says("`..`");
    assert_eq!(number(&outcome.json(), "unreadable"), 1);
    assert_eq!(entries(&sandbox).keys().collect::<Vec<_>>(), ["inside"]);
}

#[test]
fn absolute_names_and_dots_stand_in_the_root() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("tree/a")).unwrap();
    sandbox.write("tree/a/b", "b");
    let absolute = sandbox.path("tree/a/b").display().to_string();
    store(&sandbox, tar(&sandbox.path("tree"), &format!("-P -cf - ./a {absolute}"))).done();
    let found = entries(&sandbox);
    assert!(found.contains_key("a/b"));
    let absolute = absolute.trim_start_matches('/');
    assert!(found.contains_key(absolute));
    // Nobody told anything of the directories above it.
    let above = &found[absolute.split('/').next().unwrap()];
    assert_eq!((&above["mode"], &above["uid"]), (&found["a"]["mode"], &0.into()));
    assert!(above["modified"].as_str().unwrap().starts_with("1970-01-01"), "{above}");
}

#[test]
fn the_last_of_a_name_counts() {
    let sandbox = Sandbox::new();
    fs::create_dir_all(sandbox.path("tree/turns")).unwrap();
    sandbox.write("tree/a", noise(1, 100_000));
    fs::hard_link(sandbox.path("tree/a"), sandbox.path("tree/link")).unwrap();
    sandbox.write("tree/b", "first");
    tar(&sandbox.path(""), "-cf t.tar tree");
    sandbox.write("tree/b", "second");
    fs::remove_file(sandbox.path("tree/a")).unwrap();
    sandbox.write("tree/a", "no link any more");
    fs::remove_dir(sandbox.path("tree/turns")).unwrap();
    sandbox.write("tree/turns", "into a file");
    tar(&sandbox.path(""), "-rf t.tar tree/a tree/b tree/turns");
    store(&sandbox, sandbox.read("t.tar")).done();
    let original = extract(&sandbox, "original", &sandbox.read("t.tar"));
    let restored = sandbox.path("restored");
    sandbox.nightjar("restore latest --to").arg(&restored).done();
    assert_same_trees(&tree(&restored), &tree(&original));
    assert_eq!(fs::read(restored.join("tree/b")).unwrap(), b"second");
    assert_eq!(fs::read(restored.join("tree/link")).unwrap(), noise(1, 100_000));
    sandbox.assert_verifies();
}

fn tree(directory: &Path) -> Tree {
    read(&directory.join("tree"))
}

#[test]
fn a_name_that_means_another_file_later_does_not_join_the_two() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    let write = |second: &str| {
        sandbox.write("tree/name", "alike");
        set_time(&sandbox.path("tree/name"), 1_500_000_000, 0);
        fs::hard_link(sandbox.path("tree/name"), sandbox.path(second)).unwrap();
    };
    write("tree/before");
    tar(&sandbox.path(""), "-cf t.tar tree/name tree/before");
    fs::remove_file(sandbox.path("tree/name")).unwrap();
    write("tree/zafter");
    tar(&sandbox.path(""), "-rf t.tar tree/name tree/zafter");
    store(&sandbox, sandbox.read("t.tar")).done();
    let restored = sandbox.path("restored");
    sandbox.nightjar("restore latest --to").arg(&restored).done();
    let inode = |name: &str| fs::metadata(restored.join("tree").join(name)).unwrap().ino();
    assert_eq!(inode("name"), inode("zafter"));
    assert_ne!(inode("name"), inode("before"));
}

#[test]
fn a_link_to_what_is_not_in_the_archive_is_counted() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    sandbox.write("tree/a", "a");
    fs::hard_link(sandbox.path("tree/a"), sandbox.path("tree/b")).unwrap();
    tar(&sandbox.path(""), "-cf t.tar tree/a tree/b");
    tar(&sandbox.path(""), "--delete -f t.tar tree/a");
    let outcome = store(&sandbox, sandbox.read("t.tar")).with_json().exits(3).says("its target");
    assert_eq!(number(&outcome.json(), "unreadable"), 1);
}

#[test]
fn what_no_directory_can_hold_is_left_out_and_counted() {
    let sandbox = Sandbox::new();
    let pad = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    };
    let header = |name: &str, kind: u8, size: usize| {
        let mut block = vec![0u8; 512];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..107].copy_from_slice(b"0000644");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[148..156].fill(b' ');
        block[156] = kind;
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    };
    let record = |key: &str, value: &[u8]| {
        let rest = key.len() + value.len() + 3;
        let digits = (1..).find(|digits| (rest + digits).to_string().len() == *digits).unwrap();
        let line = [format!("{} {key}=", rest + digits).as_bytes(), value, b"\n"].concat();
        [header("pax", b'x', line.len()), pad(line)].concat()
    };
    let long = vec![b'y'; 2_000_000];
    let archive = [
        record("path", b"a\0b"),
        header("nul", b'0', 0),
        record("path", &long),
        header("long name", b'0', 0),
        record("linkpath", &long),
        header("long target", b'2', 0),
        record("uname", &long),
        header("long owner", b'0', 0),
        record("SCHILY.xattr.user.large", &long),
        header("large attribute", b'0', 0),
        header("", b'0', 0),
        header("file", b'0', 3),
        pad(b"abc".to_vec()),
        header("file/below", b'0', 0),
        header("volume", b'V', 0),
        header("the rest of a file", b'M', 3),
        pad(b"abc".to_vec()),
        header("old directory/", b'0', 0),
        vec![0; 1024],
    ]
    .concat();
    let outcome = store(&sandbox, archive).with_json().exits(3);
    let outcome = outcome.says("NUL").says("name is too long").says("target is too long");
    let outcome = outcome.says("no name").says("no directory").says("of type V").says("too large");
    let outcome = outcome.says("of type M");
    assert_eq!(number(&outcome.json(), "unreadable"), 6, "{outcome}");
    let found = entries(&sandbox);
    let names = ["file", "large attribute", "long owner", "old directory"];
    assert_eq!(found.keys().collect::<Vec<_>>(), names);
    assert_eq!(found["old directory"]["kind"], "directory");
    sandbox.nightjar("snapshot cat latest file").done().prints_bytes(b"abc");
}

#[test]
fn what_follows_the_end_is_reported() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tree")).unwrap();
    let archive = tar(&sandbox.path(""), "-cf - tree");
    store(&sandbox, [archive.clone(), archive].concat()).done().says("not stored");
}

#[test]
fn a_tar_needs_a_stream() {
    let sandbox = Sandbox::new();
    for line in [
        "backup /etc --tar",
        "backup --tar",
        "backup --tar --stdin t.tar --expect-tail end",
        "restore latest --tar",
        "restore latest --tar --to x",
        "restore latest --tar --stdout --overwrite",
    ] {
        sandbox.nightjar(line).exits(2).prints_nothing();
    }
}

#[test]
fn owners_are_kept_by_number_and_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "owned");
    let archive = tar(&sandbox.path(""), "--owner=ann:70000 --group=crew:2200000 -cf - file");
    store(&sandbox, archive).done();
    let file = entries(&sandbox).remove("file").unwrap();
    assert_eq!((&file["uid"], &file["user"]), (&70_000.into(), &"ann".into()));
    assert_eq!((&file["gid"], &file["group"]), (&2_200_000.into(), &"crew".into()));
    let written = sandbox.nightjar("restore latest --tar --stdout").done().stdout;
    sandbox.write("written.tar", &written);
    let listed = tar(&sandbox.path(""), "--numeric-owner -tvf written.tar");
    assert!(String::from_utf8_lossy(&listed).contains("70000/2200000"), "{listed:?}");
}
