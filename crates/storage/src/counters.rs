//! Counts requests and bytes: what a run cost, and what tests hold the engine to.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// How many requests were made of a store, whatever came of them, and how many bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Writes that replace.
    pub put: u64,
    /// Conditional creations.
    pub create: u64,
    /// Reads of whole objects and of ranges.
    pub get: u64,
    /// Look-ups of size and time.
    pub head: u64,
    /// Deletions.
    pub delete: u64,
    /// Listings; each may have taken the store several pages.
    pub list: u64,
    /// Bytes of objects that were written successfully.
    pub bytes_up: u64,
    /// Bytes of objects that the store began to send.
    pub bytes_down: u64,
    /// HTTP requests behind all these, pages of listings, repeated ones and those for credentials
    /// among them; none to a store on this machine.
    pub http_requests: u64,
    /// HTTP requests that repeated another.
    pub retries: u64,
    /// Answers by which the store asked for fewer requests.
    pub throttled: u64,
}

#[derive(Debug, Default)]
struct Cells {
    put: AtomicU64,
    create: AtomicU64,
    get: AtomicU64,
    head: AtomicU64,
    delete: AtomicU64,
    list: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

/// A store that counts what is asked of the one below.
#[derive(Debug)]
pub struct CountingStore {
    inner: Arc<dyn ObjectStore>,
    cells: Arc<Cells>,
}

impl CountingStore {
    /// Counts from zero what is asked of `inner` through the new store.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, cells: Arc::default() }
    }

    /// The counts so far. Requests under way may be in some of them and not yet in others.
    pub fn counters(&self) -> Counters {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counters {
            put: read(&self.cells.put),
            create: read(&self.cells.create),
            get: read(&self.cells.get),
            head: read(&self.cells.head),
            delete: read(&self.cells.delete),
            list: read(&self.cells.list),
            bytes_up: read(&self.cells.bytes_up),
            bytes_down: read(&self.cells.bytes_down),
            ..Counters::default()
        }
    }
}

fn add(cell: &AtomicU64, count: u64) {
    cell.fetch_add(count, Ordering::Relaxed);
}

fn add_len(cell: &AtomicU64, len: usize) {
    add(cell, u64::try_from(len).unwrap_or(u64::MAX));
}

impl fmt::Display for CountingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inner)
    }
}

#[async_trait]
impl ObjectStore for CountingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let len = payload.content_length();
        add(if opts.mode == PutMode::Create { &self.cells.create } else { &self.cells.put }, 1);
        let result = self.inner.put_opts(location, payload, opts).await?;
        add_len(&self.cells.bytes_up, len);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        add(&self.cells.put, 1);
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(CountingUpload { inner, cells: Arc::clone(&self.cells), len: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        add(if head { &self.cells.head } else { &self.cells.get }, 1);
        let result = self.inner.get_opts(location, options).await?;
        if !head {
            add(&self.cells.bytes_down, result.range.end.saturating_sub(result.range.start));
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        add(&self.cells.get, 1);
        let pieces = self.inner.get_ranges(location, ranges).await?;
        add_len(&self.cells.bytes_down, pieces.iter().map(Bytes::len).sum());
        Ok(pieces)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let cells = Arc::clone(&self.cells);
        let counted = locations.inspect(move |_| add(&cells.delete, 1)).boxed();
        self.inner.delete_stream(counted)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.cells.list, 1);
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        add(&self.cells.list, 1);
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        add(&self.cells.list, 1);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        add(&self.cells.put, 1);
        self.inner.copy_opts(from, to, options).await
    }
}

/// An upload in parts: one write, whose bytes count when it is complete.
#[derive(Debug)]
struct CountingUpload {
    inner: Box<dyn MultipartUpload>,
    cells: Arc<Cells>,
    len: usize,
}

#[async_trait]
impl MultipartUpload for CountingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.len = self.len.saturating_add(data.content_length());
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        add_len(&self.cells.bytes_up, self.len);
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
