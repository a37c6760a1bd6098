//! Content-defined chunking: FastCDC over a keyed gear table (format-spec, chapter 3; Xia et
//! al., USENIX ATC 2016 and IEEE TPDS 2020).
//!
//! The cut points are those of the `fastcdc` crate, pinned, and golden vectors hold them. Its
//! own seeding only XORs one word into a public table, so the whole table is drawn from the
//! dedup key instead. That hides boundaries from outsiders no better than packs do; it is not
//! relied upon (format-spec, chapter 11).
//!
//! The scan itself is `gearhash`'s: no bit of a mask lies above the 48th, so the hash that
//! decides depends on the last 48 bytes alone, and several stretches can be scanned at once in
//! vector registers. Tests compare every cut with `fastcdc`'s own loop.

use fastcdc::v2020::{Normalization, select_masks};
use gearhash::Hasher;
use nightjar_format::FormatError;
use nightjar_format::repository::ChunkerParameters;

use crate::SecretKey;
use crate::digest::{Purpose, derive_long};

/// Finds where chunks end.
#[derive(Clone)]
pub struct Chunker {
    parameters: ChunkerParameters,
    strict_mask: u64,
    loose_mask: u64,
    gear: Box<[u64; 256]>,
}

/// The gear table that belongs to a dedup key.
pub fn gear_table(dedup_key: &SecretKey) -> Box<[u64; 256]> {
    let mut bytes = [0; 256 * 8];
    derive_long(Purpose::GearTable, dedup_key, &mut bytes);
    let (words, _) = bytes.as_chunks::<8>();
    let mut table = Box::new([0; 256]);
    for (entry, word) in table.iter_mut().zip(words) {
        *entry = u64::from_le_bytes(*word);
    }
    table
}

impl Chunker {
    /// Checks the sizes and draws the table.
    pub fn new(parameters: ChunkerParameters, dedup_key: &SecretKey) -> Result<Self, FormatError> {
        parameters.validate()?;
        let (strict_mask, loose_mask) =
            select_masks(parameters.average as usize, Normalization::Level1);
        let gear = gear_table(dedup_key);
        Ok(Self { parameters, strict_mask, loose_mask, gear })
    }

    /// The largest chunk, in bytes.
    pub fn max_len(&self) -> usize {
        self.parameters.max as usize
    }

    /// Length of the first chunk of `bytes`, which must hold [`Self::max_len`] bytes unless the
    /// stream ends with them. Zero only for no bytes.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        let [min, average, max] = {
            let ChunkerParameters { min, average, max } = self.parameters;
            [min, average, max].map(|size| size as usize)
        };
        let len = bytes.len().min(max);
        if len <= min {
            return len;
        }
        // Positions are looked at in pairs: an odd last one is not.
        let end = len - len % 2;
        let centre = average.min(end);
        let mut hasher = Hasher::new(&self.gear);
        for (range, mask) in [(min..centre, self.strict_mask), (centre..end, self.loose_mask)] {
            let start = range.start;
            let window = bytes.get(range).unwrap_or_default();
            if let Some(scanned) = hasher.next_match(window, mask) {
                // The byte that completes the match begins the next chunk.
                return start + scanned - 1;
            }
        }
        len
    }
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::cut_gear;
    use proptest::prelude::*;

    use super::*;

    /// The same cut by the `fastcdc` crate's own loop.
    fn oracle(chunker: &Chunker, bytes: &[u8]) -> usize {
        let ChunkerParameters { min, average, max } = chunker.parameters;
        let shifted = chunker.gear.map(|word| word << 1);
        cut_gear(
            bytes,
            min as usize,
            average as usize,
            max as usize,
            chunker.strict_mask,
            chunker.loose_mask,
            chunker.strict_mask << 1,
            chunker.loose_mask << 1,
            chunker.gear.as_slice(),
            &shifted,
        )
        .1
    }

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn every_cut_is_the_one_that_fastcdc_makes(
            seed: u64,
            len in 0usize..600_000,
            bits in 12u32..18,
            alphabet in 1u8..=255,
        ) {
            let average = 1 << bits;
            let parameters =
                ChunkerParameters { min: average / 4, average, max: average * 4 };
            let key = SecretKey::new([seed.to_le_bytes()[0]; 32]);
            let chunker = Chunker::new(parameters, &key).unwrap();
            let mut bytes = noise(seed, len);
            bytes.iter_mut().for_each(|byte| *byte %= alphabet);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let cut = chunker.cut(rest);
                prop_assert_eq!(cut, oracle(&chunker, rest));
                rest = &rest[cut..];
            }
        }
    }
}
