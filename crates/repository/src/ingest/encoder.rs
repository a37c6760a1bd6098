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

pub(crate) struct PlannedItem {
    pub(crate) what: Planned,
    /// The previous manifest's nodes at this place.
    pub(crate) near: Option<NodePath>,
}

pub(crate) enum Planned {
    Known { id: BlobId, len: usize },
    New { start: usize, len: usize, id: BlobId, sketch: Sketch, proposals: Box<Proposals> },
    Mark(Mark),
}

/// A batch, ready to be assembled.
pub(crate) struct EncodedBatch {
    pub(crate) number: u64,
    pub(crate) items: Vec<EncodedItem>,
    /// Kept until the batch is assembled: it is what bounds the batches under way.
    pub(crate) _segment: Segment,
}

pub(crate) struct EncodedItem {
    pub(crate) what: Encoded,
    pub(crate) near: Option<NodePath>,
}

pub(crate) enum Encoded {
    /// A chunk; its payload if it is to be stored.
    Chunk {
        id: BlobId,
        raw_len: usize,
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
        let PlannedBatch { number, segment, items } = batch;
        let first = |item: &PlannedItem| match &item.what {
            Planned::New { proposals, .. } => self.delta?.usable(proposals.first?),
            _ => None,
        };
        let firsts: Vec<Option<Usable>> = items.iter().map(first).collect();
        let usable = || firsts.iter().flatten();
        let bases: Vec<BlobId> = usable().flat_map(|usable| usable.bases.ids()).copied().collect();
        let places = usable().flat_map(|usable| usable.support.places.iter().copied()).collect();
        let mut fetched = self.delta.and_then(|delta| {
            delta
                .reader
                .begin_at(BlobKind::Data, &bases, places)
                .and_then(|pending| pending.wait(delta.reader))
                .inspect_err(|error| tracing::debug!("cannot read bases: {error}"))
                .ok()
        });
        let items = items
            .into_iter()
            .zip(&firsts)
            .map(|(PlannedItem { what, near }, first)| {
                let what = match what {
                    Planned::Mark(mark) => Encoded::Mark(mark),
                    Planned::Known { id, len } => {
                        Encoded::Chunk { id, raw_len: len, payload: None }
                    }
                    Planned::New { start, len, id, sketch, proposals } => {
                        let plaintext = segment.bytes.get(start..start + len).unwrap_or_default();
                        let payload = match (self.delta, &mut fetched) {
                            (Some(delta), Some(fetched)) => delta.encode_smallest(
                                plaintext,
                                first.as_ref(),
                                &proposals,
                                fetched,
                            ),
                            _ => compress::encode_verified(plaintext, self.level),
                        };
                        Encoded::Chunk { id, raw_len: len, payload: Some((payload, sketch)) }
                    }
                };
                EncodedItem { what, near }
            })
            .collect();
        EncodedBatch { number, items, _segment: segment }
    }
}
