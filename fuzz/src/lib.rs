//! What the fuzz targets share: the promise that every decoder gives, keys that are always the
//! same, long streams out of few bytes, and a way to damage bytes.

use std::fmt::Debug;

use arbitrary::Arbitrary;
use nightjar_codec::{Random, SecretKey};
use nightjar_format::FormatError;
use nightjar_format::record::{self, Record};

#[path = "../../crates/codec/tests/reference/mod.rs"]
pub mod reference;

/// Bytes that decode are exactly what their value encodes to, and say the same when read again.
pub fn check_record<R: Record + PartialEq>(bytes: &[u8]) {
    check(bytes, record::decode::<R>, |value| record::encode(value));
}

/// [`check_record`] for any pair of functions.
pub fn check<T: PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
    encode: impl Fn(&T) -> Vec<u8>,
) {
    match decode(bytes) {
        Ok(value) => {
            let encoded = encode(&value);
            assert!(encoded == bytes, "a second spelling was accepted");
            assert!(decode(&encoded).is_ok_and(|again| again == value), "it changed on the way");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Not random at all: a counter, so that what is sealed is the same at every run.
pub struct Counter(std::sync::Mutex<blake3::OutputReader>);

impl Counter {
    pub fn new(label: &str) -> Self {
        Self(std::sync::Mutex::new(blake3::Hasher::new().update(label.as_bytes()).finalize_xof()))
    }
}

impl Random for Counter {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill(out);
    }
}

/// The key that belongs to a label.
pub fn key(label: &str) -> SecretKey {
    SecretKey::random(&Counter::new(label))
}

/// A stretch of a stream; few fuzzed bytes make many.
#[derive(Arbitrary, Debug)]
pub enum Piece {
    Repeat { bytes: Vec<u8>, times: u16 },
    Noise { seed: u64, len: u16 },
}

const LONGEST: usize = 1 << 18;

/// The pieces, one behind the other.
pub fn stream(pieces: &[Piece]) -> Vec<u8> {
    let mut stream = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Repeat { bytes, times } => {
                let times = usize::from(*times).min(LONGEST / bytes.len().max(1));
                stream.extend(bytes.repeat(times));
            }
            Piece::Noise { seed, len } => {
                let start = stream.len();
                stream.resize(start + usize::from(*len), 0);
                blake3::Hasher::new()
                    .update(&seed.to_le_bytes())
                    .finalize_xof()
                    .fill(&mut stream[start..]);
            }
        }
        stream.truncate(LONGEST);
    }
    stream
}

/// One act of damage.
#[derive(Arbitrary, Debug)]
pub enum Damage {
    Flip { at: u32, mask: u8 },
    Truncate { at: u32 },
    Append { bytes: Vec<u8> },
    Insert { at: u32, bytes: Vec<u8> },
    Remove { at: u32, len: u16 },
    Overwrite { at: u32, bytes: Vec<u8> },
    Swap { one: u32, other: u32, len: u16 },
}

impl Damage {
    /// Damages the bytes, or leaves them as they are.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u32| (at as usize).checked_rem(bytes.len()).unwrap_or(0);
        match self {
            Self::Flip { at, mask } => {
                let at = place(*at);
                bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= mask);
            }
            Self::Truncate { at } => bytes.truncate(place(*at)),
            Self::Append { bytes: more } => bytes.extend_from_slice(more),
            Self::Insert { at, bytes: more } => {
                let at = place(*at);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Remove { at, len } => {
                let start = place(*at);
                let end = bytes.len().min(start + usize::from(*len));
                bytes.drain(start..end);
            }
            Self::Overwrite { at, bytes: other } => {
                let start = place(*at);
                bytes[start..].iter_mut().zip(other).for_each(|(to, from)| *to = *from);
            }
            Self::Swap { one, other, len } => {
                let (one, other) = (place(*one), place(*other));
                let copy = bytes.clone();
                for step in 0..usize::from(*len) {
                    if let (Some(a), Some(b)) = (copy.get(one + step), copy.get(other + step)) {
                        bytes[other + step] = *a;
                        bytes[one + step] = *b;
                    }
                }
            }
        }
    }
}
