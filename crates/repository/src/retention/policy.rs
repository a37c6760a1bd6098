//! A policy: what somebody wants to keep, as data.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use jiff::Span;
use nightjar_format::SlotId;
use nightjar_format::snapshot::Snapshot;

use super::calendar::Period;

/// What is kept of each series that it is for.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What people call it.
    pub name: String,
    /// The newest so many.
    pub last: Option<NonZeroU32>,
    /// All so far back from the newest.
    pub within: Option<Reach>,
    /// The newest of each hour, day, week, month or year.
    pub periods: BTreeMap<Period, PeriodRule>,
    /// So many, whatever the other rules say.
    pub at_least: Option<NonZeroU32>,
    /// All with one of these labels.
    pub labels: Vec<LabelPattern>,
    /// Whose snapshots count. All slots', if it is empty.
    pub slots: BTreeSet<SlotId>,
    /// A snapshot that is smaller by more than so many per cent than the usual one holds its series
    /// back; 0 for never.
    pub size_drop_percent: u8,
    /// How far a snapshot's times may lie from the store's, in nanoseconds.
    pub tolerance: i64,
}

/// How many hours, days, weeks, months or years are kept, or how far back; either suffices.
#[derive(Debug, Clone, Copy, Default)]
pub struct PeriodRule {
    /// So many in which there are snapshots.
    pub count: Option<NonZeroU32>,
    /// All so far back from the newest snapshot.
    pub within: Option<Reach>,
}

impl Policy {
    /// Halves are out of line.
    pub const SIZE_DROP_PERCENT: u8 = 50;
    /// A day, in nanoseconds.
    pub const TOLERANCE: i64 = 24 * 3600 * 1_000_000_000;

    /// One that keeps nothing yet.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            last: None,
            within: None,
            periods: BTreeMap::new(),
            at_least: None,
            labels: Vec::new(),
            slots: BTreeSet::new(),
            size_drop_percent: Self::SIZE_DROP_PERCENT,
            tolerance: Self::TOLERANCE,
        }
    }

    /// Whether some rule keeps snapshots by their time or number. A policy without one would let
    /// go all but the newest: nobody means that by leaving something out.
    pub fn keeps_something(&self) -> bool {
        let periods = self.periods.values();
        self.last.is_some()
            || self.within.is_some()
            || self.at_least.is_some()
            || periods.into_iter().any(|rule| rule.count.is_some() || rule.within.is_some())
    }

    /// The rules, each as it is written: name and value.
    pub fn rules(&self) -> Vec<(String, String)> {
        let mut rules = Vec::new();
        let mut rule = |name: &str, value: Option<String>| {
            rules.extend(value.map(|value| (name.to_owned(), value)));
        };
        rule("keep-last", self.last.map(|count| count.to_string()));
        rule("keep-within", self.within.map(|reach| reach.to_string()));
        for (period, PeriodRule { count, within }) in &self.periods {
            let name = period.rule();
            rule(name, count.map(|count| count.to_string()));
            rule(&format!("{name}-within"), within.map(|reach| reach.to_string()));
        }
        rule("keep-at-least", self.at_least.map(|count| count.to_string()));
        for label in &self.labels {
            rule("keep-label", Some(label.to_string()));
        }
        rules
    }
}

impl fmt::Display for Policy {
    /// `keep-daily 30, keep-weekly-within 90d`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules().into_iter().map(|(name, value)| format!("{name} {value}"));
        f.write_str(&rules.collect::<Vec<_>>().join(", "))
    }
}

/// What many policies of companies and laws say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 30 daily ones.
    ThirtyDays,
    /// And weekly ones for 90 days.
    NinetyDays,
    /// And monthly ones for a year.
    OneYear,
    /// And yearly ones for seven years.
    SevenYears,
}

impl Preset {
    /// Each with its name. `standard` is the longest.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("30d", Self::ThirtyDays),
        ("90d", Self::NinetyDays),
        ("1y", Self::OneYear),
        ("7y", Self::SevenYears),
        ("standard", Self::SevenYears),
    ];

    /// Its rules.
    pub fn rules(self) -> BTreeMap<Period, PeriodRule> {
        let within = |span: Span| PeriodRule { within: Some(Reach(span)), count: None };
        let daily = PeriodRule { count: NonZeroU32::new(30), within: None };
        let mut rules = BTreeMap::from([(Period::Day, daily)]);
        if self != Self::ThirtyDays {
            rules.insert(Period::Week, within(Span::new().days(90)));
        }
        if matches!(self, Self::OneYear | Self::SevenYears) {
            rules.insert(Period::Month, within(Span::new().years(1)));
        }
        if self == Self::SevenYears {
            rules.insert(Period::Year, within(Span::new().years(7)));
        }
        rules
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::NAMES.iter().find(|(name, _)| *name == text);
        known.map(|(_, preset)| *preset).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("there is no preset {text:?}; there are {}", names.join(", "))
        })
    }
}

/// A stretch of calendar time: years, months, weeks, days, hours.
#[derive(Debug, Clone, Copy)]
pub struct Reach(pub(super) Span);

impl Reach {
    /// For the calendar.
    pub fn span(&self) -> Span {
        self.0
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected a stretch of time such as 30d, 12w, 6mo or 7y".to_owned();
        let span: Span = text.trim().parse().map_err(|_| expected())?;
        let small = [
            span.get_seconds(),
            span.get_milliseconds(),
            span.get_microseconds(),
            span.get_nanoseconds(),
        ];
        if span.get_minutes() != 0 {
            // What other programs call months would be minutes here.
            return Err("m are minutes; write 6mo for six months".to_owned());
        }
        if !span.is_positive() || small != [0; 4] {
            return Err(expected());
        }
        Ok(Self(span))
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A label that keeps the snapshots that have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPattern {
    /// Its key.
    pub key: String,
    /// Its value; any, if there is none.
    pub value: Option<String>,
}

impl LabelPattern {
    /// Whether a snapshot has it.
    pub fn fits(&self, snapshot: &Snapshot) -> bool {
        let value = |value: &String| self.value.as_ref().is_none_or(|wanted| wanted == value);
        snapshot.labels.iter().any(|label| label.key == self.key && value(&label.value))
    }
}

impl FromStr for LabelPattern {
    type Err = String;

    /// `KEY=VALUE`, or `KEY` for any value.
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (text, None),
        };
        if key.is_empty() {
            return Err("expected KEY=VALUE, or KEY for any value".to_owned());
        }
        Ok(Self { key: key.to_owned(), value })
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.key),
            None => f.write_str(&self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reach_counts_in_units_of_the_calendar() {
        for text in ["30d", "90 days", "1y", "6mo", "2w", "36h", "1y 6mo"] {
            let reach: Reach = text.parse().unwrap();
            let again: Reach = reach.to_string().parse().unwrap();
            assert_eq!(reach.0.fieldwise(), again.0.fieldwise(), "{text}");
        }
        for text in ["", "30", "-30d", "30d ago", "0d", "90s", "1h 30m", "soon"] {
            assert!(text.parse::<Reach>().is_err(), "{text}");
        }
        // restic means six months by it.
        assert!("6m".parse::<Reach>().unwrap_err().contains("6mo"));
    }

    #[test]
    fn presets_say_what_the_usual_policies_say() {
        let rules = |name: &str| {
            let preset: Preset = name.parse().unwrap();
            Policy { periods: preset.rules(), ..Policy::new(name) }.to_string()
        };
        let all = "keep-daily 30, keep-weekly-within 90d, keep-monthly-within 1y, \
                   keep-yearly-within 7y";
        assert_eq!(rules("standard"), all);
        assert_eq!(rules("7y"), all);
        for (name, count) in [("30d", 1), ("90d", 2), ("1y", 3)] {
            let some: Vec<&str> = all.split(", ").take(count).collect();
            assert_eq!(rules(name), some.join(", "));
        }
        assert!("weekly".parse::<Preset>().unwrap_err().contains("standard"));
    }

    #[test]
    fn a_policy_that_keeps_nothing_by_time_is_known_as_such() {
        let mut policy = Policy::new("x");
        policy.labels.push("tier=gold".parse().unwrap());
        policy.periods.insert(Period::Day, PeriodRule::default());
        assert!(!policy.keeps_something());
        policy.last = NonZeroU32::new(1);
        assert!(policy.keeps_something());
        assert_eq!(policy.to_string(), "keep-last 1, keep-label tier=gold");
    }
}
