//! The packs that index objects list, and which of them are in the store.

use std::collections::{BTreeSet, HashMap};

use nightjar_format::PackId;
use nightjar_format::blob::BlobKind;

use crate::error::Result;
use crate::index::LocalIndex;

/// A pack as index objects list it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pack {
    pub(super) id: PackId,
    pub(super) kind: BlobKind,
    /// Bytes that it should have.
    pub(super) size: u64,
    /// Bytes that it has in the store; none if it is not there.
    pub(super) stored: Option<u64>,
}

impl Pack {
    /// What its object is lacking, as far as a listing tells.
    pub(super) fn problem(&self) -> Option<String> {
        match self.stored {
            None => Some("it is missing from the store".to_owned()),
            Some(stored) if stored != self.size => {
                Some(format!("it has {stored} bytes, the index says {}", self.size))
            }
            Some(_) => None,
        }
    }
}

/// All of them, by ordinal.
#[derive(Debug)]
pub(super) struct Listed {
    packs: Vec<Option<Pack>>,
}

impl Listed {
    /// Puts together what the index lists and what is in the store.
    pub(super) fn new(index: &LocalIndex, sizes: &HashMap<PackId, u64>) -> Result<Self> {
        let mut packs = Vec::new();
        for (ordinal, info) in index.packs()? {
            let place = ordinal as usize;
            if packs.len() <= place {
                packs.resize(place + 1, None);
            }
            let stored = sizes.get(&info.pack_id).copied();
            let pack = Pack { id: info.pack_id, kind: info.kind(), size: info.size, stored };
            if let Some(slot) = packs.get_mut(place) {
                *slot = Some(pack);
            }
        }
        Ok(Self { packs })
    }

    pub(super) fn get(&self, ordinal: u32) -> Option<&Pack> {
        self.packs.get(ordinal as usize)?.as_ref()
    }

    /// Every pack, with its ordinal.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Pack)> {
        (0..).zip(&self.packs).filter_map(|(ordinal, pack)| Some((ordinal, pack.as_ref()?)))
    }

    /// How often each of these packs is listed.
    pub(super) fn times_listed(&self, packs: &BTreeSet<PackId>) -> HashMap<PackId, usize> {
        let mut times = HashMap::new();
        for (_, pack) in self.all().filter(|(_, pack)| packs.contains(&pack.id)) {
            *times.entry(pack.id).or_default() += 1;
        }
        times
    }

    /// Whether it is in the store, with the size that it should have.
    pub(super) fn is_whole(&self, ordinal: u32) -> bool {
        self.get(ordinal).is_some_and(|pack| pack.stored == Some(pack.size))
    }
}
