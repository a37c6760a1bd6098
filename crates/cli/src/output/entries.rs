//! What JSON shows of the entries of a snapshot's tree, and of those that differ. Field names are
//! stable; a field that does not apply to an entry is left out.

use nightjar_format::ids::to_hex;
use nightjar_format::manifest::{Attribute, Entry, EntryKind};
use nightjar_repository::manifest::diff::{self, Change, Difference, Metadata};
use nightjar_repository::snapshots::SnapshotInfo;
use serde::Serialize;

use super::format::{nanos, rfc3339};
use super::views::PathView;

/// An entry of a snapshot's tree.
#[derive(Debug, Serialize)]
pub(crate) struct EntryView {
    #[serde(flatten)]
    path: PathView,
    kind: &'static str,
    /// Four octal digits.
    mode: String,
    uid: u32,
    gid: u32,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_bytes: Option<String>,
    group: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_bytes: Option<String>,
    modified: String,
    #[serde(flatten)]
    content: ContentView,
    /// Equal in all entries of a snapshot that are one file.
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<AttributeView>,
    /// Where and how it was when it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<String>,
}

/// What only some kinds have.
#[derive(Debug, Default, Serialize)]
struct ContentView {
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed_while_read: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hole_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<PathView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    major: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minor: Option<u32>,
}

/// An extended attribute. Its value may be long or secret, and is not shown.
#[derive(Debug, Serialize)]
struct AttributeView {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    size: usize,
}

/// Bytes as text, and in hexadecimal where the text does not tell them.
fn text(bytes: &[u8]) -> (String, Option<String>) {
    let hex = std::str::from_utf8(bytes).is_err().then(|| to_hex(bytes));
    (String::from_utf8_lossy(bytes).into_owned(), hex)
}

impl EntryView {
    pub(crate) fn new(path: &[u8], entry: &Entry) -> Self {
        let (user, user_bytes) = text(&entry.user);
        let (group, group_bytes) = text(&entry.group);
        Self {
            path: PathView::new(path),
            kind: kind(entry),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            user,
            user_bytes,
            group,
            group_bytes,
            modified: rfc3339(nanos(&entry.modified)),
            content: ContentView::new(&entry.kind),
            hard_link: entry.hard_link,
            attributes: entry.attributes.iter().map(AttributeView::new).collect(),
            inode: entry.origin.as_ref().map(|origin| origin.inode),
            changed: entry.origin.as_ref().map(|origin| rfc3339(nanos(&origin.changed))),
        }
    }
}

impl ContentView {
    fn new(kind: &EntryKind) -> Self {
        match kind {
            EntryKind::File(file) => Self {
                size: Some(file.size),
                changed_while_read: Some(file.changed_while_read),
                hole_bytes: Some(hole_bytes(kind)).filter(|bytes| *bytes > 0),
                ..Self::default()
            },
            EntryKind::Symlink { target } => {
                Self { target: Some(PathView::new(target)), ..Self::default() }
            }
            EntryKind::CharacterDevice { major, minor }
            | EntryKind::BlockDevice { major, minor } => {
                Self { major: Some(*major), minor: Some(*minor), ..Self::default() }
            }
            EntryKind::Directory { .. } | EntryKind::Fifo | EntryKind::Socket => Self::default(),
        }
    }
}

impl AttributeView {
    fn new(attribute: &Attribute) -> Self {
        let (name, name_bytes) = text(&attribute.name);
        Self { name, name_bytes, size: attribute.value.len() }
    }
}

/// A kind of entry in one word.
pub(crate) fn kind(entry: &Entry) -> &'static str {
    match entry.kind {
        EntryKind::File(_) => "file",
        EntryKind::Directory { .. } => "directory",
        EntryKind::Symlink { .. } => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharacterDevice { .. } => "character_device",
        EntryKind::BlockDevice { .. } => "block_device",
    }
}

/// The size of a file.
pub(crate) fn file_size(entry: &Entry) -> Option<u64> {
    match &entry.kind {
        EntryKind::File(file) => Some(file.size),
        _ => None,
    }
}

/// Bytes of a file that are in its holes.
pub(crate) fn hole_bytes(kind: &EntryKind) -> u64 {
    match kind {
        EntryKind::File(file) => file.hole_bytes(),
        _ => 0,
    }
}

/// An entry that was found, and in which snapshot.
#[derive(Debug, Serialize)]
pub(crate) struct FoundView<'a> {
    snapshot: String,
    series: &'a str,
    time: String,
    #[serde(flatten)]
    entry: EntryView,
}

impl<'a> FoundView<'a> {
    pub(crate) fn new(info: &'a SnapshotInfo, path: &[u8], entry: &Entry) -> Self {
        Self {
            snapshot: info.id.to_string(),
            series: &info.snapshot.series,
            time: rfc3339(info.snapshot.started),
            entry: EntryView::new(path, entry),
        }
    }
}

/// An entry that differs between two snapshots.
#[derive(Debug, Serialize)]
pub(crate) struct DifferenceView {
    #[serde(flatten)]
    path: PathView,
    change: &'static str,
    /// As it is; of one that is gone, as it was.
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_path: Option<PathView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_size: Option<u64>,
    metadata: Vec<&'static str>,
}

impl DifferenceView {
    pub(crate) fn new(difference: &Difference) -> Self {
        let Difference { path, old_path, change, old, new } = difference;
        Self {
            path: PathView::new(path),
            change: match change {
                Change::Added => "added",
                Change::Removed => "removed",
                Change::Renamed => "renamed",
                Change::Modified => "modified",
                Change::Metadata => "metadata",
            },
            kind: new.as_ref().or(old.as_ref()).map(kind),
            old_path: old_path.as_ref().map(|path| PathView::new(path)),
            old_kind: old.as_ref().map(kind),
            new_kind: new.as_ref().map(kind),
            old_size: old.as_ref().and_then(file_size),
            new_size: new.as_ref().and_then(file_size),
            metadata: metadata(difference),
        }
    }
}

/// Which metadata of an entry differ, where it is there before and after.
pub(crate) fn metadata(difference: &Difference) -> Vec<&'static str> {
    let (Some(old), Some(new)) = (&difference.old, &difference.new) else {
        return Vec::new();
    };
    let name = |metadata| match metadata {
        Metadata::Mode => "mode",
        Metadata::Owner => "owner",
        Metadata::Group => "group",
        Metadata::Modified => "modified",
        Metadata::Attributes => "attributes",
        Metadata::HardLink => "hard_link",
    };
    diff::metadata(old, new).into_iter().map(name).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use nightjar_format::manifest::{Content, FileContent, Hole, Timestamp};
    use serde_json::{Value, json};

    use super::*;

    /// An entry with everything that an entry may have.
    pub(crate) fn rich_entry(kind: EntryKind) -> Entry {
        let attribute =
            |name: &[u8], value: &[u8]| Attribute { name: name.into(), value: value.into() };
        Entry {
            name: b"name".to_vec(),
            mode: 0o4755,
            uid: 33,
            gid: 34,
            user: b"www-data".to_vec(),
            group: b"gr\xff".to_vec(),
            modified: Timestamp { seconds: 981_173_106, nanoseconds: 5 },
            origin: None,
            hard_link: Some(12),
            attributes: vec![attribute(b"user.note", b"hello"), attribute(b"user.\xff", b"")],
            kind,
        }
    }

    pub(crate) fn sparse_file() -> EntryKind {
        EntryKind::File(FileContent {
            size: 5000,
            content: Content::Chunks(vec![]),
            holes: vec![Hole { offset: 0, length: 1000 }, Hole { offset: 1000, length: 4000 }],
            changed_while_read: true,
        })
    }

    fn shown(kind: EntryKind) -> Value {
        serde_json::to_value(EntryView::new(b"a/name", &rich_entry(kind))).unwrap()
    }

    #[test]
    fn json_shows_everything_that_an_entry_has() {
        let expected = json!({
            "path": "a/name",
            "kind": "file",
            "mode": "4755",
            "uid": 33,
            "gid": 34,
            "user": "www-data",
            "group": "gr\u{fffd}",
            "group_bytes": "6772ff",
            "modified": "2001-02-03T04:05:06.000000005Z",
            "size": 5000,
            "changed_while_read": true,
            "hole_bytes": 5000,
            "hard_link": 12,
            "attributes": [
                {"name": "user.note", "size": 5},
                {"name": "user.\u{fffd}", "name_bytes": "757365722eff", "size": 0},
            ],
        });
        assert_eq!(shown(sparse_file()), expected);
    }

    #[test]
    fn json_shows_what_only_links_and_devices_have() {
        let link = shown(EntryKind::Symlink { target: b"to/\xff".to_vec() });
        assert_eq!(link["target"], json!({"path": "to/\u{fffd}", "path_bytes": "746f2fff"}));
        for kind in [
            EntryKind::BlockDevice { major: 8, minor: 1 },
            EntryKind::CharacterDevice { major: 8, minor: 1 },
        ] {
            let device = shown(kind);
            assert_eq!((&device["major"], &device["minor"]), (&json!(8), &json!(1)));
            assert_eq!(device.get("size"), None);
        }
    }
}
