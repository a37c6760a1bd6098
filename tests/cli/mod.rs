//! The command line, command by command, as its users meet it.

mod access;
mod bad_input;
mod clouds;
mod config;
mod create;
mod dedup;
mod delta;
mod diff;
mod doctor;
mod far;
mod forget;
mod gc;
mod help;
mod index;
mod inside;
mod ledger;
mod look;
mod read_only;
mod restore;
mod restore_directory;
mod retention;
mod selection;
mod tar;
mod together;
mod trees;
mod unchanged;
