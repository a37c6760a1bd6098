//! A rewriter is killed after any of its writes: nothing is lost, and whoever comes next makes no
//! second copy and ends it.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_repository::{Result, snapshots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::fixture::Fixture;

use crate::rewrite::{ERASURE, entries, home, leaves_out_anna, rewrite_all, stored};

fn run_on(fixture: &Fixture, plan: FaultPlan) -> (Arc<FaultStore>, Result<()>) {
    let faults = Arc::new(FaultStore::new(fixture.store.inner(), plan));
    let store = Store::over(faults.clone(), "memory://faulty");
    let repository = fixture.at(store, fixture.cache.clone()).open();
    let outcome = rewrite_all(&repository, &leaves_out_anna, Some(ERASURE)).map(drop);
    (faults, outcome)
}

#[test]
fn a_rewriter_that_is_killed_anywhere_loses_nothing_and_the_next_goes_on() {
    let fixture = Fixture::new(321);
    let old = [1, 2].map(|night| stored(&fixture, &home(night)));
    let whole = old.each_ref().map(|info| entries(&fixture.open(), info.snapshot.root).unwrap());
    let rest = whole.clone().map(|mut entries| {
        entries.retain(|path, _| path != "anna" && !path.starts_with("anna/"));
        entries
    });
    let (faults, outcome) = run_on(&fixture.twin(), FaultPlan::record());
    outcome.unwrap();
    let writes = faults.log().len() as u64;
    assert!(writes >= 14, "{writes}");
    let (mut cut_short, mut found) = (0, 0);
    for number in 0..writes {
        for plan in
            [FaultPlan::stop_after_writes(number), FaultPlan::stop_after_writes_torn(number)]
        {
            let when = format!("after {number} of {writes} writes: {plan:?}");
            let left = fixture.twin();
            cut_short += usize::from(run_on(&left, plan).1.is_err());
            // Each night is there, whole or without what had to go.
            let list = snapshots::list(&left.elsewhere().open()).unwrap();
            let originals = list.snapshots.iter().filter(|it| it.snapshot.original.is_none());
            let originals: BTreeSet<_> = originals.map(|it| it.id).collect();
            assert!(originals.is_empty() || originals.len() == 2, "{when}");
            for (night, info) in old.iter().enumerate() {
                let of_night = list.snapshots.iter().filter(|it| {
                    it.id == info.id || it.snapshot.original.is_some_and(|of| of.id == info.id)
                });
                let mut versions = 0;
                for version in of_night {
                    versions += 1;
                    let expected = if version.id == info.id { &whole } else { &rest };
                    let there = entries(&left.elsewhere().open(), version.snapshot.root).unwrap();
                    assert_eq!(there.keys().count(), expected[night].keys().count(), "{when}");
                    let same = there.iter().all(|(path, (_, it))| *it == expected[night][path].1);
                    assert!(same, "{when}");
                }
                assert!(versions > 0, "{when}: night {night} is lost");
            }

            let (_, made) = rewrite_all(&left.open(), &leaves_out_anna, Some(ERASURE)).unwrap();
            found += made.iter().filter(|it| it.was_there).count();
            let list = snapshots::list(&left.elsewhere().open()).unwrap();
            assert_eq!((list.snapshots.len(), list.findings.len()), (2, 0), "{when}");
            for (info, rest) in list.snapshots.iter().zip(&rest) {
                assert!(info.snapshot.original.is_some(), "{when}");
                let there = entries(&left.elsewhere().open(), info.snapshot.root).unwrap();
                assert!(there.keys().eq(rest.keys()), "{when}");
            }
        }
    }
    assert!(cut_short as u64 + 8 >= 2 * writes, "{cut_short} of {writes}");
    assert!(found > 4, "no copy was found again: {found}");
}
