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
//! Faults that pass ([`FaultPlan::seeded`]) are drawn of the seed, the request and its name, not of
//! the order in which requests happen to come. Where a plan counts writes, which one is the n-th is
//! decided when it begins; with concurrent writes that is a matter of chance, as it is with a power
//! switch. Drop the `Store` before looking at what it left.
//!
//! A write that arrives late, or a second time, is held by a [`Network`], which several stores can
//! share: every request of theirs is time going by.

mod careless;
mod chance;
mod network;
mod plan;
mod progress;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

pub use self::careless::CarelessStore;
use self::chance::Kind;
pub use self::network::Network;
use self::network::Write;
pub use self::plan::{FaultPlan, FaultRates, LastWrite, LoggedWrite, WriteOperation};
use self::progress::{Progress, ReadVerdict, WriteVerdict};

/// A decorator that carries out a [`FaultPlan`]. Clones share the plan's progress and the log.
#[derive(Clone, Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    network: Arc<Network>,
    progress: Arc<Progress>,
}

impl FaultStore {
    /// Fails requests to `inner` as `plan` says.
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self::on(Arc::default(), inner, plan)
    }

    /// The same on a way that other clients of `inner` share.
    pub fn on(network: Arc<Network>, inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self { inner, network, progress: Arc::new(Progress::new(plan)) }
    }

    /// The mutating operations that reached the store below, in the order in which they began. A
    /// creation that found the name taken and a deletion that found nothing are among them; what
    /// arrived late is not ([`Network::delivered`]).
    pub fn log(&self) -> Vec<LoggedWrite> {
        self.progress.log()
    }

    /// How many requests met a fault so far.
    pub fn injected(&self) -> u64 {
        self.progress.injected()
    }

    /// Loses the store now: every later operation fails.
    pub fn stop(&self) {
        self.progress.stop();
    }

    /// Whether the store is lost by now.
    pub fn is_stopped(&self) -> bool {
        self.progress.is_stopped()
    }

    async fn judge_read(&self, kind: Kind, name: &str) -> ReadVerdict {
        self.network.pass().await;
        self.progress.read(kind, name)
    }

    async fn write(
        &self,
        operation: WriteOperation,
        location: &Path,
        write: Write,
    ) -> Result<PutResult> {
        self.network.pass().await;
        let len = match &write {
            Write::Put(payload, _) => payload.content_length(),
            Write::Delete => 0,
        };
        match self.progress.write(operation, location, len) {
            WriteVerdict::Proceed => write.carry_out(&*self.inner, location).await,
            WriteVerdict::Refuse(error) => Err(error),
            WriteVerdict::ProceedAndDeny(error) => {
                write.carry_out(&*self.inner, location).await?;
                Err(error)
            }
            WriteVerdict::ProceedAndRepeat(requests) => {
                self.network.hold_back(requests, &self.inner, location, write.clone());
                write.carry_out(&*self.inner, location).await
            }
            WriteVerdict::HoldBack(requests, error) => {
                self.network.hold_back(requests, &self.inner, location, write);
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
        let operation = WriteOperation::of(&opts.mode);
        self.write(operation, location, Write::Put(payload, Box::new(opts))).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.is_stopped() {
            return Err(progress::lost());
        }
        let PutMultipartOptions { tags, attributes, extensions } = opts;
        let options = PutOptions { tags, attributes, extensions, ..PutOptions::default() };
        let (store, location) = (self.clone(), location.clone());
        Ok(Box::new(FaultUpload { store, location, options, parts: Vec::new() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { Kind::Head } else { Kind::Get };
        match self.judge_read(kind, location.as_ref()).await {
            ReadVerdict::Proceed => self.inner.get_opts(location, options).await,
            ReadVerdict::Refuse(error) => Err(error),
            ReadVerdict::Truncate(error) => {
                Ok(truncated(self.inner.get_opts(location, options).await?, error))
            }
            ReadVerdict::Pause(pause) => {
                tokio::time::sleep(pause).await;
                self.inner.get_opts(location, options).await
            }
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Path| {
            let store = store.clone();
            async move {
                store.write(WriteOperation::Delete, &location, Write::Delete).await?;
                Ok(location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (store, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            let name = prefix.as_ref().map_or("", Path::as_ref).to_owned();
            match store.judge_read(Kind::List, &name).await {
                ReadVerdict::Refuse(error) => futures::stream::iter([Err(error)]).boxed(),
                ReadVerdict::Truncate(error) => {
                    let listed: Vec<_> = store.inner.list(prefix.as_ref()).collect().await;
                    let half = listed.len() / 2;
                    let end = std::iter::once(Err(error));
                    futures::stream::iter(listed.into_iter().take(half).chain(end)).boxed()
                }
                ReadVerdict::Proceed | ReadVerdict::Pause(_) => store.inner.list(prefix.as_ref()),
            }
        };
        futures::stream::once(list).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let name = prefix.map_or("", Path::as_ref);
        match self.judge_read(Kind::List, name).await {
            ReadVerdict::Refuse(error) | ReadVerdict::Truncate(error) => Err(error),
            ReadVerdict::Proceed | ReadVerdict::Pause(_) => {
                self.inner.list_with_delimiter(prefix).await
            }
        }
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(self.not_implemented("copy_opts"))
    }
}

/// An answer of which half comes, then an error.
fn truncated(answer: GetResult, error: object_store::Error) -> GetResult {
    let (meta, range) = (answer.meta.clone(), answer.range.clone());
    let (attributes, extensions) = (answer.attributes.clone(), answer.extensions.clone());
    let half = async move {
        let bytes = answer.bytes().await?;
        Ok(bytes.slice(..bytes.len() / 2))
    };
    let body = futures::stream::once(half).chain(futures::stream::iter([Err(error)]));
    let payload = GetResultPayload::Stream(body.boxed());
    GetResult { payload, meta, range, attributes, extensions }
}

/// An upload in parts: one write, which begins and takes effect with its completion.
#[derive(Debug)]
struct FaultUpload {
    store: FaultStore,
    location: Path,
    options: PutOptions,
    parts: Vec<Bytes>,
}

#[async_trait]
impl MultipartUpload for FaultUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.parts.extend(data);
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let payload = std::mem::take(&mut self.parts).into_iter().collect();
        let write = Write::Put(payload, Box::new(self.options.clone()));
        self.store.write(WriteOperation::Put, &self.location, write).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
