//! `sketches.json`: the constants of sketches, and sketches (format-spec, chapters 2 and 3).

use nightjar_codec::digest::{Purpose, derive_long};
use nightjar_codec::sketch::Sketcher;
use serde_json::{Value, json};

use crate::input::{self, Edit, Input, label, letters, repeat};
use crate::seeded::{hex, key};

const FEW: &[Edit] = &[
    Edit { at: 1_000, remove: 0, insert: b"an insertion" },
    Edit { at: 20_001, remove: 100, insert: b"" },
    Edit { at: 40_002, remove: 30, insert: b"thirty bytes instead of thirty" },
];

const INPUTS: &[Input] = &[
    // Too small, and where further blocks of 64 begin to count.
    label("sketch: nothing", 0),
    label("sketch: small 15", 2_047),
    label("sketch: small 15", 2_048),
    label("sketch: small 15", 2_079),
    label("sketch: small 15", 2_080),
    label("sketch: small 15", 2_143),
    label("sketch: small 15", 2_144),
    // Edited: of the three, two are still the same, or one.
    label("sketch: noise 35", 65_536),
    label("sketch: noise 35", 65_536).edited(FEW),
    label("sketch: noise 35", 65_536).edited(&[Edit { at: 0, remove: 16_384, insert: b"a part" }]),
    label("sketch: other noise", 65_536),
    label("sketch: long", 1_000_003),
    letters("sketch: letters", 100_000),
    letters("sketch: letters", 100_000).edited(FEW),
    // Zeros are sampled everywhere under any key, these others nowhere.
    repeat(&[0], 2_048),
    repeat(&[0], 65_536),
    repeat(&[1], 65_536),
    repeat(&[255], 65_536),
    repeat(b"0123456789\n", 50_000),
];

pub(crate) fn vectors() -> Value {
    let dedup_key = key("dedup key");
    let mut constants = [0; 240];
    derive_long(Purpose::Sketch, &dedup_key, &mut constants);
    let (words, _) = constants.as_chunks::<8>();
    let words: Vec<String> =
        words.iter().map(|word| format!("{:016x}", u64::from_le_bytes(*word))).collect();
    let sketcher = Sketcher::new(&dedup_key);
    let sketches: Vec<Value> = INPUTS
        .iter()
        .map(|input| {
            json!({ "input": input.description(), "sketch": sketcher.sketch(&input.bytes()) })
        })
        .collect();
    json!({
        "about": format!(
            "format-spec, chapter 3; all zero: no sketch. {} Each of its edits, in order, removes \
            that many bytes at a place and inserts others there.",
            input::ABOUT
        ),
        "dedup_key": hex(dedup_key.expose()),
        "constants": words,
        "sketches": sketches,
    })
}
