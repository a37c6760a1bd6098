//! Choosing a base for a new blob, and storing it as a delta (format-spec, chapter 3).
//!
//! Bases are tried that the sketch or locality proposes. They must rest on open packs alone, with
//! room in their chains: at most so many deltas below each other, and all of them together no
//! larger than the whole blobs at their ends. So a restore reads at most twice what these take
//! (after the rule of Mercurial's revlog); of one chunk with several bases that can be more than
//! the chunk, of a stream, whose chunks share them, it is not.
//! A base is read and checked against its id before anything is stored against it. Whatever goes
//! wrong with a base, the blob is stored without it.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use nightjar_codec::compress::{self, Payload};
use nightjar_format::blob::{Bases, BlobKind, Encoding};
use nightjar_format::limits;

use crate::index::database::Database;
use crate::index::support::Support;
use crate::read::Reader;
use crate::read::batch::FetchedBlobs;

/// Bounds on chains of deltas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeltaParameters {
    /// Deltas between a blob and the whole one below it, at most.
    pub depth: u8,
    /// All deltas of a chain together, in per cent of the whole blob below them, at most.
    pub chain_percent: u32,
}

impl Default for DeltaParameters {
    fn default() -> Self {
        Self { depth: 16, chain_percent: 100 }
    }
}

/// Blobs below a delta, at most, for each step of depth that is allowed: those with several bases
/// rest on more than one chain.
const BREADTH: usize = 4;

/// Something that is worth trying until it fails too often in a row; then it is tried now and
/// again, so that data which does not profit does not pay either.
struct Trial {
    failures: AtomicU32,
    /// Failures in a row before it is doubted.
    patience: u32,
    /// When it is doubted, it is tried once in so many times.
    probe: u32,
}

impl Trial {
    const fn new(patience: u32, probe: u32) -> Self {
        Self { failures: AtomicU32::new(0), patience, probe }
    }

    fn is_worth_trying(&self) -> bool {
        let failures = self.failures.load(Ordering::Relaxed);
        if failures < self.patience {
            return true;
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        failures.is_multiple_of(self.probe)
    }

    fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
    }
}

/// Stores blobs as deltas.
pub(crate) struct DeltaEncoder<'r, 'a> {
    pub(crate) reader: &'r Reader<'a>,
    pub(crate) parameters: DeltaParameters,
    pub(crate) level: i32,
    /// Proposals of locality that no sketch confirms: no use where all data is new each night.
    locality: Trial,
    /// Sketches: no use where nothing compresses, as where all of it is encrypted.
    sketches: Trial,
}

impl<'r, 'a> DeltaEncoder<'r, 'a> {
    pub(crate) fn new(reader: &'r Reader<'a>, parameters: DeltaParameters, level: i32) -> Self {
        let (locality, sketches) = (Trial::new(16, 512), Trial::new(64, 32));
        Self { reader, parameters, level, locality, sketches }
    }

    /// Drops what locality alone proposes, where that is of no use.
    pub(crate) fn doubt(&self, proposals: &mut Proposals) {
        if proposals.by_place == ByPlace::Alone && !self.locality.is_worth_trying() {
            *proposals = Proposals { first: proposals.second, ..Proposals::default() };
        }
    }

    /// Whether to look for a similar blob.
    pub(crate) fn trusts_sketches(&self) -> bool {
        self.sketches.is_worth_trying()
    }

    /// Takes note of how the first proposal did. A failure of one that the sketch confirmed says
    /// nothing against locality.
    fn judge(&self, by_place: ByPlace, succeeded: bool) {
        match by_place {
            ByPlace::No => {}
            _ if succeeded => self.locality.succeeded(),
            ByPlace::Confirmed => {}
            ByPlace::Alone => self.locality.failed(),
        }
    }

    /// The bases of a delta, if a blob may rest on them. Where their chains are full, the whole
    /// blobs below them: that begins a new chain, at the cost of all that changed since.
    pub(crate) fn usable(&self, proposed: Bases) -> Option<Usable> {
        let support = self.support(&proposed)?;
        if self.has_room(&support) {
            return Some(Usable { bases: proposed, support });
        }
        let bases = support.whole()?;
        let support = self.support(&bases)?;
        self.has_room(&support).then_some(Usable { bases, support })
    }

    fn support(&self, bases: &Bases) -> Option<Support> {
        let readable = |database: &Database, ordinal| self.reader.may_read(database, ordinal);
        self.reader.index.support_of_bases(bases.ids(), readable)
    }

    fn has_room(&self, support: &Support) -> bool {
        support.depth < self.parameters.depth.min(limits::CHAIN_DEPTH)
            && support.places.len() < BREADTH * usize::from(self.parameters.depth)
            && self.room(support) > 0
    }

    /// Bytes that another delta on this support may take.
    fn room(&self, support: &Support) -> u64 {
        (support.whole_bytes * u64::from(self.parameters.chain_percent) / 100)
            .saturating_sub(support.delta_bytes)
    }

    /// The blob against bases, if that is possible and smaller.
    pub(crate) fn encode(
        &self,
        kind: BlobKind,
        plaintext: &[u8],
        usable: &Usable,
        mut fetched: Option<&mut FetchedBlobs<'_, '_>>,
    ) -> Option<Payload> {
        let Usable { bases, support } = usable;
        let mut prefix = Bytes::new();
        for base in bases.ids() {
            let base = match &mut fetched {
                Some(fetched) => fetched.blob(base),
                None => self.reader.blob(kind, base).map(Bytes::from),
            };
            let base =
                base.inspect_err(|error| tracing::debug!("cannot read a base: {error}")).ok()?;
            prefix = match prefix.is_empty() {
                true => base,
                false => [prefix, base].concat().into(),
            };
        }
        let bytes = compress::encode_delta_verified(plaintext, &prefix)?;
        let encoding = Encoding::Delta { bases: *bases, depth: support.depth + 1 };
        (bytes.len() as u64 <= self.room(support)).then_some(Payload { encoding, bytes })
    }

    /// The smallest of a chunk against each proposal, compressed alone, and as it is; `first` is
    /// what the first proposal came to, and `fetched` has its blobs.
    ///
    /// A delta of a quarter of the chunk is kept without trying it alone, and one of a sixteenth
    /// without trying other bases.
    pub(crate) fn encode_smallest(
        &self,
        plaintext: &[u8],
        first: Option<&Usable>,
        proposals: &Proposals,
        fetched: &mut FetchedBlobs<'_, '_>,
    ) -> Payload {
        let kind = BlobKind::Data;
        let mut best: Option<Payload> = None;
        if let Some(first) = first {
            best = self.encode(kind, plaintext, first, Some(fetched));
            self.judge(proposals.by_place, is_within(best.as_ref(), plaintext, 4));
        }
        if let Some(second) = proposals.second
            && !is_within(best.as_ref(), plaintext, 16)
        {
            let other =
                self.usable(second).and_then(|second| self.encode(kind, plaintext, &second, None));
            best = [best, other].into_iter().flatten().min_by_key(|payload| payload.bytes.len());
        }
        if is_within(best.as_ref(), plaintext, 4)
            && let Some(best) = best
        {
            self.sketches.succeeded();
            return best;
        }
        let alone = compress::encode_verified(plaintext, self.level);
        let smallest = match best {
            Some(best) if best.bytes.len() < alone.bytes.len() => best,
            _ => alone,
        };
        match smallest.encoding {
            Encoding::Raw => self.sketches.failed(),
            _ => self.sketches.succeeded(),
        }
        smallest
    }
}

fn is_within(payload: Option<&Payload>, plaintext: &[u8], share: usize) -> bool {
    payload.is_some_and(|payload| payload.bytes.len() <= plaintext.len() / share)
}

/// Bases that a delta may be made against.
#[derive(Debug, Clone)]
pub(crate) struct Usable {
    pub(crate) bases: Bases,
    pub(crate) support: Support,
}

/// Bases to try for one blob.
#[derive(Debug, Default, Clone)]
pub(crate) struct Proposals {
    pub(crate) first: Option<Bases>,
    pub(crate) second: Option<Bases>,
    /// Whether the first comes from locality.
    pub(crate) by_place: ByPlace,
}

/// Where a proposal comes from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByPlace {
    /// From the sketch.
    #[default]
    No,
    /// From locality, and the sketch proposes the same.
    Confirmed,
    /// From locality alone.
    Alone,
}
