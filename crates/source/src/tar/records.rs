//! Extended header records (POSIX.1, pax): `length key=value` and a newline, the length counting
//! itself. A value is bytes of any kind, newlines and NULs among them, so only the length says
//! where it ends.

use nightjar_format::manifest::{Attribute, Timestamp};

/// What an attribute's key begins with; its name follows.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// Records in the order in which they were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Records {
    /// Reads an extended header; `None` if it is damaged.
    pub(crate) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut pairs = Vec::new();
        // GNU tar ends a header with NULs now and then.
        while bytes.first().is_some_and(|byte| *byte != 0) {
            let digits = bytes.iter().position(|byte| *byte == b' ')?;
            let length: usize = decimal(bytes.get(..digits)?)?;
            let record = bytes.get(digits + 1..length)?.strip_suffix(b"\n")?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = record.split_at(equals);
            pairs.push((key.to_vec(), value.get(1..)?.to_vec()));
            bytes = bytes.get(length..)?;
        }
        Some(Self { pairs })
    }

    /// Adds records, which count instead of those of the same keys.
    pub(crate) fn update(&mut self, newer: Self) {
        self.pairs.retain(|(key, _)| newer.last(key).is_none());
        self.pairs.extend(newer.pairs);
    }

    /// Bytes of all keys and values.
    pub(crate) fn weight(&self) -> u64 {
        self.pairs.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn last(&self, key: &[u8]) -> Option<&[u8]> {
        self.pairs.iter().rev().find(|(it, _)| it == key).map(|(_, value)| value.as_slice())
    }

    /// The value of a key. An empty one takes back what was said before.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.last(key.as_bytes()).filter(|value| !value.is_empty())
    }

    /// A number; an error if it is none.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>, String> {
        self.get(key)
            .map(|value| {
                decimal(value).ok_or_else(|| format!("has a member whose {key} is not a number"))
            })
            .transpose()
    }

    pub(crate) fn modified(&self) -> Option<Timestamp> {
        timestamp(self.get("mtime")?)
    }

    /// All pairs, as they came.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    /// Extended attributes, sorted by name.
    pub(crate) fn attributes(&self) -> Vec<Attribute> {
        let mut attributes: Vec<_> = self
            .pairs()
            .filter_map(|(key, value)| {
                let name = decode_name(key.strip_prefix(ATTRIBUTE)?);
                Some(Attribute { name, value: value.to_vec() })
            })
            .collect();
        // The last of a name counts: stable, and from behind.
        attributes.reverse();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        attributes.dedup_by(|a, b| a.name == b.name);
        attributes
    }

    /// Whether there is what is stored in other words only: access lists and labels as text.
    pub(crate) fn has_access_lists(&self) -> bool {
        let as_text = |key: &[u8]| key.starts_with(b"SCHILY.acl.") || key.starts_with(b"RHT.");
        self.pairs().any(|(key, _)| as_text(key))
    }

    pub(crate) fn push(&mut self, key: &str, value: &[u8]) {
        self.pairs.push((key.as_bytes().to_vec(), value.to_vec()));
    }

    pub(crate) fn push_attribute(&mut self, attribute: &Attribute) {
        let key = [ATTRIBUTE, &encode_name(&attribute.name)].concat();
        self.pairs.push((key, attribute.value.clone()));
    }

    /// The extended header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.pairs {
            // A space, an equals sign, a newline.
            let rest = key.len() + value.len() + 3;
            let mut length = rest + 1;
            while rest + length.to_string().len() != length {
                length = rest + length.to_string().len();
            }
            bytes.extend_from_slice(format!("{length} ").as_bytes());
            bytes.extend_from_slice(key);
            bytes.push(b'=');
            bytes.extend_from_slice(value);
            bytes.push(b'\n');
        }
        bytes
    }
}

/// GNU tar writes `%3D` and `%25` where a name has an equals sign or a per cent sign.
fn decode_name(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        let (byte, after) = match rest {
            [b'%', b'3', b'D', after @ ..] => (b'=', after),
            [b'%', b'2', b'5', after @ ..] => (b'%', after),
            _ => (*byte, after),
        };
        decoded.push(byte);
        rest = after;
    }
    decoded
}

fn encode_name(name: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(name.len());
    for byte in name {
        match byte {
            b'=' => encoded.extend_from_slice(b"%3D"),
            b'%' => encoded.extend_from_slice(b"%25"),
            byte => encoded.push(*byte),
        }
    }
    encoded
}

/// A number without sign.
pub(crate) fn decimal<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    let is_plain = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// Seconds, perhaps with a sign and a fraction.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    let (negative, text) = match text {
        [b'-', text @ ..] => (true, text),
        text => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds: i64 = decimal(parts.next()?)?;
    let mut fraction = parts.next().unwrap_or_default().to_vec();
    fraction.resize(9, b'0');
    let nanoseconds: u32 = decimal(&fraction)?;
    Some(match (negative, nanoseconds) {
        (false, nanoseconds) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds: 0 },
        (true, some) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - some },
    })
}

/// A time as a record has it.
pub(crate) fn time_text(time: &Timestamp) -> String {
    let (sign, seconds, nanoseconds) = match (time.seconds, time.nanoseconds) {
        (seconds, 0) => return seconds.to_string(),
        (seconds @ 0.., some) => ("", seconds, some),
        (seconds, some) => ("-", -(seconds + 1), 1_000_000_000 - some),
    };
    format!("{sign}{seconds}.{nanoseconds:09}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_their_bytes_whatever_is_in_them() {
        let mut records = Records::default();
        records.push("path", b"a\nb=c\0d");
        records.push("comment", &[b'x'; 985]);
        records.push_attribute(&Attribute { name: b"user.a=b%".to_vec(), value: b"\n\0".to_vec() });
        for length in 1..200 {
            records.push("linkpath", &vec![b'y'; length]);
        }
        let read = Records::parse(&records.encode()).unwrap();
        assert_eq!(read.pairs, records.pairs);
        assert_eq!(read.attributes()[0].name, b"user.a=b%");
        assert_eq!(read.get("linkpath").unwrap().len(), 199);
    }

    #[test]
    fn damaged_records_are_refused() {
        for bytes in [&b"5 a"[..], b"x a=b\n", b"8 path=a\n", b"6 a=bc", b"4 ab\n", b"0 a=b\n"] {
            assert!(Records::parse(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn times_survive_their_text() {
        for (text, seconds, nanoseconds) in [
            ("1350244992.023960108", 1_350_244_992, 23_960_108),
            ("7", 7, 0),
            ("-86400", -86_400, 0),
            ("-1.250000000", -2, 750_000_000),
            ("-0.500000000", -1, 500_000_000),
        ] {
            let time = Timestamp { seconds, nanoseconds };
            assert_eq!(timestamp(text.as_bytes()), Some(time), "{text}");
            assert_eq!(time_text(&time), text);
        }
        assert_eq!(timestamp(b"1.5"), Some(Timestamp { seconds: 1, nanoseconds: 500_000_000 }));
        assert_eq!(timestamp(b"1.0123456789").unwrap().nanoseconds, 12_345_678);
        assert_eq!(timestamp(b"noon"), None);
    }

    #[test]
    fn an_empty_value_takes_back_what_was_said_before() {
        let mut records = Records::parse(b"13 uname=ann\n").unwrap();
        records.update(Records::parse(b"9 uname=\n").unwrap());
        assert_eq!(records.get("uname"), None);
    }
}
