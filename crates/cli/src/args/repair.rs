//! `nightjar repair …`

use clap::{Args, Subcommand};

use super::snapshot::SeveralSnapshots;
use super::{examples, values};

/// Bring back what is damaged or lost.
///
/// From a copy: any store that holds the same objects under the same names, such as a replica, a
/// copy made with other tools, or a bucket that was restored. What is missing or damaged here and
/// sound there is fetched, checked and written: packs by their hash, everything else by its
/// signature. What is sound here is never overwritten, and what was forgotten or collected does not
/// come back. Where even the objects are lost that opening rests on, they come first.
///
/// The exit code is 4 if something stays damaged or missing; it is named. A dry run ends with 4 if
/// something could not be mended.
#[derive(Debug, Args)]
#[command(
    after_help = examples::REPAIR,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(crate) struct Repair {
    /// Where the copy is: a path, a URL, or a name in the configuration file, whose settings and
    /// credentials are then used
    #[arg(long, value_name = "URL|NAME", required = true, value_parser = values::not_empty)]
    pub(crate) from: Option<String>,
    /// Read all packs here, not only those that are recorded as damaged
    #[arg(long)]
    pub(crate) check: bool,
    /// Only tell what would be brought back
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
    #[command(subcommand)]
    pub(crate) command: Option<RepairCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RepairCommand {
    Index(RepairIndex),
    Snapshots(RepairSnapshots),
}

/// Write index objects that were lost anew, from packs.
///
/// Packs that no index object lists are read whole, and listed anew for everybody; `nightjar index
/// rebuild --from-packs` does so for this machine alone. Packs of backups that are under way are
/// left to them. Needs a full slot.
#[derive(Debug, Args)]
#[command(after_help = examples::REPAIR_INDEX)]
pub(crate) struct RepairIndex {
    /// Delete index objects whose bits are damaged, when what they listed is listed again. Those that
    /// other keys might open stay
    #[arg(long)]
    pub(crate) delete_damaged: bool,
    /// Only tell what would be done
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}

/// Make snapshots without what is lost for good.
///
/// Each snapshot that lost something is followed by one that has the rest: without the files of
/// which a part is lost, and the directories that cannot be read. The originals stay until they are
/// forgotten. First try `nightjar repair --from` and `nightjar repair index`, and let `nightjar
/// snapshot verify` find what is damaged. Needs a full slot.
#[derive(Debug, Args)]
#[command(after_help = examples::REPAIR_SNAPSHOTS)]
pub(crate) struct RepairSnapshots {
    #[command(flatten)]
    pub(crate) snapshots: SeveralSnapshots,
    /// Only tell what would be left out
    #[arg(long, short = 'n')]
    pub(crate) dry_run: bool,
}
