//! What packs hold, what can be read from them, and what must be copied out of them.
//!
//! A blob lies in a pack whole or as a delta against its base. It can be read from some packs if
//! it lies whole in one of them, or as a delta in one of them while its base can be read from
//! them too. That is a least fixed point: two deltas that name each other hold each other up for
//! nobody.

use crate::set::Set;
use crate::variant::Variant;

/// How many packs there may be.
pub const PACKS: usize = 6;
/// How many blobs there may be.
pub const BLOBS: usize = 3;

/// The base that each blob has where it is stored as a delta.
pub type Bases = [Option<usize>; BLOBS];

/// What a pack holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contents {
    /// Blobs stored whole.
    pub whole: Set,
    /// Blobs stored as deltas.
    pub delta: Set,
}

impl Contents {
    /// All blobs that it holds.
    pub fn blobs(self) -> Set {
        self.whole.or(self.delta)
    }

    /// Whether it holds nothing.
    pub fn is_empty(self) -> bool {
        self.blobs().is_empty()
    }
}

/// All packs ever made; an empty one was never made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Packs(pub [Contents; PACKS]);

impl Packs {
    /// The blobs that lie in any of these packs, whatever became of their bases.
    pub fn blobs(&self, among: Set) -> Set {
        among.iter().fold(Set::EMPTY, |blobs, pack| blobs.or(self.0[pack].blobs()))
    }

    fn whole(&self, among: Set) -> Set {
        among.iter().fold(Set::EMPTY, |blobs, pack| blobs.or(self.0[pack].whole))
    }

    fn delta(&self, among: Set) -> Set {
        among.iter().fold(Set::EMPTY, |blobs, pack| blobs.or(self.0[pack].delta))
    }

    /// The blobs that can be read from these packs alone, bases included.
    pub fn readable(&self, bases: &Bases, among: Set) -> Set {
        let delta = self.delta(among);
        let mut readable = self.whole(among);
        loop {
            let resting =
                delta.iter().filter(|blob| bases[*blob].is_some_and(|base| readable.has(base)));
            let more = readable.or(resting.collect());
            if more == readable {
                return readable;
            }
            readable = more;
        }
    }

    /// These blobs and the bases that any of their places in these packs rests on.
    pub fn support(&self, bases: &Bases, among: Set, blobs: Set) -> Set {
        let delta = self.delta(among);
        let mut support = blobs;
        loop {
            let below = support.and(delta).iter().filter_map(|blob| bases[blob]).collect();
            if support.covers(below) {
                return support;
            }
            support = support.or(below);
        }
    }

    /// How many deltas stand below each blob at its place of least depth; none if it cannot be
    /// read from these packs.
    fn depths(&self, bases: &Bases, among: Set) -> [Option<usize>; BLOBS] {
        let (whole, delta) = (self.whole(among), self.delta(among));
        let mut depths = [None; BLOBS];
        for depth in 0..BLOBS {
            let before = depths;
            for blob in 0..BLOBS {
                let rests = bases[blob].is_some_and(|base| before[base].is_some());
                let here = if depth == 0 { whole.has(blob) } else { delta.has(blob) && rests };
                if depths[blob].is_none() && here {
                    depths[blob] = Some(depth);
                }
            }
        }
        depths
    }

    /// What must be copied out of `sources`, so that `live` can be read from `staying` and the
    /// copies. None if some of it can be read from neither.
    ///
    /// A blob that cannot be read from `staying` is followed by its place of least depth: if it
    /// lies whole in a source, it is copied. If it is a delta, its base must be readable
    /// afterwards, and the delta is copied unless a staying pack holds it.
    pub fn evacuation(
        &self,
        bases: &Bases,
        staying: Set,
        sources: Set,
        live: Set,
        variant: Variant,
    ) -> (Contents, Found) {
        match variant {
            Variant::BasesUnmarked => return self.place_by_place(staying, sources, live),
            Variant::LeastDepthAnywhere => {
                let chain = self.least_depth_chain(bases, staying.or(sources), live);
                return self.place_by_place(staying, sources, chain);
            }
            _ => {}
        }
        let safe = self.readable(bases, staying);
        let depths = self.depths(bases, staying.or(sources));
        let (in_sources, beside) = (self.whole(sources), self.delta(staying));
        let mut copies = Contents::default();
        let mut found = Found::All;
        let mut todo: Vec<usize> = live.without(safe).iter().collect();
        while let Some(blob) = todo.pop() {
            if safe.has(blob) || copies.blobs().has(blob) {
                continue;
            }
            match (depths[blob], bases[blob]) {
                (Some(_), _) if in_sources.has(blob) => {
                    copies.whole = copies.whole.or(Set::one(blob));
                }
                (Some(_), Some(base)) => {
                    if !beside.has(blob) {
                        copies.delta = copies.delta.or(Set::one(blob));
                    }
                    todo.push(base);
                }
                _ => found = Found::NotAll,
            }
        }
        (copies, found)
    }

    /// What a collector copies that looks for any place of each blob and for no base.
    fn place_by_place(&self, staying: Set, sources: Set, blobs: Set) -> (Contents, Found) {
        let missing = blobs.without(self.blobs(staying));
        let whole = missing.and(self.whole(sources));
        let delta = missing.and(self.delta(sources)).without(whole);
        let all = whole.or(delta) == missing;
        (Contents { whole, delta }, if all { Found::All } else { Found::NotAll })
    }

    fn least_depth_chain(&self, bases: &Bases, among: Set, blobs: Set) -> Set {
        let depths = self.depths(bases, among);
        let mut chain = blobs;
        for _ in 0..BLOBS {
            let deltas = chain.iter().filter(|blob| depths[*blob].is_some_and(|depth| depth > 0));
            chain = chain.or(deltas.filter_map(|blob| bases[blob]).collect());
        }
        chain
    }
}

/// Whether every live blob was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Each in a staying pack or in a source.
    All,
    /// At least one in neither.
    NotAll,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blob 1 rests on 0, and 0 on 1, where they are deltas.
    const CIRCLE: Bases = [Some(1), Some(0), None];

    fn packs(contents: &[(&[usize], &[usize])]) -> Packs {
        let mut packs = Packs::default();
        for (pack, (whole, delta)) in packs.0.iter_mut().zip(contents) {
            *pack = Contents { whole: Set::of(whole), delta: Set::of(delta) };
        }
        packs
    }

    fn copies(packs: &Packs, staying: &[usize], sources: &[usize], live: &[usize]) -> Contents {
        let (staying, sources, live) = (Set::of(staying), Set::of(sources), Set::of(live));
        let (copies, found) = packs.evacuation(&CIRCLE, staying, sources, live, Variant::default());
        assert_eq!(found, Found::All);
        copies
    }

    #[test]
    fn two_deltas_that_name_each_other_cannot_be_read() {
        let packs = packs(&[(&[], &[0, 1]), (&[0], &[])]);
        assert_eq!(packs.readable(&CIRCLE, Set::of(&[0])), Set::EMPTY);
        assert_eq!(packs.readable(&CIRCLE, Set::of(&[0, 1])), Set::of(&[0, 1]));
    }

    #[test]
    fn a_base_is_copied_from_under_a_delta_that_stays() {
        let packs = packs(&[(&[], &[1]), (&[0], &[])]);
        let expected = Contents { whole: Set::of(&[0]), delta: Set::EMPTY };
        assert_eq!(copies(&packs, &[0], &[1], &[1]), expected);
    }

    #[test]
    fn a_delta_is_copied_as_it_is_if_its_base_stays() {
        let packs = packs(&[(&[], &[1]), (&[0], &[])]);
        let expected = Contents { whole: Set::EMPTY, delta: Set::of(&[1]) };
        assert_eq!(copies(&packs, &[1], &[0], &[1]), expected);
    }

    #[test]
    fn a_whole_place_that_goes_is_copied_although_a_delta_stays() {
        let packs = packs(&[(&[1], &[]), (&[], &[1])]);
        let expected = Contents { whole: Set::of(&[1]), delta: Set::EMPTY };
        assert_eq!(copies(&packs, &[1], &[0], &[1]), expected);
    }

    #[test]
    fn what_is_in_neither_is_missed() {
        let packs = packs(&[(&[], &[1])]);
        let (_, found) =
            packs.evacuation(&CIRCLE, Set::of(&[0]), Set::EMPTY, Set::of(&[1]), Variant::default());
        assert_eq!(found, Found::NotAll);
    }
}
