//! Amazon's S3 over a directory, in this process: `s3s-fs`.
//!
//! For measuring, not for testing what Nightjar rests on: it answers several times as many requests
//! as moto, but looks whether an object is there and then writes it, so of two that create the same
//! name at once both may succeed.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;

use crate::served::Served;

const ACCESS_KEY: &str = "nightjar-test";
const SECRET_KEY: &str = "nightjar-test-secret";

/// A server of its own, over a directory that goes with it.
pub struct S3Files {
    directory: tempfile::TempDir,
    buckets: AtomicU32,
    endpoint: String,
    _served: Served,
}

impl S3Files {
    /// Starts a server with nothing in it.
    pub fn start() -> Self {
        let made = tempfile::tempdir();
        let directory = made.unwrap_or_else(|error| panic!("no directory for S3: {error}"));
        let files = FileSystem::new(directory.path())
            .unwrap_or_else(|error| panic!("S3 does not start: {error:?}"));
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let failed = |error: s3s::HttpError| async move {
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"))
        };
        let service = HandleError::new(builder.build(), failed);
        let served = Served::start(Router::new().fallback_service(service), None);
        let endpoint = served.endpoint();
        Self { directory, buckets: AtomicU32::new(0), endpoint, _served: served }
    }

    /// Where it is, as `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The variables that tell clients of it.
    pub fn variables(&self) -> [(&'static str, &'static str); 3] {
        [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ]
    }

    /// Makes a bucket and returns its name.
    pub fn new_bucket(&self) -> String {
        let bucket = format!("bucket-{}", self.buckets.fetch_add(1, Ordering::Relaxed));
        std::fs::create_dir(self.directory.path().join(&bucket))
            .unwrap_or_else(|error| panic!("cannot make a bucket: {error}"));
        bucket
    }
}
