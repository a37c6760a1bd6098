//! Why bytes are not what they claim to be.

use thiserror::Error;

/// What is wrong with bytes that should be an object or a part of one.
///
/// The caller knows which object they came from and adds its name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Another program, or another version of the format, wrote this.
    #[error("{what} has version {version}; this program knows version 1")]
    UnknownVersion {
        /// The kind of record.
        what: &'static str,
        /// The version it claims.
        version: u8,
    },
    /// The bytes do not follow the format.
    #[error("{what} is malformed: {why}")]
    Malformed {
        /// The kind of record.
        what: &'static str,
        /// Which rule is broken.
        why: &'static str,
    },
    /// A size exceeds its limit (format-spec, chapter 9).
    #[error("{what} takes {size} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The kind of record.
        what: &'static str,
        /// The size found or claimed, in bytes.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The repository needs something that this program does not know.
    #[error("the repository requires features unknown to this version of nightjar: {}", .0.join(", "))]
    UnknownFeatures(Vec<String>),
}

impl FormatError {
    /// A broken rule of `what`.
    pub fn malformed(what: &'static str, why: &'static str) -> Self {
        Self::Malformed { what, why }
    }
}
