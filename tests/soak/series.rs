//! What is stored: dumps and a tree that change from night to night, as a seed decides.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nightjar_testkit::edits::Edit;
use nightjar_testkit::generate::{Rng, dump};

use crate::harness::Nightjar;
use crate::harness::tree::read;

/// Bytes that a dump has about.
const DUMP: usize = 700_000;
const FILE: usize = 30_000;
const FILES: usize = 25;

/// A source with a name, and what it holds today.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    /// Where it lies: a file, or a directory.
    pub(crate) path: PathBuf,
    rng: Rng,
    /// Of a tree, by name; of a dump, one.
    files: BTreeMap<String, Vec<u8>>,
}

impl Series {
    pub(crate) fn dump(name: &'static str, directory: &Path, seed: u64) -> Self {
        let path = directory.join(name);
        let files = BTreeMap::from([(String::new(), dump(seed, DUMP))]);
        Self { name, path, rng: Rng::new(seed), files }
    }

    pub(crate) fn tree(name: &'static str, directory: &Path, seed: u64) -> Self {
        let path = directory.join(name);
        fs::create_dir(&path).unwrap();
        let files = (0..FILES).map(|it| (format!("{it:04}"), dump(seed + it as u64, FILE)));
        Self { name, path, rng: Rng::new(seed), files: files.collect() }
    }

    pub(crate) fn is_tree(&self) -> bool {
        self.path.is_dir()
    }

    /// A day goes by. Returns what stands for all bytes of the night.
    pub(crate) fn next_night(&mut self) -> blake3::Hash {
        if self.is_tree() {
            self.change_tree();
        } else {
            let bytes = self.files.values_mut().next().unwrap();
            change(bytes, DUMP, 1 + self.rng.below(4), &mut self.rng);
            fs::write(&self.path, bytes).unwrap();
        }
        hash_of(&self.path)
    }

    /// Some files change, one is new, one goes, one has another name; the rest is not touched.
    fn change_tree(&mut self) {
        let rng = &mut self.rng;
        let names: Vec<String> = self.files.keys().cloned().collect();
        for _ in 0..3 {
            let name = &names[rng.below(names.len())];
            change(self.files.get_mut(name).unwrap(), FILE, 1, rng);
        }
        let (goes, renamed) = (rng.below(names.len()), rng.below(names.len()));
        self.files.remove(&names[goes]);
        if let Some(bytes) = self.files.remove(&names[renamed]) {
            self.files.insert(format!("{:08x}", rng.next_u64() >> 32), bytes);
        }
        while self.files.len() < FILES {
            let (name, seed) = (format!("{:08x}", rng.next_u64() >> 32), rng.next_u64());
            self.files.insert(name, dump(seed, FILE));
        }
        for name in names.iter().filter(|name| !self.files.contains_key(*name)) {
            drop(fs::remove_file(self.path.join(name)));
        }
        for (name, bytes) in &self.files {
            let path = self.path.join(name);
            if fs::read(&path).ok().as_ref() != Some(bytes) {
                fs::write(path, bytes).unwrap();
            }
        }
    }

    /// Adds to `snapshot create` what is to be stored.
    pub(crate) fn stored_by(&self, run: Nightjar) -> Nightjar {
        if self.is_tree() {
            return run.args("--series").arg(self.name).source(&self.path);
        }
        run.args("--name").arg(self.name).args("-- cat").arg(&self.path)
    }
}

/// Some edits; the length stays about the same over the years.
fn change(bytes: &mut Vec<u8>, usual: usize, edits: usize, rng: &mut Rng) {
    for _ in 0..edits {
        Edit::any(rng).apply(bytes, rng);
    }
    if bytes.len() > usual * 3 / 2 {
        // At the front, so that everything moves.
        bytes.drain(..bytes.len() - usual);
    }
    if bytes.len() < usual * 2 / 3 {
        bytes.extend(dump(rng.next_u64(), usual / 3));
    }
}

/// What stands for all bytes of a file, or of a tree with its names, modes and times.
pub(crate) fn hash_of(path: &Path) -> blake3::Hash {
    if path.is_dir() {
        // Nodes are shown by the hashes of their contents.
        return blake3::hash(format!("{:?}", read(path)).as_bytes());
    }
    blake3::hash(&fs::read(path).unwrap())
}
