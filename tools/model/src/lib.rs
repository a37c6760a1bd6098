//! A model of the protocol that lets writers, collectors, a forgetter and a replicator work on one
//! store without clocks and without locks (format-spec, chapter 13), searched to its last state.

#![allow(
    clippy::indexing_slicing,
    reason = "numbers of packs, blobs and actors come from the configuration, which bounds them; \
              one out of bounds is a mistake in the model, and ends its tests"
)]

mod checker;
mod cleaning;
pub mod collector;
pub mod completion;
pub mod configuration;
mod forgetter;
pub mod invariants;
pub mod ledger;
pub mod pack;
pub mod protocol;
pub mod replicator;
pub mod scenarios;
pub mod set;
pub mod state;
pub mod store;
pub mod variant;
pub mod writer;

pub use configuration::{Configuration, Plan};
pub use invariants::Invariant;
pub use protocol::Protocol;
pub use variant::Variant;
