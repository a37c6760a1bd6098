//! Runs a command and measures its time and its peak memory.

use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Wall-clock time.
    pub(crate) time: Duration,
    /// Peak resident memory in bytes.
    pub(crate) memory: u64,
}

/// Runs a command to its end. Its peak memory is the kernel's own mark, read until the end.
pub(crate) fn run(command: &mut Command) -> Result<Cost> {
    let name = format!("{:?}", command.get_program());
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let status_file = format!("/proc/{}/status", child.id());
    let mut memory = 0;
    let status = loop {
        memory = memory.max(peak(&status_file).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(2));
    };
    let time = start.elapsed();
    if !status.success() {
        let output = child.wait_with_output()?;
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(Cost { time, memory })
}

fn peak(status_file: &str) -> Option<u64> {
    let status = fs::read_to_string(status_file).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of all files below a directory.
pub(crate) fn size_of(directory: &std::path::Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
