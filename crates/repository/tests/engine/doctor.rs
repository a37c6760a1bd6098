//! What an examination finds that no real server or clock shows on demand.

use std::sync::Arc;

use nightjar_format::SessionId;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::session::SessionRecord;
use nightjar_repository::doctor::{Check, State, repository, store};
use nightjar_storage::Store;
use nightjar_storage::faults::CarelessStore;
use nightjar_testkit::damage::names;
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, passphrase};
use nightjar_testkit::insider::Insider;

fn examine(fixture: &Fixture) -> Vec<Check> {
    let environment = fixture.world.environment(&fixture.cache);
    let found = store::examine(&fixture.store, &environment);
    let (seen, unlock) = (found.honours_conditions, passphrase(PASSPHRASE));
    let inside = repository::examine(&fixture.store, &environment, Some(&unlock), seen);
    [found.checks, inside].concat()
}

fn state(checks: &[Check], name: &str) -> State {
    checks.iter().find(|check| check.name == name).unwrap().state
}

#[test]
fn a_writer_that_is_silent_for_a_day_seems_to_have_died() {
    let fixture = Fixture::new(81);
    let insider = Insider::first(&fixture);
    let now = fixture.world.environment(&fixture.cache).clock.now();
    let session = SessionRecord {
        session: SessionId([7; 16]),
        host: "db1".into(),
        process: 1,
        started: now,
        renewed: now,
        renewals: 0,
        noted: None,
    };
    insider.write(MetadataKind::Session, &ObjectName::Session(session.session), &session);
    assert_eq!(state(&examine(&fixture), "sessions"), State::Ok);
    fixture.world.sleep_until_next_night();
    fixture.world.sleep_until_next_night();
    let checks = examine(&fixture);
    let check = checks.iter().find(|check| check.name == "sessions").unwrap();
    assert_eq!(check.state, State::Warning);
    assert!(check.found.contains("db1"), "{}", check.found);
}

#[test]
fn a_store_that_begins_to_ignore_conditions_is_a_failure() {
    let fixture = Fixture::new(82);
    assert_eq!(state(&examine(&fixture), "recorded"), State::Ok);
    let below = CarelessStore::new(fixture.store.inner());
    let careless = Store::over(Arc::new(below), "memory://careless");
    let checks = examine(&fixture.at(careless, fixture.cache.clone()));
    assert_eq!(state(&checks, "conditions"), State::Warning);
    assert_eq!(state(&checks, "recorded"), State::Failed);
    assert!(names(&fixture.store, "probe").is_empty());
}
