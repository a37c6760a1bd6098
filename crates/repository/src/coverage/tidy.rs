//! Many check objects become one.
//!
//! Whoever may create objects need not be permitted to delete them. So that unions of unions do not
//! pile up there, what an earlier union stands for is deleted first; where the store refuses that,
//! nothing more is merged.

use std::collections::{BTreeSet, HashMap, HashSet};

use nightjar_format::check::CheckRecord;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{CheckId, PackId, SessionId};
use nightjar_storage::StoreError;

use super::Coverage;
use super::objects::{CheckObject, publish, read_all};
use crate::error::Result;
use crate::repository::Repository;

/// With more objects than this, they are merged.
const MOST: usize = 8;

/// Merges the objects if there are many; what is said of packs and snapshots that are not among
/// these is left out.
pub(crate) fn tidy(
    repository: &Repository,
    is_pack: impl Fn(&PackId) -> bool,
    is_snapshot: impl Fn(&SessionId) -> bool,
) -> Result<()> {
    let objects = read_all(repository)?;
    if objects.len() <= MOST {
        return Ok(());
    }
    let superseded = superseded(&objects);
    for id in &superseded {
        if !delete(repository, *id)? {
            return Ok(());
        }
    }
    // What a write slot signs counts for less: it leaves alone what says more.
    let is_full = repository.keychain.role() == Role::Full;
    let says_data = |record: &CheckRecord| record.packs.iter().any(|it| it.data.is_some());
    let may_merge = |it: &CheckObject| is_full || !it.record.as_ref().is_some_and(says_data);
    let left = objects.into_iter().filter(|it| !superseded.contains(&it.id));
    let left: Vec<CheckObject> = left.filter(may_merge).collect();
    if left.len() <= MOST {
        return Ok(());
    }
    let now = repository.environment.clock.now();
    let mut union = Coverage::default();
    left.iter().filter_map(|it| it.record.as_ref()).for_each(|record| union.add(record, now));
    for record in union.to_records(is_pack, is_snapshot) {
        publish(repository, &record)?;
    }
    // Only now: what they say is said by another.
    for it in left {
        if !delete(repository, it.id)? {
            break;
        }
    }
    Ok(())
}

/// Deletes an object; false if that is not permitted.
fn delete(repository: &Repository, id: CheckId) -> Result<bool> {
    let name = ObjectName::Check(id);
    match repository.store.delete(&name.to_string()) {
        Ok(()) => {
            repository.cache.remove(&name);
            Ok(true)
        }
        Err(StoreError::PermissionDenied { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Said {
    Packs(PackId),
    Data(PackId),
    Walked(SessionId),
}

fn said(record: &CheckRecord) -> impl Iterator<Item = (Said, i64)> + '_ {
    let packs = record.packs.iter().flat_map(|it| {
        let packs = it.packs.max(it.data).map(|at| (Said::Packs(it.pack), at));
        packs.into_iter().chain(it.data.map(|at| (Said::Data(it.pack), at)))
    });
    packs.chain(record.snapshots.iter().map(|it| (Said::Walked(it.snapshot), it.walked)))
}

/// The objects without which nothing would be missing: others, which stay, say all that they say.
fn superseded(objects: &[CheckObject]) -> BTreeSet<CheckId> {
    let mut readable: Vec<(CheckId, &CheckRecord)> =
        objects.iter().filter_map(|it| Some((it.id, it.record.as_ref()?))).collect();
    // Of two that say the same, the larger stays, everywhere the same one.
    let len = |record: &CheckRecord| record.packs.len() + record.snapshots.len();
    readable.sort_by_key(|(id, record)| (std::cmp::Reverse(len(record)), *id));
    let mut newest: HashMap<Said, (i64, CheckId)> = HashMap::new();
    for (id, record) in readable {
        for (what, at) in said(record) {
            let known = newest.entry(what).or_insert((at, id));
            if known.0 < at {
                *known = (at, id);
            }
        }
    }
    let needed: HashSet<CheckId> = newest.into_values().map(|(_, id)| id).collect();
    objects.iter().map(|it| it.id).filter(|id| !needed.contains(id)).collect()
}

#[cfg(test)]
mod tests {
    use nightjar_format::check::{PackCheck, SnapshotCheck};

    use super::*;

    fn object(
        number: u8,
        packs: &[(u8, Option<i64>, Option<i64>)],
        walked: &[(u8, i64)],
    ) -> CheckObject {
        let packs = packs.iter().map(|(pack, packs, data)| PackCheck {
            pack: PackId([*pack; 32]),
            packs: *packs,
            data: *data,
        });
        let snapshots = walked
            .iter()
            .map(|(id, walked)| SnapshotCheck { snapshot: SessionId([*id; 16]), walked: *walked });
        let record = CheckRecord { packs: packs.collect(), snapshots: snapshots.collect() };
        CheckObject { id: CheckId([number; 16]), record: Some(record) }
    }

    fn numbers(objects: &[CheckObject]) -> Vec<u8> {
        superseded(objects).iter().map(|id| id.as_bytes()[0]).collect()
    }

    #[test]
    fn what_others_say_later_or_as_well_can_go_and_of_two_alike_one_stays() {
        let union = || object(1, &[(1, None, Some(5)), (2, Some(7), Some(6))], &[(1, 3)]);
        let parts = [
            object(2, &[(1, Some(5), None)], &[]),
            object(3, &[(2, Some(7), None)], &[(1, 3)]),
            object(4, &[(2, None, Some(6))], &[]),
        ];
        let [a, b, c] = parts;
        assert_eq!(numbers(&[a, b, c, union()]), [2, 3, 4]);
        let twin = CheckObject { id: CheckId([9; 16]), ..union() };
        assert_eq!(numbers(&[twin, union()]), [9]);
    }

    #[test]
    fn what_only_one_says_keeps_it() {
        let union = object(1, &[(1, None, Some(5))], &[]);
        let later = object(2, &[(1, Some(6), None)], &[]);
        let walked = object(3, &[], &[(1, 1)]);
        let broken = CheckObject { id: CheckId([4; 16]), record: None };
        assert_eq!(numbers(&[union, later, walked, broken]), [4]);
    }
}
