//! Encryption by the store, beside Nightjar's own: some rules ask for it, and for whose key it is.

use crate::StoreUrl;
use crate::url::{Place, Provider};

/// How S3 shall encrypt what it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// Whose keys.
    pub mode: EncryptionMode,
    /// Which key of KMS; without one, the account's own for S3.
    pub kms_key_id: Option<String>,
    /// Whether one key per bucket stands between KMS and the objects, which makes KMS cheaper;
    /// without a word, the bucket decides.
    pub bucket_key: Option<bool>,
}

/// Whose keys encrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncryptionMode {
    /// S3's own.
    S3,
    /// Those of KMS.
    Kms,
    /// Those of KMS, twice over.
    DualKms,
}

impl EncryptionMode {
    /// As S3 calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::S3 => "AES256",
            Self::Kms => "aws:kms",
            Self::DualKms => "aws:kms:dsse",
        }
    }
}

impl StoreUrl {
    /// Whether the store can be told to encrypt so. An error says why not, and what to do.
    pub fn check_encryption(&self, encryption: &Encryption) -> Result<(), String> {
        let place = match self.place() {
            Place::Cloud(cloud) => match cloud.provider {
                Provider::S3 => return encryption.check(),
                Provider::Azure => "Azure encrypts by what is set on the container or the account",
                Provider::Google => "Google encrypts by what is set on the bucket",
            },
            Place::Directory(_) => "a directory is encrypted by its disk or its file system",
            Place::Memory(_) => "what lies in memory is not encrypted",
        };
        Err(format!("only S3 is told with each object how to encrypt it; {place}"))
    }
}

impl Encryption {
    fn check(&self) -> Result<(), String> {
        let refused = match self.mode {
            EncryptionMode::S3 if self.kms_key_id.is_some() => "names no key of KMS",
            EncryptionMode::S3 | EncryptionMode::DualKms if self.bucket_key.is_some() => {
                "has no bucket keys"
            }
            _ => return Ok(()),
        };
        Err(format!(
            "encryption {} {refused}; {} does",
            self.mode.name(),
            EncryptionMode::Kms.name()
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check(url: &str, mode: EncryptionMode, key: bool, bucket_key: Option<bool>) -> bool {
        let kms_key_id = key.then(|| "k".to_owned());
        let url = StoreUrl::parse(url, Path::new("/")).unwrap();
        url.check_encryption(&Encryption { mode, kms_key_id, bucket_key }).is_ok()
    }

    #[test]
    fn only_what_goes_together_is_taken() {
        use EncryptionMode as M;
        assert!(check("s3://b", M::S3, false, None));
        assert!(check("s3://b", M::Kms, true, Some(true)));
        assert!(check("s3://b", M::DualKms, true, None));
        assert!(!check("s3://b", M::S3, true, None));
        assert!(!check("s3://b", M::S3, false, Some(false)));
        assert!(!check("s3://b", M::DualKms, false, Some(true)));
        for url in ["az://c", "gs://b", "/srv/b", "memory://b"] {
            assert!(!check(url, M::S3, false, None), "{url}");
        }
    }
}
