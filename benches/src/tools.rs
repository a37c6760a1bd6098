//! The tools that are compared, and how each does the same things.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::far::Far;
use crate::measure::{Cost, run, size_of, succeed};

/// The name under which a stream is stored.
const STREAM: &str = "dump";
const PASSWORD: &str = "bench";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    Nightjar,
    Restic,
    Borg,
    Rustic,
}

impl Program {
    /// Its name, also that of its executable.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nightjar => "nightjar",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Rustic => "rustic",
        }
    }
}

/// Nightjar with other options than it has by itself.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    name: String,
    /// Further arguments of `snapshot create`.
    arguments: Vec<String>,
}

impl std::str::FromStr for Variant {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, arguments) = text.split_once(':').context("write NAME:ARGUMENTS")?;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        ensure!(!name.is_empty() && name.chars().all(plain), "a name has letters and digits only");
        let arguments = arguments.split_whitespace().map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), arguments })
    }
}

/// What is backed up on one night.
#[derive(Debug)]
pub(crate) enum Input {
    /// Goes to standard input.
    Stream(PathBuf),
    /// Goes by its path, which is the same every night.
    Tree(PathBuf),
}

impl Input {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Stream(path) | Self::Tree(path) => path,
        }
    }
}

/// A tool with a repository of its own.
#[derive(Clone)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) program: Program,
    executable: PathBuf,
    arguments: Vec<String>,
    base: PathBuf,
    /// A server that holds the repository, in place of a directory, and the bucket there.
    far: Option<(Rc<Far>, RefCell<String>)>,
}

impl Tool {
    /// A tool that keeps everything below `runs`.
    pub(crate) fn new(program: Program, executable: PathBuf, runs: &Path) -> Self {
        let name = program.name().to_owned();
        let base = runs.join(&name);
        Self { name, program, executable, arguments: Vec::new(), base, far: None }
    }

    /// The same tool with its repository on a server.
    pub(crate) fn on(self, far: &Rc<Far>) -> Self {
        Self { far: Some((Rc::clone(far), RefCell::default())), ..self }
    }

    pub(crate) fn variant(&self, variant: &Variant) -> Self {
        let arguments = variant.arguments.clone();
        Self { arguments, ..self.beside(&variant.name) }
    }

    /// The same tool with another repository.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let name = format!("{}-{name}", self.name);
        Self { base: self.base.with_file_name(&name), name, ..self.clone() }
    }

    /// What it says about its version, unless it is not installed.
    pub(crate) fn version(&self) -> Result<Option<String>> {
        let mut command = Command::new(&self.executable);
        command.arg(if self.program == Program::Restic { "version" } else { "--version" });
        match command.output() {
            Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot run {}", self.name)),
        }
    }

    /// Where the repository is, if it is a directory.
    pub(crate) fn repository(&self) -> Option<PathBuf> {
        self.far.is_none().then(|| self.base.join("repository"))
    }

    /// What the repository takes, if it is a directory.
    pub(crate) fn repository_bytes(&self) -> Result<u64> {
        self.repository().map_or(Ok(0), |path| size_of(&path))
    }

    fn command(&self) -> Result<Command> {
        let mut command = Command::new(&self.executable);
        command.stdin(Stdio::null());
        let (repository, cache) = (self.base.join("repository"), self.base.join("cache"));
        match self.program {
            Program::Nightjar => command
                .env("NIGHTJAR_REPOSITORY", repository)
                .env("NIGHTJAR_PASSWORD", PASSWORD)
                .env("NIGHTJAR_CACHE_DIR", cache),
            Program::Restic => command
                .env("RESTIC_REPOSITORY", repository)
                .env("RESTIC_PASSWORD", PASSWORD)
                .env("RESTIC_CACHE_DIR", cache),
            Program::Borg => command
                .env("BORG_REPO", repository)
                .env("BORG_PASSPHRASE", PASSWORD)
                .env("BORG_BASE_DIR", cache),
            Program::Rustic => command
                .env("RUSTIC_REPOSITORY", repository)
                .env("RUSTIC_PASSWORD", PASSWORD)
                .env("RUSTIC_CACHE_DIR", cache)
                .env("RUSTIC_NO_PROGRESS", "true"),
        };
        if let Some((far, bucket)) = &self.far {
            far.tell(self.program, &bucket.borrow(), &mut command)?;
        }
        Ok(command)
    }

    /// Makes an empty repository in place of one from an earlier run.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.remove()?;
        fs::create_dir_all(&self.base)?;
        if let Some((far, bucket)) = &self.far {
            bucket.replace(far.new_bucket());
        }
        let mut command = self.command()?;
        command.arg("init");
        if self.program == Program::Borg {
            command.args(["--encryption", "repokey-blake2"]);
        }
        run(&mut command).map(drop)
    }

    /// Backs up one night under a name that only borg needs.
    pub(crate) fn backup(&self, input: &Input, night: &str) -> Result<Cost> {
        let mut command = self.command()?;
        match self.program {
            Program::Nightjar => command.args(["snapshot", "create"]).args(&self.arguments),
            Program::Restic | Program::Rustic => command.arg("backup"),
            Program::Borg => command.args(["create", "--compression", "zstd,3"]),
        };
        match input {
            Input::Stream(path) => {
                match self.program {
                    Program::Nightjar => command.args(["--stdin", STREAM]),
                    Program::Restic => command.args(["--stdin", "--stdin-filename", STREAM]),
                    Program::Borg => {
                        command.args(["--stdin-name", STREAM, &format!("::{night}"), "-"])
                    }
                    // Without --force, rustic 0.11.4 takes every stream for unchanged since the
                    // snapshot before (rustic issue 1793) and stores the first night again.
                    Program::Rustic => command.args(["--force", "--stdin-filename", STREAM, "-"]),
                };
                command.stdin(File::open(path)?);
            }
            Input::Tree(path) => {
                if self.program == Program::Borg {
                    command.arg(format!("::{night}"));
                }
                command.arg(path);
            }
        }
        run(&mut command)
    }

    /// Restores the night that was backed up last into a directory that is not there yet.
    pub(crate) fn restore(&self, night: &str, target: &Path) -> Result<Cost> {
        let mut command = self.command()?;
        match self.program {
            Program::Nightjar => {
                command.args(["snapshot", "restore", "latest", "--to"]).arg(target)
            }
            Program::Restic => command.args(["restore", "latest", "--target"]).arg(target),
            Program::Borg => {
                fs::create_dir(target)?;
                command.args(["extract", &format!("::{night}")]).current_dir(target)
            }
            Program::Rustic => command.args(["restore", "latest"]).arg(target),
        };
        run(&mut command)
    }

    /// Compares what was restored with what was backed up, byte for byte.
    pub(crate) fn compare(&self, target: &Path, input: &Input, original: &Path) -> Result<()> {
        let name = match input {
            Input::Stream(_) => STREAM.as_ref(),
            Input::Tree(path) => path.file_name().context("a tree has a name")?,
        };
        let restored = find(target, Path::new(name))
            .with_context(|| format!("{} restored no {}", self.name, name.display()))?;
        let mut diff = Command::new("diff");
        diff.args(["--recursive", "--no-dereference", "--brief"]).arg(original).arg(restored);
        // Nothing but tables on standard output.
        diff.stdout(std::io::stderr());
        succeed(&mut diff).with_context(|| format!("{} restored something else", self.name))
    }

    /// Checks everything in Nightjar's repository.
    pub(crate) fn verify(&self) -> Result<Cost> {
        run(self.command()?.args(["snapshot", "verify", "--all", "--level", "data"]))
    }

    /// The same tool with a copy of its repository and cache, which are directories.
    pub(crate) fn copy(&self, name: &str) -> Result<Self> {
        ensure!(self.far.is_none(), "only what is in a directory can be copied: leave out --keep");
        let copy = self.beside(name);
        copy.remove()?;
        fs::create_dir(&copy.base)?;
        for part in ["repository", "cache"] {
            let from = self.base.join(part);
            if from.exists() {
                succeed(Command::new("cp").arg("--archive").arg(from).arg(&copy.base))?;
            }
        }
        Ok(copy)
    }

    /// Deletes everything of it.
    pub(crate) fn remove(&self) -> Result<()> {
        if self.base.exists() {
            fs::remove_dir_all(&self.base)?;
        }
        Ok(())
    }

    /// Forgets all but the newest snapshots, and deletes no data.
    pub(crate) fn forget(&self, keep: u32) -> Result<Cost> {
        let mut command = self.command()?;
        match self.program {
            Program::Nightjar => command.args(["retention", "apply"]),
            Program::Restic | Program::Rustic => command.arg("forget"),
            Program::Borg => {
                // The copy lies elsewhere, which borg asks about.
                command.env("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes").arg("prune")
            }
        };
        run(command.arg(format!("--keep-last={keep}")))
    }

    /// Deletes what only forgotten snapshots need.
    pub(crate) fn collect(&self) -> Result<Cost> {
        let mut command = self.command()?;
        match self.program {
            Program::Nightjar => command.arg("gc"),
            Program::Restic => command.arg("prune"),
            Program::Borg => command.arg("compact"),
            // As much as the others: by itself it moves no more than a tenth of the repository.
            Program::Rustic => {
                command.args(["prune", "--instant-delete", "--max-repack", "unlimited"])
            }
        };
        run(&mut command)
    }

    /// Where a round's restore goes.
    pub(crate) fn target(&self, round: u32) -> PathBuf {
        self.base.join(format!("restored-{round}"))
    }
}

/// The entry of this name in a directory or below: some tools restore whole paths.
fn find(directory: &Path, name: &Path) -> Option<PathBuf> {
    let here = directory.join(name);
    if here.exists() {
        return Some(here);
    }
    fs::read_dir(directory).ok()?.flatten().find_map(|entry| find(&entry.path(), name))
}
