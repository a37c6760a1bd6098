//! A store that fails on purpose: crashes between any two writes, full disks, flaky networks.
//!
//! The engine under test is given `Store::over(faults.clone(), …)` and the test keeps both the
//! `Arc<FaultStore>`, for its log, and the store below, which is what a new process would find:
//!
//! ```
//! use std::sync::Arc;
//! use nightjar_storage::{Store, faults::{FaultPlan, FaultStore}};
//!
//! let below = Store::memory();
//! let faults = Arc::new(FaultStore::new(below.inner(), FaultPlan::stop_after_writes(1)));
//! let store = Store::over(faults.clone(), "memory://");
//! store.put("a", "first".into())?;
//! assert!(store.put("b", "second".into()).is_err());
//! assert!(store.get("a", 100).is_err(), "the store is lost, not only its writing");
//! assert_eq!(below.list("")?.len(), 1);
//! # Ok::<(), nightjar_storage::StoreError>(())
//! ```
//!
//! Which write is the n-th is decided when it begins. With concurrent writes that is a matter of
//! chance, as it is with a power switch; drop the `Store` before looking at what it left.

mod plan;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
    UploadPart,
};

pub use self::plan::{FaultPlan, LoggedWrite, WriteOperation};
use self::plan::{Progress, Verdict};

/// A decorator that carries out a [`FaultPlan`]. Clones share the plan's progress and the log.
#[derive(Clone, Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    progress: Arc<Progress>,
}

impl FaultStore {
    /// Fails requests to `inner` as `plan` says.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self { inner, progress: Arc::new(Progress::new(plan)) }
    }

    /// The mutating operations that reached the store below, in the order in which they began. A
    /// creation that found the name taken and a deletion that found nothing are among them.
    pub fn log(&self) -> Vec<LoggedWrite> {
        self.progress.log()
    }

    /// Loses the store now: every later operation fails.
    pub fn stop(&self) {
        self.progress.stop();
    }

    /// Whether the store is lost by now.
    pub fn is_stopped(&self) -> bool {
        self.progress.read().is_err()
    }
}

impl fmt::Display for FaultStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let operation = match opts.mode {
            PutMode::Create => WriteOperation::Create,
            PutMode::Overwrite | PutMode::Update(_) => WriteOperation::Put,
        };
        match self.progress.write(operation, location, payload.content_length()) {
            Verdict::Proceed => self.inner.put_opts(location, payload, opts).await,
            Verdict::Refuse(error) => Err(error),
            Verdict::ProceedAndDeny(error) => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(error)
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.progress.read()?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let progress = Arc::clone(&self.progress);
        Ok(Box::new(FaultUpload { inner, progress, location: location.clone(), len: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.progress.read_object(location)?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Path| {
            let store = store.clone();
            async move { store.delete_one(&location).await.map(|()| location) }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.progress.read() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.progress.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(self.not_implemented("copy_opts"))
    }
}

impl FaultStore {
    async fn delete_one(&self, location: &Path) -> Result<()> {
        match self.progress.write(WriteOperation::Delete, location, 0) {
            Verdict::Proceed => self.inner.delete(location).await,
            Verdict::Refuse(error) => Err(error),
            Verdict::ProceedAndDeny(error) => {
                self.inner.delete(location).await?;
                Err(error)
            }
        }
    }

    fn not_implemented(&self, operation: &str) -> object_store::Error {
        object_store::Error::NotImplemented {
            operation: operation.to_owned(),
            implementer: self.to_string(),
        }
    }
}

/// An upload in parts: one write, which begins and takes effect with its completion.
#[derive(Debug)]
struct FaultUpload {
    inner: Box<dyn MultipartUpload>,
    progress: Arc<Progress>,
    location: Path,
    len: usize,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.len = self.len.saturating_add(data.content_length());
        match self.progress.read() {
            Ok(()) => self.inner.put_part(data),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        match self.progress.write(WriteOperation::Put, &self.location, self.len) {
            Verdict::Proceed => self.inner.complete().await,
            Verdict::Refuse(error) => Err(error),
            Verdict::ProceedAndDeny(error) => {
                self.inner.complete().await?;
                Err(error)
            }
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.progress.read()?;
        self.inner.abort().await
    }
}
