//! A process's own copy of the local index, and what it may be used for.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use nightjar_codec::sketch::Sketch;
use nightjar_format::blob::Bases;
use nightjar_format::index::PackRecord;
use nightjar_format::ledger::LedgerState;
use nightjar_format::{BlobId, PackId, SessionId, limits};

use crate::error::Result;
use crate::index::database::{Database, Location, PackInfo};
use crate::index::sync::PrivateDirectory;

/// What blobs rest on: themselves and all bases below them, each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Support {
    /// Deltas down to a whole blob, on the longest way.
    pub(crate) depth: u8,
    /// How many blobs they are.
    pub(crate) blobs: usize,
    /// What those that are deltas take in packs.
    pub(crate) delta_bytes: u64,
    /// What those that are whole take.
    pub(crate) whole_bytes: u64,
    /// Those that are whole, unless they are too many to be the bases of one delta.
    pub(crate) whole: Option<Bases>,
}

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
            let is_closed = !info.published || closed_by_ledger.contains(&info.pack_id);
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

    /// A pack by its ordinal.
    pub(crate) fn pack(&self, ordinal: u32) -> Result<PackInfo> {
        self.read().pack(ordinal)
    }

    /// Every pack.
    pub(crate) fn packs(&self) -> Result<Vec<(u32, PackInfo)>> {
        self.read().packs()?.collect()
    }

    /// Whether a writer may reuse the blob: it and every base of it lie in open packs.
    ///
    /// Where the tables are damaged the answer is no: the blob is stored again, and a backup does
    /// not fail for a cache.
    pub(crate) fn is_present(&self, id: &BlobId) -> bool {
        self.support(&[*id]).is_some()
    }

    /// What blobs rest on together, if a writer may rely on them: see [`Self::is_present`].
    pub(crate) fn support(&self, ids: &[BlobId]) -> Option<Support> {
        self.tolerate(self.try_support(ids)).flatten()
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

    fn try_support(&self, ids: &[BlobId]) -> Result<Option<Support>> {
        let mut support = Support::default();
        let mut seen: HashMap<BlobId, u8> = HashMap::new();
        let mut packs = Vec::new();
        let mut whole = Vec::new();
        let mut open: Vec<(BlobId, u8)> = ids.iter().rev().map(|id| (*id, u8::MAX)).collect();
        while let Some((id, above)) = open.pop() {
            // Each step goes to a smaller depth, or it could go on for ever.
            if let Some(depth) = seen.get(&id) {
                if *depth >= above {
                    return Ok(None);
                }
                continue;
            }
            let is_open = |at: &Location| !self.closed.contains(&at.pack);
            let Some(at) = self.locations(&id)?.into_iter().find(is_open) else {
                return Ok(None);
            };
            let depth = at.encoding.depth();
            if depth >= above || seen.len() > limits::SUPPORT {
                return Ok(None);
            }
            support.depth = support.depth.max(depth);
            if depth > 0 {
                support.delta_bytes += u64::from(at.stored_len);
            } else {
                support.whole_bytes += u64::from(at.stored_len);
                whole.push(id);
            }
            // The last is looked at first: so the whole ones come in the order of the stream.
            open.extend(at.encoding.bases().iter().rev().map(|base| (*base, depth)));
            seen.insert(id, depth);
            packs.push(at.pack);
        }
        for used in packs.iter().filter_map(|pack| self.used.get(*pack as usize)) {
            used.store(true, Ordering::Relaxed);
        }
        support.blobs = seen.len();
        support.whole = Bases::new(&whole);
        Ok(Some(support))
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
        database.add_pack(pack, session, true).map(|_| ())
    }
}
