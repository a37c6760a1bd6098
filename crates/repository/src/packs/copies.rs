//! Copies of packs on this machine: what tomorrow's deltas are made against.
//!
//! A delta needs the plaintext of its base. Reading that back from a store far away costs time
//! and money, and a write slot cannot read data packs at all. So a writer keeps what it wrote: a
//! copy of each pack, and its key sealed under a key that lies beside it and never leaves the
//! machine. Without that key a copy is as unreadable as the pack in the store. Where the store is
//! a directory of this machine, copies would be a second repository; there a write slot keeps the
//! packs' keys alone, and a full slot nothing.
//!
//! ```text
//! <caches of the repository>/copies/
//!     key              32 random bytes, mode 0600
//!     <pack id>        header and key of the pack, sealed; then the pack, or nothing
//! ```
//!
//! **What stays.** Tomorrow's bases are the chunks of tonight's snapshot and all they rest on: at
//! the end of a run, the copies of all packs that it used or wrote are stamped with its time. When
//! there is no room, a pack of this run replaces the copy whose stamp is oldest. A pack that had
//! to be fetched replaces only what was not used for days: a snapshot larger than the cache is
//! read from front to back each night, and replacing what is needed next by what was needed last
//! would fetch all of it again and again.
//!
//! Nothing rests on a copy: what cannot be read here is read from the store, or done without.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, FileTimes, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use nightjar_codec::SecretKey;
use nightjar_codec::digest;
use nightjar_codec::pack::{KEPT_KEY_LEN, PackCipher};
use nightjar_format::PackId;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{RepositoryId, limits};
use zeroize::Zeroizing;

use crate::error::{RepositoryError, Result, local};
use crate::repository::Repository;

/// What was not used for so long makes room for what is read now, in nanoseconds.
const STALE: i64 = 3 * 24 * 3600 * 1_000_000_000;

/// The copies.
pub(crate) struct PackCopies {
    directory: PathBuf,
    key: SecretKey,
    repository: RepositoryId,
    /// Packs themselves are kept, not only their keys.
    whole: bool,
    limit_bytes: u64,
    /// When this run began, in Unix nanoseconds.
    now: i64,
    kept: Mutex<Kept>,
    /// One lock for each pack that is being fetched.
    fetching: Mutex<HashMap<PackId, Arc<Mutex<()>>>>,
}

/// What lies in the directory.
#[derive(Default)]
struct Kept {
    by_id: HashMap<PackId, (i64, u64)>,
    /// Stamp, and id: of equal stamps the same ones go each night. Those that are being written are
    /// not among them: their room is not free before they are there.
    by_age: BTreeSet<(i64, PackId)>,
    bytes: u64,
}

impl Kept {
    fn reserve(&mut self, id: PackId, stamp: i64, bytes: u64) {
        self.remove(&id);
        self.by_id.insert(id, (stamp, bytes));
        self.bytes += bytes;
    }

    /// A copy for which room was reserved is there; false if the room was given away.
    fn settle(&mut self, id: PackId) -> bool {
        let Some((stamp, _)) = self.by_id.get(&id) else { return false };
        self.by_age.insert((*stamp, id));
        true
    }

    fn remove(&mut self, id: &PackId) {
        if let Some((stamp, bytes)) = self.by_id.remove(id) {
            self.by_age.remove(&(stamp, *id));
            self.bytes -= bytes;
        }
    }
}

impl PackCopies {
    /// Opens the directory; `None` if this repository and slot have no use for it, or if it cannot
    /// be used, which costs bytes and not data.
    pub(crate) fn open(repository: &Repository, limit_bytes: u64) -> Option<Self> {
        let whole = repository.store.is_remote();
        let directory = repository.cache.directory().join("copies");
        if limit_bytes == 0 {
            // Nothing is to be kept, nor what was kept before.
            let _ = fs::remove_dir_all(&directory);
        }
        if limit_bytes == 0 || !(whole || repository.keychain.role() == Role::Write) {
            return None;
        }
        let now = repository.environment.clock.now();
        let opened =
            open_key(&directory, repository).and_then(|key| Ok((key, scan(&directory, now)?)));
        match opened {
            Ok((key, kept)) => {
                let copies = Self {
                    directory,
                    key,
                    repository: repository.id(),
                    whole,
                    limit_bytes,
                    now,
                    kept: Mutex::new(kept),
                    fetching: Mutex::default(),
                };
                // The limit may have been higher before.
                copies.make_room(&mut copies.kept(), 0, i64::MAX);
                Some(copies)
            }
            Err(error) => {
                tracing::warn!("{error}; going on without copies of packs");
                None
            }
        }
    }

    fn path(&self, id: &PackId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cipher of a pack whose key is kept.
    pub(crate) fn cipher(&self, id: &PackId) -> Option<PackCipher> {
        let mut beginning = [0; KEPT_KEY_LEN];
        File::open(self.path(id)).ok()?.read_exact_at(&mut beginning, 0).ok()?;
        PackCipher::open_kept(self.repository, &self.key, id, &beginning)
            .inspect_err(|error| tracing::debug!("the copy of pack {id} cannot be used: {error}"))
            .ok()
    }

    /// Bytes of a pack that is kept.
    pub(crate) fn range(&self, id: &PackId, range: &std::ops::Range<u64>) -> Option<Bytes> {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let mut bytes = vec![0; len];
        let at = KEPT_KEY_LEN as u64 + range.start;
        File::open(self.path(id)).ok()?.read_exact_at(&mut bytes, at).ok()?;
        Some(bytes.into())
    }

    /// Whether packs are fetched whole.
    pub(crate) fn keeps_packs(&self) -> bool {
        self.whole
    }

    /// Whether a pack, or its key, is kept.
    pub(crate) fn holds(&self, id: &PackId) -> bool {
        self.kept().by_id.contains_key(id)
    }

    /// Forgets a pack.
    pub(crate) fn remove(&self, id: &PackId) {
        self.kept().remove(id);
        let _ = fs::remove_file(self.path(id));
    }

    /// Fetches a pack from the store, if there is room to keep it; how many bytes that were.
    /// `open` makes its cipher of its first bytes. Workers that want the same pack wait for the
    /// first one.
    pub(crate) fn fetch(
        &self,
        repository: &Repository,
        id: &PackId,
        size: u64,
        open: impl FnOnce(&[u8]) -> Result<PackCipher>,
    ) -> Result<Option<u64>> {
        let lock = {
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(fetching.entry(*id).or_default())
        };
        let _fetching = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.holds(id) || !self.reserve(id, KEPT_KEY_LEN as u64 + size, self.stale()) {
            return Ok(None);
        }
        let fetched = self.fetch_and_write(repository, id, open);
        if fetched.is_err() {
            self.remove(id);
        }
        fetched.map(Some)
    }

    fn fetch_and_write(
        &self,
        repository: &Repository,
        id: &PackId,
        open: impl FnOnce(&[u8]) -> Result<PackCipher>,
    ) -> Result<u64> {
        let name = ObjectName::Pack(*id).to_string();
        let object = repository.store.get(&name, limits::PACK_BYTES)?;
        if digest::pack_id(&object) != *id {
            let why = "its bytes do not hash to its id: they were altered".into();
            return Err(RepositoryError::Damaged { object: name, why });
        }
        let cipher = open(&object)?;
        self.write(id, &cipher, &object);
        Ok(object.len() as u64)
    }

    fn stale(&self) -> i64 {
        self.now.saturating_sub(STALE)
    }

    /// Keeps a pack that this run wrote, in place of whatever is oldest.
    pub(crate) fn keep_own(&self, id: &PackId, cipher: &PackCipher, object: &[u8]) {
        let object = if self.whole { object } else { &[] };
        if self.reserve(id, (KEPT_KEY_LEN + object.len()) as u64, i64::MAX) {
            self.write(id, cipher, object);
        }
    }

    /// Writes a copy for which room was reserved.
    fn write(&self, id: &PackId, cipher: &PackCipher, object: &[u8]) {
        let written = cipher
            .keep_key(&self.key, id)
            .map_err(std::io::Error::other)
            .and_then(|key| write_file(&self.path(id), &key, object, self.now));
        if let Err(error) = &written {
            tracing::debug!("cannot keep a copy of pack {id}: {error}");
        }
        if written.is_err() || !self.kept().settle(*id) {
            self.remove(id);
        }
    }

    /// Makes room for a copy and counts it; what was stamped before `older_than` may go for it.
    fn reserve(&self, id: &PackId, bytes: u64, older_than: i64) -> bool {
        let mut kept = self.kept();
        let fits = self.make_room(&mut kept, bytes, older_than);
        if fits {
            kept.reserve(*id, self.now, bytes);
        }
        fits
    }

    fn make_room(&self, kept: &mut Kept, bytes: u64, older_than: i64) -> bool {
        if bytes > self.limit_bytes {
            return false;
        }
        while kept.bytes + bytes > self.limit_bytes {
            let oldest = kept.by_age.first().copied().filter(|(stamp, _)| *stamp < older_than);
            let Some((_, id)) = oldest else { return false };
            kept.remove(&id);
            let _ = fs::remove_file(self.path(&id));
        }
        true
    }

    /// Stamps the copies of packs that this run used.
    pub(crate) fn stamp(&self, used: impl Fn(&PackId) -> bool) {
        let time = FileTimes::new().set_modified(system_time(self.now));
        let used: Vec<PackId> = self.kept().by_id.keys().copied().filter(used).collect();
        for id in used {
            let _ = File::options()
                .append(true)
                .open(self.path(&id))
                .and_then(|file| file.set_times(time));
        }
    }
}

fn system_time(nanos: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

fn unix_nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Reads the machine's own key, or makes it.
fn open_key(directory: &Path, repository: &Repository) -> Result<SecretKey> {
    let what = || format!("cannot make {}", directory.display());
    fs::create_dir_all(directory).map_err(local(what()))?;
    let path = directory.join("key");
    let read = || {
        let bytes = Zeroizing::new(fs::read(&path).ok()?);
        bytes.as_array::<32>().copied().map(SecretKey::new)
    };
    if let Some(key) = read() {
        return Ok(key);
    }
    // Made under another name and linked into place: of two processes, one wins.
    let key: SecretKey = SecretKey::random(&*repository.environment.random);
    let temporary = directory.join(format!("key.{}.tmp", repository.environment.process));
    let _ = fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(key.expose()))
        .and_then(|()| {
            if path.exists() && read().is_none() {
                fs::remove_file(&path)?;
            }
            match fs::hard_link(&temporary, &path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        });
    let _ = fs::remove_file(&temporary);
    written.map_err(local(format!("cannot write {}", path.display())))?;
    Ok(read().unwrap_or(key))
}

/// What lies there; what was left half-written goes.
fn scan(directory: &Path, now: i64) -> Result<Kept> {
    let failed = || local(format!("cannot list {}", directory.display()));
    let mut kept = Kept::default();
    for entry in fs::read_dir(directory).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        // Another process may have removed it meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        let stamp = metadata.modified().map_or(0, unix_nanos);
        let name = entry.file_name();
        match name.to_str().and_then(|name| name.parse::<PackId>().ok()) {
            Some(id) => {
                kept.reserve(id, stamp, metadata.len());
                kept.settle(id);
            }
            None => {
                let left_over = name.to_string_lossy().ends_with(".tmp");
                if left_over && stamp < now.saturating_sub(STALE) {
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
    }
    Ok(kept)
}

/// Writes a copy, whole or not at all.
fn write_file(path: &Path, key: &[u8], object: &[u8], stamp: i64) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file
        .write_all(key)
        .and_then(|()| file.write_all(object))
        .and_then(|()| file.set_times(FileTimes::new().set_modified(system_time(stamp))))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
