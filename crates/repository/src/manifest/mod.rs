//! Manifests: everything reachable from a snapshot's root (format-spec, chapter 6).
//!
//! `list` and `directory` build them as chunks and entries arrive, level by level, holding
//! one unfinished node per level; [`walk`] goes through what is stored, [`lookup`] finds one path
//! in it, [`search`] looks through many trees, [`mod@diff`] compares two and [`renames`] tells what
//! only moved.

pub mod diff;
pub(crate) mod directory;
pub(crate) mod list;
pub mod lookup;
pub mod renames;
pub mod search;
pub mod walk;

use nightjar_format::BlobId;

use crate::error::Result;

/// Stores the nodes that builders finish.
pub(crate) trait NodeSink {
    /// Stores a node's plaintext, unless it is stored already, and returns its id. `like` is a
    /// node that it probably resembles.
    fn put_node(&mut self, plaintext: Vec<u8>, like: Option<BlobId>) -> Result<BlobId>;
}
