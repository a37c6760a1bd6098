//! The command line, command by command, as its users meet it.

mod access;
mod create;
mod dedup;
mod delta;
mod forget;
mod help;
mod index;
mod look;
mod restore;
mod restore_directory;
mod together;
mod trees;
