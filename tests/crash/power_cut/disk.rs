//! A file system that keeps what `fsync` promises.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::rc::Rc;

use super::trace::Step;
use crate::harness::data::Random;
use crate::harness::files_below;

/// Files and directories of a state, by path; `None` is a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Image(BTreeMap<String, Option<Rc<Vec<u8>>>>);

impl Image {
    pub(super) fn read(root: &Path) -> Self {
        let mut image = Self::default();
        let mut open = vec![root.to_owned()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    image.0.insert(relative(&path, root), None);
                    open.push(path);
                }
            }
        }
        for path in files_below(root) {
            let bytes = Rc::new(fs::read(&path).unwrap());
            image.0.insert(relative(&path, root), Some(bytes));
        }
        image
    }

    pub(super) fn write(&self, root: &Path) {
        fs::create_dir(root).unwrap();
        for (path, content) in &self.0 {
            match content {
                None => fs::create_dir(root.join(path)).unwrap(),
                Some(bytes) => fs::write(root.join(path), &**bytes).unwrap(),
            }
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        self.0.get(path)?.as_deref().map(Vec::as_slice)
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()
}

type Node = usize;
type Names = BTreeMap<String, Node>;

/// The root directory.
const ROOT: Node = 0;

/// A file or a directory, as the kernel has it in memory, and what of it is on the disk.
#[derive(Debug, Default)]
struct Inode {
    is_directory: bool,
    bytes: Vec<u8>,
    /// How many of the bytes are on the disk. Files are only ever appended to.
    durable_bytes: usize,
    /// The names in it.
    names: Names,
    /// The names in it that are on the disk.
    durable_names: Names,
    /// Changes of names that may or may not be on the disk, oldest first.
    pending: Vec<Change>,
}

/// A change of one directory, which takes effect as a whole or not.
#[derive(Debug, Clone)]
struct Change {
    remove: Option<String>,
    add: Option<(String, Node)>,
}

impl Change {
    fn apply(&self, names: &mut Names) {
        if let Some(name) = &self.remove {
            names.remove(name);
        }
        if let Some((name, node)) = &self.add {
            names.insert(name.clone(), *node);
        }
    }
}

/// What a sync will have made durable when it ends.
struct Sync {
    number: usize,
    node: Node,
    bytes: usize,
    changes: usize,
}

pub(super) struct Disk {
    inodes: Vec<Inode>,
    syncs: Vec<Sync>,
    reported: bool,
}

impl Disk {
    /// With everything in `image` on it, durably.
    pub(super) fn new(image: Image) -> Self {
        let root = Inode { is_directory: true, ..Inode::default() };
        let mut disk = Self { inodes: vec![root], syncs: Vec::new(), reported: false };
        for (path, content) in &image.0 {
            let bytes = content.as_deref().cloned().unwrap_or_default();
            let node = disk.add(Inode {
                is_directory: content.is_none(),
                durable_bytes: bytes.len(),
                bytes,
                ..Inode::default()
            });
            let (parent, name) = disk.parent_of(path);
            disk.inodes[parent].names.insert(name.clone(), node);
            disk.inodes[parent].durable_names.insert(name, node);
        }
        disk
    }

    fn add(&mut self, inode: Inode) -> Node {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// The directory that a path lies in, and its name there.
    fn parent_of(&self, path: &str) -> (Node, String) {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.find(above), name.to_owned())
    }

    fn find(&self, path: &str) -> Node {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.fold(ROOT, |node, name| {
            let found = self.inodes[node].names.get(name);
            *found.unwrap_or_else(|| panic!("{path}: {name} is not there"))
        })
    }

    fn change(&mut self, directory: Node, change: Change) {
        let inode = &mut self.inodes[directory];
        change.apply(&mut inode.names);
        inode.pending.push(change);
    }

    /// Whether the user was told that the run is done.
    pub(super) fn reported(&self) -> bool {
        self.reported
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::MakeDirectory(path) => {
                let node = self.add(Inode { is_directory: true, ..Inode::default() });
                self.name(path, node);
            }
            Step::Create(path) => {
                let (parent, name) = self.parent_of(path);
                assert!(!self.inodes[parent].names.contains_key(&name), "{path} is there already");
                let node = self.add(Inode::default());
                self.name(path, node);
            }
            Step::Write(path, bytes) => {
                let node = self.find(path);
                self.inodes[node].bytes.extend_from_slice(&bytes.0);
            }
            Step::Link(from, to) => self.name(to, self.find(from)),
            Step::Rename(from, to) => {
                let node = self.find(from);
                let ((parent, old), (other, new)) = (self.parent_of(from), self.parent_of(to));
                assert_eq!(parent, other, "the model renames within one directory only");
                self.change(parent, Change { remove: Some(old), add: Some((new, node)) });
            }
            Step::Remove(path) => {
                let (parent, name) = self.parent_of(path);
                self.change(parent, Change { remove: Some(name), add: None });
            }
            Step::SyncBegins(number, path) => {
                let node = self.find(path);
                let Inode { bytes, pending, .. } = &self.inodes[node];
                let (bytes, changes) = (bytes.len(), pending.len());
                self.syncs.push(Sync { number: *number, node, bytes, changes });
            }
            Step::SyncEnds(number) => self.end_sync(*number),
            Step::Report => self.reported = true,
        }
    }

    fn name(&mut self, path: &str, node: Node) {
        let (parent, name) = self.parent_of(path);
        self.change(parent, Change { remove: None, add: Some((name, node)) });
    }

    fn end_sync(&mut self, number: usize) {
        let place = self.syncs.iter().position(|sync| sync.number == number);
        let Sync { node, bytes, changes, .. } = self.syncs.remove(place.unwrap());
        let inode = &mut self.inodes[node];
        inode.durable_bytes = inode.durable_bytes.max(bytes);
        for change in inode.pending.drain(..changes) {
            change.apply(&mut inode.durable_names);
        }
        // What another sync of the same directory saw may be durable now.
        for other in self.syncs.iter_mut().filter(|other| other.node == node) {
            other.changes = other.changes.saturating_sub(changes);
        }
    }

    /// As the kernel shows it.
    pub(super) fn present(&self) -> Image {
        self.image(&mut |inode| (inode.names.clone(), inode.bytes.len()))
    }

    /// The least that a power cut leaves.
    pub(super) fn least(&self) -> Image {
        self.image(&mut |inode| (inode.durable_names.clone(), inode.durable_bytes))
    }

    /// What a power cut may leave: some of what was not synced as well.
    pub(super) fn by_chance(&self, random: &mut Random) -> Image {
        self.image(&mut |inode| {
            let mut names = inode.durable_names.clone();
            for change in &inode.pending {
                if random.below(2) == 0 {
                    change.apply(&mut names);
                }
            }
            let unsynced = u64::try_from(inode.bytes.len() - inode.durable_bytes).unwrap();
            let kept = usize::try_from(random.below(unsynced + 1)).unwrap();
            (names, inode.durable_bytes + kept)
        })
    }

    /// `left` says which names and how many bytes of an inode are left.
    fn image(&self, left: &mut dyn FnMut(&Inode) -> (Names, usize)) -> Image {
        let mut image = Image::default();
        // One decision for each inode: a file with two names has the same bytes under both.
        let mut files: BTreeMap<Node, Rc<Vec<u8>>> = BTreeMap::new();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, node)) = open.pop() {
            let (names, _) = left(&self.inodes[node]);
            for (name, child) in names {
                let path = if path.is_empty() { name } else { format!("{path}/{name}") };
                let inode = &self.inodes[child];
                if inode.is_directory {
                    image.0.insert(path.clone(), None);
                    open.push((path, child));
                    continue;
                }
                let bytes = files
                    .entry(child)
                    .or_insert_with(|| Rc::new(inode.bytes[..left(inode).1].to_vec()));
                image.0.insert(path, Some(Rc::clone(bytes)));
            }
        }
        image
    }
}
