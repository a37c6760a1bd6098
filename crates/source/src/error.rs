//! What can go wrong between the user's data and the engine.

use std::path::PathBuf;

use nightjar_repository::RepositoryError;
use thiserror::Error;

/// Feeding a source or restoring into a destination failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The engine failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The command could not be started.
    #[error("cannot run {command}: {source}")]
    CannotRun {
        /// Its name.
        command: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The command that makes the dump failed.
    #[error("{command} {status}: no snapshot was made{}", tail(.stderr))]
    CommandFailed {
        /// Its name.
        command: String,
        /// How it ended.
        status: String,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The command that takes the restored data failed.
    #[error("{command} {status}: it may not have taken all of what was restored")]
    ReceiverFailed {
        /// Its name.
        command: String,
        /// How it ended.
        status: String,
    },
    /// The dump is not what was asked for.
    #[error("{0}: no snapshot was made")]
    Incomplete(String),
    /// The stream is not of the kind that was asked for.
    #[error("{0}: no snapshot was made")]
    Malformed(String),
    /// A path cannot be backed up.
    #[error("{path}: {why}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something stands where a restored file belongs.
    #[error(
        "{path} exists already; --overwrite if-changed goes on with a restore that was \
         interrupted, --overwrite always replaces what differs"
    )]
    Exists {
        /// Where.
        path: PathBuf,
    },
    /// The local disk failed.
    #[error("cannot {action} {path}: {source}")]
    Local {
        /// A verb.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// Nothing in the snapshot is meant, or too much.
    #[error("{0}")]
    Selection(String),
}

fn tail(stderr: &str) -> String {
    if stderr.is_empty() {
        String::new()
    } else {
        format!("; its last words:\n{}", stderr.trim_end())
    }
}

/// Adds action and path to an I/O error.
pub(crate) fn at(
    action: &'static str,
    path: &std::path::Path,
) -> impl FnOnce(std::io::Error) -> SourceError {
    let path = path.to_path_buf();
    move |source| SourceError::Local { action, path, source }
}
