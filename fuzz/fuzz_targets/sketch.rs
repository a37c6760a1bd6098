//! Sketches: any bytes under any key, held to chapter 3 of the specification.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nightjar_codec::SecretKey;
use nightjar_codec::digest::{Purpose, derive_long};
use nightjar_codec::sketch::{NONE, Sketcher};
use nightjar_fuzz::{Piece, reference, stream};

#[derive(Arbitrary, Debug)]
struct Case {
    key: [u8; 32],
    pieces: Vec<Piece>,
    start: u32,
    len: u32,
}

fuzz_target!(|case: Case| {
    let key = SecretKey::new(case.key);
    let sketcher = Sketcher::new(&key);
    let mut constants = [0; 240];
    derive_long(Purpose::Sketch, &key, &mut constants);
    let constants = reference::words(&constants);
    let stream = stream(&case.pieces);
    let whole = sketcher.sketch(&stream);
    assert_eq!(whole, reference::sketch(&stream, &constants));
    assert!(whole == NONE || stream.len() >= 2048);
    // A part of it, wherever it lies in memory, is what it is alone.
    let start = case.start as usize % (stream.len() + 1);
    let part = &stream[start..start + case.len as usize % (stream.len() - start + 1)];
    let sketch = sketcher.sketch(part);
    assert_eq!(sketch, reference::sketch(part, &constants));
    assert_eq!(sketch, sketcher.clone().sketch(&part.to_vec()));
});
