//! Bytes that a label decides.

use std::sync::{Mutex, PoisonError};

use nightjar_codec::{Random, SecretKey};
pub(crate) use nightjar_format::ids::to_hex as hex;

/// BLAKE3's extendable output for a label, taken in order.
pub(crate) struct Seeded(Mutex<blake3::OutputReader>);

impl Seeded {
    pub(crate) fn new(label: &str) -> Self {
        Self(Mutex::new(blake3::Hasher::new().update(label.as_bytes()).finalize_xof()))
    }
}

impl Random for Seeded {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
    }
}

/// The first bytes of a label.
pub(crate) fn array<const N: usize>(label: &str) -> [u8; N] {
    let random: &dyn Random = &Seeded::new(label);
    random.array()
}

/// The key of a label.
pub(crate) fn key(label: &str) -> SecretKey {
    SecretKey::new(array(label))
}
