//! `chunker.json`: the masks and the cut points (format-spec, chapter 3).

use anyhow::Result;
use fastcdc::v2020::{Normalization, select_masks};
use nightjar_codec::Random;
use nightjar_codec::chunker::Chunker;
use nightjar_format::repository::ChunkerParameters;
use serde_json::{Value, json};

use crate::seeded::{Seeded, hex, key};

/// A stream that a few words describe.
enum Input {
    /// The first bytes of a label.
    Label(&'static str, usize),
    /// The same, each byte ANDed with 15 and added to 97: sixteen letters.
    Letters(&'static str, usize),
    /// A unit over and over.
    Repeat(&'static [u8], usize),
}

impl Input {
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

    fn description(&self) -> Value {
        match *self {
            Self::Label(label, length) => json!({ "label": label, "length": length }),
            Self::Letters(label, length) => json!({ "letters": label, "length": length }),
            Self::Repeat(unit, length) => json!({ "repeat": hex(unit), "length": length }),
        }
    }
}

const INPUTS: &[Input] = &[
    Input::Label("chunker: nothing", 0),
    Input::Label("chunker: one byte", 1),
    Input::Label("chunker: the small minimum", 1024),
    Input::Label("chunker: one more", 1025),
    Input::Label("chunker: an odd length", 16_387),
    Input::Label("chunker: noise", 1_000_003),
    Input::Letters("chunker: letters", 1_000_000),
    Input::Repeat(&[0], 600_001),
    Input::Repeat(b"0123456789\n", 500_000),
];

const PARAMETERS: [ChunkerParameters; 2] = [
    ChunkerParameters { min: 1 << 10, average: 4 << 10, max: 16 << 10 },
    ChunkerParameters { min: 16 << 10, average: 64 << 10, max: 256 << 10 },
];

pub(crate) fn vectors() -> Result<Value> {
    let dedup_key = key("dedup key");
    let masks: Vec<Value> = (12..=22)
        .map(|bits| {
            let (strict, loose) = select_masks(1 << bits, Normalization::Level1);
            json!({
                "average": 1u32 << bits,
                "strict": format!("{strict:016x}"),
                "loose": format!("{loose:016x}"),
            })
        })
        .collect();
    let mut cuts = Vec::new();
    for parameters in PARAMETERS {
        let chunker = Chunker::new(parameters, &dedup_key)?;
        for input in INPUTS {
            let ChunkerParameters { min, average, max } = parameters;
            cuts.push(json!({
                "minimum": min, "average": average, "maximum": max,
                "input": input.description(),
                "ends": ends(&chunker, &input.bytes()),
            }));
        }
    }
    Ok(json!({
        "about": "format-spec, chapter 3. An input is {label}: the first bytes of BLAKE3's \
            extendable output for the label; {letters}: the same, each byte b as 97 + (b AND 15); \
            {repeat}: these bytes over and over.",
        "dedup_key": hex(dedup_key.expose()),
        "masks": masks,
        "cuts": cuts,
    }))
}

fn ends(chunker: &Chunker, bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut rest = bytes;
    while let Some((_, after)) = rest.split_at_checked(chunker.cut(rest).max(1)) {
        rest = after;
        ends.push(bytes.len() - rest.len());
    }
    ends
}
