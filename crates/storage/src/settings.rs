//! What is needed to reach a store beside its URL. This crate reads no environment: whoever opens
//! a store hands it over.

use std::time::Duration;

use crate::{Encryption, StorageClasses};

/// How to reach a store in a cloud, and how hard to press it. Means nothing for a directory.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// Environment variables: of those of `AWS_…`, `AZURE_…` and `GOOGLE_…`, the kind of store
    /// takes its own for region, endpoint and credentials. Where no access key is among
    /// them, AWS's own library looks for one, and reads variables and files itself.
    pub variables: Vec<(String, String)>,
    /// The profile in AWS's own files (`~/.aws`) that credentials and region come from, before any
    /// variable.
    pub profile: Option<String>,
    /// Another address than the provider's, such as `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// Whether an endpoint may be reached without TLS, where everybody on the way sees and may
    /// change every request.
    pub allow_http: bool,
    /// Certificates of authorities to be trusted beside the system's, as PEM texts.
    pub certificates: Vec<Vec<u8>>,
    /// The storage classes that objects are written to.
    pub classes: StorageClasses,
    /// How the store itself shall encrypt.
    pub encryption: Option<Encryption>,
    /// When and how objects are sent in parts.
    pub multipart: Multipart,
    /// Bytes sent per second, at most.
    pub upload_limit: Option<u64>,
    /// Bytes received per second, at most.
    pub download_limit: Option<u64>,
    /// How long a request may stand still before it is given up. However long it takes, it goes on
    /// as long as bytes move.
    pub patience: Duration,
    /// How long one request is tried again and again, in total. Signatures are valid for about 15
    /// minutes.
    pub retry_budget: Duration,
    /// Makes this process wait differently from others before it tries again.
    pub seed: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            variables: Vec::new(),
            profile: None,
            endpoint: None,
            region: None,
            allow_http: false,
            certificates: Vec::new(),
            classes: StorageClasses::default(),
            encryption: None,
            multipart: Multipart::default(),
            upload_limit: None,
            download_limit: None,
            patience: Duration::from_mins(1),
            retry_budget: Duration::from_mins(5),
            seed: 0,
        }
    }
}

/// When and how objects are sent in parts. Objects that are created under a condition never are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// Objects of more bytes are.
    pub above_bytes: u64,
    /// All parts but the last have so many bytes; S3 and Google take no fewer than 5 MiB.
    pub part_bytes: usize,
}

impl Default for Multipart {
    fn default() -> Self {
        Self { above_bytes: 32 << 20, part_bytes: 16 << 20 }
    }
}
