//! What is backed up, and what it is restored into: the only crate that touches the user's
//! files and runs the user's commands.
//!
//! - [`dump`]: a stream from standard input or from a command, whose exit status decides;
//! - [`tree`]: files and directories;
//! - [`restore`]: into a directory, a stream or a command;
//! - [`recognise`]: input that cannot be deduplicated, and the flag that changes that;
//! - [`redact`]: commands without their credentials.

pub mod dump;
mod error;
pub mod recognise;
pub mod redact;
pub mod restore;
pub mod tree;

pub use dump::{DumpChecks, feed_command, feed_stdin};
pub use error::SourceError;
pub use restore::{
    Overwrite, RestorePlan, RestoreReport, RestoreRequest, plan_restore, restore_into_command,
    restore_to_directory, restore_to_writer, verify_restored,
};
pub use tree::feed_paths;

/// What the user should know, though it stops nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// One line each.
    pub warnings: Vec<String>,
    /// Files that could not be read.
    pub unreadable: u64,
}
