//! `nightjar replicate`.

use clap::{Args, Subcommand};

use super::examples;

/// Copy the repository to another store, or bring a copy up to date.
///
/// Copies objects as they are, sealed, so that it needs no key (`--without-key`); with one, signatures
/// are checked on the way. Only what is missing is copied, and what was begun goes on where it
/// stopped. At every moment the replica can be restored from and verified by itself: give its address
/// as the repository. Backups and gc may run meanwhile. Nothing is deleted in a replica.
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
    /// would be lost with the repository. Needs no key.
    #[command(after_help = examples::REPLICATE_STATUS)]
    Status(Targets),
}

#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// Where to: a path or URL, or a name in nightjar.toml [default: the `replicas` of the repository
    /// in nightjar.toml]
    #[arg(value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
}
