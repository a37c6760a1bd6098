//! Chapter 3 of the specification, written down once more as it reads: what the chunker and
//! the sketches must agree with, in the tests and in the fuzz targets.
#![allow(unreachable_pub, reason = "the fuzz targets are another crate")]
#![allow(clippy::cast_possible_truncation, reason = "the chapter names halves and low bits")]

/// Minimum, average and maximum.
pub type Sizes = (u32, u32, u32);

/// The masks for 2⁰ … 2²⁵ bytes in the table of the FastCDC crate, from 2⁵ on.
const MASKS_FROM_5: [u64; 21] = [
    0x0000000001804110,
    0x0000000001803110,
    0x0000000018035100,
    0x0000001800035300,
    0x0000019000353000,
    0x0000590003530000,
    0x0000d90003530000,
    0x0000d90103530000,
    0x0000d90303530000,
    0x0000d90313530000,
    0x0000d90f03530000,
    0x0000d90303537000,
    0x0000d90703537000,
    0x0000d90707537000,
    0x0000d91707537000,
    0x0000d91747537000,
    0x0000d91767537000,
    0x0000d93767537000,
    0x0000d93777537000,
    0x0000d93777577000,
    0x0000db3777577000,
];

/// The strict and the loose mask for an average that is a power of two.
pub fn masks(average: u32) -> (u64, u64) {
    let bits = average.ilog2() as usize;
    (MASKS_FROM_5[bits + 1 - 5], MASKS_FROM_5[bits - 1 - 5])
}

/// Length of the first chunk of `bytes`, which reach to the end of the stream.
pub fn first_chunk(bytes: &[u8], (minimum, average, maximum): Sizes, gear: &[u64; 256]) -> usize {
    let (strict, loose) = masks(average);
    let (minimum, average, maximum) = (minimum as usize, average as usize, maximum as usize);
    if bytes.len() <= minimum {
        return bytes.len();
    }
    let n = bytes.len().min(maximum);
    let mut h = 0u64;
    for i in minimum..n / 2 * 2 {
        let m = if i < average { strict } else { loose };
        h = h.wrapping_mul(2).wrapping_add(gear[usize::from(bytes[i])]);
        if h & m == 0 {
            return i;
        }
    }
    n
}

/// Where the chunks of a stream end.
pub fn cut_points(bytes: &[u8], sizes: Sizes, gear: &[u64; 256]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        at += first_chunk(&bytes[at..], sizes, gear);
        ends.push(at);
    }
    ends
}

/// The constants of sketches, from the bytes that the dedup key gives.
pub fn words(bytes: &[u8; 240]) -> [u64; 30] {
    std::array::from_fn(|i| u64::from_le_bytes(bytes[8 * i..][..8].try_into().unwrap()))
}

/// The sketch of a chunk.
pub fn sketch(bytes: &[u8], c: &[u64; 30]) -> [u32; 3] {
    if bytes.len() < 2048 {
        return [0; 3];
    }
    let mut features = [0; 12];
    let blocks = (0..).take_while(|k| bytes.len() >= 64 * k + 96);
    for p in blocks.flat_map(|k| 64 * k..64 * k + 64).filter(|p| is_sampled(&bytes[*p..], c)) {
        let fingerprint = fingerprint(&bytes[p..], c);
        for (i, feature) in features.iter_mut().enumerate() {
            let value = fingerprint.wrapping_mul(c[6 + i] as u32 | 1);
            *feature = value.wrapping_add(c[18 + i] as u32).max(*feature);
        }
    }
    if features == [0; 12] {
        return [0; 3];
    }
    std::array::from_fn(|j| {
        let pair = |i: usize| u64::from(features[i]) << 32 | u64::from(features[i + 1]);
        ((f(pair(4 * j) ^ c[3], pair(4 * j + 2) ^ c[4]) >> 32) as u32).max(1)
    })
}

fn is_sampled(from: &[u8], c: &[u64; 30]) -> bool {
    let term = |i: usize| {
        let word = u16::from_le_bytes([from[2 * i], from[2 * i + 1]]);
        word.wrapping_mul(c[i] as u16 | 1)
    };
    term(0).wrapping_add(term(1)) >> 9 == 0
}

fn fingerprint(from: &[u8], c: &[u64; 30]) -> u32 {
    let word = |i: usize| u64::from_le_bytes(from[8 * i..][..8].try_into().unwrap()) ^ c[2 + i];
    ((f(word(0), word(1)) ^ f(word(2), word(3)).rotate_left(32)) >> 32) as u32
}

fn f(x: u64, y: u64) -> u64 {
    let product = u128::from(x) * u128::from(y);
    product as u64 ^ (product >> 64) as u64
}
