//! `nightjar key …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{examples, values};

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    Add(KeyAdd),
    /// List the slots that have access
    #[command(after_help = examples::KEY_LIST)]
    List,
    Remove(KeyRemove),
}

/// What a slot may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Everything: read backups, forget snapshots, add and remove slots
    Full,
    /// Back up, list and check; never read the data of a backup
    Write,
}

/// Give somebody access: add a slot.
///
/// A slot is one holder of access: a person, a host, a recovery sheet. The repository is opened
/// with your own passphrase or key file; the new slot gets another one, which is asked for on
/// the terminal unless a file is named.
#[derive(Debug, Args)]
#[command(after_help = examples::KEY_ADD)]
pub(crate) struct KeyAdd {
    /// What the slot may do
    #[arg(long, value_enum, default_value = "full")]
    pub(crate) role: RoleChoice,
    /// What to call the slot
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Read the new slot's passphrase from a file; one newline at its end is dropped
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Protect the new slot with a key file; if there is none of that name, one is made with a
    /// random key, and one that is there is used as it is
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
    /// Memory that each guess of the passphrase costs
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = values::argon2_memory)]
    pub(crate) argon2_memory: u32,
}

/// Take a slot's access away.
///
/// A new epoch is made for the other slots: what is written from then on is sealed under keys
/// that the removed slot never gets. It could read what was written before, and may have kept
/// copies of it.
#[derive(Debug, Args)]
#[command(after_help = examples::KEY_REMOVE)]
pub(crate) struct KeyRemove {
    /// The slot's id, or its beginning; `nightjar key list` shows it
    #[arg(value_parser = values::id)]
    pub(crate) slot: String,
}
