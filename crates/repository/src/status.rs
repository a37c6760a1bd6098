//! What is there: counts and sizes of a repository.

use std::collections::{BTreeMap, HashMap};

use nightjar_format::limits;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::session::{Position, SessionRecord};
use nightjar_format::{PackId, SessionId};

use crate::coverage::{Coverage, CoverageSummary};
use crate::error::Result;
use crate::index::sync::{Copies, open_private};
use crate::ledger;
use crate::repository::Repository;
use crate::slots;
use crate::snapshots::{self, SnapshotInfo};
use crate::verify::{StandingDamage, standing_in};

/// What a repository holds.
#[derive(Debug, Clone)]
pub struct Status {
    /// It is a replica.
    pub is_replica: bool,
    /// Every series, by name.
    pub series: Vec<SeriesStatus>,
    /// Committed, not forgotten.
    pub snapshots: u64,
    /// Bytes of the sources of all snapshots together.
    pub bytes_logical: u64,
    /// Plaintext bytes of all stored blobs.
    pub bytes_unique: u64,
    /// Blobs stored.
    pub blobs: u64,
    /// How many of them are whole (0), deltas of a whole blob (1), deltas of such (2), and so on.
    pub depths: Vec<u64>,
    /// Objects of each kind.
    pub objects: Vec<ObjectsStatus>,
    /// Bytes of all objects.
    pub bytes_stored: u64,
    /// Sessions that are not resolved.
    pub sessions: Vec<OpenSession>,
    /// The ledger's newest record.
    pub ledger_head: Position,
    /// The current epoch.
    pub epoch: u32,
    /// Slots that have access.
    pub slots: u64,
    /// How much of all packs and snapshots was ever checked, and when.
    pub coverage: CoverageSummary,
    /// Packs that are recorded as damaged, or not in the store, and what they hit, as far as that was
    /// found out in half a minute.
    pub damage: StandingDamage,
    /// Every snapshot, oldest first.
    pub infos: Vec<SnapshotInfo>,
    /// What is not as it should be, for people to read.
    pub findings: Vec<String>,
}

/// The snapshots of one source.
#[derive(Debug, Clone)]
pub struct SeriesStatus {
    /// Its name.
    pub name: String,
    /// How many snapshots it has.
    pub snapshots: u64,
    /// When the newest began, in Unix nanoseconds.
    pub newest: i64,
    /// Which that is.
    pub newest_id: SessionId,
    /// Bytes of the newest one's source.
    pub newest_bytes: u64,
}

/// The objects of one kind.
#[derive(Debug, Clone)]
pub struct ObjectsStatus {
    /// The folder they lie in.
    pub kind: &'static str,
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A writer that is at work, or died.
#[derive(Debug, Clone)]
pub struct OpenSession {
    /// Which.
    pub id: SessionId,
    /// Where it runs.
    pub host: String,
    /// Unix nanoseconds.
    pub started: i64,
    /// Unix nanoseconds.
    pub renewed: i64,
}

/// What rests on damage is looked for so long: who asks for the status does not want to wait.
const LOOKING_NANOS: i64 = 30_000_000_000;

const KINDS: [&str; 9] =
    ["packs", "index", "bundles", "snapshots", "sessions", "ledger", "checks", "slots", "keyring"];

/// Counts what a repository holds.
pub fn status(repository: &Repository) -> Result<Status> {
    let ledger = ledger::read(repository)?;
    let list = snapshots::list_under(repository, &ledger)?;
    let (index, report) = open_private(repository, Copies::Welcome)?;
    let mut bytes_unique = 0;
    let mut depths: Vec<u64> = Vec::new();
    let mut packs: BTreeMap<PackId, u64> = BTreeMap::new();
    for (_, pack) in index.packs()? {
        if !ledger.state.retired.contains(&pack.pack_id) {
            packs.insert(pack.pack_id, pack.size);
        }
        bytes_unique += pack.raw_bytes;
        depths.resize(depths.len().max(pack.depths.len()), 0);
        for (sum, count) in depths.iter_mut().zip(&pack.depths) {
            *sum += count;
        }
    }
    let mut sizes: HashMap<PackId, u64> = HashMap::new();
    let objects = KINDS
        .into_iter()
        .map(|kind| {
            let infos = repository.store.list(kind)?;
            sizes.extend(infos.iter().filter_map(|info| match ObjectName::parse(&info.name) {
                Some(ObjectName::Pack(id)) => Some((id, info.size)),
                _ => None,
            }));
            let bytes = infos.iter().map(|info| info.size).sum();
            Ok(ObjectsStatus { kind, count: infos.len() as u64, bytes })
        })
        .collect::<Result<Vec<_>>>()?;
    let mut series: BTreeMap<&str, SeriesStatus> = BTreeMap::new();
    for info in &list.snapshots {
        // Oldest first: the last one seen is the newest.
        let name = info.snapshot.series.as_str();
        let before = series.get(name).map_or(0, |series| series.snapshots);
        let status = SeriesStatus {
            name: name.to_owned(),
            snapshots: before + 1,
            newest: info.snapshot.started,
            newest_id: info.id,
            newest_bytes: info.snapshot.counts.bytes(),
        };
        series.insert(name, status);
    }
    let mut findings = list.findings.clone();
    findings.extend(report.findings);
    let walked = list.snapshots.iter().map(|info| (info.id, info.snapshot.counts.bytes()));
    let coverage = Coverage::read(repository)?.summary(packs.into_iter(), walked);
    let newest_first: Vec<&SnapshotInfo> = list.snapshots.iter().rev().collect();
    let deadline = Some(repository.environment.clock.now().saturating_add(LOOKING_NANOS));
    let damage = standing_in(repository, index, &ledger, &sizes, &newest_first, deadline)?;
    if !damage.hits.is_empty() || damage.hits_unknown > 0 {
        let (packs, hits) = (damage.packs.len(), damage.hits.len());
        let unknown = match damage.hits_unknown {
            0 => String::new(),
            many => format!(", and perhaps others among {many} that were not looked at"),
        };
        findings.push(format!(
            "packs that are damaged or missing: {packs}; snapshots that rest on them: {hits}{unknown}"
        ));
    }
    Ok(Status {
        is_replica: repository.is_replica(),
        series: series.into_values().collect(),
        snapshots: list.snapshots.len() as u64,
        bytes_logical: list.snapshots.iter().map(|info| info.snapshot.counts.bytes()).sum(),
        bytes_unique,
        blobs: report.blobs,
        depths,
        bytes_stored: objects.iter().map(|objects| objects.bytes).sum(),
        objects,
        sessions: open_sessions(repository, &mut findings)?,
        ledger_head: ledger.head,
        epoch: repository.keychain.epoch(),
        slots: slots::list(repository)?.len() as u64,
        coverage,
        damage,
        infos: list.snapshots,
        findings,
    })
}

/// Sessions whose register does not stand.
pub(crate) fn open_sessions(
    repository: &Repository,
    findings: &mut Vec<String>,
) -> Result<Vec<OpenSession>> {
    let mut sessions = Vec::new();
    for info in repository.store.list("sessions")? {
        let Some(name @ ObjectName::Session(id)) = ObjectName::parse(&info.name) else {
            continue;
        };
        if repository.store.head(&ObjectName::Snapshot(id).to_string())?.is_some() {
            continue;
        }
        let object = match repository.store.get(&info.name, limits::METADATA_OBJECT_BYTES as u64) {
            Ok(object) => object,
            // It ended between the listing and now.
            Err(nightjar_storage::StoreError::NotFound { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        match repository.unseal::<SessionRecord>(MetadataKind::Session, &name, &object) {
            Ok(opened) => sessions.push(OpenSession {
                id,
                host: opened.record.host,
                started: opened.record.started,
                renewed: opened.record.renewed,
            }),
            Err(error) => findings.push(error.to_string()),
        }
    }
    Ok(sessions)
}
