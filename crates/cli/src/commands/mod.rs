//! The commands: one file each. A command reads its arguments, calls the engine, prints.

mod generate;
mod index;
mod init;
mod key;
mod snapshot;
mod status;

use std::path::{Component, Path};

use anyhow::{Context, Result};
use nightjar_repository::snapshots::{self, SnapshotInfo, SnapshotList};
use nightjar_repository::{Found, Repository, RepositoryError};
use nightjar_storage::{Store, StoreSettings, StoreUrl};

use crate::args::{Arguments, Command, Globals, KeyCommand, SnapshotCommand};
use crate::environment;
use crate::exit::{CommandError, Exit};
use crate::output::Output;
use crate::secret_input::Origin;
use crate::stderr;

/// Runs a command.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let globals = &arguments.globals;
    let program = Program { globals, output: Output::new(globals) };
    match &arguments.command {
        Command::Init(init) => init::run(&program, init),
        Command::Snapshot(command) => match command {
            SnapshotCommand::Create(create) => snapshot::create::run(&program, create),
            SnapshotCommand::List(list) => snapshot::list::run(&program, list),
            SnapshotCommand::Show(show) => snapshot::show::run(&program, show),
            SnapshotCommand::Ls(ls) => snapshot::ls::run(&program, ls),
            SnapshotCommand::Cat(cat) => snapshot::cat::run(&program, cat),
            SnapshotCommand::Find(find) => snapshot::find::run(&program, find),
            SnapshotCommand::Restore(restore) => snapshot::restore::run(&program, restore),
            SnapshotCommand::Verify(verify) => snapshot::verify::run(&program, verify),
            SnapshotCommand::Diff(diff) => snapshot::diff::run(&program, diff),
            SnapshotCommand::Forget(forget) => snapshot::forget::run(&program, forget),
        },
        Command::Backup(create) => snapshot::create::run(&program, create),
        Command::Restore(restore) => snapshot::restore::run(&program, restore),
        Command::Key(command) => match command {
            KeyCommand::Add(add) => key::add(&program, add),
            KeyCommand::List => key::list(&program),
            KeyCommand::Remove(remove) => key::remove(&program, remove),
        },
        Command::Index(command) => index::run(&program, command),
        Command::Status => status::run(&program),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { directory } => generate::manual_pages(directory),
    }
}

/// What all commands share.
struct Program<'a> {
    globals: &'a Globals,
    output: Output,
}

impl Program<'_> {
    fn store_url(&self) -> Result<StoreUrl> {
        let given = self.globals.repository.as_deref().filter(|text| !text.is_empty());
        let text = given.ok_or_else(|| {
            CommandError::Usage(
                "no repository was given; name one with --repository or NIGHTJAR_REPOSITORY".into(),
            )
        })?;
        let directory = std::env::current_dir().context("cannot tell the current directory")?;
        Ok(StoreUrl::parse(text, &directory)?)
    }

    /// How the store is reached, if it is in a cloud.
    fn store_settings(&self) -> Result<StoreSettings> {
        let given = &self.globals.store;
        let certificates = given.ca_file.iter().map(|path| {
            std::fs::read(path).with_context(|| format!("cannot read --ca-file {}", path.display()))
        });
        Ok(StoreSettings {
            variables: environment::cloud_variables(),
            endpoint: given.endpoint.clone().filter(|it| !it.is_empty()),
            region: given.region.clone().filter(|it| !it.is_empty()),
            allow_http: given.allow_http,
            certificates: certificates.collect::<Result<_>>()?,
            upload_limit: given.limit_upload,
            download_limit: given.limit_download,
            seed: u64::from_le_bytes(environment::random().array()),
            ..StoreSettings::default()
        })
    }

    /// Opens the repository; looks whether there is one before it asks for a passphrase.
    fn open(&self) -> Result<Repository> {
        let settings = self.store_settings()?;
        let store = Store::open(&self.store_url()?, &settings).map_err(RepositoryError::from)?;
        let url = store.url().to_owned();
        let found = Found::look(store)?;
        let environment = environment::environment(self.globals.cache_dir.as_deref())?;
        let origin = Origin::choose(self.globals);
        found.open(&origin.read()?, environment).map_err(|error| {
            let wrong = matches!(error, RepositoryError::WrongSecret);
            let error = anyhow::Error::new(error);
            if wrong { error.context(format!("{origin} does not open {url}")) } else { error }
        })
    }
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
