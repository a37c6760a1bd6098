//! The store fills up: the run says so, loses nothing, and the next one succeeds.

use std::sync::Arc;

use nightjar_repository::RepositoryError;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_storage::{Store, StoreError};
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::noise;
use nightjar_testkit::model::Model;

#[test]
fn a_full_store_is_named_and_loses_nothing() {
    let fixture = Fixture::new(21);
    let (first, second) = (noise(1, 3 << 20), noise(2, 3 << 20));
    let mut model = Model::default();
    model.insert(&fixture.night(&first), &first);
    for room in [0, 100, 1_000, 5_000, 1 << 20, 2 << 20, (3 << 20) + 20_000] {
        let plan = FaultPlan::no_space_after_bytes(room);
        let faults = Arc::new(FaultStore::new(fixture.store.inner(), plan));
        let full = fixture.at(Store::over(faults, "memory://full"), fixture.cache.clone());
        let error = back_up(&full.open(), &second).unwrap_err();
        assert!(
            matches!(error, RepositoryError::Store(StoreError::NoSpace { .. })),
            "room for {room} bytes: {error:?}"
        );
        let message = error.to_string();
        assert!(message.contains("no space is left"), "{message}");
        for fixture in [fixture.clone(), fixture.elsewhere()] {
            assert!(!model.check(&fixture.open(), None, &format!("room for {room} bytes")));
        }
    }
    let info = fixture.night(&second);
    model.insert(&info, &second);
    model.check(&fixture.open(), None, "with room again");
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == second);
}
