//! The directory for a repository's caches on this machine, and the cache of small objects.
//!
//! ```text
//! <cache dir>/<repository id>/    mode 0700
//!     objects/<name>              sealed bytes of write-once metadata objects; tables of bundles
//!     head, head-<address>        the newest ledger head seen, and that in a replica
//!     records-<address>           size and time of the ledger records in here, as they were listed
//!     repository-<address>        that there was no replica at an address
//!     replica-<address>           what was copied of some series to a replica
//!     lock                        held while the local index is brought up to date
//!     index/                      the local index, shared
//!     private/<process>-<n>/      a process's own copy of it
//!     copies/                     packs that this machine wrote, and their keys
//! ```
//!
//! Everything here can be deleted at any time. Cached objects are kept sealed and are opened
//! and checked like fetched ones, so a damaged cache entry is only a reason to fetch again.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nightjar_codec::digest;
use nightjar_format::bundle::BundleKind;
use nightjar_format::ids::to_hex;
use nightjar_format::object::ObjectName;
use nightjar_format::{BundleId, CheckId, RepositoryId, SessionId};
use nightjar_storage::Store;

use crate::error::{Result, local};

/// The address of a store, as file names tell it.
pub(crate) fn address(store: &Store) -> String {
    let hash = digest::hash(store.address().as_bytes());
    to_hex(hash.0.first_chunk::<8>().unwrap_or(&[0; 8]))
}

/// The caches of one repository.
pub(crate) struct ObjectCache {
    directory: PathBuf,
    /// Of the store: another one may have other ledger records under the same names.
    address: String,
}

impl ObjectCache {
    pub(crate) fn open(cache_dir: &Path, repository: &RepositoryId, store: &Store) -> Result<Self> {
        let directory = cache_dir.join(repository.to_string());
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(local(format!("cannot make the cache directory {}", directory.display())))?;
        Ok(Self { directory, address: address(store) })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The address of the store, as file names tell it.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        let objects = self.directory.join("objects");
        match name {
            ObjectName::Ledger(number) => {
                objects.join("ledger").join(&self.address).join(format!("{number:012}"))
            }
            name => objects.join(name.to_string()),
        }
    }

    /// A cached object's bytes; whatever goes wrong, it is not cached.
    pub(crate) fn get(&self, name: &ObjectName) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok()
    }

    /// Keeps an object's bytes, if that is possible.
    pub(crate) fn put(&self, name: &ObjectName, object: &[u8]) {
        let path = self.path(name);
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = path
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&temporary, object))
            .and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::debug!("cannot cache {name}: {error}");
        }
    }

    /// A small file of the cache; whatever goes wrong, there is none.
    pub(crate) fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.directory.join(name)).ok()
    }

    /// Writes a small file of the cache, whole or not at all.
    pub(crate) fn write_file(&self, name: &str, content: &[u8]) {
        let path = self.directory.join(name);
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        let written = fs::write(&temporary, content).and_then(|()| fs::rename(&temporary, &path));
        if let Err(error) = written {
            tracing::debug!("cannot write {}: {error}", path.display());
        }
    }

    /// Whether something is cached under that name.
    pub(crate) fn has(&self, name: &ObjectName) -> bool {
        self.path(name).exists()
    }

    /// The snapshots that are cached.
    pub(crate) fn snapshots(&self) -> Vec<SessionId> {
        self.ids("snapshots")
    }

    /// The bundles whose tables are cached.
    pub(crate) fn bundles(&self, kind: BundleKind) -> Vec<BundleId> {
        self.ids(&kind.folder())
    }

    /// The ledger records that are cached.
    pub(crate) fn records(&self) -> Vec<ObjectName> {
        self.ids(&format!("ledger/{}", self.address)).into_iter().map(ObjectName::Ledger).collect()
    }

    /// The check objects that are cached.
    pub(crate) fn checks(&self) -> Vec<CheckId> {
        self.ids("checks")
    }

    fn ids<Id: FromStr>(&self, folder: &str) -> Vec<Id> {
        let Ok(entries) = fs::read_dir(self.directory.join("objects").join(folder)) else {
            return Vec::new();
        };
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
    }

    /// Drops an object.
    pub(crate) fn remove(&self, name: &ObjectName) {
        // What cannot be removed is checked again when it is read.
        let _ = fs::remove_file(self.path(name));
    }
}
