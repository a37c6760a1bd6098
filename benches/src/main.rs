//! Backups of the same nights by Nightjar and by others: time, memory, bytes added.
//!
//! Machines differ and are noisy, so what counts are the ratios of one run, in which the tools
//! take turns.

mod compare;
mod data;
mod far;
mod measure;
mod report;
mod tools;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::compare::{Procedure, Source, compare, tell};
use crate::data::{DataSet, Kind};
use crate::far::StoreArguments;
use crate::tools::{Program, Tool, Variant};

const EXAMPLES: &str = "Examples:
  nightjar-benches --nights 3
  nightjar-benches --size 225MB --nights 30 --rounds 3 --json result.json
  nightjar-benches --nights 30 --keep 8 --tools nightjar,restic,rustic --variant off:--delta=off
  nightjar-benches --data edited --size 4400MB --nights 12 --keep 3 --tools nightjar,restic,rustic
  nightjar-benches --size 225MB --format custom --make
  nightjar-benches --data source-trees --nights 8 --variant fast:--compression-level=1
  nightjar-benches --store s3 --tools nightjar,restic --size 600MB --rounds 2
  nightjar-benches --store google --latency 20 --rate 125MB --data random --size 1GB --tools nightjar
  nightjar-benches --data directory --tree ~/.cargo/registry/src --rounds 3";

/// Backs up the same nights with Nightjar, restic, borg and rustic, restores the last night and
/// compares it byte for byte; then, with `--keep`, forgets most nights and deletes what only they
/// need.
///
/// Data sets are made from a seed and kept, the repositories until the next run over the same data.
/// A ratio is to the first tool: more than 1 means that the other one needs more.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    data: DataSet,
    #[command(flatten)]
    store: StoreArguments,
    /// How often the last night is restored and verified; the best time counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How often all nights are backed up, from an empty repository; the best times count.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    sequences: u32,
    /// Forget all but so many nights, in a copy of each repository, and measure how what only they
    /// need is deleted: Nightjar's `gc` beside `restic prune`, `rustic prune --instant-delete
    /// --max-repack unlimited` and `borg compact`.
    #[arg(long, value_name = "NIGHTS", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Where data sets and repositories go.
    #[arg(long, default_value = "/tmp/nightjar-bench")]
    directory: PathBuf,
    /// Where restores go, and are deleted again: memory, say, where a disk's file system would be
    /// what is measured [default: beside the repositories, and they stay].
    #[arg(long, value_name = "DIR")]
    restore_to: Option<PathBuf>,
    /// The program to measure [default: the one beside this program].
    #[arg(long, value_name = "PATH")]
    nightjar: Option<PathBuf>,
    /// Nightjar once more, with further arguments of `snapshot create`; may be given repeatedly.
    #[arg(long = "variant", value_name = "NAME:ARGUMENTS")]
    variants: Vec<Variant>,
    /// Which tools; those that are not in PATH are left out.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "nightjar,restic,borg,rustic")]
    tools: Vec<Program>,
    /// Print every night instead of the first three and an average.
    #[arg(long)]
    every: bool,
    /// Write everything that was measured to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only make the data set and print where its nights are.
    #[arg(long)]
    make: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.directory)?;
    // Tools run in other directories.
    let directory = arguments.directory.canonicalize()?;
    let name = arguments.data.name();
    let nights = arguments.data.nights(&directory)?;
    if arguments.make {
        print_paths(&nights);
        return Ok(());
    }
    let runs = directory.join("runs").join(&name);
    if runs.exists() {
        fs::remove_dir_all(&runs)?;
    }
    fs::create_dir_all(&runs)?;
    let tree = (arguments.data.data == Kind::SourceTrees).then(|| runs.join("tree"));
    let edited = arguments.data.edited(&directory);
    let source = Source { name, nights, tree, edited };
    let restore_to = arguments.restore_to.as_deref().map(Path::canonicalize).transpose();
    let procedure = Procedure {
        sequences: arguments.sequences,
        rounds: arguments.rounds,
        keep: arguments.keep,
        restore_to: restore_to.context("--restore-to")?,
    };
    let tools = arguments.tools(&runs)?;
    let comparison = compare(source, &tools, &procedure)?;
    report::print(&comparison, arguments.every);
    if let Some(path) = &arguments.json {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &comparison)?;
    }
    Ok(())
}

impl Arguments {
    /// The tools that are installed, each with its version.
    fn tools(&self, runs: &Path) -> Result<Vec<(Tool, String)>> {
        let mut tools = Vec::new();
        let far = self.store.start().map(Rc::new);
        for &program in &self.tools {
            let executable = match program {
                Program::Nightjar => match &self.nightjar {
                    Some(path) => path.canonicalize().context("--nightjar")?,
                    None => std::env::current_exe()?.with_file_name(program.name()),
                },
                _ => program.name().into(),
            };
            let tool = Tool::new(program, executable, runs);
            let Some(version) = tool.version()? else {
                ensure!(program != Program::Nightjar, "no nightjar: build it, or say --nightjar");
                tell(&format!("{} is not installed: left out", program.name()));
                continue;
            };
            if let Some(far) = &far {
                tools.push((tool.clone().on(far), version.clone()));
            }
            if far.is_none() || program == Program::Nightjar {
                // What a store costs beyond a directory.
                let here = if far.is_none() { tool.clone() } else { tool.beside("here") };
                tools.push((here, version.clone()));
            }
            if program == Program::Nightjar {
                let variants = self.variants.iter().map(|variant| {
                    let variant = tool.variant(variant);
                    far.iter().fold(variant, |variant, far| variant.on(far))
                });
                tools.extend(variants.map(|variant| (variant, version.clone())));
            }
        }
        Ok(tools)
    }
}

#[expect(clippy::print_stdout, reason = "they are what was asked for")]
fn print_paths(nights: &[PathBuf]) {
    for night in nights {
        println!("{}", night.display());
    }
}
