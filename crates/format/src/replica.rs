//! The plain object that marks a replica (format-spec, chapter 15).

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, IncarnationId};
use crate::record::{self, Record};
use crate::{FormatError, limits};

const MAGIC: &[u8; 4] = b"NJC1";

/// Which repository a replica is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaRecord {
    /// BLAKE3 of its `repository` object.
    pub repository_hash: Digest,
    /// Random: the incarnation that begins if it is promoted.
    pub incarnation: IncarnationId,
}

impl Record for ReplicaRecord {
    const NAME: &'static str = "replica object";
    const LIMIT_BYTES: usize = limits::PLAIN_OBJECT_BYTES;
}

impl ReplicaRecord {
    /// The whole object.
    pub fn to_object(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &record::encode(self)].concat()
    }

    /// Reads the object.
    pub fn from_object(object: &[u8]) -> Result<Self, FormatError> {
        let body = object
            .strip_prefix(MAGIC)
            .ok_or(FormatError::malformed(Self::NAME, "it does not begin with its magic"))?;
        record::decode(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_those_of_the_specification() {
        let (repository_hash, incarnation) = (Digest([7; 32]), IncarnationId([8; 8]));
        let record = ReplicaRecord { repository_hash, incarnation };
        let object = [b"NJC1\x01".as_slice(), &[7; 32], &[8; 8]].concat();
        assert_eq!(record.to_object(), object);
        assert_eq!(ReplicaRecord::from_object(&object), Ok(record));
        let longer = [object.as_slice(), &[0]].concat();
        for bad in [&object[1..], &object[..44], &longer, b"NJC1\x02", b""] {
            assert!(ReplicaRecord::from_object(bad).is_err(), "{bad:?}");
        }
    }
}
