//! Streams that a few words describe, so that the files need not hold them.

use nightjar_codec::Random;
use serde_json::{Value, json};

use crate::seeded::{Seeded, hex};

/// What the files say of the descriptions.
pub(crate) const ABOUT: &str = "An input is {label}: the first bytes of BLAKE3's extendable output \
    for the label; {letters}: the same, each byte b as 97 + (b AND 15); {repeat}: these bytes over \
    and over.";

/// A stream.
pub(crate) struct Input {
    pub(crate) base: Base,
    pub(crate) edits: &'static [Edit],
}

/// What a stream is before it is edited.
pub(crate) enum Base {
    /// The first bytes of a label.
    Label(&'static str, usize),
    /// The same, each byte ANDed with 15 and added to 97: sixteen letters.
    Letters(&'static str, usize),
    /// A unit over and over.
    Repeat(&'static [u8], usize),
}

/// Bytes that are taken away at a place, and others put there.
pub(crate) struct Edit {
    pub(crate) at: usize,
    pub(crate) remove: usize,
    pub(crate) insert: &'static [u8],
}

pub(crate) const fn label(label: &'static str, length: usize) -> Input {
    Input { base: Base::Label(label, length), edits: &[] }
}

pub(crate) const fn letters(label: &'static str, length: usize) -> Input {
    Input { base: Base::Letters(label, length), edits: &[] }
}

pub(crate) const fn repeat(unit: &'static [u8], length: usize) -> Input {
    Input { base: Base::Repeat(unit, length), edits: &[] }
}

impl Input {
    pub(crate) const fn edited(self, edits: &'static [Edit]) -> Self {
        Self { base: self.base, edits }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.base.bytes();
        for Edit { at, remove, insert } in self.edits {
            bytes.splice(*at..at + remove, insert.iter().copied());
        }
        bytes
    }

    pub(crate) fn description(&self) -> Value {
        let mut description = match self.base {
            Base::Label(label, length) => json!({ "label": label, "length": length }),
            Base::Letters(label, length) => json!({ "letters": label, "length": length }),
            Base::Repeat(unit, length) => json!({ "repeat": hex(unit), "length": length }),
        };
        let edit = |edit: &Edit| json!({ "at": edit.at, "remove": edit.remove, "insert": hex(edit.insert) });
        if let (false, Some(fields)) = (self.edits.is_empty(), description.as_object_mut()) {
            fields.insert("edits".to_owned(), self.edits.iter().map(edit).collect());
        }
        description
    }
}

impl Base {
    fn bytes(&self) -> Vec<u8> {
        let labelled = |label, length| {
            let mut bytes = vec![0; length];
            Seeded::new(label).fill(&mut bytes);
            bytes
        };
        match *self {
            Self::Label(label, length) => labelled(label, length),
            Self::Letters(label, length) => {
                labelled(label, length).iter().map(|byte| (byte & 15) + b'a').collect()
            }
            Self::Repeat(unit, length) => unit.iter().copied().cycle().take(length).collect(),
        }
    }
}
