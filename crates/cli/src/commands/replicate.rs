//! `nightjar replicate` and `nightjar replicate status`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use nightjar_repository::replicate::{self, Amount, Lag, ReplicationReport, Source};
use nightjar_repository::{Progress, RepositoryError};
use nightjar_storage::{Store, StoreError};
use serde::Serialize;

use super::Program;
use crate::args::{Replicate, ReplicateCommand, SeriesPattern, Targets};
use crate::config::Access;
use crate::environment;
use crate::exit::{self, CommandError, Exit};
use crate::output::format::{self, count, local_time, printable, rfc3339, size};
use crate::output::requests::RequestsView;
use crate::output::table::pairs;
use crate::progress::Display;
use crate::stderr;

/// What became of one target.
#[derive(Serialize)]
#[serde(untagged)]
enum Told<View> {
    Done(View),
    Failed { target: String, error: String },
}

#[derive(Serialize)]
struct CopiedView {
    target: String,
    /// Patterns of the series that were to be copied; none if all were.
    series: Option<Vec<String>>,
    /// There was no replica before.
    first: bool,
    dry_run: bool,
    /// By kind; kinds of which nothing was copied are left out.
    copied: BTreeMap<&'static str, AmountView>,
    objects: u64,
    bytes: u64,
    /// Left out, for they are damaged in the repository.
    damaged: Vec<DamagedView>,
    /// What was asked of the target.
    requests: RequestsView,
}

#[derive(Serialize)]
struct AmountView {
    objects: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct DamagedView {
    object: String,
    problem: String,
}

#[derive(Serialize)]
struct LagView {
    target: String,
    /// Patterns of the series that count; none if all do.
    series: Option<Vec<String>>,
    /// All count because the repository was not opened, though the replica is of some.
    #[serde(skip)]
    is_unfiltered: bool,
    /// It can be restored from.
    usable: bool,
    snapshots: u64,
    lag_snapshots: u64,
    lag_objects: u64,
    lag_bytes: u64,
    /// Since the oldest snapshot that is missing was made; 0 if none is.
    lag_seconds: u64,
    /// When the newest snapshot that is there was made.
    newest_snapshot: Option<String>,
    #[serde(skip)]
    newest: Option<i64>,
    only_there_objects: u64,
    only_there_bytes: u64,
}

/// A place for a replica.
struct Target {
    /// As it was named.
    name: String,
    access: Access,
    /// The series that it is of; all of them, if none is named.
    series: Vec<SeriesPattern>,
}

impl Target {
    fn fits(&self, series: &str) -> bool {
        self.series.iter().any(|pattern| pattern.fits(series))
    }

    fn series_names(&self) -> Option<Vec<String>> {
        let names = self.series.iter().map(|pattern| pattern.text().to_owned()).collect();
        Some(names).filter(|_| !self.series.is_empty())
    }
}

pub(super) fn run(program: &Program<'_>, arguments: &Replicate) -> Result<Exit> {
    if let Some(ReplicateCommand::Status(status)) = &arguments.command {
        return tell_status(program, &status.targets, status.without_key);
    }
    let targets = find_targets(program, &arguments.targets)?;
    if arguments.without_key {
        refuse_series(&targets)?;
        let (found, environment) = (program.look()?, program.environment()?);
        return copy_to_all(program, arguments, Source::Sealed(&found, &environment), &targets);
    }
    let repository = program.open()?;
    copy_to_all(program, arguments, Source::Opened(&repository), &targets)
}

/// How far each target is behind. The repository is opened only where some series alone count.
fn tell_status(program: &Program<'_>, named: &Targets, without_key: bool) -> Result<Exit> {
    let targets = find_targets(program, named)?;
    if without_key && !named.series.is_empty() {
        refuse_series(&targets)?;
    }
    let (found, environment) = (program.look()?, program.environment()?);
    let is_opened = !without_key && targets.iter().any(|target| !target.series.is_empty());
    let repository = if is_opened { Some(program.open()?) } else { None };
    for_each(program, &targets, describe_lag, |target| {
        let store = open_or_empty(&target.access)?;
        let fits = |series: &str| target.fits(series);
        let source = match &repository {
            Some(repository) if !target.series.is_empty() => Source::OfSeries(repository, &fits),
            _ => Source::Sealed(&found, &environment),
        };
        let lag = replicate::lag(source, &store)?;
        Ok((lag_view(target, is_opened, &lag), Exit::Done))
    })
}

/// The targets that were named, else those of the repository.
fn find_targets(program: &Program<'_>, named: &Targets) -> Result<Vec<Target>> {
    let names = match named.targets.is_empty() {
        true => &program.access()?.replicas,
        false => &named.targets,
    };
    if names.is_empty() {
        let message = "name a TARGET, or `replicas` of the repository in nightjar.toml".to_owned();
        return Err(CommandError::Usage(message).into());
    }
    let source = program.access()?;
    let source = source.url.address(&source.settings);
    let target = |name: &String| {
        let access = Access::of_target(program.globals, name)?;
        if access.url.address(&access.settings) == source {
            let message = format!("{name} is the repository itself, not a place for a copy of it");
            return Err(CommandError::Usage(message).into());
        }
        let series = if named.series.is_empty() { &access.series } else { &named.series };
        Ok(Target { name: name.clone(), series: series.clone(), access })
    };
    names.iter().map(target).collect()
}

fn refuse_series(targets: &[Target]) -> Result<()> {
    let Some(target) = targets.iter().find(|target| !target.series.is_empty()) else {
        return Ok(());
    };
    let message = format!(
        "{} is for some series only, and which snapshots these are is sealed: that takes the key; \
         leave out --without-key, or copy everything with neither --series nor `series` in nightjar.toml",
        printable(&target.name)
    );
    Err(CommandError::Usage(message).into())
}

fn copy_to_all(
    program: &Program<'_>,
    arguments: &Replicate,
    source: Source<'_>,
    targets: &[Target],
) -> Result<Exit> {
    for_each(program, targets, describe_copied, |target| {
        let access = &target.access;
        let fits = |series: &str| target.fits(series);
        let source = match source {
            Source::Opened(repository) if !target.series.is_empty() => {
                Source::OfSeries(repository, &fits)
            }
            source => source,
        };
        let (store, report) = if arguments.dry_run {
            preview(source, access)?
        } else {
            let store = Store::open_or_create(&access.url, &access.settings)
                .map_err(RepositoryError::from)?;
            let progress = Arc::new(Progress::default());
            let display = Display::start(program.globals, "copied", &progress);
            let report = replicate::replicate(source, &store, &progress);
            drop(display);
            (store, report?)
        };
        let exit = if report.damaged.is_empty() { Exit::Done } else { Exit::Damage };
        Ok((copied_view(target, &store, &report, arguments.dry_run), exit))
    })
}

/// A directory that is not there is one in which there is nothing.
fn open_or_empty(access: &Access) -> Result<Store> {
    match Store::open(&access.url, &access.settings) {
        Err(StoreError::NoStore { .. }) => Ok(Store::memory()),
        store => Ok(store.map_err(RepositoryError::from)?),
    }
}

fn preview(source: Source<'_>, access: &Access) -> Result<(Store, ReplicationReport)> {
    let store = open_or_empty(access)?;
    let report = replicate::preview(source, &store)?;
    Ok((store, report))
}

/// Does something with each target. One that fails does not keep others from their turn; the worst
/// exit code counts.
fn for_each<View: Serialize>(
    program: &Program<'_>,
    targets: &[Target],
    describe: fn(&View) -> String,
    mut with: impl FnMut(&Target) -> Result<(View, Exit)>,
) -> Result<Exit> {
    let mut told = Vec::new();
    let mut worst = Exit::Done;
    for target in targets {
        match with(target) {
            Ok((view, exit)) => {
                worst = worst.max_by_code(exit);
                told.push(Told::Done(view));
            }
            Err(error) if targets.len() == 1 => return Err(error),
            Err(error) => {
                worst = worst.max_by_code(exit::of(&error));
                let error = format!("{error:#}");
                stderr::warn(&format!("{}: {error}", printable(&target.name)));
                told.push(Told::Failed { target: target.access.url.to_string(), error });
            }
        }
    }
    program.output.result(&told, || {
        let done = told.iter().filter_map(|told| match told {
            Told::Done(view) => Some(describe(view)),
            Told::Failed { .. } => None,
        });
        done.collect()
    })?;
    Ok(worst)
}

fn copied_view(
    target: &Target,
    store: &Store,
    report: &ReplicationReport,
    dry_run: bool,
) -> CopiedView {
    let Amount { objects, bytes } = report.total();
    let amount = |amount: &Amount| AmountView { objects: amount.objects, bytes: amount.bytes };
    let damaged = report.damaged.iter().map(|unsound| DamagedView {
        object: unsound.object.clone(),
        problem: unsound.problem.clone(),
    });
    CopiedView {
        target: target.access.url.to_string(),
        series: target.series_names(),
        first: report.is_first,
        dry_run,
        copied: report.copied.iter().map(|(kind, it)| (kind.name(), amount(it))).collect(),
        objects,
        bytes,
        damaged: damaged.collect(),
        requests: RequestsView::of(store),
    }
}

fn describe_copied(view: &CopiedView) -> String {
    let mut text = String::new();
    for DamagedView { problem, .. } in &view.damaged {
        text += &format!("not copied: {}\n", printable(problem));
    }
    let objects = count(view.objects, "object", "objects");
    let snapshots = view.copied.get("snapshots").map_or(0, |amount| amount.objects);
    let snapshots = count(snapshots, "snapshot", "snapshots");
    let target = printable(&view.target);
    let of_series = view
        .series
        .as_ref()
        .map_or_else(String::new, |series| format!(" of {}", printable(&series.join(", "))));
    text += &match (view.objects, view.dry_run) {
        (0, _) => format!("{target} has everything{of_series}\n"),
        (_, true) => {
            format!(
                "would copy {} in {objects}, {snapshots} among them, to {target}\n",
                size(view.bytes)
            )
        }
        (_, false) => {
            format!(
                "copied {} in {objects}, {snapshots} among them, to {target}\n",
                size(view.bytes)
            )
        }
    };
    text
}

fn lag_view(target: &Target, is_opened: bool, lag: &Lag) -> LagView {
    let since = lag.since.map_or(0, |since| environment::now().saturating_sub(since).max(0));
    LagView {
        target: target.access.url.to_string(),
        series: target.series_names().filter(|_| is_opened),
        is_unfiltered: !is_opened && !target.series.is_empty(),
        usable: lag.is_usable,
        snapshots: lag.has_snapshots,
        lag_snapshots: lag.snapshots,
        lag_objects: lag.missing.objects,
        lag_bytes: lag.missing.bytes,
        lag_seconds: since.unsigned_abs() / 1_000_000_000,
        newest_snapshot: lag.newest.map(rfc3339),
        newest: lag.newest,
        only_there_objects: lag.only_there.objects,
        only_there_bytes: lag.only_there.bytes,
    }
}

fn describe_lag(view: &LagView) -> String {
    let behind = match view.lag_snapshots {
        0 if view.lag_objects > 0 => {
            "no snapshot is missing, but some may rest on what is".to_owned()
        }
        0 => "no snapshot is missing".to_owned(),
        many => format!(
            "{} missing, for {}",
            count(many, "snapshot is", "snapshots are"),
            format::duration(Duration::from_secs(view.lag_seconds)),
        ),
    };
    let series = match &view.series {
        Some(series) => printable(&series.join(", ")),
        None if view.is_unfiltered => {
            "all are counted: which ones are to be there shows only with the key".to_owned()
        }
        None => "all".to_owned(),
    };
    pairs(&[
        ("replica", printable(&view.target)),
        ("series", series),
        (
            "usable",
            if view.usable { "yes" } else { "no: it was never brought to an end" }.to_owned(),
        ),
        ("snapshots", format!("{}; {behind}", view.snapshots)),
        ("newest", view.newest.map_or_else(String::new, local_time)),
        (
            "missing",
            format!("{} in {}", size(view.lag_bytes), count(view.lag_objects, "object", "objects")),
        ),
        (
            "only there",
            format!(
                "{} in {}",
                size(view.only_there_bytes),
                count(view.only_there_objects, "object", "objects")
            ),
        ),
    ])
}
