//! One asynchronous function per request: the checks that every store needs, whatever it is.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Attributes, Error, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};

use crate::cloud::advice;
use crate::{Created, ObjectInfo, StoreError};

/// An object of a store, as requests speak of it.
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) path: Path,
}

impl Object {
    pub(crate) fn error(&self, operation: &'static str) -> impl FnOnce(Error) -> StoreError {
        move |error| StoreError::from_store(&self.name, operation, error)
    }

    fn short(&self, wanted: u64, got: u64) -> StoreError {
        StoreError::Short { name: self.name.clone(), wanted, got }
    }
}

pub(crate) async fn put(
    store: Arc<dyn ObjectStore>,
    object: Object,
    data: Bytes,
    attributes: Attributes,
) -> Result<(), StoreError> {
    let options = PutOptions { mode: PutMode::Overwrite, attributes, ..PutOptions::default() };
    let put = store.put_opts(&object.path, PutPayload::from(data), options);
    put.await.map_err(object.error("write"))?;
    Ok(())
}

/// Creates an object, and settles what the store's answer leaves open. `seen_is_durable`: what can
/// be read back is there to stay.
pub(crate) async fn create(
    store: Arc<dyn ObjectStore>,
    object: Object,
    data: Bytes,
    attributes: Attributes,
    seen_is_durable: bool,
) -> Result<Created, StoreError> {
    let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
    let mut outcome = try_create(&*store, &object, &data, options.clone()).await;
    if matches!(&outcome, Err(error) if error.is_ambiguous()) {
        // The answer was lost. Asked again, the store either creates it, or says that it is there,
        // and on a file system makes that durable first.
        outcome = try_create(&*store, &object, &data, options).await;
    }
    match outcome {
        // A request that was repeated meets what it wrote itself.
        Ok(Created::Exists) => who_created(&*store, &object, &data).await,
        Err(error) if seen_is_durable && error.is_ambiguous() => {
            who_created(&*store, &object, &data).await.map_err(|_| error)
        }
        outcome => outcome,
    }
}

/// Creates an object where the store ignores conditions: looks first, and reads back afterwards who
/// was last. Of two who look at the same moment, the first may still be told that it won.
pub(crate) async fn look_and_create(
    store: Arc<dyn ObjectStore>,
    object: Object,
    data: Bytes,
    attributes: Attributes,
    seen_is_durable: bool,
) -> Result<Created, StoreError> {
    match store.head(&object.path).await {
        Ok(_) => return who_created(&*store, &object, &data).await,
        Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(object.error("look up")(error)),
    }
    let options = PutOptions { mode: PutMode::Overwrite, attributes, ..PutOptions::default() };
    let put = store.put_opts(&object.path, PutPayload::from(data.clone()), options).await;
    match put.map_err(object.error("create")) {
        Ok(_) => who_created(&*store, &object, &data).await,
        Err(error) if seen_is_durable && error.is_ambiguous() => {
            who_created(&*store, &object, &data).await.map_err(|_| error)
        }
        Err(error) => Err(error),
    }
}

async fn try_create(
    store: &dyn ObjectStore,
    object: &Object,
    data: &Bytes,
    options: PutOptions,
) -> Result<Created, StoreError> {
    let payload = PutPayload::from(data.clone());
    match store.put_opts(&object.path, payload, options).await {
        Ok(_) => Ok(Created::Created),
        // S3 answers a failed If-None-Match with "precondition failed".
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
        Err(error) => Err(object.error("create")(error)),
    }
}

/// Whether an object that exists is the one with these bytes.
async fn who_created(
    store: &dyn ObjectStore,
    object: &Object,
    data: &Bytes,
) -> Result<Created, StoreError> {
    let ours = has_bytes(store, object, data).await?;
    Ok(if ours { Created::Created } else { Created::Exists })
}

/// Whether an object has exactly these bytes; they are read only if the size is right.
pub(crate) async fn has_bytes(
    store: &dyn ObjectStore,
    object: &Object,
    data: &Bytes,
) -> Result<bool, StoreError> {
    let found = store.get_opts(&object.path, GetOptions::default()).await;
    let found = found.map_err(object.error("read"))?;
    let same_size = found.meta.size == data.len() as u64;
    Ok(same_size && found.bytes().await.map_err(object.error("read"))? == *data)
}

pub(crate) async fn get(
    store: Arc<dyn ObjectStore>,
    object: Object,
    limit: u64,
) -> Result<Bytes, StoreError> {
    let result = store.get_opts(&object.path, GetOptions::default()).await;
    let result = result.map_err(object.error("read"))?;
    let size = result.meta.size;
    if size > limit {
        return Err(StoreError::TooLarge { name: object.name.clone(), size, limit });
    }
    body(&object, result, size).await
}

/// The range is cut to the object before anything is allocated for it: it may come from an index
/// that names more bytes than there is memory.
pub(crate) async fn get_range(
    store: Arc<dyn ObjectStore>,
    object: Object,
    range: Range<u64>,
) -> Result<Bytes, StoreError> {
    let wanted = range.end.saturating_sub(range.start);
    if wanted == 0 {
        return Ok(Bytes::new());
    }
    let options =
        GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
    match store.get_opts(&object.path, options).await {
        Ok(result) => {
            let got = result.range.end.saturating_sub(result.range.start);
            if got != wanted || result.range.start != range.start {
                return Err(object.short(wanted, got.min(wanted)));
            }
            body(&object, result, wanted).await
        }
        Err(error @ Error::NotFound { .. }) => Err(object.error("read")(error)),
        Err(error) => Err(explain_range(&store, &object, &range, error).await),
    }
}

/// Stores answer a range behind the end with errors of their own; the size tells what it means.
async fn explain_range(
    store: &dyn ObjectStore,
    object: &Object,
    range: &Range<u64>,
    error: Error,
) -> StoreError {
    match store.head(&object.path).await {
        Ok(meta) if meta.size <= range.start => object.short(range.end - range.start, 0),
        _ => object.error("read")(error),
    }
}

async fn body(object: &Object, result: GetResult, wanted: u64) -> Result<Bytes, StoreError> {
    let bytes = result.bytes().await.map_err(object.error("read"))?;
    let got = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if got != wanted {
        return Err(object.short(wanted, got));
    }
    Ok(bytes)
}

pub(crate) async fn head(
    store: Arc<dyn ObjectStore>,
    object: Object,
) -> Result<Option<ObjectInfo>, StoreError> {
    match store.head(&object.path).await {
        Ok(meta) => Ok(Some(meta.into())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(object.error("look up")(reason(&*store, &object, error).await)),
    }
}

/// Why an object may not be looked up: a refusal to read it says so where it has a body.
async fn reason(store: &dyn ObjectStore, object: &Object, error: Error) -> Error {
    if !advice::lacks_reason(&error) {
        return error;
    }
    let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
    match store.get_opts(&object.path, options).await {
        Err(told) if !matches!(told, Error::NotFound { .. }) => told,
        _ => error,
    }
}

pub(crate) async fn delete(store: Arc<dyn ObjectStore>, object: Object) -> Result<(), StoreError> {
    match store.delete(&object.path).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(object.error("delete")(error)),
    }
}

pub(crate) async fn list(
    store: Arc<dyn ObjectStore>,
    prefix: Object,
) -> Result<Vec<ObjectInfo>, StoreError> {
    let listing = store.list(Some(&prefix.path)).map_ok(ObjectInfo::from);
    let mut objects: Vec<_> = listing.try_collect().await.map_err(prefix.error("list"))?;
    objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(objects)
}
