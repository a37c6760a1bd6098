//! Sketches: three numbers by which similar blobs are found (format-spec, chapter 3).
//!
//! Two blobs that share most of their content share most of a content-defined sample of their
//! positions (Odess: Zou, Deng, Xia, Zhang, Tan, Wang, *The Dilemma between Deduplication and
//! Locality*, 2021). Twelve keyed linear functions each keep the greatest value that any sampled
//! window gives: a feature. A feature survives an edit unless the edit strikes its one window.
//! Four features make a super-feature, equal only if all four are; a blob is taken for similar
//! if any of its three super-features is found (Finesse: Zhang, Xia, Zou et al., FAST '19).
//!
//! What is sampled is decided by four bytes, with sixteen-bit arithmetic that the compiler turns
//! into vector instructions: a rolling hash over every byte would cost incompressible data more
//! than anything else that is done to it.

use crate::SecretKey;
use crate::digest::{Purpose, derive_long};

/// Three super-features. All zero means that there is none.
pub type Sketch = [u32; 3];

/// The sketch of a blob too small to have one.
pub const NONE: Sketch = [0; 3];

const FEATURES: usize = 12;
/// A position is sampled if the upper seven bits of its hash are zero: one in 128.
const SAMPLE_SHIFT: u32 = 9;
/// Bytes of the window that stands for a sampled position.
const WINDOW: usize = 32;
/// Smaller blobs have no sketch.
const LEAST_BYTES: usize = 2048;
/// Positions tested at once.
const BLOCK: usize = 64;
/// Samples gathered before the features are brought up to date.
const SAMPLES: usize = 512;

/// Makes sketches with constants drawn from the dedup key.
#[derive(Clone)]
pub struct Sketcher {
    sample: [u16; 2],
    window: [u64; 4],
    multipliers: [u32; FEATURES],
    addends: [u32; FEATURES],
}

impl Sketcher {
    /// Draws the constants.
    pub fn new(dedup_key: &SecretKey) -> Self {
        let mut words = [0; 8 * (2 + 4 + 2 * FEATURES)];
        derive_long(Purpose::Sketch, dedup_key, &mut words);
        let (words, _) = words.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or_default();
        Self {
            sample: std::array::from_fn(|_| low16(next()) | 1),
            window: std::array::from_fn(|_| next()),
            multipliers: std::array::from_fn(|_| low32(next()) | 1),
            addends: std::array::from_fn(|_| low32(next())),
        }
    }

    /// The sketch of a blob.
    pub fn sketch(&self, plaintext: &[u8]) -> Sketch {
        if plaintext.len() < LEAST_BYTES {
            return NONE;
        }
        let mut features = [0; FEATURES];
        let mut samples = Vec::with_capacity(SAMPLES);
        self.sample(plaintext, &mut |window| {
            let fingerprint = self.fingerprint(window);
            // Long runs of one byte would be sampled at every position.
            if samples.last() != Some(&fingerprint) {
                samples.push(fingerprint);
            }
            if samples.len() == SAMPLES {
                self.update(&mut features, &samples);
                samples.clear();
            }
        });
        self.update(&mut features, &samples);
        if features == [0; FEATURES] {
            return NONE;
        }
        let (groups, _) = features.as_chunks::<4>();
        let mut sketch = NONE;
        for (super_feature, [a, b, c, d]) in sketch.iter_mut().zip(groups) {
            let left = u64::from(*a) << 32 | u64::from(*b);
            let right = u64::from(*c) << 32 | u64::from(*d);
            let [_, k1, k2, _] = self.window;
            *super_feature = high32(fold(left ^ k1, right ^ k2)).max(1);
        }
        sketch
    }

    /// Shows `visit` the window of every sampled position.
    fn sample(&self, plaintext: &[u8], visit: &mut impl FnMut(&[u8; WINDOW])) {
        let mut rest = plaintext;
        while let Some(block) = rest.first_chunk::<{ BLOCK + WINDOW }>() {
            let mut hits = self.test(block);
            while hits != 0 {
                let place = hits.trailing_zeros() as usize;
                hits &= hits - 1;
                if let Some(window) = block.get(place..).and_then(<[u8]>::first_chunk) {
                    visit(window);
                }
            }
            rest = rest.get(BLOCK..).unwrap_or_default();
        }
    }

    /// Tests the first positions of `block`: bit n is set if position n is sampled.
    fn test(&self, block: &[u8; BLOCK + WINDOW]) -> u64 {
        let column = |offset: usize| -> &[u8; BLOCK] {
            block.get(offset..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; BLOCK])
        };
        let [k0, k1] = self.sample;
        let (a, b, c, d) = (column(0), column(1), column(2), column(3));
        let mut hits = [0u8; BLOCK];
        for ((((hit, a), b), c), d) in hits.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let low = u16::from_le_bytes([*a, *b]).wrapping_mul(k0);
            let high = u16::from_le_bytes([*c, *d]).wrapping_mul(k1);
            *hit = u8::from(low.wrapping_add(high) >> SAMPLE_SHIFT == 0);
        }
        let (words, _) = hits.as_chunks::<8>();
        words.iter().zip((0..).step_by(8)).fold(0, |bits, (word, at)| {
            // Each byte is 0 or 1: the product gathers their bits in its uppermost byte.
            let gathered = u64::from_le_bytes(*word).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            bits | gathered << at
        })
    }

    fn fingerprint(&self, window: &[u8; WINDOW]) -> u32 {
        let (words, _) = window.as_chunks::<8>();
        let mut keyed = [0; 4];
        for ((keyed, word), key) in keyed.iter_mut().zip(words).zip(self.window) {
            *keyed = u64::from_le_bytes(*word) ^ key;
        }
        let [a, b, c, d] = keyed;
        high32(fold(a, b) ^ fold(c, d).rotate_left(32))
    }

    fn update(&self, features: &mut [u32; FEATURES], samples: &[u32]) {
        let constants = self.multipliers.iter().zip(&self.addends);
        for (feature, (multiplier, addend)) in features.iter_mut().zip(constants) {
            let value = |sample: &u32| sample.wrapping_mul(*multiplier).wrapping_add(*addend);
            *feature = samples.iter().map(value).fold(*feature, u32::max);
        }
    }
}

/// Both halves of the product, folded.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    let [low, high] = halves(product);
    low ^ high
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(wide: u128) -> [u64; 2] {
    [wide as u64, (wide >> 64) as u64]
}

fn high32(word: u64) -> u32 {
    (word >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low32(word: u64) -> u32 {
    word as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the lowest quarter is what is wanted")]
fn low16(word: u64) -> u16 {
    word as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    fn sketcher() -> Sketcher {
        Sketcher::new(&SecretKey::new([7; 32]))
    }

    fn shared(a: Sketch, b: Sketch) -> usize {
        a.iter().zip(&b).filter(|(a, b)| a == b && **a != 0).count()
    }

    #[test]
    fn a_small_edit_leaves_the_sketch_recognisable() {
        let sketcher = sketcher();
        let mut found = 0;
        for seed in 0..100 {
            let base = noise(seed, 64 << 10);
            let mut edited = base.clone();
            for edit in 0..4u64 {
                let at = usize::try_from((seed * 7919 + edit * 104_729) % (60 << 10)).unwrap();
                edited.splice(at..at + 100, noise(seed ^ edit << 32, 120));
            }
            found += usize::from(shared(sketcher.sketch(&base), sketcher.sketch(&edited)) > 0);
        }
        assert!(found >= 98, "{found}");
    }

    #[test]
    fn different_content_shares_nothing() {
        let sketcher = sketcher();
        let sketches: Vec<Sketch> = (0..200).map(|n| sketcher.sketch(&noise(n, 20_000))).collect();
        for (n, a) in sketches.iter().enumerate() {
            assert!(sketches[n + 1..].iter().all(|b| shared(*a, *b) == 0));
        }
    }

    #[test]
    fn another_key_gives_another_sketch() {
        let bytes = noise(1, 50_000);
        let other = Sketcher::new(&SecretKey::new([8; 32]));
        assert_eq!(shared(sketcher().sketch(&bytes), other.sketch(&bytes)), 0);
    }

    #[test]
    fn every_length_and_every_run_has_an_answer() {
        let sketcher = sketcher();
        assert_eq!(sketcher.sketch(&[]), NONE);
        assert_eq!(sketcher.sketch(&noise(3, LEAST_BYTES - 1)), NONE);
        for len in LEAST_BYTES..LEAST_BYTES + 200 {
            assert_ne!(sketcher.sketch(&noise(3, len)), NONE);
        }
        for byte in 0..=255 {
            sketcher.sketch(&vec![byte; 100_000]);
        }
    }

    #[test]
    fn sampling_takes_one_position_in_128() {
        let mut sampled = 0;
        sketcher().sample(&noise(9, 1 << 20), &mut |_| sampled += 1);
        assert!((7000..9500).contains(&sampled), "{sampled}");
    }
}
