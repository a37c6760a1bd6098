//! `nightjar replicate`.

use clap::{Args, Subcommand};

use super::{SeriesPattern, examples};

/// Copy the repository to another store, or bring a copy up to date.
///
/// Copies objects as they are, sealed, so that it needs no key (`--without-key`); with one, signatures
/// are checked on the way. Only what is missing is copied, and what was begun goes on where it
/// stopped. At every moment the replica can be restored from and verified by itself: give its address
/// as the repository. Backups and gc may run meanwhile. Nothing is deleted in a replica.
///
/// With `--series`, only snapshots of these series are copied, and of packs only those that hold what
/// they need. That takes the key. Another time it may be other series: more are copied, and what is
/// there stays.
#[derive(Debug, Args)]
#[command(
    after_help = examples::REPLICATE,
    args_conflicts_with_subcommands = true,
    override_usage = examples::REPLICATE_USAGE
)]
pub(crate) struct Replicate {
    #[command(subcommand)]
    pub(crate) command: Option<ReplicateCommand>,
    #[command(flatten)]
    pub(crate) targets: Targets,
    /// Say what would be copied, and copy nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// Do not open the repository: check the hashes of packs, and no signatures
    #[arg(long)]
    pub(crate) without_key: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicateCommand {
    /// Show how far replicas are behind
    ///
    /// Compares listings: what a replica lacks, in snapshots and bytes, and since when; that is what
    /// would be lost with the repository. Needs no key, but to count some series alone.
    #[command(after_help = examples::REPLICATE_STATUS)]
    Status(ReplicateStatus),
}

#[derive(Debug, Args)]
pub(crate) struct ReplicateStatus {
    #[command(flatten)]
    pub(crate) targets: Targets,
    /// Do not open the repository: count all series, also where a target is for some
    #[arg(long)]
    pub(crate) without_key: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Where to: a path or URL, or a name in nightjar.toml [default: the `replicas` of the repository
    /// in nightjar.toml]
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Only series of this name, in which * stands for anything; may be given more than once
    /// [default: the `series` of the target in nightjar.toml, else all]
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Vec<SeriesPattern>,
}
