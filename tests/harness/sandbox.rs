//! A directory with everything a run needs: repository, cache, passphrase.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Nightjar, data, program};

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// Makes guessing cheap, and tests quick.
pub(crate) const WEAK: &str = "--argon2-memory 1MiB";

/// Somebody who may read nothing but what is open to all: `nobody`.
const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A temporary directory; deleted in the end.
pub(crate) struct Sandbox {
    directory: TempDir,
}

impl Sandbox {
    /// With a repository.
    pub(crate) fn new() -> Self {
        let sandbox = Self::without_repository();
        sandbox.nightjar("init").args(WEAK).done();
        sandbox
    }

    /// Without one.
    pub(crate) fn without_repository() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let sandbox = Self { directory };
        sandbox.write("passphrase", PASSPHRASE);
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a sandbox can be written to");
        path
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The program with these arguments, for this repository.
    pub(crate) fn nightjar(&self, args: &str) -> Nightjar {
        Nightjar::new()
            .args(args)
            .env("NIGHTJAR_REPOSITORY", self.repository())
            .env("NIGHTJAR_PASSWORD_FILE", self.path("passphrase"))
            .env("NIGHTJAR_CACHE_DIR", self.cache())
    }

    /// The same as an unprivileged user, to whom everything here is given.
    pub(crate) fn nightjar_unprivileged(&self, args: &str) -> Nightjar {
        let run = self.nightjar(args);
        if !is_root() {
            return run;
        }
        // Where the program was built, others may not even look. It is large: linked if possible.
        let copy = self.path("nightjar");
        let _ = fs::remove_file(&copy);
        give_away(self.directory.path());
        if fs::hard_link(program(), &copy).is_err() {
            fs::copy(program(), &copy).expect("a sandbox has room for the program");
        }
        run.copy_of_program(&copy)
            .through(&format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"))
    }

    /// Stores a stream under this name, which is also its series; returns the snapshot's id.
    pub(crate) fn store(&self, name: &str, stream: &[u8]) -> String {
        let run = self.nightjar("snapshot create --stdin").arg(name);
        id_of(&run.stdin(stream).json())
    }

    /// All snapshots, as `snapshot list --json` shows them.
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let list = self.nightjar("snapshot list").json();
        list.as_array().expect("an array of snapshots").clone()
    }

    /// The stream of a snapshot that holds one file.
    pub(crate) fn stream(&self, id: &str) -> Vec<u8> {
        self.nightjar("snapshot restore --stdout").arg(id).done().stdout
    }

    pub(crate) fn assert_verifies(&self) {
        self.nightjar("snapshot verify --all --level data").done();
    }

    /// Bytes of all objects in the store.
    pub(crate) fn stored_bytes(&self) -> u64 {
        files_below(&self.repository()).iter().map(|path| path.metadata().unwrap().len()).sum()
    }

    /// A slot of the role write; returns its passphrase file.
    pub(crate) fn add_write_slot(&self) -> PathBuf {
        let file = self.write("write-passphrase", "only for writing");
        self.nightjar("key add --role write --label host --new-password-file")
            .arg(&file)
            .args(WEAK)
            .done();
        file
    }

    /// A dump that is stored already, as `dump.sql`.
    pub(crate) fn with_dump() -> (Self, Vec<u8>, String) {
        let sandbox = Self::new();
        let dump = data::dump(1, 20_000);
        let id = sandbox.store("dump.sql", &dump);
        (sandbox, dump, id)
    }
}

#[track_caller]
pub(crate) fn id_of(document: &Value) -> String {
    document["id"].as_str().unwrap_or_else(|| panic!("no id in {document}")).to_owned()
}

/// A number in a document.
#[track_caller]
pub(crate) fn number(document: &Value, field: &str) -> u64 {
    document[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {document}"))
}

/// All regular files below a directory, sorted.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => open.push(entry.path()),
                kind if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn give_away(path: &Path) {
    lchown(path, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

impl Drop for Sandbox {
    /// A directory that nobody may read cannot be deleted either.
    fn drop(&mut self) {
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            let _ = fs::set_permissions(&directory, fs::Permissions::from_mode(0o700));
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
            open.extend(entries.filter(is_dir).map(|entry| entry.path()));
        }
    }
}
