//! The command line: what may be said, and how help explains it.

mod examples;
mod gc;
mod key;
mod ledger;
mod look;
mod moment;
mod repair;
mod replica;
mod replicate;
mod retention;
mod snapshot;
mod store;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

pub(crate) use gc::Gc;
pub(crate) use key::{KeyAdd, KeyCommand, KeyRemove, RoleChoice};
pub(crate) use ledger::{LedgerCommand, LedgerShow};
pub(crate) use look::{KindChoice, SnapshotCat, SnapshotDiff, SnapshotFind, SnapshotLs};
pub(crate) use moment::Moment;
pub(crate) use repair::{Repair, RepairCommand, RepairIndex, RepairSnapshots};
pub(crate) use replica::{ReplicaCommand, ReplicaPromote};
pub(crate) use replicate::{Replicate, ReplicateCommand, Targets};
pub(crate) use retention::{
    RetentionApply, RetentionArguments, RetentionCommand, RetentionPlan, RuleArguments,
};
pub(crate) use snapshot::{
    Delta, OverwriteWhen, SnapshotAccept, SnapshotCommand, SnapshotCreate, SnapshotForget,
    SnapshotHold, SnapshotList, SnapshotRelease, SnapshotRestore, SnapshotRewrite, SnapshotShow,
    SnapshotVerify, VerifyLevel,
};
pub(crate) use values::{SeriesPattern, age, percent, size, time_zone};

use crate::exit::Exit;
use crate::stderr;
use store::StoreArguments;

/// Deduplicating, encrypted backups of dumps and directories.
///
/// Nightjar reads a dump or a directory, stores only what changed since the last run, encrypts
/// it before it leaves the machine, and gives it back bit for bit.
#[derive(Debug, Parser)]
#[command(
    name = "nightjar",
    bin_name = "nightjar",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = examples::overview()
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// Where the repository is: a path, or s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or
    /// gs://BUCKET/PREFIX; or its name in the configuration file
    #[arg(
        long,
        short,
        global = true,
        display_order = 901,
        value_name = "URL|NAME",
        env = "NIGHTJAR_REPOSITORY"
    )]
    pub(crate) repository: Option<String>,
    /// The configuration file, which names repositories [default: nightjar/nightjar.toml in the
    /// user's configuration directory, else /etc/nightjar/nightjar.toml]
    #[arg(long, global = true, display_order = 901, value_name = "FILE", env = "NIGHTJAR_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Read the passphrase from a file; one newline at its end is dropped [env:
    /// NIGHTJAR_PASSWORD_FILE; or the passphrase itself in NIGHTJAR_PASSWORD]
    #[arg(long, global = true, display_order = 902, value_name = "FILE")]
    #[arg(conflicts_with_all = ["password_command", "key_file"])]
    pub(crate) password_file: Option<PathBuf>,
    /// Take the passphrase from the first line that a shell command prints [env:
    /// NIGHTJAR_PASSWORD_COMMAND]
    #[arg(
        long,
        global = true,
        display_order = 903,
        value_name = "COMMAND",
        conflicts_with = "key_file"
    )]
    pub(crate) password_command: Option<OsString>,
    /// Open the repository with a key file instead of a passphrase [env: NIGHTJAR_KEY_FILE]
    #[arg(long, global = true, display_order = 904, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Directory for the local index and other caches [default: nightjar/ in the user's cache
    /// directory]
    #[arg(
        long,
        global = true,
        display_order = 905,
        value_name = "DIR",
        env = "NIGHTJAR_CACHE_DIR"
    )]
    #[arg(hide_env_values = true)]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Print one JSON document on standard output; progress, warnings and errors as JSON lines
    /// on standard error
    #[arg(long, global = true, display_order = 906)]
    pub(crate) json: bool,
    /// Print neither progress nor summaries; warnings and errors still appear
    #[arg(long, short, global = true, display_order = 907, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell more about what is done; twice for everything
    #[arg(long, short, global = true, display_order = 908, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Show no progress bar
    #[arg(long, global = true, display_order = 909)]
    pub(crate) no_progress: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(Init),
    /// Make, list, look into, restore, check, hold and forget snapshots
    #[command(subcommand, after_help = examples::SNAPSHOT)]
    Snapshot(SnapshotCommand),
    /// Make a snapshot: short for `nightjar snapshot create`
    ///
    /// Stores a dump, a command's output or directories. Prefer a command behind `--` to a pipe:
    /// only its exit status tells a complete dump from a truncated one. If it fails, there is no
    /// snapshot.
    #[command(after_help = examples::CREATE, override_usage = examples::BACKUP_USAGE)]
    Backup(Box<SnapshotCreate>),
    /// Give back what a snapshot holds: short for `nightjar snapshot restore`
    ///
    /// Every byte is checked before it is given out. With `--stdout` or a command, exactly one
    /// file must be meant, and the report goes to standard error.
    #[command(after_help = examples::RESTORE, override_usage = examples::RESTORE_USAGE)]
    Restore(SnapshotRestore),
    /// Forget old snapshots by policy
    #[command(subcommand, after_help = examples::RETENTION)]
    Retention(RetentionCommand),
    /// Look at the record of what was done to the repository
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Add, list and remove slots: who has access
    #[command(subcommand, after_help = examples::KEY)]
    Key(KeyCommand),
    /// Look at or rebuild the local index, a cache on this machine
    #[command(subcommand)]
    Index(IndexCommand),
    Gc(Gc),
    Replicate(Replicate),
    /// Make use of a replica when the repository is lost
    #[command(subcommand)]
    Replica(ReplicaCommand),
    Repair(Repair),
    /// Show what the repository holds
    #[command(after_help = examples::STATUS)]
    Status,
    /// Look for what is wrong with the store, the repository and this machine
    ///
    /// Goes from the outside to the inside: configuration, network, clock, permissions (tried out on
    /// scratch objects that are removed again), the repository, its history, caches, free space.
    /// Prints what was found and the next step. Works before there is a repository, with credentials
    /// that may only read, and without a passphrase; nobody is asked for one.
    #[command(after_help = examples::DOCTOR)]
    Doctor,
    /// Print a script that completes nightjar's commands in a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages
    #[command(hide = true)]
    Man {
        /// Directory to write them to
        directory: PathBuf,
    },
}

/// Make a new repository.
///
/// It is opened with a passphrase, or with `--key-file`: a file that is not there is made, readable
/// only by you, with a random key. More slots can be added later with `nightjar key add`.
#[derive(Debug, Args)]
#[command(after_help = examples::INIT)]
pub(crate) struct Init {
    /// What to call the first slot (default: USER@HOST)
    #[arg(long)]
    pub(crate) label: Option<String>,
    /// Average size of a chunk: a power of two from 4KiB to 4MiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = values::size)]
    pub(crate) chunk_size: u64,
    /// Size of a pack, from 1MiB to 128MiB
    #[arg(long, value_name = "SIZE", default_value = "16MiB", value_parser = values::size)]
    pub(crate) pack_size: u64,
    /// Memory that each guess of the passphrase costs
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::argon2_memory)]
    pub(crate) argon2_memory: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IndexCommand {
    /// Make the local index anew
    ///
    /// The local index is a cache: making it anew harms nothing.
    #[command(after_help = examples::INDEX_REBUILD)]
    Rebuild {
        /// Also read the footer of every pack that no index object lists: what they hold can
        /// then be restored
        #[arg(long)]
        from_packs: bool,
    },
    /// Show what the local index holds
    #[command(after_help = examples::INDEX_STATUS)]
    Status,
}

/// A command line that leads nowhere, or asks for help.
pub(crate) struct Refusal {
    error: clap::Error,
    json: bool,
    /// The help of a command that lacks its verb.
    help: Option<String>,
}

/// Reads the command line.
pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Arguments, Refusal> {
    let words: Vec<OsString> = words.collect();
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    Arguments::try_parse_from(&words).map_err(|error| {
        let lacks_verb = error.kind() == ErrorKind::MissingSubcommand;
        Refusal { json, help: lacks_verb.then(|| help_for(&words)), error }
    })
}

/// The help of the deepest command that the words name.
fn help_for(words: &[OsString]) -> String {
    let mut command = command();
    command.build();
    for word in words.iter().skip(1) {
        if let Some(deeper) = word.to_str().and_then(|word| command.find_subcommand(word)) {
            command = deeper.clone();
        }
    }
    command.render_help().to_string()
}

/// The whole command line, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Arguments::command()
}

impl Refusal {
    /// Prints help, the version or what is wrong.
    pub(crate) fn print(self) -> Exit {
        let asked = matches!(self.error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if self.json && !asked {
            stderr::set_json(true);
            let text = self.error.render().to_string();
            let message = text.trim().trim_start_matches("error: ").to_owned();
            stderr::print_failure(Exit::Usage, message, vec![]);
        } else if let Some(help) = self.help {
            stderr::note(help.trim_end());
        } else {
            // Where nobody reads it, there is nobody to tell.
            let _ = self.error.print();
        }
        if asked { Exit::Done } else { Exit::Usage }
    }
}

#[cfg(test)]
mod tests;
