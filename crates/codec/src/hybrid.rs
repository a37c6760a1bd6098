//! Public-key sealing: HPKE (RFC 9180) in base mode over X-Wing, so that it holds as long as
//! either X25519 or ML-KEM-768 does (format-spec, introduction).

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use nightjar_format::keyring::ENCAPSULATED_LEN;

use crate::random::RandCore;
use crate::{CodecError, Random, SecretKey};

/// Receives sealed messages.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(<XWing as Kem>::PublicKey);

/// Opens them.
#[derive(Clone)]
pub struct PrivateKey {
    seed: SecretKey,
    key: <XWing as Kem>::PrivateKey,
}

impl PublicKey {
    /// From its 1,216 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        <XWing as Kem>::PublicKey::from_bytes(bytes)
            .map(Self)
            .map_err(|_| CodecError::NotAuthentic { what: "public key" })
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Seals a message: encapsulated key and ciphertext.
    pub fn seal(
        &self,
        info: &[u8],
        plaintext: &[u8],
        random: &dyn Random,
    ) -> Result<(Vec<u8>, Vec<u8>), CodecError> {
        let (encapsulated, ciphertext) =
            hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeS::Base,
                &self.0,
                info,
                plaintext,
                b"",
                &mut RandCore(random),
            )
            .map_err(|_| CodecError::Refused("the message could not be sealed"))?;
        Ok((encapsulated.to_bytes().to_vec(), ciphertext))
    }
}

impl PrivateKey {
    /// A fresh key.
    pub fn random(random: &dyn Random) -> Result<Self, CodecError> {
        Self::from_seed(SecretKey::random(random))
    }

    /// From its 32 bytes.
    pub fn from_seed(seed: SecretKey) -> Result<Self, CodecError> {
        let key = <XWing as Kem>::PrivateKey::from_bytes(seed.expose())
            .map_err(|_| CodecError::NotAuthentic { what: "private key" })?;
        Ok(Self { seed, key })
    }

    /// Its 32 bytes.
    pub fn seed(&self) -> &SecretKey {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(XWing::sk_to_pk(&self.key))
    }

    /// Opens a message.
    pub fn open(
        &self,
        info: &[u8],
        encapsulated: &[u8],
        ciphertext: &[u8],
        what: &'static str,
    ) -> Result<Vec<u8>, CodecError> {
        let not_authentic = CodecError::NotAuthentic { what };
        if encapsulated.len() != ENCAPSULATED_LEN {
            return Err(not_authentic);
        }
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| not_authentic.clone())?;
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.key,
            &encapsulated,
            info,
            ciphertext,
            b"",
        )
        .map_err(|_| not_authentic)
    }
}
