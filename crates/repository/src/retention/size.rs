//! Snapshots that are much smaller than those before them.
//!
//! Each is compared with the median of the ten before it. Those that are out of line do not count
//! for the next ones, or a week of truncated dumps would become the usual. Somebody who looks and
//! finds the sizes right says so up to some snapshot: comparisons begin anew from there.

use std::collections::VecDeque;

use nightjar_format::SessionId;

use crate::snapshots::SnapshotInfo;

/// So many are what is usual.
const COMPARED: usize = 10;

/// A snapshot that is out of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfLine {
    /// Which.
    pub id: SessionId,
    /// The bytes of its files.
    pub bytes: u64,
    /// The median of those before it.
    pub usual: u64,
}

/// The snapshots, given from the oldest to the newest, that are smaller than usual by more than so
/// many per cent; up to the start `accepted` somebody has looked.
pub(super) fn out_of_line(
    snapshots: &[&SnapshotInfo],
    drop_percent: u8,
    accepted: Option<i64>,
) -> Vec<OutOfLine> {
    let mut found = Vec::new();
    if drop_percent == 0 {
        return found;
    }
    let mut before: VecDeque<u64> = VecDeque::new();
    for info in snapshots {
        let bytes = info.snapshot.counts.bytes();
        match accepted {
            Some(up_to) if info.snapshot.started <= up_to => before.clear(),
            _ => {
                if let Some(usual) = median(&before)
                    && is_drop(bytes, usual, drop_percent)
                {
                    found.push(OutOfLine { id: info.id, bytes, usual });
                    continue;
                }
            }
        }
        before.push_back(bytes);
        if before.len() > COMPARED {
            before.pop_front();
        }
    }
    found
}

fn is_drop(bytes: u64, usual: u64, percent: u8) -> bool {
    let left = 100u128.saturating_sub(percent.into());
    u128::from(bytes) * 100 < u128::from(usual) * left
}

/// The middle one; of two in the middle the smaller.
fn median(sizes: &VecDeque<u64>) -> Option<u64> {
    let mut sorted: Vec<u64> = sizes.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}
