//! Identifiers: a newtype each, written in lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} id: expected {digits} lower-case hexadecimal digits")]
pub struct ParseIdError {
    kind: &'static str,
    digits: usize,
    text: String,
}

/// Writes bytes in lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn parse_hex(text: &str, out: &mut [u8]) -> Option<()> {
    let digits = text.as_bytes();
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(())
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl Digest {
    /// The attempt to make the epoch whose record has this hash.
    pub fn attempt(&self) -> AttemptId {
        let mut attempt = AttemptId([0; 8]);
        for (to, from) in attempt.0.iter_mut().zip(self.0) {
            *to = from;
        }
        attempt
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first digits, for people to read.
            pub fn short(&self) -> String {
                let mut text = self.to_string();
                text.truncate(12);
                text
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $len];
                parse_hex(text, &mut bytes).map(|()| Self(bytes)).ok_or(ParseIdError {
                    kind: $kind,
                    digits: $len * 2,
                    text: text.to_owned(),
                })
            }
        }
    };
}

id_type!(
    /// Names a blob: the keyed BLAKE3 hash of its plaintext.
    BlobId, 32, "blob"
);
id_type!(
    /// Names a pack: the BLAKE3 hash of the object's bytes.
    PackId, 32, "pack"
);
id_type!(
    /// The BLAKE3 hash of an object's or a record's bytes.
    Digest, 32, "digest"
);
id_type!(
    /// Names a repository; random.
    RepositoryId, 16, "repository"
);
id_type!(
    /// Names a slot: a hash of its public keys.
    SlotId, 16, "slot"
);
id_type!(
    /// Names a session and the snapshot it commits; random.
    SessionId, 16, "session"
);
id_type!(
    /// Names an index object; random.
    IndexId, 16, "index"
);
id_type!(
    /// Names a bundle; random.
    BundleId, 16, "bundle"
);
id_type!(
    /// Names a check object; random.
    CheckId, 16, "check"
);
id_type!(
    /// Tells attempts to make an epoch apart: the beginning of its record's hash.
    AttemptId, 8, "attempt"
);
id_type!(
    /// Names an incarnation of the ledger; random.
    IncarnationId, 8, "incarnation"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = SessionId([0xa5; 16]);
        assert_eq!(id.to_string().parse::<SessionId>(), Ok(id));
    }

    #[test]
    fn upper_case_short_and_foreign_texts_are_not_ids() {
        for text in ["", "a5", &"A5".repeat(16), &"g0".repeat(16), &"a5".repeat(17), "ää"] {
            assert!(text.parse::<SessionId>().is_err(), "{text}");
        }
    }
}
