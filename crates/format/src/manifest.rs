//! Manifests: content lists and directory nodes (format-spec, chapter 6).
//!
//! Both are cut at places that their own content decides, so that an unchanged stretch gives
//! the same nodes wherever it stands, and tonight's manifest shares nodes with last night's.

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::ids::BlobId;
use crate::limits;
use crate::record::{self, Record, strictly_sorted};

/// A node is not cut before it has this many entries.
pub const NODE_MIN_ENTRIES: usize = 32;
/// A node is cut where a hash is a multiple of this.
pub const NODE_CUT_MODULUS: u32 = 256;
/// A node is cut at this many entries in any case.
pub const NODE_MAX_ENTRIES: usize = 2048;
/// A directory node is cut where its entries weigh this much, in bytes.
pub const NODE_MAX_WEIGHT: usize = 1 << 20;

const LIST: u8 = 1;
const DIRECTORY: u8 = 2;

/// Whether a node that now has `entries` entries ends after one with this `hash`.
pub fn ends_node(entries: usize, hash: &[u8; 32]) -> bool {
    let [a, b, c, d, ..] = *hash;
    let at_cut = u32::from_le_bytes([a, b, c, d]).is_multiple_of(NODE_CUT_MODULUS);
    entries >= NODE_MAX_ENTRIES || (entries >= NODE_MIN_ENTRIES && at_cut)
}

/// A reference to a chunk, or in a higher list node to a list node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// The chunk or node.
    pub id: BlobId,
    /// Bytes of the stream below it.
    pub length: u64,
}

/// A node of a content list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListNode {
    node_type: u8,
    /// 0: the entries are chunks; otherwise nodes of the level below.
    pub level: u8,
    /// In the order of the stream.
    pub entries: Vec<ContentRef>,
}

impl ListNode {
    /// A node with these entries.
    pub fn new(level: u8, entries: Vec<ContentRef>) -> Self {
        Self { node_type: LIST, level, entries }
    }

    /// Bytes of the stream below it; `None` if they exceed 64 bits.
    pub fn length(&self) -> Option<u64> {
        self.entries.iter().try_fold(0u64, |sum, entry| sum.checked_add(entry.length))
    }
}

impl Record for ListNode {
    const NAME: &'static str = "list node";
    const LIMIT_BYTES: usize = limits::BLOB_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        check_node(Self::NAME, self.node_type == LIST, self.level, self.entries.len())?;
        if self.length().is_none() {
            return Err(FormatError::malformed(Self::NAME, "its lengths overflow"));
        }
        let too_long = |entry: &ContentRef| entry.length > limits::BLOB_BYTES as u64;
        if self.level == 0 && self.entries.iter().any(too_long) {
            return Err(FormatError::malformed(Self::NAME, "a chunk's length is out of bounds"));
        }
        Ok(())
    }
}

fn check_node(
    what: &'static str,
    type_fits: bool,
    level: u8,
    entries: usize,
) -> Result<(), FormatError> {
    if !type_fits {
        return Err(FormatError::malformed(what, "it is of another type"));
    }
    if level >= limits::MANIFEST_LEVELS || entries > NODE_MAX_ENTRIES {
        return Err(FormatError::malformed(what, "it has too many levels or entries"));
    }
    if level > 0 && entries == 0 {
        return Err(FormatError::malformed(what, "it leads nowhere"));
    }
    Ok(())
}

/// A node of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryNode {
    /// Level 0: entries, sorted by name.
    Leaf(Vec<Entry>),
    /// Above: nodes of the level below, sorted by their first names.
    Inner {
        /// 1 or more.
        level: u8,
        /// What lies below.
        children: Vec<DirectoryRef>,
    },
}

/// A reference to a directory node of the level below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryRef {
    /// The first name below it.
    pub first_name: Vec<u8>,
    /// The node.
    pub id: BlobId,
}

#[derive(Serialize, Deserialize)]
struct LeafRecord {
    node_type: u8,
    level: u8,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct InnerRecord {
    node_type: u8,
    level: u8,
    children: Vec<DirectoryRef>,
}

const DIRECTORY_NODE: &str = "directory node";

impl Record for LeafRecord {
    const NAME: &'static str = DIRECTORY_NODE;
    const LIMIT_BYTES: usize = limits::BLOB_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        check_node(Self::NAME, self.node_type == DIRECTORY, self.level, self.entries.len())?;
        if !strictly_sorted(&self.entries, |entry| entry.name.as_slice()) {
            return Err(FormatError::malformed(Self::NAME, "its names are not sorted"));
        }
        self.entries.iter().try_for_each(Entry::validate)
    }
}

impl Record for InnerRecord {
    const NAME: &'static str = DIRECTORY_NODE;
    const LIMIT_BYTES: usize = limits::BLOB_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        check_node(Self::NAME, self.node_type == DIRECTORY, self.level, self.children.len())?;
        if !strictly_sorted(&self.children, |child| child.first_name.as_slice()) {
            return Err(FormatError::malformed(Self::NAME, "its names are not sorted"));
        }
        self.children.iter().try_for_each(|child| check_name(&child.first_name))
    }
}

impl DirectoryNode {
    /// The node's plaintext.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(entries) => record::encode(&LeafRecord {
                node_type: DIRECTORY,
                level: 0,
                entries: entries.clone(),
            }),
            Self::Inner { level, children } => record::encode(&InnerRecord {
                node_type: DIRECTORY,
                level: *level,
                children: children.clone(),
            }),
        }
    }

    /// Reads a node's plaintext.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        // Version, type, level: the level tells which of the two records follows.
        match bytes.get(2) {
            Some(0) => record::decode(bytes).map(|leaf: LeafRecord| Self::Leaf(leaf.entries)),
            _ => record::decode(bytes).map(|inner: InnerRecord| Self::Inner {
                level: inner.level,
                children: inner.children,
            }),
        }
    }

    /// 0 for a leaf.
    pub fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Inner { level, .. } => *level,
        }
    }
}

/// Seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp {
    /// May be negative.
    pub seconds: i64,
    /// Below 10⁹.
    pub nanoseconds: u32,
}

/// Where an entry was read, to recognise it unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// ctime.
    pub changed: Timestamp,
    /// Inode number.
    pub inode: u64,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// With its namespace.
    pub name: Vec<u8>,
    /// Any bytes.
    pub value: Vec<u8>,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Bytes, not text.
    pub name: Vec<u8>,
    /// Permission bits, setuid, setgid, sticky.
    pub mode: u32,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Owner by name; empty if unknown.
    pub user: Vec<u8>,
    /// Group by name; empty if unknown.
    pub group: Vec<u8>,
    /// mtime.
    pub modified: Timestamp,
    /// Where it was read.
    pub origin: Option<Origin>,
    /// Equal in all entries that are one file.
    pub hard_link: Option<u64>,
    /// Sorted by name.
    pub attributes: Vec<Attribute>,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file.
    File(FileContent),
    /// A directory.
    Directory {
        /// Its root node.
        root: BlobId,
    },
    /// A symbolic link.
    Symlink {
        /// Where to.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A socket: noted, not restored.
    Socket,
    /// A character device.
    CharacterDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// A file's bytes; by default, none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// In bytes, as read.
    pub size: u64,
    /// Everything outside the holes.
    pub content: Content,
    /// Sorted, not overlapping.
    pub holes: Vec<Hole>,
    /// It changed while it was read.
    pub changed_while_read: bool,
}

/// A stretch of a sparse file that has no data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// In bytes.
    pub offset: u64,
    /// In bytes.
    pub length: u64,
}

/// The chunks of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Few chunks, named here.
    Chunks(Vec<ContentRef>),
    /// The root of a content list.
    List {
        /// A list node.
        id: BlobId,
    },
}

impl Entry {
    /// An entry of which nothing else is known: no rights, owner and group 0, the beginning of 1970.
    pub fn new(name: &[u8], kind: EntryKind) -> Self {
        Self {
            name: name.to_vec(),
            mode: 0,
            uid: 0,
            gid: 0,
            user: vec![],
            group: vec![],
            modified: Timestamp::default(),
            origin: None,
            hard_link: None,
            attributes: vec![],
            kind,
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, EntryKind::Directory { .. })
    }

    /// What of it has no bound of its own, in bytes: the names, the target and the attributes, and
    /// 16 for each hole.
    pub fn weight(&self) -> usize {
        let attributes = self.attributes.iter().map(|it| it.name.len() + it.value.len());
        let of_kind = match &self.kind {
            EntryKind::File(file) => 16 * file.holes.len(),
            EntryKind::Symlink { target } => target.len(),
            _ => 0,
        };
        let names = self.name.len() + self.user.len() + self.group.len();
        names + attributes.sum::<usize>() + of_kind
    }

    fn validate(&self) -> Result<(), FormatError> {
        check_name(&self.name)?;
        let nanoseconds_fit = |time: &Timestamp| time.nanoseconds < 1_000_000_000;
        let times_fit = nanoseconds_fit(&self.modified)
            && self.origin.as_ref().is_none_or(|origin| nanoseconds_fit(&origin.changed));
        if self.mode > 0o7777 || !times_fit {
            return Err(FormatError::malformed(DIRECTORY_NODE, "a mode or time is out of bounds"));
        }
        if !strictly_sorted(&self.attributes, |attribute| attribute.name.as_slice()) {
            return Err(FormatError::malformed(DIRECTORY_NODE, "attributes are not sorted"));
        }
        match &self.kind {
            EntryKind::File(file) => file.validate(),
            _ => Ok(()),
        }
    }
}

/// A name must name one thing in its directory and nothing outside it.
fn check_name(name: &[u8]) -> Result<(), FormatError> {
    let harmless = !matches!(name, b"" | b"." | b"..")
        && name.len() <= limits::NAME_BYTES
        && !name.iter().any(|byte| matches!(byte, 0 | b'/'));
    if harmless {
        Ok(())
    } else {
        Err(FormatError::malformed(DIRECTORY_NODE, "a name is not a plain file name"))
    }
}

impl Default for Content {
    fn default() -> Self {
        Self::Chunks(Vec::new())
    }
}

impl FileContent {
    /// Bytes in its holes.
    pub fn hole_bytes(&self) -> u64 {
        self.holes.iter().fold(0, |sum, hole| sum.saturating_add(hole.length))
    }

    /// Bytes outside its holes: those of its content.
    pub fn data_bytes(&self) -> u64 {
        self.size.saturating_sub(self.hole_bytes())
    }

    fn validate(&self) -> Result<(), FormatError> {
        let mut end = 0u64;
        let mut holes = 0u64;
        for hole in &self.holes {
            let hole_end = hole.offset.checked_add(hole.length).filter(|end| *end <= self.size);
            match hole_end {
                Some(hole_end) if hole.length > 0 && hole.offset >= end => {
                    end = hole_end;
                    holes += hole.length;
                }
                _ => {
                    return Err(FormatError::malformed(DIRECTORY_NODE, "holes are out of order"));
                }
            }
        }
        let Content::Chunks(chunks) = &self.content else {
            return Ok(());
        };
        let too_long = |chunk: &ContentRef| chunk.length > limits::BLOB_BYTES as u64;
        if chunks.len() > limits::DIRECT_CHUNKS || chunks.iter().any(too_long) {
            return Err(FormatError::malformed(DIRECTORY_NODE, "a file has impossible chunks"));
        }
        let data: u64 = chunks.iter().map(|chunk| chunk.length).sum();
        if data.checked_add(holes) != Some(self.size) {
            return Err(FormatError::malformed(DIRECTORY_NODE, "a file's chunks miss its size"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &[u8]) -> Entry {
        let content = Content::Chunks(vec![ContentRef { id: BlobId([1; 32]), length: 5 }]);
        let file = FileContent { size: 5, content, ..FileContent::default() };
        Entry { mode: 0o644, ..Entry::new(name, EntryKind::File(file)) }
    }

    #[test]
    fn nodes_survive_their_bytes() {
        let leaf = DirectoryNode::Leaf(vec![file(b"a"), file(b"b\xff")]);
        assert_eq!(DirectoryNode::decode(&leaf.encode()), Ok(leaf));
        let child = DirectoryRef { first_name: b"a".to_vec(), id: BlobId([2; 32]) };
        let inner = DirectoryNode::Inner { level: 3, children: vec![child] };
        assert_eq!(DirectoryNode::decode(&inner.encode()), Ok(inner));
        let list = ListNode::new(0, vec![ContentRef { id: BlobId([3; 32]), length: 9 }]);
        assert_eq!(record::decode(&record::encode(&list)), Ok(list));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in [b"".as_slice(), b".", b"..", b"a/b", b"/", b"a\0b"] {
            let node = DirectoryNode::Leaf(vec![file(name)]);
            assert!(DirectoryNode::decode(&node.encode()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_name_stands_once_and_in_order() {
        for names in [[b"a", b"a"], [b"b", b"a"]] {
            let node = DirectoryNode::Leaf(names.iter().map(|name| file(*name)).collect());
            assert!(DirectoryNode::decode(&node.encode()).is_err(), "{names:?}");
        }
    }

    #[test]
    fn a_list_node_is_not_a_directory_node() {
        let list = record::encode(&ListNode::new(0, vec![]));
        assert!(DirectoryNode::decode(&list).is_err());
        let leaf = DirectoryNode::Leaf(vec![]).encode();
        assert!(record::decode::<ListNode>(&leaf).is_err());
    }

    #[test]
    fn chunks_and_holes_must_add_up() {
        let mut entry = file(b"a");
        let EntryKind::File(content) = &mut entry.kind else { unreachable!() };
        content.size = 9;
        let short = DirectoryNode::Leaf(vec![entry.clone()]);
        assert!(DirectoryNode::decode(&short.encode()).is_err());
        let EntryKind::File(content) = &mut entry.kind else { unreachable!() };
        content.holes = vec![Hole { offset: 5, length: 4 }];
        let sparse = DirectoryNode::Leaf(vec![entry]);
        assert_eq!(DirectoryNode::decode(&sparse.encode()), Ok(sparse));
    }
}
