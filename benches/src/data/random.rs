//! Numbers from a seed, and nights of nothing but such numbers: what no tool can make smaller.

use std::io::{self, Write};

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) struct Random(u64);

impl Random {
    /// The stream that belongs to a name and some numbers.
    pub(crate) fn of<const N: usize>(name: &str, numbers: [u64; N]) -> Self {
        let words = name.bytes().map(u64::from).chain(numbers);
        words.fold(Self(0), |mut stream, word| {
            stream.0 ^= word;
            Self(stream.next())
        })
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Writes so many bytes that share nothing with those of any other night.
pub(crate) fn write(out: &mut impl Write, seed: u64, night: u64, bytes: u64) -> io::Result<()> {
    let mut random = Random::of("random", [seed, night]);
    for _ in 0..bytes / 8 {
        out.write_all(&random.next().to_le_bytes())?;
    }
    Ok(())
}
