//! `nightjar snapshot …`

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use nightjar_format::limits;
use nightjar_format::snapshot::Label;
use nightjar_repository::ingest::DeltaParameters;
use nightjar_repository::verify::Sample;

use super::look::{SnapshotCat, SnapshotDiff, SnapshotFind, SnapshotLs};
use super::moment::Moment;
use super::{examples, values};

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    Create(Box<SnapshotCreate>),
    List(SnapshotList),
    Show(SnapshotShow),
    Ls(SnapshotLs),
    Cat(SnapshotCat),
    Find(SnapshotFind),
    Restore(SnapshotRestore),
    Verify(SnapshotVerify),
    Diff(SnapshotDiff),
    Hold(SnapshotHold),
    Release(SnapshotRelease),
    Accept(SnapshotAccept),
    Rewrite(SnapshotRewrite),
    Forget(SnapshotForget),
}

/// Make a snapshot of a dump, a command's output or directories.
///
/// Prefer a command behind `--` to a pipe: only its exit status tells a complete dump from a
/// truncated one. If it fails, there is no snapshot.
///
/// A PATH stands in the snapshot as it is given: `/srv/data` as srv/data, `data` as data, `.` as
/// what lies in it. Give the same paths each night, for only then are unchanged files recognised:
/// those whose size, mtime, ctime and inode are those of the series' last snapshot are not read.
#[derive(Debug, Args)]
#[command(after_help = examples::CREATE, override_usage = examples::CREATE_USAGE)]
#[command(group(ArgGroup::new("source").required(true).args(["paths", "stdin", "command", "files_from", "files_from0"]).multiple(true)))]
pub(crate) struct SnapshotCreate {
    /// Files and directories to store
    #[arg(value_name = "PATH", conflicts_with_all = ["stdin", "command"])]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) tree: TreeArguments,
    /// Store standard input, as a file of this name
    #[arg(long, value_name = "NAME", value_parser = values::file_name)]
    #[arg(conflicts_with = "command")]
    pub(crate) stdin: Option<String>,
    /// Store what the command behind `--` prints, as a file of this name
    #[arg(long, value_name = "NAME", value_parser = values::file_name, requires = "command")]
    #[arg(conflicts_with_all = ["paths", "stdin"])]
    pub(crate) name: Option<String>,
    /// The command whose output is stored, if it succeeds
    #[arg(last = true, value_name = "COMMAND", requires = "name")]
    pub(crate) command: Vec<OsString>,
    /// The stream is a tar: store its members as a tree, each by its own path. NAME then names
    /// the series only
    #[arg(long, conflicts_with_all = ["paths", "files_from", "files_from0", "expect_tail"])]
    pub(crate) tar: bool,
    /// The name under which snapshots of the same source follow on each other [default: NAME,
    /// or host and path]
    #[arg(long, value_name = "NAME", value_parser = values::not_empty)]
    pub(crate) series: Option<String>,
    /// A note that stays with the snapshot; may be given more than once
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = values::label)]
    pub(crate) labels: Vec<Label>,
    /// Refuse a dump that is smaller than this
    #[arg(long, value_name = "SIZE", value_parser = values::size, conflicts_with = "paths")]
    pub(crate) min_size: Option<u64>,
    /// Refuse a dump in whose last lines this text does not stand
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    #[arg(conflicts_with = "paths")]
    pub(crate) expect_tail: Option<String>,
    /// How hard to compress, from 1 to 19
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) compression_level: i32,
    /// Whether to store what resembles earlier content as a delta against it
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) delta: Delta,
    /// How many deltas a chunk may rest on: more saves space, fewer restore faster
    #[arg(long, value_name = "N", default_value_t = DeltaParameters::default().depth)]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=i64::from(limits::CHAIN_DEPTH)))]
    pub(crate) delta_depth: u8,
    /// How large all deltas that a chunk rests on may be together, in per cent of the whole chunks
    /// below them
    #[arg(long, value_name = "PERCENT")]
    #[arg(default_value_t = DeltaParameters::default().chain_percent)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) delta_chain: u32,
    /// How much of what was written to a store far away may be kept on this machine, to make
    /// deltas against without reading it back; 0 keeps nothing
    #[arg(long, value_name = "SIZE", default_value = "4GiB", env = "NIGHTJAR_CACHE_SIZE")]
    #[arg(value_parser = values::size)]
    pub(crate) cache_size: u64,
}

/// What to store of a file system.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for files and directories")]
pub(crate) struct TreeArguments {
    /// Store the paths that this file lists as well, one per line; `-` reads standard input. Those
    /// that have gone are only reported
    #[arg(long, value_name = "FILE", requires = "series", conflicts_with_all = ["stdin", "command"])]
    pub(crate) files_from: Vec<PathBuf>,
    /// Like --files-from, with a NUL after each path, as `find -print0` writes them
    #[arg(long, value_name = "FILE", requires = "series", conflicts_with_all = ["stdin", "command"])]
    pub(crate) files_from0: Vec<PathBuf>,
    /// Leave out what matches this pattern of gitignore(5), compared with paths in the snapshot:
    /// `*.tmp` anywhere, `/srv/cache` there only, `!keep.tmp` after all
    #[arg(long, short, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,
    /// Leave out what matches a pattern in this file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_from: Vec<PathBuf>,
    /// Leave out what files of this name say, each for the directory it lies in, as .gitignore
    /// does
    #[arg(long, value_name = "NAME", value_parser = values::file_name)]
    pub(crate) ignore_file: Vec<String>,
    /// Leave out what lies in directories that a CACHEDIR.TAG marks as caches
    #[arg(long)]
    pub(crate) exclude_caches: bool,
    /// Leave out files that are larger than this
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) exclude_larger_than: Option<u64>,
    /// Leave out files that were last modified longer ago than this, such as 30d or 12h
    #[arg(long, value_name = "AGE", value_parser = values::age)]
    pub(crate) exclude_older_than: Option<i64>,
    /// Stay on the file system of each PATH; directories on which others are mounted stay empty
    #[arg(long, short = 'x')]
    pub(crate) one_file_system: bool,
    /// Read all files, also those that seem unchanged since the series' last snapshot
    #[arg(long)]
    pub(crate) read_all: bool,
}

/// When to store deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delta {
    /// Wherever it saves space
    Auto,
    /// Never
    Off,
}

/// List snapshots, oldest first.
#[derive(Debug, Args)]
#[command(after_help = examples::LIST)]
pub(crate) struct SnapshotList {
    /// Only those of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
}

/// Show everything about one snapshot.
#[derive(Debug, Args)]
#[command(after_help = examples::SHOW)]
pub(crate) struct SnapshotShow {
    #[command(flatten)]
    pub(crate) snapshot: OneSnapshot,
}

/// Which snapshot is meant.
#[derive(Debug, Args)]
pub(crate) struct OneSnapshot {
    /// The snapshot: `latest`, or an id or its beginning
    #[arg(value_name = "ID", value_parser = values::snapshot)]
    pub(crate) id: String,
    /// The series that `latest` means
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
}

/// Which snapshots are meant.
#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("which").required(true).multiple(true).args(["ids", "of_series", "all"])
))]
pub(crate) struct SeveralSnapshots {
    /// The snapshots: `latest`, or ids or their beginnings
    #[arg(value_name = "ID", value_parser = values::snapshot)]
    pub(crate) ids: Vec<String>,
    /// All snapshots of this series; or with `latest`, the one that it means
    #[arg(long = "series", id = "of_series", value_name = "NAME")]
    pub(crate) series: Option<String>,
    /// All snapshots
    #[arg(long, conflicts_with_all = ["ids", "of_series"])]
    pub(crate) all: bool,
}

/// Give back what a snapshot holds.
///
/// Every byte is checked before it is given out. With `--stdout` or a command, exactly one file
/// must be meant, unless `--tar` makes a tar of all that is; and the report goes to standard error.
///
/// Into a directory, everything comes back that the snapshot holds and that the user may set:
/// owners and groups, modes, times, extended attributes, access control lists, hard links, holes.
/// What could not be set is said once, with a count. Files that could not be restored are named, and
/// the others are restored all the same.
#[derive(Debug, Args)]
#[command(after_help = examples::RESTORE, override_usage = examples::SNAPSHOT_RESTORE_USAGE)]
#[command(group(ArgGroup::new("destination").required(true).args(["to", "stdout", "command"])))]
pub(crate) struct SnapshotRestore {
    #[command(flatten)]
    pub(crate) snapshot: OneSnapshot,
    /// Only these files and directories of the snapshot
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Restore into this directory, which is made if it is missing
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// Write a tar of all that is meant to standard output, or into the command
    #[arg(long, conflicts_with = "to")]
    pub(crate) tar: bool,
    /// Write the one file, or the tar, to standard output
    #[arg(long)]
    pub(crate) stdout: bool,
    /// The command that gets the one file, or the tar, on its standard input; its exit status counts
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// Take this directory of the snapshot for its root: what lies in it is restored directly into
    /// DIR, and PATHs are relative to it
    #[arg(long, value_name = "PATH")]
    pub(crate) subtree: Option<PathBuf>,
    /// What to do with files that exist
    #[arg(long, value_name = "WHEN", value_enum, default_value = "never")]
    #[arg(conflicts_with_all = ["stdout", "command"])]
    pub(crate) overwrite: OverwriteWhen,
    /// Remove what the snapshot does not hold from directories that are restored wholly, from each
    /// when all in it is restored, and not once something has failed; what is mounted below DIR is
    /// left alone
    #[arg(long, conflicts_with_all = ["stdout", "command"])]
    pub(crate) delete: bool,
    /// Say what would be done, and write nothing
    #[arg(long, conflicts_with_all = ["stdout", "command"])]
    pub(crate) dry_run: bool,
    /// Read all files back from the disk in the end and compare them with the snapshot
    #[arg(long, conflicts_with_all = ["stdout", "command", "dry_run"])]
    pub(crate) verify: bool,
    /// Set owners and groups by number, even where this machine knows their names
    #[arg(long, conflicts_with_all = ["stdout", "command"])]
    pub(crate) numeric_ids: bool,
}

/// What to do with files that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverwriteWhen {
    /// Refuse, before anything is written
    Never,
    /// Replace them, unless size and time are the same; goes on with a restore that was
    /// interrupted
    IfChanged,
    /// Replace them, unless they hold the same bytes
    Always,
}

/// How thoroughly to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyLevel {
    /// Everything is there and has the right size
    Presence,
    /// Every pack's bytes are unaltered
    Packs,
    /// Every blob decrypts and decodes to what its id promises
    Data,
}

/// Check that snapshots can be restored.
///
/// If damage is found, it is listed with the snapshots and paths that it hits, and the exit code is 4.
/// Packs that are damaged are recorded in the ledger: backups then store anew what lay in them.
///
/// What was checked, and when, is kept in the repository. With --sample, --older-than or
/// --time-limit a run takes what was checked longest ago, on whatever machine, so that successive runs
/// come around to everything. That everything is there is checked all the same. What was found is
/// traced to snapshots and paths; if time runs out before that is done, the result says so.
#[derive(Debug, Args)]
#[command(after_help = examples::VERIFY)]
#[command(mut_arg("all", |all| all.help("All snapshots, and everything else in the repository")))]
pub(crate) struct SnapshotVerify {
    #[command(flatten)]
    pub(crate) snapshots: SeveralSnapshots,
    /// How thoroughly [default: data; packs if the slot has the role write]
    #[arg(long, value_enum)]
    pub(crate) level: Option<VerifyLevel>,
    /// Check so much of it: a share such as 5%, or so many bytes of packs, such as 50GiB
    #[arg(long, value_name = "PART", value_parser = values::sample)]
    pub(crate) sample: Option<Sample>,
    /// Check only what was last checked longer ago than this, such as 30d, or never
    #[arg(long, value_name = "AGE", value_parser = values::age)]
    pub(crate) older_than: Option<i64>,
    /// Begin nothing more after this time, such as 2h
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(crate) time_limit: Option<i64>,
    /// Only look: keep nothing in the repository, neither what was checked nor what is damaged
    #[arg(long)]
    pub(crate) no_record: bool,
}

/// Take files and directories out of snapshots.
///
/// For what must not be kept any longer, such as what a person has a right to have removed. Snapshots
/// never change: each in which something matches is followed by one that has the rest, with the same
/// series, times and labels, and is then forgotten for good. What lies in a directory that matches goes
/// with it. No file is read or stored again, and snapshots in which nothing matches are left alone.
/// Afterwards `nightjar gc` removes from the store what only the old snapshots held, and puts that on
/// record. A snapshot that is held must be released before.
#[derive(Debug, Args)]
#[command(after_help = examples::REWRITE)]
#[command(group(
    ArgGroup::new("where").required(true).multiple(true).args(["ids", "of_series", "all"])
))]
#[command(group(
    ArgGroup::new("what").required(true).multiple(true).args(["exclude", "exclude_from"])
))]
pub(crate) struct SnapshotRewrite {
    /// The snapshots: ids or their beginnings, not `latest`
    #[arg(value_name = "ID", value_parser = values::explicit_snapshot)]
    pub(crate) ids: Vec<String>,
    /// All snapshots of this series
    #[arg(long = "series", id = "of_series", value_name = "NAME", conflicts_with = "ids")]
    pub(crate) series: Option<String>,
    /// All snapshots
    #[arg(long, conflicts_with_all = ["ids", "of_series"])]
    pub(crate) all: bool,
    /// Take out what matches this pattern of gitignore(5), compared with paths in the snapshot:
    /// `*.tmp` anywhere, `/srv/cache` there only, `!keep.tmp` after all
    #[arg(long, short, value_name = "PATTERN", value_parser = values::not_empty)]
    pub(crate) exclude: Vec<String>,
    /// Take out what matches a pattern in this file, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) exclude_from: Vec<PathBuf>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    #[arg(required_unless_present_any = ["dry_run", "keep_originals"])]
    pub(crate) reason: Option<String>,
    /// Do not forget the snapshots in which something matches: they stay beside the new ones
    #[arg(long, conflicts_with = "reason")]
    pub(crate) keep_originals: bool,
    /// Only tell what would be taken out
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Forget snapshots.
///
/// The ledger keeps who forgot which snapshot and why. A forgotten snapshot cannot be brought
/// back. What only it used is freed when garbage is collected. One that is held must be released
/// before; one that is damaged or gone can be struck off in this way.
#[derive(Debug, Args)]
#[command(after_help = examples::FORGET)]
pub(crate) struct SnapshotForget {
    /// The snapshots: ids or their beginnings, not `latest`
    #[arg(value_name = "ID", required = true, value_parser = values::explicit_snapshot)]
    pub(crate) ids: Vec<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    pub(crate) reason: String,
    /// What only they hold must not stay in the store, not even where keeping it would be cheaper:
    /// the next `nightjar gc` sees to it and puts it on record. Ids of snapshots that were forgotten
    /// before may be given too
    #[arg(long)]
    pub(crate) erase: bool,
}

/// Hold snapshots: nobody can forget them for now.
///
/// No policy lets a held snapshot go, and `nightjar snapshot forget` refuses. Any slot may hold; a
/// later hold takes nothing from an earlier one.
#[derive(Debug, Args)]
#[command(after_help = examples::HOLD)]
pub(crate) struct SnapshotHold {
    /// The snapshots: `latest`, or ids or their beginnings
    #[arg(value_name = "ID", required = true, value_parser = values::snapshot)]
    pub(crate) ids: Vec<String>,
    /// The series that `latest` means
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    pub(crate) reason: String,
    /// When the hold ends by itself: at the end of a day (2026-12-31), at a time (2026-12-31T18:00), or
    /// so long from now (90d) [default: when the snapshots are released]
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<Moment>,
}

/// Release snapshots that are held.
///
/// All holds on them end, whoever placed them. The ledger keeps who released them and why.
#[derive(Debug, Args)]
#[command(after_help = examples::RELEASE)]
pub(crate) struct SnapshotRelease {
    /// The snapshots: ids or their beginnings, not `latest`
    #[arg(value_name = "ID", required = true, value_parser = values::explicit_snapshot)]
    pub(crate) ids: Vec<String>,
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    pub(crate) reason: String,
}

/// Accept that a snapshot is much smaller than those before it.
///
/// A policy forgets nothing of a series in which a snapshot is out of line, until somebody has looked
/// and said so with this command: later snapshots are then compared with this one. If it should not
/// be there, forget it instead.
#[derive(Debug, Args)]
#[command(after_help = examples::ACCEPT)]
pub(crate) struct SnapshotAccept {
    /// The newest snapshot whose size is right: its id or the beginning of it
    #[arg(value_name = "ID", value_parser = values::explicit_snapshot)]
    pub(crate) id: String,
    /// Why it is, for the ledger
    #[arg(long, value_name = "TEXT", value_parser = values::not_empty)]
    pub(crate) reason: String,
}
