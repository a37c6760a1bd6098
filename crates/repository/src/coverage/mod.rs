//! What was checked, how thoroughly, and when (format-spec, chapter 14).
//!
//! It is kept in the repository, so that runs of `snapshot verify` on any machine go on where others
//! ended. *Nothing rests on it*: it only says what is worth looking at first. Whoever reads it takes
//! the union of all objects that open; `tidy` keeps them few.

mod objects;
mod tidy;

use std::collections::{BTreeMap, HashMap};

use nightjar_format::check::{CheckRecord, PackCheck, SnapshotCheck};
use nightjar_format::{PackId, SessionId};

use crate::error::Result;
use crate::repository::Repository;
use crate::verify::Level;

pub(crate) use objects::Recorder;
pub(crate) use tidy::tidy;

/// When something was last checked, in Unix nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Times {
    packs: Option<i64>,
    data: Option<i64>,
}

impl Times {
    fn add(&mut self, other: Self) {
        self.packs = self.packs.max(other.packs);
        self.data = self.data.max(other.data);
    }

    /// A check at the level data is one at the level packs, too.
    fn at(self, level: Level) -> Option<i64> {
        match level {
            Level::Data => self.data,
            Level::Packs | Level::Presence => self.packs.max(self.data),
        }
    }
}

/// The union of what check objects say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Coverage {
    packs: HashMap<PackId, Times>,
    snapshots: HashMap<SessionId, i64>,
}

impl Coverage {
    /// Reads all objects that open. Times in the future count for nothing.
    pub(crate) fn read(repository: &Repository) -> Result<Self> {
        let now = repository.environment.clock.now();
        let mut coverage = Self::default();
        for object in objects::read_all(repository)? {
            coverage.add(&object.record.unwrap_or_default(), now);
        }
        Ok(coverage)
    }

    /// Takes in what a record says.
    pub(crate) fn add(&mut self, record: &CheckRecord, now: i64) {
        let past = |time: Option<i64>| time.filter(|time| *time <= now);
        for it in &record.packs {
            let times = Times { packs: past(it.packs), data: past(it.data) };
            if times != Times::default() {
                self.packs.entry(it.pack).or_default().add(times);
            }
        }
        for it in record.snapshots.iter().filter(|it| it.walked <= now) {
            let walked = self.snapshots.entry(it.snapshot).or_insert(it.walked);
            *walked = (*walked).max(it.walked);
        }
    }

    /// When a pack was last checked at a level.
    pub(crate) fn pack(&self, id: &PackId, level: Level) -> Option<i64> {
        self.packs.get(id).and_then(|times| times.at(level))
    }

    /// When a snapshot was last walked.
    pub(crate) fn snapshot(&self, id: &SessionId) -> Option<i64> {
        self.snapshots.get(id).copied()
    }

    /// As records say it, of what is still there.
    fn to_records(
        &self,
        is_pack: impl Fn(&PackId) -> bool,
        is_snapshot: impl Fn(&SessionId) -> bool,
    ) -> Vec<CheckRecord> {
        let packs: BTreeMap<PackId, Times> =
            self.packs.iter().filter(|(id, _)| is_pack(id)).map(|(id, at)| (*id, *at)).collect();
        let snapshots: BTreeMap<SessionId, i64> = self
            .snapshots
            .iter()
            .filter(|(id, _)| is_snapshot(id))
            .map(|(id, at)| (*id, *at))
            .collect();
        let packs = packs.into_iter().map(|(pack, Times { packs, data })| PackCheck {
            pack,
            packs: packs.filter(|packs| Some(*packs) > data),
            data,
        });
        let snapshots =
            snapshots.into_iter().map(|(snapshot, walked)| SnapshotCheck { snapshot, walked });
        objects::cut(packs.collect(), snapshots.collect())
    }
}

/// How much of something was checked at one level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LevelCoverage {
    /// How many there are.
    pub total: u64,
    /// How many of them were ever checked.
    pub checked: u64,
    /// Their bytes: of packs in the store, of snapshots at their sources.
    pub bytes: u64,
    /// Those of what was ever checked.
    pub bytes_checked: u64,
    /// The check that is longest ago of those that are the last of their kind, in Unix nanoseconds.
    pub oldest: Option<i64>,
    /// The most recent one.
    pub newest: Option<i64>,
}

impl LevelCoverage {
    /// How many were never checked.
    pub fn never(&self) -> u64 {
        self.total.saturating_sub(self.checked)
    }

    fn add(&mut self, bytes: u64, last: Option<i64>) {
        self.total += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        let Some(last) = last else { return };
        self.checked += 1;
        self.bytes_checked = self.bytes_checked.saturating_add(bytes);
        self.oldest = Some(self.oldest.map_or(last, |oldest| oldest.min(last)));
        self.newest = self.newest.max(Some(last));
    }
}

/// How much was ever checked, level by level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoverageSummary {
    /// Packs at the level packs; those checked at the level data count.
    pub packs: LevelCoverage,
    /// Packs at the level data.
    pub data: LevelCoverage,
    /// Snapshots that were walked.
    pub snapshots: LevelCoverage,
}

impl Coverage {
    /// How much of these packs and snapshots, given with their bytes, was ever checked.
    pub(crate) fn summary(
        &self,
        packs: impl Iterator<Item = (PackId, u64)>,
        snapshots: impl Iterator<Item = (SessionId, u64)>,
    ) -> CoverageSummary {
        let mut summary = CoverageSummary::default();
        for (id, bytes) in packs {
            summary.packs.add(bytes, self.pack(&id, Level::Packs));
            summary.data.add(bytes, self.pack(&id, Level::Data));
        }
        for (id, bytes) in snapshots {
            summary.snapshots.add(bytes, self.snapshot(&id));
        }
        summary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: PackId = PackId([1; 32]);
    const OTHER: PackId = PackId([2; 32]);

    fn record(pack: PackId, packs: Option<i64>, data: Option<i64>) -> CheckRecord {
        CheckRecord { packs: vec![PackCheck { pack, packs, data }], snapshots: vec![] }
    }

    #[test]
    fn the_latest_time_of_each_level_counts_and_data_counts_for_packs() {
        let mut coverage = Coverage::default();
        for (packs, data) in [(None, Some(5)), (Some(7), None), (Some(4), Some(3))] {
            coverage.add(&record(PACK, packs, data), 100);
        }
        assert_eq!(coverage.pack(&PACK, Level::Packs), Some(7));
        assert_eq!(coverage.pack(&PACK, Level::Data), Some(5));
        coverage.add(&record(PACK, None, Some(9)), 100);
        assert_eq!(coverage.pack(&PACK, Level::Packs), Some(9));
        assert_eq!(coverage.pack(&OTHER, Level::Packs), None);
    }

    #[test]
    fn a_clock_that_was_wrong_postpones_nothing() {
        let mut coverage = Coverage::default();
        let snapshot = SnapshotCheck { snapshot: SessionId([1; 16]), walked: 101 };
        let record = CheckRecord { snapshots: vec![snapshot], ..record(PACK, None, Some(101)) };
        coverage.add(&record, 100);
        assert_eq!(coverage.pack(&PACK, Level::Packs), None);
        assert_eq!(coverage.snapshot(&SessionId([1; 16])), None);
        coverage.add(&record, 101);
        assert_eq!(coverage.pack(&PACK, Level::Packs), Some(101));
    }

    #[test]
    fn what_is_written_is_valid_and_leaves_out_what_is_gone() {
        let mut coverage = Coverage::default();
        coverage.add(&record(PACK, Some(3), None), 100);
        coverage.add(&record(PACK, None, Some(3)), 100);
        coverage.add(&record(OTHER, Some(4), Some(2)), 100);
        let all = coverage.to_records(|_| true, |_| true);
        let expected = CheckRecord {
            packs: vec![
                PackCheck { pack: PACK, packs: None, data: Some(3) },
                PackCheck { pack: OTHER, packs: Some(4), data: Some(2) },
            ],
            snapshots: vec![],
        };
        assert_eq!(all, [expected]);
        let left = coverage.to_records(|id| *id == OTHER, |_| true);
        assert_eq!(left.iter().map(|it| it.packs.len()).sum::<usize>(), 1);
        assert!(coverage.to_records(|_| false, |_| true).is_empty());
    }

    #[test]
    fn a_summary_counts_what_was_never_checked() {
        let mut coverage = Coverage::default();
        coverage.add(&record(PACK, Some(3), None), 100);
        let summary = coverage.summary([(PACK, 10), (OTHER, 30)].into_iter(), [].into_iter());
        assert_eq!((summary.packs.never(), summary.data.never()), (1, 2));
        assert_eq!((summary.packs.bytes_checked, summary.packs.bytes), (10, 40));
        assert_eq!((summary.packs.oldest, summary.data.oldest), (Some(3), None));
    }
}
