//! Dead weight: what is alive only because a delta rests on it.
//!
//! Chains outlive the nights they were made in. When January is forgotten, its chunks stay as long
//! as February's are deltas against them: nobody restores them, and everybody who restores February
//! reads them. Where that is more than the first live blob above them takes when it is stored whole,
//! it had better be whole; then nothing rests on them any more, and they go like everything dead.
//!
//! Bytes that are freed inside packs come back only as far as more is unused than may stay: packs of
//! which little is unused are not moved for it. So nothing is stored whole unless the store is
//! smaller in the end.
//!
//! What a blob frees is counted with care: only bases that no other blob above rests on. It takes
//! a few scans of the local index, and two bits for each stored blob. What whole ones take is guessed
//! from the whole ones below them.

use std::collections::HashSet;

use nightjar_format::blob::BlobKind;
use nightjar_format::{BlobId, limits};

use crate::error::Result;
use crate::gc::mark::Fate;
use crate::gc::plan::{Bounds, Candidates};
use crate::gc::rows::RowSet;
use crate::gc::survey::Survey;
use crate::index::database::Location;

/// Blobs that are looked at together.
const WINDOW: usize = 1 << 14;

/// A blob that had better be whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heavy {
    pub(super) id: BlobId,
    pub(super) kind: BlobKind,
    /// Where it lies as a delta: what lay side by side shall do so again.
    pub(super) place: (u32, u32),
    /// Its plaintext, in bytes.
    pub(super) raw_len: u32,
    /// What it takes when it is whole, roughly.
    pub(super) whole: u64,
    /// What goes then: itself as a delta, and what nothing else rests on.
    pub(super) frees: u64,
}

/// Finds blobs that had better be whole.
pub(super) struct DeadWeight<'s, 'a> {
    survey: &'s Survey<'a>,
    /// Every blob that rests on something dead, whatever it costs.
    all: bool,
    /// Bases that several blobs rest on.
    shared: RowSet,
    after: Option<BlobId>,
}

/// All of them together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) blobs: u64,
    /// What they take when they are whole, roughly, in bytes.
    pub(super) whole: u64,
    /// What goes then.
    pub(super) frees: u64,
}

/// What lies beneath a delta, down to what snapshots name themselves.
#[derive(Default)]
struct Beneath {
    dead: Vec<Location>,
    /// Of those that are whole, dead or not: what they take, and what their plaintexts take.
    whole: (u64, u64),
}

impl Beneath {
    /// What a plaintext takes if it compresses like what lies beneath it.
    fn estimate(&self, raw_len: u32) -> u64 {
        let (stored, raw) = self.whole;
        let raw_len = u64::from(raw_len);
        (raw_len * stored).checked_div(raw).unwrap_or(raw_len)
    }
}

impl<'s, 'a> DeadWeight<'s, 'a> {
    /// Finds what had better be stored whole, and how much that is, if the store is smaller for it in
    /// the end; everything that rests on something dead, if that `erases`.
    pub(super) fn find(
        survey: &'s Survey<'a>,
        candidates: &Candidates,
        bounds: &Bounds,
        erases: bool,
    ) -> Result<Option<(Self, Total)>> {
        let dead = survey.marks.dead_weight;
        let (kept, unused) = candidates.kept_and_unused();
        // What may stay unused is not freed, wherever it lies.
        let comes_back = |frees: u64, whole: u64| {
            let may_stay = u128::from(kept + whole) * u128::from(bounds.unused_permille) / 1000;
            u128::from(unused + frees) > may_stay + u128::from(whole)
        };
        // A delta takes no more than the whole, so no more than what is dead can be won.
        if dead == 0 || (!erases && !comes_back(dead, 0)) {
            return Ok(None);
        }
        let mut weight = Self::weigh(survey, erases)?;
        let total = weight.total()?;
        let is_worth_it = total.blobs > 0 && (erases || comes_back(total.frees, total.whole));
        Ok(is_worth_it.then_some((weight, total)))
    }

    /// Prepares to find those that are worth it, or all of them.
    fn weigh(survey: &'s Survey<'a>, all: bool) -> Result<Self> {
        let shared = survey.marks.wanted.like();
        let mut weight = Self { survey, all, shared, after: None };
        if all {
            return Ok(weight);
        }
        let mut seen = survey.marks.wanted.like();
        loop {
            let blobs = weight.next_blobs()?;
            if blobs.is_empty() {
                break;
            }
            for (_, places) in blobs {
                let Some(at) = weight.wanted_delta(&places) else { continue };
                for base in weight.beneath(&at)?.dead {
                    if !seen.insert(base.pack, base.row) {
                        weight.shared.insert(base.pack, base.row);
                    }
                }
            }
        }
        weight.after = None;
        Ok(weight)
    }

    /// All together; afterwards the first window is next again.
    fn total(&mut self) -> Result<Total> {
        let mut total = Total::default();
        while let Some(window) = self.next_window()? {
            total.blobs += window.len() as u64;
            total.whole += window.iter().map(|heavy| heavy.whole).sum::<u64>();
            total.frees += window.iter().map(|heavy| heavy.frees).sum::<u64>();
        }
        self.after = None;
        Ok(total)
    }

    /// The next few, possibly none; nothing at the end.
    pub(super) fn next_window(&mut self) -> Result<Option<Vec<Heavy>>> {
        let blobs = self.next_blobs()?;
        if blobs.is_empty() {
            return Ok(None);
        }
        let mut window = Vec::new();
        for (id, places) in blobs {
            let Some(at) = self.wanted_delta(&places) else { continue };
            let beneath = self.beneath(&at)?;
            let alone = |base: &&Location| !self.shared.contains(base.pack, base.row);
            let freed: u64 =
                beneath.dead.iter().filter(alone).map(|base| u64::from(base.stored_len)).sum();
            let frees = freed + u64::from(at.stored_len);
            let whole = beneath.estimate(at.raw_len);
            if !beneath.dead.is_empty() && (self.all || frees > whole) {
                let kind = self.survey.reader.index.pack(at.pack)?.kind();
                let (place, raw_len) = ((at.pack, at.row), at.raw_len);
                window.push(Heavy { id, kind, place, raw_len, whole, frees });
            }
        }
        Ok(Some(window))
    }

    /// The next few blobs and their places; none at the end.
    fn next_blobs(&mut self) -> Result<Vec<(BlobId, Vec<Location>)>> {
        let blobs = self.survey.reader.index.blobs_after(self.after.as_ref(), WINDOW)?;
        self.after = blobs.last().map(|(id, _)| *id).or(self.after);
        Ok(blobs)
    }

    fn stays(&self, at: &Location) -> bool {
        self.survey.fates.get(at.pack as usize) == Some(&Fate::Stays)
    }

    fn is_wanted(&self, at: &Location) -> bool {
        self.survey.marks.wanted.contains(at.pack, at.row)
    }

    /// Where a blob that a snapshot names lies as a delta.
    fn wanted_delta(&self, places: &[Location]) -> Option<Location> {
        let wanted = places.iter().find(|at| self.is_wanted(at) && self.stays(at))?;
        (wanted.encoding.depth() > 0).then_some(*wanted)
    }

    /// What a delta rests on. Nothing if that cannot be told: then it is left as it is.
    fn beneath(&self, top: &Location) -> Result<Beneath> {
        let mut beneath = Beneath::default();
        let mut seen = HashSet::new();
        let mut open = vec![*top];
        while let Some(above) = open.pop() {
            for base in above.encoding.bases() {
                let places = self.survey.reader.index.locations(base)?;
                let lower = |at: &&Location| at.encoding.depth() < above.encoding.depth();
                let Some(at) = places.iter().filter(lower).find(|at| self.stays(at)) else {
                    return Ok(Beneath::default());
                };
                if seen.len() >= limits::SUPPORT || !seen.insert((at.pack, at.row)) {
                    continue;
                }
                if at.encoding.depth() == 0 {
                    beneath.whole.0 += u64::from(at.stored_len);
                    beneath.whole.1 += u64::from(at.raw_len);
                }
                if !self.is_wanted(at) {
                    beneath.dead.push(*at);
                    open.push(*at);
                }
            }
        }
        Ok(beneath)
    }
}
