//! Policies in the file: which snapshots stay, series by series.
//!
//! The first policy whose pattern fits a series is its policy, and a series that none fits loses
//! nothing. A repository's own `retention` stands in place of the one for all, they never add up.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use anyhow::Result;
use nightjar_repository::retention::calendar::Period;
use nightjar_repository::retention::{LabelPattern, PeriodRule, Policy, Preset, Reach};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::Configuration;
use crate::args::{Moment, SeriesPattern, age, percent};

/// What the file says about retention.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RetentionSection {
    /// Looked up where it is needed: a backup does not fail because a machine lacks a time zone.
    time_zone: Option<String>,
    copied_until: Option<Written<Moment>>,
    #[serde(default, rename = "policy")]
    policies: Vec<Spanned<PolicySection>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct PolicySection {
    series: Option<OneOrMany<Written<SeriesPattern>>>,
    preset: Option<Written<Preset>>,
    keep_last: Option<Count>,
    keep_within: Option<Written<Reach>>,
    keep_hourly: Option<Count>,
    keep_hourly_within: Option<Written<Reach>>,
    keep_daily: Option<Count>,
    keep_daily_within: Option<Written<Reach>>,
    keep_weekly: Option<Count>,
    keep_weekly_within: Option<Written<Reach>>,
    keep_monthly: Option<Count>,
    keep_monthly_within: Option<Written<Reach>>,
    keep_yearly: Option<Count>,
    keep_yearly_within: Option<Written<Reach>>,
    keep_at_least: Option<Count>,
    keep_labels: Option<OneOrMany<Written<LabelPattern>>>,
    slots: Option<OneOrMany<String>>,
    size_drop: Option<Written<Share>>,
    time_tolerance: Option<Written<Stretch>>,
}

/// Policies, and whose days they count in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retention {
    pub(crate) time_zone: Option<String>,
    pub(crate) copied_until: Option<Moment>,
    pub(crate) policies: Vec<SeriesPolicy>,
}

/// A policy, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct SeriesPolicy {
    /// The series; all of them, if none is named.
    pub(crate) series: Vec<SeriesPattern>,
    /// Labels or ids of the slots whose snapshots count. Whose they are shows in the repository.
    pub(crate) slots: Vec<String>,
    pub(crate) policy: Policy,
}

impl SeriesPolicy {
    /// Whether it is the policy of a series.
    pub(crate) fn fits(&self, series: &str) -> bool {
        self.series.is_empty() || self.series.iter().any(|pattern| pattern.fits(series))
    }
}

impl Retention {
    /// What the file says, if it does.
    pub(super) fn of(
        section: Option<&RetentionSection>,
        configuration: &Configuration,
    ) -> Result<Self> {
        let Some(section) = section else { return Ok(Self::default()) };
        let policies = section.policies.iter().map(|policy| {
            let made = policy.get_ref().policy();
            if made.policy.keeps_something() {
                return Ok(made);
            }
            let what = "this policy has no rule, and would keep nothing but the newest snapshot; \
                        give it a preset, keep-daily or the like";
            Err(configuration.mistake(policy.span(), what.to_owned()))
        });
        Ok(Self {
            time_zone: section.time_zone.clone(),
            copied_until: section.copied_until.as_ref().map(|moment| moment.0.clone()),
            policies: policies.collect::<Result<_>>()?,
        })
    }
}

impl PolicySection {
    fn policy(&self) -> SeriesPolicy {
        let series = many(self.series.as_ref());
        let names: Vec<&str> = series.iter().map(SeriesPattern::text).collect();
        let name = if names.is_empty() { "*".to_owned() } else { names.join(", ") };
        let mut policy = Policy::new(name);
        if let Some(Written(preset)) = self.preset {
            policy.periods = preset.rules();
        }
        policy.last = self.keep_last.map(|count| count.0);
        policy.within = self.keep_within.as_ref().map(|reach| reach.0);
        policy.at_least = self.keep_at_least.map(|count| count.0);
        for (period, count, within) in [
            (Period::Hour, self.keep_hourly, &self.keep_hourly_within),
            (Period::Day, self.keep_daily, &self.keep_daily_within),
            (Period::Week, self.keep_weekly, &self.keep_weekly_within),
            (Period::Month, self.keep_monthly, &self.keep_monthly_within),
            (Period::Year, self.keep_yearly, &self.keep_yearly_within),
        ] {
            let (count, within) = (count.map(|it| it.0), within.as_ref().map(|it| it.0));
            if count.is_some() || within.is_some() {
                policy.periods.insert(period, PeriodRule { count, within });
            }
        }
        policy.labels = many(self.keep_labels.as_ref());
        if let Some(Written(Share(percent))) = self.size_drop {
            policy.size_drop_percent = percent;
        }
        if let Some(Written(Stretch(nanos))) = self.time_tolerance {
            policy.tolerance = nanos;
        }
        let slots = self.slots.as_ref().map_or_else(Vec::new, OneOrMany::all);
        SeriesPolicy { series, slots, policy }
    }
}

pub(super) fn many<T: Clone>(written: Option<&OneOrMany<Written<T>>>) -> Vec<T> {
    let all = written.map_or_else(Vec::new, OneOrMany::all);
    all.into_iter().map(|written| written.0).collect()
}

/// A value that is written as text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Written<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// One or more.
#[derive(Debug, Clone, Copy)]
struct Count(NonZeroU32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        let count = u32::try_from(number).ok().and_then(NonZeroU32::new);
        count.map(Self).ok_or_else(|| {
            D::Error::custom("expected 1 or more; what is not to be kept is left out")
        })
    }
}

/// A share in per cent.
#[derive(Debug, Clone, Copy)]
struct Share(u8);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        percent(text).map(Self)
    }
}

/// A stretch of time, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Stretch(i64);

impl FromStr for Stretch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        age(text).map(Self)
    }
}

/// One, or several in square brackets.
#[derive(Debug, Clone)]
pub(super) struct OneOrMany<T>(Vec<T>);

impl<T: Clone> OneOrMany<T> {
    fn all(&self) -> Vec<T> {
        self.0.clone()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes, or several in square brackets")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                let one = T::deserialize(serde::de::value::StrDeserializer::new(text))?;
                Ok(OneOrMany(vec![one]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }

        deserializer.deserialize_any(Visitor(std::marker::PhantomData))
    }
}
