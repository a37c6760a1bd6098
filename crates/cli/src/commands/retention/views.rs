//! What JSON shows of plans.

use std::collections::BTreeMap;

use nightjar_repository::retention::{Applied, Plan, Planned, Policy, SeriesPlan};
use serde::Serialize;

use super::policies::Policies;
use super::words;
use crate::output::format::rfc3339;

#[derive(Serialize)]
pub(super) struct PlanView<'a> {
    /// Whose days and weeks count.
    time_zone: String,
    series: Vec<SeriesView<'a>>,
    keep: usize,
    forget: usize,
    warnings: &'a [String],
}

/// A plan that was carried out.
#[derive(Serialize)]
pub(super) struct AppliedView<'a> {
    #[serde(flatten)]
    plan: PlanView<'a>,
    forgotten: Vec<String>,
    /// Let go by the plan, and kept: something changed meanwhile.
    kept: Vec<String>,
    ledger_records: &'a [u64],
}

#[derive(Serialize)]
struct SeriesView<'a> {
    series: &'a str,
    policy: Option<PolicyView<'a>>,
    keep: usize,
    forget: usize,
    out_of_line: Vec<OutOfLineView>,
    snapshots: Vec<SnapshotView>,
}

#[derive(Serialize)]
struct PolicyView<'a> {
    name: &'a str,
    /// Each rule as it is written; a label may come more than once.
    rules: BTreeMap<String, Vec<String>>,
    /// Whose snapshots count; all slots', if there are none.
    slots: Vec<String>,
    size_drop_percent: u8,
    time_tolerance_seconds: i64,
}

#[derive(Serialize)]
struct OutOfLineView {
    id: String,
    bytes: u64,
    usual_bytes: u64,
}

#[derive(Serialize)]
struct SnapshotView {
    id: String,
    time: String,
    /// When the store says it was written.
    stored: String,
    slot: String,
    bytes: u64,
    action: &'static str,
    reasons: Vec<ReasonView>,
}

#[derive(Serialize)]
struct ReasonView {
    rule: &'static str,
    text: String,
}

impl<'a> PlanView<'a> {
    pub(super) fn new(plan: &'a Plan<'_>, policies: &Policies, warnings: &'a [String]) -> Self {
        let series: Vec<SeriesView<'a>> =
            plan.series.iter().map(|series| SeriesView::new(series, policies)).collect();
        Self {
            time_zone: words::zone_name(&policies.zone),
            keep: series.iter().map(|series| series.keep).sum(),
            forget: series.iter().map(|series| series.forget).sum(),
            series,
            warnings,
        }
    }
}

impl<'a> AppliedView<'a> {
    pub(super) fn new(plan: PlanView<'a>, applied: &'a Applied) -> Self {
        Self {
            plan,
            forgotten: applied.forgotten.iter().map(ToString::to_string).collect(),
            kept: applied.kept.iter().map(ToString::to_string).collect(),
            ledger_records: &applied.records,
        }
    }
}

impl<'a> SeriesView<'a> {
    fn new(series: &'a SeriesPlan<'_>, policies: &Policies) -> Self {
        let forget = series.going().count();
        Self {
            series: series.series,
            policy: series.policy.as_ref().map(PolicyView::new),
            keep: series.snapshots.len() - forget,
            forget,
            out_of_line: series
                .out_of_line
                .iter()
                .map(|it| OutOfLineView {
                    id: it.id.to_string(),
                    bytes: it.bytes,
                    usual_bytes: it.usual,
                })
                .collect(),
            snapshots: series.snapshots.iter().map(|it| SnapshotView::new(it, policies)).collect(),
        }
    }
}

impl<'a> PolicyView<'a> {
    fn new(policy: &'a Policy) -> Self {
        let mut rules: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in policy.rules() {
            rules.entry(name).or_default().push(value);
        }
        Self {
            name: &policy.name,
            rules,
            slots: policy.slots.iter().map(ToString::to_string).collect(),
            size_drop_percent: policy.size_drop_percent,
            time_tolerance_seconds: policy.tolerance / 1_000_000_000,
        }
    }
}

impl SnapshotView {
    fn new(planned: &Planned<'_>, policies: &Policies) -> Self {
        let info = planned.info;
        let reasons = words::why(planned, &policies.zone).into_iter();
        Self {
            id: info.id.to_string(),
            time: rfc3339(info.snapshot.started),
            stored: rfc3339(info.stored),
            slot: info.signer.to_string(),
            bytes: info.snapshot.counts.bytes(),
            action: if planned.goes() { "forget" } else { "keep" },
            reasons: reasons.map(|(rule, text)| ReasonView { rule, text }).collect(),
        }
    }
}
