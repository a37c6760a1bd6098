//! `nightjar snapshot verify`

use std::sync::Arc;

use anyhow::Result;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::snapshots::{self, SnapshotList};
use nightjar_repository::verify::{self, Bounds, Finding, Level, VerifyReport, VerifyRequest};
use nightjar_repository::{Progress, Repository};
use nightjar_storage::Store;
use serde::Serialize;

use super::super::{Program, list_snapshots};
use super::selection;
use crate::args::{SnapshotVerify, VerifyLevel};
use crate::environment;
use crate::exit::Exit;
use crate::output::coverage::{self, CoverageView};
use crate::output::damage::{self, HitView};
use crate::output::format::{count, number, printable, size};
use crate::output::requests::RequestsView;
use crate::progress::Display;
use crate::stderr;

#[derive(Serialize)]
struct VerifiedView<'a> {
    level: &'static str,
    /// Snapshots walked.
    snapshots: u64,
    snapshots_in_scope: u64,
    /// Packs checked.
    packs: u64,
    packs_in_scope: u64,
    references: u64,
    blobs: u64,
    bytes: u64,
    /// Whether everything that was asked for was checked by this run.
    complete: bool,
    /// Whether the time limit cut it off.
    out_of_time: bool,
    coverage: CoverageView,
    requests: RequestsView,
    findings: Vec<FindingView<'a>>,
    hits: Vec<HitView<'a>>,
    /// Snapshots of which there was no time to find out whether they are among these.
    hits_unknown: u64,
    recorded_damaged: Vec<String>,
    recorded_repaired: Vec<String>,
    unrecorded: &'a [String],
}

#[derive(Serialize)]
struct FindingView<'a> {
    object: &'a str,
    problem: &'a str,
    snapshots: Vec<String>,
    more_snapshots: u64,
    /// Blobs of a pack that cannot be relied on.
    blobs: u64,
    /// The first of them.
    blob_ids: Vec<String>,
}

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotVerify) -> Result<Exit> {
    let repository = program.open()?;
    // Where no ids are given, what is wrong with the list is among the findings.
    let meant = &arguments.snapshots;
    let by_ids = !meant.ids.is_empty();
    let list = if by_ids { list_snapshots(&repository)? } else { snapshots::list(&repository)? };
    let wanted = selection::snapshots(&list, &meant.ids, meant.series.as_deref())?;
    let request = VerifyRequest {
        level: level(arguments.level, &repository),
        snapshots: wanted.iter().map(|info| info.id).collect(),
        whole_repository: meant.all,
        bounds: bounds(arguments),
        record: !arguments.no_record,
    };
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "checked", &progress);
    let verified = verify::verify(&repository, &request, &progress);
    drop(display);
    let mut report = verified?;
    if !by_ids && !meant.all {
        // A snapshot that cannot be read may be one of the series.
        report.findings.extend(list.findings.iter().map(|problem| finding(problem)));
    }
    report.unrecorded.iter().for_each(|why| stderr::warn(why));
    let damaged = !report.findings.is_empty();
    let view = view(request.level, &report, &list, repository.store());
    program.output.result(&view, || describe(request.level, &report, &list))?;
    Ok(if damaged { Exit::Damage } else { Exit::Done })
}

fn bounds(arguments: &SnapshotVerify) -> Bounds {
    let now = environment::now();
    Bounds {
        sample: arguments.sample,
        before: arguments.older_than.map(|age| now.saturating_sub(age)),
        deadline: arguments.time_limit.map(|time| now.saturating_add(time)),
    }
}

/// As given, else the most that the slot can check.
fn level(given: Option<VerifyLevel>, repository: &Repository) -> Level {
    match (given, repository.keychain().role()) {
        (Some(VerifyLevel::Presence), _) => Level::Presence,
        (Some(VerifyLevel::Packs), _) | (None, Role::Write) => Level::Packs,
        (Some(VerifyLevel::Data), _) | (None, Role::Full) => Level::Data,
    }
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::Presence => "presence",
        Level::Packs => "packs",
        Level::Data => "data",
    }
}

fn finding(problem: &str) -> Finding {
    let object = "the list of snapshots".to_owned();
    Finding { object, problem: problem.to_owned(), ..Finding::default() }
}

fn view<'a>(
    level: Level,
    report: &'a VerifyReport,
    list: &'a SnapshotList,
    store: &Store,
) -> VerifiedView<'a> {
    let findings = report.findings.iter().map(|finding| FindingView {
        object: &finding.object,
        problem: &finding.problem,
        snapshots: finding.snapshots.iter().map(ToString::to_string).collect(),
        more_snapshots: finding.more_snapshots,
        blobs: finding.blobs,
        blob_ids: finding.blob_ids.iter().map(ToString::to_string).collect(),
    });
    VerifiedView {
        level: level_name(level),
        snapshots: report.snapshots,
        snapshots_in_scope: report.snapshots_in_scope,
        packs: report.packs,
        packs_in_scope: report.packs_in_scope,
        references: report.references,
        blobs: report.blobs,
        bytes: report.bytes,
        complete: report.complete,
        out_of_time: report.out_of_time,
        coverage: CoverageView::new(&report.coverage, environment::now()),
        requests: RequestsView::of(store),
        findings: findings.collect(),
        hits: report.hits.iter().map(|hit| HitView::new(hit, &list.snapshots)).collect(),
        hits_unknown: report.hits_unknown,
        recorded_damaged: report.recorded_damaged.iter().map(ToString::to_string).collect(),
        recorded_repaired: report.recorded_repaired.iter().map(ToString::to_string).collect(),
        unrecorded: &report.unrecorded,
    }
}

fn describe(level: Level, report: &VerifyReport, list: &SnapshotList) -> String {
    let mut text: String =
        report.findings.iter().map(|finding| describe_one(finding, list)).collect();
    for hit in &report.hits {
        let snapshot = damage::snapshot(&hit.snapshot, &list.snapshots);
        text += &format!("{snapshot} cannot be restored whole:\n{}", damage::paths(hit));
    }
    text += &damage::unknown(report.hits_unknown);
    for id in &report.recorded_damaged {
        let pack = ObjectName::Pack(*id);
        text += &format!("{pack} is recorded as damaged: backups store anew what lay in it\n");
    }
    for id in &report.recorded_repaired {
        text += &format!("{} is recorded as sound again\n", ObjectName::Pack(*id));
    }
    let read = match report.bytes {
        0 => String::new(),
        bytes => format!(", {} read", size(bytes)),
    };
    let outcome = match report.findings.len() {
        0 => "no damage found".to_owned(),
        many => count(many as u64, "finding", "findings"),
    };
    let blobs = match report.blobs {
        0 => count(report.references, "reference", "references"),
        blobs => count(blobs, "blob", "blobs"),
    };
    text += &format!(
        "verified {}, {}, {blobs} at level {}{read}: {outcome}\n",
        part(report.snapshots, report.snapshots_in_scope, "snapshot", "snapshots"),
        part(report.packs, report.packs_in_scope, "pack", "packs"),
        level_name(level),
    );
    if report.out_of_time {
        text +=
            "the time limit cut it off: the next run goes on with what was checked longest ago\n";
    }
    if !report.complete {
        for (what, words) in coverage::lines(&report.coverage, environment::now()) {
            text += &format!("{what}: {words}\n");
        }
    }
    text
}

/// `3 packs`, `3 of 20 packs`
fn part(done: u64, all: u64, one: &str, many: &str) -> String {
    if done == all {
        count(done, one, many)
    } else {
        format!("{} of {}", number(done), count(all, one, many))
    }
}

fn describe_one(finding: &Finding, list: &SnapshotList) -> String {
    let mut text = format!("{}: {}\n", printable(&finding.object), printable(&finding.problem));
    if finding.blobs > 0 {
        let ids: Vec<String> = finding.blob_ids.iter().map(|id| id.short()).collect();
        let more = finding.blobs.saturating_sub(ids.len() as u64);
        let more = if more > 0 { format!(" and {} more", number(more)) } else { String::new() };
        let blobs = count(finding.blobs, "blob", "blobs");
        text += &format!("  {blobs} in it cannot be relied on: {}{more}\n", ids.join(", "));
    }
    for id in &finding.snapshots {
        text += &format!("  hits {}\n", damage::snapshot(id, &list.snapshots));
    }
    if finding.more_snapshots > 0 {
        let more = count(finding.more_snapshots, "more snapshot", "more snapshots");
        text += &format!("  and {more}\n");
    }
    text
}
