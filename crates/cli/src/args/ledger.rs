//! `nightjar ledger …`

use clap::{Args, Subcommand};

use super::examples;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    Show(LedgerShow),
}

/// Show what was done to the repository: by whom, when and why.
///
/// The ledger has a record of each snapshot that was forgotten, held or released, of slots that came
/// and went, and of garbage that was collected. Records are signed and name each other in order; if
/// some are missing or altered, that is told, and the exit code is 4.
#[derive(Debug, Args)]
#[command(after_help = examples::LEDGER_SHOW)]
pub(crate) struct LedgerShow {
    /// Only the newest N records
    #[arg(long, value_name = "N")]
    pub(crate) last: Option<usize>,
}
