//! What can go wrong, split by what the caller does next.

use nightjar_codec::CodecError;
use nightjar_format::{BlobId, FormatError, SessionId, SlotId};
use nightjar_storage::StoreError;
use thiserror::Error;

/// An operation on a repository failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// Nothing is there.
    #[error("there is no repository at {url}; `nightjar init` makes one")]
    NoRepository {
        /// Where it was looked for.
        url: String,
    },
    /// A replica that is not usable yet.
    #[error(
        "{url} is a replica whose first pass was never brought to an end; run `nightjar replicate` \
         again, which goes on where it stopped"
    )]
    UnfinishedReplica {
        /// Where it is.
        url: String,
    },
    /// Something is there already.
    #[error("{url} already holds {what}; nothing was changed")]
    AlreadyThere {
        /// Where.
        url: String,
        /// What.
        what: String,
    },
    /// No slot opens with what was given.
    #[error("wrong passphrase or key file: no slot of the repository opens with it")]
    WrongSecret,
    /// The slot has no keys for what is written now.
    #[error("this slot was removed: it has no keys of epoch {epoch}; use another slot")]
    RemovedSlot {
        /// The epoch that began without it.
        epoch: u32,
    },
    /// The slot was never made a member.
    #[error(
        "slot {slot} has no access: adding it was never finished, or whoever added it may not; \
         add it again with a full slot that works"
    )]
    NotAdmitted {
        /// Which.
        slot: SlotId,
    },
    /// A new epoch began since the repository was opened.
    #[error("the repository's keys were changed at this moment; run the command again")]
    KeysChanged,
    /// The slot's role forbids it.
    #[error("this slot has the role write, which may not {what}; use a full slot")]
    RoleForbids {
        /// What was tried.
        what: &'static str,
    },
    /// A collector ended this session.
    #[error(
        "session {session} was fenced ({reason}): another process took it for dead; \
         no snapshot was made, run the backup again"
    )]
    Fenced {
        /// Which.
        session: SessionId,
        /// What the fence says.
        reason: String,
    },
    /// The store did not say whether the snapshot was made.
    #[error(
        "the backup failed as it ended: whether snapshot {session} was made is open ({source}); \
         if `nightjar snapshot list` shows it, it is whole; otherwise run the backup again"
    )]
    CommitOpen {
        /// Which.
        session: SessionId,
        /// What the store said.
        source: StoreError,
    },
    /// An object is not what it should be.
    #[error("{object} is damaged: {why}")]
    Damaged {
        /// Its name.
        object: String,
        /// What was found.
        why: String,
    },
    /// A blob cannot be had.
    #[error("blob {} cannot be restored: {why}", .id)]
    LostBlob {
        /// Which.
        id: BlobId,
        /// What was tried.
        why: String,
    },
    /// The store shows an older or other state than was seen before.
    #[error("the store's history was altered: {0}")]
    Tampered(String),
    /// No snapshot is meant.
    #[error("{0}")]
    NoSuchSnapshot(String),
    /// Something else is under way that must end before.
    #[error("{0}")]
    Busy(String),
    /// The caller asked for something impossible.
    #[error("{0}")]
    Refused(String),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// The local index failed.
    #[error("the local index failed: {0}; `nightjar index rebuild` makes it anew")]
    LocalIndex(String),
    /// The local disk failed.
    #[error("{what}: {source}")]
    Local {
        /// What was being done to which file.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The source of a backup or the destination of a restore failed.
    #[error("{what}: {source}")]
    Stream {
        /// What was being read or written.
        what: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The program contradicts itself.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// The result of an operation on a repository.
pub type Result<T> = std::result::Result<T, RepositoryError>;

impl From<StoreError> for RepositoryError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoStore { url } => Self::NoRepository { url },
            StoreError::NotFound { name } => {
                Self::Damaged { object: name, why: "it is missing from the store".into() }
            }
            StoreError::Short { name, wanted, got } => Self::Damaged {
                object: name,
                why: format!("it is truncated: {got} bytes where {wanted} should be"),
            },
            StoreError::TooLarge { name, size, limit } => Self::Damaged {
                object: name,
                why: format!("it has {size} bytes, more than the {limit} it may have"),
            },
            other => Self::Store(other),
        }
    }
}

impl From<rocksdb::Error> for RepositoryError {
    fn from(error: rocksdb::Error) -> Self {
        Self::LocalIndex(error.into_string())
    }
}

impl RepositoryError {
    /// What the codec says about the object of this name.
    pub fn in_object(name: impl ToString, error: CodecError) -> Self {
        match error {
            CodecError::Refused(_) => Self::Refused(format!("{}: {error}", name.to_string())),
            CodecError::NoDataKey => Self::RoleForbids { what: "read the data of backups" },
            CodecError::WrongSecret => Self::WrongSecret,
            _ => Self::Damaged { object: name.to_string(), why: error.to_string() },
        }
    }

    /// What the format says about the object of this name.
    pub fn in_format(name: impl ToString, error: FormatError) -> Self {
        match error {
            FormatError::UnknownFeatures(_) => Self::Refused(error.to_string()),
            _ => Self::Damaged { object: name.to_string(), why: error.to_string() },
        }
    }

    /// Whether it means that stored data is damaged or missing.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::LostBlob { .. } | Self::Tampered(_))
    }

    /// Whether the opened slot may not do what was asked.
    pub(crate) fn is_role(&self) -> bool {
        matches!(self, Self::RoleForbids { .. })
    }
}

/// Adds what was being done to an I/O error of the local disk.
pub(crate) fn local(what: impl ToString) -> impl FnOnce(std::io::Error) -> RepositoryError {
    move |source| RepositoryError::Local { what: what.to_string(), source }
}
