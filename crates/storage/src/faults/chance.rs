//! Chance that a seed decides: the same request meets the same fault, whoever was faster.

use std::collections::HashMap;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Put,
    Create,
    Delete,
    Get,
    Head,
    List,
}

/// Draws a number for every request: of the seed, the kind of request, the name, and how often
/// the same was asked before. The order in which different requests come plays no part.
#[derive(Debug, Default)]
pub(super) struct Chance {
    asked: HashMap<(Kind, String), u64>,
}

impl Chance {
    pub(super) fn draw(&mut self, seed: u64, kind: Kind, name: &str) -> Drawn {
        let asked = self.asked.entry((kind, name.to_owned())).or_default();
        *asked += 1;
        let of_name = name.bytes().fold(kind as u64, |hash, byte| mix(hash ^ u64::from(byte)));
        Drawn(mix(seed ^ mix(of_name ^ mix(*asked))))
    }
}

/// What was drawn for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drawn(u64);

impl Drawn {
    /// A number below 1000: which fault, if any.
    pub(super) fn thousandths(self) -> u64 {
        self.0 % 1000
    }

    /// Whether, where a fault has two ways.
    pub(super) fn coin(self) -> bool {
        self.0 >> 63 == 1
    }

    /// A number from 1 to `most`.
    pub(super) fn up_to(self, most: u64) -> u64 {
        1 + mix(self.0) % most.max(1)
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
