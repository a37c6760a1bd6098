//! Hours, days, weeks, months and years, as a wall calendar in one time zone has them.
//!
//! A day has 23 or 25 hours where clocks are changed, and an hour that comes twice is two hours.
//! Weeks are those of ISO 8601: they begin on Monday, and belong to the year of their Thursday.

use std::fmt;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::policy::Reach;

/// What snapshots are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// An hour of a day.
    Hour,
    /// A calendar day.
    Day,
    /// A week of ISO 8601.
    Week,
    /// A month of a year.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// From the shortest to the longest.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The rule that keeps one snapshot of each.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Hour => "keep-hourly",
            Self::Day => "keep-daily",
            Self::Week => "keep-weekly",
            Self::Month => "keep-monthly",
            Self::Year => "keep-yearly",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        })
    }
}

/// One hour, day, week, month or year: `2026-03-29T02+02:00`, `2026-03-29`, `2026-W13`, `2026-03`,
/// `2026`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(String);

impl Bucket {
    /// The one in which a time lies, given in Unix nanoseconds.
    pub fn of(period: Period, nanos: i64, zone: &TimeZone) -> Self {
        let time = zoned(nanos, zone);
        Self(match period {
            // With the offset from UTC: the hour that comes twice is two.
            Period::Hour => time.strftime("%Y-%m-%dT%H%:z").to_string(),
            Period::Day => time.date().to_string(),
            Period::Week => {
                let week = time.date().iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Period::Month => time.strftime("%Y-%m").to_string(),
            Period::Year => time.strftime("%Y").to_string(),
        })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The time that lies so far back, in Unix nanoseconds.
pub fn back_from(nanos: i64, reach: &Reach, zone: &TimeZone) -> i64 {
    // Beyond the calendar's beginning there are no snapshots.
    let limit = zoned(nanos, zone).checked_sub(reach.0).ok();
    limit
        .and_then(|limit| i64::try_from(limit.timestamp().as_nanosecond()).ok())
        .unwrap_or(i64::MIN)
}

/// A time as the clocks of the zone show it.
fn zoned(nanos: i64, zone: &TimeZone) -> Zoned {
    // Nanoseconds in 64 bits go from 1677 to 2262, and the calendar further.
    let time = Timestamp::from_nanosecond(nanos.into()).unwrap_or_default();
    time.to_zoned(zone.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn nanos(text: &str) -> i64 {
        let time: Timestamp = text.parse().unwrap();
        time.as_nanosecond().try_into().unwrap()
    }

    fn bucket(period: Period, text: &str, zone: &TimeZone) -> String {
        Bucket::of(period, nanos(text), zone).to_string()
    }

    #[test]
    fn a_time_lies_in_the_day_that_the_zones_clocks_show() {
        let late = "2025-12-31T23:30:00Z";
        assert_eq!(bucket(Period::Day, late, &TimeZone::UTC), "2025-12-31");
        assert_eq!(bucket(Period::Day, late, &berlin()), "2026-01-01");
        assert_eq!(bucket(Period::Month, late, &berlin()), "2026-01");
        assert_eq!(bucket(Period::Year, late, &berlin()), "2026");
        let far = TimeZone::fixed(jiff::tz::offset(-11));
        assert_eq!(bucket(Period::Day, "2026-03-01T10:59:59Z", &far), "2026-02-28");
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_hours() {
        // Clocks go from 03:00 back to 02:00 at 01:00 UTC.
        let zone = berlin();
        let first = bucket(Period::Hour, "2026-10-25T00:30:00Z", &zone);
        let second = bucket(Period::Hour, "2026-10-25T01:30:00Z", &zone);
        assert_eq!(first, "2026-10-25T02+02:00");
        assert_eq!(second, "2026-10-25T02+01:00");
        assert_eq!(bucket(Period::Day, "2026-10-24T22:00:00Z", &zone), "2026-10-25");
        assert_eq!(bucket(Period::Day, "2026-10-25T22:59:59Z", &zone), "2026-10-25");
    }

    #[test]
    fn a_day_is_as_long_as_the_clocks_make_it() {
        // From 02:00 clocks go to 03:00: that day had 23 hours.
        let zone = berlin();
        let day: Reach = "1d".parse().unwrap();
        let hours: Reach = "24h".parse().unwrap();
        let noon = nanos("2026-03-29T10:00:00Z");
        assert_eq!(back_from(noon, &day, &zone), nanos("2026-03-28T11:00:00Z"));
        assert_eq!(back_from(noon, &hours, &zone), nanos("2026-03-28T10:00:00Z"));
        // What clocks leapt over: the day before, at the moment after the gap.
        let gap = nanos("2026-03-30T00:30:00Z");
        assert_eq!(back_from(gap, &day, &zone), nanos("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn weeks_are_those_of_iso_8601() {
        for (time, week) in [
            // A Sunday, and the Monday after it.
            ("2026-03-29T12:00:00Z", "2026-W13"),
            ("2026-03-30T12:00:00Z", "2026-W14"),
            // Of the year of their Thursday.
            ("2025-12-29T12:00:00Z", "2026-W01"),
            ("2027-01-03T12:00:00Z", "2026-W53"),
            ("2021-01-03T12:00:00Z", "2020-W53"),
            ("2024-12-30T12:00:00Z", "2025-W01"),
        ] {
            assert_eq!(bucket(Period::Week, time, &TimeZone::UTC), week, "{time}");
        }
    }

    #[test]
    fn months_and_years_differ_in_length() {
        let back = |from: &str, reach: &str| {
            back_from(nanos(from), &reach.parse().unwrap(), &TimeZone::UTC)
        };
        assert_eq!(back("2024-03-31T03:00:00Z", "1mo"), nanos("2024-02-29T03:00:00Z"));
        assert_eq!(back("2023-03-31T03:00:00Z", "1mo"), nanos("2023-02-28T03:00:00Z"));
        assert_eq!(back("2024-02-29T03:00:00Z", "1y"), nanos("2023-02-28T03:00:00Z"));
        assert_eq!(back("2028-02-29T03:00:00Z", "4y"), nanos("2024-02-29T03:00:00Z"));
        assert_eq!(back("2026-01-01T00:00:00Z", "9000y"), i64::MIN);
    }

    #[test]
    fn every_time_that_a_record_can_claim_has_its_place() {
        for nanos in [i64::MIN, -1, 0, i64::MAX] {
            for period in Period::ALL {
                assert!(!Bucket::of(period, nanos, &berlin()).to_string().is_empty());
            }
            back_from(nanos, &"7y".parse().unwrap(), &berlin());
        }
    }
}
