//! Numbers, times and names as people read them.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `12.3 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// `1,234,567`.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub(crate) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Bytes per second, or nothing where the time was too short to tell.
pub(crate) fn rate(bytes: u64, duration: Duration) -> Option<String> {
    let millis = u64::try_from(duration.as_millis()).ok().filter(|millis| *millis >= 100)?;
    Some(format!("{}/s", size(bytes.saturating_mul(1000) / millis)))
}

/// Part of a whole in percent, with the digits that matter.
#[expect(clippy::cast_precision_loss, reason = "people read three digits")]
pub(crate) fn percent(part: u64, whole: u64) -> Option<String> {
    let percent = (whole > 0).then(|| part as f64 * 100.0 / whole as f64)?;
    Some(match percent {
        0.0 => "0 %".to_owned(),
        ..0.001 => "less than 0.001 %".to_owned(),
        ..0.1 => format!("{percent:.3} %"),
        ..10.0 => format!("{percent:.2} %"),
        _ => format!("{percent:.0} %"),
    })
}

/// Local time, for people.
pub(crate) fn local_time(nanos: impl Into<i128>) -> String {
    time_in(nanos, &TimeZone::system())
}

/// The time that clocks of a zone show.
pub(crate) fn time_in(nanos: impl Into<i128>, zone: &TimeZone) -> String {
    let nanos = nanos.into();
    Timestamp::from_nanosecond(nanos).map_or_else(
        |_| nanos.to_string(),
        |time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

/// RFC 3339 in UTC, for programs.
pub(crate) fn rfc3339(nanos: impl Into<i128>) -> String {
    let nanos = nanos.into();
    Timestamp::from_nanosecond(nanos).map_or_else(|_| nanos.to_string(), |time| time.to_string())
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(time: &nightjar_format::manifest::Timestamp) -> i128 {
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds)
}

/// Text from a repository on a terminal: control characters would do things there.
pub(crate) fn printable(text: &str) -> String {
    let escape = |c: char| {
        if c.is_control() { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(escape).collect()
}

/// The same for text of several lines.
pub(crate) fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A path in a snapshot on a terminal; what is not UTF-8 shows as a replacement character.
pub(crate) fn path(path: &[u8]) -> String {
    printable(&String::from_utf8_lossy(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_count_in_1024() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_900_000, "12.3 MiB"),
            (1_910_000_000, "1.8 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!(number(7), "7");
        assert_eq!(number(1234), "1,234");
        assert_eq!(number(1_234_567), "1,234,567");
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(0, "file", "files"), "0 files");
    }

    #[test]
    fn durations_have_the_digits_that_matter() {
        for (millis, text) in
            [(432, "0.4 s"), (12_345, "12 s"), (200_000, "3 min 20 s"), (7_500_000, "2 h 5 min")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn shares_do_not_round_to_nothing() {
        assert_eq!(percent(1, 0), None);
        assert_eq!(percent(0, 7).unwrap(), "0 %");
        assert_eq!(percent(1, 1_000_000_000).unwrap(), "less than 0.001 %");
        assert_eq!(percent(7, 10_000).unwrap(), "0.070 %");
        assert_eq!(percent(1, 3).unwrap(), "33 %");
    }

    #[test]
    fn times_for_programs_are_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_500_000_000), "1970-01-01T00:00:01.5Z");
        // Nanoseconds of this do not fit into 64 bits.
        let far = nightjar_format::manifest::Timestamp { seconds: 16_725_225_600, nanoseconds: 7 };
        assert_eq!(rfc3339(nanos(&far)), "2500-01-01T00:00:00.000000007Z");
    }

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(path(b"a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(path("äß".as_bytes()), "äß");
        assert_eq!(path(b"\xff"), "\u{fffd}");
        assert_eq!(printable_lines("a\x1b[2J\nb\u{9b}c"), "a\\u{1b}[2J\nb\\u{9b}c");
    }
}
