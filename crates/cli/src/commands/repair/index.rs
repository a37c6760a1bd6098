//! `nightjar repair index`

use std::sync::Arc;

use anyhow::Result;
use nightjar_format::PackId;
use nightjar_format::object::ObjectName;
use nightjar_repository::Progress;
use nightjar_repository::repair::Left;
use nightjar_repository::repair::index::{self, IndexPlan, IndexReport};
use serde::Serialize;

use super::super::Program;
use super::{LeftView, describe_left, exit, left_views};
use crate::args::RepairIndex;
use crate::exit::Exit;
use crate::output::format::{count, printable, size};
use crate::output::requests::RequestsView;
use crate::progress::Display;

#[derive(Serialize)]
struct IndexView<'a> {
    dry_run: bool,
    /// Packs that no index object lists.
    packs: Vec<String>,
    bytes: u64,
    /// Packs of backups that are under way.
    busy: Vec<String>,
    damaged: Vec<DamagedView<'a>>,
    written: Vec<String>,
    packs_listed: u64,
    blobs: u64,
    deleted: Vec<String>,
    left: Vec<LeftView<'a>>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct DamagedView<'a> {
    object: String,
    problem: &'a str,
    /// No key would open it.
    deletable: bool,
}

pub(super) fn run(program: &Program<'_>, arguments: &RepairIndex) -> Result<Exit> {
    let repository = program.open()?;
    let progress = Arc::new(Progress::default());
    let plan = index::plan(&repository)?;
    let report = if arguments.dry_run {
        IndexReport { left: foreseen(&plan, arguments.delete_damaged), ..IndexReport::default() }
    } else {
        let display = Display::start(program.globals, "read", &progress);
        let report = index::execute(&repository, &plan, arguments.delete_damaged, &progress)?;
        drop(display);
        report
    };
    let name = |id: &PackId| ObjectName::Pack(*id).to_string();
    let view = IndexView {
        dry_run: arguments.dry_run,
        packs: plan.packs.keys().map(name).collect(),
        bytes: plan.bytes(),
        busy: plan.busy.iter().map(name).collect(),
        damaged: plan
            .damaged
            .iter()
            .map(|(id, problem)| DamagedView {
                object: ObjectName::Index(*id).to_string(),
                problem,
                deletable: plan.deletable.contains(id),
            })
            .collect(),
        written: report.written.iter().map(|id| ObjectName::Index(*id).to_string()).collect(),
        packs_listed: report.packs,
        blobs: report.blobs,
        deleted: report.deleted.iter().map(|id| ObjectName::Index(*id).to_string()).collect(),
        left: left_views(&report.left),
        requests: RequestsView::of(repository.store()),
    };
    if arguments.dry_run {
        program.output.result(&view, || describe_plan(&plan, &report))?;
    } else {
        program.output.summary(&view, || describe(&plan, &report))?;
    }
    Ok(exit(&report.left))
}

/// What would stay as it is.
fn foreseen(plan: &IndexPlan, delete_damaged: bool) -> Vec<Left> {
    let stays = |id| !(delete_damaged && plan.deletable.contains(id));
    let damaged = plan.damaged.iter().filter(|(id, _)| stays(id));
    let damaged = damaged
        .map(|(id, why)| Left { object: ObjectName::Index(*id).to_string(), why: why.clone() });
    plan.left.iter().cloned().chain(damaged).collect()
}

fn describe_plan(plan: &IndexPlan, report: &IndexReport) -> String {
    let packs = count(plan.packs.len() as u64, "pack is", "packs are");
    let mut text = format!("{packs} listed by no index object ({})\n", size(plan.bytes()));
    for id in plan.packs.keys() {
        text += &format!("  {}\n", ObjectName::Pack(*id));
    }
    text + &describe_rest(plan, &report.left) + "nothing was changed\n"
}

fn describe(plan: &IndexPlan, report: &IndexReport) -> String {
    let mut text = match report.written.len() as u64 {
        0 => "no pack had to be listed anew\n".to_owned(),
        written => format!(
            "listed {} with {} in {}\n",
            count(report.packs, "pack", "packs"),
            count(report.blobs, "blob", "blobs"),
            count(written, "new index object", "new index objects")
        ),
    };
    for id in &report.deleted {
        text += &format!("deleted {}, which was damaged\n", ObjectName::Index(*id));
    }
    text += &describe_rest(plan, &report.left);
    if plan.deletable.iter().any(|id| !report.deleted.contains(id)) {
        text += "what is damaged of these is of no use any more: --delete-damaged removes it\n";
    }
    text
}

fn describe_rest(plan: &IndexPlan, left: &[Left]) -> String {
    let busy = match plan.busy.len() as u64 {
        0 => String::new(),
        busy => {
            let busy = count(busy, "pack belongs", "packs belong");
            printable(&format!("{busy} to backups under way, which list them themselves")) + "\n"
        }
    };
    busy + &describe_left(left)
}
