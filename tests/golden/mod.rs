//! Format 1 as it is on disk: the golden repository restores for ever, and a reader that was
//! written from the specification alone reads what this program writes.
//!
//! `format-spec/vectors/repository` is never made anew: a program that cannot restore it, or a
//! specification by which it cannot be read, has left the format.

mod reader;
mod repository;
