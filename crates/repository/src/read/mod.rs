//! From a snapshot back to bytes.
//!
//! [`Reader`] resolves blobs: index, range of a pack, decrypt, decode (through the bases of a
//! delta), compare with the id. `batch` does that for many blobs together, `stream` for contents
//! whose plaintext is handed out in order, `files` for any number of files, each chunk
//! going to its own place. `compare` tells whether bytes at hand are those of a content list, and
//! fetches nothing. No byte leaves that was not checked.

pub(crate) mod batch;
mod blobs;
mod compare;
mod files;
mod stream;

pub use blobs::Reader;
pub(crate) use blobs::SealedBlob;
pub use files::{FileFeed, RequestForecast, Target, TargetFailure};
pub use stream::{StreamFeed, StreamSink};
