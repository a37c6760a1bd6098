//! The engine: what makes a set of objects in a store a repository.
//!
//! Operations are functions over an opened [`Repository`], one module per noun:
//!
//! - [`repository`]: creating and opening; [`slots`]: who has access; [`keychain`]: whom to
//!   believe;
//! - [`ingest`]: from a source's bytes to a committed snapshot;
//! - [`read`]: from a snapshot back to bytes, every one of them checked;
//! - [`manifest`]: content lists and directories, walking and comparing them;
//! - [`snapshots`], [`holds`], [`ledger`]: the write protocol (format-spec, chapter 10);
//! - [`retention`]: which snapshots a policy lets go; [`rewrite`]: taking entries out of snapshots;
//! - [`index`]: the local index, a cache that can always be made anew;
//! - [`gc`]: what nobody needs any more, and getting rid of it;
//! - [`verify`]: what is damaged; [`coverage`]: what was checked; [`repair`]: bringing it back;
//! - [`replicate`]: copies elsewhere; [`status`]: what is there; [`doctor`]: what is wrong around it.
//!
//! The engine prints nothing and looks nothing up: clock, random numbers, names and the cache
//! directory come with the [`Environment`]; progress and findings go to the caller, remarks for
//! the log to `tracing`.

mod ahead;
mod bundles;
mod cache;
pub mod coverage;
pub mod doctor;
mod environment;
mod error;
mod found;
pub mod gc;
pub mod holds;
pub mod index;
pub mod ingest;
pub mod keychain;
pub mod ledger;
pub mod manifest;
mod packs;
pub mod promote;
pub mod read;
pub mod repair;
pub mod replicate;
pub mod repository;
pub mod retention;
pub mod rewrite;
mod session;
pub mod slots;
pub mod snapshots;
pub mod status;
pub mod verify;

pub use environment::{Clock, Environment, Progress};
pub use error::{RepositoryError, Result};
pub use found::Found;
pub use repository::{NewRepository, Repository};
