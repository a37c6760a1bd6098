//! That what was stored comes back, whatever happens to the store in between.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may panic"
)]

mod crashes;
mod damage_matrix;
mod delta_nights;
mod deltas;
mod full_store;
mod keys;
mod local_index;
mod round_trip;
