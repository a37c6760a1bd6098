//! `nightjar doctor`

use anyhow::Result;
use nightjar_repository::doctor::machine::{self, MachineFindings};
use nightjar_repository::doctor::store::{self, StoreFindings};
use nightjar_repository::doctor::{Check, State, repository};
use nightjar_storage::{Store, StoreError, StoreUrl};
use serde::Serialize;

use super::Program;
use crate::config::Access;
use crate::exit::Exit;
use crate::output::format::printable;
use crate::secret_input::Origin;

#[derive(Serialize)]
struct DoctorView<'a> {
    url: String,
    checks: Vec<CheckView<'a>>,
    ok: usize,
    skipped: usize,
    warnings: usize,
    failed: usize,
    damaged: usize,
    latency_seconds: Option<f64>,
    /// How far the store's clock is ahead.
    clock_skew_seconds: Option<i64>,
    /// Whether the store honours conditional creation, as seen now.
    conditional_create: Option<bool>,
    cache_free_bytes: Option<u64>,
    store_free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct CheckView<'a> {
    name: &'static str,
    state: &'static str,
    found: &'a str,
    advice: Option<&'a str>,
}

pub(super) fn run(program: &Program<'_>) -> Result<Exit> {
    // What is wrong in a configuration file is told with its line, as with every command.
    let access = program.access()?;
    let url = &access.url;
    let environment = program.environment()?;
    let (configuration, opened) = open(access);
    let mut checks = vec![configuration];
    let found = match opened {
        Ok(store) => {
            let mut found = store::examine(&store, &environment);
            checks.append(&mut found.checks);
            if found.reached {
                let seen = found.honours_conditions;
                let (unlock, problem) = secret(&access.origin);
                let looked = repository::examine(&store, &environment, unlock.as_ref(), seen);
                checks.extend(looked.into_iter().map(|check| match &problem {
                    Some(problem) if check.name == problem.name => problem.clone(),
                    _ => check,
                }));
            } else {
                checks.extend(repository::skip("the store was not reached"));
            }
            found
        }
        Err(check) => {
            let mut found = StoreFindings::unreached(check);
            checks.append(&mut found.checks);
            checks.extend(repository::skip("the store was not reached"));
            found
        }
    };
    let mut machine = machine::examine(&environment, url.directory());
    checks.append(&mut machine.checks);
    let view = view(url, &checks, &found, &machine);
    program.output.result(&view, || describe(&checks))?;
    Ok(exit(&checks))
}

/// The check of the configuration, and the store; or what became of reaching it.
fn open(access: &Access) -> (Check, Result<Store, Check>) {
    const REACH: &str = "reach";
    let url = &access.url;
    let named = Check::ok("configuration", format!("the repository is {url}"));
    match Store::open(url, &access.settings) {
        Ok(store) => (named, Ok(store)),
        Err(StoreError::NoStore { .. }) => {
            let found = format!("there is no directory {url}");
            let advice = "`nightjar init` makes it; if a repository should be there, look whether \
                          its disk is mounted";
            (named, Err(Check::warning(REACH, found, advice)))
        }
        Err(error @ StoreError::BadUrl { .. }) => (
            Check::failed("configuration", error),
            Err(Check::skipped(REACH, "the configuration cannot be used")),
        ),
        Err(error) => (named, Err(Check::failed(REACH, error))),
    }
}

/// The secret, if one was given, or why it cannot be had. Nobody is asked for it: looking for what
/// is wrong must work where nobody sits.
fn secret(origin: &Origin) -> (Option<nightjar_codec::slot::Unlock>, Option<Check>) {
    if *origin == Origin::Terminal {
        return (None, None);
    }
    match origin.read() {
        Ok(unlock) => (Some(unlock), None),
        Err(error) => {
            let found = format!("{error:#}");
            (None, Some(Check { name: "key", state: State::Failed, found, advice: None }))
        }
    }
}

fn exit(checks: &[Check]) -> Exit {
    match checks.iter().map(|check| check.state).max() {
        Some(State::Damage) => Exit::Damage,
        Some(State::Failed) => Exit::Failed,
        _ => Exit::Done,
    }
}

fn view<'a>(
    url: &StoreUrl,
    checks: &'a [Check],
    found: &StoreFindings,
    machine: &MachineFindings,
) -> DoctorView<'a> {
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    let shown = checks.iter().map(|check| CheckView {
        name: check.name,
        state: check.state.name(),
        found: &check.found,
        advice: check.advice.as_deref(),
    });
    DoctorView {
        url: url.to_string(),
        checks: shown.collect(),
        ok: count(State::Ok),
        skipped: count(State::Skipped),
        warnings: count(State::Warning),
        failed: count(State::Failed),
        damaged: count(State::Damage),
        latency_seconds: found.latency.map(|latency| latency.as_secs_f64()),
        clock_skew_seconds: found.clock_skew_seconds,
        conditional_create: found.honours_conditions,
        cache_free_bytes: machine.cache_free_bytes,
        store_free_bytes: machine.store_free_bytes,
    }
}

fn describe(checks: &[Check]) -> String {
    let mut text = String::new();
    // What was skipped for the same reason is told once.
    let together = |a: &Check, b: &Check| {
        a.state == State::Skipped && b.state == State::Skipped && a.found == b.found
    };
    for checks in checks.chunk_by(together) {
        let names: Vec<&str> = checks.iter().map(|check| check.name).collect();
        let Some(Check { state, found, advice, .. }) = checks.first() else { continue };
        let (state, found) = (state.name(), printable(found));
        text += &format!("{state:<7}  {:<13}  {found}\n", names.join(", "));
        if let Some(advice) = advice {
            text += &format!("{:24}  next: {}\n", "", printable(advice));
        }
    }
    text
}
