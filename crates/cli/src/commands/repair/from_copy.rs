//! `nightjar repair --from COPY`

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use nightjar_format::PackId;
use nightjar_format::object::ObjectName;
use nightjar_repository::repair::{Left, Means, Mend, Pair, Plan, Report};
use nightjar_repository::{Progress, RepositoryError};
use nightjar_storage::Store;
use serde::Serialize;

use super::super::{Program, not_opened};
use super::{LeftView, describe_left, exit, left_views};
use crate::args::Repair;
use crate::config::Access;
use crate::exit::{CommandError, Exit};
use crate::output::format::{count, size};
use crate::output::requests::RequestsView;
use crate::progress::Display;

#[derive(Serialize)]
struct RepairView<'a> {
    dry_run: bool,
    from: &'a str,
    objects: Vec<MendView>,
    bytes: u64,
    /// Packs recorded as damaged that are looked at again.
    suspects: Vec<String>,
    /// Those that may be relied on again.
    repaired: Vec<String>,
    packs_read: u64,
    left: Vec<LeftView<'a>>,
    requests: RequestsView,
}

#[derive(Serialize)]
struct MendView {
    object: String,
    kind: &'static str,
    problem: &'static str,
    means: &'static str,
    bytes: u64,
}

pub(super) fn run(program: &Program<'_>, arguments: &Repair) -> Result<Exit> {
    let Some(from) = arguments.from.as_deref() else {
        return Err(CommandError::Usage("say with --from where a copy is".to_owned()).into());
    };
    let target = Access::of_target(program.globals, from)?;
    let Access { url, settings, origin, .. } = program.access()?;
    let store = Store::open(url, settings).map_err(RepositoryError::from)?;
    let copy = Store::open(&target.url, &target.settings).map_err(RepositoryError::from)?;
    let (here, there) = (store.url().to_owned(), copy.url().to_owned());
    let pair = Pair::look(store.clone(), copy)?;
    let environment = program.environment()?;
    let repairing = pair
        .open(&origin.read()?, environment)
        .map_err(|error| not_opened(error, origin, &here))?;
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "read", &progress);
    let plan = repairing.plan(arguments.check, &progress)?;
    drop(display);
    let report = if arguments.dry_run {
        let (mended, left) = (plan.mends.clone(), plan.left.clone());
        Report { mended, left, ..Report::default() }
    } else {
        let display = Display::start(program.globals, "fetched", &progress);
        let report = repairing.execute(&plan, &progress)?;
        drop(display);
        report
    };
    let view = RepairView {
        dry_run: arguments.dry_run,
        from: &there,
        objects: report.mended.iter().map(view).collect(),
        bytes: report.mended.iter().map(|mend| mend.bytes).sum(),
        suspects: plan.suspects.iter().map(name_of).collect(),
        repaired: report.repaired.iter().map(name_of).collect(),
        packs_read: plan.packs_read,
        left: left_views(&report.left),
        requests: RequestsView::of(&store),
    };
    if arguments.dry_run {
        program.output.result(&view, || describe_plan(&plan, &there))?;
    } else {
        program.output.summary(&view, || describe(&report, &there, arguments.check))?;
    }
    Ok(exit(&report.left))
}

fn name_of(id: &PackId) -> String {
    ObjectName::Pack(*id).to_string()
}

fn view(mend: &Mend) -> MendView {
    MendView {
        object: mend.name.to_string(),
        kind: kind(&mend.name).0,
        problem: mend.trouble.name(),
        means: mend.means.name(),
        bytes: mend.bytes,
    }
}

/// What kind of object it is: one, and many.
const fn kind(name: &ObjectName) -> (&'static str, &'static str) {
    match name {
        ObjectName::Repository => ("repository object", "repository objects"),
        ObjectName::Slot(_) => ("slot", "slots"),
        ObjectName::Keyring(..) => ("keyring", "keyrings"),
        ObjectName::Pack(_) => ("pack", "packs"),
        ObjectName::Index(_) => ("index object", "index objects"),
        ObjectName::Session(_) => ("session", "sessions"),
        ObjectName::Snapshot(_) => ("snapshot", "snapshots"),
        ObjectName::Ledger(..) => ("ledger record", "ledger records"),
        ObjectName::Bundle(..) => ("bundle", "bundles"),
        ObjectName::Check(_) => ("check object", "check objects"),
        ObjectName::Replica => ("mark of a replica", "marks of replicas"),
    }
}

fn describe_plan(plan: &Plan, there: &str) -> String {
    let mut text = String::new();
    for mend in &plan.mends {
        let how = match mend.means {
            Means::Copy => "comes from the copy",
            Means::Sealed => "is sealed anew",
        };
        let (problem, bytes) = (mend.trouble.name(), size(mend.bytes));
        text += &format!("{} is {problem}, and {how} ({bytes})\n", mend.name);
    }
    let mended: BTreeSet<ObjectName> = plan.mends.iter().map(|mend| mend.name).collect();
    let others = plan.suspects.iter().map(|id| ObjectName::Pack(*id));
    for name in others.filter(|name| !mended.contains(name)) {
        text += &format!("{name} is recorded as damaged, and is looked at again\n");
    }
    text += &describe_left(&plan.left);
    if plan.mends.is_empty() && plan.left.is_empty() {
        text += "nothing was found to be missing or damaged\n";
    } else {
        let objects = count(plan.mends.len() as u64, "object", "objects");
        text += &format!("{objects} ({}) would be written from {there}\n", size(plan.bytes()));
    }
    text + "nothing was changed\n"
}

fn describe(report: &Report, there: &str, checked: bool) -> String {
    let Report { mended, repaired, left } = report;
    let mut text = String::new();
    let mut kinds: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for mend in mended {
        let of_kind = kinds.entry(kind(&mend.name)).or_default();
        of_kind.0 += 1;
        of_kind.1 += mend.bytes;
    }
    for ((one, many), (number, bytes)) in kinds {
        text += &format!("brought back {} ({})\n", count(number, one, many), size(bytes));
    }
    if !repaired.is_empty() {
        let packs = count(repaired.len() as u64, "pack", "packs");
        text +=
            &format!("{packs} recorded as damaged may be relied on again, says the ledger now\n");
    }
    text += &describe_left(left);
    text + &closing(mended, repaired.is_empty(), left, there, checked)
}

fn closing(
    mended: &[Mend],
    none_repaired: bool,
    left: &[Left],
    there: &str,
    checked: bool,
) -> String {
    if !left.is_empty() {
        let left = count(left.len() as u64, "finding", "findings");
        return format!("{left} could not be mended from {there}\n");
    }
    let found = match mended.is_empty() && none_repaired {
        true => "nothing was found to be missing or damaged",
        false => "all that was found is mended",
    };
    match checked {
        true => format!("{found}\n"),
        false => format!("{found}; what is inside packs shows only with --check\n"),
    }
}
