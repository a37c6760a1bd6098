//! Cut points: any allowed sizes, any bytes, held to chapter 3 of the specification.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nightjar_codec::SecretKey;
use nightjar_codec::chunker::{Chunker, gear_table};
use nightjar_format::repository::ChunkerParameters;
use nightjar_fuzz::{Piece, reference, stream};

#[derive(Arbitrary, Debug)]
struct Case {
    min: u32,
    average: u8,
    max: u32,
    key: [u8; 32],
    pieces: Vec<Piece>,
}

fuzz_target!(|case: Case| {
    let average = 1u32 << (11 + case.average % 13);
    let parameters =
        ChunkerParameters { min: case.min % (average + 2), average, max: case.max % (17 << 20) };
    let key = SecretKey::new(case.key);
    let Ok(chunker) = Chunker::new(parameters, &key) else {
        assert!(parameters.validate().is_err());
        return;
    };
    let stream = stream(&case.pieces);
    let gear = gear_table(&key);
    let sizes = (parameters.min, parameters.average, parameters.max);
    let mut at = 0;
    while at < stream.len() {
        let rest = &stream[at..];
        let len = chunker.cut(rest);
        assert!(len > 0 && len <= chunker.max_len() && len <= rest.len());
        assert!(len >= parameters.min as usize || len == rest.len());
        assert_eq!(len, reference::first_chunk(rest, sizes, &gear));
        // What lies beyond the largest chunk decides nothing.
        let window = &rest[..rest.len().min(chunker.max_len())];
        assert_eq!(chunker.cut(window), len);
        at += len;
    }
    assert_eq!(chunker.cut(&[]), 0);
});
