//! Moments: a date, a time, or so long from now.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use nightjar_repository::retention::Reach;

/// A moment as it was written.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    /// The end of this day.
    Day(Date),
    /// By the clocks of some zone.
    Civil(DateTime),
    /// By all clocks.
    Instant(Timestamp),
    /// So long from now.
    After(Reach),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // What ends with an offset is no civil time: that would drop it.
        text.parse()
            .map(Self::Instant)
            .or_else(|_| Date::strptime("%Y-%m-%d", text).map(Self::Day))
            .or_else(|_| text.parse().map(Self::Civil))
            .map_err(drop)
            .or_else(|()| text.parse().map(Self::After))
            .map_err(|_: String| {
                "expected a date such as 2026-12-31, a time such as 2026-12-31T18:00, or a stretch \
                 of time such as 90d"
                    .to_owned()
            })
    }
}

impl Moment {
    /// When that is, in Unix nanoseconds, by the clocks of `zone` and counted from `now`.
    pub(crate) fn nanos(&self, zone: &TimeZone, now: i64) -> Result<i64, String> {
        let far = |_| "that lies beyond the calendar".to_owned();
        let time = match self {
            Self::Instant(time) => *time,
            Self::Civil(time) => zone.to_timestamp(*time).map_err(far)?,
            Self::Day(date) => {
                let next = date.checked_add(Span::new().days(1)).map_err(far)?;
                zone.to_timestamp(next.to_datetime(jiff::civil::Time::midnight())).map_err(far)?
            }
            Self::After(reach) => {
                let now = Timestamp::from_nanosecond(now.into()).map_err(far)?;
                let then = now.to_zoned(zone.clone()).checked_add(reach.span()).map_err(far)?;
                then.timestamp()
            }
        };
        i64::try_from(time.as_nanosecond()).map_err(|_| "that lies beyond the year 2262".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_may_be_written_in_several_ways() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            // A day is over when the next one begins.
            ("2026-03-31", "2026-03-31T22:00:00Z"),
            ("2026-03-31T18:00", "2026-03-31T16:00:00Z"),
            ("2026-03-31 18:00:30", "2026-03-31T16:00:30Z"),
            ("2026-03-31T18:00:00Z", "2026-03-31T18:00:00Z"),
            ("2026-03-31T18:00:00+01:00", "2026-03-31T17:00:00Z"),
            ("30d", "2026-03-31T12:00:00Z"),
            ("6mo", "2026-09-01T12:00:00Z"),
            ("12h", "2026-03-02T00:00:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            let expected: Timestamp = expected.parse().unwrap();
            let nanos = moment.nanos(&zone, now.as_nanosecond().try_into().unwrap()).unwrap();
            assert_eq!(i128::from(nanos), expected.as_nanosecond(), "{text}");
        }
        for text in ["", "tomorrow", "2026-13-01", "2026-02-30", "30", "-30d", "6m"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        let far: Moment = "9999-12-31".parse().unwrap();
        assert!(far.nanos(&zone, 0).is_err());
    }
}
