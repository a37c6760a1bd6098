//! Forgets what a plan lets go.
//!
//! Between the plan that somebody saw and the moment of forgetting others work: somebody places a
//! hold, a backup ends, another machine applies the same policy. So the ledger is read, the plan is
//! made again from what is there now, and what both let go is forgotten by one record right after the
//! head that was read. If that number is taken, this begins anew. A hold that was placed meanwhile
//! wins, and so does everything else that keeps a snapshot; nothing is forgotten that was not shown.
//!
//! Where snapshots are damaged or gone nothing is forgotten at all: those that are left may be the
//! last ones that are sound.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use nightjar_format::SessionId;
use nightjar_format::ledger::LedgerBody;

use super::plan::{Plan, Request, SeriesPlan, plan};
use super::policy::Policy;
use crate::bundles;
use crate::error::{RepositoryError, Result};
use crate::ledger;
use crate::repository::Repository;
use crate::snapshots::{SnapshotList, delete_forgotten, list_under};

/// So many series are named in a record, and no more.
const MOST_NAMED: usize = 50;

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Which snapshots.
    pub forgotten: BTreeSet<SessionId>,
    /// Those that the plan let go, and that stay after all: others changed something meanwhile.
    pub kept: BTreeSet<SessionId>,
    /// The numbers of the ledger's records.
    pub records: Vec<u64>,
}

/// Forgets what `shown` lets go and what a plan that is made now lets go as well, with one record for
/// each policy.
pub fn apply(
    repository: &Repository,
    shown: &Plan<'_>,
    request: &Request<'_>,
    who: &str,
) -> Result<Applied> {
    repository.require_full("forget snapshots")?;
    let mut by_policy: BTreeMap<&str, BTreeSet<SessionId>> = BTreeMap::new();
    for series in &shown.series {
        let Some(policy) = &series.policy else { continue };
        let ids = by_policy.entry(&policy.name).or_default();
        ids.extend(series.going().map(|info| info.id));
    }
    let mut applied = Applied::default();
    for wanted in by_policy.into_values().filter(|ids| !ids.is_empty()) {
        let forgotten = forget(repository, &wanted, request, who, &mut applied.records)?;
        applied.kept.extend(wanted.difference(&forgotten));
        applied.forgotten.extend(forgotten);
    }
    bundles::make_of_records(repository);
    Ok(applied)
}

/// Forgets those of `wanted` that still may go; returns them.
fn forget(
    repository: &Repository,
    wanted: &BTreeSet<SessionId>,
    request: &Request<'_>,
    who: &str,
    records: &mut Vec<u64>,
) -> Result<BTreeSet<SessionId>> {
    loop {
        let ledger = ledger::read(repository)?;
        let list = list_under(repository, &ledger)?;
        require_undamaged(&list)?;
        let now = plan(&list.snapshots, &list.accepted, request);
        let going: BTreeSet<SessionId> =
            now.going().map(|info| info.id).filter(|id| wanted.contains(id)).collect();
        if going.is_empty() {
            return Ok(going);
        }
        let why = why(&now, &going);
        let snapshots = going.iter().copied().collect();
        let body = LedgerBody::Forget { snapshots, who: who.to_owned(), why, erase: false };
        if let Some(position) = ledger::append_after(repository, &ledger, &body)? {
            records.push(position.number);
            delete_forgotten(repository, &going)?;
            return Ok(going);
        }
    }
}

/// Refuses where some snapshot is damaged, exchanged or gone.
fn require_undamaged(list: &SnapshotList) -> Result<()> {
    let Some(id) = list.lost.first().or(list.exchanged.first()) else { return Ok(()) };
    Err(RepositoryError::Damaged {
        object: format!("snapshot {id}"),
        why: format!(
            "no policy lets snapshots go while one is damaged, exchanged or gone; `nightjar snapshot \
             verify --all` tells more, and once nothing can be mended, `nightjar snapshot forget {} \
             --reason …` strikes it off",
            id.short()
        ),
    })
}

/// What the record says: which rules, and what they let go of which series.
fn why(plan: &Plan<'_>, going: &BTreeSet<SessionId>) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rules = String::new();
    for series in &plan.series {
        if let Some(part) = part_of(series, going) {
            rules = series.policy.as_ref().map_or_else(String::new, Policy::to_string);
            parts.push(part);
        }
    }
    let more = parts.len().saturating_sub(MOST_NAMED);
    parts.truncate(MOST_NAMED);
    if more > 0 {
        parts.push(format!("and {more} more series"));
    }
    format!("retention ({rules}): {}", parts.join("; "))
}

/// `orders-db: 3 of 2026-01-02T03:00:00Z to 2026-01-05T03:00:00Z`
fn part_of(series: &SeriesPlan<'_>, going: &BTreeSet<SessionId>) -> Option<String> {
    let starts: Vec<i64> = series
        .going()
        .filter(|info| going.contains(&info.id))
        .map(|info| info.snapshot.started)
        .collect();
    let (first, last) = (starts.first()?, starts.last()?);
    let time = |nanos: i64| {
        let seconds = nanos.div_euclid(1_000_000_000);
        Timestamp::from_second(seconds).map_or_else(|_| nanos.to_string(), |it| it.to_string())
    };
    let times = match starts.len() {
        1 => time(*first),
        _ => format!("{} to {}", time(*first), time(*last)),
    };
    Some(format!("{}: {} of {times}", series.series, starts.len()))
}
