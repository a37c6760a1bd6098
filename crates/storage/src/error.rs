//! What can go wrong with a store, split by what the caller does next.
//!
//! The stores below report operating system errors wrapped several layers deep and mostly as
//! "generic"; [`StoreError::from_store`] looks through the layers for the ones a user can act on.

use std::error::Error;
use std::io;

use crate::cloud::advice;

/// The error below a [`StoreError`], for the log and for the user's own diagnosis.
pub type Cause = Box<dyn Error + Send + Sync + 'static>;

/// Why a request to a store was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The place that the URL names does not exist.
    #[error("there is no store at {url}: check the URL, or create a repository there first")]
    NoStore {
        /// The URL as it was understood.
        url: String,
    },
    /// There is no object of that name.
    #[error(
        "object {name} is not in the store; if it should be, verify the repository and repair it from a replica"
    )]
    NotFound {
        /// The object.
        name: String,
    },
    /// The object is larger than its reader allows; its body was not read.
    #[error(
        "object {name} has {size} bytes, more than the {limit} that it may have: it is damaged or foreign; verify the repository"
    )]
    TooLarge {
        /// The object.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// The most bytes that the reader accepts.
        limit: u64,
    },
    /// The object ends before the bytes that were asked for.
    #[error(
        "object {name} is too short: of {wanted} bytes asked for, {got} are there; verify the repository and repair it from a replica"
    )]
    Short {
        /// The object.
        name: String,
        /// Bytes asked for.
        wanted: u64,
        /// Bytes there are.
        got: u64,
    },
    /// The store is full, or a quota is used up.
    #[error(
        "no space is left in the store for {name}: free some space or raise the quota, then run the command again"
    )]
    NoSpace {
        /// The object that was being written.
        name: String,
        /// The error of the store.
        source: Cause,
    },
    /// The store refuses the operation to this user, or is read-only.
    #[error(
        "the store does not permit to {operation} {name}: check the permissions of this user there, and that the store is not read-only"
    )]
    PermissionDenied {
        /// The object, prefix or URL.
        name: String,
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The error of the store.
        source: Cause,
    },
    /// The URL cannot be used.
    #[error("cannot use {url} as a store: {why}")]
    BadUrl {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The store, the way to it or the credentials for it are not as they should be.
    #[error("could not {operation} {name}: {advice}")]
    Unusable {
        /// The object, prefix or URL.
        name: String,
        /// What was attempted, as a verb.
        operation: &'static str,
        /// What to look at.
        advice: &'static str,
        /// The error of the store.
        source: Cause,
    },
    /// Anything else. Whether a write took effect is unknown: read back before relying on either.
    #[error(
        "could not {operation} {name}: check that the store can be reached, then run the command again"
    )]
    Failed {
        /// The object, prefix or URL.
        name: String,
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The error of the store.
        source: Cause,
    },
}

impl StoreError {
    pub(crate) fn from_store(
        name: &str,
        operation: &'static str,
        error: object_store::Error,
    ) -> Self {
        use object_store::Error as E;
        // Of a bucket that is not there, too; what else is said of an object that is missing may be
        // its path.
        if matches!(&error, E::NotFound { .. }) && !advice::is_no_bucket(&error) {
            return Self::NotFound { name: name.to_owned() };
        }
        if let Some(advice) = advice::of(&error) {
            let (name, source) = (name.to_owned(), Box::new(error));
            return Self::Unusable { name, operation, advice, source };
        }
        if advice::is_no_space(&error) {
            return Self::NoSpace { name: name.to_owned(), source: Box::new(error) };
        }
        if advice::is_denied(&error) {
            let name = name.to_owned();
            return Self::PermissionDenied { name, operation, source: Box::new(error) };
        }
        match error {
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::PermissionDenied { name: name.to_owned(), operation, source: Box::new(error) }
            }
            _ => Self::from_cause(name, operation, Box::new(error)),
        }
    }

    pub(crate) fn from_io(name: &str, operation: &'static str, error: io::Error) -> Self {
        Self::from_cause(name, operation, Box::new(error))
    }

    fn from_cause(name: &str, operation: &'static str, source: Cause) -> Self {
        use io::ErrorKind as K;
        let name = name.to_owned();
        match io_kind(source.as_ref()) {
            Some(K::StorageFull | K::QuotaExceeded) => Self::NoSpace { name, source },
            Some(K::PermissionDenied | K::ReadOnlyFilesystem) => {
                Self::PermissionDenied { name, operation, source }
            }
            _ => Self::Failed { name, operation, source },
        }
    }

    /// Whether a write may have taken effect all the same.
    pub(crate) fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Unusable { .. }) && !self.is_unsupported()
    }

    /// Whether the store said that it cannot do this at all.
    pub(crate) fn is_unsupported(&self) -> bool {
        use object_store::Error as E;
        let Self::Failed { source, .. } = self else {
            return false;
        };
        matches!(source.downcast_ref(), Some(E::NotImplemented { .. } | E::NotSupported { .. }))
    }
}

/// The kind of the first operating system error in the chain of sources.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    match error.downcast_ref::<io::Error>() {
        Some(error) => Some(error.kind()),
        None => io_kind(error.source()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(code: i32) -> object_store::Error {
        let inner = object_store::Error::Generic {
            store: "inner",
            source: Box::new(io::Error::from_raw_os_error(code)),
        };
        object_store::Error::Generic { store: "outer", source: Box::new(inner) }
    }

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_apart_from_other_failures() {
        for code in [28, 122] {
            let error = StoreError::from_store("packs/ab/cd", "write", deep(code));
            assert!(matches!(error, StoreError::NoSpace { ref name, .. } if name == "packs/ab/cd"));
        }
        let error = StoreError::from_store("x", "write", deep(5));
        assert!(matches!(error, StoreError::Failed { operation: "write", .. }));
    }

    #[test]
    fn refusals_of_the_operating_system_are_permission_errors() {
        for code in [13, 1, 30] {
            let error = StoreError::from_store("x", "delete", deep(code));
            assert!(matches!(error, StoreError::PermissionDenied { operation: "delete", .. }));
        }
    }
}
