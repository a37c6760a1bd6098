//! A fake of Google Cloud Storage's XML API, as far as the crate `object_store` uses it.
//!
//! Objects with generations, conditions on them (`x-goog-if-generation-match`), ranges, listings
//! in pages, uploads in parts, copies. What it does not play it refuses with 501 rather than to
//! pass over a condition in silence. All is in memory.

mod bucket;
mod error;
mod listing;
mod requests;
mod xml;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use bytes::Bytes;
use rustls::ServerConfig;

use crate::Authority;
use crate::served::Served;
use bucket::Buckets;

/// A server with no buckets.
pub struct GcsFake {
    shared: Arc<Shared>,
    served: Served,
    endpoint: String,
    buckets: AtomicU32,
}

/// How a server shall be.
pub struct GcsFakeBuilder {
    token: Option<String>,
    page: usize,
    tls: Option<Arc<ServerConfig>>,
}

/// What requests look at.
struct Shared {
    token: Option<String>,
    page: usize,
    buckets: Mutex<Buckets>,
}

impl GcsFake {
    /// Starts a server that lets everybody in.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Starts a server of another kind.
    pub fn builder() -> GcsFakeBuilder {
        GcsFakeBuilder { token: None, page: 1000, tls: None }
    }

    /// Its address, as `http://127.0.0.1:PORT`, or with https.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A service account's key file that says where the server is, for clients that take
    /// nothing else: no token is asked for, and none is sent.
    pub fn service_account_key(&self) -> String {
        format!(
            r#"{{"private_key": "", "private_key_id": "", "client_email": "", "disable_oauth": true, "gcs_base_url": "{}"}}"#,
            self.endpoint
        )
    }

    /// Makes a bucket and returns its name.
    pub fn new_bucket(&self) -> String {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        self.shared.buckets().create(&bucket);
        bucket
    }

    /// Puts objects into a bucket without asking anybody.
    pub fn fill(&self, bucket: &str, objects: impl IntoIterator<Item = (String, Bytes)>) {
        let mut buckets = self.shared.buckets();
        for (name, data) in objects {
            assert!(buckets.put(bucket, name, data, Vec::new(), None).is_ok(), "there is {bucket}");
        }
    }

    /// A header that came with an object, such as its storage class.
    pub fn header(&self, bucket: &str, object: &str, header: &str) -> Option<String> {
        let mut buckets = self.shared.buckets();
        let object = buckets.bucket(bucket).ok()?.object(object, None).ok()?;
        let found = object.attributes.iter().find(|(name, _)| name.as_str() == header);
        found.and_then(|(_, value)| value.to_str().ok()).map(str::to_owned)
    }

    /// How many uploads in parts are neither completed nor aborted.
    pub fn open_uploads(&self, bucket: &str) -> usize {
        self.shared.buckets().bucket(bucket).map_or(0, |bucket| bucket.uploads.len())
    }

    /// Closes the port and all connections; what is stored stays.
    pub fn stop(&mut self) {
        self.served.stop();
    }

    /// Opens the same port again.
    pub fn start_again(&mut self) {
        self.served.start_again();
    }
}

impl GcsFakeBuilder {
    /// Every request must bear this token.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// A page of a listing has at most so many names; Google's have 1000.
    pub fn page(mut self, names: usize) -> Self {
        self.page = names;
        self
    }

    /// It speaks TLS only, with a certificate of this authority.
    pub fn tls(mut self, authority: &Authority) -> Self {
        self.tls = Some(authority.server());
        self
    }

    /// Starts it.
    pub fn start(self) -> GcsFake {
        let Self { token, page, tls } = self;
        let shared = Arc::new(Shared { token, page, buckets: Mutex::default() });
        let router = Router::new().fallback(requests::answer).with_state(Arc::clone(&shared));
        let served = Served::start(router, tls);
        let endpoint = served.endpoint();
        GcsFake { shared, served, endpoint, buckets: AtomicU32::new(0) }
    }
}

impl Shared {
    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
