//! ChaCha20-Poly1305 (RFC 8439), in place, the tag behind the ciphertext.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};

use crate::{CodecError, SecretKey};

/// Bytes that sealing adds.
pub const TAG_LEN: usize = nightjar_format::blob::TAG_LEN;

/// For keys that seal one message only.
pub const ZERO_NONCE: [u8; 12] = [0; 12];

/// A key, ready for use.
pub struct Cipher(ChaCha20Poly1305);

impl Cipher {
    /// Prepares a key.
    pub fn new(key: &SecretKey) -> Self {
        Self(ChaCha20Poly1305::new(&Key::from(*key.expose())))
    }

    /// Seals `buffer`, whose last [`TAG_LEN`] bytes are room for the tag.
    pub fn seal_in_place(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        buffer: &mut [u8],
    ) -> Result<(), CodecError> {
        let (text, room) = buffer
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(CodecError::Refused("no room for a tag"))?;
        let tag = self
            .0
            .encrypt_inout_detached(&Nonce::from(nonce), associated, text.into())
            .map_err(|_| CodecError::Refused("the message is too long to seal"))?;
        *room = tag.into();
        Ok(())
    }

    /// Opens `buffer` in place and returns the part of it that is plaintext.
    pub fn open_in_place<'a>(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        what: &'static str,
        buffer: &'a mut [u8],
    ) -> Result<&'a mut [u8], CodecError> {
        let not_authentic = CodecError::NotAuthentic { what };
        let (text, tag) = buffer.split_last_chunk_mut::<TAG_LEN>().ok_or(not_authentic.clone())?;
        self.0
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                associated,
                (&mut *text).into(),
                &Tag::from(*tag),
            )
            .map_err(|_| not_authentic)?;
        Ok(text)
    }

    /// Seals a message of its own.
    pub fn seal(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CodecError> {
        let mut buffer = Vec::with_capacity(plaintext.len() + TAG_LEN);
        buffer.extend_from_slice(plaintext);
        buffer.extend_from_slice(&[0; TAG_LEN]);
        self.seal_in_place(nonce, associated, &mut buffer)?;
        Ok(buffer)
    }

    /// Opens a message.
    pub fn open(
        &self,
        nonce: [u8; 12],
        associated: &[u8],
        what: &'static str,
        ciphertext: &[u8],
    ) -> Result<Vec<u8>, CodecError> {
        let mut buffer = ciphertext.to_vec();
        let len = self.open_in_place(nonce, associated, what, &mut buffer)?.len();
        buffer.truncate(len);
        Ok(buffer)
    }
}
