//! Why bytes could not be opened or made.

use nightjar_format::{FormatError, SlotId};
use thiserror::Error;

/// What went wrong. The caller knows the object and adds its name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The bytes do not follow the format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The bytes were altered, or sealed under another key or name.
    #[error("{what} is damaged: it does not authenticate")]
    NotAuthentic {
        /// What was opened.
        what: &'static str,
    },
    /// A blob's plaintext is not what its id promises.
    #[error("its content does not match its id")]
    WrongContent,
    /// A payload does not decompress to its length.
    #[error("its payload does not decompress: {0}")]
    NotDecodable(&'static str),
    /// The passphrase or key file is wrong.
    #[error("wrong passphrase or key file")]
    WrongSecret,
    /// Somebody signed who may not.
    #[error("slot {} signed it, which is not a member that may", .0.short())]
    UntrustedSigner(SlotId),
    /// The keys of this epoch are not in the keyring.
    #[error("it is sealed under epoch {0}, whose keys this slot does not have")]
    UnknownEpoch(u32),
    /// This slot cannot read data packs.
    #[error("this slot has the role write: it cannot read the data of backups")]
    NoDataKey,
    /// A library refused its parameters.
    #[error("{0}")]
    Refused(&'static str),
}
