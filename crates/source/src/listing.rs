//! The names in a directory.

use std::os::fd::AsFd;

use rustix::fs::Dir;
use rustix::io::Result;

/// The names in a directory, in no order. One that changes meanwhile may tell a name twice.
pub(crate) fn names(directory: impl AsFd) -> Result<impl Iterator<Item = Result<Box<[u8]>>>> {
    let all = Dir::read_from(directory)?.map(|entry| Ok(Box::from(entry?.file_name().to_bytes())));
    Ok(all.filter(|name: &Result<Box<[u8]>>| !matches!(name.as_deref(), Ok(b"." | b".."))))
}

/// The names in a directory in their order, each once.
pub(crate) fn sorted_names(directory: impl AsFd) -> Result<Vec<Box<[u8]>>> {
    let mut names = names(directory)?.collect::<Result<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}
