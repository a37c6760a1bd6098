//! Certificates made on the fly.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;

/// An authority that no machine trusts unless told, and that certifies 127.0.0.1 and localhost.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// Makes one with a key of its own.
    pub fn new() -> Self {
        let make = || {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "Nightjar's tests");
            CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        };
        let issuer = made(make(), "an authority");
        let folder = made(TempDir::new(), "a temporary directory");
        made(
            std::fs::write(folder.path().join("ca.pem"), issuer.pem()),
            "the file of an authority",
        );
        Self { issuer, folder }
    }

    /// Its certificate, as a client is told to trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A file with its certificate; gone when this is dropped.
    pub fn pem_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// How a server with a certificate of this authority speaks TLS.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let certify = || {
            let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
            let key = KeyPair::generate()?;
            Ok((CertificateParams::new(names)?.signed_by(&key, &self.issuer)?, key))
        };
        let (certificate, key) = made::<_, rcgen::Error>(certify(), "a certificate");
        let chain = vec![certificate.der().clone()];
        let key = made(PrivateKeyDer::try_from(key.serialize_der()), "a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = made(config, "a TLS configuration").with_no_client_auth();
        Arc::new(made(config.with_single_cert(chain, key), "a TLS configuration"))
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

fn made<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{what} could not be made: {error}"))
}
