//! What is to be done with each chunk, decided in the order in which they were read: whether it
//! is stored, and which bases are tried.

use nightjar_format::BlobId;
use nightjar_format::blob::Bases;

use crate::ingest::delta::{ByPlace, DeltaEncoder, Proposals};
use crate::ingest::encoder::{
    IdentifiedBatch, IdentifiedItem, New, Planned, PlannedBatch, PlannedItem,
};
use crate::ingest::previous::PreviousTree;
use crate::ingest::segment::Mark;

/// The planner.
pub(crate) struct Planner<'r, 'a> {
    /// The previous snapshot, if anything is to be stored as a delta.
    pub(crate) previous: Option<PreviousTree<'r, 'a>>,
    pub(crate) delta: Option<&'r DeltaEncoder<'r, 'a>>,
}

impl Planner<'_, '_> {
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
                IdentifiedItem::Mark(mark) => self.plan_mark(mark),
                IdentifiedItem::Chunk { start, len, id, new } => match new {
                    Some(new) if schedule(id) => self.plan_new(start, len, id, new),
                    _ => self.plan_known(id, len),
                },
            })
            .collect();
        PlannedBatch { number, segment, items }
    }

    fn plan_known(&mut self, id: BlobId, len: usize) -> PlannedItem {
        let near = self.previous.as_mut().and_then(|tree| tree.known(&id, len as u64));
        PlannedItem { what: Planned::Known { id, len }, near }
    }

    fn plan_new(&mut self, start: usize, len: usize, id: BlobId, new: New) -> PlannedItem {
        let New { sketch, similar } = new;
        let predecessor =
            self.previous.as_mut().and_then(|tree| tree.predecessor(len as u64, &similar));
        let by_sketch = similar.first();
        let by_place = predecessor.as_ref().map(|predecessor| predecessor.bases);
        let agree = by_place
            .zip(by_sketch)
            .is_some_and(|(by_place, by_sketch)| by_place.ids().contains(by_sketch));
        let by_sketch = by_sketch.and_then(|id| Bases::new(&[*id]));
        let trusted = || self.delta.is_some_and(DeltaEncoder::trusts_locality);
        let proposals = match by_place {
            Some(_) if agree => {
                Proposals { first: by_place, second: None, by_place: ByPlace::Confirmed }
            }
            Some(_) if trusted() => {
                Proposals { first: by_place, second: by_sketch, by_place: ByPlace::Alone }
            }
            _ => Proposals { first: by_sketch, ..Proposals::default() },
        };
        let proposals = Box::new(proposals);
        let near = predecessor.map(|predecessor| predecessor.near);
        PlannedItem { what: Planned::New { start, len, id, sketch, proposals }, near }
    }

    fn plan_mark(&mut self, mark: Mark) -> PlannedItem {
        let mut near = None;
        if let Some(tree) = &mut self.previous {
            match &mark {
                Mark::EnterDirectory(name) => tree.enter(name),
                Mark::Stream(name) => tree.begin_stream(name),
                Mark::LeaveDirectory(entry) => {
                    tree.leave();
                    near = tree.near(&entry.name);
                }
                Mark::File(entry) | Mark::Other(entry) => near = tree.near(&entry.name),
                Mark::Discard => {}
            }
        }
        PlannedItem { what: Planned::Mark(mark), near }
    }
}
