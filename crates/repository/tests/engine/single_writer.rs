//! A store that ignores conditions: what is there is looked for first, and nothing is overwritten.

use std::sync::Arc;

use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Register;
use nightjar_repository::ingest::create_snapshot;
use nightjar_repository::{Progress, Repository, RepositoryError, snapshots};
use nightjar_storage::faults::CarelessStore;
use nightjar_storage::{Created, Store};
use nightjar_testkit::damage::{names, read};
use nightjar_testkit::environment::World;
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, parameters, passphrase, request, restore};
use nightjar_testkit::generate::noise;
use nightjar_testkit::insider::Insider;
use nightjar_testkit::model::verify_all;

/// A new repository in a store that ignores conditions.
fn careless(seed: u64) -> Fixture {
    let world = World::new(seed);
    let below = CarelessStore::new(Store::memory().inner());
    let store = Store::over(Arc::new(below), "memory://careless");
    let fixture = Fixture { store, cache: world.fresh_cache(), world };
    let environment = fixture.world.environment(&fixture.cache);
    let unlock = passphrase(PASSPHRASE);
    Repository::create(fixture.store.clone(), &parameters(), &unlock, "first", environment)
        .unwrap();
    fixture
}

#[test]
fn nothing_that_is_there_is_overwritten_by_a_creation() {
    let fixture = careless(71);
    let bytes = noise(1, 2 << 20);
    let info = fixture.night(&bytes);
    fixture.add_slot(Role::Write, "a host");
    let repository = fixture.open();
    assert!(!repository.record().conditional_create);
    for name in names(&fixture.store, "") {
        let before = read(&fixture.store, &name);
        let created = repository.store().create(&name, "another".into()).unwrap();
        assert_eq!(created, Created::Exists, "{name}");
        assert!(read(&fixture.store, &name) == before, "{name} was overwritten");
    }
    assert!(restore(&repository, &info).unwrap() == bytes);
    assert_eq!(verify_all(&repository).unwrap().findings, []);
    snapshots::forget(&repository, &[info.id], "me", "why").unwrap();
    let list = snapshots::list(&fixture.elsewhere().open()).unwrap();
    assert!(list.snapshots.is_empty() && list.findings.is_empty(), "{list:?}");
}

#[test]
fn a_second_repository_is_not_made_over_the_first() {
    let fixture = careless(72);
    let again = Repository::create(
        fixture.store.clone(),
        &parameters(),
        &passphrase("another"),
        "second",
        fixture.world.environment(&fixture.cache),
    );
    assert!(matches!(again.err(), Some(RepositoryError::AlreadyThere { .. })));
    fixture.try_open().unwrap();
}

#[test]
fn a_fence_stands_and_the_fenced_run_fails() {
    let fixture = careless(73);
    let insider = Insider::first(&fixture);
    let mut fenced = None;
    let run = create_snapshot(
        &fixture.open(),
        &request("dump"),
        &Progress::default(),
        |_| -> Result<_, RepositoryError> {
            let session = names(&fixture.store, "sessions").pop().unwrap();
            let Some(ObjectName::Session(id)) = ObjectName::parse(&session) else { panic!() };
            let name = ObjectName::Snapshot(id);
            let fence = Register::Fence { reason: "taken for dead".into() };
            insider.write(MetadataKind::Snapshot, &name, &fence);
            fenced = Some((name.to_string(), read(&fixture.store, &name.to_string())));
            Ok(nightjar_repository::ingest::Fed {
                source: nightjar_format::snapshot::Source::Stdin { name: "x".into(), tar: false },
                unreadable: 0,
            })
        },
    );
    assert!(matches!(run, Err(RepositoryError::Fenced { .. })), "{run:?}");
    let (name, fence) = fenced.unwrap();
    assert!(read(&fixture.store, &name) == fence);
}
