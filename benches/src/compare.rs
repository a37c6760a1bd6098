//! The comparison: night by night and tool after tool, then restores and collections in the same
//! way.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::data::{self, Edited};
use crate::measure::{Cost, size_of, warm};
use crate::tools::{Input, Program, Tool};

/// What is backed up.
#[derive(Debug)]
pub(crate) struct Source {
    /// The data set's name.
    pub(crate) name: String,
    /// Each night's file or directory.
    pub(crate) nights: Vec<PathBuf>,
    /// Where directories are put one after another, so that their path is the same every night.
    pub(crate) tree: Option<PathBuf>,
    /// How each night is made of the one before it, where they are one file.
    pub(crate) edited: Option<Edited>,
}

/// How often what is done, and where; the best of each counts.
#[derive(Debug)]
pub(crate) struct Procedure {
    /// All nights, from an empty repository.
    pub(crate) sequences: u32,
    /// Restores and verifications.
    pub(crate) rounds: u32,
    /// Snapshots that stay where the others are forgotten and what only they need is deleted.
    pub(crate) keep: Option<u32>,
    /// Where restores go for a while; beside the repositories, where they stay, if nothing is said.
    pub(crate) restore_to: Option<PathBuf>,
}

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) data: String,
    /// Bytes of each night.
    pub(crate) nights: Vec<u64>,
    pub(crate) tools: Vec<Measured>,
}

/// What was measured of one tool.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) tool: String,
    pub(crate) version: String,
    pub(crate) nights: Vec<Night>,
    pub(crate) repository_bytes: u64,
    /// Of the last night.
    pub(crate) restore: Option<Cost>,
    /// Of the last night, from a repository that has nothing else.
    pub(crate) whole_restore: Option<Cost>,
    pub(crate) whole_bytes: Option<u64>,
    pub(crate) verify: Option<Cost>,
    pub(crate) collection: Option<Collection>,
}

/// Deleting what only forgotten nights need, in a copy of the repository.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Collection {
    #[serde(flatten)]
    pub(crate) cost: Cost,
    pub(crate) bytes_before: u64,
    pub(crate) bytes_after: u64,
}

/// The backup of one night.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Night {
    pub(crate) bytes_added: u64,
    #[serde(flatten)]
    pub(crate) cost: Cost,
}

impl Source {
    /// Puts a night where it is backed up from.
    ///
    /// Nothing is deleted here, because for some minutes after many files were deleted ext4 is
    /// slow to make new ones, and restores would be slow by turns.
    fn place(&self, night: &Path) -> Result<Input> {
        let Some(tree) = &self.tree else {
            let night = night.to_owned();
            return Ok(if night.is_dir() { Input::Tree(night) } else { Input::Stream(night) });
        };
        if tree.exists() {
            let aside = tempfile::tempdir_in(tree.parent().context("a tree has a parent")?)?;
            fs::rename(tree, aside.keep().join("earlier"))?;
        }
        data::copy(night, tree)?;
        Ok(Input::Tree(tree.clone()))
    }
}

/// Compares the tools, each with its version, over the nights.
pub(crate) fn compare(
    source: Source,
    tools: &[(Tool, String)],
    procedure: &Procedure,
) -> Result<Comparison> {
    let mut measured: Vec<Measured> = tools.iter().map(Measured::of).collect();
    for _ in 0..procedure.sequences {
        backups(&source, tools, &mut measured)?;
    }
    restores(&source, tools, &mut measured, procedure)?;
    if let Some(keep) = procedure.keep {
        collections(&source, tools, &mut measured, procedure.rounds, keep)?;
    }
    let nights = source.nights.iter().map(|night| size_of(night)).collect::<Result<_>>()?;
    Ok(Comparison { data: source.name, nights, tools: measured })
}

impl Measured {
    fn of((tool, version): &(Tool, String)) -> Self {
        Self {
            tool: tool.name.clone(),
            version: version.clone(),
            nights: Vec::new(),
            repository_bytes: 0,
            restore: None,
            whole_restore: None,
            whole_bytes: None,
            verify: None,
            collection: None,
        }
    }

    fn note(&mut self, place: usize, night: Night) {
        match self.nights.get_mut(place) {
            Some(noted) => *noted = Night { cost: night.cost.best(Some(noted.cost)), ..night },
            None => self.nights.push(night),
        }
    }
}

fn backups(source: &Source, tools: &[(Tool, String)], measured: &mut [Measured]) -> Result<()> {
    for (tool, _) in tools {
        tool.prepare()?;
    }
    for (place, night) in source.nights.iter().enumerate() {
        tell(&format!("backing up night {} of {}", place + 1, source.nights.len()));
        if let Some(edited) = &source.edited {
            edited.make(place as u64)?;
        }
        let input = source.place(night)?;
        for ((tool, _), measured) in tools.iter().zip(measured.iter_mut()) {
            // In the page cache for every tool alike.
            warm(input.path())?;
            let before = tool.repository_bytes()?;
            let cost = tool.backup(&input, &format!("night-{}", place + 1))?;
            measured.repository_bytes = tool.repository_bytes()?;
            // A tool that tidies up while it backs up may end with less.
            let bytes_added = measured.repository_bytes.saturating_sub(before);
            measured.note(place, Night { bytes_added, cost });
        }
    }
    Ok(())
}

fn restores(
    source: &Source,
    tools: &[(Tool, String)],
    measured: &mut [Measured],
    procedure: &Procedure,
) -> Result<()> {
    let Some(last) = source.nights.last() else { return Ok(()) };
    let input = source.place(last)?;
    let night = format!("night-{}", source.nights.len());
    let mut wholes = Vec::new();
    for (tool, _) in tools {
        let alone = tool.program == Program::Nightjar && source.nights.len() > 1;
        let whole = alone.then(|| tool.beside("whole"));
        if let Some(whole) = &whole {
            whole.prepare()?;
            whole.backup(&input, &night)?;
        }
        wholes.push(whole);
    }
    let restore = |tool: &Tool, round: u32, best: Option<Cost>| -> Result<Option<Cost>> {
        let target = match &procedure.restore_to {
            Some(place) => place.join(format!("{}-{round}", tool.name)),
            None => tool.target(round),
        };
        if let Some(repository) = tool.repository() {
            warm(&repository)?;
        }
        let cost = tool.restore(&night, &target)?;
        tool.compare(&target, &input, last)?;
        if matches!(input, Input::Stream(_)) || procedure.restore_to.is_some() {
            fs::remove_dir_all(target)?;
        }
        Ok(Some(cost.best(best)))
    };
    let rounds = procedure.rounds;
    for round in 0..rounds {
        tell(&format!("restoring the last night, round {} of {rounds}", round + 1));
        for (((tool, _), whole), measured) in tools.iter().zip(&wholes).zip(measured.iter_mut()) {
            measured.restore = restore(tool, round, measured.restore)?;
            if let Some(whole) = whole {
                measured.whole_bytes = Some(whole.repository_bytes()?);
                measured.whole_restore = restore(whole, round, measured.whole_restore)?;
            }
            if tool.program == Program::Nightjar {
                measured.verify = Some(tool.verify()?.best(measured.verify));
            }
        }
    }
    Ok(())
}

fn collections(
    source: &Source,
    tools: &[(Tool, String)],
    measured: &mut [Measured],
    rounds: u32,
    keep: u32,
) -> Result<()> {
    let Some(last) = source.nights.last() else { return Ok(()) };
    let input = source.place(last)?;
    for round in 0..rounds {
        tell(&format!("forgetting all but {keep} nights, round {} of {rounds}", round + 1));
        for ((tool, _), measured) in tools.iter().zip(measured.iter_mut()) {
            let copy = tool.copy("collected")?;
            copy.forget(keep)?;
            let bytes_before = copy.repository_bytes()?;
            let cost = copy.collect()?;
            let bytes_after = copy.repository_bytes()?;
            let best = cost.best(measured.collection.map(|it| it.cost));
            measured.collection = Some(Collection { cost: best, bytes_before, bytes_after });
            let target = copy.target(round);
            copy.restore(&format!("night-{}", source.nights.len()), &target)?;
            copy.compare(&target, &input, last)?;
            copy.remove()?;
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a run takes long")]
pub(crate) fn tell(what: &str) {
    eprintln!("{what}");
}
