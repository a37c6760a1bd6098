//! The members of a tar, until all have come.
//!
//! A tar has its members in any order and may have a name twice; a snapshot has them sorted. So
//! everything but their contents stands in memory, in a map whose keys put a tree depth first and
//! each directory in the order of its names: the names of a path with NULs between them, which
//! stand in no name and come before every other byte.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use nightjar_format::manifest::{Attribute, Entry, EntryKind, FileContent, Timestamp};
use nightjar_format::{BlobId, limits};
use nightjar_repository::RepositoryError;
use nightjar_repository::ingest::Feeder;

use super::read::{Kind, Member};

/// Where a member stands: its names, with NULs between them. The root's is empty.
pub(crate) type Key = Vec<u8>;

/// All that is kept of a member.
#[derive(Debug, Clone)]
struct Node {
    /// The file that it is a name of, and the number under which its content is kept.
    file: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    owners: Arc<Owners>,
    modified: Timestamp,
    attributes: Arc<Vec<Attribute>>,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    File,
    Directory,
    Other(Box<EntryKind>),
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Owners {
    user: Vec<u8>,
    group: Vec<u8>,
}

/// A file with several names.
struct Links {
    names: u32,
    /// What its entries have in common in the snapshot.
    number: u64,
}

/// The members that have come.
#[derive(Default)]
pub(crate) struct Members {
    nodes: BTreeMap<Key, Node>,
    links: HashMap<u64, Links>,
    /// The numbers that were given to them: a name may mean several files, one after the other.
    numbers: HashSet<u64>,
    files: u64,
    /// Members that follow each other mostly have the same.
    owners: Arc<Owners>,
    attributes: Arc<Vec<Attribute>>,
}

/// The key of a path: `.` and a leading `/` are left out. An error says why it has none.
pub(crate) fn key(path: &[u8]) -> Result<Key, &'static str> {
    if path.is_empty() {
        return Err("it has no name");
    }
    if path.contains(&0) {
        return Err("its name holds a NUL");
    }
    let names: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&b"..".as_slice()) {
        return Err("its name leads elsewhere with `..`");
    }
    if names.len() > limits::DIRECTORY_DEPTH {
        return Err("it lies too deep");
    }
    if names.iter().any(|name| name.len() > limits::NAME_BYTES) {
        return Err("its name is too long");
    }
    Ok(names.join(&0))
}

/// The path that a key stands for, names joined with slashes.
pub(crate) fn path_of(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| if *byte == 0 { b'/' } else { *byte }).collect()
}

fn parent(key: &[u8]) -> &[u8] {
    let end = key.iter().rposition(|byte| *byte == 0).unwrap_or(0);
    key.get(..end).unwrap_or_default()
}

fn is_below(key: &[u8], directory: &[u8]) -> bool {
    key.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&0))
}

impl Members {
    /// Whether a member can stand there, as far as those before it say.
    pub(crate) fn check(&self, key: &[u8], is_directory: bool) -> Result<(), &'static str> {
        if key.is_empty() {
            return Err("the root of the tar is no directory");
        }
        let mut above = parent(key);
        while !above.is_empty() {
            match self.nodes.get(above) {
                Some(Node { what: What::Directory, .. }) => break,
                Some(_) => return Err("it lies below something that is no directory"),
                None => above = parent(above),
            }
        }
        let next = self.nodes.range::<[u8], _>((Bound::Excluded(key), Bound::Unbounded)).next();
        if !is_directory && next.is_some_and(|(next, _)| is_below(next, key)) {
            return Err("a directory that is not empty is in its place");
        }
        Ok(())
    }

    /// A number for a content that is to be kept.
    pub(crate) fn next_file(&mut self) -> u64 {
        self.files += 1;
        self.files
    }

    /// Puts a member in its place; `file` is its content's number. The number of a content that
    /// nobody needs any more.
    pub(crate) fn put(&mut self, key: Key, member: Member, file: u64) -> Option<u64> {
        let owners = Owners { user: member.user, group: member.group };
        if *self.owners != owners {
            self.owners = Arc::new(owners);
        }
        if *self.attributes != member.attributes {
            self.attributes = Arc::new(member.attributes);
        }
        let what = match member.kind {
            Kind::Directory => What::Directory,
            Kind::Symlink { target } => What::other(EntryKind::Symlink { target }),
            Kind::Fifo => What::other(EntryKind::Fifo),
            Kind::CharacterDevice { major, minor } => {
                What::other(EntryKind::CharacterDevice { major, minor })
            }
            Kind::BlockDevice { major, minor } => {
                What::other(EntryKind::BlockDevice { major, minor })
            }
            Kind::File | Kind::HardLink { .. } | Kind::Unknown(_) => What::File,
        };
        let node = Node {
            file,
            mode: member.mode,
            uid: member.uid,
            gid: member.gid,
            owners: Arc::clone(&self.owners),
            modified: member.modified,
            attributes: Arc::clone(&self.attributes),
            what,
        };
        self.insert(key, node)
    }

    /// Gives a file another name: the target as it is now. An error says why that cannot be.
    pub(crate) fn link(&mut self, key: Key, target: &[u8]) -> Result<Option<u64>, &'static str> {
        let node = match self.nodes.get(target) {
            None => return Err("its target is not in the archive before it"),
            Some(Node { what: What::Directory, .. }) => return Err("its target is a directory"),
            // GNU tar writes that for a file that it was given twice.
            Some(_) if key == target => return Ok(None),
            Some(node) => node.clone(),
        };
        let numbers = &mut self.numbers;
        let first = || Links { names: 1, number: free_number(numbers, target) };
        self.links.entry(node.file).or_insert_with(first).names += 1;
        Ok(self.insert(key, node))
    }

    fn insert(&mut self, key: Key, node: Node) -> Option<u64> {
        let mut above = parent(&key);
        while !above.is_empty() && !self.nodes.contains_key(above) {
            self.nodes.insert(above.to_vec(), self.missing_directory());
            above = parent(above);
        }
        let before = self.nodes.insert(key, node)?;
        let is_file = matches!(before.what, What::File);
        (self.take_name(before.file).1 && is_file).then_some(before.file)
    }

    /// A directory of which only members were given.
    fn missing_directory(&self) -> Node {
        Node {
            file: 0,
            mode: 0o755,
            uid: 0,
            gid: 0,
            owners: Arc::default(),
            modified: Timestamp::default(),
            attributes: Arc::default(),
            what: What::Directory,
        }
    }

    /// Takes one name from a file: what its names have in common, and whether it was the last.
    fn take_name(&mut self, file: u64) -> (Option<u64>, bool) {
        let Some(links) = self.links.get_mut(&file) else { return (None, true) };
        links.names -= 1;
        let (number, is_last) = (links.number, links.names == 0);
        if is_last {
            self.links.remove(&file);
        }
        (Some(number), is_last)
    }

    /// Hands all members over, sorted.
    pub(crate) fn emit(mut self, feeder: &mut Feeder<'_>) -> Result<(), RepositoryError> {
        let mut open: Vec<(Key, Entry)> = Vec::new();
        for (key, node) in std::mem::take(&mut self.nodes) {
            while let Some((_, entry)) = open.pop_if(|(above, _)| !is_below(&key, above)) {
                feeder.leave_directory(entry)?;
            }
            let (file, is_file) = (node.file, matches!(node.what, What::File));
            let mut entry = node.entry(&key);
            if let EntryKind::Directory { .. } = entry.kind {
                feeder.enter_directory(&entry.name)?;
                open.push((key, entry));
                continue;
            }
            let (number, is_last) = self.take_name(file);
            entry.hard_link = number;
            if is_file {
                feeder.kept_file(entry, file, is_last)?;
            } else {
                feeder.other(entry)?;
            }
        }
        while let Some((_, entry)) = open.pop() {
            feeder.leave_directory(entry)?;
        }
        Ok(())
    }
}

impl What {
    fn other(kind: EntryKind) -> Self {
        Self::Other(Box::new(kind))
    }
}

impl Node {
    fn entry(self, key: &[u8]) -> Entry {
        let name = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
        let kind = match self.what {
            What::File => EntryKind::File(FileContent::default()),
            // The engine puts the root in when it has built the directory.
            What::Directory => EntryKind::Directory { root: BlobId([0; 32]) },
            What::Other(kind) => *kind,
        };
        Entry {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            user: self.owners.user.clone(),
            group: self.owners.group.clone(),
            modified: self.modified,
            attributes: self.attributes.to_vec(),
            ..Entry::new(name, kind)
        }
    }
}

/// The hash of a file's first name, or the next number that no other file has.
fn free_number(numbers: &mut HashSet<u64>, first_name: &[u8]) -> u64 {
    let mut number = hash(first_name);
    while !numbers.insert(number) {
        number = number.wrapping_add(1);
    }
    number
}

/// FNV-1a: the same each night for a file of the same first name.
fn hash(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_tar_would_extract_them() {
        for (path, names) in [
            (&b"a/b"[..], &b"a\0b"[..]),
            (b"./a//b/", b"a\0b"),
            (b"/a/./b", b"a\0b"),
            (b"...", b"..."),
            (b".", b""),
            (b"./", b""),
        ] {
            assert_eq!(key(path).unwrap(), names);
        }
        for path in [&b""[..], b"..", b"a/../b", b"a\0b"] {
            assert!(key(path).is_err(), "{path:?}");
        }
        assert!(key(&b"a/".repeat(limits::DIRECTORY_DEPTH + 1)).is_err());
        assert!(key(&vec![b'a'; limits::NAME_BYTES + 1]).is_err());
    }

    #[test]
    fn keys_sort_a_tree_depth_first_and_each_directory_by_name() {
        let mut keys: Vec<Key> =
            [&b"a.b"[..], b"a/c", b"a", b"a/b/d", b"a!", b"a/b"].map(|it| key(it).unwrap()).into();
        keys.sort();
        let sorted = [&b"a"[..], b"a/b", b"a/b/d", b"a/c", b"a!", b"a.b"];
        assert_eq!(keys, sorted.map(|it| key(it).unwrap()));
    }
}
