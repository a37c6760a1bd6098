//! The exit codes: one table for the code, the help and the documentation.

use std::process::ExitCode;

use nightjar_repository::RepositoryError;
use nightjar_source::SourceError;
use nightjar_storage::StoreError;

/// How the program ends. 200 and above are reserved for PostgreSQL's `restore_command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Unreadable = 3,
    Damage = 4,
    NoRepository = 10,
    Held = 11,
    NoKey = 12,
    /// Never returned: the shell reports it for a process that SIGINT ended.
    Interrupted = 130,
}

impl Exit {
    /// Every code, in order.
    pub(crate) const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Unreadable,
        Self::Damage,
        Self::NoRepository,
        Self::Held,
        Self::NoKey,
        Self::Interrupted,
    ];

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// Of two things that were done, the one to tell: whatever is not well.
    pub(crate) fn max_by_code(self, other: Self) -> Self {
        if other.code() > self.code() { other } else { self }
    }

    /// Its stable name in JSON.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreadable => "unreadable",
            Self::Damage => "damage",
            Self::NoRepository => "no_repository",
            Self::Held => "held",
            Self::NoKey => "no_key",
            Self::Interrupted => "interrupted",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "the command line is wrong",
            Self::Unreadable => "the snapshot is written, but some source files could not be read",
            Self::Damage => "damage was found",
            Self::NoRepository => "there is no repository",
            Self::Held => "fenced, or another process holds what is needed",
            Self::NoKey => "wrong passphrase, no usable key, or a role that may not do this",
            Self::Interrupted => "interrupted",
        }
    }

    /// The table as help shows it.
    pub(crate) fn table() -> String {
        let lines = Self::ALL.map(|exit| format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
        format!("Exit codes:\n{}", lines.concat())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// What the command line itself refuses, or cannot do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The arguments do not make sense together.
    #[error("{0}")]
    Usage(String),
    /// No passphrase or key file can be had.
    #[error("{0}")]
    NoKey(String),
    /// Whoever read standard output has gone. Nothing is left to be said.
    #[error("standard output was closed")]
    StdoutClosed,
}

/// The exit code of an error: that of the first one in its chain that has a say.
pub(crate) fn of(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<CommandError>() {
        return of_command(error);
    }
    error.chain().find_map(of_cause).unwrap_or(Exit::Failed)
}

const fn of_command(error: &CommandError) -> Exit {
    match error {
        CommandError::Usage(_) => Exit::Usage,
        CommandError::NoKey(_) => Exit::NoKey,
        CommandError::StdoutClosed => Exit::Failed,
    }
}

fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Exit> {
    if let Some(error) = cause.downcast_ref::<SourceError>() {
        return Some(match error {
            SourceError::Repository(error) => of_repository(error),
            _ => Exit::Failed,
        });
    }
    if let Some(error) = cause.downcast_ref::<RepositoryError>() {
        return Some(of_repository(error));
    }
    cause.downcast_ref::<StoreError>().map(of_store)
}

fn of_repository(error: &RepositoryError) -> Exit {
    use RepositoryError as E;
    match error {
        E::NoRepository { .. } | E::UnfinishedReplica { .. } => Exit::NoRepository,
        E::WrongSecret | E::RemovedSlot { .. } | E::RoleForbids { .. } => Exit::NoKey,
        E::Fenced { .. } | E::KeysChanged | E::Busy(_) => Exit::Held,
        E::Damaged { .. } | E::LostBlob { .. } | E::Tampered(_) => Exit::Damage,
        E::Store(error) => of_store(error),
        _ => Exit::Failed,
    }
}

fn of_store(error: &StoreError) -> Exit {
    match error {
        StoreError::NoStore { .. } => Exit::NoRepository,
        StoreError::BadUrl { .. } => Exit::Usage,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(error: impl Into<anyhow::Error>) -> u8 {
        of(&error.into()).code()
    }

    #[test]
    fn the_table_names_each_code_once_and_in_order() {
        assert!(Exit::ALL.is_sorted_by_key(|exit| exit.code()));
        let table = Exit::table();
        for exit in Exit::ALL {
            assert!(table.contains(&format!(" {}  {}", exit.code(), exit.meaning())), "{exit:?}");
            assert!(exit.code() < 200, "{exit:?} is reserved");
        }
    }

    #[test]
    fn each_kind_of_failure_has_its_own_code() {
        use RepositoryError as E;
        assert_eq!(code(E::NoRepository { url: "x".into() }), 10);
        assert_eq!(code(StoreError::NoStore { url: "x".into() }), 10);
        assert_eq!(code(E::WrongSecret), 12);
        assert_eq!(code(E::RoleForbids { what: "forget" }), 12);
        assert_eq!(code(E::Tampered("gone".into())), 4);
        assert_eq!(code(E::Damaged { object: "x".into(), why: "y".into() }), 4);
        assert_eq!(code(E::Refused("no".into())), 1);
        assert_eq!(code(E::Busy("later".into())), 11);
        assert_eq!(code(CommandError::Usage("no".into())), 2);
        assert_eq!(code(CommandError::NoKey("no".into())), 12);
        assert_eq!(code(anyhow::anyhow!("other")), 1);
    }

    #[test]
    fn context_and_wrapping_do_not_hide_the_code() {
        let error = anyhow::Error::new(RepositoryError::WrongSecret).context("outer");
        assert_eq!(of(&error), Exit::NoKey);
        let wrapped = SourceError::from(RepositoryError::Tampered("gone".into()));
        assert_eq!(code(wrapped), 4);
    }
}
