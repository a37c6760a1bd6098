//! One repository, and how it is reached and opened: what the command line, the environment and
//! the configuration file say together.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nightjar_storage::{Encryption, StorageClasses, StoreSettings, StoreUrl};
use toml::Spanned;

use super::file::{EncryptionSection, RepositorySection};
use super::retention::many;
use super::{Configuration, NAME, Retention, credentials, unreadable};
use crate::args::{Globals, SeriesPattern};
use crate::environment;
use crate::exit::CommandError;
use crate::secret_input::Origin;

/// All that is said about a repository.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) url: StoreUrl,
    pub(crate) settings: StoreSettings,
    /// The place for caches, if one was given.
    pub(crate) cache_dir: Option<PathBuf>,
    /// What opens the repository.
    pub(crate) origin: Origin,
    /// Which snapshots stay.
    pub(crate) retention: Retention,
    /// For how long the store keeps what is deleted, in nanoseconds, if that is said.
    pub(crate) keeps_deleted: Option<i64>,
    /// Where its replicas are: names in the file, or addresses.
    pub(crate) replicas: Vec<String>,
    /// As a replica: the series that it is of; all of them, if none is named.
    pub(crate) series: Vec<SeriesPattern>,
}

impl Access {
    /// Finds out which repository is meant, and puts together what is said about it.
    pub(crate) fn of(globals: &Globals) -> Result<Self> {
        let given = globals.repository.as_deref().filter(|text| !text.is_empty());
        let configuration = Self::configuration(globals, given)?;
        match choose(given, configuration.as_ref())? {
            Choice::Address(text) => Self::at_address(globals, configuration.as_ref(), text),
            Choice::Named(configuration, section) => {
                Self::named(globals, configuration, section, given_settings(globals)?)
            }
        }
    }

    /// The same of a second repository, given as a path, a URL or a name: a copy of the first. What the
    /// command line and its variables say of how a store is reached is meant for the first; a second one
    /// that has a name is reached as the file says. Limits hold for both.
    pub(crate) fn of_target(globals: &Globals, text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(CommandError::Usage("the name of the store is empty".to_owned()).into());
        }
        let configuration = Self::configuration(globals, Some(text))?;
        match choose(Some(text), configuration.as_ref())? {
            Choice::Address(text) => Self::at_address(globals, configuration.as_ref(), text),
            Choice::Named(configuration, section) => {
                let settings = StoreSettings {
                    upload_limit: globals.store.limit_upload,
                    download_limit: globals.store.limit_download,
                    ..bare_settings()
                };
                Self::named(globals, configuration, section, settings)
            }
        }
    }

    /// The file, if it was named or a name has to be looked up in it.
    fn configuration(globals: &Globals, given: Option<&str>) -> Result<Option<Configuration>> {
        let needs_file = globals.config.is_some() || !given.is_some_and(is_address);
        match needs_file {
            true => Configuration::read(globals.config.as_deref()),
            false => Ok(None),
        }
    }

    /// Only what is said for all repositories can be meant for one without a name.
    fn at_address(
        globals: &Globals,
        configuration: Option<&Configuration>,
        text: &str,
    ) -> Result<Self> {
        let directory = std::env::current_dir().context("cannot tell the current directory")?;
        Ok(Self {
            url: StoreUrl::parse(text, &directory)?,
            settings: given_settings(globals)?,
            cache_dir: globals.cache_dir.clone(),
            origin: Origin::choose(globals, None),
            retention: configuration
                .map(|it| Retention::of(it.file.retention.as_ref(), it))
                .transpose()?
                .unwrap_or_default(),
            keeps_deleted: None,
            replicas: Vec::new(),
            series: Vec::new(),
        })
    }

    fn named(
        globals: &Globals,
        configuration: &Configuration,
        section: &RepositorySection,
        mut settings: StoreSettings,
    ) -> Result<Self> {
        let wrong = |at, what| configuration.mistake(at, what);
        let text = section.url.get_ref();
        let directory = configuration.resolve(Path::new(""));
        let url = StoreUrl::parse(text, &directory)
            .map_err(|error| wrong(section.url.span(), error.to_string()))?;
        fill(&mut settings, section, configuration)?;
        credentials::apply(&section.credentials, configuration, &url, &mut settings)?;
        let class = |class: &Option<Spanned<String>>| {
            let class = class.as_ref().map(|class| {
                let known = url.storage_class(class.get_ref(), &settings);
                known.map_err(|what| wrong(class.span(), what))
            });
            class.transpose()
        };
        settings.classes = StorageClasses {
            data: class(&section.storage_class.data)?,
            metadata: class(&section.storage_class.metadata)?,
        };
        if let Some(EncryptionSection { mode, kms_key_id, bucket_key }) = &section.encryption {
            let (kms_key_id, bucket_key) = (kms_key_id.clone(), *bucket_key);
            let encryption = Encryption { mode: (*mode.get_ref()).into(), kms_key_id, bucket_key };
            url.check_encryption(&encryption).map_err(|what| wrong(mode.span(), what))?;
            settings.encryption = Some(encryption);
        }
        let cache_dir = section.cache_dir.as_ref().map(|path| configuration.resolve(path));
        let origin = Origin::choose(globals, origin(configuration, section)?);
        let retention = section.retention.as_ref().or(configuration.file.retention.as_ref());
        let retention = Retention::of(retention, configuration)?;
        let cache_dir = globals.cache_dir.clone().or(cache_dir);
        let keeps_deleted = section.keeps_deleted;
        let (replicas, series) = (section.replicas.clone(), many(section.series.as_ref()));
        Ok(Self { url, settings, cache_dir, origin, retention, keeps_deleted, replicas, series })
    }
}

/// A repository as it was given.
enum Choice<'a> {
    Address(&'a str),
    Named(&'a Configuration, &'a RepositorySection),
}

/// Whether a text can only be a path or a URL.
fn is_address(text: &str) -> bool {
    text.contains(['/', ':'])
}

fn choose<'a>(
    given: Option<&'a str>,
    configuration: Option<&'a Configuration>,
) -> Result<Choice<'a>> {
    let Some(text) = given else {
        return choose_default(configuration);
    };
    let Some(configuration) = configuration.filter(|_| !is_address(text)) else {
        return Ok(Choice::Address(text));
    };
    match configuration.repository(text) {
        Some(section) => Ok(Choice::Named(configuration, section)),
        None if configuration.names().is_empty() || Path::new(text).is_dir() => {
            Ok(Choice::Address(text))
        }
        None => {
            let instead = configuration.instead_of(text);
            let message = format!(
                "no repository has the name {text:?}, and no directory either: {instead}; a new \
                 directory is written as ./{text}"
            );
            Err(CommandError::Usage(message).into())
        }
    }
}

fn choose_default(configuration: Option<&Configuration>) -> Result<Choice<'_>> {
    let default = configuration.and_then(|configuration| {
        Some((configuration, configuration.file.default_repository.as_ref()?))
    });
    let Some((configuration, name)) = default else {
        let message = format!(
            "no repository was given; name one with --repository or NIGHTJAR_REPOSITORY, or by \
             `default-repository` in {NAME}"
        );
        return Err(CommandError::Usage(message).into());
    };
    match configuration.repository(name.get_ref()) {
        Some(section) => Ok(Choice::Named(configuration, section)),
        None => {
            let instead = configuration.instead_of(name.get_ref());
            let what = format!("there is no repository {:?}: {instead}", name.get_ref());
            Err(configuration.mistake(name.span(), what))
        }
    }
}

/// What is known of a store of which the command line says nothing.
fn bare_settings() -> StoreSettings {
    StoreSettings {
        variables: environment::cloud_variables(),
        seed: u64::from_le_bytes(environment::random().array()),
        ..StoreSettings::default()
    }
}

/// What the command line and the environment say of a store in a cloud.
fn given_settings(globals: &Globals) -> Result<StoreSettings> {
    let given = &globals.store;
    let certificates = given.ca_file.iter();
    let certificates = certificates.map(|path| read_certificates(path, "--ca-file"));
    Ok(StoreSettings {
        endpoint: given.endpoint.clone().filter(|it| !it.is_empty()),
        region: given.region.clone().filter(|it| !it.is_empty()),
        allow_http: given.allow_http,
        certificates: certificates.collect::<Result<_>>()?,
        upload_limit: given.limit_upload,
        download_limit: given.limit_download,
        ..bare_settings()
    })
}

/// Adds what the file says where nothing else was said.
fn fill(
    settings: &mut StoreSettings,
    section: &RepositorySection,
    configuration: &Configuration,
) -> Result<()> {
    settings.endpoint = settings.endpoint.take().or_else(|| section.endpoint.clone());
    settings.region = settings.region.take().or_else(|| section.region.clone());
    settings.allow_http |= section.allow_http;
    if let (Some(path), true) = (&section.ca_file, settings.certificates.is_empty()) {
        settings.certificates.push(read_certificates(&configuration.resolve(path), "ca-file")?);
    }
    settings.upload_limit = settings.upload_limit.or(section.limit_upload);
    settings.download_limit = settings.download_limit.or(section.limit_download);
    Ok(())
}

fn read_certificates(path: &Path, setting: &str) -> Result<Vec<u8>> {
    let what = format!("certificates that {setting} names in");
    std::fs::read(path).map_err(|error| unreadable(path, &what, error))
}

/// What opens the repository, as the file says.
fn origin(configuration: &Configuration, section: &RepositorySection) -> Result<Option<Origin>> {
    let RepositorySection { password_file, password_command, key_file, .. } = section;
    let path = |path: &PathBuf| configuration.resolve(path);
    let mut origins = [
        password_file.as_ref().map(|it| (Origin::PasswordFile(path(it.get_ref())), it.span())),
        password_command
            .as_ref()
            .map(|it| (Origin::PasswordCommand(it.get_ref().into()), it.span())),
        key_file.as_ref().map(|it| (Origin::KeyFile(path(it.get_ref())), it.span())),
    ]
    .into_iter()
    .flatten();
    let first = origins.next();
    match origins.next() {
        Some((_, span)) => {
            let what = "the repository is opened by something else already; of password-file, \
                        password-command and key-file one can be given";
            Err(configuration.mistake(span, what.to_owned()))
        }
        None => Ok(first.map(|(origin, _)| origin)),
    }
}
