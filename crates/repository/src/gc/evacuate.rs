//! Moving what is alive out of packs that go (format-spec, chapter 13: the collector's step 5).
//!
//! Blobs move as they are stored: opened with one pack's key, sealed with another's, neither
//! decoded nor encoded, except that whole ones are checked against their ids on the way. They are
//! laid out in the order in which the newest snapshot names them, so that it reads packs from front
//! to back. A blob that also lies in a pack that stays is read there first: which place is sound
//! shows only when it is read. What cannot be moved as it is, and a delta that lies in several packs
//! that go, is read like in a restore, from wherever it can be had, and stored whole.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::thread;

use nightjar_codec::compress::{Payload, encode_verified};
use nightjar_codec::sketch::{self, Sketch};
use nightjar_format::blob::BlobKind;
use nightjar_format::index::IndexRecord;
use nightjar_format::limits;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::{BlobId, PackId};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::ahead;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::gc::mark::{Fate, Move};
use crate::gc::survey::Survey;
use crate::index::database::{Database, Location};
use crate::ingest::PackWriter;
use crate::packs::{Listing, Uploader};
use crate::read::batch::PendingBlobs;
use crate::repository::Repository;
use crate::session::Session;

/// Plaintext in a batch at most, in bytes, unless one blob has more: blobs that the newest snapshot
/// names side by side may lie in many packs, and the more of them are fetched together, the fewer
/// requests that takes.
const BATCH_BYTES: u64 = 8 << 20;
const FAR_BATCH_BYTES: u64 = 64 << 20;
/// Batches that are being fetched.
const BATCHES: usize = 2;
/// Blobs in a batch.
const BATCH_BLOBS: usize = 1 << 14;
/// Blobs whose places are looked up together.
const WINDOW: usize = 1 << 16;
/// The level at which what cannot be moved as it is is compressed.
pub(super) const LEVEL: i32 = 3;

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) blobs: u64,
    /// Bytes added to the store for it.
    pub(super) bytes: u64,
    /// Packs that hold something alive which cannot be read: they must not go.
    pub(super) damaged: BTreeSet<PackId>,
    /// Packs that stay, and do not hold what they are said to hold.
    pub(super) suspect: BTreeSet<PackId>,
}

/// Copies what is alive in packs that go, and lists it, before it returns.
pub(super) fn evacuate(
    repository: &Repository,
    session: &mut Session<'_>,
    survey: &mut Survey<'_>,
    progress: &Progress,
) -> Result<Moved> {
    let moves = std::mem::take(&mut survey.marks.moves);
    if moves.is_empty() && survey.marks.doubts.is_empty() {
        return Ok(Moved::default());
    }
    run(repository, session, survey, moves, Pass::Last, progress)
}

/// Packs that a run wrote, each as it must be listed: others may list it otherwise.
pub(super) type Copies = HashSet<Listing>;

/// What was copied before packs are condemned.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    pub(super) blobs: u64,
    /// Bytes added to the store.
    pub(super) bytes: u64,
    /// The packs that hold it.
    pub(super) packs: Copies,
}

/// The same as [`evacuate`] before these packs are condemned, as far as it goes without more ado.
pub(super) fn copy_ahead(
    repository: &Repository,
    session: &mut Session<'_>,
    survey: &mut Survey<'_>,
    progress: &Progress,
) -> Result<Ahead> {
    let mut moves = std::mem::take(&mut survey.marks.moves);
    moves.retain(|it| !survey.marks.contested.contains(&it.id));
    let moved = run(repository, session, survey, moves, Pass::Ahead, progress)?;
    // The survey's index is this run's alone: what came since is what it wrote.
    let written = survey.reader.index.packs()?.into_iter();
    let written = written.filter(|(ordinal, _)| *ordinal as usize >= survey.fates.len());
    let packs = written.map(|(_, info)| info.listing()).collect();
    Ok(Ahead { blobs: moved.blobs, bytes: moved.bytes, packs })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// Whatever cannot be had where it was to be had is passed over.
    Ahead,
    /// Nothing may be lost.
    Last,
}

fn run(
    repository: &Repository,
    session: &mut Session<'_>,
    survey: &mut Survey<'_>,
    mut moves: Vec<Move>,
    pass: Pass,
    progress: &Progress,
) -> Result<Moved> {
    let sketches = sketches(repository, survey, &mut moves)?;
    // No pack may hold a blob twice.
    moves.sort_unstable_by_key(|it| (it.id, it.order));
    moves.dedup_by_key(|it| it.id);
    moves.sort_unstable_by_key(|it| it.order);
    let survey = &*survey;
    let going = survey.fates.iter().zip(&survey.marks.bytes);
    let total: u64 = going.filter(|(fate, _)| **fate == Fate::Goes).map(|(_, bytes)| bytes).sum();
    progress.total.fetch_add(total, Ordering::Relaxed);
    thread::scope(|scope| {
        let uploader = Uploader::start(scope, repository, None, progress);
        let index = &survey.reader.index;
        let writer = PackWriter::new(repository, index, session.id(), LEVEL, None, uploader);
        let mut evacuation = Evacuation {
            survey,
            pass,
            sketches,
            session,
            writer,
            rescued: HashSet::new(),
            moved: Moved::default(),
        };
        for kind in [BlobKind::Tree, BlobKind::Data] {
            if pass == Pass::Last {
                evacuation.resolve_doubts(kind)?;
            }
            evacuation.move_all(kind, &moves)?;
        }
        let Evacuation { writer, mut moved, .. } = evacuation;
        moved.bytes = writer.close()?.bytes_added;
        Ok(moved)
    })
}

/// The sketches of blobs that move, by where they lie.
type Sketches = HashMap<(u32, u32), Sketch>;

/// Reads from the index objects which sketches the moving blobs have: the local index finds blobs by
/// their sketches, not the other way round.
fn sketches(repository: &Repository, survey: &Survey<'_>, moves: &mut [Move]) -> Result<Sketches> {
    moves.sort_unstable_by_key(|it| (it.pack, it.row));
    let ordinals: BTreeSet<u32> = moves.iter().map(|it| it.pack).collect();
    let packs: HashMap<PackId, u32> = survey
        .packs
        .iter()
        .filter(|(ordinal, info)| ordinals.contains(ordinal) && info.kind() == BlobKind::Data)
        .map(|(ordinal, info)| (info.pack_id, *ordinal))
        .collect();
    let mut names = Vec::new();
    for id in survey.reader.index.applied()? {
        if survey.reader.index.packs_of(&id)?.iter().any(|it| ordinals.contains(it)) {
            names.push((ObjectName::Index(id), 0));
        }
    }
    let mut found = Sketches::new();
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    for (name, object) in ahead::Ahead::new(repository, names.into_iter(), limit) {
        let opened = object.and_then(|object| {
            repository.unseal::<IndexRecord>(MetadataKind::Index, &name, &object)
        });
        let record = match opened {
            Ok(opened) => opened.record,
            // Another collector replaced it. Without sketches, later deltas find less.
            Err(error) if error.is_damage() => continue,
            Err(error) => return Err(error),
        };
        for pack in &record.packs {
            let Some(ordinal) = packs.get(&pack.pack_id) else { continue };
            let from = moves.partition_point(|it| it.pack < *ordinal);
            let of_pack = moves.iter().skip(from).take_while(|it| it.pack == *ordinal);
            for it in of_pack {
                let row = it.row as usize;
                let is_it = pack.table.ids.get(row) == Some(&it.id);
                if let Some(sketch) = pack.table.sketches.get(row).filter(|_| is_it) {
                    found.insert((it.pack, it.row), *sketch);
                }
            }
        }
    }
    Ok(found)
}

struct Evacuation<'s, 'e, 'r, 'w> {
    survey: &'s Survey<'e>,
    pass: Pass,
    sketches: Sketches,
    session: &'s mut Session<'r>,
    writer: PackWriter<'w>,
    /// Blobs that were stored again.
    rescued: HashSet<BlobId>,
    moved: Moved,
}

impl<'e> Evacuation<'_, 'e, '_, '_> {
    /// Reads blobs that lose one of their places from the one they keep; one that cannot be read
    /// there is stored again.
    fn resolve_doubts(&mut self, kind: BlobKind) -> Result<()> {
        let mut checking: VecDeque<(Vec<BlobId>, PendingBlobs<'e>)> = VecDeque::new();
        let doubts = self.doubts_of(kind)?;
        let mut rest = doubts.as_slice();
        while !rest.is_empty() || !checking.is_empty() {
            if !rest.is_empty() && checking.len() < BATCHES {
                let mut bytes = 0;
                let fits = rest.iter().take(BATCH_BLOBS).take_while(|(at, _)| {
                    bytes += u64::from(at.raw_len);
                    bytes <= self.batch_bytes()
                });
                let (batch, after) = rest.split_at(fits.count().max(1));
                rest = after;
                checking.push_back(self.begin_to_check(kind, batch)?);
                continue;
            }
            let Some((ids, blobs)) = checking.pop_front() else { continue };
            let mut fetched = blobs.wait(&self.survey.reader)?;
            let unsound: Vec<BlobId> = ids.into_iter().filter(|id| !fetched.is_sound(id)).collect();
            for id in unsound {
                self.suspect(kind, &id)?;
                self.rescue(kind, &id)?;
            }
            self.session.renew_if_due()?;
            self.writer.settle_some()?;
        }
        Ok(())
    }

    /// The doubtful blobs of a kind and where each stays, from the front of packs to the back.
    fn doubts_of(&self, kind: BlobKind) -> Result<Vec<(Location, BlobId)>> {
        let of_kind = self.packs_of(kind);
        let mut ids: Vec<BlobId> = self.survey.marks.doubts.iter().copied().collect();
        ids.sort_unstable();
        let mut doubts = Vec::new();
        for ids in ids.chunks(WINDOW) {
            let places = self.survey.reader.index.locations_of(ids)?;
            for (id, places) in ids.iter().zip(places) {
                let stays = places.iter().find(|at| self.fate(at.pack) == Fate::Stays);
                doubts.extend(stays.filter(|at| of_kind.contains(&at.pack)).map(|at| (*at, *id)));
            }
        }
        doubts.sort_unstable_by_key(|(at, _)| (at.pack, at.offset));
        Ok(doubts)
    }

    fn begin_to_check(
        &self,
        kind: BlobKind,
        batch: &[(Location, BlobId)],
    ) -> Result<(Vec<BlobId>, PendingBlobs<'e>)> {
        let ids: Vec<BlobId> = batch.iter().map(|(_, id)| *id).collect();
        let mut places = HashMap::new();
        for id in &ids {
            places.extend(self.places_that_stay(id)?);
        }
        let pending = self.survey.reader.begin_at(kind, &ids, places)?;
        Ok((ids, pending))
    }

    fn packs_of(&self, kind: BlobKind) -> HashSet<u32> {
        let of_kind = self.survey.packs.iter().filter(|(_, info)| info.kind() == kind);
        of_kind.map(|(ordinal, _)| *ordinal).collect()
    }

    fn batch_bytes(&self) -> u64 {
        let is_far = self.survey.reader.repository.store.is_remote();
        if is_far { FAR_BATCH_BYTES } else { BATCH_BYTES }
    }

    /// Notes the pack that is to blame where a blob cannot be had from the place that stays.
    fn suspect(&mut self, kind: BlobKind, id: &BlobId) -> Result<()> {
        let reader = &self.survey.reader;
        // Bases before what rests on them.
        for (id, at) in self.places_that_stay(id)? {
            let places = self.places_that_stay(&id)?.into_iter().collect();
            if !reader.begin_at(kind, &[id], places)?.wait(reader)?.is_sound(&id) {
                self.moved.suspect.insert(reader.index.pack(at.pack)?.pack_id);
                return Ok(());
            }
        }
        Ok(())
    }

    fn fate(&self, ordinal: u32) -> Fate {
        self.survey.fates.get(ordinal as usize).copied().unwrap_or(Fate::Absent)
    }

    /// Places for a blob and all it rests on, in packs that stay.
    fn places_that_stay(&self, id: &BlobId) -> Result<Vec<(BlobId, Location)>> {
        let stays = |_: &Database, ordinal| self.fate(ordinal) == Fate::Stays;
        let support = self.survey.reader.index.support(&[*id], &stays)?;
        Ok(support.map_or_else(Vec::new, |support| support.places))
    }

    /// Moves blobs of one kind, in order.
    fn move_all(&mut self, kind: BlobKind, moves: &[Move]) -> Result<()> {
        let mut lane = Lane::default();
        let mut batch = Batch::default();
        let (most_bytes, of_kind) = (self.batch_bytes(), self.packs_of(kind));
        for moves in moves.chunks(WINDOW) {
            let of_kind = moves.iter().filter(|it| of_kind.contains(&it.pack));
            for (it, at) in self.locate(of_kind.copied().collect())? {
                if self.rescued.contains(&it.id) {
                    continue;
                }
                if self.survey.marks.contested.contains(&it.id) {
                    self.rescue(kind, &it.id)?;
                    continue;
                }
                batch.add(it, at);
                if batch.bytes >= most_bytes || batch.moves.len() >= BATCH_BLOBS {
                    lane.fetching.push_back(self.begin(kind, std::mem::take(&mut batch))?);
                }
                if lane.fetching.len() >= BATCHES {
                    self.open_next(kind, &mut lane)?;
                }
            }
        }
        lane.fetching.push_back(self.begin(kind, batch)?);
        while !lane.fetching.is_empty() {
            self.open_next(kind, &mut lane)?;
        }
        self.seal(kind, lane.opened)
    }

    /// Says where exactly the moving blobs lie; their order stays.
    fn locate(&self, mut moves: Vec<Move>) -> Result<Vec<(Move, Location)>> {
        moves.sort_unstable_by_key(|it| it.id);
        let ids: Vec<BlobId> = moves.iter().map(|it| it.id).collect();
        let places = self.survey.reader.index.locations_of(&ids)?;
        let mut located = Vec::with_capacity(moves.len());
        for (it, places) in moves.into_iter().zip(places) {
            let Some(at) = places.iter().find(|at| (at.pack, at.row) == (it.pack, it.row)) else {
                return Err(RepositoryError::LocalIndex("a blob changed its place".into()));
            };
            located.push((it, *at));
        }
        located.sort_unstable_by_key(|(it, _)| it.order);
        Ok(located)
    }

    fn begin(&self, kind: BlobKind, batch: Batch) -> Result<(Vec<Move>, PendingBlobs<'e>)> {
        let Batch { moves, places, .. } = batch;
        let ids: Vec<BlobId> = moves.iter().map(|it| it.id).collect();
        Ok((moves, self.survey.reader.begin_at(kind, &ids, places)?))
    }

    /// Opens the blobs of the oldest batch while those of the one before are sealed again.
    fn open_next(&mut self, kind: BlobKind, lane: &mut Lane<'e>) -> Result<()> {
        let Some((moves, blobs)) = lane.fetching.pop_front() else { return Ok(()) };
        let fetched = blobs.wait(&self.survey.reader)?;
        let ids: Vec<BlobId> = moves.iter().map(|it| it.id).collect();
        let mut payloads = Vec::new();
        let before = std::mem::take(&mut lane.opened);
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                payloads = ids.par_iter().map(|id| fetched.payload(id)).collect();
            });
            self.seal(kind, before)
        })?;
        lane.opened = moves.into_iter().zip(payloads).collect();
        Ok(())
    }

    /// Puts blobs into new packs.
    fn seal(&mut self, kind: BlobKind, opened: Vec<Opened>) -> Result<()> {
        for (it, payload) in opened {
            match payload {
                Some((at, payload)) => {
                    let sketch = self.sketches.get(&(it.pack, it.row));
                    let sketch = sketch.copied().unwrap_or(sketch::NONE);
                    self.writer.put(kind, it.id, at.raw_len as usize, &payload, sketch)?;
                    self.moved.blobs += 1;
                    let progress = self.survey.reader.progress();
                    Progress::add(&progress.bytes, u64::from(at.stored_len));
                }
                None if self.pass == Pass::Ahead => {}
                None => self.rescue(kind, &it.id)?,
            }
        }
        self.session.renew_if_due()?;
        self.writer.settle_some()
    }

    /// Stores a blob whole, from wherever it can be had. If it cannot, what may hold it must stay.
    fn rescue(&mut self, kind: BlobKind, id: &BlobId) -> Result<()> {
        if !self.rescued.insert(*id) {
            return Ok(());
        }
        let reader = &self.survey.reader;
        match reader.blob(kind, id) {
            Ok(plaintext) => {
                let payload = encode_verified(&plaintext, LEVEL);
                self.writer.put(kind, *id, plaintext.len(), &payload, sketch::NONE)?;
                self.moved.blobs += 1;
                Ok(())
            }
            Err(error) if error.is_damage() => {
                tracing::warn!("{error}; what may hold it stays");
                self.spare(id)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps the packs in which a blob, or what it may rest on, lies.
    fn spare(&mut self, id: &BlobId) -> Result<()> {
        let mut open = vec![*id];
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if seen.len() >= limits::SUPPORT || !seen.insert(id) {
                continue;
            }
            for at in self.survey.reader.index.locations(&id)? {
                if self.fate(at.pack) == Fate::Goes {
                    self.moved.damaged.insert(self.survey.reader.index.pack(at.pack)?.pack_id);
                }
                open.extend(at.encoding.bases());
            }
        }
        Ok(())
    }
}

/// A blob as it is stored, opened; without it, it cannot be had where it was to be had.
type Opened = (Move, Option<(Location, Payload)>);

/// Batches on their way from old packs to new ones.
#[derive(Default)]
struct Lane<'a> {
    fetching: VecDeque<(Vec<Move>, PendingBlobs<'a>)>,
    opened: Vec<Opened>,
}

/// Blobs that are fetched together.
#[derive(Default)]
struct Batch {
    moves: Vec<Move>,
    places: HashMap<BlobId, Location>,
    bytes: u64,
}

impl Batch {
    fn add(&mut self, it: Move, at: Location) {
        self.bytes += u64::from(at.raw_len);
        self.moves.push(it);
        self.places.insert(it.id, at);
    }
}
