//! Data that a seed decides.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let drawn = self.next_u64() % u64::try_from(bound).unwrap();
        usize::try_from(drawn).unwrap()
    }

    /// Fills `out`.
    pub fn fill(&mut self, out: &mut [u8]) {
        for part in out.chunks_mut(8) {
            let drawn = self.next_u64().to_le_bytes();
            part.copy_from_slice(drawn.get(..part.len()).unwrap_or_default());
        }
    }
}

/// Bytes without any structure.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    Rng::new(seed).fill(&mut out);
    out
}

/// Lines as a plain dump has them: they compress to about a third, and no two chunks are equal.
pub fn dump(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let mut out = b"-- PostgreSQL database dump\nCOPY public.accounts FROM stdin;\n".to_vec();
    let mut row = 0u64;
    while out.len() < len {
        row += 1;
        let drawn = rng.next_u64();
        let line = format!(
            "{row}\t{}\tcustomer {:08x}\t2026-01-{:02} 00:00:00\t{{\"balance\": {}}}\n",
            drawn % 977,
            drawn >> 32,
            drawn % 28 + 1,
            drawn % 1_000_003,
        );
        out.extend_from_slice(line.as_bytes());
    }
    out.truncate(len);
    out
}
