//! What the workers do with a batch: ids, look-ups, compression.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nightjar_codec::compress::{self, Payload};
use nightjar_codec::digest::Identifier;
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;

use crate::index::LocalIndex;
use crate::ingest::segment::{Batch, Item, Mark, Segment};

/// What every worker needs.
pub(crate) struct Encoder {
    pub(crate) index: Arc<LocalIndex>,
    pub(crate) identifier: Identifier,
    pub(crate) level: i32,
    /// Set when the assembler gives up: there is no use in feeding on.
    pub(crate) failed: AtomicBool,
}

/// A batch, ready to be assembled.
pub(crate) struct EncodedBatch {
    pub(crate) number: u64,
    pub(crate) items: Vec<EncodedItem>,
    /// Kept until the batch is assembled: it is what bounds the batches under way.
    pub(crate) _segment: Segment,
}

pub(crate) enum EncodedItem {
    /// A chunk; its payload if nobody was seen to have stored it.
    Chunk {
        id: BlobId,
        raw_len: usize,
        payload: Option<Payload>,
    },
    Mark(Mark),
}

impl Encoder {
    pub(crate) fn encode(&self, batch: Batch) -> EncodedBatch {
        let Batch { number, segment, items } = batch;
        let mut seen = HashSet::new();
        let items = items
            .into_iter()
            .map(|item| match item {
                Item::Mark(mark) => EncodedItem::Mark(mark),
                Item::Chunk { start, len } => {
                    let plaintext = segment.bytes.get(start..start + len).unwrap_or_default();
                    self.encode_chunk(plaintext, &mut seen)
                }
            })
            .collect();
        EncodedBatch { number, items, _segment: segment }
    }

    fn encode_chunk(&self, plaintext: &[u8], seen: &mut HashSet<BlobId>) -> EncodedItem {
        let id = self.identifier.blob_id(BlobKind::Data, plaintext);
        let known = !seen.insert(id) || self.index.is_present(&id);
        let payload = (!known).then(|| compress::encode_verified(plaintext, self.level));
        EncodedItem::Chunk { id, raw_len: plaintext.len(), payload }
    }
}
