//! `nightjar gc`

use std::sync::Arc;

use anyhow::Result;
use nightjar_repository::gc::{
    Bounds, Erasure, GcReport, GcRequest, Plan, Preview, Waiting, collect, preview,
};
use nightjar_repository::{Progress, Repository};
use serde::Serialize;

use super::Program;
use crate::args::Gc;
use crate::environment::give_way;
use crate::exit::Exit;
use crate::output::format::{count, local_time, percent, printable, rfc3339, size};
use crate::output::requests::RequestsView;
use crate::progress::Display;
use crate::stderr;

#[derive(Serialize)]
struct GcView {
    dry_run: bool,
    plan: PlanView,
    /// Packs that an earlier run condemned and that are not retired yet.
    condemned: u64,
    /// Objects that are known to be gone and are still there.
    leftovers: u64,
    rounds: u64,
    resumed: bool,
    blobs_moved: u64,
    bytes_moved: u64,
    /// Deltas that are whole now, for they rested on what no snapshot needs.
    blobs_reencoded: u64,
    bytes_reencoded: u64,
    packs_deleted: u64,
    bytes_freed: i64,
    index_objects_replaced: u64,
    snapshots_deleted: u64,
    sessions_deleted: u64,
    bundles_deleted: u64,
    /// What writers that were killed left half-written in a directory.
    unfinished_deleted: u64,
    unfinished_bytes: u64,
    undeleted: Vec<UndeletedView>,
    damaged: Vec<String>,
    suspect: Vec<String>,
    waiting: Vec<WaitingView>,
    out_of_time: bool,
    /// `none`, `asked` (by the ledger, in a dry run), `open` or `done`.
    erasure: &'static str,
    /// The number of the record in the ledger that says it is done.
    erasure_record: Option<u64>,
    /// Until when the store keeps what was deleted, as `keeps-deleted` says.
    erasure_kept_until: Option<String>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct PlanView {
    packs: Vec<ReasonView>,
    bytes_gone: u64,
    bytes_to_move: u64,
    blobs_to_move: u64,
    bytes_freed: u64,
    bytes_kept: u64,
    bytes_unused: u64,
}

#[derive(Serialize)]
struct ReasonView {
    reason: &'static str,
    packs: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct UndeletedView {
    object: String,
    why: String,
}

#[derive(Serialize)]
struct WaitingView {
    session: String,
    host: String,
    process: u32,
    seconds_silent: i64,
}

pub(super) fn run(program: &Program<'_>, arguments: &Gc) -> Result<Exit> {
    // Before there are threads: each takes over what its maker has.
    give_way();
    let repository = program.open()?;
    let bounds = Bounds { unused_permille: arguments.max_unused, move_bytes: arguments.max_repack };
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "moved", &progress);
    if arguments.dry_run {
        let seen = preview(&repository, &bounds, &progress);
        drop(display);
        let seen = seen?;
        let view = view_of_preview(&seen, &repository);
        program.output.result(&view, || describe_preview(&seen))?;
        return Ok(Exit::Done);
    }
    let now = program.environment()?.clock.now();
    let request = GcRequest {
        bounds,
        session_timeout: arguments.session_timeout,
        deadline: arguments.max_time.map(|time| now.saturating_add(time)),
        exclusive: arguments.exclusive,
        keeps_deleted: arguments.keeps_deleted.or(program.access()?.keeps_deleted),
    };
    let collected = collect(&repository, &request, &progress);
    drop(display);
    let report = collected?;
    warn(&report);
    let view = view(&report, &repository);
    program.output.summary(&view, || describe(&report, &view))?;
    Ok(if report.damaged.is_empty() && report.suspect.is_empty() {
        Exit::Done
    } else {
        Exit::Damage
    })
}

fn warn(report: &GcReport) {
    for (object, why) in report.swept.undeleted.iter().take(FEW) {
        stderr::warn(&format!(
            "{object} could not be deleted, and is tried again next time; the store says: {}",
            printable(why)
        ));
    }
    let more = report.swept.undeleted.len().saturating_sub(FEW);
    if more > 0 {
        stderr::warn(&format!(
            "neither could {}",
            count(more as u64, "other object", "other objects")
        ));
    }
    for pack in &report.suspect {
        stderr::warn(&format!(
            "packs/{pack} does not hold what an index object says; it counts as damaged from now \
             on, and nothing was lost by it"
        ));
    }
    for pack in &report.damaged {
        stderr::warn(&format!(
            "packs/{pack} holds something that is needed and cannot be read; it stays, and \
             `nightjar snapshot verify --all` says what it hits"
        ));
    }
}

/// So many objects are named; of others only the number is told.
const FEW: usize = 10;

fn plan_view(plan: &Plan) -> PlanView {
    let reasons = plan.by_reason.iter().map(|(reason, (packs, bytes))| ReasonView {
        reason: reason.name(),
        packs: *packs,
        bytes: *bytes,
    });
    PlanView {
        packs: reasons.collect(),
        bytes_gone: plan.gone_bytes(),
        bytes_to_move: plan.moved_bytes,
        blobs_to_move: plan.moved_blobs,
        bytes_freed: plan.freed_bytes(),
        bytes_kept: plan.kept_bytes,
        bytes_unused: plan.unused_bytes,
    }
}

fn view_of_preview(seen: &Preview, repository: &Repository) -> GcView {
    let report = GcReport { plan: seen.plan.clone(), ..GcReport::default() };
    GcView {
        dry_run: true,
        erasure: if seen.erases { "asked" } else { "none" },
        blobs_reencoded: seen.reencoded_blobs,
        bytes_reencoded: seen.reencoded_bytes,
        condemned: seen.condemned,
        leftovers: seen.leftovers,
        ..view(&report, repository)
    }
}

fn view(report: &GcReport, repository: &Repository) -> GcView {
    let swept = &report.swept;
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let undeleted = swept.undeleted.iter();
    GcView {
        dry_run: false,
        plan: plan_view(&report.plan),
        condemned: 0,
        leftovers: 0,
        rounds: report.rounds,
        resumed: report.resumed,
        blobs_moved: report.moved_blobs,
        bytes_moved: report.moved_bytes,
        blobs_reencoded: report.reencoded.blobs,
        bytes_reencoded: report.reencoded.bytes,
        packs_deleted: swept.packs,
        bytes_freed: signed(swept.pack_bytes) - signed(report.moved_bytes + report.reencoded.bytes),
        index_objects_replaced: swept.index_objects,
        snapshots_deleted: swept.snapshots,
        sessions_deleted: swept.sessions,
        bundles_deleted: swept.bundles,
        unfinished_deleted: swept.unfinished,
        unfinished_bytes: swept.unfinished_bytes,
        undeleted: undeleted
            .map(|(object, why)| UndeletedView { object: object.clone(), why: why.clone() })
            .collect(),
        damaged: report.damaged.iter().map(ToString::to_string).collect(),
        suspect: report.suspect.iter().map(ToString::to_string).collect(),
        waiting: report.waiting.iter().map(waiting_view).collect(),
        out_of_time: report.out_of_time,
        erasure: match report.erasure {
            None => "none",
            Some(Erasure::Open { .. }) => "open",
            Some(Erasure::Done { .. }) => "done",
        },
        erasure_record: match report.erasure {
            Some(Erasure::Done { record, .. }) => Some(record),
            _ => None,
        },
        erasure_kept_until: match report.erasure {
            Some(Erasure::Done { kept_until, .. }) => kept_until.map(rfc3339),
            _ => None,
        },
        requests: RequestsView::of(repository.store()),
    }
}

fn waiting_view(waiting: &Waiting) -> WaitingView {
    WaitingView {
        session: waiting.session.to_string(),
        host: waiting.host.clone(),
        process: waiting.process,
        seconds_silent: waiting.silent / 1_000_000_000,
    }
}

fn describe_plan(plan: &Plan) -> String {
    let mut text = String::new();
    for (reason, (packs, bytes)) in &plan.by_reason {
        let packs = count(*packs, "pack", "packs");
        text += &format!("{packs}, {}: {}\n", size(*bytes), reason.describe());
    }
    text
}

fn describe_preview(seen: &Preview) -> String {
    let Preview { plan, condemned, leftovers, .. } = seen;
    let mut text = String::new();
    if seen.erases {
        text += "snapshots were erased: nothing that no snapshot needs may stay\n";
    }
    if *condemned > 0 {
        let packs = count(*condemned, "pack is", "packs are");
        text += &format!("{packs} condemned by an earlier run, which gc finishes first\n");
    }
    if *leftovers > 0 {
        text +=
            &format!("{} to delete\n", count(*leftovers, "leftover object", "leftover objects"));
    }
    text += &describe_plan(plan);
    if seen.reencoded_blobs > 0 {
        let blobs = count(seen.reencoded_blobs, "delta rests", "deltas rest");
        let (takes, frees) = (size(seen.reencoded_bytes), size(seen.reencoded_frees));
        text += &format!(
            "{blobs} on what no snapshot needs: stored whole they take some {takes}, and some {frees} \
             can go\n"
        );
    } else if plan.packs.is_empty() {
        return text + "there is nothing else to collect\n" + &describe_rest(plan);
    }
    let freed = size(plan.freed_bytes());
    text += &format!("would free {freed} and move {}\n", size(plan.moved_bytes));
    text + &describe_rest(plan)
}

/// What stays, and how much of it is of no use.
fn describe_rest(plan: &Plan) -> String {
    let share = percent(plan.unused_bytes, plan.kept_bytes);
    let unused = share.map_or_else(String::new, |share| format!(", {share} of it unused"));
    format!("{} in packs stay{unused}\n", size(plan.kept_bytes))
}

fn describe(report: &GcReport, view: &GcView) -> String {
    let mut text = describe_plan(&report.plan);
    if report.reencoded.blobs > 0 {
        let blobs = count(report.reencoded.blobs, "delta", "deltas");
        text += &format!("{blobs} stored whole, for they rested on what no snapshot needs\n");
    }
    if view.unfinished_deleted > 0 {
        let files = count(view.unfinished_deleted, "file", "files");
        let bytes = size(view.unfinished_bytes);
        text += &format!("deleted {files} ({bytes}) that killed writers left half-written\n");
    }
    for waiting in &report.waiting {
        let host = printable(&waiting.host);
        let minutes = waiting.silent / 60_000_000_000;
        text += &format!(
            "waiting for session {} of {host}, process {}, last heard of {minutes} minutes ago\n",
            waiting.session.short(),
            waiting.process
        );
    }
    if !report.waiting.is_empty() {
        text += "it may still need what is to go: run gc again when it has ended\n";
    }
    if report.out_of_time {
        text += "the time is up; the next run goes on\n";
    }
    match &report.erasure {
        None => {}
        Some(Erasure::Done { record, kept_until }) => {
            let until = kept_until.map_or_else(
                || "for as long as its own rules say (--keeps-deleted records it)".to_owned(),
                |until| format!("until {}", local_time(until)),
            );
            text += &format!(
                "erased: nothing is left of what only erased snapshots held, as the ledger's record \
                 {record} says\nversions, locks and soft deletion of the store keep what was deleted \
                 {until}; caches of machines that made backups keep copies of packs until they are \
                 full\n"
            );
        }
        Some(Erasure::Open { why }) => text += &format!("not yet erased: {}\n", printable(why)),
    }
    let freed = u64::try_from(view.bytes_freed.max(0)).unwrap_or_default();
    let packs = count(view.packs_deleted, "pack", "packs");
    let moved = size(view.bytes_moved + view.bytes_reencoded);
    let requests = count(view.requests.total(), "request", "requests");
    text += &format!("freed {}: {packs} deleted, {moved} moved, {requests}\n", size(freed));
    text + &describe_rest(&report.plan)
}
