//! Large objects go to a cloud in parts, several at once: a part that fails is sent again by
//! itself, and one connection's speed is not the limit.
//!
//! Nobody sees parts: the object is there, whole, when the completion is done, and not before. Two
//! things are different from a plain put:
//!
//! - **Parts that nobody completes are paid for.** What fails here is aborted; what a kill leaves
//!   is not, so buckets should have a rule that ends uploads after some days. (Azure has one.)
//! - **A completion cannot be asked for twice**: a store that has done it knows the upload no more.
//!   So whatever the answer, if the object then has exactly our bytes, it is done, whoever did it;
//!   bytes and not only the size, because a put may replace another object of that size. That
//!   costs a download, and seldom.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{TryStreamExt, stream};
use object_store::{
    Attributes, Error, MultipartUpload, ObjectStore, PutMultipartOptions, UploadPart,
};
use tokio::time::timeout;

use crate::StoreError;
use crate::requests::{Object, has_bytes};

/// Parts of one object under way at once.
const AT_ONCE: usize = 4;
/// Nobody waits longer for an upload to be thrown away.
const FAREWELL: Duration = Duration::from_secs(30);

/// Writes an object in parts.
pub(crate) async fn put(
    store: Arc<dyn ObjectStore>,
    object: Object,
    data: Bytes,
    attributes: Attributes,
    part_bytes: usize,
) -> Result<(), StoreError> {
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let upload = store.put_multipart_opts(&object.path, options).await;
    let mut upload = upload.map_err(object.error("write"))?;
    let error = match send(&mut *upload, &data, part_bytes).await {
        Ok(()) => match upload.complete().await {
            Ok(_) => return Ok(()),
            Err(error) => {
                if has_bytes(&*store, &object, &data).await.unwrap_or(false) {
                    return Ok(());
                }
                error
            }
        },
        Err(error) => error,
    };
    if !matches!(timeout(FAREWELL, upload.abort()).await, Ok(Ok(()))) {
        tracing::info!("{}: the parts that were sent could not be removed", object.name);
    }
    Err(failed(&object, error))
}

async fn send(
    upload: &mut dyn MultipartUpload,
    data: &Bytes,
    part_bytes: usize,
) -> Result<(), Error> {
    let mut rest = data.clone();
    let mut parts: Vec<Result<UploadPart, Error>> = Vec::new();
    while !rest.is_empty() {
        let part = rest.split_to(rest.len().min(part_bytes.max(1)));
        parts.push(Ok(upload.put_part(part.into())));
    }
    stream::iter(parts).try_buffer_unordered(AT_ONCE).try_collect().await
}

/// What is not found is the upload.
fn failed(object: &Object, error: Error) -> StoreError {
    match object.error("write")(error) {
        StoreError::NotFound { name } => {
            let source = "the store does not know the upload in parts any more".into();
            StoreError::Failed { name, operation: "write", source }
        }
        error => error,
    }
}
