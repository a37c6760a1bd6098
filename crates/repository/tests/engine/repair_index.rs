//! Index objects made anew from packs.

use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::repair::index::{self, IndexPlan, IndexReport};
use nightjar_repository::{Progress, RepositoryError, snapshots};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, copy_of, names, read, write};
use nightjar_testkit::fixture::{Fixture, back_up};
use nightjar_testkit::generate::noise;
use nightjar_testkit::model::verify_all;

use crate::damage_matrix::{packs, sound};
use crate::gc::{collected, thorough};
use crate::repair::contents_of;

fn repaired(fixture: &Fixture, delete_damaged: bool) -> (IndexPlan, IndexReport) {
    let repository = fixture.open();
    let plan = index::plan(&repository).unwrap();
    let report = index::execute(&repository, &plan, delete_damaged, &Progress::default()).unwrap();
    (plan, report)
}

#[test]
fn lost_index_objects_are_made_anew_for_everybody() {
    let sound = sound();
    let fixture = sound.fixture.elsewhere().twin();
    let index = names(&fixture.store, "index");
    for lost in [&index[..1], &index] {
        lost.iter().for_each(|name| fixture.store.delete(name).unwrap());
        let before = contents_of(&fixture.store);
        let plan = index::plan(&fixture.elsewhere().open()).unwrap();
        assert!(before == contents_of(&fixture.store), "a plan changed something");
        let (again, report) = repaired(&fixture, false);
        assert_eq!(again.packs, plan.packs);
        assert_eq!((report.packs, report.left.len()), (plan.packs.len() as u64, 0));
        assert!(!report.written.is_empty() && report.blobs > 0);
        sound.model.check(&fixture.elsewhere().open(), None, "made anew");
        assert!(repaired(&fixture, true).0.packs.is_empty());
    }
    assert_eq!(names(&fixture.store, "sessions").len(), 2, "those of dead writers");
}

#[test]
fn a_damaged_index_object_stays_until_somebody_says_otherwise() {
    let sound = sound();
    for damage in [Damage::Flip(500), Damage::Halve, Damage::Empty] {
        let fixture = sound.fixture.elsewhere().twin();
        let name = names(&fixture.store, "index").remove(0);
        damage.inflict(&fixture.store, &name);
        let (plan, report) = repaired(&fixture, false);
        assert_eq!((plan.damaged.len(), plan.deletable.len()), (1, 1));
        assert!(!report.written.is_empty());
        assert_eq!(report.left[0].object, name);
        assert!(fixture.store.head(&name).unwrap().is_some());
        let (_, report) = repaired(&fixture, true);
        assert_eq!((report.deleted.len(), report.left.len()), (1, 0));
        sound.model.check(&fixture.elsewhere().open(), None, "after a deletion");
    }
}

#[test]
fn what_other_keys_may_open_is_not_deleted() {
    let fixture = Fixture::new(520);
    fixture.night(&noise(1, 300_000));
    let name = names(&fixture.store, "index").remove(0);
    let mut object = read(&fixture.store, &name);
    // Sealed under an epoch that is yet to come.
    object[5] = 9;
    write(&fixture.store, &name, object);
    let (plan, report) = repaired(&fixture, true);
    assert_eq!((plan.damaged.len(), plan.deletable.len(), report.deleted.len()), (1, 0, 0));
    assert!(fixture.store.head(&name).unwrap().is_some());
}

#[test]
fn packs_of_writers_at_work_are_left_to_them() {
    let fixture = Fixture::new(521);
    fixture.night(&noise(1, 300_000));
    let before = names(&fixture.store, "packs");
    let mut writes = 3;
    // It dies with packs in the store that no index object lists.
    while names(&fixture.store, "packs") == before {
        let faults = FaultStore::new(fixture.store.inner(), FaultPlan::stop_after_writes(writes));
        let store = Store::over(std::sync::Arc::new(faults), "memory://dying");
        let dying = fixture.at(store, fixture.world.fresh_cache());
        back_up(&dying.open(), &noise(2, 2_500_000)).unwrap_err();
        writes += 1;
    }
    let plan = index::plan(&fixture.open()).unwrap();
    assert!(!plan.busy.is_empty() && plan.packs.is_empty(), "{plan:?}");
    for name in names(&fixture.store, "sessions") {
        fixture.store.delete(&name).unwrap();
    }
    let (plan, report) = repaired(&fixture, false);
    assert!(plan.busy.is_empty() && report.packs > 0, "{plan:?}");
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
}

#[test]
fn packs_that_are_gone_for_ever_or_altered_are_not_listed() {
    let fixture = Fixture::new(522);
    let first = fixture.night(&noise(1, 900_000));
    fixture.night(&noise(2, 2_900_000));
    let old = copy_of(&fixture.store);
    snapshots::forget(&fixture.open(), &[first.id], "me", "old").unwrap();
    collected(&fixture, &thorough());
    // A late request brings a retired pack back.
    let gone: Vec<String> = names(&old, "packs")
        .into_iter()
        .filter(|name| fixture.store.head(name).unwrap().is_none())
        .collect();
    assert!(!gone.is_empty());
    gone.iter().for_each(|name| write(&fixture.store, name, read(&old, name)));
    assert!(index::plan(&fixture.open()).unwrap().packs.is_empty());
    for name in names(&fixture.store, "index") {
        fixture.store.delete(&name).unwrap();
    }
    let altered = packs(&fixture.store, 1).into_iter().find(|name| !gone.contains(name)).unwrap();
    Damage::Flip(500).inflict(&fixture.store, &altered);
    let (plan, report) = repaired(&fixture, false);
    let name = |id| ObjectName::Pack(id).to_string();
    assert!(plan.packs.keys().all(|id| !gone.contains(&name(*id))));
    assert_eq!(report.packs, plan.packs.len() as u64 - 1);
    assert_eq!(report.left.len(), 1);
    assert_eq!(report.left[0].object, altered);
}

#[test]
fn a_write_slot_may_not() {
    let fixture = Fixture::new(523);
    fixture.night(&noise(1, 300_000));
    fixture.add_slot(Role::Write, "host");
    let error = index::plan(&fixture.open_with("host").unwrap()).unwrap_err();
    assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
}
