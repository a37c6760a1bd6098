//! What is noted on this machine of a replica of some series: which packs its snapshots need.
//!
//! A file in the cache, one object's name in each line, below the hash of the lines. It may be deleted at
//! any time; where it is not whole, there is none, for a pack that it lacks would not be copied.

use std::collections::BTreeSet;

use nightjar_codec::digest;
use nightjar_format::ids::to_hex;
use nightjar_format::ledger::LedgerState;
use nightjar_format::object::ObjectName;
use nightjar_format::{PackId, SessionId};
use nightjar_storage::Store;

use super::plan::Listing;
use crate::cache::address;
use crate::repository::Repository;

/// Snapshots, and packs that hold all that these need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) snapshots: BTreeSet<SessionId>,
    pub(super) packs: BTreeSet<PackId>,
}

impl Needs {
    /// What was noted of a target, if it was.
    pub(super) fn read(repository: &Repository, target: &Store) -> Option<Self> {
        Self::from_text(&String::from_utf8(repository.cache.read_file(&file(target))?).ok()?)
    }

    /// Notes it.
    pub(super) fn write(&self, repository: &Repository, target: &Store) {
        repository.cache.write_file(&file(target), self.to_text().as_bytes());
    }

    /// Whether it is still so, and of this replica: each snapshot that exists is in it, and no pack is
    /// retired, recorded as damaged, or in neither store.
    pub(super) fn hold(&self, ledger: &LedgerState, here: &Listing, there: &Listing) -> bool {
        let is_copied = |id: &SessionId| {
            let name = ObjectName::Snapshot(*id);
            here.get(&name).is_none() || there.get(&name).is_some()
        };
        self.snapshots.iter().all(is_copied)
            && self.packs.iter().all(|id| {
                let name = ObjectName::Pack(*id);
                let is_out = ledger.retired.contains(id) || ledger.damaged.contains(id);
                !is_out && (here.get(&name).is_some() || there.get(&name).is_some())
            })
    }

    fn to_text(&self) -> String {
        let snapshots = self.snapshots.iter().map(|id| ObjectName::Snapshot(*id));
        let names = snapshots.chain(self.packs.iter().map(|id| ObjectName::Pack(*id)));
        let names: String = names.map(|name| format!("{name}\n")).collect();
        format!("{}\n{names}", hash(&names))
    }

    fn from_text(text: &str) -> Option<Self> {
        let (hashed, names) = text.split_once('\n')?;
        if hashed != hash(names) {
            return None;
        }
        let mut needs = Self::default();
        for name in names.lines() {
            match ObjectName::parse(name)? {
                ObjectName::Snapshot(id) => needs.snapshots.insert(id),
                ObjectName::Pack(id) => needs.packs.insert(id),
                _ => return None,
            };
        }
        Some(needs)
    }
}

fn hash(names: &str) -> String {
    to_hex(&digest::hash(names.as_bytes()).0)
}

fn file(target: &Store) -> String {
    format!("replica-{}", address(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_broke_off_is_none() {
        let packs = (0..3).map(|byte| PackId([byte; 32])).collect();
        let needs = Needs { snapshots: BTreeSet::from([SessionId([7; 16])]), packs };
        let text = needs.to_text();
        assert_eq!(Needs::from_text(&text), Some(needs));
        for len in 0..text.len() {
            assert_eq!(Needs::from_text(&text[..len]), None, "{len} bytes");
        }
    }
}
