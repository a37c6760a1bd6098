//! Where a repository's credentials come from, if its section says so.
//!
//! One source at a time: with a section that names one, what stands in the process's own variables
//! of that cloud counts for nothing, so that half of one key never meets half of another, and each
//! of several repositories has its own.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nightjar_storage::{StoreSettings, StoreUrl};

use super::file::CredentialsSection;
use super::{Configuration, unreadable};
use crate::exit::CommandError;

/// A file of variables is no larger.
const LARGEST_BYTES: u64 = 1 << 20;
const CLOUDS: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// Puts what the section says into the settings.
pub(super) fn apply(
    section: &CredentialsSection,
    configuration: &Configuration,
    url: &StoreUrl,
    settings: &mut StoreSettings,
) -> Result<()> {
    let cloud = Cloud::of(url);
    let source = Source::of(section, configuration)?;
    if let Some((source, span)) = source {
        let Some(cloud) = cloud.filter(|cloud| source.fits(*cloud)) else {
            let what = format!("{url} takes no credentials of this kind; {}", source.purpose());
            return Err(configuration.mistake(span, what));
        };
        settings.variables.retain(|(name, _)| !name.starts_with(cloud.beginning()));
        source.read(cloud, settings)?;
    }
    if let Some(account) = &section.account {
        if cloud != Some(Cloud::Azure) {
            let what = format!("{url} has no account; only az:// has");
            return Err(configuration.mistake(account.span(), what));
        }
        let name = "AZURE_STORAGE_ACCOUNT_NAME";
        settings.variables.retain(|(it, _)| it != name);
        settings.variables.push((name.to_owned(), account.get_ref().clone()));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cloud {
    S3,
    Azure,
    Google,
}

impl Cloud {
    fn of(url: &StoreUrl) -> Option<Self> {
        match url.to_string().split_once("://")?.0 {
            "s3" => Some(Self::S3),
            "az" => Some(Self::Azure),
            "gs" => Some(Self::Google),
            _ => None,
        }
    }

    /// How the names of its variables begin.
    const fn beginning(self) -> &'static str {
        match self {
            Self::S3 => "AWS_",
            Self::Azure => "AZURE_",
            Self::Google => "GOOGLE_",
        }
    }
}

/// The one place where credentials are.
enum Source {
    Profile(String),
    Variables(PathBuf),
    ServiceAccount(PathBuf),
}

impl Source {
    fn of(
        section: &CredentialsSection,
        configuration: &Configuration,
    ) -> Result<Option<(Self, Range<usize>)>> {
        let CredentialsSection { profile, file, service_account, .. } = section;
        let path = |path: &PathBuf| configuration.resolve(path);
        let mut sources = [
            profile.as_ref().map(|it| (Self::Profile(it.get_ref().clone()), it.span())),
            file.as_ref().map(|it| (Self::Variables(path(it.get_ref())), it.span())),
            service_account
                .as_ref()
                .map(|it| (Self::ServiceAccount(path(it.get_ref())), it.span())),
        ]
        .into_iter()
        .flatten();
        let first = sources.next();
        match sources.next() {
            Some((_, span)) => {
                let what = "there is another source of credentials; only one can count".to_owned();
                Err(configuration.mistake(span, what))
            }
            None => Ok(first),
        }
    }

    fn fits(&self, cloud: Cloud) -> bool {
        match self {
            Self::Profile(_) => cloud == Cloud::S3,
            Self::Variables(_) => true,
            Self::ServiceAccount(_) => cloud == Cloud::Google,
        }
    }

    const fn purpose(&self) -> &'static str {
        match self {
            Self::Profile(_) => "a profile is for s3://",
            Self::Variables(_) => "a file of variables is for s3://, az:// and gs://",
            Self::ServiceAccount(_) => "a service account is for gs://",
        }
    }

    fn read(self, cloud: Cloud, settings: &mut StoreSettings) -> Result<()> {
        match self {
            Self::Profile(name) => settings.profile = Some(name),
            Self::ServiceAccount(path) => {
                open_secret(&path)?;
                let path = path.to_str().map(str::to_owned).ok_or_else(|| {
                    CommandError::Usage(format!("{} is not a path in UTF-8", path.display()))
                })?;
                settings.variables.push(("GOOGLE_SERVICE_ACCOUNT".to_owned(), path));
            }
            Self::Variables(path) => {
                let found = read_variables(&path)?;
                let value =
                    |name: &str| found.iter().find(|(it, value)| it == name && !value.is_empty());
                if cloud == Cloud::S3 && value("AWS_ACCESS_KEY_ID").is_none() {
                    let profile = value("AWS_PROFILE").ok_or_else(|| lacks(&path))?;
                    settings.profile = Some(profile.1.clone());
                }
                settings.variables.extend(found);
            }
        }
        Ok(())
    }
}

fn lacks(path: &Path) -> CommandError {
    CommandError::Usage(format!(
        "{} has neither AWS_ACCESS_KEY_ID, with AWS_SECRET_ACCESS_KEY, nor AWS_PROFILE",
        path.display()
    ))
}

/// Opens a file that holds a secret; only its owner and group may look.
fn open_secret(path: &Path) -> Result<File> {
    let refused = |error| unreadable(path, "credentials in", error);
    let file = File::open(path).map_err(refused)?;
    let mode = file.metadata().map_err(refused)?.permissions().mode();
    if mode & 0o006 == 0 {
        return Ok(file);
    }
    let path = path.display();
    let message = format!(
        "everybody on this machine may read or change the credentials in {path}: \
         run `chmod o-rw {path}`, and change them if somebody may have"
    );
    Err(CommandError::Usage(message).into())
}

/// The variables of a file: a line for each, as shells and systemd have them.
fn read_variables(path: &Path) -> Result<Vec<(String, String)>> {
    let mut text = String::new();
    let mut file = open_secret(path)?.take(LARGEST_BYTES);
    file.read_to_string(&mut text).map_err(|error| unreadable(path, "credentials in", error))?;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let variable = variable(line).ok_or_else(|| {
            CommandError::Usage(format!(
                "{}, line {}: expected NAME=VALUE, with a NAME that begins with {}",
                path.display(),
                number + 1,
                CLOUDS.join(", ")
            ))
        })?;
        found.push(variable);
    }
    Ok(found)
}

/// `NAME=VALUE`, maybe with `export` before it or quotes around the value.
fn variable(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let quotes = ['"', '\''].into_iter();
    let inside = quotes.filter_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).next();
    let known = CLOUDS.iter().any(|beginning| name.starts_with(beginning));
    known.then(|| (name.to_owned(), inside.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_as_shells_and_systemd_have_them() {
        for line in ["AWS_A=b c", "export AWS_A=b c", "AWS_A = \"b c\"", "AWS_A='b c'"] {
            assert_eq!(variable(line), Some(("AWS_A".into(), "b c".into())), "{line}");
        }
        assert_eq!(variable("AWS_A=b=c\""), Some(("AWS_A".into(), "b=c\"".into())));
        for line in ["AWS_A", "PATH=/bin", "=x", "export", "wJalrXUtnFEMI"] {
            assert_eq!(variable(line), None, "{line}");
        }
    }
}
