//! The commands: one file each. A command reads its arguments, calls the engine, prints.

mod doctor;
mod gc;
mod generate;
mod index;
mod init;
mod key;
mod ledger;
mod repair;
mod replica;
mod replicate;
mod retention;
mod snapshot;
mod status;

use std::cell::{Cell, OnceCell};
use std::path::{Component, Path};

use anyhow::Result;
use nightjar_repository::snapshots::{self, SnapshotInfo, SnapshotList};
use nightjar_repository::{Environment, Found, Repository, RepositoryError};
use nightjar_storage::Store;

use crate::args::{
    Arguments, Command, Globals, KeyCommand, LedgerCommand, ReplicaCommand, RetentionCommand,
    SnapshotCommand,
};
use crate::config::Access;
use crate::environment;
use crate::exit::{CommandError, Exit};
use crate::output::Output;
use crate::secret_input::Origin;
use crate::stderr;

/// Runs a command.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let globals = &arguments.globals;
    let program = Program {
        globals,
        output: Output::new(globals),
        access: OnceCell::new(),
        altered: Cell::new(false),
    };
    match run_with(&program, &arguments.command)? {
        // Whatever was done was done with what may be an old state.
        Exit::Done if program.altered.get() => Ok(Exit::Damage),
        exit => Ok(exit),
    }
}

fn run_with(program: &Program<'_>, command: &Command) -> Result<Exit> {
    match command {
        Command::Init(init) => init::run(program, init),
        Command::Snapshot(command) => match command {
            SnapshotCommand::Create(create) => snapshot::create::run(program, create),
            SnapshotCommand::List(list) => snapshot::list::run(program, list),
            SnapshotCommand::Show(show) => snapshot::show::run(program, show),
            SnapshotCommand::Ls(ls) => snapshot::ls::run(program, ls),
            SnapshotCommand::Cat(cat) => snapshot::cat::run(program, cat),
            SnapshotCommand::Find(find) => snapshot::find::run(program, find),
            SnapshotCommand::Restore(restore) => snapshot::restore::run(program, restore),
            SnapshotCommand::Verify(verify) => snapshot::verify::run(program, verify),
            SnapshotCommand::Diff(diff) => snapshot::diff::run(program, diff),
            SnapshotCommand::Hold(hold) => snapshot::hold::hold(program, hold),
            SnapshotCommand::Release(release) => snapshot::hold::release(program, release),
            SnapshotCommand::Accept(accept) => snapshot::hold::accept(program, accept),
            SnapshotCommand::Rewrite(rewrite) => snapshot::rewrite::run(program, rewrite),
            SnapshotCommand::Forget(forget) => snapshot::forget::run(program, forget),
        },
        Command::Backup(create) => snapshot::create::run(program, create),
        Command::Restore(restore) => snapshot::restore::run(program, restore),
        Command::Retention(command) => match command {
            RetentionCommand::Plan(plan) => retention::plan(program, plan),
            RetentionCommand::Apply(apply) => retention::apply(program, apply),
        },
        Command::Ledger(LedgerCommand::Show(show)) => ledger::show(program, show),
        Command::Key(command) => match command {
            KeyCommand::Add(add) => key::add(program, add),
            KeyCommand::List => key::list(program),
            KeyCommand::Remove(remove) => key::remove(program, remove),
        },
        Command::Index(command) => index::run(program, command),
        Command::Gc(arguments) => gc::run(program, arguments),
        Command::Replicate(arguments) => replicate::run(program, arguments),
        Command::Replica(ReplicaCommand::Promote(promote)) => replica::promote(program, promote),
        Command::Repair(arguments) => repair::run(program, arguments),
        Command::Status => status::run(program),
        Command::Doctor => doctor::run(program),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { directory } => generate::manual_pages(directory),
    }
}

/// What all commands share.
struct Program<'a> {
    globals: &'a Globals,
    output: Output,
    access: OnceCell<Access>,
    /// Whether records of the ledger were missing, exchanged or taken back.
    altered: Cell<bool>,
}

impl Program<'_> {
    /// Which repository is meant, and how it is reached.
    fn access(&self) -> Result<&Access> {
        if let Some(access) = self.access.get() {
            return Ok(access);
        }
        let access = Access::of(self.globals)?;
        Ok(self.access.get_or_init(|| access))
    }

    /// What the engine is handed.
    fn environment(&self) -> Result<Environment> {
        environment::environment(self.access()?.cache_dir.as_deref())
    }

    /// Looks whether there is a repository, and leaves it closed.
    fn look(&self) -> Result<Found> {
        let Access { url, settings, .. } = self.access()?;
        let store = Store::open(url, settings).map_err(RepositoryError::from)?;
        Ok(Found::look(store)?)
    }

    /// Opens the repository; looks whether there is one before it asks for a passphrase. Warns of
    /// what is wrong with its history: every command has read that by now.
    fn open(&self) -> Result<Repository> {
        let Access { origin, .. } = self.access()?;
        let found = self.look()?;
        let url = found.store().url().to_owned();
        let environment = self.environment()?;
        let repository = found
            .open(&origin.read()?, environment)
            .map_err(|error| not_opened(error, origin, &url))?;
        repository.history_findings().iter().for_each(|finding| stderr::warn(finding));
        self.altered.set(repository.is_history_altered());
        Ok(repository)
    }
}

/// Says which passphrase or key file it was that did not open a repository.
fn not_opened(error: RepositoryError, origin: &Origin, url: &str) -> anyhow::Error {
    let wrong = matches!(error, RepositoryError::WrongSecret);
    let error = anyhow::Error::new(error);
    if wrong { error.context(format!("{origin} does not open {url}")) } else { error }
}

/// Lists snapshots, and warns about what is wrong with the list.
fn list_snapshots(repository: &Repository) -> Result<SnapshotList> {
    let list = snapshots::list(repository)?;
    list.findings.iter().for_each(|finding| stderr::warn(finding));
    Ok(list)
}

/// The one snapshot that is meant.
fn find_snapshot(repository: &Repository, id: &str, series: Option<&str>) -> Result<SnapshotInfo> {
    Ok(list_snapshots(repository)?.find(id, series)?.clone())
}

/// A path as the user writes it, as it stands in snapshots: names joined with slashes. Nothing
/// is left of the path that means everything.
fn path_in_snapshot(path: &Path) -> Result<Vec<u8>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.as_encoded_bytes()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => {
                let message = format!("{}: a path in a snapshot has no `..`", path.display());
                return Err(CommandError::Usage(message).into());
            }
        }
    }
    Ok(names.join(&b'/'))
}

/// The same for many; none at all if one of them means everything.
fn paths_in_snapshot(paths: &[std::path::PathBuf]) -> Result<Vec<Vec<u8>>> {
    let paths = paths.iter().map(|path| path_in_snapshot(path)).collect::<Result<Vec<_>>>()?;
    Ok(if paths.iter().any(Vec::is_empty) { vec![] } else { paths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_snapshot_may_be_written_in_several_ways() {
        for text in ["etc/hosts", "/etc/hosts", "./etc//hosts", "etc/hosts/"] {
            assert_eq!(path_in_snapshot(Path::new(text)).unwrap(), b"etc/hosts", "{text}");
        }
        assert!(path_in_snapshot(Path::new("a/../b")).is_err());
        assert!(paths_in_snapshot(&["a".into(), "/".into()]).unwrap().is_empty());
    }
}
