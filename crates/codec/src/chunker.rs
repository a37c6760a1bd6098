//! Content-defined chunking: FastCDC over a keyed gear table (format-spec, chapter 3; Xia et
//! al., USENIX ATC 2016 and IEEE TPDS 2020).
//!
//! The cut points come from the `fastcdc` crate, pinned; golden vectors hold it to them. Its
//! own seeding only XORs one word into a public table, so the whole table is drawn from the
//! dedup key instead. That hides boundaries from outsiders no better than packs do; it is not
//! relied upon (format-spec, chapter 11).

use fastcdc::v2020::{Normalization, cut_gear, select_masks};
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
    gear_shifted: Box<[u64; 256]>,
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
        let gear_shifted = Box::new(gear.map(|word| word << 1));
        Ok(Self { parameters, strict_mask, loose_mask, gear, gear_shifted })
    }

    /// The largest chunk, in bytes.
    pub fn max_len(&self) -> usize {
        self.parameters.max as usize
    }

    /// Length of the first chunk of `bytes`, which must hold [`Self::max_len`] bytes unless the
    /// stream ends with them. Zero only for no bytes.
    pub fn cut(&self, bytes: &[u8]) -> usize {
        let ChunkerParameters { min, average, max } = self.parameters;
        let (_, len) = cut_gear(
            bytes,
            min as usize,
            average as usize,
            max as usize,
            self.strict_mask,
            self.loose_mask,
            self.strict_mask << 1,
            self.loose_mask << 1,
            self.gear.as_slice(),
            self.gear_shifted.as_slice(),
        );
        len
    }
}
