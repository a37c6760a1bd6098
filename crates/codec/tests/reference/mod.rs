//! Chapter 3 of the specification, written down once more as it reads: what the chunker must
//! agree with, in the tests and in the fuzz targets.
#![allow(unreachable_pub, reason = "the fuzz targets are another crate")]

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
