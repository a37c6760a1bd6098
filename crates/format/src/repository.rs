//! The plain `repository` object (format-spec, chapter 1).

use serde::{Deserialize, Serialize};

use crate::ids::{IncarnationId, RepositoryId};
use crate::record::{self, Record, strictly_sorted};
use crate::{FormatError, limits};

const MAGIC: &[u8; 4] = b"NJR1";

/// Features this program knows; a repository may require no others.
const KNOWN_FEATURES: &[&str] = &[];

/// What everybody may know about a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRecord {
    /// Features without which a reader must not open it.
    pub required_features: Vec<String>,
    /// Features that a reader may ignore.
    pub optional_features: Vec<String>,
    /// Random.
    pub repository_id: RepositoryId,
    /// How streams are cut.
    pub chunker: ChunkerParameters,
    /// A pack is closed when it holds this many bytes.
    pub pack_target_bytes: u32,
    /// The store was seen to honour create-if-absent.
    pub conditional_create: bool,
    /// The ledger's first incarnation.
    pub incarnation: IncarnationId,
}

/// Chunk sizes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerParameters {
    /// No chunk but a stream's last is smaller.
    pub min: u32,
    /// What the cut rule aims at.
    pub average: u32,
    /// No chunk is larger.
    pub max: u32,
}

impl Default for ChunkerParameters {
    /// 16, 64 and 256 KiB: small, because a dump's changes are small and scattered.
    fn default() -> Self {
        Self { min: 16 << 10, average: 64 << 10, max: 256 << 10 }
    }
}

impl ChunkerParameters {
    /// Checks the bounds of format-spec, chapter 9; the chunker itself only debug-asserts.
    pub fn validate(&self) -> Result<(), FormatError> {
        let Self { min, average, max } = *self;
        let even = [min, average, max].iter().all(|size| size.is_multiple_of(2));
        let ordered = min <= average / 2 && average <= max / 2;
        let bounded = min >= 1 << 10
            && (4 << 10..=4 << 20).contains(&average)
            && max as usize <= limits::BLOB_BYTES;
        if even && ordered && bounded && average.is_power_of_two() {
            Ok(())
        } else {
            Err(FormatError::malformed("repository object", "its chunk sizes are out of bounds"))
        }
    }
}

impl Record for RepositoryRecord {
    const NAME: &'static str = "repository object";
    const LIMIT_BYTES: usize = limits::PLAIN_OBJECT_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        self.chunker.validate()?;
        if !limits::PACK_TARGET_BYTES.contains(&self.pack_target_bytes) {
            return Err(FormatError::malformed(Self::NAME, "its pack target is out of bounds"));
        }
        let features = [&self.required_features, &self.optional_features];
        if features.iter().any(|names| !strictly_sorted(names, |name| name.as_str())) {
            return Err(FormatError::malformed(Self::NAME, "its features are not sorted"));
        }
        Ok(())
    }
}

impl RepositoryRecord {
    /// The whole object.
    pub fn to_object(&self) -> Vec<u8> {
        [MAGIC.as_slice(), &record::encode(self)].concat()
    }

    /// Reads the object; refuses features it does not know, by name.
    pub fn from_object(object: &[u8]) -> Result<Self, FormatError> {
        let body = object
            .strip_prefix(MAGIC)
            .ok_or(FormatError::malformed(Self::NAME, "it does not begin with its magic"))?;
        let record: Self = record::decode(body)?;
        let unknown: Vec<String> = record
            .required_features
            .iter()
            .filter(|name| !KNOWN_FEATURES.contains(&name.as_str()))
            .cloned()
            .collect();
        if unknown.is_empty() { Ok(record) } else { Err(FormatError::UnknownFeatures(unknown)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> RepositoryRecord {
        RepositoryRecord {
            required_features: vec![],
            optional_features: vec![],
            repository_id: RepositoryId([1; 16]),
            chunker: ChunkerParameters::default(),
            pack_target_bytes: 16 << 20,
            conditional_create: true,
            incarnation: IncarnationId([2; 8]),
        }
    }

    #[test]
    fn an_unknown_required_feature_is_refused_by_name() {
        let record = RepositoryRecord { required_features: vec!["time-travel".into()], ..sample() };
        let error = RepositoryRecord::from_object(&record.to_object()).unwrap_err();
        assert!(error.to_string().contains("time-travel"), "{error}");
    }

    #[test]
    fn an_unknown_optional_feature_is_ignored() {
        let record = RepositoryRecord { optional_features: vec!["hat".into()], ..sample() };
        assert_eq!(RepositoryRecord::from_object(&record.to_object()), Ok(record));
    }

    #[test]
    fn chunk_sizes_out_of_bounds_are_refused() {
        for (min, average, max) in [
            (0, 64 << 10, 256 << 10),
            (16 << 10, 60_000, 256 << 10),
            (48 << 10, 64 << 10, 256 << 10),
            (16 << 10, 64 << 10, 64 << 10),
            (16 << 10, 64 << 10, 1 << 30),
            (16_385, 64 << 10, 256 << 10),
        ] {
            let chunker = ChunkerParameters { min, average, max };
            assert!(chunker.validate().is_err(), "{chunker:?}");
        }
    }
}
