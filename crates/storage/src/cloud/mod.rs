//! Object stores of clouds: S3 and what speaks its protocol, Azure Blob Storage, Google Cloud
//! Storage.
//!
//! The crate `object_store` knows the protocols and signs requests; what goes over the wire goes
//! through [`transport`], which tries again, keeps to limits and counts.

pub(crate) mod advice;
mod aws;
mod backoff;
mod concurrency;
mod pace;
mod transport;

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use self::aws::FoundCredentials;
use self::transport::Connector;
pub(crate) use self::transport::Traffic;
use crate::url::{Cloud, Provider};
use crate::{Encryption, StoreError, StoreSettings};

/// A store in a cloud, and what goes over the wire to it.
pub(crate) fn open(
    cloud: &Cloud,
    settings: &StoreSettings,
) -> Result<(Arc<dyn ObjectStore>, Arc<Traffic>), StoreError> {
    let bad = |why: String| StoreError::BadUrl { url: cloud.to_string(), why };
    if let Some(endpoint) = endpoint(cloud.provider, settings)
        && !endpoint.starts_with("https://")
        && !settings.allow_http
    {
        return Err(bad(format!(
            "the endpoint {endpoint} is not https://, so everybody on the way could see and change \
             requests; give --allow-http if that is what you want"
        )));
    }
    let connector = Connector::new(settings).map_err(bad)?;
    let traffic = connector.traffic();
    let store: Arc<dyn ObjectStore> = match cloud.provider {
        Provider::S3 => Arc::new(s3(cloud, settings, connector)?),
        Provider::Azure => Arc::new(azure(cloud, settings, connector)?),
        Provider::Google => Arc::new(google(cloud, settings, connector)?),
    };
    if cloud.prefix.is_empty() {
        return Ok((store, traffic));
    }
    let prefix = Path::parse(&cloud.prefix).map_err(|error| bad(error.to_string()))?;
    Ok((Arc::new(PrefixStore::new(store, prefix)), traffic))
}

/// The transport tries again, and nobody else: else each would do so for each.
fn no_retries() -> RetryConfig {
    RetryConfig { backoff: BackoffConfig::default(), max_retries: 0, ..RetryConfig::default() }
}

fn misconfigured(cloud: &Cloud) -> impl Fn(object_store::Error) -> StoreError {
    let url = cloud.to_string();
    move |error| StoreError::BadUrl { url: url.clone(), why: error.to_string() }
}

/// The endpoint that was given, in whatever way.
pub(crate) fn endpoint(provider: Provider, settings: &StoreSettings) -> Option<&str> {
    let names: &[&str] = match provider {
        Provider::S3 => &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"],
        Provider::Azure => &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"],
        Provider::Google => &["GOOGLE_STORAGE_ENDPOINT"],
    };
    let variable = |name: &&str| {
        let found = settings.variables.iter().find(|(it, value)| it == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    let given = settings.endpoint.as_deref().or_else(|| names.iter().find_map(variable));
    given.map(|endpoint| endpoint.trim_end_matches('/'))
}

/// The variables of a provider whose names its configuration knows.
fn known<'a, K: std::str::FromStr>(
    settings: &'a StoreSettings,
    beginning: &'a str,
) -> impl Iterator<Item = (K, &'a str)> {
    settings
        .variables
        .iter()
        .filter(move |(name, value)| {
            name.starts_with(beginning) && !value.is_empty() && !name.ends_with("ENDPOINT")
        })
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse().ok()?, value.as_str())))
}

impl Cloud {
    /// Whether it speaks S3 and is not Amazon's.
    pub(crate) fn has_own_classes(&self, settings: &StoreSettings) -> bool {
        let host = |endpoint: &str| {
            let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
            host.split(['/', ':']).next().unwrap_or_default().to_ascii_lowercase()
        };
        let amazons = [".amazonaws.com", ".amazonaws.com.cn"];
        self.provider == Provider::S3
            && endpoint(self.provider, settings)
                .is_some_and(|endpoint| !amazons.iter().any(|end| host(endpoint).ends_with(end)))
    }
}

fn s3(
    cloud: &Cloud,
    settings: &StoreSettings,
    connector: Connector,
) -> Result<impl ObjectStore, StoreError> {
    let mut builder = AmazonS3Builder::new();
    for (key, value) in known::<AmazonS3ConfigKey>(settings, "AWS_") {
        // One source at a time: a key from here does not go with a mode from there.
        if settings.encryption.is_none() || !matches!(key, AmazonS3ConfigKey::Encryption(_)) {
            builder = builder.with_config(key, value);
        }
    }
    for (key, value) in settings.encryption.iter().flat_map(encryption) {
        let key: AmazonS3ConfigKey = key.parse().map_err(misconfigured(cloud))?;
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = endpoint(cloud.provider, settings) {
        builder = builder.with_endpoint(endpoint);
    }
    let given = settings.region.clone();
    let profile = settings.profile.as_deref();
    let unknown = builder.get_config_value(&AmazonS3ConfigKey::Region).is_none()
        && builder.get_config_value(&AmazonS3ConfigKey::DefaultRegion).is_none();
    let region = || (unknown || profile.is_some()).then(|| aws::profile_region(profile)).flatten();
    if let Some(region) = given.or_else(region) {
        builder = builder.with_region(region);
    }
    if profile.is_some() || builder.get_config_value(&AmazonS3ConfigKey::AccessKeyId).is_none() {
        builder = builder.with_credentials(Arc::new(FoundCredentials::new(profile)));
    }
    builder
        .with_bucket_name(&cloud.bucket)
        .with_allow_http(settings.allow_http)
        .with_retry(no_retries())
        .with_http_connector(connector)
        .build()
        .map_err(misconfigured(cloud))
}

/// Encryption as `object_store` is configured for it.
fn encryption(encryption: &Encryption) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let Encryption { mode, kms_key_id, bucket_key } = encryption.clone();
    [
        Some(("aws_server_side_encryption", mode.name().to_owned())),
        kms_key_id.map(|id| ("aws_sse_kms_key_id", id)),
        bucket_key.map(|on| ("aws_sse_bucket_key_enabled", on.to_string())),
    ]
    .into_iter()
    .flatten()
}

fn azure(
    cloud: &Cloud,
    settings: &StoreSettings,
    connector: Connector,
) -> Result<impl ObjectStore, StoreError> {
    let mut builder = MicrosoftAzureBuilder::new();
    for (key, value) in known::<AzureConfigKey>(settings, "AZURE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = endpoint(cloud.provider, settings) {
        builder = builder.with_endpoint(endpoint.to_owned());
    }
    builder
        .with_container_name(&cloud.bucket)
        .with_allow_http(settings.allow_http)
        .with_retry(no_retries())
        .with_http_connector(connector)
        .build()
        .map_err(misconfigured(cloud))
}

fn google(
    cloud: &Cloud,
    settings: &StoreSettings,
    connector: Connector,
) -> Result<impl ObjectStore, StoreError> {
    let mut builder = GoogleCloudStorageBuilder::new();
    for (key, value) in known::<GoogleConfigKey>(settings, "GOOGLE_") {
        builder = builder.with_config(key, value);
    }
    if let Some(endpoint) = endpoint(cloud.provider, settings) {
        builder = builder.with_base_url(endpoint);
    }
    builder
        .with_bucket_name(&cloud.bucket)
        .with_retry(no_retries())
        .with_http_connector(connector)
        .build()
        .map_err(misconfigured(cloud))
}
