//! A repository of very many blobs, without their data: the index lists them, a file names them, and
//! the packs are holes of the right size. What marks and plans reads none of it.

use std::fs::{self, File};
use std::path::Path;

use nightjar_codec::compress::Payload;
use nightjar_codec::digest::Identifier;
use nightjar_format::blob::{BlobKind, Encoding};
use nightjar_format::index::PackRecord;
use nightjar_format::manifest::{
    Content, ContentRef, DirectoryNode, EntryKind, FileContent, ListNode,
};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record;
use nightjar_format::snapshot::{Register, Snapshot};
use nightjar_format::{BlobId, SessionId};

use crate::fixture::{FILE, Fixture, entry};
use crate::insider::{HandMade, Insider};
use crate::years::empty_pack;

/// Blobs of each pack, and its bytes.
const PACK_BLOBS: u32 = 10_000;
const PACK_BYTES: u64 = 16 << 20;
/// Packs that one index object lists.
const INDEX_PACKS: usize = 10;
/// Entries of a node, and nodes of a pack.
const FAN_OUT: usize = 1_000;
const PACK_NODES: usize = 300;
/// Of so many packs, one holds nothing that a snapshot needs.
const DEAD_EVERY: u64 = 10;

/// Adds so many blobs to a repository that lies in `directory`, and a snapshot like `last` whose one
/// file has nine of ten of them. Returns how many packs nothing needs.
pub fn fill(fixture: &Fixture, directory: &Path, blobs: u64, last: &Snapshot) -> u64 {
    let insider = Insider::first(fixture);
    let session = SessionId(fixture.world.random().array());
    let mut nodes = Nodes::new(&insider, session);
    let packs = blobs / u64::from(PACK_BLOBS);
    let mut listed = Vec::new();
    let mut level = Level::new(0);
    for number in 0..packs {
        let pack = sparse_pack(fixture, insider.epoch, directory);
        if !number.is_multiple_of(DEAD_EVERY) {
            for (id, row) in pack.table.ids.iter().zip(&pack.table.rows) {
                level.add(*id, u64::from(row.raw_len), &mut nodes);
            }
        }
        listed.push(pack);
        if listed.len() == INDEX_PACKS {
            insider.write_index(session, std::mem::take(&mut listed));
        }
    }
    let (list, size) = level.finish(&mut nodes);
    let file = FileContent { size, content: Content::List { id: list }, ..FileContent::default() };
    let leaf = DirectoryNode::Leaf(vec![entry(FILE.as_bytes(), EntryKind::File(file))]);
    let root = nodes.put(leaf.encode());
    nodes.flush();
    listed.append(&mut nodes.packs);
    insider.write_index(session, listed);
    let snapshot = Snapshot { root, previous: None, ..last.clone() };
    let register = Register::Committed(Box::new(snapshot));
    insider.write(MetadataKind::Snapshot, &ObjectName::Snapshot(session), &register);
    packs.div_ceil(DEAD_EVERY)
}

fn sparse_pack(fixture: &Fixture, epoch: u32, directory: &Path) -> PackRecord {
    let pack = empty_pack(fixture, epoch, PACK_BLOBS, PACK_BYTES, false);
    let path = directory.join(ObjectName::Pack(pack.pack_id).to_string());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(path).unwrap().set_len(pack.size).unwrap();
    pack
}

/// Nodes that are put into packs.
struct Nodes<'i> {
    insider: &'i Insider,
    identifier: Identifier,
    session: SessionId,
    open: Vec<HandMade>,
    packs: Vec<PackRecord>,
}

impl<'i> Nodes<'i> {
    fn new(insider: &'i Insider, session: SessionId) -> Self {
        let identifier = insider.identifier();
        Self { insider, identifier, session, open: Vec::new(), packs: Vec::new() }
    }

    fn put(&mut self, plaintext: Vec<u8>) -> BlobId {
        let id = self.identifier.blob_id(BlobKind::Tree, &plaintext);
        let raw_len = plaintext.len();
        let payload = Payload { encoding: Encoding::Raw, bytes: plaintext };
        self.open.push(HandMade { id, raw_len, payload });
        if self.open.len() == PACK_NODES {
            self.flush();
        }
        id
    }

    fn flush(&mut self) {
        let nodes = std::mem::take(&mut self.open);
        self.packs.push(self.insider.write_pack(BlobKind::Tree, self.session, &nodes));
    }
}

/// The nodes of one level of a list, and those above it.
struct Level {
    number: u8,
    entries: Vec<ContentRef>,
    above: Option<Box<Level>>,
}

impl Level {
    fn new(number: u8) -> Self {
        Self { number, entries: Vec::new(), above: None }
    }

    fn add(&mut self, id: BlobId, length: u64, nodes: &mut Nodes<'_>) {
        self.entries.push(ContentRef { id, length });
        if self.entries.len() == FAN_OUT {
            self.close(nodes);
        }
    }

    fn close(&mut self, nodes: &mut Nodes<'_>) {
        let (id, length) = self.put(nodes);
        let number = self.number + 1;
        self.above.get_or_insert_with(|| Box::new(Self::new(number))).add(id, length, nodes);
    }

    fn put(&mut self, nodes: &mut Nodes<'_>) -> (BlobId, u64) {
        let node = ListNode::new(self.number, std::mem::take(&mut self.entries));
        let length = node.length().unwrap();
        (nodes.put(record::encode(&node)), length)
    }

    /// The id of the list, and its length.
    fn finish(mut self, nodes: &mut Nodes<'_>) -> (BlobId, u64) {
        if self.above.is_some() && !self.entries.is_empty() {
            self.close(nodes);
        }
        match self.above {
            Some(above) => above.finish(nodes),
            None => self.put(nodes),
        }
    }
}
