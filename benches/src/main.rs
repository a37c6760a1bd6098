//! Nightjar beside restic on the same dump in one run: time, memory, bytes added.
//!
//! Machines differ and are noisy, so what counts are the ratios of one run; with `--rounds` the
//! tools take turns and the best of each is compared.

mod dump;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use bytesize::ByteSize;
use clap::Parser;

use crate::measure::{Cost, run, size_of};

/// Compares first night, unchanged night, changed night and restore.
#[derive(Debug, Parser)]
struct Arguments {
    /// Size of the dump.
    #[arg(long, default_value = "1800MB")]
    size: ByteSize,
    /// How often each tool runs each step; the best counts.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Where dumps and repositories go.
    #[arg(long, default_value = "/tmp/nightjar-bench")]
    directory: PathBuf,
    /// The program to measure.
    #[arg(long)]
    nightjar: Option<PathBuf>,
    /// Leave restic out.
    #[arg(long)]
    alone: bool,
}

const STEPS: [&str; 4] = ["first night", "unchanged night", "changed night", "restore"];

/// A tool and how it does each step.
struct Tool {
    name: &'static str,
    base: PathBuf,
    program: PathBuf,
}

impl Tool {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let repository = self.base.join("repository");
        let password = self.base.join("password");
        command
            .env("NIGHTJAR_REPOSITORY", &repository)
            .env("NIGHTJAR_PASSWORD_FILE", &password)
            .env("NIGHTJAR_CACHE_DIR", self.base.join("cache"))
            .env("RESTIC_REPOSITORY", &repository)
            .env("RESTIC_PASSWORD_FILE", &password)
            .env("RESTIC_CACHE_DIR", self.base.join("cache"));
        command
    }

    fn prepare(&self) -> Result<()> {
        if self.base.exists() {
            fs::remove_dir_all(&self.base)?;
        }
        fs::create_dir_all(&self.base)?;
        fs::write(self.base.join("password"), "bench")?;
        run(self.command().arg("init")).map(|_| ())
    }

    fn backup(&self, dump: &Path) -> Result<Cost> {
        let mut command = self.command();
        match self.name {
            "restic" => command.args(["backup", "--stdin", "--stdin-filename", "dump.sql"]),
            _ => command.args(["snapshot", "create", "--stdin", "dump.sql"]),
        };
        run(command.stdin(fs::File::open(dump)?))
    }

    fn restore(&self) -> Result<Cost> {
        let target = self.base.join("restored");
        if target.exists() {
            fs::remove_dir_all(&target)?;
        }
        let mut command = self.command();
        match self.name {
            "restic" => command.args(["restore", "latest", "--target"]).arg(&target),
            _ => command.args(["snapshot", "restore", "latest", "--to"]).arg(&target),
        };
        run(&mut command)
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.directory)?;
    let bytes = arguments.size.as_u64();
    let dumps = [0, 1].map(|night| arguments.directory.join(format!("{bytes}-{night}.sql")));
    for (dump, night) in dumps.iter().zip(0..) {
        if !dump.exists() {
            dump::write(dump, bytes, 1, night).context("cannot write the dump")?;
        }
    }
    let [first, second] = &dumps;
    let read = fs::metadata(first)?.len();
    let beside = std::env::current_exe()?.with_file_name("nightjar");
    let nightjar = arguments.nightjar.unwrap_or(beside);
    let base = &arguments.directory;
    let mut tools = vec![Tool { name: "nightjar", base: base.join("nightjar"), program: nightjar }];
    if !arguments.alone {
        tools.push(Tool { name: "restic", base: base.join("restic"), program: "restic".into() });
    }
    let mut best: Vec<Vec<Option<Cost>>> = vec![vec![None; STEPS.len()]; tools.len()];
    let mut added = vec![[0u64; 3]; tools.len()];
    for _ in 0..arguments.rounds {
        for tool in &tools {
            tool.prepare()?;
        }
        for step in 0..STEPS.len() {
            for ((tool, best), added) in tools.iter().zip(&mut best).zip(&mut added) {
                let repository = tool.base.join("repository");
                let before = size_of(&repository)?;
                // In the page cache for every tool alike.
                std::io::copy(&mut fs::File::open(first)?, &mut std::io::sink())?;
                let cost = match step {
                    0 | 1 => tool.backup(first)?,
                    2 => tool.backup(second)?,
                    _ => tool.restore()?,
                };
                if let Some(added) = added.get_mut(step) {
                    *added = size_of(&repository)? - before;
                }
                if let Some(best) = best.get_mut(step)
                    && best.is_none_or(|best| cost.time < best.time)
                {
                    *best = Some(cost);
                }
            }
        }
    }
    print(&tools, &best, &added, read);
    Ok(())
}

#[expect(clippy::print_stdout, clippy::cast_precision_loss, reason = "a table for people")]
fn print(tools: &[Tool], best: &[Vec<Option<Cost>>], added: &[[u64; 3]], read: u64) {
    println!("{} of dump", ByteSize(read).display().iec());
    println!(
        "{:<16} {:<9} {:>9} {:>10} {:>12} {:>14} {:>8}",
        "step", "tool", "seconds", "MB/s", "peak memory", "bytes added", "ratio"
    );
    for (step, name) in STEPS.iter().enumerate() {
        let slowest = best.last().and_then(|costs| costs.get(step).copied().flatten());
        for ((tool, costs), added) in tools.iter().zip(best).zip(added) {
            let Some(cost) = costs.get(step).copied().flatten() else { continue };
            let seconds = cost.time.as_secs_f64();
            let ratio = slowest.map_or(1.0, |other| other.time.as_secs_f64() / seconds);
            println!(
                "{name:<16} {:<9} {seconds:>9.2} {:>10.0} {:>12} {:>14} {ratio:>7.2}x",
                tool.name,
                read as f64 / 1e6 / seconds,
                ByteSize(cost.memory).display().iec().to_string(),
                added.get(step).map_or_else(String::new, u64::to_string),
            );
        }
    }
}
