//! Dumps: one stream, from standard input or from a command.
//!
//! Nothing on standard input tells a complete dump from a truncated one; the exit status of a
//! command does, so a command is the better source. It is waited for before the snapshot is
//! committed: if it failed, there is no snapshot.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nightjar_format::manifest::{Entry, EntryKind, FileContent, Timestamp};
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, Feeder, StopSignal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::SourceError;
use crate::tar::feed_tar;
use crate::{Notes, recognise, redact};

/// A stream that is to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpRequest {
    /// Its name.
    pub name: String,
    /// The time of a file that is made of it, in Unix nanoseconds.
    pub now: i64,
    /// How it is stored.
    pub shape: DumpShape,
    /// What it looks like if it is complete.
    pub checks: DumpChecks,
}

/// How a stream is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DumpShape {
    /// As one file.
    #[default]
    File,
    /// As the tree of the members of a tar.
    Tar,
}

/// What a complete dump looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpChecks {
    /// It has at least this many bytes.
    pub min_size: Option<u64>,
    /// This text stands in its last 4 KiB.
    pub expect_tail: Option<String>,
}

/// Bytes of the end in which a tail is looked for.
const TAIL_BYTES: usize = 4096;
/// How long a silent source is waited for before looking whether the store still takes data.
const ATTENTION: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
/// Lines of standard error that are kept.
const STDERR_LINES: usize = 20;
/// How long the rest of them is waited for when the command has ended.
const STDERR_PATIENCE: Duration = Duration::from_secs(2);

/// Feeds a stream.
pub fn feed_stdin(
    feeder: &mut Feeder<'_>,
    request: &DumpRequest,
    reader: &mut (impl Read + AsFd),
    notes: &mut Notes,
) -> Result<Fed, SourceError> {
    let mut reader = Attentive { stop: feeder.stop_signal(), source: reader };
    let unreadable = feed(feeder, request, &mut reader, notes)?;
    let tar = request.shape == DumpShape::Tar;
    Ok(Fed { source: Source::Stdin { name: request.name.clone(), tar }, unreadable })
}

/// Feeds the standard output of a command.
pub fn feed_command(
    feeder: &mut Feeder<'_>,
    request: &DumpRequest,
    command: &[OsString],
    notes: &mut Notes,
) -> Result<Fed, SourceError> {
    check_name(&request.name)?;
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| SourceError::Selection("no command was given".into()))?;
    let program_name = program.to_string_lossy().into_owned();
    let cannot_run = |source| SourceError::CannotRun { command: program_name.clone(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(cannot_run)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let last_words = LastWords::default();
    let collecting = last_words.clone().collect(stderr);
    let fed = match stdout {
        Some(mut stdout) => {
            widen(&stdout);
            let mut reader = Attentive { stop: feeder.stop_signal(), source: &mut stdout };
            feed(feeder, request, &mut reader, notes)
        }
        None => Ok(0),
    };
    if let Err(error @ (SourceError::Repository(_) | SourceError::Malformed(_))) = fed {
        // The command may be far from its end, and how it ends when nobody reads it says nothing.
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    let status = child.wait().map_err(cannot_run)?;
    // A process that the command left behind may hold its standard error open for ever.
    let _ = collecting.recv_timeout(STDERR_PATIENCE);
    let stderr = last_words.text();
    if !status.success() {
        let status = describe(status);
        return Err(SourceError::CommandFailed { command: program_name, status, stderr });
    }
    let unreadable = fed?;
    notes.warnings.extend(stderr.lines().map(|line| format!("{program_name}: {line}")));
    let source = Source::Command {
        name: request.name.clone(),
        arguments: redact::command(command),
        status: status.code().unwrap_or(0),
        tar: request.shape == DumpShape::Tar,
    };
    Ok(Fed { source, unreadable })
}

/// Reads a source that may be silent for hours, and gives up when the store has failed meanwhile.
struct Attentive<'a, R> {
    stop: StopSignal,
    source: &'a mut R,
}

impl<R: Read + AsFd> Read for Attentive<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.is_set() {
            let mut waiting = [PollFd::new(self.source, PollFlags::IN)];
            match poll(&mut waiting, Some(&ATTENTION)) {
                Ok(0) | Err(Errno::INTR) => {}
                // What cannot be polled is read, and says for itself what is wrong.
                Ok(_) | Err(_) => return self.source.read(buffer),
            }
        }
        Err(io::Error::other("the store failed"))
    }
}

/// A pipe holds 64 KiB unless asked for more; a refusal only means more switching.
fn widen(pipe: &impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

/// How a command ended, for people to read.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

/// The last lines of a command's standard error, as they come.
#[derive(Clone, Default)]
struct LastWords(Arc<Mutex<VecDeque<String>>>);

impl LastWords {
    /// Collects in the background; the receiver hears when there is no more.
    fn collect(self, stderr: Option<ChildStderr>) -> Receiver<()> {
        let (done, ended) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(stderr.into_iter().next()?);
            let mut line = Vec::new();
            // Long lines are cut, so that a command cannot fill the memory by complaining.
            while let Ok(1..) = (&mut reader).take(64 << 10).read_until(b'\n', &mut line) {
                self.push(&line);
                line.clear();
            }
            done.send(()).ok()
        });
        ended
    }

    fn push(&self, line: &[u8]) {
        let mut text = String::from_utf8_lossy(line).trim_end().to_owned();
        text.truncate(text.floor_char_boundary(1000));
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// The name becomes a file name in the snapshot.
fn check_name(name: &str) -> Result<(), SourceError> {
    if name.is_empty() || matches!(name, "." | "..") || name.contains(['/', '\0']) {
        return Err(SourceError::Selection(format!(
            "{name:?} cannot name a dump: it must be a plain file name"
        )));
    }
    Ok(())
}

/// Stores a stream as it was asked for; how many of its members could not be read.
fn feed(
    feeder: &mut Feeder<'_>,
    request: &DumpRequest,
    reader: &mut dyn Read,
    notes: &mut Notes,
) -> Result<u64, SourceError> {
    check_name(&request.name)?;
    let before = notes.unreadable;
    match request.shape {
        DumpShape::File => feed_file(feeder, request, reader, notes)?,
        DumpShape::Tar => {
            let length = feed_tar(feeder, &request.name, reader, notes)?;
            check(&request.name, length, &[], &request.checks)?;
        }
    }
    Ok(notes.unreadable - before)
}

/// Stores a stream as the snapshot's one file.
fn feed_file(
    feeder: &mut Feeder<'_>,
    request: &DumpRequest,
    reader: &mut dyn Read,
    notes: &mut Notes,
) -> Result<(), SourceError> {
    let DumpRequest { name, now, checks, .. } = request;
    let mut beginning = Vec::new();
    let mut end = Vec::new();
    let length = feeder.stream_inspected(name.as_bytes(), reader, name, &mut |bytes| {
        let wanted = recognise::SAMPLE_BYTES.saturating_sub(beginning.len()).min(bytes.len());
        beginning.extend_from_slice(bytes.get(..wanted).unwrap_or_default());
        let tail = bytes.len().saturating_sub(TAIL_BYTES);
        end.extend_from_slice(bytes.get(tail..).unwrap_or_default());
        let surplus = end.len().saturating_sub(TAIL_BYTES);
        end.drain(..surplus);
    })?;
    check(name, length, &end, checks)?;
    if length == 0 && checks.min_size.is_none() {
        notes.warn(format!("{name} is empty; --min-size refuses dumps that are too small"));
    }
    notes.warnings.extend(recognise::advice(&beginning));
    feeder.file(entry(name, *now))?;
    Ok(())
}

fn check(name: &str, length: u64, end: &[u8], checks: &DumpChecks) -> Result<(), SourceError> {
    if let Some(min) = checks.min_size.filter(|min| length < *min) {
        return Err(SourceError::Incomplete(format!(
            "{name} has {length} bytes, less than the {min} of --min-size"
        )));
    }
    match &checks.expect_tail {
        Some(tail) if !end.windows(tail.len().max(1)).any(|part| part == tail.as_bytes()) => {
            Err(SourceError::Incomplete(format!(
                "{name} does not end with {tail:?}, so it may be truncated"
            )))
        }
        _ => Ok(()),
    }
}

fn entry(name: &str, now: i64) -> Entry {
    Entry {
        mode: 0o600,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        modified: Timestamp {
            seconds: now.div_euclid(1_000_000_000),
            nanoseconds: u32::try_from(now.rem_euclid(1_000_000_000)).unwrap_or(0),
        },
        // The engine fills its content in.
        ..Entry::new(name.as_bytes(), EntryKind::File(FileContent::default()))
    }
}
