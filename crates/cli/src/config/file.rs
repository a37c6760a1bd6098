//! What may stand in the file.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use nightjar_storage::EncryptionMode;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::retention::{OneOrMany, RetentionSection, Written};
use crate::args::{SeriesPattern, age, size};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct File {
    pub(super) default_repository: Option<Spanned<String>>,
    #[serde(default, rename = "repository")]
    pub(super) repositories: BTreeMap<Name, RepositorySection>,
    /// For repositories that have none of their own.
    pub(super) retention: Option<RetentionSection>,
}

/// A repository's name: what no path or URL looks like.
#[derive(Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
pub(super) struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed) {
            return Ok(Self(text));
        }
        Err(format!(
            "{text:?} cannot be a repository's name: it is made of letters, digits, `-`, `_` and \
             `.`, and begins with a letter or digit"
        ))
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One repository.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RepositorySection {
    pub(super) url: Spanned<String>,
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) allow_http: bool,
    pub(super) password_file: Option<Spanned<PathBuf>>,
    pub(super) password_command: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<PathBuf>>,
    pub(super) cache_dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "some_size")]
    pub(super) limit_upload: Option<u64>,
    #[serde(default, deserialize_with = "some_size")]
    pub(super) limit_download: Option<u64>,
    /// For how long the store keeps what is deleted.
    #[serde(default, deserialize_with = "some_age")]
    pub(super) keeps_deleted: Option<i64>,
    #[serde(default)]
    pub(super) credentials: CredentialsSection,
    #[serde(default)]
    pub(super) storage_class: StorageClassSection,
    pub(super) encryption: Option<EncryptionSection>,
    pub(super) retention: Option<RetentionSection>,
    /// Where `nightjar replicate` copies it to.
    #[serde(default)]
    pub(super) replicas: Vec<String>,
    /// The series of which it is a replica: all of them, if none is named.
    pub(super) series: Option<OneOrMany<Written<SeriesPattern>>>,
}

/// Where credentials come from; never they themselves.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CredentialsSection {
    /// S3: a profile in AWS's own files.
    pub(super) profile: Option<Spanned<String>>,
    /// Any cloud: a file of variables.
    pub(super) file: Option<Spanned<PathBuf>>,
    /// Google: the key file of a service account.
    pub(super) service_account: Option<Spanned<PathBuf>>,
    /// Azure: the storage account's name, which is no secret.
    pub(super) account: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct StorageClassSection {
    pub(super) data: Option<Spanned<String>>,
    pub(super) metadata: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct EncryptionSection {
    pub(super) mode: Spanned<Mode>,
    pub(super) kms_key_id: Option<String>,
    pub(super) bucket_key: Option<bool>,
}

/// Called as S3 calls it.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) enum Mode {
    #[serde(rename = "AES256")]
    S3,
    #[serde(rename = "aws:kms")]
    Kms,
    #[serde(rename = "aws:kms:dsse")]
    DualKms,
}

impl From<Mode> for EncryptionMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::S3 => Self::S3,
            Mode::Kms => Self::Kms,
            Mode::DualKms => Self::DualKms,
        }
    }
}

fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    size(&text).map(Some).map_err(serde::de::Error::custom)
}

fn some_age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    age(&text).map(Some).map_err(serde::de::Error::custom)
}
