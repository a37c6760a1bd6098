//! Bundles: copies of small objects, so that a machine without a cache gets many with one request
//! (format-spec, chapter 12).
//!
//! A repository gains an index object and a snapshot with every run. A machine that has seen the
//! last runs fetches the few that are new; one that begins without a cache (a CI runner, a
//! CronJob) would need a request for each of thousands. So a writer now and then copies small
//! objects into a bundle, and small bundles into larger ones: [`plan`] decides, [`make`] does.
//! Each object is copied a few times in its life, as in a log-structured merge tree (O'Neil et
//! al., 1996), and a machine without a cache reads a few dozen bundles.
//!
//! *A bundle decides nothing.* A copy stands for the object only while the store lists the object
//! itself, and it is opened and its signature checked under the object's own name, like every
//! cached object. So bundles can be made by any slot, lost, damaged or deleted at any moment:
//! what one does not give is fetched from where it is. Checks of the repository never look at
//! them. The newest ledger record is always read from the store, for the records before it follow
//! from the digests that each names of its predecessor.

mod make;
mod plan;
mod read;

pub(crate) use make::make;
pub(crate) use read::{fill_cache, take_copies};

use std::collections::BTreeSet;

use nightjar_format::BundleId;
use nightjar_format::bundle::{BundleKind, BundleTable};
use nightjar_format::object::ObjectName;
use nightjar_format::record;

use crate::error::Result;
use crate::repository::Repository;

/// With fewer objects than this to fetch, or to copy, bundles are not worth a request.
const FEW: usize = 8;

/// The bundles of one kind in the store, with their sizes, the oldest first.
fn list(repository: &Repository, kind: BundleKind) -> Result<Vec<(BundleId, u64)>> {
    let mut found: Vec<_> = repository
        .store
        .list(kind.folder())?
        .iter()
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Bundle(_, id)) => Some((info.modified_unix_nanos, id, info.size)),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, id, size)| (id, size)).collect())
}

/// The table of a bundle, if this machine has seen it.
fn known_table(repository: &Repository, name: &ObjectName) -> Option<BundleTable> {
    record::decode(&repository.cache.get(name)?).ok()
}

fn remember_table(repository: &Repository, name: &ObjectName, table: &BundleTable) {
    repository.cache.put(name, &record::encode(table));
}

/// What this machine knows to be in bundles.
fn known_to_be_bundled(repository: &Repository, kind: BundleKind) -> BTreeSet<ObjectName> {
    let known = repository.cache.bundles(kind).into_iter();
    let tables = known.filter_map(|id| known_table(repository, &ObjectName::Bundle(kind, id)));
    tables.flat_map(|table| table.names().collect::<Vec<_>>()).collect()
}
