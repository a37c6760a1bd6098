//! A process's own copy of the local index, and what it may be used for.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use nightjar_format::blob::Encoding;
use nightjar_format::index::PackRecord;
use nightjar_format::ledger::LedgerState;
use nightjar_format::{BlobId, PackId, SessionId, limits};

use crate::error::Result;
use crate::index::database::{Database, Location, PackInfo};
use crate::index::sync::PrivateDirectory;

/// A private copy; its directory goes when it is dropped.
pub(crate) struct LocalIndex {
    database: RwLock<Database>,
    /// Ordinals of packs that a writer must treat as absent.
    closed: HashSet<u32>,
    damaged: AtomicBool,
    _directory: PrivateDirectory,
}

impl LocalIndex {
    pub(crate) fn new(directory: PrivateDirectory, path: PathBuf) -> Result<Self> {
        let database = RwLock::new(Database::open(&path)?);
        Ok(Self {
            database,
            closed: HashSet::new(),
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
        for pack in self.read().packs()? {
            let (ordinal, info) = pack?;
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
        self.is_present_within(id, limits::CHAIN_DEPTH).unwrap_or_else(|error| {
            if !self.damaged.swap(true, Ordering::Relaxed) {
                tracing::warn!("{error}; what it does not tell is stored again");
            }
            false
        })
    }

    /// Whether the tables turned out to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    fn is_present_within(&self, id: &BlobId, steps: u8) -> Result<bool> {
        let open = |location: &Location| !self.closed.contains(&location.pack);
        let Some(location) = self.locations(id)?.into_iter().find(open) else {
            return Ok(false);
        };
        match location.encoding() {
            Encoding::Raw | Encoding::Zstd => Ok(true),
            Encoding::Delta { .. } if steps == 0 => Ok(false),
            Encoding::Delta { base, .. } => self.is_present_within(&base, steps - 1),
        }
    }

    /// Adds a pack that this process wrote.
    pub(crate) fn add_own_pack(&self, pack: &PackRecord, session: SessionId) -> Result<()> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        database.add_pack(pack, session, true).map(|_| ())
    }
}
