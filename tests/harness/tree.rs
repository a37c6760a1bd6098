//! Trees of files in memory: read from disk with everything that a restore must bring back, and
//! compared.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, major, minor, seek};
use rustix::io::Errno;

/// By path below the directory that was read, which itself stands at the empty path.
pub(crate) type Tree = BTreeMap<PathBuf, Node>;

/// What stands at a path.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub(crate) modified: (i64, i64),
    /// Extended attributes, access lists among them.
    pub(crate) attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where it has several names in the tree: the first of them.
    pub(crate) same_as: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its bytes, and the stretches without data: offset and length.
    File(Vec<u8>, Vec<(u64, u64)>),
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    CharacterDevice(u32, u32),
    BlockDevice(u32, u32),
}

/// Everything below a directory and the directory itself.
pub(crate) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut names: BTreeMap<(u64, u64), BTreeSet<PathBuf>> = BTreeMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let at = root.join(&path);
        let metadata = expect(&at, fs::symlink_metadata(&at));
        if metadata.is_dir() {
            let entries = expect(&at, fs::read_dir(&at));
            open.extend(entries.map(|entry| path.join(expect(&at, entry).file_name())));
        } else if metadata.nlink() > 1 {
            let file = (metadata.dev(), metadata.ino());
            names.entry(file).or_default().insert(path.clone());
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
    for names in names.into_values().filter(|names| names.len() > 1) {
        for name in &names {
            tree.get_mut(name).unwrap().same_as = names.first().cloned();
        }
    }
    tree
}

#[track_caller]
fn expect<T, E: fmt::Display>(at: &Path, outcome: Result<T, E>) -> T {
    outcome.unwrap_or_else(|error| panic!("{}: {error}", at.display()))
}

fn kind_of(at: &Path, metadata: &Metadata) -> Kind {
    let (kind, device) = (metadata.file_type(), metadata.rdev());
    if kind.is_dir() {
        Kind::Directory
    } else if kind.is_symlink() {
        Kind::Symlink(expect(at, fs::read_link(at)).into_os_string().into_encoded_bytes())
    } else if kind.is_fifo() {
        Kind::Fifo
    } else if kind.is_socket() {
        Kind::Socket
    } else if kind.is_char_device() {
        Kind::CharacterDevice(major(device), minor(device))
    } else if kind.is_block_device() {
        Kind::BlockDevice(major(device), minor(device))
    } else {
        Kind::File(expect(at, fs::read(at)), holes_of(at, metadata.len()))
    }
}

fn holes_of(at: &Path, size: u64) -> Vec<(u64, u64)> {
    let file = expect(at, File::open(at));
    let mut holes = Vec::new();
    let mut position = 0;
    while position < size {
        let hole = expect(at, seek(&file, SeekFrom::Hole(position)));
        if hole >= size {
            break;
        }
        position = match seek(&file, SeekFrom::Data(hole)) {
            Err(Errno::NXIO) => size,
            data => expect(at, data),
        };
        holes.push((hole, position - hole));
    }
    holes
}

fn attributes_of(at: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    let length = expect(at, llistxattr(at, buffer.as_mut_slice()));
    let names: Vec<Vec<u8>> =
        buffer[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let names = names.into_iter().filter(|name| !name.is_empty());
    names
        .map(|name| {
            let length = expect(at, lgetxattr(at, name.as_slice(), buffer.as_mut_slice()));
            let value = buffer[..length].to_vec();
            (name, value)
        })
        // What a security module adds by itself.
        .filter(|(name, _)| !name.starts_with(b"security."))
        .collect()
}

/// Fails where two trees differ, and says at which path; without printing contents.
#[track_caller]
pub(crate) fn assert_same_trees(found: &Tree, expected: &Tree) {
    if let Some(difference) = difference(found, expected) {
        panic!("{difference}");
    }
}

/// The first difference between two trees, in words.
pub(crate) fn difference(found: &Tree, expected: &Tree) -> Option<String> {
    let (missing, surplus) = (names_of_one(expected, found), names_of_one(found, expected));
    if !(missing.is_empty() && surplus.is_empty()) {
        let count = (missing.len(), surplus.len());
        let (missing, surplus) = (&missing[..count.0.min(5)], &surplus[..count.1.min(5)]);
        return Some(format!(
            "{} names are missing: {missing:?} …, {} are too many: {surplus:?} …",
            count.0, count.1
        ));
    }
    let (path, expected) = expected.iter().find(|(path, node)| found[*path] != **node)?;
    let found = &found[path];
    Some(format!("at {path:?}\n   found: {found:?}\nexpected: {expected:?}"))
}

/// Those that the other tree lacks.
fn names_of_one<'t>(tree: &'t Tree, other: &Tree) -> Vec<&'t PathBuf> {
    tree.keys().filter(|path| !other.contains_key(*path)).collect()
}

/// A length and the beginning of a hash.
struct Short<'a>(&'a [u8]);

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = blake3::hash(self.0).to_hex();
        write!(f, "{} bytes {}", self.0.len(), &hash[..16])
    }
}

/// Short: contents and values are told apart by their hashes.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, mode, owner, modified, attributes, same_as } = self;
        write!(f, "{kind:?}, mode {mode:o}, owner {owner:?}, modified {modified:?}")?;
        for (name, value) in attributes {
            write!(f, ", {:?} {:?}", OsStr::from_bytes(name), Short(value))?;
        }
        same_as.iter().try_for_each(|first| write!(f, ", the same as {first:?}"))
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(bytes, holes) => {
                let shown = &holes[..holes.len().min(8)];
                write!(f, "file, {:?}, {} holes {shown:?}", Short(bytes), holes.len())
            }
            Self::Directory => write!(f, "directory"),
            Self::Symlink(target) => write!(f, "link to {:?}", OsStr::from_bytes(target)),
            Self::Fifo => write!(f, "fifo"),
            Self::Socket => write!(f, "socket"),
            Self::CharacterDevice(major, minor) => write!(f, "character device {major},{minor}"),
            Self::BlockDevice(major, minor) => write!(f, "block device {major},{minor}"),
        }
    }
}
