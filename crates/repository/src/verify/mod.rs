//! What is damaged: checking that snapshots can be restored.
//!
//! | level | reads | finds |
//! |---|---|---|
//! | presence | manifests, listings | what is missing, short, or not listed |
//! | packs | every byte of the packs, no data key needed | any altered byte of a pack |
//! | data | the same, and decodes | also blobs that do not give their content back |
//!
//! Snapshots are walked first: every node is decoded, every chunk is looked up, and the packs
//! they touch are collected. Then packs are checked whole, one after another, so memory does not
//! grow with the repository: its hash, its footer against the table in the local index, and each
//! blob of that table. As all index entries of a pack are its table, every chunk that was looked
//! up is covered by the check of its pack.

pub(crate) mod metadata;
pub(crate) mod packs;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nightjar_format::blob::BlobKind;
use nightjar_format::ids::SessionId;
use nightjar_format::manifest::EntryKind;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{BlobId, PackId, limits};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::{Database, Location, PackInfo};
use crate::index::sync::{self, Copies, open_private};
use crate::ledger;
use crate::manifest::walk::{ContentWalk, TreeWalk};
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;
use crate::snapshots::{self, SnapshotInfo};

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
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
    /// The checked snapshots that it hits.
    pub snapshots: Vec<SessionId>,
}

/// What was checked, and what was found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Snapshots walked.
    pub snapshots: u64,
    /// Packs checked.
    pub packs: u64,
    /// References to blobs that were looked up.
    pub references: u64,
    /// Blobs of the checked packs that were decoded and compared with their ids.
    pub blobs: u64,
    /// Bytes of packs read.
    pub bytes: u64,
    /// Empty if all is well.
    pub findings: Vec<Finding>,
    /// Packs that had been retired when it began.
    retired: usize,
}

/// Checks snapshots, or the whole repository.
pub fn verify(
    repository: &Repository,
    request: &VerifyRequest,
    progress: &Progress,
) -> Result<VerifyReport> {
    let mut report = verify_undisturbed(repository, request, progress)?;
    for _ in 0..DISTURBANCES {
        if report.findings.is_empty() {
            break;
        }
        let (found_under, retired) = (report.retired, retired(repository)?);
        if found_under == retired {
            break;
        }
        // A collector removed packs while they were checked: that is no damage.
        tracing::info!("packs were collected meanwhile; checking again");
        report = verify_undisturbed(repository, request, progress)?;
    }
    Ok(report)
}

/// So often a check that met a collector begins again.
const DISTURBANCES: usize = 3;

/// How many packs have ever been retired.
fn retired(repository: &Repository) -> Result<usize> {
    Ok(ledger::read(repository)?.state.retired.len())
}

fn verify_undisturbed(
    repository: &Repository,
    request: &VerifyRequest,
    progress: &Progress,
) -> Result<VerifyReport> {
    let retired = retired(repository)?;
    let report = match verify_once(repository, request, progress) {
        // A damaged cache must not be taken for a damaged repository.
        Err(RepositoryError::LocalIndex(why)) => {
            tracing::warn!("the local index failed ({why}); making it anew and beginning again");
            sync::discard(repository)?;
            verify_once(repository, request, progress)
        }
        outcome => outcome,
    }?;
    Ok(VerifyReport { retired, ..report })
}

fn verify_once(
    repository: &Repository,
    request: &VerifyRequest,
    progress: &Progress,
) -> Result<VerifyReport> {
    if request.level == Level::Data && repository.keychain.role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "verify at the level data" });
    }
    let (index, _) = open_private(repository, Copies::Refused)?;
    let reader = Reader::over(repository, Arc::new(index), None, progress);
    let sizes = stored_sizes(repository)?;
    let packs = reader.index.packs()?;
    let is_whole = |pack: &PackInfo| sizes.get(&pack.pack_id) == Some(&pack.size);
    let present = packs.iter().filter(|(_, pack)| is_whole(pack)).map(|(ordinal, _)| *ordinal);
    let mut check = Check {
        reader: &reader,
        report: VerifyReport::default(),
        present: present.collect(),
        sizes,
        touched: BTreeMap::new(),
    };
    let list = snapshots::list(repository)?;
    let listed = list.snapshots.iter().chain(&list.forgotten);
    for info in listed.filter(|info| request.snapshots.contains(&info.id)) {
        check.register(info)?;
        check.walk(info)?;
    }
    if request.whole_repository {
        check.find("the repository", list.findings);
        check.find("the local index", sync_findings(repository)?);
        check.metadata_objects()?;
        check.slots()?;
        // A retired pack is gone, whether the index objects say so yet or not.
        let retired = ledger::read(repository)?.state.retired;
        for (ordinal, pack) in reader.index.packs()? {
            // A replica need not have what none of its snapshots needs.
            let is_left_out = repository.is_replica() && !check.sizes.contains_key(&pack.pack_id);
            if !retired.contains(&pack.pack_id) && !is_left_out {
                check.touched.entry(ordinal).or_default();
            }
        }
    }
    check.packs(request.level)?;
    let mut report = check.report;
    report.findings.sort_by(|a, b| (&a.object, &a.problem).cmp(&(&b.object, &b.problem)));
    report.findings.dedup();
    Ok(report)
}

fn sync_findings(repository: &Repository) -> Result<Vec<String>> {
    Ok(sync::status(repository)?.findings)
}

struct Check<'a> {
    reader: &'a Reader<'a>,
    report: VerifyReport,
    /// Packs in the store.
    sizes: HashMap<PackId, u64>,
    /// Ordinals of those that have the size that the index says.
    present: HashSet<u32>,
    /// Ordinals of packs to check, with the snapshots that touch them.
    touched: BTreeMap<u32, BTreeSet<SessionId>>,
}

impl Check<'_> {
    fn find(&mut self, object: &str, problems: Vec<String>) {
        let finding = |problem| Finding { object: object.to_owned(), problem, snapshots: vec![] };
        self.report.findings.extend(problems.into_iter().map(finding));
    }

    fn add(&mut self, object: &str, problem: impl ToString) {
        self.find(object, vec![problem.to_string()]);
    }

    /// Walks a snapshot: decodes its nodes, looks up its chunks.
    fn walk(&mut self, info: &SnapshotInfo) -> Result<()> {
        self.report.snapshots += 1;
        match self.walk_tree(info) {
            Err(error) if error.is_damage() => {
                self.report.findings.push(Finding {
                    object: ObjectName::Snapshot(info.id).to_string(),
                    problem: format!("its manifest cannot be read: {error}"),
                    snapshots: vec![info.id],
                });
                Ok(())
            }
            outcome => outcome,
        }
    }

    fn walk_tree(&mut self, info: &SnapshotInfo) -> Result<()> {
        self.touch(info.id, BlobKind::Tree, &info.snapshot.root)?;
        let mut walk = TreeWalk::new(info.snapshot.root);
        while let Some(visited) = walk.next(self.reader)? {
            match visited.entry.kind {
                EntryKind::File(file) => {
                    let mut chunks = ContentWalk::new(&file.content);
                    let mut missing = 0u64;
                    let mut length = file.hole_bytes();
                    while let Some(chunk) = chunks.next(self.reader)? {
                        let fits = self
                            .best(&chunk.id)?
                            .is_some_and(|at| u64::from(at.raw_len) == chunk.length);
                        let there = self.touch(info.id, BlobKind::Data, &chunk.id)?;
                        missing += u64::from(!there || !fits);
                        length = length.saturating_add(chunk.length);
                    }
                    if length != file.size {
                        let path = String::from_utf8_lossy(&visited.path);
                        self.report.findings.push(Finding {
                            object: format!("{path} in {}", ObjectName::Snapshot(info.id)),
                            problem: format!("its chunks make {length} bytes, not {}", file.size),
                            snapshots: vec![info.id],
                        });
                    }
                    if missing > 0 {
                        let path = String::from_utf8_lossy(&visited.path);
                        self.report.findings.push(Finding {
                            object: format!("{path} in {}", ObjectName::Snapshot(info.id)),
                            problem: format!("{missing} of its chunks are in no listed pack, or have another length there"),
                            snapshots: vec![info.id],
                        });
                    }
                }
                EntryKind::Directory { root } => {
                    self.touch(info.id, BlobKind::Tree, &root)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Notes the packs that a blob needs; false if it lies in none.
    fn touch(&mut self, snapshot: SessionId, kind: BlobKind, id: &BlobId) -> Result<bool> {
        self.report.references += 1;
        let index = &self.reader.index;
        let there = |_: &Database, ordinal| self.present.contains(&ordinal);
        let places: Vec<Location> = match index.support(&[*id], &there)? {
            Some(support) => support.places.into_iter().map(|(_, at)| at).collect(),
            None => {
                self.touch_all(snapshot, *id)?;
                return Ok(false);
            }
        };
        for at in places {
            if index.pack(at.pack)?.kind() != kind {
                return Ok(false);
            }
            self.touched.entry(at.pack).or_default().insert(snapshot);
        }
        Ok(true)
    }

    /// Notes every pack in which a blob, or something that it may rest on, lies or lay.
    fn touch_all(&mut self, snapshot: SessionId, id: BlobId) -> Result<()> {
        let mut seen = HashSet::new();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if seen.len() == limits::SUPPORT || !seen.insert(id) {
                continue;
            }
            for at in self.reader.index.locations(&id)? {
                self.touched.entry(at.pack).or_default().insert(snapshot);
                open.extend(at.encoding.bases());
            }
        }
        Ok(())
    }

    /// The place that a reader would use: the first whose pack is there.
    fn best(&self, id: &BlobId) -> Result<Option<Location>> {
        let locations = self.reader.index.locations(id)?;
        let there = locations.iter().find(|at| self.present.contains(&at.pack));
        Ok(there.or(locations.first()).copied())
    }
}
