//! Credentials for S3, found by AWS's own library: variables, profiles with their roles, single
//! sign-on and processes, web identities, containers, instances.
//!
//! It reads the user's `~/.aws` and the process's environment itself, as every tool of AWS does.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::meta::region::ProvideRegion;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::runtime::Builder;
use tokio::sync::Mutex;

/// Credentials are asked for again when they have so long to live.
const MARGIN: Duration = Duration::from_mins(5);

/// Finds credentials when they are first needed, and again before they expire.
#[derive(Debug)]
pub(crate) struct FoundCredentials {
    /// Nothing but this profile counts, if there is one.
    profile: Option<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    provider: Option<SharedCredentialsProvider>,
    found: Option<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    credential: Arc<AwsCredential>,
    expires: Option<SystemTime>,
}

impl Found {
    #[expect(clippy::disallowed_methods, reason = "credentials expire by the system's clock")]
    fn is_fresh(&self) -> bool {
        self.expires.is_none_or(|expires| expires > SystemTime::now() + MARGIN)
    }
}

impl FoundCredentials {
    pub(crate) fn new(profile: Option<&str>) -> Self {
        Self { profile: profile.map(str::to_owned), state: Mutex::default() }
    }

    async fn provider(&self) -> SharedCredentialsProvider {
        match &self.profile {
            Some(profile) => SharedCredentialsProvider::new(
                ProfileFileCredentialsProvider::builder().profile_name(profile).build(),
            ),
            None => {
                SharedCredentialsProvider::new(DefaultCredentialsChain::builder().build().await)
            }
        }
    }
}

#[async_trait]
impl CredentialProvider for FoundCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut state = self.state.lock().await;
        if let Some(found) = state.found.as_ref().filter(|found| found.is_fresh()) {
            return Ok(Arc::clone(&found.credential));
        }
        let provider = match &state.provider {
            Some(provider) => provider.clone(),
            None => state.provider.insert(self.provider().await).clone(),
        };
        let found = provider.provide_credentials().await.map_err(none_found)?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        state.found = Some(Found { credential: Arc::clone(&credential), expires: found.expiry() });
        Ok(credential)
    }
}

fn none_found(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "S3 credentials", source: source.into() }
}

/// The region that a profile names; that of the one in use, if none is given.
pub(crate) fn profile_region(profile: Option<&str>) -> Option<String> {
    let mut provider = ProfileFileRegionProvider::builder();
    if let Some(profile) = profile {
        provider = provider.profile_name(profile);
    }
    let find = move || {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(provider.build().region())
    };
    // A thread of its own: the caller may be within somebody's runtime.
    let region = std::thread::spawn(find).join().ok().flatten()?;
    Some(region.as_ref().to_owned())
}
