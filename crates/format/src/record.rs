//! Records: postcard structures with a version byte in front.
//!
//! One encoding per value: [`decode`] encodes what it has read again and rejects bytes that
//! differ, so overlong varints and other second spellings never get in.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::FormatError;
use crate::limits;

/// The version in front of every record of format 1.
pub const VERSION: u8 = 1;

/// A structure that stands in an object by itself.
pub trait Record: Serialize + DeserializeOwned {
    /// What errors call it.
    const NAME: &'static str;
    /// The most bytes its encoding may take.
    const LIMIT_BYTES: usize = limits::RECORD_BYTES;

    /// Rules that types cannot express.
    fn validate(&self) -> Result<(), FormatError> {
        Ok(())
    }
}

/// Encodes a record, version first.
pub fn encode<R: Record>(record: &R) -> Vec<u8> {
    // Serialising plain data to a growing vector has no way to fail.
    postcard::to_extend(record, vec![VERSION]).unwrap_or_default()
}

/// Decodes a record and checks its rules.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, FormatError> {
    let what = R::NAME;
    if bytes.len() > R::LIMIT_BYTES {
        return Err(FormatError::TooLarge {
            what,
            size: bytes.len() as u64,
            limit: R::LIMIT_BYTES as u64,
        });
    }
    let (version, body) = bytes.split_first().ok_or(FormatError::malformed(what, "it is empty"))?;
    if *version != VERSION {
        return Err(FormatError::UnknownVersion { what, version: *version });
    }
    let (record, rest) = postcard::take_from_bytes::<R>(body)
        .map_err(|_| FormatError::malformed(what, "it does not decode"))?;
    if !rest.is_empty() {
        return Err(FormatError::malformed(what, "bytes follow its end"));
    }
    record.validate()?;
    if encode(&record) != bytes {
        return Err(FormatError::malformed(what, "it is not in its canonical encoding"));
    }
    Ok(record)
}

/// Whether `items` are sorted by `key`, without repetition.
pub(crate) fn strictly_sorted<'a, T, K: Ord>(items: &'a [T], key: impl Fn(&'a T) -> K) -> bool {
    items.is_sorted_by(|a, b| key(a) < key(b))
}
