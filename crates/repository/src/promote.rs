//! Makes a replica the repository (format-spec, chapter 15).
//!
//! One ledger record does it, created like any other: it names the snapshots that are there. What
//! the lost repository had more than that, and what comes late from it, is no part of this one: a
//! snapshot says in which incarnation it was committed, and only those of the new one, and those that
//! are named, are admitted.

use std::collections::BTreeSet;

use nightjar_codec::digest;
use nightjar_format::ledger::{LedgerBody, Promotion};
use nightjar_format::object::ObjectName;
use nightjar_format::replica::ReplicaRecord;
use nightjar_format::{IncarnationId, PackId, SessionId};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::found::fetch_repository_object;
use crate::ledger::{self, Ledger};
use crate::packs::stored_sizes;
use crate::repository::{Repository, probe};
use crate::snapshots::{self, SnapshotInfo, SnapshotList};
use crate::verify::{Level, VerifyRequest, verify};

/// So often it is tried again because a replicator brought a record meanwhile.
const ATTEMPTS: usize = 10;

/// What the repository begins with, or would.
#[derive(Debug, Clone)]
pub struct PromoteReport {
    /// The ledger's record; none if nothing was written.
    pub record: Option<u64>,
    /// The incarnation that it begins.
    pub incarnation: IncarnationId,
    /// The snapshots, oldest first; those that are back are not among them.
    pub snapshots: Vec<SnapshotInfo>,
    /// Those that had been forgotten and are back, oldest first.
    pub back: Vec<SnapshotInfo>,
    /// Those that had been forgotten and stay so, for they are not whole here, oldest first.
    pub in_part: Vec<SnapshotInfo>,
    /// Packs that had been retired and are back.
    pub packs_back: u64,
    /// So many ledger records more had the repository when this machine last used it.
    pub records_behind: u64,
    /// What is not as it should be, for people to read.
    pub findings: Vec<String>,
}

/// Says what [`promote`] would do now.
pub fn preview(repository: &Repository, progress: &Progress) -> Result<PromoteReport> {
    let ledger = ledger::read(repository)?;
    let incarnation = require_replica(repository, &ledger)?;
    Ok(survey(repository, &ledger, incarnation.unwrap_or(IncarnationId([0; 8])), progress)?.report)
}

/// Makes the replica a repository. Nothing else may replicate to it from then on.
pub fn promote(
    repository: &Repository,
    who: &str,
    why: &str,
    progress: &Progress,
) -> Result<PromoteReport> {
    repository.require_full("promote a replica")?;
    require_conditions(repository)?;
    for _ in 0..ATTEMPTS {
        let ledger = ledger::read(repository)?;
        let incarnation = match require_replica(repository, &ledger)? {
            Some(incarnation) => incarnation,
            None => mark_anew(repository)?,
        };
        let Survey { report, snapshots, revived } =
            survey(repository, &ledger, incarnation, progress)?;
        let (who, why) = (who.to_owned(), why.to_owned());
        let promotion = Promotion { incarnation, snapshots, revived, who, why };
        let body = LedgerBody::Promote(Box::new(promotion));
        if let Some(position) = ledger::append_anywhere(repository, &ledger, &body)? {
            return Ok(PromoteReport { record: Some(position.number), ..report });
        }
    }
    Err(RepositoryError::Busy(
        "something still replicates to here; stop it, and run this again. Nothing was changed"
            .into(),
    ))
}

/// The incarnation that the mark names; none if it cannot be read.
fn require_replica(repository: &Repository, ledger: &Ledger) -> Result<Option<IncarnationId>> {
    if ledger.is_replica {
        return Ok(ledger.mark.map(|mark| mark.incarnation));
    }
    let url = repository.store.url();
    let promoted = ledger.records.iter().rev().find_map(|(record, _)| match &record.body {
        LedgerBody::Promote(promotion) => Some((record.number, &promotion.who)),
        _ => None,
    });
    Err(RepositoryError::Refused(match promoted {
        Some((number, who)) => format!(
            "{url} is the repository already: {who} promoted it (ledger record {number}); nothing was \
             changed"
        ),
        None => format!("{url} is a repository and no replica; nothing was changed"),
    }))
}

/// The store that the repository was made in may have been another kind.
fn require_conditions(repository: &Repository) -> Result<()> {
    if !repository.record.conditional_create || probe(&repository.store, &repository.environment)? {
        return Ok(());
    }
    let url = repository.store.url();
    Err(RepositoryError::Refused(format!(
        "{url} overwrites objects that are created only if they are not there, so two backups could \
         undo each other here; nothing was changed. Everything can be restored from here; to go on \
         backing up, replicate this to a store that honours conditions, and promote that one"
    )))
}

/// Takes the place of a mark that cannot be read.
fn mark_anew(repository: &Repository) -> Result<IncarnationId> {
    let (_, object) = fetch_repository_object(&repository.store)?;
    let incarnation = IncarnationId(repository.environment.random.array());
    let mark = ReplicaRecord { repository_hash: digest::hash(&object), incarnation };
    repository.store.put(&ObjectName::Replica.to_string(), mark.to_object().into())?;
    Ok(incarnation)
}

/// What is there.
struct Survey {
    report: PromoteReport,
    /// Every register that counts: one that is damaged may be mended.
    snapshots: BTreeSet<SessionId>,
    revived: BTreeSet<PackId>,
}

fn survey(
    repository: &Repository,
    ledger: &Ledger,
    incarnation: IncarnationId,
    progress: &Progress,
) -> Result<Survey> {
    let list = snapshots::list_under(repository, ledger)?;
    let whole = whole_of(repository, ledger, &list, progress)?;
    // After both: a slow replicator brings what a register rests on before it, and nothing goes.
    let packs = stored_sizes(repository)?;
    let revived: BTreeSet<PackId> =
        packs.into_keys().filter(|id| ledger.state.retired.contains(id)).collect();
    let is_back = |id: &SessionId| whole.contains(id);
    let forgotten = &ledger.state.forgotten;
    let snapshots = list.registers().filter(|id| !forgotten.contains(id) || is_back(id));
    let snapshots = snapshots.filter(|id| !list.late.contains(id)).collect();
    let SnapshotList { snapshots: stay, forgotten: were_forgotten, findings, .. } = list;
    let (back, in_part) = were_forgotten.into_iter().partition(|info| is_back(&info.id));
    let report = PromoteReport {
        record: None,
        incarnation,
        snapshots: stay,
        back,
        in_part,
        packs_back: revived.len() as u64,
        records_behind: ledger::head_seen(&repository.cache)
            .map_or(0, |seen| seen.number.saturating_sub(ledger.head.number)),
        findings,
    };
    Ok(Survey { report, snapshots, revived })
}

/// The forgotten snapshots that can be restored; never one that was to be erased.
fn whole_of(
    repository: &Repository,
    ledger: &Ledger,
    list: &SnapshotList,
    progress: &Progress,
) -> Result<BTreeSet<SessionId>> {
    let erased: BTreeSet<&SessionId> = ledger
        .records
        .iter()
        .filter_map(|(record, _)| match &record.body {
            LedgerBody::Forget { snapshots, erase: true, .. } => Some(snapshots),
            _ => None,
        })
        .flatten()
        .collect();
    let wanted: Vec<SessionId> =
        list.forgotten.iter().map(|info| info.id).filter(|id| !erased.contains(id)).collect();
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let request = VerifyRequest {
        level: Level::Presence,
        snapshots: wanted.clone(),
        ..VerifyRequest::default()
    };
    let report = verify(repository, &request, progress)?;
    let hit: BTreeSet<SessionId> = report.hits.iter().map(|hit| hit.snapshot).collect();
    Ok(wanted.into_iter().filter(|id| !hit.contains(id)).collect())
}
