//! What the tests have in common: a sandbox to work in, the program run in it, inputs that are
//! the same at every run, and trees of files to store and to compare.

pub(crate) mod data;
pub(crate) mod make;
pub(crate) mod mount;
pub(crate) mod namespace;
mod program;
mod run;
mod sandbox;
pub(crate) mod tree;
mod wait;

pub(crate) use program::program;
pub(crate) use run::{Nightjar, Outcome, Running, assert_has_fields, assert_same};
pub(crate) use sandbox::{PASSPHRASE, Sandbox, WEAK, files_below, id_of, is_root, number};
pub(crate) use wait::wait_until;
