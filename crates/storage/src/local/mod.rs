//! A directory as a store.
//!
//! `object_store`'s own [`LocalFileSystem`] does most of the work: an object is written to
//! `name#N`, synced, then renamed (put) or hard-linked (create) into place, and the directory is
//! synced. A process killed in between leaves `name#N`, which no listing shows and no reader
//! sees. What it lacks on the way to "acknowledged means durable" is added here:
//!
//! - It syncs new directories only in the request that made them. A request that comes second, or
//!   a process that comes after a kill, finds the directory and does not know that its entry
//!   above may still be in memory only. Here every directory's entry is synced before the first
//!   write into it, once per process ([`directories`]).
//! - It does not sync deletions, which would let a pack's deletion outlive the deletion of the
//!   index object that goes before it.
//! - Told that an object exists, the loser of a race may act on it; so the name is synced before
//!   the loser hears of it.
//!
//! Its listings leave out in silence what they cannot examine; [`listing`] does not.

mod directories;
mod listing;

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
use crate::StoreError;

/// The store in one directory.
#[derive(Debug)]
pub(crate) struct LocalStore {
    files: Arc<LocalFileSystem>,
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
        Ok(Self {
            files: Arc::new(files.with_fsync(true)),
            directories: Arc::new(Directories::below(root)),
        })
    }

    fn file_of(&self, location: &Path) -> Result<PathBuf> {
        self.files.path_to_filesystem(location)
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
        if !self.directories.parent_is_durable(&file) {
            let (directories, file) = (Arc::clone(&self.directories), file.clone());
            blocking(move || directories.make_parent_durable(&file)).await?;
        }
        let result = self.files.put_opts(location, payload, opts).await;
        if matches!(result, Err(Error::AlreadyExists { .. })) {
            Self::sync_parent(Arc::clone(&self.directories), file).await?;
        }
        result
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (directories, file) = (Arc::clone(&self.directories), self.file_of(location)?);
        blocking(move || directories.make_parent_durable(&file)).await?;
        self.files.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let (files, directories) = (Arc::clone(&self.files), Arc::clone(&self.directories));
        let delete = move |location: Path| {
            let (files, directories) = (Arc::clone(&files), Arc::clone(&directories));
            async move {
                let deleted = files.delete(&location).await;
                if matches!(deleted, Ok(()) | Err(Error::NotFound { .. })) {
                    let file = files.path_to_filesystem(&location)?;
                    Self::sync_parent(directories, file).await?;
                }
                deleted.map(|()| location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned().unwrap_or_default();
        let root = self.directories.root().to_owned();
        blocking(move || listing::list(&root, &prefix))
            .map_ok(|objects| futures::stream::iter(objects.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (directories, file) = (Arc::clone(&self.directories), self.file_of(to)?);
        blocking(move || directories.make_parent_durable(&file)).await?;
        self.files.copy_opts(from, to, options).await
    }
}
