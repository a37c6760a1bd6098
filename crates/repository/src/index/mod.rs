//! The local index: which blobs are stored, and where.
//!
//! RocksDB on this machine's disk, filled from the index objects of the store, which are the
//! truth. It is a disposable cache: deleted, stale or corrupt, it is filled again, and nothing
//! that is committed rests on it. Its memory is bounded whatever the size of the repository.
//!
//! # Who works on what
//! `index/` is shared by all processes of this machine. A process takes the lock, applies the
//! index objects that are new since last time, makes a checkpoint (hard links, no copy) under
//! `private/`, releases the lock and works on that. What it adds to its private copy reaches
//! others through the index objects it publishes, never directly. So two backups run side by
//! side, and none can see an entry of the other that is not yet published ([`sync`]).
//!
//! # What counts
//! A reader may use any entry. A writer may reuse a blob only if the entry came from an index
//! object, and the blob's pack and the packs of all its bases lie outside the closed set of the
//! ledger position its session noted (format-spec, chapter 10).

pub(crate) mod database;
pub(crate) mod local_index;
pub(crate) mod support;
pub mod sync;

pub(crate) use local_index::LocalIndex;
