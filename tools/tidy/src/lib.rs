//! Rules about this repository that neither the compiler nor clippy checks. `tests/tidy.rs`
//! runs them.
//!
//! A rule is a function from what it checks to the list of its breaches, each one line that
//! names the place and what to do. A rule that finds nothing to check says so as a breach: a
//! rule that cannot fail holds nothing.

pub mod chapters;
pub mod edges;
pub mod layout;
pub mod tree;
pub mod words;

pub use tree::File;
