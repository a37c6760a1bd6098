//! That what was stored comes back, whatever happens to the store in between.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod bundles;
mod copies;
mod coverage;
mod crashes;
mod damage_matrix;
mod damage_record;
mod delta_circles;
mod delta_costs;
mod delta_damage;
mod delta_nights;
mod delta_races;
mod deltas;
mod doctor;
mod full_store;
mod gc;
mod gc_erasure;
mod gc_kills;
mod gc_places;
mod gc_sessions;
mod keys;
mod ledger_bundles;
mod local_index;
mod looking;
mod promotion;
mod repair;
mod repair_copies;
mod repair_index;
mod repair_snapshots;
mod replication;
mod replication_series;
mod retention;
mod rewrite;
mod rewrite_kills;
mod round_trip;
mod single_writer;
mod unchanged;
mod write_slots;
