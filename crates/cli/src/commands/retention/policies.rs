//! Which policy is whose: what the command line and the configuration file say, put together.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::tz::TimeZone;
use nightjar_format::SlotId;
use nightjar_repository::retention::calendar::Period;
use nightjar_repository::retention::{self, PeriodRule, Plan, Policy, Request};
use nightjar_repository::slots::{self, SlotInfo};
use nightjar_repository::snapshots::SnapshotList;
use nightjar_repository::{Repository, RepositoryError};

use super::super::Program;
use crate::args::{self, RetentionArguments, RuleArguments, SeriesPattern};
use crate::config::{Retention, SeriesPolicy};
use crate::environment;
use crate::exit::CommandError;

/// What a policy is called that the command line makes.
const GIVEN: &str = "the command line";

/// Policies, ready to be applied.
pub(super) struct Policies {
    /// The first that fits is the policy of a series.
    policies: Vec<SeriesPolicy>,
    /// The series that are asked for; all, if none is named.
    series: Vec<SeriesPattern>,
    pub(super) zone: TimeZone,
    /// Nobody said which: it is this machine's.
    pub(super) zone_of_machine: bool,
    now: i64,
    copied_until: Option<i64>,
}

impl Policies {
    pub(super) fn gather(
        program: &Program<'_>,
        repository: &Repository,
        arguments: &RetentionArguments,
    ) -> Result<Self> {
        let configured = &program.access()?.retention;
        let named = zone(arguments, configured)?;
        let zone_of_machine = named.is_none();
        let zone = named.unwrap_or_else(TimeZone::system);
        let now = environment::now();
        let copied = arguments.copied_until.as_ref().or(configured.copied_until.as_ref());
        let copied_until = copied
            .map(|moment| moment.nanos(&zone, now))
            .transpose()
            .map_err(|what| CommandError::Usage(format!("copied-until: {what}")))?;
        let mut policies = match given(&arguments.rules)? {
            Some(policy) => vec![policy],
            None => configured.policies.clone(),
        };
        resolve_slots(&mut policies, repository)?;
        let series = arguments.series.clone();
        Ok(Self { policies, series, zone, zone_of_machine, now, copied_until })
    }

    /// The plan for the series that are asked for.
    pub(super) fn plan<'a>(&self, list: &'a SnapshotList) -> Result<Plan<'a>> {
        let mut plan =
            self.with_request(|request| retention::plan(&list.snapshots, &list.accepted, request));
        let wanted = |series: &str| {
            self.series.is_empty() || self.series.iter().any(|pattern| pattern.fits(series))
        };
        plan.series.retain(|series| wanted(series.series));
        if plan.series.is_empty() && !self.series.is_empty() {
            let names: Vec<&str> = self.series.iter().map(SeriesPattern::text).collect();
            return Err(RepositoryError::NoSuchSnapshot(format!(
                "there is no snapshot of a series {}; `nightjar snapshot list` shows what there is",
                names.join(" or ")
            ))
            .into());
        }
        Ok(plan)
    }

    /// What the engine is asked.
    pub(super) fn with_request<T>(&self, then: impl FnOnce(&Request<'_>) -> T) -> T {
        let policy_of = |series: &str| {
            let policy = self.policies.iter().find(|policy| policy.fits(series));
            policy.map(|policy| &policy.policy)
        };
        then(&Request {
            policy_of: &policy_of,
            zone: &self.zone,
            now: self.now,
            copied_until: self.copied_until,
        })
    }
}

fn zone(arguments: &RetentionArguments, configured: &Retention) -> Result<Option<TimeZone>> {
    if let Some(zone) = &arguments.time_zone {
        return Ok(Some(zone.clone()));
    }
    let Some(name) = &configured.time_zone else { return Ok(None) };
    let zone = args::time_zone(name);
    zone.map(Some).map_err(|what| CommandError::Usage(format!("time-zone: {what}")).into())
}

/// The policy that the options make, if they hold a rule.
fn given(rules: &RuleArguments) -> Result<Option<SeriesPolicy>> {
    let mut policy = Policy::new(GIVEN);
    if let Some(preset) = rules.preset {
        policy.periods = preset.rules();
    }
    policy.last = rules.keep_last;
    policy.within = rules.keep_within;
    policy.at_least = rules.keep_at_least;
    policy.labels.clone_from(&rules.keep_labels);
    for (period, count, within) in [
        (Period::Hour, rules.keep_hourly, rules.keep_hourly_within),
        (Period::Day, rules.keep_daily, rules.keep_daily_within),
        (Period::Week, rules.keep_weekly, rules.keep_weekly_within),
        (Period::Month, rules.keep_monthly, rules.keep_monthly_within),
        (Period::Year, rules.keep_yearly, rules.keep_yearly_within),
    ] {
        if count.is_some() || within.is_some() {
            policy.periods.insert(period, PeriodRule { count, within });
        }
    }
    policy.size_drop_percent = rules.size_drop.unwrap_or(Policy::SIZE_DROP_PERCENT);
    policy.tolerance = rules.time_tolerance.unwrap_or(Policy::TOLERANCE);
    if policy.keeps_something() {
        return Ok(Some(SeriesPolicy { series: vec![], slots: rules.slots.clone(), policy }));
    }
    let more = rules.size_drop.is_some()
        || rules.time_tolerance.is_some()
        || !(rules.slots.is_empty() && rules.keep_labels.is_empty());
    if more {
        // They would be dropped unnoticed beside the policies of the file.
        let message = "--keep-label, --slot, --size-drop and --time-tolerance belong to a policy; \
                       give it a rule too, such as --preset standard or --keep-daily 30";
        return Err(CommandError::Usage(message.to_owned()).into());
    }
    Ok(None)
}

fn resolve_slots(policies: &mut [SeriesPolicy], repository: &Repository) -> Result<()> {
    if policies.iter().all(|policy| policy.slots.is_empty()) {
        return Ok(());
    }
    let known = slots::list(repository)?;
    for SeriesPolicy { slots, policy, .. } in policies {
        for name in slots {
            policy.slots.extend(find_slots(&known, name)?);
        }
    }
    Ok(())
}

/// The slots that a name means: all with that label, else the one whose id begins so. One that was
/// removed has no label any more, but still its whole id.
fn find_slots(known: &[SlotInfo], name: &str) -> Result<BTreeSet<SlotId>> {
    let labelled: BTreeSet<SlotId> =
        known.iter().filter(|slot| slot.label == name).map(|slot| slot.id).collect();
    if !labelled.is_empty() {
        return Ok(labelled);
    }
    if let Ok(id) = name.parse() {
        return Ok(BTreeSet::from([id]));
    }
    let begins: BTreeSet<SlotId> =
        known.iter().map(|slot| slot.id).filter(|id| id.to_string().starts_with(name)).collect();
    if begins.len() == 1 && !name.is_empty() {
        return Ok(begins);
    }
    let message = format!(
        "slots: there is no slot with the label or id {name:?}, or more than one id begins so; \
         `nightjar key list` shows them. One that was removed is named by its whole id"
    );
    Err(CommandError::Usage(message).into())
}
