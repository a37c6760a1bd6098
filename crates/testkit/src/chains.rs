//! The chains of deltas in a repository, as its index objects tell them: what tests hold the
//! engine's choices to, worked out without the engine.

use std::collections::{BTreeMap, HashMap};

use nightjar_codec::metadata;
use nightjar_format::blob::{BlobEntry, BlobKind};
use nightjar_format::index::IndexRecord;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::pack::PackHeader;
use nightjar_format::{BlobId, PackId};
use nightjar_repository::Repository;

use crate::damage;

/// One blob in one pack.
#[derive(Debug, Clone, Copy)]
pub struct Stored {
    /// The pack.
    pub pack: PackId,
    /// What the pack holds.
    pub kind: BlobKind,
    /// The row of its table.
    pub entry: BlobEntry,
}

/// A blob and all that it rests on.
#[derive(Debug, Clone, Default)]
pub struct Support {
    /// Each of them, in its place of least depth.
    pub blobs: HashMap<BlobId, Stored>,
    /// Those that are nowhere.
    pub missing: Vec<BlobId>,
}

/// Every blob that index objects list.
#[derive(Debug, Clone, Default)]
pub struct Chains {
    stored: BTreeMap<[u8; 32], Vec<Stored>>,
}

impl Chains {
    /// Reads all index objects.
    pub fn of(repository: &Repository) -> Self {
        let mut chains = Self::default();
        for object in damage::names(repository.store(), "index") {
            let name = ObjectName::parse(&object).unwrap();
            let bytes = damage::read(repository.store(), &object);
            let kind = MetadataKind::Index;
            let opened =
                metadata::open::<IndexRecord>(repository.keychain(), kind, &name, &bytes).unwrap();
            for pack in opened.record.packs {
                let kind = pack.blob_kind();
                for entry in pack.table.entries(PackHeader::blobs_offset(kind)) {
                    let stored = Stored { pack: pack.pack_id, kind, entry };
                    chains.stored.entry(entry.id.0).or_default().push(stored);
                }
            }
        }
        for places in chains.stored.values_mut() {
            places.sort_by_key(|stored| stored.entry.encoding.depth());
        }
        chains
    }

    /// Every place of a blob, the one of least depth first.
    pub fn places(&self, id: &BlobId) -> &[Stored] {
        self.stored.get(&id.0).map_or(&[], Vec::as_slice)
    }

    /// Everything that is stored.
    pub fn all(&self) -> impl Iterator<Item = &Stored> {
        self.stored.values().flatten()
    }

    /// Everything that is stored as a delta.
    pub fn deltas(&self) -> impl Iterator<Item = &Stored> {
        self.all().filter(|stored| stored.entry.encoding.depth() > 0)
    }

    /// What blobs rest on together, themselves included.
    pub fn support(&self, ids: &[BlobId]) -> Support {
        let mut support = Support::default();
        let mut open = ids.to_vec();
        while let Some(id) = open.pop() {
            match self.places(&id).first() {
                _ if support.blobs.contains_key(&id) => {}
                None => support.missing.push(id),
                Some(stored) => {
                    support.blobs.insert(id, *stored);
                    open.extend(stored.entry.encoding.bases());
                }
            }
        }
        support
    }
}

impl Support {
    /// What those take in packs that are whole, or those that are deltas.
    pub fn stored_bytes(&self, whole: bool) -> u64 {
        let fits = |stored: &&Stored| (stored.entry.encoding.depth() == 0) == whole;
        self.blobs.values().filter(fits).map(|stored| u64::from(stored.entry.stored_len)).sum()
    }
}
