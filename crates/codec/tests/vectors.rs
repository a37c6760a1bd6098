//! The vectors of `format-spec/vectors/`, computed again: what this program makes and reads is
//! what format 1 says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

#[path = "reference/mod.rs"]
mod reference;

#[path = "vectors/chunks.rs"]
mod chunks;
#[path = "vectors/file.rs"]
mod file;
#[path = "vectors/keys.rs"]
mod keys;
#[path = "vectors/metadata.rs"]
mod metadata;
#[path = "vectors/packs.rs"]
mod packs;
#[path = "vectors/sketches.rs"]
mod sketches;
