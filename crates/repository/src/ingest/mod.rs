//! From a source's bytes to packs: the writing pipeline.
//!
//! ```text
//!  caller                 rayon                one thread              rayon
//! ┌──────────┐ batches ┌───────────┐ in order ┌──────────┐ proposals ┌───────────┐
//! │ read,cut │────────→│ id, look  │─────────→│ which    │──────────→│ delta or  │
//! │ (feeder) │         │ up,sketch │          │ bases?   │           │ zstd      │
//! └──────────┘         └───────────┘          └──────────┘           └─────┬─────┘
//!                  three threads        the same thread                    │
//!                 ┌─────────────┐ packs ┌──────────────┐      in order     │
//!       store ←───│ seal, hash, │←──────│ fill packs,  │←──────────────────┘
//!                 │ upload      │──────→│ build nodes  │
//!                 └─────────────┘durable└──────────────┘
//! ```
//!
//! **Memory** is bounded by what circulates: a fixed number of segments, each taken by the
//! feeder and given back when the assembler is done with its batch, and a fixed number of packs.
//! Whoever is slow makes the others wait.
//!
//! **Order.** Batches are numbered and assembled in the order they were read, so packs hold a
//! dump in its own order and a restore reads them from front to back. A pack is listed in an
//! index object only when it is durable, and the snapshot is committed only when everything is
//! listed (format-spec, chapter 10).
//!
//! **Duplicates** are looked for twice: by the workers in the index, and by the planner, which
//! alone knows what is in packs that are still open or on their way.
//!
//! **Deltas.** `previous` walks the last snapshot beside the run and tells what stood where;
//! `delta` decides what may rest on what, and stores it.

mod assembler;
mod delta;
mod encoder;
mod feeder;
mod pack_writer;
mod planner;
mod previous;
mod segment;
mod snapshot;

pub use delta::DeltaParameters;
pub use feeder::{Feeder, FileState, StopSignal};
pub(crate) use pack_writer::PackWriter;
pub(crate) use snapshot::commit;
pub use snapshot::{Fed, SnapshotRequest, create_snapshot};
