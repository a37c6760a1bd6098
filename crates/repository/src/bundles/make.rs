//! Copying small objects into bundles, and small bundles into larger ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use nightjar_format::bundle::BundleKind;
use nightjar_format::limits;
use nightjar_format::object::ObjectName;
use nightjar_format::{BundleId, IndexId};

use super::plan::{Piece, fill, merge};
use super::read::{or_none, sound, table_of};
use super::{FEW, is_sound, known_to_be_bundled, list, open, remember_table, seal};
use crate::ahead::Ahead;
use crate::error::Result;
use crate::repository::{Repository, create_new};

/// Makes bundles if, by what this machine knows, enough objects stand in none. `applied` are the
/// index objects that it has read.
pub(crate) fn make(repository: &Repository, applied: &[IndexId]) -> Result<()> {
    let index = applied.iter().map(|id| ObjectName::Index(*id)).collect();
    make_of_kind(repository, BundleKind::Index, &index)?;
    let snapshots = repository.cache.snapshots().into_iter().map(ObjectName::Snapshot).collect();
    make_of_kind(repository, BundleKind::Snapshots, &snapshots)
}

/// The same of ledger records, for this slot alone. Whatever fails, what was done before stands.
pub(crate) fn make_of_records(repository: &Repository) {
    let kind = BundleKind::Ledger(repository.keychain.slot());
    let known = repository.cache.records().into_iter().collect();
    if let Err(error) = make_of_kind(repository, kind, &known) {
        tracing::debug!("no bundle of ledger records was made: {error}");
    }
}

fn make_of_kind(
    repository: &Repository,
    kind: BundleKind,
    known: &BTreeSet<ObjectName>,
) -> Result<()> {
    if known.difference(&known_to_be_bundled(repository, kind)).count() < FEW {
        return Ok(());
    }
    let mut stored = stored(repository, kind)?;
    if matches!(kind, BundleKind::Ledger(_)) {
        // The others are void: they open for nobody.
        stored.retain(|name, _| known.contains(name));
    }
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
pub(super) fn stored(
    repository: &Repository,
    kind: BundleKind,
) -> Result<BTreeMap<ObjectName, u64>> {
    let folder = match kind {
        BundleKind::Index => "index",
        BundleKind::Snapshots => "snapshots",
        BundleKind::Ledger(_) => "ledger",
    };
    let listed = repository.store.list(folder)?;
    Ok(listed.iter().filter_map(|info| Some((ObjectName::parse(&info.name)?, info.size))).collect())
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
            let Some(table) = table_of(repository, &name, size) else { continue };
            let before = bundles.copied.len();
            bundles.copied.extend(table.names().filter(|it| stored.contains_key(it)));
            if bundles.copied.len() > before {
                bundles.pieces.push(Piece { name, bytes: size });
            } else {
                // Larger ones stand for it, or nothing that it holds is there any more.
                delete(repository, &name);
            }
        }
        Ok(bundles)
    }
}

/// Deletes a bundle, if that is permitted.
fn delete(repository: &Repository, name: &ObjectName) {
    if or_none(repository.store.delete(&name.to_string()).map_err(Into::into)).is_some() {
        repository.cache.remove(name);
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
    let mut wanted = Vec::new();
    for piece in group {
        match cached_record(repository, &piece.name) {
            Some(object) => {
                copies.insert(piece.name.to_string(), (piece.name, object));
            }
            None => wanted.push((piece.name, piece.bytes)),
        }
    }
    for (name, object) in Ahead::new(repository, wanted.into_iter(), limits::BUNDLE_BYTES as u64) {
        if !matches!(name, ObjectName::Bundle(..)) {
            if let Some(object) = sound(repository, &name, object) {
                copies.insert(name.to_string(), (name, object));
            }
            continue;
        }
        let Some(object) = or_none(object) else { continue };
        let Ok(opened) = open(repository, &name, &object) else { continue };
        for (original, copy) in opened.copies {
            if stored.contains_key(&original) && is_sound(repository, &original, copy) {
                copies.insert(original.to_string(), (original, object.slice_ref(copy)));
            }
        }
        replaced.push(name);
    }
    if copies.len() < 2 {
        return Ok(());
    }
    let copies: Vec<(ObjectName, Bytes)> = copies.into_values().collect();
    let name = ObjectName::Bundle(kind, BundleId(repository.environment.random.array()));
    let object = seal(repository, &name, &copies)?;
    drop(copies);
    if let Ok(opened) = open(repository, &name, &object) {
        remember_table(repository, &name, &opened.table);
    }
    create_new(&repository.store, &name, object)?;
    replaced.iter().for_each(|name| delete(repository, name));
    Ok(())
}

/// A ledger record from the cache, where nothing is that was not in the store.
fn cached_record(repository: &Repository, name: &ObjectName) -> Option<Bytes> {
    let ObjectName::Ledger(..) = name else { return None };
    let object = repository.cache.get(name)?;
    is_sound(repository, name, &object).then(|| object.into())
}
