//! `nightjar replica`.

use clap::{Args, Subcommand};

use super::examples;

#[derive(Debug, Subcommand)]
pub(crate) enum ReplicaCommand {
    Promote(ReplicaPromote),
}

/// Make a replica the repository, after the repository was lost
///
/// The repository that is meant (`-r`) is the replica. From then on it takes backups, and nobody
/// replicates to it. Snapshots that had been forgotten in the lost repository and are whole here are
/// back; what was to be erased is not. What the lost repository had more than the replica, and what
/// still comes from it, is no part of this one: a backup that had begun there fails.
///
/// Stop everything that uses the lost repository first, if it can be reached. A machine that has
/// used the promoted one refuses the lost one from then on, but nothing keeps a machine that has not
/// from going on with it.
#[derive(Debug, Args)]
#[command(after_help = examples::REPLICA_PROMOTE)]
pub(crate) struct ReplicaPromote {
    /// Why, for the ledger
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run", default_value = "")]
    pub(crate) reason: String,
    /// Say what the repository would begin with, and change nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}
