//! How far a replica is behind.

use nightjar_format::object::ObjectName;
use nightjar_storage::Store;

use super::plan::{Kind, Listing};
use super::{Amount, Source, changed, list_source, look_at_target};
use crate::error::Result;
use crate::found::fetch_repository_object;

/// What a replica lacks. Told by listings, so without a key unless some series alone count: the fence
/// of a dead session counts as a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lag {
    /// Whether there is a replica that can be restored from.
    pub is_usable: bool,
    /// Snapshots that it lacks.
    pub snapshots: u64,
    /// Snapshots that it has.
    pub has_snapshots: u64,
    /// Everything that it lacks.
    pub missing: Amount,
    /// What it has and the source no longer: forgotten or collected there.
    pub only_there: Amount,
    /// When the oldest snapshot that it lacks was made, in Unix nanoseconds by the source's store:
    /// what came since would be lost with the source.
    pub since: Option<i64>,
    /// When the newest snapshot that it has was made, likewise.
    pub newest: Option<i64>,
}

/// Compares the replica in `target` with its source.
pub fn lag(source: Source<'_>, target: &Store) -> Result<Lag> {
    let (_, object) = fetch_repository_object(source.store())?;
    let there = look_at_target(&object, target)?.unwrap_or_default();
    let all = list_source(source)?;
    let mut here = all.clone();
    let chosen = source.choose(&mut here, &there, target)?.ok_or_else(changed)?;
    for name in chosen.left_out.iter().filter_map(|it| ObjectName::parse(&it.object)) {
        // It cannot be copied, and is missing all the same.
        here.add(&all, &name);
    }
    Ok(compare(&all, &here, &there))
}

/// `here` is what the replica is to have of `all`.
fn compare(all: &Listing, here: &Listing, there: &Listing) -> Lag {
    let mut lag = Lag {
        is_usable: there.get(&ObjectName::Repository).is_some(),
        has_snapshots: there.objects(Kind::Snapshots).count() as u64,
        ..Lag::default()
    };
    for kind in Kind::ALL {
        for (_, size) in here.missing_in(there, kind) {
            lag.missing.add(size);
        }
        for (_, info) in there.objects(kind).filter(|(name, _)| all.get(name).is_none()) {
            lag.only_there.add(info.size);
        }
    }
    for (name, info) in here.objects(Kind::Snapshots) {
        let made = info.modified_unix_nanos;
        if there.get(name).is_some() {
            lag.newest = lag.newest.max(Some(made));
        } else {
            lag.snapshots += 1;
            lag.since = Some(lag.since.map_or(made, |since| since.min(made)));
        }
    }
    lag
}

#[cfg(test)]
mod tests {
    use nightjar_storage::ObjectInfo;

    use super::*;

    fn listing(snapshots: &[(u8, i64)]) -> Listing {
        let info = |(id, modified): &(u8, i64)| ObjectInfo {
            name: format!("snapshots/{}", nightjar_format::ids::to_hex(&[*id; 16])),
            size: 10,
            modified_unix_nanos: *modified,
        };
        Listing::from(snapshots.iter().map(info).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_missing_counts_from_the_oldest_snapshot_that_is() {
        let here = listing(&[(1, 100), (2, 200), (3, 300)]);
        let lag = compare(&here, &here, &listing(&[(1, 900), (9, 1)]));
        assert_eq!((lag.snapshots, lag.has_snapshots), (2, 2));
        assert_eq!((lag.since, lag.newest), (Some(200), Some(100)));
        assert_eq!(lag.missing, Amount { objects: 2, bytes: 20 });
        assert_eq!(lag.only_there, Amount { objects: 1, bytes: 10 });
    }

    #[test]
    fn what_was_not_chosen_is_neither_missing_nor_only_there() {
        let all = listing(&[(1, 100), (2, 200), (3, 300)]);
        let lag = compare(&all, &listing(&[(1, 100), (2, 200)]), &listing(&[(1, 100), (3, 300)]));
        assert_eq!((lag.snapshots, lag.since, lag.only_there.objects), (1, Some(200), 0));
    }

    #[test]
    fn nothing_is_missing_in_a_copy() {
        let here = listing(&[(1, 100)]);
        let lag = compare(&here, &here, &here);
        assert_eq!((lag.snapshots, lag.since), (0, None));
        assert_eq!(lag.missing, Amount::default());
    }
}
