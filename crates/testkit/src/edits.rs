//! What a night does to a dump: small edits, and those that move everything behind them.

use crate::generate::{Rng, dump, noise};

/// One edit. Places and lengths are shares of the bytes, in thousandths, so that an edit fits
/// whatever it is applied to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// New bytes at a place, this many.
    Insert(usize, usize),
    /// Bytes go, this many.
    Delete(usize, usize),
    /// Other bytes stand there, this many.
    Overwrite(usize, usize),
    /// From a place, a share of the bytes moves to another place.
    Move(usize, usize, usize),
    /// From a place, a share of the bytes stands a second time at the end.
    Repeat(usize, usize),
    /// The bytes from there on go.
    Truncate(usize),
    /// More rows at the end.
    Append(usize),
    /// A byte is another about every so many bytes: rows are updated everywhere.
    Touch(usize),
    /// A byte is inserted about every so many bytes: all rows grow, all boundaries move.
    Grow(usize),
}

impl Edit {
    /// Does it; `rng` gives the new bytes.
    pub fn apply(self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let len = bytes.len();
        let place = |thousandths: usize| len * thousandths.min(1000) / 1000;
        let within = |from: usize, count: usize| from..(from + count).min(len);
        match self {
            Self::Insert(at, count) => {
                let at = place(at);
                bytes.splice(at..at, fresh(rng, count));
            }
            Self::Delete(at, count) => drop(bytes.drain(within(place(at), count))),
            Self::Overwrite(at, count) => {
                let range = within(place(at), count);
                let new = fresh(rng, range.len());
                bytes.splice(range, new);
            }
            Self::Move(from, share, to) => {
                let moved: Vec<u8> = bytes.drain(within(place(from), place(share))).collect();
                let to = place(to).min(bytes.len());
                bytes.splice(to..to, moved);
            }
            Self::Repeat(from, share) => {
                bytes.extend_from_within(within(place(from), place(share)))
            }
            Self::Truncate(at) => bytes.truncate(place(at)),
            Self::Append(count) => bytes.extend(dump(rng.next_u64(), count)),
            Self::Touch(every) => {
                let mut at = rng.below(every);
                while let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.below(3);
                    at += every / 2 + rng.below(every);
                }
            }
            Self::Grow(every) => {
                let mut grown = Vec::with_capacity(len + len / every);
                for row in bytes.chunks(every) {
                    grown.extend_from_slice(row);
                    grown.push(b'0' + rng.below(10).to_le_bytes()[0]);
                }
                *bytes = grown;
            }
        }
    }

    /// Any edit that keeps the bytes about as many as they are.
    pub fn any(rng: &mut Rng) -> Self {
        let small = 1 + rng.below(300);
        let large = 1 + rng.below(80_000);
        let at = rng.below(1001);
        match rng.below(14) {
            0 => Self::Insert(at, small),
            1 => Self::Insert(at, large),
            2 => Self::Delete(at, small),
            3 => Self::Delete(at, large),
            4 => Self::Overwrite(at, small),
            5 => Self::Overwrite(at, large),
            6 => Self::Move(at, 1 + rng.below(20), rng.below(1001)),
            7 => Self::Move(at, 100 + rng.below(500), rng.below(1001)),
            8 => Self::Repeat(at, rng.below(60)),
            9 => Self::Truncate(900 + rng.below(101)),
            10 => Self::Append(large),
            11 => Self::Grow(2_000 + rng.below(30_000)),
            _ => Self::Touch(2_000 + rng.below(20_000)),
        }
    }
}

/// Half of the time noise, otherwise rows.
fn fresh(rng: &mut Rng, count: usize) -> Vec<u8> {
    let seed = rng.next_u64();
    if seed.is_multiple_of(2) { noise(seed, count) } else { dump(seed, count) }
}

/// A night on which a row is updated everywhere.
pub fn touched(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut touched = bytes.to_vec();
    Edit::Touch(6_000).apply(&mut touched, &mut Rng::new(seed));
    touched
}

/// A night on which all rows grew.
pub fn grown(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut grown = bytes.to_vec();
    Edit::Grow(9_000).apply(&mut grown, &mut Rng::new(seed));
    grown
}
