//! `nightjar gc`.

use clap::Args;

use super::{examples, values};

/// Delete what no snapshot needs any more.
///
/// Runs while backups run, and waits for nobody: writers that had begun before may still rely on
/// what is to go, so as long as one of them is at work, `gc` says so, ends with exit code 0 and goes
/// on the next time. It can be stopped at any moment and goes on where it was. It runs with a nice
/// value of 10 more, so that backups beside it, and databases, keep their pace.
///
/// Snapshots go by `nightjar snapshot forget`; this gives back the space.
#[derive(Debug, Args)]
#[command(after_help = examples::GC)]
pub(crate) struct Gc {
    /// Say what would be done, and do nothing
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    /// How much of the packs may stay unused: what is alive moves out of packs of which too much
    /// is not
    #[arg(long, value_name = "PERCENT", default_value = "5%", value_parser = values::permille)]
    pub(crate) max_unused: u32,
    /// Move no more than this [default: as much as it takes]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) max_repack: Option<u64>,
    /// Begin nothing new after this long [default: until all is done]
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(crate) max_time: Option<i64>,
    /// Take a writer for dead that was silent for so long; it cannot commit any more. Writers say
    /// every ten minutes that they are alive
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = values::age)]
    pub(crate) session_timeout: i64,
    /// Nothing else works on this repository meanwhile, on any machine: needed where the store
    /// ignores conditions
    #[arg(long)]
    pub(crate) exclusive: bool,
    /// The store keeps what is deleted for so long (old versions, object locks, soft deletion): the
    /// record of an erasure says until when [default: `keeps-deleted` in nightjar.toml]
    #[arg(long, value_name = "TIME", value_parser = values::age)]
    pub(crate) keeps_deleted: Option<i64>,
}
