//! `nightjar snapshot rewrite`

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use nightjar_format::SessionId;
use nightjar_format::slot::Role;
use nightjar_repository::rewrite::{self, Erasure, Planned, Rewritten};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError};
use nightjar_source::Patterns;
use serde::Serialize;

use super::super::{Program, list_snapshots};
use super::forget::STILL_THERE;
use super::selection;
use crate::args::SnapshotRewrite;
use crate::environment;
use crate::exit::Exit;
use crate::output::format::{self, count, local_time, printable, rfc3339, size};
use crate::output::requests::RequestsView;
use crate::output::views::PathView;
use crate::progress::Display;

#[derive(Serialize)]
struct RewriteView<'a> {
    dry_run: bool,
    /// Whether the originals were forgotten, to be erased.
    erase: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    snapshots: Vec<RewrittenView<'a>>,
    /// Snapshots in which nothing matches.
    untouched: u64,
    requests: RequestsView,
}

#[derive(Serialize)]
struct RewrittenView<'a> {
    original: String,
    /// The snapshot in its place; null in a dry run, unless an earlier run made it.
    snapshot: Option<String>,
    /// Whether an earlier run made it.
    was_there: bool,
    series: &'a str,
    time: String,
    entries: u64,
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
    bytes_added: u64,
    /// The topmost entries that are taken out; a directory stands for all that lies in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    paths: Option<Vec<PathView>>,
}

/// By snapshot, the topmost entries that are taken out, and whether they are directories.
type Paths = BTreeMap<SessionId, Vec<(Vec<u8>, bool)>>;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotRewrite) -> Result<Exit> {
    let patterns = Patterns::new(&arguments.exclude, &arguments.exclude_from)?;
    let leaves_out = |path: &[u8], is_directory| patterns.leave_out(path, is_directory);
    let repository = program.open()?;
    if !arguments.dry_run && repository.keychain().role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "rewrite snapshots" }.into());
    }
    let list = list_snapshots(&repository)?;
    let wanted = selection::snapshots(&list, &arguments.ids, arguments.series.as_deref())?;
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "read", &progress);
    let mut paths = (arguments.dry_run || program.globals.verbose > 0).then(Paths::new);
    let note = |info: &SnapshotInfo, taken: rewrite::Taken<'_>| {
        if let Some(paths) = &mut paths {
            let of_snapshot = paths.entry(info.id).or_default();
            of_snapshot.push((taken.path.to_vec(), taken.is_directory));
        }
    };
    let planned = rewrite::plan(&repository, &list, &wanted, &leaves_out, &progress, note)?;
    let who = environment::who();
    let why = arguments.reason.as_deref().filter(|_| !arguments.keep_originals);
    let erasure = why.map(|why| Erasure { who: &who, why });
    let rewritten = match arguments.dry_run {
        true => Vec::new(),
        false => rewrite::execute(&repository, &planned, &leaves_out, erasure, &progress)?,
    };
    drop(display);
    let view = RewriteView {
        dry_run: arguments.dry_run,
        erase: !arguments.dry_run && !arguments.keep_originals,
        reason: arguments.reason.as_deref(),
        snapshots: planned
            .iter()
            .enumerate()
            .map(|(at, plan)| view(plan, rewritten.get(at), paths.as_ref()))
            .collect(),
        untouched: (wanted.len() - planned.len()) as u64,
        requests: RequestsView::of(repository.store()),
    };
    let text = || describe(&planned, &rewritten, paths.as_ref(), arguments, view.untouched);
    if arguments.dry_run {
        program.output.result(&view, text)?;
    } else {
        program.output.summary(&view, text)?;
    }
    // What could not be listed was not looked into.
    Ok(if list.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn view<'a>(
    plan: &'a Planned,
    rewritten: Option<&Rewritten>,
    paths: Option<&Paths>,
) -> RewrittenView<'a> {
    let taken = &plan.taken;
    let snapshot = rewritten.map(|it| it.id).or(plan.successor);
    RewrittenView {
        original: plan.info.id.to_string(),
        snapshot: snapshot.map(|id| id.to_string()),
        was_there: plan.successor.is_some(),
        series: &plan.info.snapshot.series,
        time: rfc3339(plan.info.snapshot.started),
        entries: taken.entries(),
        files: taken.files,
        directories: taken.directories,
        others: taken.others,
        bytes: taken.bytes,
        bytes_added: rewritten.map_or(0, |it| it.bytes_added),
        paths: paths.map(|paths| {
            let of_snapshot = paths.get(&plan.info.id).into_iter().flatten();
            of_snapshot.map(|(path, _)| PathView::new(path)).collect()
        }),
    }
}

fn describe(
    planned: &[Planned],
    rewritten: &[Rewritten],
    paths: Option<&Paths>,
    arguments: &SnapshotRewrite,
    untouched: u64,
) -> String {
    let mut text = String::new();
    for (at, plan) in planned.iter().enumerate() {
        text += &heading(plan, arguments.dry_run);
        for (path, is_directory) in paths.and_then(|it| it.get(&plan.info.id)).into_iter().flatten()
        {
            let slash = if *is_directory { "/" } else { "" };
            text += &format!("  {}{slash}\n", format::path(path));
        }
        if let Some(Rewritten { id, was_there, .. }) = rewritten.get(at) {
            let before = if *was_there { ", made by an earlier run" } else { "" };
            text += &format!("  snapshot {} has the rest{before}\n", id.short());
        }
    }
    if untouched > 0 {
        let untouched = count(untouched, "snapshot holds", "snapshots hold");
        text += &format!("{untouched} nothing that matches\n");
    }
    text + closing(planned, arguments)
}

/// `took 12 entries (3.4 MB) out of snapshot 3f2a… of series home (2026-…)`
fn heading(plan: &Planned, dry_run: bool) -> String {
    let verb = if dry_run { "would take" } else { "took" };
    format!(
        "{verb} {} ({}) out of snapshot {} of series {} ({})\n",
        count(plan.taken.entries(), "entry", "entries"),
        size(plan.taken.bytes),
        plan.info.id.short(),
        printable(&plan.info.snapshot.series),
        local_time(plan.info.snapshot.started)
    )
}

fn closing(planned: &[Planned], arguments: &SnapshotRewrite) -> &'static str {
    if arguments.dry_run {
        "nothing was changed\n"
    } else if planned.is_empty() {
        "nothing was to be done\n"
    } else if arguments.keep_originals {
        "the originals are still there, with all that was taken out of the new snapshots\n"
    } else {
        STILL_THERE
    }
}
