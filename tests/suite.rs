//! Black-box tests: they run the program `nightjar` as its users do and look at what they would
//! see. `harness` runs it; the other modules are subjects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when something is not as it should be"
)]

mod cli;
mod crash;
mod damage;
mod fidelity;
mod golden;
mod harness;
mod postgres;
