//! `nightjar snapshot restore` and `nightjar restore`

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nightjar_repository::Progress;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{
    Overwrite, RestorePlan, RestoreReport, RestoreRequest, SourceError, plan_restore,
    restore_into_command, restore_tar_into_command, restore_to_directory, restore_to_tar,
    restore_to_writer,
};

use super::super::{Program, find_snapshot, path_in_snapshot, paths_in_snapshot};
use super::deletion::spare_repository;
use crate::args::{Globals, OverwriteWhen, SnapshotRestore};
use crate::exit::{CommandError, Exit};
use crate::output::Stdout;
use crate::output::format::{count, local_time, printable, size};
use crate::output::requests::RequestsView;
use crate::output::views::{RestorePlanView, RestoredView};
use crate::progress::Display;
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotRestore) -> Result<Exit> {
    let paths = paths_in_snapshot(&arguments.paths)?;
    let subtree = arguments.subtree.as_deref().map(path_in_snapshot).transpose()?;
    if arguments.delete && arguments.overwrite == OverwriteWhen::Never {
        let message = "--delete makes a directory what it was: it needs --overwrite if-changed or \
                       --overwrite always";
        return Err(CommandError::Usage(message.into()).into());
    }
    if let Some(directory) = arguments.to.as_deref().filter(|_| arguments.delete) {
        spare_repository(program, directory, &paths)?;
    }
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let request = RestoreRequest {
        subtree: subtree.unwrap_or_default(),
        paths,
        overwrite: overwrite(arguments.overwrite),
        delete: arguments.delete,
        numeric_ids: arguments.numeric_ids,
        verify: arguments.verify,
        ..RestoreRequest::new(&info.snapshot)
    };
    let progress = Arc::new(Progress::default());
    let reader = Reader::open(&repository, &progress)?;
    if let Some(directory) = arguments.to.as_deref().filter(|_| arguments.dry_run) {
        let plan = plan_restore(&reader, &request, directory)?;
        let view = RestorePlanView::new(&info, &plan);
        program.output.result(&view, || describe_plan(&plan, directory))?;
        return Ok(Exit::Done);
    }
    let display = display(program.globals, arguments, &progress);
    let restored = match &arguments.to {
        Some(directory) => restore_to_directory(&reader, &request, directory).map_err(Into::into),
        None if arguments.stdout && arguments.tar => {
            to_stdout(|stdout| restore_to_tar(&reader, &request, stdout))
        }
        None if arguments.stdout => {
            to_stdout(|stdout| restore_to_writer(&reader, &request, stdout))
        }
        None if arguments.tar => {
            restore_tar_into_command(&reader, &request, &arguments.command).map_err(Into::into)
        }
        None => restore_into_command(&reader, &request, &arguments.command).map_err(Into::into),
    };
    drop(display);
    let report = restored?;
    report.warnings.iter().for_each(|warning| stderr::warn(warning));
    let view = RestoredView::new(&info, &report, RequestsView::of(repository.store()));
    let text = || describe(&info, &report, arguments.to.as_deref());
    if arguments.to.is_some() {
        program.output.summary(&view, text)?;
    } else {
        program.output.side_summary(&view, text);
    }
    Ok(failures(&report))
}

const fn overwrite(when: OverwriteWhen) -> Overwrite {
    match when {
        OverwriteWhen::Never => Overwrite::Never,
        OverwriteWhen::IfChanged => Overwrite::IfChanged,
        OverwriteWhen::Always => Overwrite::Always,
    }
}

/// Says what could not be restored, and how that ends the program.
fn failures(report: &RestoreReport) -> Exit {
    if report.failed == 0 {
        return Exit::Done;
    }
    let mut causes = report.failures.clone();
    let untold = report.failed.saturating_sub(causes.len() as u64);
    if untold > 0 {
        causes.push(format!("and {} more", count(untold, "failure", "failures")));
    }
    let exit = if report.damaged { Exit::Damage } else { Exit::Failed };
    let entries = count(report.failed, "entry", "entries");
    let message = if report.damaged {
        format!("{entries} could not be restored; `nightjar snapshot verify` tells what is damaged")
    } else {
        format!("{entries} could not be restored; --overwrite if-changed goes on with the rest")
    };
    stderr::print_failure(exit, message, causes);
    exit
}

fn display(globals: &Globals, arguments: &SnapshotRestore, progress: &Arc<Progress>) -> Display {
    if arguments.stdout {
        Display::start_beside_stdout(globals, "restored", progress)
    } else {
        Display::start(globals, "restored", progress)
    }
}

/// Writes to standard output.
pub(super) fn to_stdout(
    write: impl FnOnce(&mut Stdout) -> Result<RestoreReport, SourceError>,
) -> Result<RestoreReport> {
    let mut stdout = Stdout::open()?;
    write(&mut stdout).map_err(|error| {
        if stdout.closed { CommandError::StdoutClosed.into() } else { error.into() }
    })
}

fn describe(info: &SnapshotInfo, report: &RestoreReport, directory: Option<&Path>) -> String {
    let mut what = vec![count(report.files, "file", "files")];
    if report.directories > 0 {
        what.push(count(report.directories, "directory", "directories"));
    }
    if report.others > 0 {
        what.push(count(report.others, "other entry", "other entries"));
    }
    let to = directory.map(|path| format!(" to {}", path.display())).unwrap_or_default();
    format!(
        "restored {}, {}{to}, from snapshot {} of series {} ({}){}\n",
        what.join(", "),
        size(report.bytes),
        info.id.short(),
        printable(&info.snapshot.series),
        local_time(info.snapshot.started),
        details(report),
    )
}

/// What was not simply written.
fn details(report: &RestoreReport) -> String {
    let mut details = Vec::new();
    if report.unchanged > 0 {
        details.push(format!("{} stood there already", count(report.unchanged, "file", "files")));
    }
    if report.links > 0 {
        details.push(count(report.links, "hard link", "hard links"));
    }
    if report.deleted > 0 {
        details.push(format!("{} deleted", count(report.deleted, "entry", "entries")));
    }
    if details.is_empty() { String::new() } else { format!("; {}", details.join(", ")) }
}

fn describe_plan(plan: &RestorePlan, directory: &Path) -> String {
    let lines = [
        (plan.directories, "directories to make"),
        (plan.files, "files to write"),
        (plan.replaced, "of what exists to replace"),
        (plan.unchanged, "files unchanged"),
        (plan.links, "hard links to make"),
        (plan.others, "other entries to make"),
        (plan.deleted, "entries to delete"),
        (plan.requests, "requests to the store"),
    ];
    let lines = lines.map(|(number, what)| format!("{number:>10}  {what}\n"));
    format!(
        "would restore {} to {}:\n{}nothing was written\n",
        size(plan.bytes),
        directory.display(),
        lines.concat()
    )
}
