//! Trees in memory: generated, made on disk, and read from disk again.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{
    CWD, FileType, Mode, SeekFrom, XattrFlags, lgetxattr, llistxattr, lsetxattr, makedev, mknodat,
    seek,
};

use crate::harness::data::{Random, dump, noise};
use crate::harness::tree::set_time;

/// Everything that a restore must bring back, by path.
pub(super) type Tree = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) modified: (i64, i64),
    pub(super) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first of the paths that are the same file.
    pub(super) same_as: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its bytes, and the stretches without data: offset and length.
    File(Vec<u8>, Vec<(u64, u64)>),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Device(u32, u32),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(bytes, holes) => {
                write!(f, "{} bytes {}, holes {holes:?}", bytes.len(), blake3::hash(bytes))
            }
            Self::Directory => write!(f, "directory"),
            Self::Symlink(target) => write!(f, "link to {:?}", String::from_utf8_lossy(target)),
            Self::Fifo => write!(f, "fifo"),
            Self::Device(major, minor) => write!(f, "device {major},{minor}"),
        }
    }
}

/// What a user may make: root everything, others nothing that needs rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Root,
    User(u32),
}

/// The block of every file system that is likely here, and a multiple of it.
const STEP: u64 = 64 << 10;

/// Makes trees up.
pub(super) struct Generator {
    random: Random,
    by: By,
}

impl Generator {
    pub(super) fn new(seed: u64, by: By) -> Self {
        Self { random: Random::new(seed), by }
    }

    fn one_of(&mut self, count: usize) -> usize {
        usize::try_from(self.random.below(count as u64)).unwrap()
    }

    /// A directory with a random tree below it.
    pub(super) fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        let root = PathBuf::from("tree");
        let node = self.node(Kind::Directory);
        tree.insert(root.clone(), node);
        let mut directories = vec![root];
        for _ in 0..30 + self.one_of(30) {
            let above = directories[self.one_of(directories.len())].clone();
            self.add(&mut tree, &above, &mut directories);
        }
        tree
    }

    fn add(&mut self, tree: &mut Tree, above: &Path, directories: &mut Vec<PathBuf>) {
        let path = above.join(OsStr::from_bytes(&self.name()));
        if tree.contains_key(&path) {
            return;
        }
        let kind = self.kind();
        let mut node = self.node(kind);
        match &node.kind {
            Kind::Directory => directories.push(path.clone()),
            Kind::File(..) if self.one_of(4) == 0 => {
                let others = tree.iter().filter(|(_, it)| matches!(it.kind, Kind::File(..)));
                let others: Vec<PathBuf> = others.map(|(path, _)| path.clone()).collect();
                if !others.is_empty() {
                    let other = others[self.one_of(others.len())].clone();
                    let first = tree[&other].same_as.clone().unwrap_or(other);
                    tree.get_mut(&first).unwrap().same_as = Some(first.clone());
                    node = tree[&first].clone();
                }
            }
            _ => {}
        }
        tree.insert(path, node);
    }

    fn name(&mut self) -> Vec<u8> {
        let letters: [&[u8]; 12] = [
            b"a",
            b"B",
            b" ",
            b"\n",
            b"\xff",
            b".",
            b"-",
            "ä".as_bytes(),
            b"*",
            b"\\",
            b"'",
            b"%0",
        ];
        let length = [1, 2, 3, 9, 60][self.one_of(5)];
        let name: Vec<u8> = (0..length).flat_map(|_| letters[self.one_of(12)].to_vec()).collect();
        if matches!(name.as_slice(), b"." | b"..") { b"x".to_vec() } else { name }
    }

    fn kind(&mut self) -> Kind {
        match self.one_of(12) {
            0..=2 => Kind::Directory,
            3 => Kind::Symlink([b"../nowhere".as_slice(), &self.name()].concat()),
            4 => Kind::Fifo,
            5 if self.by == By::Root => Kind::Device(1, 3),
            6 => self.sparse(),
            7 => Kind::File(dump(self.random.next(), 3000), vec![]),
            8 => Kind::File(vec![], vec![]),
            _ => {
                let length = [1, 100, 5000, 70_000, 400_000][self.one_of(5)];
                Kind::File(noise(self.random.next(), length), vec![])
            }
        }
    }

    /// Data and holes in turns.
    fn sparse(&mut self) -> Kind {
        let (mut bytes, mut holes) = (Vec::new(), Vec::new());
        for part in 0..2 + self.random.below(4) {
            let length = STEP * (1 + self.random.below(3));
            let data = noise(self.random.next(), usize::try_from(length).unwrap());
            if part % 2 == 0 {
                holes.push((bytes.len() as u64, length));
                bytes.resize(bytes.len() + data.len(), 0);
            } else {
                bytes.extend(data);
            }
        }
        Kind::File(bytes, holes)
    }

    fn node(&mut self, kind: Kind) -> Node {
        let modes = [0o644, 0o600, 0o400, 0o755, 0o4755, 0o2750, 0o1777, 0o000, 0o777];
        let mut mode = modes[self.one_of(modes.len())];
        let mut attributes = BTreeMap::new();
        match kind {
            Kind::Symlink(_) => mode = 0o777,
            Kind::File(..) | Kind::Directory => {
                for _ in 0..self.one_of(3) {
                    let name = format!("user.{}", self.random.below(100));
                    let length = [0, 10, 2000][self.one_of(3)];
                    attributes.insert(name.into_bytes(), noise(self.random.next(), length));
                }
                if self.one_of(4) == 0 {
                    attributes.insert(b"system.posix_acl_access".to_vec(), access_list());
                    mode = 0o660;
                }
                if matches!(kind, Kind::Directory) && self.one_of(4) == 0 {
                    attributes.insert(b"system.posix_acl_default".to_vec(), access_list());
                }
                if self.by == By::Root && self.one_of(4) == 0 {
                    attributes.insert(b"trusted.secret".to_vec(), b"\0\xff".to_vec());
                }
            }
            _ => {}
        }
        if self.by != By::Root {
            // Its owner must be able to read it.
            match kind {
                Kind::Directory => mode |= 0o500,
                _ => mode |= 0o400,
            }
            if matches!(kind, Kind::Directory) {
                attributes.remove(b"system.posix_acl_access".as_slice());
            }
        }
        let owner = match self.by {
            By::Root => ([0, 1000, 123_456][self.one_of(3)], [0, 50, 1000][self.one_of(3)]),
            By::User(id) => (id, id),
        };
        let seconds = [-1_000_000, 0, 981_173_106, 1_700_000_000, 4_000_000_000][self.one_of(5)];
        let modified = (seconds, i64::try_from(self.random.below(1_000_000_000)).unwrap());
        Node { kind, mode, owner, modified, attributes, same_as: None }
    }
}

/// `user::rw-,user:1234:r--,group::r--,mask::rw-,other::---` as acl(5) is kept by the kernel.
fn access_list() -> Vec<u8> {
    let entry = |tag: u16, rights: u16, id: u32| {
        [tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    let none = u32::MAX;
    let entries = [(1, 6, none), (2, 4, 1234), (4, 4, none), (0x10, 6, none), (0x20, 0, none)];
    let entries = entries.into_iter().flat_map(|(tag, rights, id)| entry(tag, rights, id));
    2u32.to_le_bytes().into_iter().chain(entries).collect()
}

/// Makes a tree on disk.
pub(super) fn make(base: &Path, tree: &Tree) {
    for (path, node) in tree {
        make_one(base, &base.join(path), path, node);
    }
    // What lies in a directory changes its time.
    for (path, node) in tree.iter().rev() {
        set_attributes(&base.join(path), node);
    }
}

fn make_one(base: &Path, at: &Path, path: &Path, node: &Node) {
    match &node.same_as {
        Some(first) if first != path => return fs::hard_link(base.join(first), at).unwrap(),
        _ => {}
    }
    match &node.kind {
        Kind::Directory => fs::create_dir(at).unwrap(),
        Kind::Symlink(target) => symlink(OsStr::from_bytes(target), at).unwrap(),
        Kind::Fifo => mknodat(CWD, at, FileType::Fifo, Mode::empty(), 0).unwrap(),
        Kind::Device(major, minor) => {
            let device = makedev(*major, *minor);
            mknodat(CWD, at, FileType::CharacterDevice, Mode::empty(), device).unwrap();
        }
        Kind::File(bytes, holes) => {
            let file = File::create(at).unwrap();
            file.set_len(bytes.len() as u64).unwrap();
            let mut position = 0;
            for (offset, length) in holes.iter().copied().chain([(bytes.len() as u64, 0)]) {
                let data =
                    &bytes[usize::try_from(position).unwrap()..usize::try_from(offset).unwrap()];
                file.write_all_at(data, position).unwrap();
                position = offset + length;
            }
        }
    }
}

fn set_attributes(at: &Path, node: &Node) {
    let (user, group) = node.owner;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::lchown(at, Some(user), Some(group)).unwrap();
    }
    if !matches!(node.kind, Kind::Symlink(_)) {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(node.mode);
        fs::set_permissions(at, mode).unwrap();
    }
    for (name, value) in &node.attributes {
        lsetxattr(at, name.as_slice(), value, XattrFlags::empty()).unwrap();
    }
    set_time(at, node.modified.0, node.modified.1);
}

/// Reads a tree from disk.
pub(super) fn read(base: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut files: BTreeMap<(u64, u64), Vec<PathBuf>> = BTreeMap::new();
    let mut open = vec![PathBuf::from("tree")];
    while let Some(path) = open.pop() {
        let at = base.join(&path);
        let metadata = fs::symlink_metadata(&at).unwrap();
        if metadata.is_dir() {
            open.extend(fs::read_dir(&at).unwrap().map(|it| path.join(it.unwrap().file_name())));
        } else if metadata.nlink() > 1 {
            files.entry((metadata.dev(), metadata.ino())).or_default().push(path.clone());
        }
        let node = Node {
            kind: kind_of(&at, &metadata),
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            attributes: attributes_of(&at),
            same_as: None,
        };
        tree.insert(path, node);
    }
    for paths in files.into_values().filter(|paths| paths.len() > 1) {
        let first = paths.iter().min().unwrap();
        for path in &paths {
            tree.get_mut(path).unwrap().same_as = Some(first.clone());
        }
    }
    tree
}

fn kind_of(at: &Path, metadata: &fs::Metadata) -> Kind {
    let kind = metadata.file_type();
    if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(fs::read_link(at).unwrap().as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_char_device() {
        let device = metadata.rdev();
        Kind::Device(rustix::fs::major(device), rustix::fs::minor(device))
    } else {
        Kind::File(fs::read(at).unwrap(), holes_of(at, metadata.len()))
    }
}

fn holes_of(at: &Path, size: u64) -> Vec<(u64, u64)> {
    let file = File::open(at).unwrap();
    let mut holes = Vec::new();
    let mut position = 0;
    while position < size {
        let hole = seek(&file, SeekFrom::Hole(position)).unwrap();
        if hole >= size {
            break;
        }
        position = seek(&file, SeekFrom::Data(hole)).unwrap_or(size);
        holes.push((hole, position - hole));
    }
    holes
}

fn attributes_of(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    let length = llistxattr(at, buffer.as_mut_slice()).unwrap();
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    names
        .map(|name| {
            let length = lgetxattr(at, name.as_slice(), buffer.as_mut_slice()).unwrap();
            let value = buffer[..length].to_vec();
            (name, value)
        })
        // What a security module adds by itself.
        .filter(|(name, _)| !name.starts_with(b"security."))
        .collect()
}

/// Fails where two trees differ, and says at which path.
#[track_caller]
pub(super) fn assert_same(found: &Tree, expected: &Tree, seed: u64) {
    let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "seed {seed}: other names");
    for (path, node) in expected {
        assert_eq!(&found[path], node, "seed {seed}: {}", path.display());
    }
}
