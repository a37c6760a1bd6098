//! What the workers do with a batch: first its ids, what is known of them, and the sketches of
//! what is not; later, when bases are proposed, the payloads.

use nightjar_codec::compress::{self, Payload};
use nightjar_codec::digest::Identifier;
use nightjar_codec::sketch::{self, Sketch, Sketcher};
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;

use crate::index::LocalIndex;
use crate::ingest::delta::{DeltaEncoder, Proposals, Usable};
use crate::ingest::segment::{Batch, Item, Mark, Segment};
use crate::manifest::walk::NodePath;
use crate::read::batch::FetchedBlobs;

/// What every worker needs.
pub(crate) struct Encoder<'r, 'a> {
    pub(crate) index: &'r LocalIndex,
    pub(crate) identifier: Identifier,
    pub(crate) level: i32,
    /// Not there if nothing is to be stored as a delta.
    pub(crate) delta: Option<&'r DeltaEncoder<'r, 'a>>,
    pub(crate) sketcher: Sketcher,
}

/// A batch whose chunks have names.
pub(crate) struct IdentifiedBatch {
    pub(crate) number: u64,
    pub(crate) segment: Segment,
    pub(crate) items: Vec<IdentifiedItem>,
}

pub(crate) enum IdentifiedItem {
    Chunk { start: usize, len: usize, id: BlobId, new: Option<New> },
    Mark(Mark),
}

/// What is known of a chunk that is not stored yet.
pub(crate) struct New {
    pub(crate) sketch: Sketch,
    /// Blobs with a similar sketch, the likeliest first.
    pub(crate) similar: Vec<BlobId>,
}

/// A batch whose new chunks have bases to try.
pub(crate) struct PlannedBatch {
    pub(crate) number: u64,
    pub(crate) segment: Segment,
    pub(crate) items: Vec<PlannedItem>,
}

pub(crate) enum PlannedItem {
    Chunk(PlannedChunk),
    Mark(Mark),
}

pub(crate) struct PlannedChunk {
    pub(crate) id: BlobId,
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// The nodes of the previous list at this place.
    pub(crate) near: Option<NodePath>,
    /// What to store of it.
    pub(crate) new: Option<PlannedNew>,
}

pub(crate) struct PlannedNew {
    pub(crate) sketch: Sketch,
    pub(crate) proposals: Box<Proposals>,
}

/// A batch, ready to be assembled.
pub(crate) struct EncodedBatch {
    pub(crate) number: u64,
    pub(crate) items: Vec<EncodedItem>,
    /// Kept until the batch is assembled: it is what bounds the batches under way.
    pub(crate) _segment: Segment,
}

pub(crate) enum EncodedItem {
    /// A chunk; its payload if it is to be stored.
    Chunk {
        id: BlobId,
        raw_len: usize,
        near: Option<NodePath>,
        payload: Option<(Payload, Sketch)>,
    },
    Mark(Mark),
}

impl Encoder<'_, '_> {
    pub(crate) fn identify(&self, batch: Batch) -> IdentifiedBatch {
        let Batch { number, segment, items } = batch;
        let items = items
            .into_iter()
            .map(|item| match item {
                Item::Mark(mark) => IdentifiedItem::Mark(mark),
                Item::Chunk { start, len } => {
                    let plaintext = segment.bytes.get(start..start + len).unwrap_or_default();
                    let id = self.identifier.blob_id(BlobKind::Data, plaintext);
                    let new = (!self.index.is_present(&id)).then(|| self.look_at_new(plaintext));
                    IdentifiedItem::Chunk { start, len, id, new }
                }
            })
            .collect();
        IdentifiedBatch { number, segment, items }
    }

    fn look_at_new(&self, plaintext: &[u8]) -> New {
        if !self.delta.is_some_and(DeltaEncoder::trusts_sketches) {
            return New { sketch: sketch::NONE, similar: Vec::new() };
        }
        let sketch = self.sketcher.sketch(plaintext);
        New { sketch, similar: self.index.similar(&sketch) }
    }

    pub(crate) fn encode(&self, batch: PlannedBatch) -> EncodedBatch {
        let PlannedBatch { number, segment, mut items } = batch;
        items.iter_mut().for_each(|item| self.doubt(item));
        let firsts: Vec<Option<Usable>> = items.iter().map(|item| self.first(item)).collect();
        let mut fetched = self.fetch(&firsts);
        let items = items
            .into_iter()
            .zip(&firsts)
            .map(|(item, first)| match item {
                PlannedItem::Mark(mark) => EncodedItem::Mark(mark),
                PlannedItem::Chunk(PlannedChunk { id, start, len, near, new }) => {
                    let plaintext = segment.bytes.get(start..start + len).unwrap_or_default();
                    let payload = new.map(|PlannedNew { sketch, proposals }| {
                        let payload = match (self.delta, &mut fetched) {
                            (Some(delta), Some(fetched)) => delta.encode_smallest(
                                plaintext,
                                first.as_ref(),
                                &proposals,
                                fetched,
                            ),
                            _ => compress::encode_verified(plaintext, self.level),
                        };
                        (payload, sketch)
                    });
                    EncodedItem::Chunk { id, raw_len: len, near, payload }
                }
            })
            .collect();
        EncodedBatch { number, items, _segment: segment }
    }

    /// As late as possible: what other batches came to counts.
    fn doubt(&self, item: &mut PlannedItem) {
        if let (PlannedItem::Chunk(PlannedChunk { new: Some(new), .. }), Some(delta)) =
            (item, self.delta)
        {
            delta.doubt(&mut new.proposals);
        }
    }

    /// What is tried first for a chunk.
    fn first(&self, item: &PlannedItem) -> Option<Usable> {
        match item {
            PlannedItem::Chunk(PlannedChunk { new: Some(new), .. }) => {
                self.delta?.usable(new.proposals.first?)
            }
            _ => None,
        }
    }

    /// Reads the bases of a whole batch together.
    fn fetch(&self, firsts: &[Option<Usable>]) -> Option<FetchedBlobs<'_, '_>> {
        let delta = self.delta?;
        let usable = || firsts.iter().flatten();
        let bases: Vec<BlobId> = usable().flat_map(|usable| usable.bases.ids()).copied().collect();
        let places = usable().flat_map(|usable| usable.support.places.iter().copied()).collect();
        delta
            .reader
            .begin_at(BlobKind::Data, &bases, places)
            .and_then(|pending| pending.wait(delta.reader))
            .inspect_err(|error| tracing::debug!("cannot read bases: {error}"))
            .ok()
    }
}
