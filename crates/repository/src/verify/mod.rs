//! What is damaged: checking that snapshots can be restored.
//!
//! | level | reads | finds |
//! |---|---|---|
//! | presence | manifests, listings | what is missing, short, or not listed |
//! | packs | every byte of the packs, no data key needed | any altered byte of a pack |
//! | data | the same, and decodes | also blobs that do not give their content back |
//!
//! Snapshots are walked first (`walk`): every node is decoded, every chunk is looked up.
//! Then packs are checked whole, one after another, so memory does not grow with the repository:
//! its hash, its footer against the table in the local index, and each blob of that table. As all
//! index entries of a pack are its table, every chunk that was looked up is covered by the check of
//! its pack. Only when something is found, snapshots are walked once more, to say which of them it
//! hits, and where (`hits`); if time is limited, as far as it goes.
//!
//! A run need not check everything: `plan` takes what was checked longest ago, by what `coverage`
//! knows from earlier runs, and what is found sound is published there. Packs that may be to blame for
//! what does not decode on the way are read as well. Packs that are damaged are recorded in the ledger
//! (`record`), so that the next backup stores anew what lay in them; what that leaves is told by
//! [`standing_damage`].

mod check;
mod hits;
mod listed;
pub(crate) mod metadata;
mod packs;
mod plan;
mod record;
mod standing;
mod walk;

use std::collections::BTreeSet;

use nightjar_format::ids::SessionId;
use nightjar_format::{BlobId, PackId};

use crate::coverage::{Coverage, CoverageSummary, Recorder, tidy};
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::sync;
use crate::ledger;
use crate::repository::Repository;
use check::Outcome;

pub use hits::SnapshotHit;
pub use plan::{Bounds, Sample};
pub(crate) use standing::standing_in;
pub use standing::{DamagedPack, StandingDamage, standing_damage};

/// How thoroughly to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is there and has the right size.
    Presence,
    /// Every pack's bytes hash to its id.
    Packs,
    /// Every blob decodes to its id.
    Data,
}

/// What to check.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// How thoroughly.
    pub level: Level,
    /// Which snapshots.
    pub snapshots: Vec<SessionId>,
    /// All packs and index objects as well, and what the ledger and the listings tell.
    pub whole_repository: bool,
    /// How much of that.
    pub bounds: Bounds,
    /// Whether to keep in the repository what was checked, and to record in the ledger what is
    /// damaged, and what is sound again.
    pub record: bool,
}

impl Default for VerifyRequest {
    /// All of nothing, and nothing is recorded.
    fn default() -> Self {
        Self {
            level: Level::Data,
            snapshots: Vec::new(),
            whole_repository: false,
            bounds: Bounds::default(),
            record: false,
        }
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
    /// The snapshots in scope that it hits.
    pub snapshots: Vec<SessionId>,
    /// How many there are besides: only where very much is lost.
    pub more_snapshots: u64,
    /// Blobs of it that cannot be had from it any more: where that cannot be told, all.
    pub blobs: u64,
    /// The first of them.
    pub blob_ids: Vec<BlobId>,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Snapshots walked.
    pub snapshots: u64,
    /// Those that were asked for.
    pub snapshots_in_scope: u64,
    /// Packs checked at the level that was asked for.
    pub packs: u64,
    /// Packs that belong to what was asked for; all were looked for in the store.
    pub packs_in_scope: u64,
    /// References to blobs that were looked up.
    pub references: u64,
    /// Blobs of the checked packs that were decoded and compared with their ids.
    pub blobs: u64,
    /// Bytes of packs read.
    pub bytes: u64,
    /// Empty if all is well.
    pub findings: Vec<Finding>,
    /// Which snapshots in scope cannot be restored whole, and which paths in them.
    pub hits: Vec<SnapshotHit>,
    /// Snapshots in scope of which there was no time to find out whether they are hit: then this, and
    /// what findings say of snapshots, is a part.
    pub hits_unknown: u64,
    /// Whether everything was checked that was asked for, and not a part of it.
    pub complete: bool,
    /// Whether time ran out before what was planned was done.
    pub out_of_time: bool,
    /// How much of what was asked for was ever checked, this run included.
    pub coverage: CoverageSummary,
    /// Packs that this run recorded as damaged.
    pub recorded_damaged: Vec<PackId>,
    /// Packs that this run recorded as sound again.
    pub recorded_repaired: Vec<PackId>,
    /// Why something could not be recorded that should have been, for people to read.
    pub unrecorded: Vec<String>,
}

/// Checks snapshots, or the whole repository.
pub fn verify(
    repository: &Repository,
    request: &VerifyRequest,
    progress: &Progress,
) -> Result<VerifyReport> {
    let mut run = Run {
        repository,
        request,
        progress,
        coverage: Coverage::read(repository)?,
        recorder: Recorder::new(repository, request.record),
        doubts: Doubts::default(),
        began: repository.environment.clock.now(),
    };
    let mut outcome = run.undisturbed()?;
    for _ in 0..DISTURBANCES {
        if outcome.report.findings.is_empty() || outcome.retired == retired(repository)? {
            break;
        }
        // A collector removed packs while they were checked: that is no damage.
        tracing::info!("packs were collected meanwhile; checking again");
        run.doubts = std::mem::take(&mut outcome.doubts);
        outcome = run.undisturbed()?;
    }
    let Run { mut recorder, mut coverage, .. } = run;
    if request.record {
        record::record(repository, &mut outcome);
        recorder.publish();
        let kept = recorder.failure().map(ToString::to_string).or_else(|| {
            let tidied = tidy(
                repository,
                |id| outcome.sizes.contains_key(id),
                |id| outcome.existing.contains(id),
            );
            // What could not be merged is there all the same.
            tidied.inspect_err(|error| tracing::debug!("checks stay as they are: {error}")).ok();
            None
        });
        outcome.report.unrecorded.extend(
            kept.map(|why| format!("what was checked could not be kept in the repository: {why}")),
        );
    }
    recorder.add_to(&mut coverage);
    let Outcome { mut report, packs, snapshots, .. } = outcome;
    report.coverage = coverage.summary(packs.into_iter(), snapshots.into_iter());
    Ok(report)
}

/// Quarters of a run's time after which no more snapshots are walked; after which no more packs are
/// read, if there is damage to be traced; and after which nothing more is begun.
const TO_WALK: i64 = 2;
const TO_READ: i64 = 3;
const IN_ALL: i64 = 4;

/// So often a check that met a collector begins again.
const DISTURBANCES: usize = 3;

/// How many packs have ever been retired.
fn retired(repository: &Repository) -> Result<usize> {
    Ok(ledger::read(repository)?.state.retired.len())
}

/// What a check that met a collector must look at again, whatever its bounds are.
#[derive(Debug, Default)]
struct Doubts {
    packs: BTreeSet<PackId>,
    snapshots: BTreeSet<SessionId>,
}

/// A check, which may begin again.
struct Run<'a> {
    repository: &'a Repository,
    request: &'a VerifyRequest,
    progress: &'a Progress,
    /// As it was at the beginning.
    coverage: Coverage,
    recorder: Recorder<'a>,
    doubts: Doubts,
    /// Unix nanoseconds.
    began: i64,
}

impl Run<'_> {
    fn undisturbed(&mut self) -> Result<Outcome> {
        match check::once(self) {
            // A damaged cache must not be taken for a damaged repository.
            Err(RepositoryError::LocalIndex(why)) => {
                tracing::warn!(
                    "the local index failed ({why}); making it anew and beginning again"
                );
                sync::discard(self.repository)?;
                check::once(self)
            }
            outcome => outcome,
        }
    }

    /// Whether nothing more may be begun of what has so many quarters of the time.
    fn is_over(&self, quarters: i64) -> bool {
        self.request.bounds.deadline.is_some_and(|deadline| {
            let quarter = deadline.saturating_sub(self.began) / 4;
            self.repository.environment.clock.now() - self.began >= quarter * quarters
        })
    }
}
