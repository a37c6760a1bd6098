//! Restoring one file to a stream or into a command.

use std::ffi::OsString;
use std::io::Write;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;

use nightjar_format::manifest::{EntryKind, FileContent};
use nightjar_repository::RepositoryError;
use nightjar_repository::read::Reader;

use crate::dump::describe;
use crate::error::SourceError;
use crate::restore::layout::write_in_order;
use crate::restore::select::Selection;
use crate::restore::{RestoreReport, RestoreRequest};

/// The one file that a request means.
fn only_file(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
) -> Result<FileContent, SourceError> {
    let mut files = Vec::new();
    let mut selection = Selection::open(reader, request)?;
    while let Some(step) = selection.next(reader)? {
        if let EntryKind::File(file) = step.visited.entry.kind {
            files.push((step.visited.path, file));
        }
        if let [(first, _), (second, _)] = files.as_slice() {
            return Err(SourceError::Selection(format!(
                "a stream takes one file, but several are meant ({}, {}, …): name one",
                String::from_utf8_lossy(first),
                String::from_utf8_lossy(second)
            )));
        }
    }
    selection.check_found()?;
    match files.pop() {
        Some((_, file)) => Ok(file),
        None => Err(SourceError::Selection("no regular file is meant".into())),
    }
}

/// Writes the one file that is meant.
pub fn restore_to_writer(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    sink: &mut dyn Write,
) -> Result<RestoreReport, SourceError> {
    let file = only_file(reader, request)?;
    reader.progress().total.store(file.size, Ordering::Relaxed);
    write_in_order(reader, &file, sink)?;
    sink.flush().map_err(|source| RepositoryError::Stream {
        what: "cannot write what is restored".into(),
        source,
    })?;
    Ok(RestoreReport { files: 1, bytes: file.size, ..RestoreReport::default() })
}

/// Writes the one file that is meant into the standard input of a command, whose exit status
/// counts.
pub fn restore_into_command(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    command: &[OsString],
) -> Result<RestoreReport, SourceError> {
    // Found before the command starts: a wrong path must not hand it an empty stream.
    let file = only_file(reader, request)?;
    reader.progress().total.store(file.size, Ordering::Relaxed);
    pour_into_command(command, |stdin| write_in_order(reader, &file, stdin))?;
    Ok(RestoreReport { files: 1, bytes: file.size, ..RestoreReport::default() })
}

/// Runs a command that takes what `write` writes; its exit status counts.
pub(crate) fn pour_into_command<T>(
    command: &[OsString],
    write: impl FnOnce(&mut ChildStdin) -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| SourceError::Selection("no command was given".into()))?;
    let name = program.to_string_lossy().into_owned();
    let cannot_run = |source| SourceError::CannotRun { command: name.clone(), source };
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().map_err(cannot_run)?;
    let mut stdin = child.stdin.take();
    let written = match &mut stdin {
        Some(stdin) => write(stdin),
        None => Err(SourceError::Selection(format!("{name} takes no input"))),
    };
    let written = match written {
        Ok(written) => {
            drop(stdin);
            written
        }
        Err(error) if is_broken_pipe(&error) => {
            drop(stdin);
            let status = child.wait().map_err(cannot_run)?;
            let status = if status.success() {
                "ended before it had taken everything".to_owned()
            } else {
                describe(status)
            };
            return Err(SourceError::ReceiverFailed { command: name, status });
        }
        Err(error) => {
            // Ended before its input does: it must not take a truncated stream for a whole one.
            let _ = child.kill();
            drop(stdin);
            let _ = child.wait();
            return Err(error);
        }
    };
    let status = child.wait().map_err(cannot_run)?;
    if !status.success() {
        return Err(SourceError::ReceiverFailed { command: name, status: describe(status) });
    }
    Ok(written)
}

fn is_broken_pipe(error: &SourceError) -> bool {
    matches!(
        error,
        SourceError::Repository(RepositoryError::Stream { source, .. })
            if source.kind() == std::io::ErrorKind::BrokenPipe
    )
}
