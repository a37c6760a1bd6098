//! The persisted bytes of Nightjar's format 1: one module per object kind, mirroring
//! `format-spec/` chapter by chapter.
//!
//! This crate is pure: no I/O, no clock, no random numbers, no cryptography. Everything it
//! decodes may come from a hostile store, so every decoder is bounded ([`limits`]), rejects
//! trailing bytes and any encoding that it would not itself produce ([`record`]), and never
//! panics; the fuzz targets hold it to that.

pub mod blob;
pub mod bundle;
pub mod check;
pub mod error;
pub mod ids;
pub mod index;
pub mod keyring;
pub mod ledger;
pub mod limits;
pub mod manifest;
pub mod object;
pub mod pack;
mod reader;
pub mod record;
pub mod replica;
pub mod repository;
pub mod session;
pub mod slot;
pub mod snapshot;

pub use error::FormatError;
pub use ids::{
    AttemptId, BlobId, BundleId, CheckId, Digest, IncarnationId, IndexId, PackId, RepositoryId,
    SessionId, SlotId,
};
