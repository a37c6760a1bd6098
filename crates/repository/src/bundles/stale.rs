//! Bundles that had better go: anybody may delete any, for what they copy can be fetched.

use std::collections::BTreeSet;

use nightjar_codec::metadata::Trust;
use nightjar_format::bundle::BundleKind;
use nightjar_format::object::ObjectName;

use super::list;
use super::make::stored;
use super::read::table_of;
use crate::error::Result;
use crate::repository::Repository;

/// The bundles most of whose objects are gone; with `any`, those that copy so much as one, and those
/// that cannot be read. Ledger records never go, so of their bundles those of slots without access.
pub(crate) fn stale(repository: &Repository, any: bool) -> Result<BTreeSet<ObjectName>> {
    let mut stale = of_removed_slots(repository)?;
    for kind in [BundleKind::Index, BundleKind::Snapshots] {
        let bundles = list(repository, kind)?;
        if bundles.is_empty() {
            continue;
        }
        let stored = stored(repository, kind)?;
        for (id, size) in bundles {
            let name = ObjectName::Bundle(kind, id);
            let is_stale = match table_of(repository, &name, size) {
                Some(table) => {
                    let (all, gone) = table.names().fold((0, 0), |(all, gone), copied| {
                        (all + 1, gone + u64::from(!stored.contains_key(&copied)))
                    });
                    2 * gone > all || (any && gone > 0)
                }
                None => any,
            };
            if is_stale {
                stale.insert(name);
            }
        }
    }
    Ok(stale)
}

fn of_removed_slots(repository: &Repository) -> Result<BTreeSet<ObjectName>> {
    let keychain = &repository.keychain;
    let listed = repository.store.list("bundles/ledger")?;
    let names = listed.iter().filter_map(|info| ObjectName::parse(&info.name));
    Ok(names
        .filter(|name| match name {
            ObjectName::Bundle(BundleKind::Ledger(slot), _) => {
                keychain.member(keychain.epoch(), *slot).is_none()
            }
            _ => false,
        })
        .collect())
}
