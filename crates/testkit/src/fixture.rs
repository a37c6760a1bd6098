//! A small repository in memory.

use std::io::Read;
use std::path::{Path, PathBuf};

use nightjar_codec::slot::{Protection, Unlock};
use nightjar_format::SlotId;
use nightjar_format::manifest::{Entry, EntryKind, FileContent, Timestamp};
use nightjar_format::repository::ChunkerParameters;
use nightjar_format::slot::{Argon2Parameters, Role};
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{DeltaParameters, Fed, SnapshotRequest, create_snapshot};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{NewRepository, Progress, Repository, RepositoryError, slots};
use nightjar_storage::{Store, StoreSettings, StoreUrl};
use zeroize::Zeroizing;

use crate::damage;
use crate::environment::World;

/// The name of the file that [`back_up`] stores.
pub const FILE: &str = "dump.sql";
/// The passphrase of the first slot.
pub const PASSPHRASE: &str = "correct horse battery staple";

/// A repository, the world it lives in and a cache directory that sees every command.
#[derive(Clone)]
pub struct Fixture {
    /// Where its objects lie.
    pub store: Store,
    /// Clock, random numbers, caches.
    pub world: World,
    /// The cache directory of [`Fixture::open`].
    pub cache: PathBuf,
}

/// Small packs, so that little data makes several.
pub fn parameters() -> NewRepository {
    NewRepository {
        chunker: ChunkerParameters { min: 4 << 10, average: 16 << 10, max: 64 << 10 },
        pack_target_bytes: 1 << 20,
        argon2: cheap(),
    }
}

/// Argon2 at its least: what it costs is not what these tests are about.
pub fn cheap() -> Argon2Parameters {
    Argon2Parameters { memory_kib: 8, passes: 1, lanes: 1 }
}

/// A passphrase, as a slot is opened with it.
pub fn passphrase(text: &str) -> Unlock {
    Unlock::Passphrase(Zeroizing::new(text.as_bytes().to_vec()))
}

impl Fixture {
    /// A new repository with one full slot, opened by [`PASSPHRASE`].
    pub fn new(seed: u64) -> Self {
        Self::with(seed, &parameters())
    }

    /// The same with other parameters.
    pub fn with(seed: u64, new: &NewRepository) -> Self {
        let world = World::new(seed);
        Self { store: Store::memory(), cache: world.fresh_cache(), world }.created(new)
    }

    /// The same in any store that is empty, with any cache directory.
    pub fn in_store(seed: u64, store: Store, cache: PathBuf) -> Self {
        Self { store, cache, world: World::new(seed) }.created(&parameters())
    }

    fn created(self, new: &NewRepository) -> Self {
        let unlock = passphrase(PASSPHRASE);
        let environment = self.world.environment(&self.cache);
        Repository::create(self.store.clone(), new, &unlock, "first", environment).unwrap();
        self
    }

    /// A repository that lies in a directory; somebody else made it.
    pub fn on_disk(directory: &Path, seed: u64) -> Self {
        let world = World::new(seed);
        let url = StoreUrl::parse(directory.to_str().unwrap(), Path::new("/")).unwrap();
        let store = Store::open(&url, &StoreSettings::default()).unwrap();
        Self { store, cache: world.fresh_cache(), world }
    }

    /// The same repository in another store, with another cache directory.
    pub fn at(&self, store: Store, cache: PathBuf) -> Self {
        Self { store, cache, world: self.world.clone() }
    }

    /// The same repository, seen by a machine that has never seen it.
    pub fn elsewhere(&self) -> Self {
        self.at(self.store.clone(), self.world.fresh_cache())
    }

    /// The same repository and cache directory, its store as if it were far away.
    pub fn remote(&self) -> Self {
        self.at(Store::over(self.store.inner(), "s3://test"), self.cache.clone())
    }

    /// A copy of it that goes its own way: store and cache directory.
    pub fn twin(&self) -> Self {
        self.at(damage::copy_of(&self.store), self.world.copy_of_cache(&self.cache))
    }

    /// Opens it with the first slot.
    pub fn open(&self) -> Repository {
        self.try_open().unwrap()
    }

    /// Opens it with the first slot, if that is possible.
    pub fn try_open(&self) -> Result<Repository, RepositoryError> {
        self.open_with(PASSPHRASE)
    }

    /// Opens it with the slot of a passphrase.
    pub fn open_with(&self, text: &str) -> Result<Repository, RepositoryError> {
        open(&self.store, &self.world, &self.cache, text)
    }

    /// Adds a slot.
    pub fn add_slot(&self, role: Role, text: &str) -> SlotId {
        let unlock = passphrase(text);
        let protection = Protection { unlock: &unlock, argon2: cheap() };
        slots::add(&mut self.open(), role, text, &protection).unwrap()
    }

    /// Stores a stream, a night after the last.
    pub fn night(&self, bytes: &[u8]) -> SnapshotInfo {
        self.night_as(&request("dump"), bytes)
    }

    /// Stores a stream as the request says, a night after the last.
    pub fn night_as(&self, request: &SnapshotRequest, bytes: &[u8]) -> SnapshotInfo {
        self.world.sleep_until_next_night();
        back_up_as(&self.open(), request, &mut &*bytes).unwrap()
    }
}

/// Opens a repository in any store.
pub fn open(
    store: &Store,
    world: &World,
    cache: &Path,
    text: &str,
) -> Result<Repository, RepositoryError> {
    Repository::open(store.clone(), &passphrase(text), world.environment(cache))
}

/// Stores a stream as a snapshot of one file in the series "dump".
pub fn back_up(repository: &Repository, bytes: &[u8]) -> Result<SnapshotInfo, RepositoryError> {
    back_up_from(repository, &mut &*bytes)
}

/// Stores what a reader gives.
pub fn back_up_from(
    repository: &Repository,
    reader: &mut dyn Read,
) -> Result<SnapshotInfo, RepositoryError> {
    back_up_as(repository, &request("dump"), reader)
}

/// Stores what a reader gives as a snapshot of one file, as the request says.
pub fn back_up_as(
    repository: &Repository,
    request: &SnapshotRequest,
    reader: &mut dyn Read,
) -> Result<SnapshotInfo, RepositoryError> {
    create_snapshot(repository, request, &Progress::default(), |feeder| {
        feeder.stream(FILE.as_bytes(), reader, FILE)?;
        feeder.file(entry(FILE.as_bytes(), empty_file()))?;
        Ok(Fed { source: Source::Stdin { name: FILE.into(), tar: false }, unreadable: 0 })
    })
}

/// A run of a series.
pub fn request(series: &str) -> SnapshotRequest {
    SnapshotRequest {
        series: series.into(),
        labels: vec![],
        level: 3,
        delta: Some(DeltaParameters::default()),
        cache_bytes: 1 << 30,
    }
}

/// A file whose content the engine fills in.
pub fn empty_file() -> EntryKind {
    EntryKind::File(FileContent::default())
}

/// An entry with dull attributes.
pub fn entry(name: &[u8], kind: EntryKind) -> Entry {
    Entry {
        mode: 0o640,
        uid: 1000,
        gid: 1000,
        user: b"tester".to_vec(),
        modified: Timestamp { seconds: 1_767_225_600, nanoseconds: 7 },
        ..Entry::new(name, kind)
    }
}

/// The bytes of the one file of a snapshot.
pub fn restore(repository: &Repository, info: &SnapshotInfo) -> Result<Vec<u8>, RepositoryError> {
    let progress = Progress::default();
    let reader = Reader::open(repository, &progress)?;
    contents(&reader, info)
}

/// The same through a reader that is open.
pub fn contents(reader: &Reader<'_>, info: &SnapshotInfo) -> Result<Vec<u8>, RepositoryError> {
    let mut walk = TreeWalk::new(info.snapshot.root);
    let mut bytes = Vec::new();
    while let Some(visited) = walk.next(reader)? {
        if let EntryKind::File(file) = visited.entry.kind {
            reader.copy_content(&file.content, file.data_bytes(), &mut bytes)?;
        }
    }
    Ok(bytes)
}
