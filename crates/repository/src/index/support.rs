//! What a blob rests on: itself and all bases below it (format-spec, chapter 3).
//!
//! A blob may be stored in several places, and some of them may be of no use: their pack is
//! closed, or a base below them is lost. So a place counts only if each of its bases has a place
//! of smaller depth that counts; of those that do, the one of least depth is taken. The depths
//! that places claim bound the search: each step goes to a smaller one.

use std::collections::{HashMap, HashSet};

use nightjar_format::blob::Bases;
use nightjar_format::{BlobId, limits};

use crate::error::Result;
use crate::index::database::{Database, Location};

/// The places at which blobs and all they rest on can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Support {
    /// Each blob once, bases before what is made against them.
    pub(crate) places: Vec<(BlobId, Location)>,
    /// Deltas down to a whole blob, on the longest way.
    pub(crate) depth: u8,
    /// What those that are deltas take in packs.
    pub(crate) delta_bytes: u64,
    /// What those that are whole take.
    pub(crate) whole_bytes: u64,
}

impl Support {
    /// Those that are whole, unless they are too many to be the bases of one delta.
    pub(crate) fn whole(&self) -> Option<Bases> {
        let whole = self.places.iter().filter(|(_, at)| at.encoding.depth() == 0);
        Bases::new(&whole.map(|(id, _)| *id).collect::<Vec<_>>())
    }

    fn add(&mut self, id: BlobId, at: Location) {
        let (depth, bytes) = (at.encoding.depth(), u64::from(at.stored_len));
        self.depth = self.depth.max(depth);
        if depth > 0 {
            self.delta_bytes += bytes;
        } else {
            self.whole_bytes += bytes;
        }
        self.places.push((id, at));
    }
}

/// Says of a pack's ordinal whether its blobs count. The tables are locked meanwhile: it asks the
/// ones it is handed, never the local index.
pub(crate) type ReliedOn<'a> = &'a dyn Fn(&Database, u32) -> bool;

/// The same of one blob in a pack.
pub(crate) type Counts<'a> = &'a dyn Fn(&Database, &BlobId, u32) -> bool;

/// Looks for places in packs that may be relied on.
pub(crate) struct Search<'a> {
    database: &'a Database,
    counts: Counts<'a>,
    /// The place of least depth that counts, of each blob that has one.
    pub(crate) found: HashMap<BlobId, Location>,
    /// Blobs that have none below this depth.
    without: HashMap<BlobId, u8>,
    lookups: usize,
}

/// Look-ups that one blob may cost: whoever publishes a tangle must not make others hang.
const LOOKUPS: usize = 4 * limits::SUPPORT;

impl<'a> Search<'a> {
    /// Searches tables that the caller has locked.
    pub(crate) fn new(database: &'a Database, counts: Counts<'a>) -> Self {
        Self { database, counts, found: HashMap::new(), without: HashMap::new(), lookups: 0 }
    }

    /// Finds a place for a blob and for all it rests on; whether there is one.
    pub(crate) fn find(&mut self, id: &BlobId) -> Result<bool> {
        self.lookups = 0;
        self.find_below(id, u8::MAX)
    }

    fn find_below(&mut self, id: &BlobId, below: u8) -> Result<bool> {
        if let Some(at) = self.found.get(id) {
            return Ok(at.encoding.depth() < below);
        }
        if self.lookups == LOOKUPS || self.without.get(id).is_some_and(|depth| *depth >= below) {
            return Ok(false);
        }
        self.lookups += 1;
        for at in self.database.locations(id)? {
            let depth = at.encoding.depth();
            if depth < below
                && (self.counts)(self.database, id, at.pack)
                && self.find_bases(&at, depth)?
            {
                self.found.insert(*id, at);
                return Ok(true);
            }
        }
        // What was cut short proves nothing.
        if self.lookups < LOOKUPS {
            self.without.insert(*id, below);
        }
        Ok(false)
    }

    fn find_bases(&mut self, at: &Location, depth: u8) -> Result<bool> {
        for base in at.encoding.bases() {
            if !self.find_below(base, depth)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What blobs that were found rest on together; `None` if that is more than may be.
    pub(crate) fn support(&self, ids: &[BlobId]) -> Option<Support> {
        let mut support = Support::default();
        let mut seen = HashSet::new();
        ids.iter().try_for_each(|id| self.add(id, &mut seen, &mut support))?;
        Some(support)
    }

    fn add(&self, id: &BlobId, seen: &mut HashSet<BlobId>, support: &mut Support) -> Option<()> {
        if !seen.insert(*id) {
            return Some(());
        }
        if seen.len() > limits::SUPPORT {
            return None;
        }
        let at = *self.found.get(id)?;
        at.encoding.bases().iter().try_for_each(|base| self.add(base, seen, support))?;
        support.add(*id, at);
        Some(())
    }
}
