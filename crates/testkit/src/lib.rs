//! What the tests of several crates share.
//!
//! - [`environment`]: a world that a seed decides: clock, random numbers, cache directories;
//! - [`generate`]: data with the structure of dumps, trees, noise;
//! - [`fixture`]: a small repository in memory, streams in and out of it;
//! - [`edits`]: what a night does to a dump;
//! - [`chains`]: the chains of deltas that index objects tell of;
//! - [`meanwhile`]: a store in which others act between two requests;
//! - [`model`]: what a repository must hold, kept beside it, and the comparison;
//! - [`insider`]: the raw keys of a slot, to forge with them what a thief could;
//! - [`years`]: what a repository says of itself after years;
//! - [`damage`]: what disks and enemies do to objects;
//! - [`simulation`]: many processes on one store, in an order that a seed decides.
//!
//! Everything here may panic: a test that cannot set itself up has failed. Faults of stores are
//! `nightjar_storage::faults`.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

pub mod chains;
pub mod damage;
pub mod edits;
pub mod environment;
pub mod fixture;
pub mod generate;
pub mod insider;
pub mod meanwhile;
pub mod model;
pub mod multitude;
pub mod simulation;
pub mod years;
