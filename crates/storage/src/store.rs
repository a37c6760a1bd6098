//! The store as the engine sees it: blocking calls on named objects.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{Attribute, Attributes, ObjectStore};

use crate::cloud::{self, Traffic};
use crate::counters::{Counters, CountingStore};
use crate::executor::{Executor, Pending};
use crate::local::LocalStore;
use crate::object::{Created, ObjectInfo, object_path, prefix_path};
use crate::requests::{self, Object};
use crate::url::{Place, StoreUrl, is_cloud};
use crate::{Multipart, Purpose, StorageClasses, StoreError, StoreSettings, memory, multipart};

/// A handle to a store. Clones are cheap and share everything, the counters included.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// The store ignores conditions: look before creating.
    looks_first: bool,
}

#[derive(Debug)]
struct Shared {
    url: String,
    address: String,
    /// What was given to [`Store::over`], before counting.
    undecorated: Arc<dyn ObjectStore>,
    objects: Arc<CountingStore>,
    /// If it is one.
    directory: Option<Arc<LocalStore>>,
    traffic: Arc<Traffic>,
    classes: StorageClasses,
    multipart: Multipart,
    executor: Arc<Executor>,
}

impl Shared {
    fn new(undecorated: Arc<dyn ObjectStore>, url: String) -> Self {
        Self {
            address: url.clone(),
            url,
            objects: Arc::new(CountingStore::new(Arc::clone(&undecorated))),
            undecorated,
            directory: None,
            traffic: Arc::default(),
            classes: StorageClasses::default(),
            multipart: Multipart::default(),
            executor: Arc::default(),
        }
    }
}

impl From<Shared> for Store {
    fn from(shared: Shared) -> Self {
        Self { shared: Arc::new(shared), looks_first: false }
    }
}

impl Store {
    /// Opens a store that exists. A missing directory is [`StoreError::NoStore`]; a memory store
    /// always exists, empty at first. Whether a bucket exists shows with the first request.
    pub fn open(url: &StoreUrl, settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::at(url, settings, LocalStore::open)
    }

    /// Opens a store, making its directory and the ones above it if they are missing. They are
    /// durable when this returns.
    /// A bucket must be there.
    pub fn open_or_create(url: &StoreUrl, settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::at(url, settings, LocalStore::open_or_create)
    }

    fn at(
        url: &StoreUrl,
        settings: &StoreSettings,
        open_directory: fn(&std::path::Path) -> Result<LocalStore, StoreError>,
    ) -> Result<Self, StoreError> {
        let bad = |why| StoreError::BadUrl { url: url.to_string(), why };
        let class = |name: &Option<String>| {
            let class = name.as_ref().map(|name| url.storage_class(name, settings));
            class.transpose().map_err(bad)
        };
        let StorageClasses { data, metadata } = &settings.classes;
        let classes = StorageClasses { data: class(data)?, metadata: class(metadata)? };
        if let Some(encryption) = &settings.encryption {
            url.check_encryption(encryption).map_err(bad)?;
        }
        let (place, address, url) = (url.place(), url.address(settings), url.to_string());
        match place {
            Place::Directory(path) => {
                let directory = Arc::new(open_directory(path)?);
                let shared = Shared::new(directory.clone(), url);
                Ok(Shared { directory: Some(directory), ..shared }.into())
            }
            Place::Memory(name) => Ok(Self::over(memory::named(name), &url)),
            Place::Cloud(place) => {
                let (inner, traffic) = cloud::open(place, settings)?;
                let multipart = settings.multipart;
                let shared = Shared::new(inner, url);
                Ok(Shared { address, traffic, classes, multipart, ..shared }.into())
            }
        }
    }

    /// A new, empty store in memory that nobody else sees.
    pub fn memory() -> Self {
        Self::over(Arc::new(InMemory::new()), "memory://")
    }

    /// A store over any other: how tests put decorators in between. `url` is only for messages.
    pub fn over(inner: Arc<dyn ObjectStore>, url: &str) -> Self {
        Shared::new(inner, url.to_owned()).into()
    }

    /// A handle that looks whether an object is there before it creates one, and reads it back
    /// afterwards, for a store that ignores conditions ([`Store::probe_conditional_create`]).
    ///
    /// [`Created::Exists`] is then true as long as nobody else creates the same name at the same
    /// moment. Two that do may both be answered [`Created::Created`], and one object is lost.
    #[must_use]
    pub fn that_ignores_conditions(&self) -> Self {
        Self { looks_first: true, ..self.clone() }
    }

    /// The store below, for wrapping it in a decorator and giving that to [`Store::over`].
    pub fn inner(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shared.undecorated)
    }

    /// Where the store is, for messages.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// What tells it from other stores: a bucket of the same name may be at another endpoint.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// Whether reading costs round trips over a network.
    pub fn is_remote(&self) -> bool {
        is_cloud(&self.shared.url)
    }

    /// Writes an object, replacing one of that name, for [`Purpose::Metadata`].
    pub fn put(&self, name: &str, data: Bytes) -> Result<(), StoreError> {
        self.start_put(name.to_owned(), data, Purpose::Metadata).wait()
    }

    /// Begins to write an object, replacing one of that name. A large one goes to a cloud in parts,
    /// several at once.
    pub fn start_put(&self, name: String, data: Bytes, purpose: Purpose) -> Pending<()> {
        let Multipart { above_bytes, part_bytes } = self.shared.multipart;
        let attributes = self.attributes(purpose);
        if self.is_remote() && data.len() as u64 > above_bytes {
            return self.start(&name, "write", |store, object| {
                multipart::put(store, object, data, attributes, part_bytes)
            });
        }
        self.start(&name, "write", |store, object| requests::put(store, object, data, attributes))
    }

    fn attributes(&self, purpose: Purpose) -> Attributes {
        let class = self.shared.classes.of(purpose);
        class.map(|class| (Attribute::StorageClass, class.to_owned())).into_iter().collect()
    }

    /// Writes an object, for [`Purpose::Metadata`], unless one of that name exists.
    ///
    /// Nobody else may ever write the same bytes under that name: where the store's answer leaves
    /// open what happened, it is asked again, the object is read back, and is ours if it has these
    /// bytes. After an error it may exist all the same.
    pub fn create(&self, name: &str, data: Bytes) -> Result<Created, StoreError> {
        let in_cloud = self.is_remote();
        let attributes = self.attributes(Purpose::Metadata);
        if self.looks_first {
            let create = |store, object| {
                requests::look_and_create(store, object, data, attributes, in_cloud)
            };
            return self.start(name, "create", create).wait();
        }
        let create = |store, object| requests::create(store, object, data, attributes, in_cloud);
        self.start(name, "create", create).wait()
    }

    /// Reads a whole object, unless it is larger than `limit_bytes`.
    pub fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.start(name, "read", |store, object| requests::get(store, object, limit_bytes)).wait()
    }

    /// Begins to read a whole object, as [`Store::get`] does.
    pub fn start_get(&self, name: String, limit_bytes: u64) -> Pending<Bytes> {
        self.start(&name, "read", |store, object| requests::get(store, object, limit_bytes))
    }

    /// Reads exactly the bytes of `range`; [`StoreError::Short`] if the object ends before. An
    /// empty range is answered without asking the store.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        self.start(name, "read", |store, object| requests::get_range(store, object, range)).wait()
    }

    /// Begins to read exactly the bytes of `range`, as [`Store::get_range`] does.
    pub fn start_get_range(&self, name: String, range: Range<u64>) -> Pending<Bytes> {
        self.start(&name, "read", |store, object| requests::get_range(store, object, range))
    }

    /// Size and time of an object; `None` if there is no such object.
    pub fn head(&self, name: &str) -> Result<Option<ObjectInfo>, StoreError> {
        self.start(name, "look up", requests::head).wait()
    }

    /// Makes sure that there is no object of that name; it need not have existed.
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.start_delete(name).wait()
    }

    /// Begins to make sure that there is no object of that name.
    pub fn start_delete(&self, name: &str) -> Pending<()> {
        self.start(name, "delete", requests::delete)
    }

    /// The objects below `prefix`, which is whole segments such as `packs` or `packs/ab`, or empty
    /// for all objects. Sorted by name; empty when nothing is there.
    pub fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let path = prefix_path(prefix, "list");
        self.start_at(prefix, path, "list", requests::list).wait()
    }

    /// Where the store is a directory: removes what writers that were killed left half-written below
    /// a folder of it, if `is_abandoned` says so of the object that was to be written. Returns what is
    /// gone. Other stores show nothing of the kind.
    pub fn remove_unfinished(
        &self,
        folder: &str,
        is_abandoned: impl Fn(&ObjectInfo) -> bool,
    ) -> Result<Vec<ObjectInfo>, StoreError> {
        let Some(directory) = &self.shared.directory else { return Ok(Vec::new()) };
        let removed = directory.remove_unfinished(folder, is_abandoned);
        removed.map_err(|error| StoreError::from_io(folder, "clean up", error))
    }

    /// What has been asked of this store so far, through this handle and its clones.
    pub fn counters(&self) -> Counters {
        let traffic = &self.shared.traffic;
        Counters {
            http_requests: traffic.requests.load(Ordering::Relaxed),
            retries: traffic.retries.load(Ordering::Relaxed),
            throttled: traffic.throttled.load(Ordering::Relaxed),
            ..self.shared.objects.counters()
        }
    }

    /// Whether the store refuses to create an object that exists, as not all that claim to do.
    ///
    /// Creates the scratch object `name` twice, looks whether the second is refused and the first
    /// one's bytes stand, and removes it, if that is permitted. Nobody else may use the name
    /// meanwhile, nor may anything stand there that cannot be removed.
    pub fn probe_conditional_create(&self, name: &str) -> Result<bool, StoreError> {
        self.delete_if_permitted(name)?;
        let honoured = self.create_twice(name);
        self.delete_if_permitted(name)?;
        match honoured {
            Err(error) if error.is_unsupported() => Ok(false),
            decided => decided,
        }
    }

    fn delete_if_permitted(&self, name: &str) -> Result<(), StoreError> {
        match self.delete(name) {
            Err(StoreError::PermissionDenied { .. }) => Ok(()),
            outcome => outcome,
        }
    }

    fn create_twice(&self, name: &str) -> Result<bool, StoreError> {
        const FIRST: &[u8] = b"nightjar probe: first";
        const SECOND: &[u8] = b"nightjar probe: second";
        let first = self.create(name, Bytes::from_static(FIRST))?;
        let second = self.create(name, Bytes::from_static(SECOND))?;
        let stands = self.get(name, 1024)? == FIRST;
        Ok(first == Created::Created && second == Created::Exists && stands)
    }

    fn start<T, F, R>(&self, name: &str, operation: &'static str, request: R) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        R: FnOnce(Arc<dyn ObjectStore>, Object) -> F,
    {
        self.start_at(name, object_path(name, operation), operation, request)
    }

    fn start_at<T, F, R>(
        &self,
        name: &str,
        path: Result<Path, StoreError>,
        operation: &'static str,
        request: R,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
        R: FnOnce(Arc<dyn ObjectStore>, Object) -> F,
    {
        let executor = &self.shared.executor;
        match path {
            Ok(path) => {
                let object = Object { name: name.to_owned(), path };
                let store: Arc<dyn ObjectStore> = self.shared.objects.clone();
                executor.start(name, operation, request(store, object))
            }
            Err(error) => executor.answered(name, operation, Err(error)),
        }
    }
}
