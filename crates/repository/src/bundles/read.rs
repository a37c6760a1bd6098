//! Reading objects from the bundles that hold copies of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use nightjar_format::bundle::{self, BundleKind, BundleTable};
use nightjar_format::limits;
use nightjar_format::object::ObjectName;
use nightjar_format::record;
use nightjar_storage::StoreError;

use super::{FEW, known_table, list, remember_table};
use crate::ahead::Ahead;
use crate::error::{RepositoryError, Result};
use crate::repository::Repository;

/// Gives `take` a copy of each of these objects that bundles hold, until it accepts one; returns
/// those it accepted none of. `cold`: most of what bundles hold is wanted, so that they are
/// fetched without asking first what they hold.
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
    let mut useful = Vec::new();
    for (id, size) in list(repository, kind)? {
        let name = ObjectName::Bundle(kind, id);
        if cold || is_useful(repository, &name, size, &wanted)? {
            useful.push((name, size));
        }
    }
    // The newest last: it holds what no older one does.
    for (name, object) in Ahead::new(repository, useful.into_iter(), limits::BUNDLE_BYTES as u64) {
        let Some(object) = given(&name, object)? else { continue };
        let (table, copies) = match bundle::from_object(&object) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!("{name} is of no use: {error}");
                continue;
            }
        };
        remember_table(repository, &name, &table);
        for (original, copy) in copies {
            if wanted.contains(&original) && take(&original, copy)? {
                wanted.remove(&original);
            }
        }
    }
    Ok(wanted)
}

/// Fetches into the cache what it lacks of these snapshots and ledger records, given with their
/// sizes. What cannot be had is left to whoever needs it.
pub(crate) fn fill_cache(
    repository: &Repository,
    objects: impl Iterator<Item = (ObjectName, u64)>,
) -> Result<()> {
    let (mut lacking, mut cached) = (Vec::new(), 0);
    for (name, size) in objects {
        if repository.cache.has(&name) {
            cached += 1;
        } else {
            lacking.push((name, size));
        }
    }
    let names = lacking.iter().map(|(name, _)| *name).collect();
    let cold = cached < lacking.len();
    let rest = take_copies(repository, BundleKind::Records, names, cold, |name, copy| {
        repository.cache.put(name, copy);
        Ok(true)
    })?;
    let rest = lacking.into_iter().filter(|(name, _)| rest.contains(name));
    for (name, object) in Ahead::new(repository, rest, limits::METADATA_OBJECT_BYTES as u64) {
        if let Some(object) = given(&name, object)? {
            repository.cache.put(&name, &object);
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
) -> Result<bool> {
    let table = table_of(repository, name, size)?;
    let holds = table.map_or(0, |table| table.names().filter(|it| wanted.contains(it)).count());
    Ok(holds >= FEW)
}

/// The table of a bundle, if it can be had.
pub(super) fn table_of(
    repository: &Repository,
    name: &ObjectName,
    size: u64,
) -> Result<Option<BundleTable>> {
    /// The tables of most bundles end before this.
    const BEGINNING: u64 = 64 << 10;
    if let Some(table) = known_table(repository, name) {
        return Ok(Some(table));
    }
    let read = |end: u64| {
        let range = 0..end.min(size);
        given(name, repository.store.get_range(&name.to_string(), range).map_err(Into::into))
    };
    let Some(mut bytes) = read(BEGINNING)? else { return Ok(None) };
    let Ok(len) = BundleTable::encoded_len(&bytes) else { return Ok(None) };
    let end = BundleTable::PREFIX_LEN + len;
    if bytes.len() < end {
        match read(end as u64)? {
            Some(longer) => bytes = longer,
            None => return Ok(None),
        }
    }
    let encoded = bytes.get(BundleTable::PREFIX_LEN..end).unwrap_or_default();
    let table = record::decode::<BundleTable>(encoded).ok();
    if let Some(table) = &table {
        remember_table(repository, name, table);
    }
    Ok(table)
}

/// An object that was fetched; nothing where it cannot be had for a reason of its own.
pub(super) fn given(name: &ObjectName, object: Result<Bytes>) -> Result<Option<Bytes>> {
    match object {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is_damage() => {
            tracing::debug!("{name}: {error}");
            Ok(None)
        }
        Err(RepositoryError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
