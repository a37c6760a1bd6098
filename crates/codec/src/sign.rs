//! Ed25519 signatures (RFC 8032), each under a context of its own.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use nightjar_format::slot::Signature;

use crate::{CodecError, SecretKey};

/// What a signature is for; no signature serves two purposes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureContext {
    /// A metadata object.
    Metadata,
    /// A slot object.
    Slot,
    /// An epoch record.
    Epoch,
    /// A bundle.
    Bundle,
}

impl SignatureContext {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Metadata => b"nightjar format 1: signature",
            Self::Slot => b"nightjar format 1: slot",
            Self::Epoch => b"nightjar format 1: epoch",
            Self::Bundle => b"nightjar format 1: bundle",
        }
    }
}

/// Signs for a slot.
#[derive(Clone)]
pub struct SignKey(SigningKey);

impl SignKey {
    /// From its 32-byte seed.
    pub fn from_seed(seed: &SecretKey) -> Self {
        Self(SigningKey::from_bytes(seed.expose()))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs context and message.
    pub fn sign(&self, context: SignatureContext, message: &[u8]) -> Signature {
        let signature = self.0.sign(&[context.bytes(), message].concat());
        Signature::from_bytes(signature.to_bytes())
    }
}

/// Checks a signature strictly.
pub fn verify(
    public: &[u8; 32],
    context: SignatureContext,
    message: &[u8],
    signature: &Signature,
    what: &'static str,
) -> Result<(), CodecError> {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.to_bytes());
    VerifyingKey::from_bytes(public)
        .and_then(|key| key.verify_strict(&[context.bytes(), message].concat(), &signature))
        .map_err(|_| CodecError::NotAuthentic { what })
}
