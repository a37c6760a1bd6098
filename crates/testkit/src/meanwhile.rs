//! A store in which somebody else acts between two requests.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

type Action = Box<dyn FnOnce() + Send>;

/// A decorator that does something before the request of a given number, counted from 0.
pub struct MeanwhileStore {
    inner: Arc<dyn ObjectStore>,
    at: u64,
    requests: AtomicU64,
    action: Mutex<Option<Action>>,
}

impl MeanwhileStore {
    /// Runs `action` before the request numbered `at`; all others wait for it.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        at: u64,
        action: impl FnOnce() + Send + 'static,
    ) -> Self {
        let action = Mutex::new(Some(Box::new(action) as Action));
        Self { inner, at, requests: AtomicU64::new(0), action }
    }

    /// Whether so many requests came.
    pub fn has_happened(&self) -> bool {
        self.requests.load(Ordering::SeqCst) > self.at
    }

    fn request(&self) {
        let mut action = self.action.lock().unwrap_or_else(PoisonError::into_inner);
        if self.requests.fetch_add(1, Ordering::SeqCst) == self.at
            && let Some(action) = action.take()
        {
            action();
        }
    }
}

impl fmt::Debug for MeanwhileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for MeanwhileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeanwhileStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for MeanwhileStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.request();
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.request();
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.request();
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.request();
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.request();
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.request();
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.request();
        self.inner.copy_opts(from, to, options).await
    }
}
