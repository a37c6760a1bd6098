//! `nightjar retention …`

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use nightjar_repository::retention::{LabelPattern, Preset, Reach};

use super::moment::Moment;
use super::values::SeriesPattern;
use super::{examples, values};

#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    Plan(Box<RetentionPlan>),
    Apply(Box<RetentionApply>),
}

/// Say of every snapshot whether it stays or goes, and why.
///
/// Nothing is changed. Policies come from nightjar.toml, or from options: if a rule is given here,
/// those in the file do not count. A series without a policy loses nothing, and the newest snapshot
/// of a series always stays.
#[derive(Debug, Args)]
#[command(after_help = examples::RETENTION_PLAN)]
pub(crate) struct RetentionPlan {
    #[command(flatten)]
    pub(crate) what: RetentionArguments,
}

/// Forget what the policies let go.
///
/// Prints the plan, then carries it out; nobody is asked. The ledger keeps who forgot what, when and
/// by which rules. What only forgotten snapshots used is freed when garbage is collected.
#[derive(Debug, Args)]
#[command(after_help = examples::RETENTION_APPLY)]
pub(crate) struct RetentionApply {
    #[command(flatten)]
    pub(crate) what: RetentionArguments,
    /// Print the plan, and forget nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Which series, and by which rules.
#[derive(Debug, Args)]
pub(crate) struct RetentionArguments {
    /// Only series of this name, in which * stands for anything; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Vec<SeriesPattern>,
    /// The time zone whose days, weeks and months count, such as Europe/Berlin [default: that of
    /// this machine]
    #[arg(long, value_name = "ZONE", value_parser = values::time_zone)]
    pub(crate) time_zone: Option<TimeZone>,
    /// The store was filled from a copy until then: up to that time it is no sign of forgery that
    /// snapshots claim to be older than their objects
    #[arg(long, value_name = "TIME")]
    pub(crate) copied_until: Option<Moment>,
    #[command(flatten)]
    pub(crate) rules: RuleArguments,
}

/// A policy on the command line. Each rule keeps for itself; what none of them keeps, goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options that make a policy, instead of those in nightjar.toml")]
pub(crate) struct RuleArguments {
    /// Begin with the rules of a preset: 30d (30 daily), 90d (and weekly for 90 days), 1y (and monthly
    /// for a year), 7y or standard (and yearly for seven years)
    #[arg(long, value_name = "NAME", value_parser = values::preset)]
    pub(crate) preset: Option<Preset>,
    /// Keep the newest N
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<NonZeroU32>,
    /// Keep all that are not older than the newest by more than this: 36h, 30d, 12w, 6mo, 7y
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_within: Option<Reach>,
    /// Keep the newest of each hour, for the last N hours in which there are snapshots
    #[arg(long, value_name = "N")]
    pub(crate) keep_hourly: Option<NonZeroU32>,
    /// The same for all hours that lie so far back from the newest snapshot
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_hourly_within: Option<Reach>,
    /// Keep the newest of each day, for the last N days in which there are snapshots
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<NonZeroU32>,
    /// The same for all days that lie so far back from the newest snapshot
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_daily_within: Option<Reach>,
    /// Keep the newest of each week, for the last N weeks; they begin on Monday
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<NonZeroU32>,
    /// The same for all weeks that lie so far back
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_weekly_within: Option<Reach>,
    /// Keep the newest of each month, for the last N months
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<NonZeroU32>,
    /// The same for all months that lie so far back
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_monthly_within: Option<Reach>,
    /// Keep the newest of each year, for the last N years
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<NonZeroU32>,
    /// The same for all years that lie so far back
    #[arg(long, value_name = "TIME")]
    pub(crate) keep_yearly_within: Option<Reach>,
    /// Keep at least N of a series, whatever the other rules say
    #[arg(long, value_name = "N")]
    pub(crate) keep_at_least: Option<NonZeroU32>,
    /// Keep all that have this label, or this key with any value; may be given more than once
    #[arg(long = "keep-label", value_name = "KEY[=VALUE]")]
    pub(crate) keep_labels: Vec<LabelPattern>,
    /// Let only snapshots of this slot count, named by its label or id: others stay, and push none
    /// out; may be given more than once
    #[arg(long = "slot", value_name = "SLOT")]
    pub(crate) slots: Vec<String>,
    /// Forget nothing of a series in which a snapshot is smaller than usual by more than this, until
    /// somebody has looked (`nightjar snapshot accept`); 0 for never [default: 50%]
    #[arg(long, value_name = "PERCENT", value_parser = values::percent)]
    pub(crate) size_drop: Option<u8>,
    /// How far the times that a snapshot claims may lie from the time at which the store says that it
    /// was written; beyond that it stays, and pushes none out [default: 1d]
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(crate) time_tolerance: Option<i64>,
}
