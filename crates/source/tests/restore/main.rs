//! Restoring into a directory of a real file system: everything comes back, and nothing happens
//! anywhere else. The snapshots are built by hand, entry by entry, for they hold what a test could
//! not make on the disk first.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod damage;
mod deletion;
mod fidelity;
mod hostile;
mod links;
mod ordinary_user;
mod overwrite;
mod plan;
mod scene;
