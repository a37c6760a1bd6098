//! Where a store is: a path, `file://`, `memory://NAME`, or `s3://`, `az://` and `gs://` with a
//! bucket and a prefix.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{StoreError, StoreSettings, cloud};

/// A store's address, complete in itself: it does not depend on the current directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreUrl {
    place: Place,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Directory(PathBuf),
    Memory(String),
    Cloud(Cloud),
}

/// A bucket, or part of one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cloud {
    pub(crate) provider: Provider,
    /// Azure calls it a container.
    pub(crate) bucket: String,
    /// What all names begin with, without slashes at its ends; empty for nothing.
    pub(crate) prefix: String,
}

/// Whose protocol a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Provider {
    S3,
    Azure,
    Google,
}

const PROVIDERS: [Provider; 3] = [Provider::S3, Provider::Azure, Provider::Google];

impl Provider {
    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "az",
            Self::Google => "gs",
        }
    }

    fn of(scheme: &str) -> Option<Self> {
        PROVIDERS.into_iter().find(|provider| provider.scheme() == scheme)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider.scheme(), self.bucket)?;
        if self.prefix.is_empty() { Ok(()) } else { write!(f, "/{}", self.prefix) }
    }
}

impl StoreUrl {
    /// Reads a path, relative to `current_dir` unless absolute, or a URL.
    pub fn parse(text: &str, current_dir: &Path) -> Result<Self, StoreError> {
        let place = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => parse_url(scheme, rest),
            _ => parse_path(text, current_dir),
        };
        match place {
            Ok(place) => Ok(Self { place }),
            Err(why) => Err(StoreError::BadUrl { url: without_secrets(text), why }),
        }
    }

    /// The directory that the store lies in, if it lies on this machine.
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(path) => Some(path),
            Place::Memory(_) | Place::Cloud(_) => None,
        }
    }

    /// What tells the store from others: a bucket of the same name may be at another endpoint.
    pub fn address(&self, settings: &StoreSettings) -> String {
        match &self.place {
            Place::Cloud(cloud) => match cloud::endpoint(cloud.provider, settings) {
                Some(endpoint) => format!("{cloud} at {endpoint}"),
                None => cloud.to_string(),
            },
            Place::Directory(_) | Place::Memory(_) => self.to_string(),
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Directory(path) => write!(f, "{}", path.display()),
            Place::Memory(name) => write!(f, "memory://{name}"),
            Place::Cloud(cloud) => write!(f, "{cloud}"),
        }
    }
}

/// Whether a URL, as it is displayed, names an object store elsewhere.
pub(crate) fn is_cloud(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, _)| Provider::of(scheme).is_some())
}

/// A URL as it may be shown: keys that somebody wrote before the host do not go to logs.
pub(crate) fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn parse_path(text: &str, current_dir: &Path) -> Result<Place, String> {
    if text.is_empty() {
        return Err("it is empty; give a path or a URL".to_owned());
    }
    directory(&current_dir.join(text))
}

fn parse_url(scheme: &str, rest: &str) -> Result<Place, String> {
    let scheme = scheme.to_ascii_lowercase();
    if let Some(provider) = Provider::of(&scheme) {
        return parse_cloud(provider, rest).map(Place::Cloud);
    }
    match scheme.as_str() {
        "memory" => Ok(Place::Memory(rest.to_owned())),
        "file" => parse_file_url(rest),
        _ => Err(format!(
            "{scheme}:// is not a kind of store; use a path, file://, memory://, s3://, az:// or gs://"
        )),
    }
}

fn parse_cloud(provider: Provider, rest: &str) -> Result<Cloud, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._$".contains(c);
    if bucket.is_empty() || !bucket.chars().all(allowed) {
        let scheme = provider.scheme();
        return Err(format!(
            "it names no bucket: write {scheme}://BUCKET or {scheme}://BUCKET/PREFIX, and the \
             address of another endpoint than the provider's with --endpoint"
        ));
    }
    let prefix = prefix.trim_matches('/');
    if prefix.contains(['#', '%', '\\', '?'])
        || prefix.split('/').any(|it| it == "." || it == "..")
        || prefix.contains("//")
    {
        return Err(format!("{prefix} cannot be the beginning of names"));
    }
    Ok(Cloud { provider, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

fn parse_file_url(rest: &str) -> Result<Place, String> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("a file URL has three slashes and an absolute path: file:///path".to_owned());
    }
    let path = percent_decode(path).ok_or("its percent encoding is broken")?;
    directory(Path::new(&path))
}

fn directory(path: &Path) -> Result<Place, String> {
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("a path cannot contain a zero byte".to_owned());
    }
    // Not the file system's own answer: `..` behind a symbolic link stays as it is.
    match std::path::absolute(path) {
        Ok(path) => Ok(Place::Directory(path.components().collect())),
        Err(error) => Err(error.to_string()),
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        StoreUrl::parse(text, Path::new("/base")).unwrap().to_string()
    }

    #[test]
    fn paths_are_made_absolute_from_the_given_directory() {
        assert_eq!(parsed("backup"), "/base/backup");
        assert_eq!(parsed("./a/../b/"), "/base/a/../b");
        assert_eq!(parsed("/srv//b/"), "/srv/b");
        assert_eq!(parsed("odd: name?#%20"), "/base/odd: name?#%20");
    }

    #[test]
    fn only_a_store_on_this_machine_has_a_directory() {
        let directory = |text: &str| {
            let url = StoreUrl::parse(text, Path::new("/base")).unwrap();
            url.directory().map(Path::to_path_buf)
        };
        assert_eq!(directory("backup"), Some("/base/backup".into()));
        assert_eq!(directory("file:///srv/b%20c"), Some("/srv/b c".into()));
        assert_eq!(directory("memory://m"), None);
        assert_eq!(directory("s3://bucket/prefix"), None);
    }

    #[test]
    fn file_urls_are_decoded() {
        assert_eq!(parsed("file:///srv/b%20c"), "/srv/b c");
        assert_eq!(parsed("FILE://localhost/srv"), "/srv");
    }

    #[test]
    fn a_printed_address_reads_back_as_the_same_address() {
        for text in ["x", "file:///srv/a%23b", "memory://m", "s3://bucket/prefix"] {
            let url = StoreUrl::parse(text, Path::new("/base")).unwrap();
            assert_eq!(StoreUrl::parse(&url.to_string(), Path::new("/")).unwrap(), url);
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_a_reason() {
        let secret = StoreUrl::parse("s3://AKIA1:secret@bucket/x", Path::new("/")).unwrap_err();
        assert!(!secret.to_string().contains("secret"), "{secret}");
        for text in ["", "file://srv/x", "file:///a%2", "file:///a%ff", "ftp://h/x", "a\0b"] {
            let error = StoreUrl::parse(text, Path::new("/")).unwrap_err();
            assert!(matches!(error, StoreError::BadUrl { .. }), "{text:?}: {error}");
        }
    }
}
