//! The repository that every schedule begins with: made once, copied for each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use nightjar_format::slot::Role;
use nightjar_format::{SessionId, SlotId};
use nightjar_repository::Repository;
use nightjar_storage::{InMemory, Store};

use crate::environment::World;
use crate::fixture::{Fixture, PASSPHRASE, parameters, passphrase, request};
use crate::generate::dump;

/// The series that stand in it.
pub(super) const SERIES: [&str; 2] = ["orders", "users"];
/// The passphrases of its slots: two full ones, and one that may only write.
pub(super) const FULL: [&str; 2] = [PASSPHRASE, "another full slot"];
pub(super) const WRITER: &str = "a write slot";

/// The repository, the cache directory of the machine that made it, and what it holds.
pub(super) struct Base {
    pub(super) memory: InMemory,
    pub(super) cache: PathBuf,
    /// What the engine calls its directory below that.
    pub(super) directory: String,
    pub(super) snapshots: BTreeMap<SessionId, Arc<Vec<u8>>>,
    pub(super) newest: BTreeMap<String, Arc<Vec<u8>>>,
    pub(super) slots: BTreeMap<String, SlotId>,
    /// Keeps the cache directory.
    _world: World,
}

impl Base {
    pub(super) fn new() -> Self {
        let memory = Arc::new(InMemory::new());
        let store = Store::over(memory.clone(), "memory://simulation");
        let world = World::new(0);
        let cache = world.fresh_cache();
        let environment = world.environment(&cache);
        let unlock = passphrase(PASSPHRASE);
        let created =
            Repository::create(store.clone(), &parameters(), &unlock, "first", environment);
        let created = created.unwrap();
        let (first, directory) = (created.keychain().slot(), created.id().to_string());
        drop(created);
        let fixture = Fixture { store, world: world.clone(), cache: cache.clone() };
        let mut slots = BTreeMap::from([(PASSPHRASE.to_owned(), first)]);
        for (role, text) in [(Role::Full, FULL[1]), (Role::Write, WRITER)] {
            slots.insert(text.to_owned(), fixture.add_slot(role, text));
        }
        let mut snapshots = BTreeMap::new();
        let mut newest = BTreeMap::new();
        for (seed, series) in (1..).zip(SERIES) {
            let bytes = Arc::new(dump(seed, 120_000));
            let info = fixture.night_as(&request(series), &bytes);
            snapshots.insert(info.id, Arc::clone(&bytes));
            newest.insert(series.to_owned(), bytes);
        }
        drop(fixture);
        let memory = memory.fork();
        Self { memory, cache, directory, snapshots, newest, slots, _world: world }
    }
}
