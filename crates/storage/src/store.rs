//! The store as the engine sees it: blocking calls on named objects.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::counters::{Counters, CountingStore};
use crate::executor::{Executor, Pending};
use crate::local::LocalStore;
use crate::object::{Created, ObjectInfo, object_path, prefix_path};
use crate::requests::{self, Object};
use crate::url::{Place, StoreUrl};
use crate::{StoreError, memory};

/// A handle to a store. Clones are cheap and share everything, the counters included.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    /// What was given to [`Store::over`], before counting.
    undecorated: Arc<dyn ObjectStore>,
    objects: Arc<CountingStore>,
    executor: Arc<Executor>,
}

impl Store {
    /// Opens a store that exists. A missing directory is [`StoreError::NoStore`]; a memory store
    /// always exists, empty at first.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        Self::at(url, LocalStore::open)
    }

    /// Opens a store, making its directory and the ones above it if they are missing. They are
    /// durable when this returns.
    pub fn open_or_create(url: &StoreUrl) -> Result<Self, StoreError> {
        Self::at(url, LocalStore::open_or_create)
    }

    fn at(
        url: &StoreUrl,
        open_directory: fn(&std::path::Path) -> Result<LocalStore, StoreError>,
    ) -> Result<Self, StoreError> {
        let inner: Arc<dyn ObjectStore> = match url.place() {
            Place::Directory(path) => Arc::new(open_directory(path)?),
            Place::Memory(name) => memory::named(name),
            Place::Cloud { scheme, .. } => {
                return Err(StoreError::BadUrl {
                    url: url.to_string(),
                    why: format!("{scheme}:// is not supported by this build yet; use a path"),
                });
            }
        };
        Ok(Self::over(inner, &url.to_string()))
    }

    /// A new, empty store in memory that nobody else sees.
    pub fn memory() -> Self {
        Self::over(Arc::new(InMemory::new()), "memory://")
    }

    /// A store over any other: how tests put decorators in between. `url` is only for messages.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        let objects = Arc::new(CountingStore::new(Arc::clone(&inner)));
        let executor = Arc::default();
        let shared = Shared { url: url.to_owned(), undecorated: inner, objects, executor };
        Self { shared: Arc::new(shared) }
    }

    /// The store below, for wrapping it in a decorator and giving that to [`Store::over`].
    pub fn inner(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shared.undecorated)
    }

    /// Where the store is, for messages.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Writes an object, replacing one of that name.
    pub fn put(&self, name: &str, data: Bytes) -> Result<(), StoreError> {
        self.start_put(name.to_owned(), data).wait()
    }

    /// Writes an object unless one of that name exists.
    ///
    /// After [`StoreError::Failed`] the object may exist with these bytes or another's: read it
    /// back and compare.
    pub fn create(&self, name: &str, data: Bytes) -> Result<Created, StoreError> {
        let object = object(name, "create")?;
        self.start(name, "create", async move |store| {
            requests::create(store.as_ref(), &object, data).await
        })
        .wait()
    }

    /// Reads a whole object, unless it is larger than `limit_bytes`.
    pub fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        todo_placeholder!()
    }
}
