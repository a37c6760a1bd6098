//! Bytes to bytes: everything between a stream of plaintext and the sealed objects of a store.
//!
//! ```text
//! stream ─chunker→ chunks ─digest→ ids ─sketch→ bases ─compress→ payloads ─seal→ packs
//! passphrase ─kdf→ slot secrets ─hybrid→ keyrings ─derive→ keys
//! ```
//!
//! All cryptography lives here and all of it comes from libraries: this crate only fixes how
//! the pieces are joined (format-spec, chapters 1 to 4). It does no I/O and draws no random
//! numbers except from the [`Random`] it is handed. Secrets are zeroized when dropped and never
//! shown by `Debug`.

pub mod aead;
pub mod chunker;
pub mod compress;
pub mod digest;
pub mod error;
pub mod hybrid;
pub mod metadata;
pub mod pack;
pub mod random;
pub mod secret;
pub mod sign;
pub mod sketch;
pub mod slot;

pub use error::CodecError;
pub use random::Random;
pub use secret::SecretKey;
