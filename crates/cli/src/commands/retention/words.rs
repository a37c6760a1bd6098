//! A plan in words.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use nightjar_format::SessionId;
use nightjar_format::ledger::Hold;
use nightjar_repository::retention::{Doubt, Miss, OutOfLine, Plan, Planned, Reason, SeriesPlan};

use super::policies::Policies;
use crate::output::format::{count, number, printable, size, time_in};
use crate::output::table::{Align, Table};

/// What people call the zone.
pub(super) fn zone_name(zone: &TimeZone) -> String {
    if zone.is_unknown() {
        return "UTC".to_owned();
    }
    let fixed = || zone.to_fixed_offset().map(|offset| offset.to_string());
    let name = zone.iana_name().map(str::to_owned).or_else(|| fixed().ok());
    name.unwrap_or_else(|| "a zone without a name".to_owned())
}

/// All series, each with its snapshots.
pub(super) fn plan(plan: &Plan<'_>, policies: &Policies) -> String {
    if plan.series.is_empty() {
        return "the repository holds no snapshot\n".to_owned();
    }
    let whose =
        if policies.zone_of_machine { " (this machine's; time-zone sets another)" } else { "" };
    let mut text = format!("calendar of {}{whose}\n", zone_name(&policies.zone));
    for series in &plan.series {
        text += &format!("\n{}", describe_series(series, &policies.zone));
    }
    text
}

fn describe_series(series: &SeriesPlan<'_>, zone: &TimeZone) -> String {
    let name = printable(series.series);
    let policy = match &series.policy {
        None => "no policy".to_owned(),
        Some(policy) => format!("{policy} (policy of {})", printable(&policy.name)),
    };
    let mut table = Table::new([
        ("id", Align::Left),
        ("time", Align::Left),
        ("size", Align::Right),
        ("", Align::Left),
        ("why", Align::Left),
    ]);
    for planned in &series.snapshots {
        let snapshot = &planned.info.snapshot;
        table.push([
            planned.info.id.short(),
            time_in(snapshot.started, zone),
            size(snapshot.counts.bytes()),
            if planned.goes() { "goes" } else { "stays" }.to_owned(),
            short_why(planned, zone),
        ]);
    }
    let going = series.going().count() as u64;
    let staying = series.snapshots.len() as u64 - going;
    let table = table.render();
    let stays = if staying == 1 { "stays" } else { "stay" };
    let goes = if going == 1 { "goes" } else { "go" };
    format!(
        "series {name}: {policy}\n{table}{} {stays}, {} {goes}\n",
        number(staying),
        number(going)
    )
}

/// Why a snapshot stays or goes: names of rules, and words.
pub(super) fn why(planned: &Planned<'_>, zone: &TimeZone) -> Vec<(&'static str, String)> {
    if planned.goes() {
        return planned.misses.iter().map(|miss| (miss.name(), describe_miss(miss))).collect();
    }
    let reasons = planned.reasons.iter();
    reasons.map(|reason| (reason.name(), describe_reason(reason, zone))).collect()
}

/// On one line. Often one snapshot stands for the day, the week and the month of another.
fn short_why(planned: &Planned<'_>, zone: &TimeZone) -> String {
    if !planned.goes() {
        return why(planned, zone).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ");
    }
    let mut parts: Vec<String> = Vec::new();
    let mut superseded: Vec<(SessionId, Vec<String>)> = Vec::new();
    for miss in &planned.misses {
        match miss {
            Miss::Superseded { period, bucket, by } => {
                let bucket = format!("{period} {bucket}");
                match superseded.iter_mut().find(|(id, _)| id == by) {
                    Some((_, buckets)) => buckets.push(bucket),
                    None => superseded.push((*by, vec![bucket])),
                }
            }
            other => parts.push(describe_miss(other)),
        }
    }
    let superseded = superseded.into_iter();
    parts.extend(
        superseded.map(|(by, buckets)| format!("{}: {} is newer", buckets.join(", "), by.short())),
    );
    parts.join("; ")
}

fn describe_reason(reason: &Reason, zone: &TimeZone) -> String {
    match reason {
        Reason::NoPolicy => "its series has no policy".to_owned(),
        Reason::Newest => "newest of the series".to_owned(),
        Reason::Last { rank, of } => format!("{rank} of the last {of}"),
        Reason::Within(reach) => format!("within {reach}"),
        Reason::Period { period, bucket, rank: Some((rank, of)) } => {
            format!("{period} {bucket} ({rank} of {of})")
        }
        Reason::Period { period, bucket, rank: None } => format!("{period} {bucket}"),
        Reason::Label(label) => format!("label {}", printable(&label.to_string())),
        Reason::Held(hold) => describe_hold(hold, zone),
        Reason::AtLeast(least) => format!("at least {least} stay"),
        Reason::OtherSlot(slot) => format!("slot {} does not count", slot.short()),
        Reason::Rewritten(id) => format!("rewritten from {}, which counts", id.short()),
        Reason::Implausible(doubt) => {
            format!("its time does not count: {}", describe_doubt(*doubt))
        }
        Reason::OutOfLine(OutOfLine { bytes, usual, .. }) => {
            format!("{} where {} is usual: somebody should look", size(*bytes), size(*usual))
        }
        Reason::HeldBack(id) => format!("until somebody looks at {}", id.short()),
    }
}

fn describe_miss(miss: &Miss) -> String {
    match miss {
        Miss::Last(of) => format!("not among the last {of}"),
        Miss::Within(reach) => format!("older than {reach}"),
        Miss::Superseded { period, bucket, by } => {
            format!("{period} {bucket}: {} is newer", by.short())
        }
        Miss::Beyond { period, bucket } => format!("{period} {bucket}: too old"),
    }
}

/// `held until 2026-04-01 00:00:00 by anna@db1: the migration`
fn describe_hold(hold: &Hold, zone: &TimeZone) -> String {
    let until = hold.until.map(|until| format!(" until {}", time_in(until, zone)));
    let (until, who) = (until.unwrap_or_default(), printable(&hold.who));
    format!("held{until} by {who}: {}", printable(&hold.why))
}

const fn describe_doubt(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::EndsBeforeItBegins => "it claims to have ended before it began",
        Doubt::LaterThanStored => "it claims to be newer than its object in the store",
        Doubt::LongBeforeStored => "it claims to be much older than its object in the store",
        Doubt::InTheFuture => "it lies in the future by this machine's clock",
    }
}

/// What somebody should look at, series by series.
pub(super) fn warnings(plan: &Plan<'_>, policies: &Policies) -> Vec<String> {
    plan.series.iter().flat_map(|series| warnings_of(series, &policies.zone)).collect()
}

fn warnings_of(series: &SeriesPlan<'_>, zone: &TimeZone) -> Vec<String> {
    let name = printable(series.series);
    let mut warnings = Vec::new();
    let mut doubted: BTreeMap<&str, Vec<SessionId>> = BTreeMap::new();
    for planned in &series.snapshots {
        for reason in &planned.reasons {
            if let Reason::Implausible(doubt) = reason {
                doubted.entry(describe_doubt(*doubt)).or_default().push(planned.info.id);
            }
        }
    }
    for (doubt, ids) in doubted {
        warnings.push(format!(
            "series {name}: {} ({}) stays and pushes none out: {doubt}. See `nightjar snapshot show`; \
             a clock may have been wrong, the store copied (copied-until), a run long \
             (time-tolerance), or somebody forges",
            count(ids.len() as u64, "snapshot", "snapshots"),
            named(&ids)
        ));
    }
    if let Some(newest) = series.out_of_line.last() {
        let ids: Vec<SessionId> = series.out_of_line.iter().map(|it| it.id).collect();
        let id = newest.id.short();
        let planned = series.snapshots.iter().find(|it| it.info.id == newest.id);
        let time = planned.map_or_else(String::new, |it| time_in(it.info.snapshot.started, zone));
        let which = match ids.len() {
            1 => format!("snapshot {id} ({time})"),
            many => format!("{many} snapshots ({}), the newest {id} ({time}),", named(&ids)),
        };
        warnings.push(format!(
            "series {name} forgets nothing until somebody looks: {which} has {} where {} is usual. If \
             that is right: `nightjar snapshot accept {id} --reason …`; if not: `nightjar snapshot \
             forget {id} --reason …`",
            size(newest.bytes),
            size(newest.usual)
        ));
    }
    warnings
}

/// The first few ids.
fn named(ids: &[SessionId]) -> String {
    const MOST: usize = 3;
    let mut names: Vec<String> = ids.iter().take(MOST).map(SessionId::short).collect();
    if ids.len() > MOST {
        names.push("…".to_owned());
    }
    names.join(", ")
}
