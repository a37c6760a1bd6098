//! A machine that works on the repository: its cache, and how it opens it.

use std::fs;
use std::path::{Path, PathBuf};

use nightjar_testkit::environment::copy_directory;

use crate::harness::{Nightjar, Sandbox};

pub(crate) struct Host {
    pub(crate) is_full: bool,
    cache: PathBuf,
    passphrase: PathBuf,
}

impl Host {
    pub(crate) fn new(sandbox: &Sandbox, name: &str, passphrase: &Path, is_full: bool) -> Self {
        let cache = sandbox.path(&format!("cache-{name}"));
        fs::create_dir(&cache).unwrap();
        Self { is_full, cache, passphrase: passphrase.to_owned() }
    }

    /// The program on this machine.
    pub(crate) fn nightjar(&self, sandbox: &Sandbox, words: &str) -> Nightjar {
        let run = sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", &self.cache);
        run.env("NIGHTJAR_PASSWORD_FILE", &self.passphrase)
    }

    /// Its disk is set back to the copy that was made of it, or if there is none, one is made.
    /// Whether it was set back. Nothing may run on it.
    pub(crate) fn grow_stale(&self) -> bool {
        let copy = self.cache.with_extension("copy");
        if copy.exists() {
            fs::remove_dir_all(&self.cache).unwrap();
            fs::rename(&copy, &self.cache).unwrap();
            return true;
        }
        fs::create_dir(&copy).unwrap();
        copy_directory(&self.cache, &copy);
        false
    }
}
