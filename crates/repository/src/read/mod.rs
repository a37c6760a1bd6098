//! From a snapshot back to bytes.
//!
//! [`Reader`] resolves blobs: index, range of a pack, decrypt, decode (through the bases of a
//! delta), compare with the id. `stream` does that for a whole content list, many blobs at a
//! time, and hands the plaintext out in order. No byte leaves that was not checked.

mod blobs;
mod stream;

pub use blobs::Reader;
pub(crate) use blobs::{Effort, SealedBlob};
