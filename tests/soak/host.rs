//! A machine that works on the repository: its cache, and how it opens it.

use std::fs;
use std::path::{Path, PathBuf};

use nightjar_testkit::environment::copy_directory;

use crate::harness::{Nightjar, Sandbox};

pub(crate) struct Host {
    pub(crate) is_full: bool,
    cache: PathBuf,
    passphrase: PathBuf,
    /// The day on which its cache was copied.
    copied: Option<u64>,
}

impl Host {
    pub(crate) fn new(sandbox: &Sandbox, name: &str, passphrase: &Path, is_full: bool) -> Self {
        let cache = sandbox.path(&format!("cache-{name}"));
        fs::create_dir(&cache).unwrap();
        Self { is_full, cache, passphrase: passphrase.to_owned(), copied: None }
    }

    /// The program on this machine.
    pub(crate) fn nightjar(&self, sandbox: &Sandbox, words: &str) -> Nightjar {
        let run = sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", &self.cache);
        run.env("NIGHTJAR_PASSWORD_FILE", &self.passphrase)
    }

    /// Its disk is restored from a copy of weeks ago, or such a copy is made. Whether it was
    /// restored. Nothing may run on it.
    pub(crate) fn grow_stale(&mut self, day: u64) -> bool {
        let copy = self.cache.with_extension("copy");
        match self.copied {
            Some(then) if then + 14 <= day => {
                fs::remove_dir_all(&self.cache).unwrap();
                fs::rename(&copy, &self.cache).unwrap();
                self.copied = None;
                true
            }
            Some(_) => false,
            None => {
                fs::create_dir(&copy).unwrap();
                copy_directory(&self.cache, &copy);
                self.copied = Some(day);
                false
            }
        }
    }
}
