//! A directory as a store.
//!
//! `object_store`'s own [`LocalFileSystem`] does most of the work: an object is written to
//! `name#N`, synced, then renamed (put) or hard-linked (create) into place, and the directory is
//! synced. A process killed in between leaves `name#N`, which no listing shows and no reader
//! sees, until somebody asks to remove it. What it lacks on the way to "acknowledged means durable" is added here:
//!
//! - It syncs new directories only in the request that made them. A request that comes second, or
//!   a process that comes after a kill, finds the directory and does not know that its entry
//!   above may still be in memory only. Here every directory's entry is synced before the first
//!   write into it, once per process ([`directories`]).
//! - It does not sync deletions, which would let a pack's deletion outlive the deletion of the
//!   index object that goes before it.
//! - Told that an object exists, the loser of a race may act on it; so the name is synced before
//!   the loser hears of it.
//! - It makes directories that are missing, the root among them, and takes for the store whatever
//!   stands there. Where the disk was removed, that is an empty mount point ([`root`]).
//!
//! Its listings leave out in silence what they cannot examine; [`listing`] does not.

mod directories;
mod listing;
mod root;
mod unfinished;

use std::fmt;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use self::directories::Directories;
use self::root::Root;
use crate::{ObjectInfo, StoreError};

/// The store in one directory.
#[derive(Debug)]
pub(crate) struct LocalStore {
    files: Arc<LocalFileSystem>,
    root: Arc<Root>,
    directories: Arc<Directories>,
}

impl LocalStore {
    /// The store in a directory that exists.
    pub(crate) fn open(root: &FsPath) -> Result<Self, StoreError> {
        let url = root.display().to_string();
        match std::fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => Self::in_directory(root, url),
            Ok(_) => Err(StoreError::BadUrl { url, why: "it is not a directory".to_owned() }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::NoStore { url })
            }
            Err(error) => Err(StoreError::from_io(&url, "open", error)),
        }
    }

    /// The store in a directory that is made, durably, if it does not exist.
    pub(crate) fn open_or_create(root: &FsPath) -> Result<Self, StoreError> {
        directories::create_durably(root)
            .map_err(|error| StoreError::from_io(&root.display().to_string(), "open", error))?;
        Self::open(root)
    }

    fn in_directory(root: &FsPath, url: String) -> Result<Self, StoreError> {
        let root = std::fs::canonicalize(root)
            .map_err(|error| StoreError::from_io(&url, "open", error))?;
        let files = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| StoreError::from_store(&url, "open", error))?;
        let directories = Arc::new(Directories::below(root.clone()));
        let root = Root::open(root).map_err(|error| StoreError::from_io(&url, "open", error))?;
        Ok(Self { files: Arc::new(files.with_fsync(true)), root: Arc::new(root), directories })
    }

    /// Removes unfinished files below a folder, if `is_abandoned` says so of what they were to become.
    pub(crate) fn remove_unfinished(
        &self,
        folder: &str,
        is_abandoned: impl Fn(&ObjectInfo) -> bool,
    ) -> std::io::Result<Vec<ObjectInfo>> {
        unfinished::remove(&self.root, folder, is_abandoned)
    }

    fn file_of(&self, location: &Path) -> Result<PathBuf> {
        self.files.path_to_filesystem(location)
    }

    /// Makes sure that a write into the directory of `file` goes where it is to go, and stays.
    async fn prepare(&self, file: PathBuf) -> Result<()> {
        let (root, directories) = (Arc::clone(&self.root), Arc::clone(&self.directories));
        blocking(move || {
            root.check()?;
            directories.make_parent_durable(&file)
        })
        .await
    }

    /// Makes sure that what was just done was done in the store.
    async fn check_root(&self) -> Result<()> {
        let root = Arc::clone(&self.root);
        blocking(move || root.check()).await
    }

    /// An answer, unless something is said to be absent that is only out of reach.
    async fn found<T>(&self, answer: Result<T>) -> Result<T> {
        if matches!(answer, Err(Error::NotFound { .. })) {
            self.check_root().await?;
        }
        answer
    }

    async fn sync_parent(directories: Arc<Directories>, file: PathBuf) -> Result<()> {
        blocking(move || directories.sync_parent(&file)).await
    }
}

/// Runs `work` where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?.map_err(generic)
}

fn generic(error: std::io::Error) -> Error {
    Error::Generic { store: "LocalStore", source: Box::new(error) }
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.files)
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let file = self.file_of(location)?;
        self.prepare(file.clone()).await?;
        let result = self.files.put_opts(location, payload, opts).await;
        if matches!(result, Err(Error::AlreadyExists { .. })) {
            Self::sync_parent(Arc::clone(&self.directories), file).await?;
        }
        self.check_root().await?;
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.prepare(self.file_of(location)?).await?;
        self.files.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.found(self.files.get_opts(location, options).await).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.found(self.files.get_ranges(location, ranges).await).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (files, root) = (Arc::clone(&self.files), Arc::clone(&self.root));
        let directories = Arc::clone(&self.directories);
        let delete = move |location: Path| {
            let (files, root) = (Arc::clone(&files), Arc::clone(&root));
            let directories = Arc::clone(&directories);
            async move {
                let before = Arc::clone(&root);
                blocking(move || before.check()).await?;
                let deleted = files.delete(&location).await;
                if matches!(deleted, Ok(()) | Err(Error::NotFound { .. })) {
                    let file = files.path_to_filesystem(&location)?;
                    Self::sync_parent(directories, file).await?;
                    blocking(move || root.check()).await?;
                }
                deleted.map(|()| location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let root = Arc::clone(&self.root);
        let list = move || {
            let objects = listing::list(root.path(), &prefix)?;
            root.check()?;
            Ok(objects)
        };
        blocking(list)
            .map_ok(|objects| futures::stream::iter(objects.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.files.list_with_delimiter(prefix).await;
        self.check_root().await?;
        listed
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.prepare(self.file_of(to)?).await?;
        let copied = self.found(self.files.copy_opts(from, to, options).await).await;
        self.check_root().await?;
        copied
    }
}
