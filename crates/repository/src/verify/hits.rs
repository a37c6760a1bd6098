//! Which snapshots damage hits, and which paths in them.
//!
//! Found by walking snapshots, and only when there is damage: to note on the way to it which snapshots
//! need which packs would take memory that grows with both. A blob counts as lost only if it cannot
//! be had from any of its places, so nobody is told of a snapshot that restores.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use nightjar_format::index::IndexRecord;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::{BlobId, SessionId, limits};

use super::Finding;
use super::check::each_place;
use super::listed::Listed;
use super::walk::{Met, through};
use crate::ahead::Ahead;
use crate::error::{RepositoryError, Result};
use crate::index::database::Database;
use crate::packs::Listing;
use crate::read::Reader;
use crate::snapshots::SnapshotInfo;

/// Paths that are named of one snapshot, and of all together.
const PATHS: usize = 100;
const PATHS_IN_ALL: usize = 100_000;
/// Snapshots that are named of all packs together.
const SNAPSHOTS_IN_ALL: usize = 1 << 20;
/// Blobs that are named of one pack, and packs of which blobs are named.
const BLOBS: usize = 10;
const PACKS_WITH_BLOBS: usize = 1000;

/// A snapshot that cannot be restored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotHit {
    /// Which.
    pub snapshot: SessionId,
    /// The first files that are not whole, and directories that cannot be read, by their names from
    /// the root joined with slashes; the root itself is empty.
    pub paths: Vec<Vec<u8>>,
    /// How many there are besides.
    pub more_paths: u64,
}

/// What is wrong with a pack.
#[derive(Debug, Clone)]
pub(super) struct BadPack {
    pub(super) problem: String,
    pub(super) lost: Lost,
}

/// Which blobs of a pack cannot be had from it.
#[derive(Debug, Clone)]
pub(super) enum Lost {
    /// All, as far as is known.
    All,
    /// These.
    Blobs(HashSet<BlobId>),
}

impl BadPack {
    fn lacks(&self, id: &BlobId) -> bool {
        match &self.lost {
            Lost::All => true,
            Lost::Blobs(lost) => lost.contains(id),
        }
    }
}

/// The snapshots that a pack hits.
#[derive(Debug, Default, Clone)]
pub(super) struct PackHits {
    pub(super) snapshots: Vec<SessionId>,
    /// How many there are besides.
    pub(super) more: u64,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Hits {
    /// By ordinal, the snapshots that a pack hits.
    pub(super) by_pack: BTreeMap<u32, PackHits>,
    /// How many are named there.
    named: usize,
    pub(super) snapshots: Vec<SnapshotHit>,
    /// What is wrong with snapshots besides.
    pub(super) findings: Vec<Finding>,
    /// How many snapshots were walked.
    pub(super) walked: usize,
}

/// Walks snapshots and looks what of them is lost with these packs, and with those that are not in
/// the store. Walks one at least, and the others as long as the time is not over.
pub(super) fn find(
    reader: &Reader<'_>,
    listed: &Listed,
    bad: &BTreeMap<u32, BadPack>,
    snapshots: &[&SnapshotInfo],
    is_over: &dyn Fn() -> bool,
) -> Result<Hits> {
    let mut hits = Hits::default();
    let search = Search { reader, listed, bad };
    let mut paths_left = PATHS_IN_ALL;
    for info in snapshots {
        if hits.walked > 0 && is_over() {
            break;
        }
        hits.walked += 1;
        let mut found = Found { paths_left: PATHS.min(paths_left), ..Found::default() };
        through(reader, &info.snapshot.root, &mut |path, met| search.meet(path, met, &mut found))?;
        paths_left -= found.paths.len();
        found.add_to(&mut hits, info.id);
    }
    Ok(hits)
}

struct Search<'a> {
    reader: &'a Reader<'a>,
    listed: &'a Listed,
    bad: &'a BTreeMap<u32, BadPack>,
}

/// What was found of one snapshot.
#[derive(Default)]
struct Found {
    paths: Vec<Vec<u8>>,
    more_paths: u64,
    paths_left: usize,
    last_path: Option<Vec<u8>>,
    packs: BTreeSet<u32>,
    /// Chunks and nodes that no pack is to blame for.
    unlisted: u64,
    /// Why a node cannot be read, and how many there are.
    unreadable: Option<(String, u64)>,
    /// A file whose chunks do not make up its size, and how many there are.
    length: Option<(String, u64)>,
}

impl Search<'_> {
    fn meet(&self, path: &[u8], met: Met<'_>, found: &mut Found) -> Result<()> {
        match met {
            Met::Reference { kind, id, length } => {
                let counts = |_: &Database, id: &BlobId, ordinal: u32| {
                    self.listed.is_whole(ordinal)
                        && self.bad.get(&ordinal).is_none_or(|bad| !bad.lacks(id))
                };
                let support = self.reader.index.support_where(&[*id], &counts)?;
                let is_right = support.as_ref().is_some_and(|support| {
                    let of_kind =
                        |ordinal| self.listed.get(ordinal).is_some_and(|it| it.kind == kind);
                    let fits = |raw_len: u32| length.is_none_or(|it| it == u64::from(raw_len));
                    support.places.iter().all(|(_, at)| of_kind(at.pack))
                        && support.places.last().is_some_and(|(_, at)| fits(at.raw_len))
                });
                if is_right {
                    return Ok(());
                }
                if support.is_some() || !self.blame(*id, found)? {
                    found.unlisted += 1;
                }
            }
            Met::Unreadable(error) => {
                if let RepositoryError::LostBlob { id, .. } = error {
                    self.blame(*id, found)?;
                }
                count(&mut found.unreadable, || error.to_string());
            }
            Met::Length { found: bytes, said } => count(&mut found.length, || {
                let path = String::from_utf8_lossy(path);
                format!("the chunks of {path} make {bytes} bytes, not {said}")
            }),
        }
        found.note(path);
        Ok(())
    }

    /// Notes the packs that a blob is lost with; whether there are any.
    fn blame(&self, id: BlobId, found: &mut Found) -> Result<bool> {
        let mut any = false;
        each_place(self.reader, id, |id, ordinal| {
            if self.bad.get(&ordinal).is_some_and(|bad| bad.lacks(id)) {
                any = true;
                found.packs.insert(ordinal);
            }
        })?;
        Ok(any)
    }
}

/// Keeps the first of many.
fn count(slot: &mut Option<(String, u64)>, first: impl FnOnce() -> String) {
    match slot {
        Some((_, count)) => *count += 1,
        None => *slot = Some((first(), 1)),
    }
}

/// The first of many, and how many more there are.
fn with_count((first, count): (String, u64)) -> String {
    if count > 1 { format!("{first} (and {} more)", count - 1) } else { first }
}

impl Found {
    /// Names a path once, however much of it is lost.
    fn note(&mut self, path: &[u8]) {
        if self.last_path.as_deref() == Some(path) {
            return;
        }
        self.last_path = Some(path.to_vec());
        if self.paths.len() < self.paths_left {
            self.paths.push(path.to_vec());
        } else {
            self.more_paths += 1;
        }
    }

    fn add_to(self, hits: &mut Hits, id: SessionId) {
        if self.last_path.is_none() {
            return;
        }
        let Self { paths, more_paths, packs, unlisted, unreadable, length, .. } = self;
        for ordinal in packs {
            let of_pack = hits.by_pack.entry(ordinal).or_default();
            if hits.named < SNAPSHOTS_IN_ALL {
                of_pack.snapshots.push(id);
                hits.named += 1;
            } else {
                of_pack.more += 1;
            }
        }
        let mut problems = Vec::new();
        if let Some(unreadable) = unreadable {
            problems.push(format!("its manifest cannot be read: {}", with_count(unreadable)));
        }
        if unlisted > 0 {
            problems.push(format!(
                "{unlisted} of its chunks and nodes are in no listed pack, or are others there"
            ));
        }
        problems.extend(length.map(with_count));
        let object = ObjectName::Snapshot(id).to_string();
        hits.findings.extend(problems.into_iter().map(|problem| Finding {
            object: object.clone(),
            problem,
            snapshots: vec![id],
            ..Finding::default()
        }));
        hits.snapshots.push(SnapshotHit { snapshot: id, paths, more_paths });
    }
}

/// A finding for each pack, with what it hits.
pub(super) fn pack_findings(
    reader: &Reader<'_>,
    listed: &Listed,
    bad: &BTreeMap<u32, BadPack>,
    hits: &Hits,
) -> Result<Vec<Finding>> {
    let all = bad.iter().filter(|(_, it)| matches!(it.lost, Lost::All)).map(|(it, _)| *it);
    let mut blobs_of = blobs_of(reader, all.collect())?;
    let mut findings = Vec::with_capacity(bad.len());
    for (ordinal, BadPack { problem, lost }) in bad {
        let Some(pack) = listed.get(*ordinal) else { continue };
        let (blobs, blob_ids) = match lost {
            Lost::All => {
                let blobs = reader.index.pack(*ordinal)?.blobs;
                (blobs, blobs_of.remove(ordinal).unwrap_or_default())
            }
            Lost::Blobs(lost) => {
                let mut ids: Vec<BlobId> = lost.iter().copied().collect();
                ids.sort_unstable();
                ids.truncate(BLOBS);
                (lost.len() as u64, ids)
            }
        };
        let PackHits { snapshots, more } = hits.by_pack.get(ordinal).cloned().unwrap_or_default();
        findings.push(Finding {
            object: ObjectName::Pack(pack.id).to_string(),
            problem: problem.clone(),
            snapshots,
            more_snapshots: more,
            blobs,
            blob_ids,
        });
    }
    Ok(findings)
}

/// The first blobs of packs, as the index objects tell them that list these: the packs themselves
/// may be lost.
fn blobs_of(
    reader: &Reader<'_>,
    mut ordinals: BTreeSet<u32>,
) -> Result<BTreeMap<u32, Vec<BlobId>>> {
    while ordinals.len() > PACKS_WITH_BLOBS {
        ordinals.pop_last();
    }
    let mut wanted: BTreeMap<Listing, u32> = BTreeMap::new();
    for ordinal in &ordinals {
        wanted.insert(reader.index.pack(*ordinal)?.listing(), *ordinal);
    }
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    let mut names = Vec::new();
    for id in reader.index.applied()? {
        if reader.index.packs_of(&id)?.iter().any(|ordinal| ordinals.contains(ordinal)) {
            names.push((ObjectName::Index(id), 0));
        }
    }
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    for (name, object) in Ahead::new(reader.repository, names.into_iter(), limit) {
        let opened = object.and_then(|object| {
            reader.repository.unseal::<IndexRecord>(MetadataKind::Index, &name, &object)
        });
        let record = match opened {
            Ok(opened) => opened.record,
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        for pack in record.packs {
            if let Some(ordinal) = wanted.get(&Listing::of(&pack)?) {
                found.insert(*ordinal, pack.table.ids.into_iter().take(BLOBS).collect());
            }
        }
    }
    Ok(found)
}
