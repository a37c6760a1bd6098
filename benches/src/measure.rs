//! Runs a command and measures its time and its peak memory.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// What a run cost.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    /// Wall-clock time.
    pub(crate) seconds: f64,
    /// Peak resident memory in bytes.
    pub(crate) memory: u64,
}

impl Cost {
    /// The quicker of two runs.
    pub(crate) fn best(self, other: Option<Self>) -> Self {
        other.filter(|other| other.seconds < self.seconds).unwrap_or(self)
    }
}

/// Runs a command to its end. Its peak memory is the kernel's own mark, read until the end.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    let name = format!("{command:?}");
    // What was written before is not written to the disk on this command's time.
    rustix::fs::sync();
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    // Read while it runs: a child whose pipe is full would wait for ever.
    let stderr = child.stderr.take();
    let messages = std::thread::spawn(move || {
        let mut text = Vec::new();
        stderr.map(|mut stderr| stderr.read_to_end(&mut text));
        text
    });
    let status_file = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak(&status_file).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(2));
    };
    let seconds = start.elapsed().as_secs_f64();
    if !status.success() {
        let messages = messages.join().unwrap_or_default();
        bail!("{name} failed ({status}): {}", String::from_utf8_lossy(&messages));
    }
    Ok(Cost { seconds, memory })
}

fn peak(status_file: &str) -> Option<u64> {
    let status = fs::read_to_string(status_file).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Runs a command that is not measured; its standard output goes where the command says.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let name = format!("{command:?}");
    let child = command.stderr(Stdio::piped()).spawn();
    let output = child.with_context(|| format!("cannot run {name}"))?.wait_with_output()?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Bytes of a file, or of all files below a directory.
pub(crate) fn size_of(path: &Path) -> Result<u64> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    fs::read_dir(path)?.map(|entry| size_of(&entry?.path())).sum()
}

/// Reads a file, or all files below a directory, so that the page cache has them.
pub(crate) fn warm(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        return fs::read_dir(path)?.try_for_each(|entry| warm(&entry?.path()));
    }
    if metadata.is_file() {
        io::copy(&mut fs::File::open(path)?, &mut io::sink())?;
    }
    Ok(())
}
