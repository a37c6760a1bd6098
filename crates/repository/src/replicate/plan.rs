//! What is to be copied: one listing compared with another.

use std::collections::BTreeMap;

use nightjar_format::object::ObjectName;
use nightjar_storage::{ObjectInfo, Store};

use crate::error::Result;

/// The kinds of objects that are copied, in the order in which they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Keyrings.
    Keyring,
    /// Slots.
    Slots,
    /// Packs.
    Packs,
    /// Index objects.
    Index,
    /// Ledger records.
    Ledger,
    /// Registers: snapshots and fences.
    Snapshots,
    /// Bundles.
    Bundles,
    /// The `repository` object, which makes a repository of all the others.
    Repository,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Keyring,
        Self::Slots,
        Self::Packs,
        Self::Index,
        Self::Ledger,
        Self::Snapshots,
        Self::Bundles,
        Self::Repository,
    ];

    /// The folder they lie in, or the object's own name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Keyring => "keyring",
            Self::Packs => "packs",
            Self::Index => "index",
            Self::Snapshots => "snapshots",
            Self::Ledger => "ledger",
            Self::Bundles => "bundles",
            Self::Repository => "repository",
        }
    }

    /// The kind of an object; none if it is not copied.
    fn of(name: &ObjectName) -> Option<Self> {
        match name {
            ObjectName::Repository => Some(Self::Repository),
            ObjectName::Slot(_) => Some(Self::Slots),
            ObjectName::Keyring(..) => Some(Self::Keyring),
            ObjectName::Pack(_) => Some(Self::Packs),
            ObjectName::Index(_) => Some(Self::Index),
            ObjectName::Snapshot(_) => Some(Self::Snapshots),
            ObjectName::Ledger(..) => Some(Self::Ledger),
            ObjectName::Bundle(..) => Some(Self::Bundles),
            ObjectName::Session(_) | ObjectName::Replica | ObjectName::Check(_) => None,
        }
    }
}

/// Objects as a store lists them, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Listing {
    objects: BTreeMap<ObjectName, ObjectInfo>,
}

impl Listing {
    /// One kind.
    pub(super) fn of(store: &Store, kind: Kind) -> Result<Self> {
        match kind {
            Kind::Repository => Ok(Self::from(Vec::from_iter(store.head(kind.name())?))),
            kind => Ok(Self::from(store.list(kind.name())?)),
        }
    }

    /// Objects of one kind, by name.
    pub(super) fn objects(&self, kind: Kind) -> impl Iterator<Item = (&ObjectName, &ObjectInfo)> {
        self.objects.iter().filter(move |(name, _)| Kind::of(name) == Some(kind))
    }

    /// The object of a name.
    pub(super) fn get(&self, name: &ObjectName) -> Option<&ObjectInfo> {
        self.objects.get(name)
    }

    /// Leaves out what is not to be copied.
    pub(super) fn retain(&mut self, keep: impl Fn(&ObjectName) -> bool) {
        self.objects.retain(|name, _| keep(name));
    }

    /// Adds what another listing shows.
    pub(super) fn extend(&mut self, other: Self) {
        self.objects.extend(other.objects);
    }

    /// Adds one object that another listing shows.
    pub(super) fn add(&mut self, other: &Self, name: &ObjectName) {
        if let Some(info) = other.get(name) {
            self.objects.insert(*name, info.clone());
        }
    }

    /// The names.
    pub(super) fn names(&self) -> impl Iterator<Item = &ObjectName> {
        self.objects.keys()
    }

    /// Those objects of `kind` that `target` lacks, or has with another size.
    pub(super) fn missing_in(&self, target: &Self, kind: Kind) -> Vec<(ObjectName, u64)> {
        let is_missing = |(name, info): &(&ObjectName, &ObjectInfo)| {
            target.get(name).is_none_or(|there| there.size != info.size)
        };
        let missing = self.objects(kind).filter(is_missing);
        missing.map(|(name, info)| (*name, info.size)).collect()
    }

    /// Whether `target` has everything.
    pub(super) fn is_in(&self, target: &Self) -> bool {
        Kind::ALL.into_iter().all(|kind| self.missing_in(target, kind).is_empty())
    }
}

impl From<Vec<ObjectInfo>> for Listing {
    fn from(infos: Vec<ObjectInfo>) -> Self {
        let named = infos.into_iter().filter_map(|info| {
            let name = ObjectName::parse(&info.name)?;
            Kind::of(&name).map(|_| (name, info))
        });
        Self { objects: named.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(objects: &[(&str, u64)]) -> Listing {
        let info = |(name, size): &(&str, u64)| ObjectInfo {
            name: (*name).to_owned(),
            size: *size,
            modified_unix_nanos: 0,
        };
        Listing::from(objects.iter().map(info).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_missing_or_has_another_size_is_copied() {
        let a = format!("index/{}", "0a".repeat(16));
        let b = format!("index/{}", "0b".repeat(16));
        let c = format!("snapshots/{}", "0c".repeat(16));
        let source = listing(&[(&a, 1), (&b, 2), (&c, 3)]);
        let target = listing(&[(&a, 1), (&b, 1)]);
        let names = |kind| {
            let missing = source.missing_in(&target, kind).into_iter();
            missing.map(|(name, size)| (name.to_string(), size)).collect::<Vec<_>>()
        };
        assert_eq!(names(Kind::Index), [(b, 2)]);
        assert_eq!(names(Kind::Snapshots), [(c, 3)]);
        assert!(!source.is_in(&target));
        assert!(source.is_in(&source));
    }

    #[test]
    fn sessions_probes_and_the_mark_of_a_replica_are_not_copied() {
        let session = format!("sessions/{}", "0a".repeat(16));
        let source = listing(&[(&session, 1), ("probe/1", 1), ("ledger/replica", 1), ("x", 1)]);
        assert_eq!(source, Listing::default());
    }
}
