//! The write-once register and the snapshot it may hold (format-spec, chapter 7).

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::ids::{BlobId, Digest, IncarnationId, SessionId};
use crate::record::{Record, strictly_sorted};

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Register {
    /// It will never commit.
    Fence {
        /// For people to read.
        reason: String,
    },
    /// It committed.
    Committed(Box<Snapshot>),
}

impl Record for Register {
    const NAME: &'static str = "snapshot object";

    fn validate(&self) -> Result<(), FormatError> {
        let Self::Committed(snapshot) = self else {
            return Ok(());
        };
        if snapshot.series.is_empty() {
            return Err(FormatError::malformed(Self::NAME, "its series has no name"));
        }
        if !strictly_sorted(&snapshot.labels, |label| label.key.as_str()) {
            return Err(FormatError::malformed(Self::NAME, "its labels are not sorted"));
        }
        Ok(())
    }
}

/// The record of one run over one source. Its id is that of its session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The name under which successive snapshots of the source stand.
    pub series: String,
    /// Unix nanoseconds, by the writer's clock.
    pub started: i64,
    /// Unix nanoseconds, by the writer's clock.
    pub finished: i64,
    /// Where it ran.
    pub host: String,
    /// Who ran it.
    pub user: String,
    /// Name and version of the program that wrote it.
    pub program: String,
    /// Sorted by key.
    pub labels: Vec<Label>,
    /// How the source was read.
    pub source: Source,
    /// What was read and stored.
    pub counts: Counts,
    /// A directory node.
    pub root: BlobId,
    /// The series' newest snapshot when the run began.
    pub previous: Option<Previous>,
    /// The snapshot that this one was made from, without some of its entries.
    pub original: Option<Previous>,
    /// The ledger's incarnation in which the writer read what it relies on.
    pub incarnation: IncarnationId,
}

/// A key and a value that the user chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Unique in its snapshot.
    pub key: String,
    /// Any text.
    pub value: String,
}

/// How the source was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// From standard input.
    Stdin {
        /// The name of the one file; of a tar, the name it was given.
        name: String,
        /// It was a tar, whose members are the snapshot.
        tar: bool,
    },
    /// From the standard output of a command.
    Command {
        /// The name of the one file; of a tar, the name it was given.
        name: String,
        /// The command, without its credentials.
        arguments: Vec<String>,
        /// Its exit status: 0, or there would be no snapshot.
        status: i32,
        /// It was a tar, whose members are the snapshot.
        tar: bool,
    },
    /// From the file system.
    Paths {
        /// As given.
        paths: Vec<Vec<u8>>,
    },
}

/// What was read and stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
    /// Files that could not be read and are not part of the snapshot.
    pub unreadable: u64,
    /// Regular files that were found unchanged and not read.
    pub files_unchanged: u64,
    /// Their bytes.
    pub bytes_unchanged: u64,
    /// Bytes that were read of the source.
    pub bytes_read: u64,
    /// Chunks of what was read.
    pub chunks: u64,
    /// Those that no earlier run had stored.
    pub chunks_new: u64,
    /// Their bytes.
    pub bytes_new: u64,
    /// What they take in packs.
    pub bytes_stored: u64,
    /// New chunks that are stored as deltas.
    pub chunks_delta: u64,
    /// Their bytes.
    pub bytes_delta: u64,
    /// What they take in packs.
    pub bytes_stored_delta: u64,
    /// What was read from the store to make deltas.
    pub bytes_read_back: u64,
    /// Everything the run left in the store.
    pub bytes_added: u64,
}

impl Counts {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes_read.saturating_add(self.bytes_unchanged)
    }
}

/// Another snapshot: the one before this one, or the one it was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Previous {
    /// Which.
    pub id: SessionId,
    /// BLAKE3 of its object.
    pub digest: Digest,
}
