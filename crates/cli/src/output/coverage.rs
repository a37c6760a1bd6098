//! How much of a repository was checked, and when.

use std::time::Duration;

use nightjar_repository::coverage::{CoverageSummary, LevelCoverage};
use serde::Serialize;

use super::format::{self, count, percent, rfc3339, size};

/// The same for programs.
#[derive(Debug, Serialize)]
pub(crate) struct CoverageView {
    /// Packs at the level packs; those that were checked at the level data count.
    packs: LevelView,
    /// Packs at the level data.
    data: LevelView,
    /// Snapshots whose manifests were walked.
    snapshots: LevelView,
}

#[derive(Debug, Serialize)]
struct LevelView {
    total: u64,
    checked: u64,
    never_checked: u64,
    /// Of all of them, from 0 to 1; null where there is nothing.
    share: Option<f64>,
    bytes: u64,
    bytes_checked: u64,
    bytes_share: Option<f64>,
    oldest: Option<String>,
    oldest_age_seconds: Option<u64>,
    newest: Option<String>,
    newest_age_seconds: Option<u64>,
}

impl CoverageView {
    /// `now` in Unix nanoseconds.
    pub(crate) fn new(summary: &CoverageSummary, now: i64) -> Self {
        let view = |level: &LevelCoverage| LevelView {
            total: level.total,
            checked: level.checked,
            never_checked: level.never(),
            share: share(level.checked, level.total),
            bytes: level.bytes,
            bytes_checked: level.bytes_checked,
            bytes_share: share(level.bytes_checked, level.bytes),
            oldest: level.oldest.map(rfc3339),
            oldest_age_seconds: level.oldest.map(|time| age(time, now).as_secs()),
            newest: level.newest.map(rfc3339),
            newest_age_seconds: level.newest.map(|time| age(time, now).as_secs()),
        };
        Self {
            packs: view(&summary.packs),
            data: view(&summary.data),
            snapshots: view(&summary.snapshots),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is for people")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn age(time: i64, now: i64) -> Duration {
    Duration::from_nanos(u64::try_from(now.saturating_sub(time)).unwrap_or(0))
}

/// A line each of what was checked: a title, and what there is to say.
pub(crate) fn lines(summary: &CoverageSummary, now: i64) -> [(&'static str, String); 3] {
    let CoverageSummary { packs, data, snapshots } = summary;
    let share = |level: &LevelCoverage| {
        let share = percent(level.bytes_checked, level.bytes).unwrap_or_else(|| "0 %".to_owned());
        format!("{share} of {}", size(level.bytes))
    };
    let walked = |level: &LevelCoverage| {
        format!("{} of {}", level.checked, count(level.total, "snapshot", "snapshots"))
    };
    [
        ("packs checked", words(packs, now, share, ("pack", "packs"))),
        ("data checked", words(data, now, share, ("pack", "packs"))),
        ("walked", words(snapshots, now, walked, ("snapshot", "snapshots"))),
    ]
}

fn words(
    level: &LevelCoverage,
    now: i64,
    share: impl Fn(&LevelCoverage) -> String,
    (one, many): (&str, &str),
) -> String {
    let (Some(oldest), Some(newest)) = (level.oldest, level.newest) else {
        return if level.total == 0 { "nothing is there".to_owned() } else { "never".to_owned() };
    };
    let ago = |time| format!("{} ago", long(age(time, now)));
    let when = if ago(oldest) == ago(newest) {
        ago(newest)
    } else {
        format!("the oldest {}, the newest {}", ago(oldest), ago(newest))
    };
    let never = match level.never() {
        0 => String::new(),
        never => format!("; {} never", count(never, one, many)),
    };
    format!("{}, {when}{never}", share(level))
}

/// `3 days`, and what is shorter as everywhere.
fn long(age: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match age.as_secs() / DAY {
        0 | 1 => format::duration(age),
        days => count(days, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1_000_000_000;

    fn summary() -> CoverageSummary {
        let packs = LevelCoverage {
            total: 4,
            checked: 3,
            bytes: 400 << 20,
            bytes_checked: 300 << 20,
            oldest: Some(0),
            newest: Some(9 * DAY),
        };
        let snapshots = LevelCoverage { total: 2, ..LevelCoverage::default() };
        CoverageSummary { packs, data: LevelCoverage::default(), snapshots }
    }

    #[test]
    fn people_are_told_what_was_checked_when_and_what_never() {
        let [packs, data, walked] = lines(&summary(), 10 * DAY).map(|(_, words)| words);
        assert_eq!(
            packs,
            "75 % of 400.0 MiB, the oldest 10 days ago, the newest 24 h 0 min ago; 1 pack never"
        );
        assert_eq!((data.as_str(), walked.as_str()), ("nothing is there", "never"));
    }

    #[test]
    fn programs_are_told_shares_and_ages() {
        let view = serde_json::to_value(CoverageView::new(&summary(), 10 * DAY)).unwrap();
        assert_eq!(view["packs"]["bytes_share"], 0.75);
        assert_eq!(view["packs"]["never_checked"], 1);
        assert_eq!(view["packs"]["oldest_age_seconds"], 10 * 24 * 3600);
        assert_eq!(view["packs"]["oldest"], "1970-01-01T00:00:00Z");
        assert!(view["data"]["share"].is_null() && view["snapshots"]["oldest"].is_null());
    }
}
