//! `nightjar snapshot verify`

use std::sync::Arc;

use anyhow::Result;
use nightjar_format::slot::Role;
use nightjar_repository::snapshots::{self, SnapshotList};
use nightjar_repository::verify::{self, Finding, Level, VerifyReport, VerifyRequest};
use nightjar_repository::{Progress, Repository};
use nightjar_storage::Store;
use serde::Serialize;

use super::super::{Program, list_snapshots};
use super::selection;
use crate::args::{SnapshotVerify, VerifyLevel};
use crate::exit::Exit;
use crate::output::format::{count, local_time, printable, size};
use crate::output::requests::RequestsView;
use crate::progress::Display;

#[derive(Serialize)]
struct VerifiedView<'a> {
    level: &'static str,
    snapshots: u64,
    packs: u64,
    references: u64,
    blobs: u64,
    bytes: u64,
    requests: RequestsView,
    findings: Vec<FindingView<'a>>,
}

#[derive(Serialize)]
struct FindingView<'a> {
    object: &'a str,
    problem: &'a str,
    snapshots: Vec<String>,
}

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotVerify) -> Result<Exit> {
    let repository = program.open()?;
    // Where no ids are given, what is wrong with the list is among the findings.
    let by_ids = !arguments.ids.is_empty();
    let list = if by_ids { list_snapshots(&repository)? } else { snapshots::list(&repository)? };
    let wanted = selection::snapshots(&list, &arguments.ids, arguments.series.as_deref())?;
    let request = VerifyRequest {
        level: level(arguments.level, &repository),
        snapshots: wanted.iter().map(|info| info.id).collect(),
        whole_repository: arguments.all,
    };
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "checked", &progress);
    let verified = verify::verify(&repository, &request, &progress);
    drop(display);
    let mut report = verified?;
    if !by_ids && !arguments.all {
        // A snapshot that cannot be read may be one of the series.
        report.findings.extend(list.findings.iter().map(|problem| finding(problem)));
    }
    let damaged = !report.findings.is_empty();
    let view = view(request.level, &report, repository.store());
    program.output.result(&view, || describe(request.level, &report, &list))?;
    Ok(if damaged { Exit::Damage } else { Exit::Done })
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
    Finding { object, problem: problem.to_owned(), snapshots: Vec::new() }
}

fn view<'a>(level: Level, report: &'a VerifyReport, store: &Store) -> VerifiedView<'a> {
    let findings = report.findings.iter().map(|finding| FindingView {
        object: &finding.object,
        problem: &finding.problem,
        snapshots: finding.snapshots.iter().map(ToString::to_string).collect(),
    });
    VerifiedView {
        level: level_name(level),
        snapshots: report.snapshots,
        packs: report.packs,
        references: report.references,
        blobs: report.blobs,
        bytes: report.bytes,
        requests: RequestsView::of(store),
        findings: findings.collect(),
    }
}

fn describe(level: Level, report: &VerifyReport, list: &SnapshotList) -> String {
    let mut text: String =
        report.findings.iter().map(|finding| describe_one(finding, list)).collect();
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
        count(report.snapshots, "snapshot", "snapshots"),
        count(report.packs, "pack", "packs"),
        level_name(level),
    );
    text
}

fn describe_one(finding: &Finding, list: &SnapshotList) -> String {
    let mut text = format!("{}: {}\n", printable(&finding.object), printable(&finding.problem));
    for id in &finding.snapshots {
        let known = list.snapshots.iter().find(|info| info.id == *id);
        let what = known.map_or_else(String::new, |info| {
            let snapshot = &info.snapshot;
            format!(" of {}, {}", printable(&snapshot.series), local_time(snapshot.started))
        });
        text += &format!("  hits snapshot {}{what}\n", id.short());
    }
    text
}
