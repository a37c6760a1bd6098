//! `chunker.json`: the masks and the cut points (format-spec, chapter 3).

use anyhow::Result;
use fastcdc::v2020::{Normalization, select_masks};
use nightjar_codec::chunker::Chunker;
use nightjar_format::repository::ChunkerParameters;
use serde_json::{Value, json};

use crate::input::{self, Input, label, letters, repeat};
use crate::seeded::{hex, key};

const INPUTS: &[Input] = &[
    label("chunker: nothing", 0),
    label("chunker: one byte", 1),
    label("chunker: the small minimum", 1024),
    label("chunker: one more", 1025),
    label("chunker: an odd length", 16_387),
    label("chunker: noise", 1_000_003),
    letters("chunker: letters", 1_000_000),
    repeat(&[0], 600_001),
    repeat(b"0123456789\n", 500_000),
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
        "about": format!("format-spec, chapter 3. {}", input::ABOUT),
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
