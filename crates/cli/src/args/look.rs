//! `nightjar snapshot …`, the commands that look into snapshots.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::snapshot::OneSnapshot;
use super::{examples, values};

/// List the files in a snapshot.
///
/// With `--long`, a line is as `ls -l` shows it: `+` behind the permissions means an access control
/// list, `@` other extended attributes; hard links, holes and files that changed while they were
/// read are noted at the end.
#[derive(Debug, Args)]
#[command(after_help = examples::LS)]
pub(crate) struct SnapshotLs {
    #[command(flatten)]
    pub(crate) snapshot: OneSnapshot,
    /// Only these, and what lies below them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Show kind, mode, owner, size and time as well
    #[arg(long, short)]
    pub(crate) long: bool,
    /// How many levels to show: 1 for what stands at the top of the snapshot, or for each PATH and
    /// what lies directly in it [default: all]
    #[arg(long, value_name = "N", value_parser = values::depth)]
    pub(crate) depth: Option<usize>,
}

/// Write one file of a snapshot to standard output.
///
/// Every byte is checked before it is given out. Nothing else is written there: what is wrong, and
/// with `--json` the report, goes to standard error.
#[derive(Debug, Args)]
#[command(after_help = examples::CAT)]
pub(crate) struct SnapshotCat {
    #[command(flatten)]
    pub(crate) snapshot: OneSnapshot,
    /// The file
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,
}

/// What an entry of a snapshot may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindChoice {
    /// A regular file
    File,
    /// A directory
    Directory,
    /// A symbolic link
    Symlink,
    /// A pipe, socket or device
    Other,
}

/// Find files by name in all snapshots.
///
/// A pattern without `/` is compared with the last name of each path, one with `/` with the whole
/// path as `nightjar snapshot ls` shows it. In a pattern, `*` stands for any bytes but `/`, `?` for
/// one of these (a letter beyond ASCII has several), `[a-z]` for one of several, `{a,b}` for
/// either, and `**` for any number of directories; a backslash takes the meaning from the character
/// behind it. Quote patterns, or the shell replaces them.
///
/// Snapshots are searched from the oldest to the newest. To find nothing is no error.
#[derive(Debug, Args)]
#[command(after_help = examples::FIND)]
pub(crate) struct SnapshotFind {
    /// What to look for: names or paths, which may have wildcards
    #[arg(value_name = "PATTERN", required = true, value_parser = values::pattern)]
    pub(crate) patterns: Vec<String>,
    /// Only in snapshots of this series
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
    /// Only in this snapshot: `latest`, or an id or its beginning; may be given more than once
    #[arg(long = "snapshot", value_name = "ID", value_parser = values::snapshot)]
    pub(crate) ids: Vec<String>,
    /// Take small and capital letters for the same, from A to Z
    #[arg(long, short)]
    pub(crate) ignore_case: bool,
    /// Only entries of this kind
    #[arg(long, value_enum)]
    pub(crate) kind: Option<KindChoice>,
    /// Show kind, mode, owner, size and time as well
    #[arg(long, short)]
    pub(crate) long: bool,
}

/// Compare two snapshots.
///
/// Each line begins with what happened: `+` added, `-` removed, `R` renamed, `M` content or kind
/// changed, `U` only mode, owner, time, attributes or hard links changed. A renamed file has the
/// content of one that was removed; among more than 20,000 differences none are looked for. A
/// summary goes to standard error.
#[derive(Debug, Args)]
#[command(after_help = examples::DIFF)]
pub(crate) struct SnapshotDiff {
    /// The old snapshot: `latest`, or an id or its beginning
    #[arg(value_name = "OLD", value_parser = values::snapshot)]
    pub(crate) old: String,
    /// The new snapshot
    #[arg(value_name = "NEW", value_parser = values::snapshot)]
    pub(crate) new: String,
    /// Only these, and what lies below them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// The series that `latest` means
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
    /// Leave out the `U` lines
    #[arg(long)]
    pub(crate) no_metadata: bool,
}
