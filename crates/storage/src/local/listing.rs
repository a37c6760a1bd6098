//! A listing of a directory that is complete or an error.
//!
//! Only what has vanished meanwhile is left out, what another program put there under a name that
//! no object can have, and unfinished writes (`name#N`).

use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path as FsPath, PathBuf};

use object_store::ObjectMeta;
use object_store::path::Path;

/// All objects below `prefix` of the store at `root`, in no order.
pub(super) fn list(root: &FsPath, prefix: &Path) -> io::Result<Vec<ObjectMeta>> {
    let directory = prefix.parts().fold(root.to_owned(), |path, part| path.join(part.as_ref()));
    // A root that has gone, with its disk perhaps, is not an empty store.
    fs::metadata(root)?;
    let mut objects = Vec::new();
    let mut pending = vec![(directory, prefix.clone())];
    while let Some((directory, name)) = pending.pop() {
        for entry in entries(&directory)? {
            let entry = entry?;
            let Some(name) = name_of(&entry, &name) else {
                continue;
            };
            match follow(&entry)? {
                Some(metadata) if metadata.is_dir() => pending.push((entry.path(), name)),
                Some(metadata) if metadata.is_file() => objects.push(describe(name, &metadata)?),
                _ => {}
            }
        }
    }
    Ok(objects)
}

fn entries(directory: &PathBuf) -> io::Result<impl Iterator<Item = io::Result<DirEntry>>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => Some(entries),
        // A prefix that is an object has nothing below it.
        Err(error) if is_absence(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(entries.into_iter().flatten())
}

fn name_of(entry: &DirEntry, above: &Path) -> Option<Path> {
    let name = entry.file_name().into_string().ok()?;
    let foreign = name.contains(['#', '%', '\\']) || name.chars().any(|c| c.is_ascii_control());
    if foreign {
        return None;
    }
    let whole = if above.as_ref().is_empty() { name } else { format!("{above}/{name}") };
    Path::parse(whole).ok()
}

fn follow(entry: &DirEntry) -> io::Result<Option<Metadata>> {
    match fs::metadata(entry.path()) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn describe(location: Path, metadata: &Metadata) -> io::Result<ObjectMeta> {
    Ok(ObjectMeta {
        location,
        last_modified: metadata.modified()?.into(),
        size: metadata.len(),
        e_tag: None,
        version: None,
    })
}
