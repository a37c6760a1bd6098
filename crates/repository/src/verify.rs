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

use std::collections::{BTreeMap, BTreeSet, HashMap};

use nightjar_codec::digest;
use nightjar_format::blob::{BlobKind, BlobTable};
use nightjar_format::ids::SessionId;
use nightjar_format::manifest::EntryKind;
use nightjar_format::object::ObjectName;
use nightjar_format::pack::{PackHeader, Trailer};
use nightjar_format::slot::Role;
use nightjar_format::{BlobId, PackId, limits};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::{Location, PackInfo};
use crate::manifest::walk::{ContentWalk, TreeWalk};
use crate::packs::{cipher_from, stored_sizes};
use crate::read::{Reader, SealedBlob};
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
}

/// Checks snapshots, or the whole repository.
pub fn verify(
    repository: &Repository,
    request: &VerifyRequest,
    progress: &Progress,
) -> Result<VerifyReport> {
    if request.level == Level::Data && repository.keychain.role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "verify at the level data" });
    }
    let reader = Reader::open(repository, progress)?;
    let mut check = Check {
        reader: &reader,
        report: VerifyReport::default(),
        sizes: stored_sizes(repository)?,
        touched: BTreeMap::new(),
    };
    let list = snapshots::list(repository)?;
    for info in list.snapshots.iter().filter(|info| request.snapshots.contains(&info.id)) {
        check.walk(info)?;
    }
    if request.whole_repository {
        check.find("the repository", list.findings);
        check.find("the local index", sync_findings(repository)?);
        for (ordinal, _) in reader.index.packs()? {
            check.touched.entry(ordinal).or_default();
        }
    }
    check.packs(request.level)?;
    let mut report = check.report;
    report.findings.sort_by(|a, b| (&a.object, &a.problem).cmp(&(&b.object, &b.problem)));
    report.findings.dedup();
    Ok(report)
}

fn sync_findings(repository: &Repository) -> Result<Vec<String>> {
    Ok(crate::index::sync::status(repository)?.findings)
}

struct Check<'a> {
    reader: &'a Reader<'a>,
    report: VerifyReport,
    /// Packs in the store.
    sizes: HashMap<PackId, u64>,
    /// Ordinals of packs to check, with the snapshots that touch them.
    touched: BTreeMap<u32, BTreeSet<SessionId>>,
}

impl Check<'_> {
    fn find(&mut self, object: &str, problems: Vec<String>) {
        let finding = |problem| Finding { object: object.to_owned(), problem, snapshots: vec![] };
        self.report.findings.extend(problems.into_iter().map(finding));
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
                    while let Some(chunk) = chunks.next(self.reader)? {
                        missing += u64::from(!self.touch(info.id, BlobKind::Data, &chunk.id)?);
                    }
                    if missing > 0 {
                        let path = String::from_utf8_lossy(&visited.path);
                        self.report.findings.push(Finding {
                            object: format!("{path} in {}", ObjectName::Snapshot(info.id)),
                            problem: format!("{missing} of its chunks are in no listed pack"),
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
        let mut id = *id;
        self.report.references += 1;
        for _ in 0..=limits::CHAIN_DEPTH {
            let Some(location) = self.best(&id)? else {
                return Ok(false);
            };
            self.touched.entry(location.pack).or_default().insert(snapshot);
            match location.encoding() {
                nightjar_format::blob::Encoding::Delta { base, .. } => id = base,
                _ => return Ok(self.reader.index.pack(location.pack)?.kind() == kind),
            }
        }
        Ok(false)
    }

    /// The place that a reader would use: the first whose pack is there.
    fn best(&self, id: &BlobId) -> Result<Option<Location>> {
        let locations = self.reader.index.locations(id)?;
        for location in &locations {
            if self.sizes.contains_key(&self.reader.index.pack(location.pack)?.pack_id) {
                return Ok(Some(*location));
            }
        }
        Ok(locations.first().copied())
    }

    /// Checks the collected packs.
    fn packs(&mut self, level: Level) -> Result<()> {
        let touched = std::mem::take(&mut self.touched);
        let mut total = 0;
        for ordinal in touched.keys() {
            total += self.reader.index.pack(*ordinal)?.size;
        }
        if level > Level::Presence {
            let progress = &self.reader.progress;
            progress.total.store(total, std::sync::atomic::Ordering::Relaxed);
        }
        for (ordinal, snapshots) in touched {
            let pack = self.reader.index.pack(ordinal)?;
            self.report.packs += 1;
            let name = ObjectName::Pack(pack.pack_id).to_string();
            let problem = match self.sizes.get(&pack.pack_id) {
                None => Some("it is missing from the store".to_owned()),
                Some(size) if *size != pack.size => {
                    Some(format!("it has {size} bytes, the index says {}", pack.size))
                }
                Some(_) if level == Level::Presence => None,
                Some(_) => self.check_pack(&pack, level)?,
            };
            Progress::add(&self.reader.progress.items, 1);
            if let Some(problem) = problem {
                let snapshots = snapshots.into_iter().collect();
                self.report.findings.push(Finding { object: name, problem, snapshots });
            }
        }
        Ok(())
    }

    /// Reads a pack and says what is wrong with it.
    fn check_pack(&mut self, pack: &PackInfo, level: Level) -> Result<Option<String>> {
        let name = ObjectName::Pack(pack.pack_id);
        let object = match self.reader.repository.store.get(&name.to_string(), limits::PACK_BYTES) {
            Ok(object) => object,
            Err(error) => {
                let error = RepositoryError::from(error);
                return if error.is_damage() { Ok(Some(error.to_string())) } else { Err(error) };
            }
        };
        self.report.bytes += object.len() as u64;
        Progress::add(&self.reader.progress.bytes, object.len() as u64);
        if digest::pack_id(&object) != pack.pack_id {
            return Ok(Some("its bytes do not hash to its id: they were altered".into()));
        }
        if level < Level::Data && pack.kind() == BlobKind::Data {
            return Ok(None);
        }
        match self.check_blobs(pack, &object) {
            Ok(()) => {
                self.report.blobs += pack.blobs;
                Ok(None)
            }
            Err(error) if error.is_damage() => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }

    /// Compares the footer with the index and decodes every blob.
    fn check_blobs(&self, pack: &PackInfo, object: &[u8]) -> Result<()> {
        let name = ObjectName::Pack(pack.pack_id);
        let damaged =
            |why: &str| RepositoryError::Damaged { object: name.to_string(), why: why.to_owned() };
        let cipher = cipher_from(self.reader.repository, &pack.pack_id, object)?;
        let table =
            footer_of(&cipher, object).map_err(|error| RepositoryError::in_object(name, error))?;
        let encoded = postcard::to_allocvec(&table)
            .map_err(|_| RepositoryError::Internal("a table does not encode"))?;
        if digest::hash(&encoded).0 != pack.table_digest {
            return Err(damaged("an index object tells other blobs than its footer"));
        }
        let PackHeader { kind, .. } = *cipher.header();
        let entries: Vec<_> = table.entries(cipher.blobs_offset()).collect();
        entries.into_par_iter().try_for_each(|entry| {
            let start = entry.offset as usize;
            let sealed = object
                .get(start..start + entry.stored_len as usize)
                .ok_or_else(|| damaged("a blob lies outside it"))?;
            let at = Location::new(0, &entry);
            let blob = SealedBlob { id: entry.id, at, name: &name, cipher: &cipher };
            self.reader.decode(kind, &blob, &mut sealed.to_vec(), limits::CHAIN_DEPTH).map(|_| ())
        })
    }
}

fn footer_of(
    cipher: &nightjar_codec::pack::PackCipher,
    object: &[u8],
) -> std::result::Result<BlobTable, nightjar_codec::CodecError> {
    let short = nightjar_codec::CodecError::NotAuthentic { what: "pack trailer" };
    let trailer_start =
        object.len().checked_sub(Trailer::SEALED_LEN).ok_or_else(|| short.clone())?;
    let sealed = object.get(trailer_start..).unwrap_or_default();
    let trailer = cipher.open_trailer(sealed, object.len() as u64)?;
    let range = trailer.footer_range(object.len() as u64);
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    let sealed =
        start.ok().zip(end.ok()).and_then(|(start, end)| object.get(start..end)).ok_or(short)?;
    cipher.open_footer(sealed, &trailer, object.len() as u64)
}
