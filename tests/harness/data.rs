//! Inputs that are the same at every run.

use std::fmt::Write;

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Bytes that neither compress nor repeat.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.next().to_le_bytes())
        .take(len.div_ceil(8))
        .flatten()
        .collect();
    bytes.truncate(len);
    bytes
}

/// Text like that of a plain dump, about 100 bytes for a row.
pub(crate) fn dump(seed: u64, rows: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut text = String::from("--\n-- PostgreSQL database dump\n--\n\nCOPY orders FROM stdin;\n");
    for id in 0..rows {
        let (customer, token) = (random.below(5000), random.next());
        let (cents, minute) = (random.below(90_000), random.below(86_400));
        let _ = writeln!(
            text,
            "{id}\tcustomer{customer}@example.org\t{token:016x}\t{cents}\t2026-01-02 +{minute} s\tdelivered"
        );
    }
    text.push_str("\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n");
    text.into_bytes()
}
