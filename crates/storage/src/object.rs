//! What a store says about its objects, and which names it takes.

use object_store::ObjectMeta;
use object_store::path::Path;

use crate::StoreError;

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The whole name, from the root of the store.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was written by the store's clock, in nanoseconds since 1970. Informative only:
    /// nothing may be deleted because of it.
    pub modified_unix_nanos: i64,
}

impl From<ObjectMeta> for ObjectInfo {
    fn from(meta: ObjectMeta) -> Self {
        let nanos = meta.last_modified.timestamp_nanos_opt();
        Self {
            name: meta.location.into(),
            size: meta.size,
            modified_unix_nanos: nanos.unwrap_or(0),
        }
    }
}

/// The answer to a conditional creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object did not exist and now has the given bytes.
    Created,
    /// An object of that name exists and was left as it is.
    Exists,
}

/// The path of an object.
///
/// `#` is refused because the local store marks unfinished files with it, and `%` because file
/// URLs decode it: either would let two names meet in one file.
pub(crate) fn object_path(name: &str, operation: &'static str) -> Result<Path, StoreError> {
    let path = prefix_path(name, operation)?;
    if path.as_ref().is_empty() {
        return Err(bad_name(name, operation));
    }
    Ok(path)
}

/// The path of a prefix; the empty one is the root.
pub(crate) fn prefix_path(prefix: &str, operation: &'static str) -> Result<Path, StoreError> {
    let path = Path::parse(prefix).map_err(|error| StoreError::Failed {
        name: prefix.to_owned(),
        operation,
        source: Box::new(error),
    })?;
    if prefix.contains(['#', '%', '\\']) {
        return Err(bad_name(prefix, operation));
    }
    Ok(path)
}

fn bad_name(name: &str, operation: &'static str) -> StoreError {
    StoreError::Failed {
        name: name.to_owned(),
        operation,
        source: "this is not a name that an object can have".into(),
    }
}
