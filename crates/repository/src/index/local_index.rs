//! A process's own copy of the local index, and what it may be used for.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use nightjar_codec::sketch::Sketch;
use nightjar_format::index::PackRecord;
use nightjar_format::ledger::LedgerState;
use nightjar_format::{BlobId, IndexId, PackId, SessionId};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::error::Result;
use crate::index::database::{Database, Location, PackInfo, Standing};
use crate::index::support::{Counts, ReliedOn, Search, Support};
use crate::index::sync::PrivateDirectory;

/// Blobs of which one thread looks up the places.
const LOOKED_UP_TOGETHER: usize = 4096;

/// A private copy; its directory goes when it is dropped.
pub(crate) struct LocalIndex {
    database: RwLock<Database>,
    /// Ordinals of packs that a writer must treat as absent.
    closed: HashSet<u32>,
    /// By ordinal, of those that were there at the beginning: packs that the run relied on.
    used: Vec<AtomicBool>,
    damaged: AtomicBool,
    _directory: PrivateDirectory,
}

impl LocalIndex {
    pub(crate) fn new(directory: PrivateDirectory, path: PathBuf) -> Result<Self> {
        let database = RwLock::new(Database::open(&path)?);
        Ok(Self {
            database,
            closed: HashSet::new(),
            used: Vec::new(),
            damaged: AtomicBool::new(false),
            _directory: directory,
        })
    }

    /// Obeys a ledger: its closed packs, those that no index object lists, and those that are not
    /// in the store (`sizes`, by id) count as absent for [`Self::is_present`]. Returns the last.
    pub(crate) fn close_packs(
        &mut self,
        ledger: &LedgerState,
        sizes: &HashMap<PackId, u64>,
    ) -> Result<Vec<PackId>> {
        let closed_by_ledger = ledger.closed_set();
        let mut missing = Vec::new();
        let mut closed = HashSet::new();
        let mut packs = 0;
        for pack in self.read().packs()? {
            let (ordinal, info) = pack?;
            packs = ordinal + 1;
            let is_listed = info.standing == Standing::Listed;
            let is_closed = !is_listed || closed_by_ledger.contains(&info.pack_id);
            let is_missing = sizes.get(&info.pack_id) != Some(&info.size);
            if is_closed || is_missing {
                closed.insert(ordinal);
            }
            if is_missing && !is_closed {
                missing.push(info.pack_id);
            }
        }
        self.closed = closed;
        self.used = (0..packs).map(|_| AtomicBool::new(false)).collect();
        Ok(missing)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Database> {
        // The tables stay consistent even if a thread panicked while it wrote.
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every place a blob lies at, least depth first.
    pub(crate) fn locations(&self, id: &BlobId) -> Result<Vec<Location>> {
        self.read().locations(id)
    }

    /// The same of many blobs, whose ids ascend; on all cores.
    pub(crate) fn locations_of(&self, ids: &[BlobId]) -> Result<Vec<Vec<Location>>> {
        let database = &*self.read();
        let parts = ids.par_chunks(LOOKED_UP_TOGETHER).map(|ids| database.locations_of(ids));
        Ok(parts.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Blobs in the order of their ids: at most so many that follow on one, or the first.
    pub(crate) fn blobs_after(
        &self,
        after: Option<&BlobId>,
        most: usize,
    ) -> Result<Vec<(BlobId, Vec<Location>)>> {
        self.read().blobs_after(after, most)
    }

    /// A pack by its ordinal.
    pub(crate) fn pack(&self, ordinal: u32) -> Result<PackInfo> {
        self.read().pack(ordinal)
    }

    /// Every pack.
    pub(crate) fn packs(&self) -> Result<Vec<(u32, PackInfo)>> {
        self.read().packs()?.collect()
    }

    /// The index objects that it was filled from.
    pub(crate) fn applied(&self) -> Result<Vec<IndexId>> {
        self.read().applied()
    }

    /// The packs that one of them lists, by ordinal.
    pub(crate) fn packs_of(&self, id: &IndexId) -> Result<Vec<u32>> {
        Ok(self.read().packs_of(id)?.unwrap_or_default())
    }

    /// Whether a writer may rely on a pack.
    pub(crate) fn is_open(&self, ordinal: u32) -> bool {
        !self.closed.contains(&ordinal)
    }

    /// Whether a writer may reuse the blob: it and every base of it lie in open packs.
    ///
    /// Where the tables are damaged the answer is no: the blob is stored again, and a backup does
    /// not fail for a cache.
    pub(crate) fn is_present(&self, id: &BlobId) -> bool {
        let support = self.support(&[*id], &|_, ordinal| self.is_open(ordinal));
        let Some(support) = self.tolerate(support).flatten() else {
            return false;
        };
        self.note_used(&support);
        true
    }

    /// What deltas against these blobs would rest on, if a writer may rely on it and `readable`
    /// says that it can read the packs.
    pub(crate) fn support_of_bases(
        &self,
        ids: &[BlobId],
        readable: impl Fn(&Database, u32) -> bool,
    ) -> Option<Support> {
        let relied_on =
            |database: &Database, ordinal| self.is_open(ordinal) && readable(database, ordinal);
        let support = self.support(ids, &relied_on);
        self.tolerate(support).flatten()
    }

    /// What blobs rest on together, in packs that may be relied on.
    pub(crate) fn support(
        &self,
        ids: &[BlobId],
        relied_on: ReliedOn<'_>,
    ) -> Result<Option<Support>> {
        self.support_where(ids, &|database, _, ordinal| relied_on(database, ordinal))
    }

    /// What blobs rest on together, at places that count.
    pub(crate) fn support_where(
        &self,
        ids: &[BlobId],
        counts: Counts<'_>,
    ) -> Result<Option<Support>> {
        let database = self.read();
        let mut search = Search::new(&database, counts);
        for id in ids {
            if !search.find(id)? {
                return Ok(None);
            }
        }
        Ok(search.support(ids))
    }

    /// Places for blobs and all they rest on, as far as there are any.
    pub(crate) fn places(&self, ids: &[BlobId]) -> Result<HashMap<BlobId, Location>> {
        let database = self.read();
        let mut search = Search::new(&database, &|_, _, _| true);
        for id in ids {
            search.find(id)?;
        }
        Ok(search.found)
    }

    /// Notes that the run relied on what a blob rests on.
    fn note_used(&self, support: &Support) {
        for (_, at) in &support.places {
            if let Some(used) = self.used.get(at.pack as usize) {
                used.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Blobs that are likely to be similar, the likeliest first; none of them need be usable.
    pub(crate) fn similar(&self, sketch: &Sketch) -> Vec<BlobId> {
        self.tolerate(self.read().similar(sketch)).unwrap_or_default()
    }

    fn tolerate<T>(&self, outcome: Result<T>) -> Option<T> {
        outcome
            .inspect_err(|error| {
                if !self.damaged.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{error}; what it does not tell is stored again");
                }
            })
            .ok()
    }

    /// Whether the tables turned out to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The packs that were there at the beginning and that the run relied on.
    pub(crate) fn used_packs(&self) -> Result<HashSet<PackId>> {
        let used = |ordinal: u32| self.used.get(ordinal as usize);
        let mut ids = HashSet::new();
        for (ordinal, info) in self.packs()? {
            if used(ordinal).is_some_and(|used| used.load(Ordering::Relaxed)) {
                ids.insert(info.pack_id);
            }
        }
        Ok(ids)
    }

    /// Adds a pack that this process wrote.
    pub(crate) fn add_own_pack(&self, pack: &PackRecord, session: SessionId) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        database.add_pack(pack, session, Standing::Listed).map(|_| ())
    }
}
