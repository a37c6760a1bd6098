//! What writers that were killed leave behind: files `name#N`, which no listing shows.

use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::path::Path as FsPath;

use object_store::ObjectMeta;

use super::root::Root;
use crate::ObjectInfo;

/// Removes those below a folder of which `is_abandoned`, which sees the name of the object that each
/// was to become, says so, and returns them.
pub(super) fn remove(
    root: &Root,
    folder: &str,
    is_abandoned: impl Fn(&ObjectInfo) -> bool,
) -> io::Result<Vec<ObjectInfo>> {
    let mut removed = Vec::new();
    let mut pending = vec![root.path().join(folder)];
    while let Some(directory) = pending.pop() {
        for entry in or_gone(fs::read_dir(&directory))?.into_iter().flatten() {
            let entry = entry?;
            let is_marked = entry.file_name().as_encoded_bytes().contains(&b'#');
            if !is_marked && !entry.file_type()?.is_dir() {
                continue;
            }
            let Some(metadata) = or_gone(entry.metadata())? else { continue };
            if metadata.is_dir() {
                pending.push(entry.path());
            } else if let Some(info) = described(root.path(), &entry, &metadata)?
                && is_abandoned(&info)
            {
                root.check()?;
                if or_gone(fs::remove_file(entry.path()))?.is_some() {
                    removed.push(info);
                }
            }
        }
    }
    Ok(removed)
}

fn described(
    root: &FsPath,
    entry: &DirEntry,
    metadata: &Metadata,
) -> io::Result<Option<ObjectInfo>> {
    let path = entry.path();
    let name = path.strip_prefix(root).ok().and_then(FsPath::to_str);
    let Some((name, number)) = name.and_then(|name| name.rsplit_once('#')) else { return Ok(None) };
    if !metadata.is_file() || number.is_empty() || number.bytes().any(|it| !it.is_ascii_digit()) {
        return Ok(None);
    }
    let Ok(location) = object_store::path::Path::parse(name) else { return Ok(None) };
    let last_modified = metadata.modified()?.into();
    let size = metadata.len();
    Ok(Some(ObjectMeta { location, last_modified, size, e_tag: None, version: None }.into()))
}

fn or_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
