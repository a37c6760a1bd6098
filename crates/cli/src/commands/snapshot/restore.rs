//! `nightjar snapshot restore` and `nightjar restore`

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use nightjar_repository::Progress;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{
    Overwrite, RestoreReport, RestoreRequest, SourceError, restore_into_command,
    restore_to_directory, restore_to_writer,
};

use super::super::{Program, find_snapshot, paths_in_snapshot};
use crate::args::{Globals, SnapshotRestore};
use crate::exit::{CommandError, Exit};
use crate::output::Stdout;
use crate::output::format::{count, local_time, printable, size};
use crate::output::views::RestoredView;
use crate::progress::Display;
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotRestore) -> Result<Exit> {
    let paths = paths_in_snapshot(&arguments.paths)?;
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let request = RestoreRequest {
        snapshot: &info.snapshot,
        paths,
        overwrite: if arguments.overwrite { Overwrite::Always } else { Overwrite::Never },
    };
    let progress = Arc::new(Progress::default());
    let reader = Reader::open(&repository, &progress)?;
    let display = display(program.globals, arguments, &progress);
    let restored = match &arguments.to {
        Some(directory) => restore_to_directory(&reader, &request, directory).map_err(Into::into),
        None if arguments.stdout => to_stdout(&reader, &request),
        None => restore_into_command(&reader, &request, &arguments.command).map_err(Into::into),
    };
    drop(display);
    let report = restored?;
    report.warnings.iter().for_each(|warning| stderr::warn(warning));
    let view = RestoredView::new(&info, &report);
    let text = || describe(&info, &report, arguments.to.as_deref());
    if arguments.to.is_some() {
        program.output.summary(&view, text)?;
    } else {
        program.output.side_summary(&view, text);
    }
    Ok(Exit::Done)
}

/// No bar across a file that runs over the same terminal.
fn display(globals: &Globals, arguments: &SnapshotRestore, progress: &Arc<Progress>) -> Display {
    let shares_terminal = arguments.stdout && io::stdout().is_terminal();
    let no_progress = globals.no_progress || shares_terminal;
    let globals = Globals { no_progress, ..globals.clone() };
    Display::start(&globals, "restored", progress, None)
}

fn to_stdout(reader: &Reader<'_>, request: &RestoreRequest<'_>) -> Result<RestoreReport> {
    let mut stdout = Stdout::open()?;
    restore_to_writer(reader, request, &mut stdout).map_err(|error: SourceError| {
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
        "restored {}, {}{to}, from snapshot {} of series {} ({})\n",
        what.join(", "),
        size(report.bytes),
        info.id.short(),
        printable(&info.snapshot.series),
        local_time(info.snapshot.started),
    )
}
