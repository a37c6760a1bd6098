//! Copying small objects into bundles, and small bundles into larger ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use nightjar_format::bundle::{self, BundleKind};
use nightjar_format::limits;
use nightjar_format::object::ObjectName;
use nightjar_format::{BundleId, IndexId};

use super::plan::{Piece, fill, merge};
use super::read::{given, table_of};
use super::{FEW, known_to_be_bundled, list, remember_table};
use crate::ahead::Ahead;
use crate::error::Result;
use crate::repository::{Repository, create_new};

/// Makes bundles if, by what this machine knows, enough objects stand in none. `applied` are the
/// index objects that it has read.
pub(crate) fn make(repository: &Repository, applied: &[IndexId]) -> Result<()> {
    let index = applied.iter().map(|id| ObjectName::Index(*id)).collect();
    make_of_kind(repository, BundleKind::Index, &index)?;
    let records = repository.cache.snapshots().into_iter().map(ObjectName::Snapshot).collect();
    make_of_kind(repository, BundleKind::Records, &records)
}

fn make_of_kind(
    repository: &Repository,
    kind: BundleKind,
    known: &BTreeSet<ObjectName>,
) -> Result<()> {
    if known.difference(&known_to_be_bundled(repository, kind)).count() < FEW {
        return Ok(());
    }
    let stored = stored(repository, kind)?;
    let bundles = Bundles::look(repository, kind, &stored)?;
    let loose = stored.iter().filter(|(name, _)| !bundles.copied.contains(name));
    let loose: Vec<Piece> =
        loose.map(|(name, bytes)| Piece { name: *name, bytes: *bytes }).collect();
    let mut groups = merge(bundles.pieces);
    if loose.len() >= FEW {
        groups.extend(fill(loose));
    }
    groups.iter().try_for_each(|group| copy_together(repository, kind, group, &stored))
}

/// The objects that bundles of a kind hold copies of, as far as they are there, with their sizes.
fn stored(repository: &Repository, kind: BundleKind) -> Result<BTreeMap<ObjectName, u64>> {
    let folders: &[&str] = match kind {
        BundleKind::Index => &["index"],
        BundleKind::Records => &["snapshots", "ledger"],
    };
    let mut stored = BTreeMap::new();
    for folder in folders {
        for info in repository.store.list(folder)? {
            if let Some(name) = ObjectName::parse(&info.name) {
                stored.insert(name, info.size);
            }
        }
    }
    Ok(stored)
}

/// The bundles that are there.
struct Bundles {
    pieces: Vec<Piece>,
    /// Objects that one of them holds.
    copied: BTreeSet<ObjectName>,
}

impl Bundles {
    fn look(
        repository: &Repository,
        kind: BundleKind,
        stored: &BTreeMap<ObjectName, u64>,
    ) -> Result<Self> {
        let mut listed = list(repository, kind)?;
        forget_gone(repository, kind, &listed);
        listed.sort_by_key(|(_, size)| Reverse(*size));
        let mut bundles = Self { pieces: Vec::new(), copied: BTreeSet::new() };
        for (id, size) in listed {
            let name = ObjectName::Bundle(kind, id);
            let Some(table) = table_of(repository, &name, size)? else { continue };
            let before = bundles.copied.len();
            bundles.copied.extend(table.names().filter(|it| stored.contains_key(it)));
            // One that larger ones stand for is left over: whoever made those could not delete it.
            if bundles.copied.len() > before {
                bundles.pieces.push(Piece { name, bytes: size });
            }
        }
        Ok(bundles)
    }
}

/// Forgets what bundles held that are gone.
fn forget_gone(repository: &Repository, kind: BundleKind, listed: &[(BundleId, u64)]) {
    let there: BTreeSet<BundleId> = listed.iter().map(|(id, _)| *id).collect();
    for id in repository.cache.bundles(kind) {
        if !there.contains(&id) {
            repository.cache.remove(&ObjectName::Bundle(kind, id));
        }
    }
}

/// Copies everything in a group into one bundle, then deletes the bundles that it stands for.
fn copy_together(
    repository: &Repository,
    kind: BundleKind,
    group: &[Piece],
    stored: &BTreeMap<ObjectName, u64>,
) -> Result<()> {
    let mut copies: BTreeMap<String, (ObjectName, Bytes)> = BTreeMap::new();
    let mut replaced = Vec::new();
    let wanted = group.iter().map(|piece| (piece.name, piece.bytes));
    for (name, object) in Ahead::new(repository, wanted, limits::BUNDLE_BYTES as u64) {
        let Some(object) = given(&name, object)? else { continue };
        if !matches!(name, ObjectName::Bundle(..)) {
            copies.insert(name.to_string(), (name, object));
            continue;
        }
        let Ok((_, held)) = bundle::from_object(&object) else { continue };
        for (original, copy) in held.into_iter().filter(|(it, _)| stored.contains_key(it)) {
            copies.insert(original.to_string(), (original, object.slice_ref(copy)));
        }
        replaced.push(name);
    }
    if copies.len() < 2 {
        return Ok(());
    }
    let copies: Vec<(ObjectName, Bytes)> = copies.into_values().collect();
    let object = bundle::to_object(&copies);
    drop(copies);
    let name = ObjectName::Bundle(kind, BundleId(repository.environment.random.array()));
    if let Ok((table, _)) = bundle::from_object(&object) {
        remember_table(repository, &name, &table);
    }
    create_new(&repository.store, &name, object)?;
    for name in replaced {
        repository.store.delete(&name.to_string())?;
        repository.cache.remove(&name);
    }
    Ok(())
}
