//! `nightjar replica promote`

use std::sync::Arc;

use anyhow::Result;
use nightjar_repository::Progress;
use nightjar_repository::promote::{self, PromoteReport};
use nightjar_repository::snapshots::SnapshotInfo;
use serde::Serialize;

use super::Program;
use crate::args::ReplicaPromote;
use crate::environment;
use crate::exit::Exit;
use crate::output::format::{count, local_time, printable, rfc3339};
use crate::progress::Display;
use crate::stderr;

/// What is to be done, and cannot be done here.
const NEXT: &str = "\
next:
  stop whatever still uses the lost repository: what it stores from now on is no part of this one
  give this address to every machine (-r, NIGHTJAR_REPOSITORY or nightjar.toml)
  nightjar gc, and nightjar snapshot verify --all
  copied-until = \"now\" for retention policies, if hosts with write slots backed up: see README
  nightjar replicate, to a new place: this was a copy, and is the only one now
";

#[derive(Serialize)]
struct PromotedView<'a> {
    repository: &'a str,
    dry_run: bool,
    /// The ledger's record.
    record: Option<u64>,
    incarnation: Option<String>,
    /// How many there are, those that are back among them.
    snapshots: u64,
    newest_snapshot: Option<String>,
    /// Had been forgotten, and are not any more.
    back: Vec<String>,
    /// Had been forgotten and stay so: not whole here, or to be erased.
    stay_forgotten: Vec<String>,
    /// Packs that had been retired, and are not any more.
    packs_back: u64,
    /// So many ledger records more had the lost repository when this machine last used it.
    records_behind: u64,
    findings: &'a [String],
}

pub(super) fn promote(program: &Program<'_>, arguments: &ReplicaPromote) -> Result<Exit> {
    let repository = program.open()?;
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "checked", &progress);
    let report = if arguments.dry_run {
        promote::preview(&repository, &progress)
    } else {
        let who = environment::who();
        promote::promote(&repository, &who, &arguments.reason, &progress)
    };
    drop(display);
    let report = report?;
    report.findings.iter().for_each(|finding| stderr::warn(finding));
    let url = repository.store().url();
    let newest = newest_of(&report);
    let ids = |infos: &[SnapshotInfo]| infos.iter().map(|info| info.id.to_string()).collect();
    let view = PromotedView {
        repository: url,
        dry_run: arguments.dry_run,
        record: report.record,
        incarnation: report.record.map(|_| report.incarnation.to_string()),
        snapshots: (report.snapshots.len() + report.back.len()) as u64,
        newest_snapshot: newest.map(rfc3339),
        back: ids(&report.back),
        stay_forgotten: ids(&report.in_part),
        packs_back: report.packs_back,
        records_behind: report.records_behind,
        findings: &report.findings,
    };
    program.output.result(&view, || describe(&view, newest))?;
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn newest_of(report: &PromoteReport) -> Option<i64> {
    report.snapshots.iter().chain(&report.back).map(|info| info.snapshot.started).max()
}

fn describe(view: &PromotedView<'_>, newest: Option<i64>) -> String {
    let url = printable(view.repository);
    let mut text = match view.record {
        Some(record) => {
            format!("promoted {url}: it is the repository now (ledger record {record})\n")
        }
        None => format!("would promote {url}\n"),
    };
    let snapshots = count(view.snapshots, "snapshot", "snapshots");
    text += &match newest {
        Some(newest) => format!("{snapshots}; the newest began {}\n", local_time(newest)),
        None => format!("{snapshots}\n"),
    };
    let list = |ids: &[String], what: &str| match ids {
        [] => String::new(),
        ids => format!(
            "{what}: {}\n",
            ids.iter().map(|id| id.get(..8).unwrap_or(id)).collect::<Vec<_>>().join(", ")
        ),
    };
    text += &list(&view.back, "had been forgotten and back again");
    text += &list(&view.stay_forgotten, "had been forgotten and stay so, erased or not whole here");
    if view.records_behind > 0 {
        let records = count(view.records_behind, "ledger record", "ledger records");
        text +=
            &format!("when this machine last used the lost repository, it was {records} ahead\n");
    }
    if !view.dry_run {
        text += NEXT;
    }
    text
}
