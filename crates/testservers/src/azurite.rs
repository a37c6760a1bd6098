//! Azure's blob service, as Microsoft's emulator Azurite plays it.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::process::Server;
use crate::request::{self, Head};

/// The account that Azurite has unless told otherwise, and its key; both are public.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An Azurite blob service with an empty account. It checks signatures, and loses everything
/// when it ends.
pub struct Azurite {
    host: String,
    endpoint: String,
    containers: AtomicU32,
    _server: Server,
}

impl Azurite {
    /// Starts a service of its own. Panics with its output if that fails.
    pub fn start() -> Self {
        let (server, host) = Server::start(
            "NIGHTJAR_TEST_AZURITE",
            |command| {
                command.args(["--blobHost", "127.0.0.1", "--blobPort", "0"]);
                command.args(["--inMemoryPersistence", "--silent", "--disableTelemetry"]);
            },
            "successfully listens on ",
        );
        let endpoint = format!("{host}/{ACCOUNT}");
        Self { host, endpoint, containers: AtomicU32::new(0), _server: server }
    }

    /// The account's address, as `http://127.0.0.1:PORT/ACCOUNT`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The name of the account.
    pub fn account(&self) -> &'static str {
        ACCOUNT
    }

    /// The account's key, in Base64 as Azure gives it out.
    pub fn access_key(&self) -> &'static str {
        KEY
    }

    /// The variables that tell clients of it.
    pub fn variables(&self) -> [(&'static str, &'static str); 2] {
        [
            ("AZURE_STORAGE_ACCOUNT_NAME", self.account()),
            ("AZURE_STORAGE_ACCOUNT_KEY", self.access_key()),
        ]
    }

    /// Makes a container and returns its name.
    pub fn new_bucket(&self) -> String {
        let container = format!("container-{}", self.containers.fetch_add(1, Ordering::Relaxed));
        self.send("PUT", &container, "\nrestype:container", "?restype=container")
            .expect_success("making a container");
        container
    }

    /// The names of the blobs in a container, which are no more than some thousands.
    pub fn names(&self, container: &str) -> Vec<String> {
        let (signed, query) = ("\ncomp:list\nrestype:container", "?restype=container&comp=list");
        let answer = self.send("GET", container, signed, query).expect_success("listing blobs");
        request::elements(&answer.text, "Name")
    }

    /// The head of the answer to a look at a blob: what Azure knows of it.
    pub fn head(&self, container: &str, name: &str) -> Head {
        let place = format!("{container}/{name}");
        self.send("HEAD", &place, "", "").expect_success("looking at a blob").head()
    }

    /// `signed_query` is the query as signatures have it.
    fn send(&self, method: &str, place: &str, signed_query: &str, query: &str) -> request::Answer {
        let date = jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let version = "2021-12-02";
        // The shared key scheme: the method, eleven headers that are not sent, those that are,
        // and the resource. The account's name is part of the path as well.
        let signed = format!(
            "{method}\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:{version}\n\
             /{ACCOUNT}/{ACCOUNT}/{place}{signed_query}"
        );
        let authorization = format!("SharedKey {ACCOUNT}:{}", signature(&signed));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("x-ms-date", &date),
            ("x-ms-version", version),
        ];
        let target = format!("/{ACCOUNT}/{place}{query}");
        request::send(&self.host, method, &target, &headers, "")
    }
}

fn signature(text: &str) -> String {
    let key = BASE64_STANDARD.decode(KEY).unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { panic!("HMAC takes any key") };
    mac.update(text.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}
