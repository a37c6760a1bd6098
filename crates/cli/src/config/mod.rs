//! `nightjar.toml`: repositories by name, with all that is needed to reach and to open them.
//!
//! Looked for where `--config` or `NIGHTJAR_CONFIG` says, else in the user's configuration
//! directory, else in `/etc/nightjar`. The first found is the only one read: files never add up. A
//! repository that is given as a path or URL needs no file, and none is read then unless it is
//! named.
//!
//! One setting counts: that of the command line, else that of its `NIGHTJAR_…` variable, else the
//! file's. Only what none of them says is taken from where the clouds' own tools look.
//!
//! Paths in the file begin at its directory. Secrets do not stand in it, only where they are:
//! whoever may run Nightjar may read the file. So mistakes are told by line and key, never by
//! quoting what may be a secret in the wrong place.
//!
//! [`Configuration`] is the file, [`Access`] what becomes of it and everything else that is said
//! about one repository.

mod access;
mod credentials;
mod file;
mod mistake;
mod retention;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Result;
use etcetera::BaseStrategy;

pub(crate) use access::Access;
use file::{File, RepositorySection};
use mistake::{Mistake, nearest, one_of};
pub(crate) use retention::{Retention, SeriesPolicy};

use crate::exit::CommandError;

/// What it is called in the directories where it is looked for.
const NAME: &str = "nightjar.toml";
const OF_THE_MACHINE: &str = "/etc/nightjar";

/// A configuration file that was read.
#[derive(Debug)]
struct Configuration {
    path: PathBuf,
    text: String,
    file: File,
}

impl Configuration {
    /// The file that was named, which must be there, else the first that is found.
    fn read(named: Option<&Path>) -> Result<Option<Self>> {
        let places = named.map_or_else(places, |path| vec![path.to_owned()]);
        for path in places {
            match std::fs::read_to_string(&path) {
                Ok(text) => return Self::parse(path, text).map(Some),
                Err(error) if named.is_none() && is_absent(&error) => {}
                Err(error) => return Err(unreadable(&path, "configuration file", error)),
            }
        }
        Ok(None)
    }

    fn parse(path: PathBuf, text: String) -> Result<Self> {
        let path = std::path::absolute(&path).unwrap_or(path);
        let file = toml::from_str(&text)
            .map_err(|error| CommandError::Usage(Mistake::of(&error, &text).told(&path, &text)))?;
        Ok(Self { path, text, file })
    }

    /// A path of the file.
    fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).join(path)
    }

    /// What is wrong at a place in the file.
    fn mistake(&self, span: Range<usize>, what: String) -> anyhow::Error {
        CommandError::Usage(Mistake::at(span, what, &self.text).told(&self.path, &self.text)).into()
    }

    /// The repository of this name.
    fn repository(&self, name: &str) -> Option<&RepositorySection> {
        self.file.repositories.get(name)
    }

    fn names(&self) -> Vec<&str> {
        self.file.repositories.keys().map(AsRef::as_ref).collect()
    }

    /// Tells which repositories there are instead of `name`.
    fn instead_of(&self, name: &str) -> String {
        let names = self.names();
        let path = self.path.display();
        match nearest(name, &names) {
            Some(near) => format!("did you mean {near:?}? {path} names {}", one_of(&names)),
            None if names.is_empty() => format!("{path} names none"),
            None => format!("{path} names {}", one_of(&names)),
        }
    }
}

/// Where a file that nobody named may be, the first before the others.
fn places() -> Vec<PathBuf> {
    // Without a home there is no directory of the user's.
    let users = etcetera::choose_base_strategy().ok();
    let users = users.map(|strategy| strategy.config_dir().join("nightjar"));
    let directories = users.into_iter().chain([PathBuf::from(OF_THE_MACHINE)]);
    directories.map(|directory| directory.join(NAME)).collect()
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, what: &str, error: io::Error) -> anyhow::Error {
    let message = format!("cannot read the {what} {}", path.display());
    anyhow::Error::new(error).context(CommandError::Usage(message))
}

#[cfg(test)]
mod tests;
