//! What is backed up, and what it is restored into: the only crate that touches the user's
//! files and runs the user's commands.
//!
//! - [`dump`]: a stream from standard input or from a command, whose exit status decides;
//! - [`tar`]: a tar, read member by member and written;
//! - [`tree`]: files and directories;
//! - [`restore`]: into a directory, a stream or a command;
//! - [`recognise`]: input that cannot be deduplicated, and the flag that changes that;
//! - [`redact`]: commands without their credentials.

pub mod dump;
mod error;
mod holes;
mod listing;
mod proc;
pub mod recognise;
pub mod redact;
pub mod restore;
pub mod tar;
pub mod tree;

pub use self::tar::{restore_tar_into_command, restore_to_tar};
pub use dump::{DumpChecks, DumpRequest, DumpShape, feed_command, feed_stdin};
pub use error::SourceError;
pub use restore::{
    Overwrite, RestorePlan, RestoreReport, RestoreRequest, plan_restore, restore_into_command,
    restore_to_directory, restore_to_writer, verify_restored,
};
pub use tree::{Excludes, Patterns, TreeRequest, feed_paths};

/// What the user should know, though it stops nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// One line each, the first ones.
    pub warnings: Vec<String>,
    /// Further warnings.
    pub more_warnings: u64,
    /// Files that could not be read.
    pub unreadable: u64,
    /// Entries that were left out, most as asked for; what lies in directories among them is not counted.
    pub left_out: u64,
}

/// Warnings that are kept: a tree of unreadable files must not fill the memory.
const MOST_WARNINGS: usize = 1000;

impl Notes {
    fn warn(&mut self, warning: String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }
}
