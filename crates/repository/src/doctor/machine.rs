//! This machine: whether caches can be written, and whether there is room.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nightjar_format::ids::to_hex;

use super::{Check, State};
use crate::environment::Environment;

/// Less is soon used up by a night's work.
const LITTLE_BYTES: u64 = 1 << 30;

/// What an examination of this machine brought to light.
#[derive(Debug, Clone, Default)]
pub struct MachineFindings {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
    /// Bytes that can be written where the caches are.
    pub cache_free_bytes: Option<u64>,
    /// The same where the repository is, if that is a directory.
    pub store_free_bytes: Option<u64>,
}

/// Examines the place of the caches, and that of the repository if it is a directory of this
/// machine.
pub fn examine(environment: &Environment, repository: Option<&Path>) -> MachineFindings {
    let cache = &environment.cache_dir;
    let nonce: [u8; 8] = environment.random.array();
    let mut found = MachineFindings::default();
    found.checks.push(match try_writing(cache, &to_hex(&nonce)) {
        Ok(()) => Check::ok("cache", format!("{} can be written", cache.display())),
        Err(error) => Check {
            name: "cache",
            state: State::Failed,
            found: format!("cannot write to {}: {error}", cache.display()),
            advice: Some("name another directory with --cache-dir or NIGHTJAR_CACHE_DIR".into()),
        },
    });
    found.cache_free_bytes = free_bytes(cache).ok();
    found.checks.push(told_space("cache_space", cache, found.cache_free_bytes));
    match repository {
        Some(directory) => {
            found.store_free_bytes = free_bytes(directory).ok();
            found.checks.push(told_space("store_space", directory, found.store_free_bytes));
        }
        None => {
            let why = "the repository is not on this machine";
            found.checks.push(Check::skipped("store_space", why));
        }
    }
    found
}

fn try_writing(directory: &Path, nonce: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let path = directory.join(format!("doctor-{nonce}.tmp"));
    let written = File::create_new(&path).and_then(|mut file| file.write_all(b"nightjar doctor"));
    // A file that was not made cannot be removed.
    let removed = fs::remove_file(&path);
    written.and(removed)
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    let there = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    let found = rustix::fs::statvfs(there)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn told_space(name: &'static str, directory: &Path, free: Option<u64>) -> Check {
    let directory = directory.display();
    match free {
        None => Check::skipped(name, format!("the system does not tell it of {directory}")),
        Some(free) => {
            let told = format!("{} MiB are free at {directory}", free >> 20);
            if free >= LITTLE_BYTES {
                Check::ok(name, told)
            } else {
                Check::warning(name, told, "make room there: a backup that finds none fails")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_a_warning() {
        let state = |free| told_space("cache_space", Path::new("/x"), free).state;
        assert_eq!(state(Some(LITTLE_BYTES)), State::Ok);
        assert_eq!(state(Some(LITTLE_BYTES - 1)), State::Warning);
        assert_eq!(state(None), State::Skipped);
    }
}
