//! Reads the files, and stands in for random numbers as they say.

use std::path::Path;
use std::sync::Mutex;

use nightjar_codec::{Random, SecretKey};
use serde_json::Value;

/// A file of vectors.
pub(crate) fn load(name: &str) -> Value {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../format-spec/vectors");
    serde_json::from_slice(&std::fs::read(directory.join(name)).unwrap()).unwrap()
}

/// A field, as bytes.
pub(crate) fn bytes(value: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(value, field)).unwrap()
}

/// A field of `N` bytes.
pub(crate) fn array<const N: usize>(value: &Value, field: &str) -> [u8; N] {
    bytes(value, field).try_into().unwrap()
}

/// A field that is a key.
pub(crate) fn key(value: &Value, field: &str) -> SecretKey {
    SecretKey::new(array(value, field))
}

/// A field, as text.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// A field, as a number.
pub(crate) fn number<N: TryFrom<u64, Error: std::fmt::Debug>>(value: &Value, field: &str) -> N {
    value[field].as_u64().unwrap().try_into().unwrap()
}

/// A field that is a list, which has something in it.
pub(crate) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    let list = value[field].as_array().unwrap();
    assert!(!list.is_empty());
    list
}

/// BLAKE3's extendable output for a label.
pub(crate) struct Seeded(Mutex<blake3::OutputReader>);

impl Seeded {
    pub(crate) fn new(label: &str) -> Self {
        Self(Mutex::new(blake3::Hasher::new().update(label.as_bytes()).finalize_xof()))
    }
}

impl Random for Seeded {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().unwrap().fill(out);
    }
}

/// The stream that a description stands for.
pub(crate) fn input(description: &Value) -> Vec<u8> {
    let length: usize = number(description, "length");
    let mut stream = vec![0; length];
    if description.get("repeat").is_some() {
        stream = bytes(description, "repeat").into_iter().cycle().take(length).collect();
    } else {
        let letters = description.get("letters").is_some();
        let label = text(description, if letters { "letters" } else { "label" });
        Seeded::new(label).fill(&mut stream);
        if letters {
            stream.iter_mut().for_each(|byte| *byte = 97 + (*byte & 15));
        }
    }
    if description.get("edits").is_some() {
        for edit in list(description, "edits") {
            let at: usize = number(edit, "at");
            stream.splice(at..at + number::<usize>(edit, "remove"), bytes(edit, "insert"));
        }
    }
    stream
}
