//! Trees in memory: made up, and made on disk.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, lsetxattr, makedev, mknodat};

use crate::harness::data::{Random, dump, noise};
use crate::harness::is_root;
use crate::harness::make::set_time;
use crate::harness::tree::{Kind, Node, Tree};

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
        let root = PathBuf::new();
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
            _ if self.one_of(4) == 0 => {
                let others = tree.iter().filter(|(_, it)| it.kind != Kind::Directory);
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
            5 if self.by == By::Root => {
                [Kind::CharacterDevice(1, 3), Kind::BlockDevice(7, 200)][self.one_of(2)].clone()
            }
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
pub(super) fn make(root: &Path, tree: &Tree) {
    for (path, node) in tree {
        make_one(root, path, node);
    }
    // What lies in a directory changes its time.
    for (path, node) in tree.iter().rev() {
        set_attributes(&root.join(path), node);
    }
}

fn make_one(root: &Path, path: &Path, node: &Node) {
    let at = &root.join(path);
    match &node.same_as {
        Some(first) if first != path => return fs::hard_link(root.join(first), at).unwrap(),
        _ => {}
    }
    match &node.kind {
        Kind::Directory => fs::create_dir(at).unwrap(),
        Kind::Symlink(target) => symlink(OsStr::from_bytes(target), at).unwrap(),
        Kind::Fifo => make_special(at, FileType::Fifo, 0),
        Kind::Socket => make_special(at, FileType::Socket, 0),
        Kind::CharacterDevice(major, minor) => {
            make_special(at, FileType::CharacterDevice, makedev(*major, *minor));
        }
        Kind::BlockDevice(major, minor) => {
            make_special(at, FileType::BlockDevice, makedev(*major, *minor));
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

fn make_special(at: &Path, kind: FileType, device: u64) {
    mknodat(CWD, at, kind, Mode::empty(), device).unwrap();
}

fn set_attributes(at: &Path, node: &Node) {
    let (user, group) = node.owner;
    if is_root() {
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
