//! Check objects: what was checked, and when (format-spec, chapter 14).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::ids::{PackId, SessionId};
use crate::limits;
use crate::record::{Record, strictly_sorted};

/// The record of a check object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRecord {
    /// Packs that were sound, sorted.
    pub packs: Vec<PackCheck>,
    /// Snapshots that were walked and lacked nothing, sorted.
    pub snapshots: Vec<SnapshotCheck>,
}

/// When a pack was checked, in Unix nanoseconds: at least one of the two times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackCheck {
    /// Which.
    pub pack: PackId,
    /// Its bytes were compared with its id, later than its blobs were decoded.
    pub packs: Option<i64>,
    /// Its blobs were decoded, too.
    pub data: Option<i64>,
}

/// When a snapshot was walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotCheck {
    /// Which.
    pub snapshot: SessionId,
    /// Unix nanoseconds.
    pub walked: i64,
}

impl Record for CheckRecord {
    const NAME: &'static str = "check object";
    const LIMIT_BYTES: usize = limits::CHECK_RECORD_BYTES;

    fn validate(&self) -> Result<(), FormatError> {
        let malformed = |why| Err(FormatError::malformed(Self::NAME, why));
        if self.packs.len().saturating_add(self.snapshots.len()) > limits::CHECK_ENTRIES {
            return malformed("it names too much");
        }
        if !strictly_sorted(&self.packs, |it| it.pack)
            || !strictly_sorted(&self.snapshots, |it| it.snapshot)
        {
            return malformed("its lists are not sorted");
        }
        let says_something = |it: &PackCheck| match (it.packs, it.data) {
            (None, None) => false,
            (Some(packs), Some(data)) => packs > data,
            _ => true,
        };
        if !self.packs.iter().all(says_something) {
            return malformed("a time of a pack says nothing");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    fn pack(number: u8, packs: Option<i64>, data: Option<i64>) -> PackCheck {
        PackCheck { pack: PackId([number; 32]), packs, data }
    }

    fn snapshot(number: u8) -> SnapshotCheck {
        SnapshotCheck { snapshot: SessionId([number; 16]), walked: 1 }
    }

    fn is_accepted(record: &CheckRecord) -> bool {
        let bytes = record::encode(record);
        let decoded = record::decode::<CheckRecord>(&bytes);
        assert!(decoded.as_ref().is_err() || decoded.as_ref() == Ok(record));
        assert!(record::decode::<CheckRecord>(&[bytes.as_slice(), b"x"].concat()).is_err());
        decoded.is_ok()
    }

    #[test]
    fn a_check_gives_back_what_it_was_told_and_nothing_twice() {
        let packs = vec![pack(1, Some(5), None), pack(2, Some(5), Some(4)), pack(3, None, Some(0))];
        let snapshots = vec![snapshot(1), snapshot(2)];
        let record = CheckRecord { packs, snapshots };
        assert!(is_accepted(&record) && is_accepted(&CheckRecord::default()));
        let twice = vec![snapshot(1), snapshot(1)];
        assert!(!is_accepted(&CheckRecord { snapshots: twice, ..record.clone() }));
        let mut unsorted = record.packs.clone();
        unsorted.swap(0, 1);
        assert!(!is_accepted(&CheckRecord { packs: unsorted, ..record }));
    }

    #[test]
    fn a_time_that_says_nothing_is_refused() {
        for (packs, data) in [(None, None), (Some(4), Some(4)), (Some(3), Some(4))] {
            let packs = vec![pack(1, packs, data)];
            assert!(!is_accepted(&CheckRecord { packs, snapshots: vec![] }));
        }
    }

    #[test]
    fn a_check_is_bounded() {
        let snapshots = (0..=limits::CHECK_ENTRIES as u128)
            .map(|number| SnapshotCheck { snapshot: SessionId(number.to_be_bytes()), walked: 0 });
        let mut record = CheckRecord { packs: vec![], snapshots: snapshots.collect() };
        assert!(record.validate().is_err());
        record.snapshots.pop();
        assert!(record.validate().is_ok());
    }
}
