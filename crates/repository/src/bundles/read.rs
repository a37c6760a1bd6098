//! Reading objects from the bundles that hold copies of them.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use bytes::Bytes;
use nightjar_format::bundle::{BundleKind, BundleTable};
use nightjar_format::limits;
use nightjar_format::object::ObjectName;
use nightjar_format::record;

use super::{FEW, is_sound, known_table, list, open, remember_table};
use crate::ahead::Ahead;
use crate::error::Result;
use crate::repository::Repository;

/// Gives `take` a copy of each of these objects that bundles hold, until it accepts one; returns
/// those it accepted none of. `cold`: most of what bundles hold is wanted, so that they are
/// fetched without asking first what they hold.
///
/// Whatever fails here fails again, and is told, when the objects themselves are fetched.
pub(crate) fn take_copies(
    repository: &Repository,
    kind: BundleKind,
    mut wanted: BTreeSet<ObjectName>,
    cold: bool,
    mut take: impl FnMut(&ObjectName, &[u8]) -> Result<bool>,
) -> Result<BTreeSet<ObjectName>> {
    if wanted.len() < FEW {
        return Ok(wanted);
    }
    let mut useful: Vec<(ObjectName, u64)> = Vec::new();
    for (id, size) in or_none(list(repository, kind)).unwrap_or_default() {
        let name = ObjectName::Bundle(kind, id);
        if cold || is_useful(repository, &name, size, &wanted) {
            useful.push((name, size));
        }
    }
    // Small ones may be left over, and larger ones stand for them.
    useful.sort_by_key(|(_, size)| Reverse(*size));
    for (name, object) in Ahead::new(repository, useful.into_iter(), limits::BUNDLE_BYTES as u64) {
        let Some(object) = or_none(object) else { continue };
        let opened = match open(repository, &name, &object) {
            Ok(opened) => opened,
            Err(why) => {
                tracing::warn!("{name} is of no use: {why}");
                continue;
            }
        };
        remember_table(repository, &name, &opened.table);
        for (original, copy) in opened.copies {
            if wanted.contains(&original) && take(&original, copy)? {
                wanted.remove(&original);
            }
        }
        if wanted.len() < FEW {
            break;
        }
    }
    Ok(wanted)
}

/// Fetches into the cache what it lacks of these snapshots, given with their sizes. What cannot be
/// had, or is not sound, is left to whoever needs it.
pub(crate) fn fill_cache(
    repository: &Repository,
    snapshots: impl Iterator<Item = (ObjectName, u64)>,
) -> Result<()> {
    let (cached, lacking): (Vec<_>, Vec<_>) =
        snapshots.partition(|(name, _)| repository.cache.has(name));
    let names = lacking.iter().map(|(name, _)| *name).collect();
    let cold = cached.len() < lacking.len();
    let keep = |name: &ObjectName, object: &[u8]| {
        let is_sound = is_sound(repository, name, object);
        if is_sound {
            repository.cache.put(name, object);
        }
        is_sound
    };
    let take = |name: &ObjectName, copy: &[u8]| Ok(keep(name, copy));
    let rest = take_copies(repository, BundleKind::Snapshots, names, cold, take)?;
    let rest = lacking.into_iter().filter(|(name, _)| rest.contains(name));
    for (name, object) in Ahead::new(repository, rest, limits::METADATA_OBJECT_BYTES as u64) {
        match object {
            Ok(object) => {
                keep(&name, &object);
            }
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether a bundle holds enough of what is wanted to be fetched.
fn is_useful(
    repository: &Repository,
    name: &ObjectName,
    size: u64,
    wanted: &BTreeSet<ObjectName>,
) -> bool {
    let table = table_of(repository, name, size);
    table.is_some_and(|table| table.names().filter(|it| wanted.contains(it)).count() >= FEW)
}

/// The table of a bundle, if it can be had. It only says what to fetch.
pub(super) fn table_of(
    repository: &Repository,
    name: &ObjectName,
    size: u64,
) -> Option<BundleTable> {
    /// The tables of most bundles end before this.
    const BEGINNING: u64 = 64 << 10;
    if let Some(table) = known_table(repository, name) {
        return Some(table);
    }
    let read = |end: u64| {
        let read = repository.store.get_range(&name.to_string(), 0..end.min(size));
        or_none(read.map_err(Into::into))
    };
    let mut bytes = read(BEGINNING)?;
    let end = BundleTable::PREFIX_LEN + BundleTable::encoded_len(&bytes).ok()?;
    if bytes.len() < end {
        bytes = read(end as u64)?;
    }
    let table = record::decode(bytes.get(BundleTable::PREFIX_LEN..end)?).ok()?;
    remember_table(repository, name, &table);
    Some(table)
}

/// Nothing where something failed.
pub(super) fn or_none<T>(outcome: Result<T>) -> Option<T> {
    outcome.inspect_err(|error| tracing::debug!("doing without a bundle: {error}")).ok()
}

/// An object that was fetched to be copied; nothing where it is damaged or gone.
pub(super) fn sound(
    repository: &Repository,
    name: &ObjectName,
    object: Result<Bytes>,
) -> Option<Bytes> {
    or_none(object).filter(|object| is_sound(repository, name, object))
}
