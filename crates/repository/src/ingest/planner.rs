//! What is to be done with each chunk, decided in the order in which they were read: whether it
//! is stored, and which bases are tried.

use nightjar_format::BlobId;
use nightjar_format::blob::Bases;

use crate::error::Result;
use crate::ingest::delta::{ByPlace, DeltaEncoder, Proposals};
use crate::ingest::encoder::{
    IdentifiedBatch, IdentifiedItem, New, PlannedBatch, PlannedChunk, PlannedItem, PlannedNew,
};
use crate::ingest::previous::PreviousStream;
use crate::ingest::segment::Mark;
use crate::read::Reader;

/// The planner.
pub(crate) struct Planner<'r, 'a> {
    /// Not there if nothing is to be stored as a delta.
    delta: Option<&'r DeltaEncoder<'r, 'a>>,
    /// What the file that is read held in the previous snapshot.
    previous: Option<PreviousStream>,
}

impl<'r, 'a> Planner<'r, 'a> {
    pub(crate) fn new(delta: Option<&'r DeltaEncoder<'r, 'a>>) -> Self {
        Self { delta, previous: None }
    }

    /// Plans a batch. `schedule` says of a chunk that looked new whether it is to be stored.
    pub(crate) fn plan(
        &mut self,
        batch: IdentifiedBatch,
        mut schedule: impl FnMut(BlobId) -> bool,
    ) -> PlannedBatch {
        let IdentifiedBatch { number, segment, items } = batch;
        let items = items
            .into_iter()
            .map(|item| match item {
                IdentifiedItem::Mark(mark) => {
                    if let (Mark::Stream(content), Some(delta)) = (&mark, self.delta) {
                        let content = content.as_ref();
                        self.previous = content.map(|it| PreviousStream::new(delta.reader, it));
                    }
                    PlannedItem::Mark(mark)
                }
                IdentifiedItem::Chunk { start, len, id, new } => {
                    let new = new.filter(|_| schedule(id));
                    PlannedItem::Chunk(self.plan_chunk(start, len, id, new))
                }
            })
            .collect();
        PlannedBatch { number, segment, items }
    }

    fn plan_chunk(
        &mut self,
        start: usize,
        len: usize,
        id: BlobId,
        new: Option<New>,
    ) -> PlannedChunk {
        let length = len as u64;
        let Some(New { sketch, similar }) = new else {
            let near = self.with_previous(|stream, reader| stream.known(reader, &id, length));
            return PlannedChunk { id, start, len, near, new: None };
        };
        let predecessor =
            self.with_previous(|stream, reader| stream.predecessor(reader, length, &similar));
        let by_place = predecessor.as_ref().map(|predecessor| predecessor.bases);
        let proposals = Box::new(proposals(by_place, similar.first()));
        let near = predecessor.map(|predecessor| predecessor.near);
        PlannedChunk { id, start, len, near, new: Some(PlannedNew { sketch, proposals }) }
    }

    fn with_previous<T>(
        &mut self,
        visit: impl FnOnce(&mut PreviousStream, &Reader<'a>) -> Result<Option<T>>,
    ) -> Option<T> {
        match visit(self.previous.as_mut()?, self.delta?.reader) {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!("the previous snapshot cannot be followed: {error}");
                self.previous = None;
                None
            }
        }
    }
}

fn proposals(by_place: Option<Bases>, by_sketch: Option<&BlobId>) -> Proposals {
    let agree = by_place
        .zip(by_sketch)
        .is_some_and(|(by_place, by_sketch)| by_place.ids().contains(by_sketch));
    let by_sketch = by_sketch.and_then(|id| Bases::new(&[*id]));
    match by_place {
        Some(_) if agree => {
            Proposals { first: by_place, second: None, by_place: ByPlace::Confirmed }
        }
        Some(_) => Proposals { first: by_place, second: by_sketch, by_place: ByPlace::Alone },
        None => Proposals { first: by_sketch, ..Proposals::default() },
    }
}
