//! A model of the protocol that lets writers, collectors, a forgetter and a replicator work on one
//! store without clocks and without locks, and of the promotion of a replica (format-spec, chapters
//! 13 and 15), searched to its last state.
//!
//! Each actor is a file: [`writer`], [`collector`] with its clean-up, the forgetter, whoever finds
//! damage, [`replicator`]; where the store is a replica at the beginning, [`copier`] and
//! [`promoter`]. It holds what the actor remembers and, for each thing that it may do
//! next, the rule beside the step. A step reads or writes the [`store`] once; between any two
//! steps everybody else may act. An actor may crash at every step; any request may be delayed and
//! land later, or never, or twice ([`state::Turn`]). Caches are of any age, listings may come in
//! pages.
//!
//! [`Invariant`] says what must hold in every state; [`completion`] how it is known that what is
//! dead goes in the end. [`Variant`] is the protocol with one rule broken.
//!
//! # What is searched
//! | scenario | stresses | states |
//! |---|---|---|
//! | reuse | one writer reuses a dead pack that two collectors condemn, retire or reinstate; one request is delayed | 184,724 |
//! | two_writers | two writers find each other's blobs, late ones too | 2,816,760 |
//! | everybody | two writers, a dead pack, a collector, a forgetter | 1,493,482 |
//! | renewals | a writer notes newer heads and stores again what was closed; two rounds | 157,088 |
//! | rounds | two collectors, two rounds, any packs condemned together, a blob in two packs; one request is delayed | 271,896 |
//! | pages | the same with listings in pages | 369,231 |
//! | forgetting | snapshots are forgotten while others are made; one request is delayed | 1,942,033 |
//! | chains | a blob whole in one pack and as a delta in another, its base in a third; two rounds | 2,704,980 |
//! | bases | a writer finds a delta whose base is collected by one of two collectors | 765,267 |
//! | circles | two deltas that name each other as bases; three rounds | 2,840,349 |
//! | damage | packs found damaged, and mended, at every moment of a round of two collectors | 1,075,175 |
//! | replica | a replica is filled while a writer and a collector work; listings in pages | 3,111,539 |
//! | replica_behind | a replica is filled while a snapshot is forgotten and packs collected twice | 4,295,979 |
//! | replica_pages | a replica is filled while an index object is replaced; two collectors; listings in pages | 197,689 |
//! | promotion_behind | a replica is promoted in the middle of a pass, while a slower replicator fills it | 1,636,538 |
//! | promotion_back | a forgotten snapshot comes back, or not all of it is there; a writer finds the rest, a collector takes it | 1,618,702 |
//! | promotion_late | what was on its way to the replica and to its source lands in the promoted store; two rounds, a forgetter | 834,140 |
//! | promotion_twice | two promote a replica at once, while it is filled; a collector, a forgetter; one request is delayed | 2,547,094 |
//!
//! In the last four the store is a replica that is promoted, and then as any other. Its source is no
//! store in which anybody works, but a [`history`]: the others search what can happen
//! there, and that one pass of a replicator finds what belongs together.
//!
//! The tests fail if a number is no longer true. `NIGHTJAR_MODEL=large` searches larger bounds:
//! two collectors where there was one, another delayed request, another round
//! ([`scenarios`]).

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
pub mod copier;
mod forgetter;
pub mod history;
pub mod invariants;
pub mod ledger;
mod mark;
pub mod pack;
pub mod promoter;
pub mod protocol;
pub mod replicator;
mod reuse;
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
