//! `nightjar repair snapshots`

use std::sync::Arc;

use anyhow::Result;
use nightjar_format::slot::Role;
use nightjar_repository::repair::LeftOut;
use nightjar_repository::repair::snapshots::{self, SnapshotMend, SnapshotsPlan};
use nightjar_repository::rewrite::Rewritten;
use nightjar_repository::{Progress, RepositoryError};
use serde::Serialize;

use super::super::snapshot::selection;
use super::super::{Program, list_snapshots};
use super::{LeftView, describe_left, exit, left_views};
use crate::args::RepairSnapshots;
use crate::exit::Exit;
use crate::output::format::{self, count, local_time, printable, rfc3339};
use crate::output::requests::RequestsView;
use crate::output::views::PathView;
use crate::progress::Display;

#[derive(Serialize)]
struct SnapshotsView<'a> {
    dry_run: bool,
    snapshots: Vec<MendedView<'a>>,
    /// Snapshots that lost nothing.
    whole: u64,
    left: Vec<LeftView<'a>>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct MendedView<'a> {
    original: String,
    /// The snapshot in its place; null in a dry run, unless an earlier run made it.
    snapshot: Option<String>,
    was_there: bool,
    series: &'a str,
    time: String,
    left_out: Vec<LeftOutView<'a>>,
    /// Files that are left.
    files: u64,
    bytes_added: u64,
}

#[derive(Serialize)]
struct LeftOutView<'a> {
    #[serde(flatten)]
    path: PathView,
    directory: bool,
    problem: &'a str,
}

pub(super) fn run(program: &Program<'_>, arguments: &RepairSnapshots) -> Result<Exit> {
    let repository = program.open()?;
    if !arguments.dry_run && repository.keychain().role() != Role::Full {
        let what = "write snapshots in the place of others";
        return Err(RepositoryError::RoleForbids { what }.into());
    }
    let meant = &arguments.snapshots;
    let list = list_snapshots(&repository)?;
    let wanted = selection::snapshots(&list, &meant.ids, meant.series.as_deref())?;
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "read", &progress);
    let plan = snapshots::plan(&repository, &list, &wanted, &progress)?;
    let made = match arguments.dry_run {
        true => Vec::new(),
        false => snapshots::execute(&repository, &plan, &progress)?,
    };
    drop(display);
    let view = SnapshotsView {
        dry_run: arguments.dry_run,
        snapshots: plan.mends.iter().enumerate().map(|(at, it)| view(it, made.get(at))).collect(),
        whole: plan.whole,
        left: left_views(&plan.left),
        requests: RequestsView::of(repository.store()),
    };
    if arguments.dry_run {
        program.output.result(&view, || describe(&plan, &made) + "nothing was changed\n")?;
    } else {
        program.output.summary(&view, || describe(&plan, &made) + closing(&plan))?;
    }
    // What could not be listed was not looked into.
    Ok(if list.findings.is_empty() { exit(&plan.left) } else { Exit::Damage })
}

fn view<'a>(mend: &'a SnapshotMend, made: Option<&Rewritten>) -> MendedView<'a> {
    let original = mend.original();
    let snapshot = made.map(|it| it.id).or(mend.successor());
    MendedView {
        original: original.id.to_string(),
        snapshot: snapshot.map(|id| id.to_string()),
        was_there: mend.successor().is_some(),
        series: &original.snapshot.series,
        time: rfc3339(original.snapshot.started),
        left_out: mend.left_out.iter().map(left_out_view).collect(),
        files: original.snapshot.counts.files.saturating_sub(mend.planned.taken.files),
        bytes_added: made.map_or(0, |it| it.bytes_added),
    }
}

fn left_out_view(left_out: &LeftOut) -> LeftOutView<'_> {
    let LeftOut { path, is_directory, why } = left_out;
    LeftOutView { path: PathView::new(path), directory: *is_directory, problem: why }
}

fn describe(plan: &SnapshotsPlan, made: &[Rewritten]) -> String {
    let mut text = String::new();
    for (at, mend) in plan.mends.iter().enumerate() {
        let original = mend.original();
        text += &format!(
            "snapshot {} of series {} ({}) lost {}\n",
            original.id.short(),
            printable(&original.snapshot.series),
            local_time(original.snapshot.started),
            count(mend.left_out.len() as u64, "entry", "entries")
        );
        for LeftOut { path, is_directory, why } in &mend.left_out {
            let slash = if *is_directory { "/" } else { "" };
            text += &format!("  {}{slash}: {}\n", format::path(path), printable(why));
        }
        if let Some(Rewritten { id, was_there, .. }) = made.get(at) {
            let before = if *was_there { ", made by an earlier run" } else { "" };
            text += &format!("  snapshot {} has the rest{before}\n", id.short());
        }
    }
    text += &describe_left(&plan.left);
    if plan.whole > 0 {
        text += &format!("{} nothing\n", count(plan.whole, "snapshot lost", "snapshots lost"));
    }
    text
}

fn closing(plan: &SnapshotsPlan) -> &'static str {
    match plan.mends.is_empty() {
        true => "no snapshot was made\n",
        false => {
            "the originals are still there, and stop `nightjar gc` until `nightjar snapshot forget` \
             strikes them off\n"
        }
    }
}
