//! Reading single values.

use std::str::FromStr;

use bytesize::ByteSize;
use globset::{Glob, GlobMatcher};
use jiff::tz::TimeZone;
use nightjar_format::limits;
use nightjar_format::snapshot::Label;
use nightjar_repository::retention::Preset;
use nightjar_repository::verify::Sample;

/// Argon2 needs eight blocks of a KiB for each of its four lanes.
const ARGON2_MEMORY_MIN_KIB: u32 = 32;

/// A number of bytes: `500`, `64KiB`, `1.5 GB`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    text.parse::<ByteSize>()
        .map(|size| size.0)
        .map_err(|_| "expected a number of bytes such as 500, 64KiB, 10MB or 1.5GiB".to_owned())
}

/// A stretch of time, in nanoseconds: `30d`, `12h`, `2weeks`. A day has 24 hours.
pub(crate) fn age(text: &str) -> Result<i64, String> {
    let nanos = || {
        let span: jiff::Span = text.parse().ok()?;
        let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).ok()?;
        i64::try_from(duration.as_nanos()).ok().filter(|nanos| *nanos >= 0)
    };
    nanos().ok_or_else(|| "expected a stretch of time such as 30d, 2w or 12h".to_owned())
}

/// A share, in thousandths: `5%`, `0.5%`.
pub(super) fn permille(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim();
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    let parse = |digits: &str| digits.parse::<u32>().ok().filter(|_| !digits.starts_with('+'));
    let tenths = parse(tenths).filter(|tenths| *tenths < 10);
    let share = parse(whole)
        .zip(tenths)
        .and_then(|(whole, tenths)| whole.checked_mul(10)?.checked_add(tenths));
    share
        .filter(|share| *share <= 1000)
        .ok_or_else(|| "expected a share from 0% to 100%, such as 5% or 0.5%".to_owned())
}

/// A part of all that is stored: a share above nothing (`5%`), or bytes (`50GiB`).
pub(super) fn sample(text: &str) -> Result<Sample, String> {
    let expected =
        || "expected a share such as 5%, or bytes with their unit, such as 50GiB".to_owned();
    if text.ends_with('%') {
        return match permille(text)? {
            0 => Err(expected()),
            share => Ok(Sample::Permille(share)),
        };
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected());
    }
    size(text).ok().filter(|bytes| *bytes > 0).map(Sample::Bytes).ok_or_else(expected)
}

/// A time zone by its name in the system's database.
pub(crate) fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!(
            "this machine knows no time zone {name:?}; names are such as Europe/Berlin, \
             America/New_York or UTC, and come with the package tzdata"
        )
    })
}

/// The name of a preset.
pub(crate) fn preset(name: &str) -> Result<Preset, String> {
    name.parse()
}

/// `50%`, `50`: at most 99.
pub(crate) fn percent(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|percent| *percent < 100)
        .ok_or_else(|| "expected a share such as 50%, or 0 to switch it off".to_owned())
}

/// The name of a series, or of several: `*` stands for any text, `?` for a letter.
#[derive(Debug, Clone)]
pub(crate) struct SeriesPattern {
    text: String,
    matcher: GlobMatcher,
}

impl SeriesPattern {
    /// Whether a series is meant.
    pub(crate) fn fits(&self, series: &str) -> bool {
        self.text == series || self.matcher.is_match(series)
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl FromStr for SeriesPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected the name of a series, such as orders or orders-*".to_owned());
        }
        let glob = Glob::new(text).map_err(|error| error.kind().to_string())?;
        Ok(Self { text: text.to_owned(), matcher: glob.compile_matcher() })
    }
}

/// Memory for Argon2, in KiB.
pub(super) fn argon2_memory(text: &str) -> Result<u32, String> {
    let kib = u32::try_from(size(text)? / 1024).unwrap_or(u32::MAX);
    if (ARGON2_MEMORY_MIN_KIB..=limits::ARGON2_MEMORY_KIB).contains(&kib) {
        Ok(kib)
    } else {
        Err(format!(
            "expected {} to {}",
            ByteSize::kib(ARGON2_MEMORY_MIN_KIB.into()),
            ByteSize::kib(limits::ARGON2_MEMORY_KIB.into())
        ))
    }
}

/// `KEY=VALUE`.
pub(super) fn label(text: &str) -> Result<Label, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok(Label { key: key.to_owned(), value: value.to_owned() })
        }
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Any text but none.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The name of the one file in a dump's snapshot.
pub(super) fn file_name(text: &str) -> Result<String, String> {
    let plain = !matches!(text, "" | "." | "..") && !text.contains(['/', '\0']);
    if plain && text.len() <= 4096 {
        Ok(text.to_owned())
    } else {
        Err("expected a plain file name, such as orders.sql".to_owned())
    }
}

/// The beginning of a snapshot's or slot's id.
pub(super) fn id(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (text.len(), digits) {
        (1..=32, true) => Ok(text),
        _ => Err("expected an id or its beginning: up to 32 digits and letters a to f".to_owned()),
    }
}

/// `latest`, or the beginning of a snapshot's id.
pub(super) fn snapshot(text: &str) -> Result<String, String> {
    if text == "latest" {
        return Ok(text.to_owned());
    }
    id(text).map_err(|error| format!("{error}, or `latest`"))
}

/// The beginning of a snapshot's id, and nothing that means another one tomorrow.
pub(super) fn explicit_snapshot(text: &str) -> Result<String, String> {
    if text == "latest" {
        return Err("what is forgotten must be named by its id".to_owned());
    }
    id(text)
}

/// A number of levels: at least one.
pub(super) fn depth(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|depth| *depth > 0).ok_or_else(|| "expected 1 or more".to_owned())
}

/// A name or path with wildcards.
pub(super) fn pattern(text: &str) -> Result<String, String> {
    if text.trim_matches('/').is_empty() {
        return Err("expected a name or path, such as 'postgresql.conf' or 'etc/**/*.conf'".into());
    }
    Glob::new(text).map_err(|error| error.kind().to_string())?;
    if class_beyond_ascii(text) {
        return Err("only ASCII may stand in square brackets; write {ä,ö} instead of [äö]".into());
    }
    Ok(text.to_owned())
}

/// Whether a character of several bytes stands in square brackets: these mean single bytes, and
/// the pattern would silently fit nothing.
fn class_beyond_ascii(text: &str) -> bool {
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if !inside => escaped = true,
            '[' => inside = true,
            ']' => inside = false,
            _ if inside && !c.is_ascii() => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_both_systems_of_units() {
        let cases = [
            ("0", 0),
            ("500", 500),
            ("64KiB", 65_536),
            ("64 KiB", 65_536),
            ("10MB", 10_000_000),
            ("1.5GiB", 1_610_612_736),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "x", "-1", "12 apples", "1.2.3MiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn memory_for_argon2_is_bounded() {
        assert_eq!(argon2_memory("64MiB"), Ok(65_536));
        assert_eq!(argon2_memory("32KiB"), Ok(32));
        for text in ["31KiB", "5GiB", "0", "1"] {
            assert!(argon2_memory(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels_have_a_key_and_may_have_an_empty_value() {
        assert_eq!(label("a=b=c").unwrap().value, "b=c");
        assert_eq!(label("a=").unwrap().value, "");
        assert!(label("=b").is_err());
        assert!(label("a").is_err());
    }

    #[test]
    fn ids_may_be_abbreviated_and_typed_in_capitals() {
        assert_eq!(snapshot("A5"), Ok("a5".to_owned()));
        assert_eq!(snapshot("latest"), Ok("latest".to_owned()));
        for text in ["", "xyz", &"a".repeat(33)] {
            assert!(snapshot(text).is_err(), "{text}");
        }
    }

    #[test]
    fn latest_is_never_forgotten() {
        assert!(explicit_snapshot("latest").is_err());
        assert!(explicit_snapshot("a5").is_ok());
    }

    #[test]
    fn a_dump_has_a_plain_file_name() {
        assert!(file_name("orders.sql").is_ok());
        for text in ["", ".", "..", "a/b", "/etc/passwd"] {
            assert!(file_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_names_something() {
        for text in
            ["a", "*.conf", "/etc/*", "etc/**", "a{b,c}", "[a-z]", "\\*", "\\[ä]", "{ä,ö}", "[a]ä"]
        {
            assert_eq!(pattern(text), Ok(text.to_owned()));
        }
        for text in ["", "/", "//", "[a", "{a", "a\\", "[äö]", "x[^ä]"] {
            assert!(pattern(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_series_is_named_wholly_or_by_a_pattern() {
        let fits =
            |pattern: &str, series: &str| pattern.parse::<SeriesPattern>().unwrap().fits(series);
        assert!(fits("orders", "orders") && !fits("orders", "orders-eu"));
        assert!(fits("orders-*", "orders-eu") && fits("*", "db1:/etc/postgresql"));
        assert!(fits("db[1]", "db[1]") && fits("db[12]", "db2"));
        assert!("".parse::<SeriesPattern>().is_err() && "[".parse::<SeriesPattern>().is_err());
    }

    #[test]
    fn a_share_is_less_than_the_whole() {
        assert_eq!(percent("50%"), Ok(50));
        assert_eq!(percent("0"), Ok(0));
        for text in ["", "100%", "half", "-5%", "50.5"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }

    #[test]
    fn time_zones_have_names() {
        assert!(time_zone("UTC").is_ok());
        assert!(time_zone("Europe/Nowhere").unwrap_err().contains("Europe/Berlin"));
    }

    #[test]
    fn a_sample_is_a_share_or_bytes_and_never_nothing() {
        for (text, expected) in [
            ("5%", Sample::Permille(50)),
            ("0.5%", Sample::Permille(5)),
            ("100%", Sample::Permille(1000)),
            ("50GiB", Sample::Bytes(50 << 30)),
            ("1 KB", Sample::Bytes(1000)),
        ] {
            assert_eq!(sample(text), Ok(expected), "{text}");
        }
        for text in ["", "5", "0%", "101%", "-5%", "0B", "half"] {
            assert!(sample(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_depth_is_at_least_one() {
        assert_eq!(depth("3"), Ok(3));
        for text in ["0", "-1", "x", ""] {
            assert!(depth(text).is_err(), "{text}");
        }
    }
}
