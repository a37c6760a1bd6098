//! `nightjar retention plan` and `apply`

mod policies;
mod views;
mod words;

use anyhow::Result;
use nightjar_format::slot::Role;
use nightjar_repository::retention::{self, Applied, Plan};
use nightjar_repository::snapshots::SnapshotList;
use nightjar_repository::{Repository, RepositoryError};

use super::{Program, list_snapshots};
use crate::args::{RetentionApply, RetentionArguments, RetentionPlan};
use crate::environment;
use crate::exit::Exit;
use crate::output::format::count;
use crate::stderr;
use policies::Policies;
use views::{AppliedView, PlanView};

pub(super) fn plan(program: &Program<'_>, arguments: &RetentionPlan) -> Result<Exit> {
    let repository = program.open()?;
    show(program, &repository, &arguments.what)
}

/// Prints a plan; nothing is changed.
fn show(program: &Program<'_>, repository: &Repository, what: &RetentionArguments) -> Result<Exit> {
    let list = list_snapshots(repository)?;
    let policies = Policies::gather(program, repository, what)?;
    let plan = policies.plan(&list)?;
    let warnings = warn(&plan, &policies);
    let view = PlanView::new(&plan, &policies, &warnings);
    program.output.result(&view, || words::plan(&plan, &policies))?;
    Ok(exit(&list))
}

pub(super) fn apply(program: &Program<'_>, arguments: &RetentionApply) -> Result<Exit> {
    let repository = program.open()?;
    if arguments.dry_run {
        return show(program, &repository, &arguments.what);
    }
    if repository.keychain().role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "forget snapshots" }.into());
    }
    let list = list_snapshots(&repository)?;
    let policies = Policies::gather(program, &repository, &arguments.what)?;
    let plan = policies.plan(&list)?;
    let warnings = warn(&plan, &policies);
    let view = PlanView::new(&plan, &policies, &warnings);
    if !program.globals.json {
        program.output.summary(&view, || words::plan(&plan, &policies))?;
    }
    let who = environment::who();
    let applied =
        policies.with_request(|request| retention::apply(&repository, &plan, request, &who))?;
    let view = AppliedView::new(view, &applied);
    program.output.summary(&view, || describe(&applied))?;
    Ok(exit(&list))
}

fn describe(applied: &Applied) -> String {
    let Applied { forgotten, kept, records } = applied;
    let snapshots = |many: usize| count(many as u64, "snapshot", "snapshots");
    let mut text = match records.as_slice() {
        [] => "nothing was forgotten\n".to_owned(),
        records => {
            let numbers: Vec<String> = records.iter().map(ToString::to_string).collect();
            let numbers = numbers.join(", ");
            format!("forgot {} (ledger record {numbers})\n", snapshots(forgotten.len()))
        }
    };
    if !kept.is_empty() {
        let ids: Vec<String> = kept.iter().map(nightjar_format::SessionId::short).collect();
        let (many, ids) = (snapshots(kept.len()), ids.join(", "));
        text += &format!("{many} kept after all, for something changed meanwhile: {ids}\n");
    }
    text
}

/// Warns of what somebody should look at.
fn warn(plan: &Plan<'_>, policies: &Policies) -> Vec<String> {
    let warnings = words::warnings(plan, policies);
    warnings.iter().for_each(|warning| stderr::warn(warning));
    if !plan.series.is_empty() && plan.series.iter().all(|series| series.policy.is_none()) {
        stderr::note(
            "no policy is for any of these series, and all snapshots stay; put one into \
             nightjar.toml, or give it by options such as --preset standard",
        );
    }
    warnings
}

/// Damage to the list of snapshots shows in the exit code, here as everywhere.
fn exit(list: &SnapshotList) -> Exit {
    if list.findings.is_empty() { Exit::Done } else { Exit::Damage }
}
