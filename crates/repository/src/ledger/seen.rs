//! What this machine saw of the ledger before: a store that shows less, or something else, shows an
//! older state or is not where the repository goes on.

use nightjar_codec::digest;
use nightjar_format::ids::to_hex;
use nightjar_format::object::ObjectName;
use nightjar_format::session::Position;
use nightjar_format::{Digest, IncarnationId, limits};
use nightjar_storage::{ObjectInfo, Store};

use super::{Beginning, Ledger, Line, open};
use crate::cache::ObjectCache;
use crate::error::{RepositoryError, Result};
use crate::repository::Repository;

const HEAD: &str = "head";
/// Where the newest record that is cached was read.
const NEWEST: &str = "newest";

/// The newest head that this machine has seen, and of a replica, which may be behind its source, the
/// newest seen there.
pub(super) struct Seen {
    file: String,
    line: String,
}

/// A head, as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeenHead {
    /// The incarnation that stood there.
    pub(crate) incarnation: IncarnationId,
    pub(crate) number: u64,
    /// BLAKE3 of the record's object.
    pub(crate) digest: Digest,
    /// The newest epoch that had begun.
    pub(crate) epoch: u32,
}

impl Seen {
    pub(super) fn of_repository(cache: &ObjectCache) -> Self {
        Self::in_file(cache, HEAD.to_owned())
    }

    pub(super) fn of_replica(repository: &Repository) -> Self {
        Self::in_file(&repository.cache, format!("{HEAD}-{}", address(&repository.store)))
    }

    fn in_file(cache: &ObjectCache, file: String) -> Self {
        let line = cache.read_file(&file).unwrap_or_default();
        Self { line: String::from_utf8_lossy(&line).into_owned(), file }
    }

    pub(super) fn parse(&self) -> Option<SeenHead> {
        let mut words = self.line.split_whitespace();
        Some(SeenHead {
            incarnation: words.next()?.parse().ok()?,
            number: words.next()?.parse().ok()?,
            digest: words.next()?.parse().ok()?,
            epoch: words.next()?.parse().ok()?,
        })
    }

    /// Reports a ledger that is older than, or differs from, what was seen; else remembers it.
    pub(super) fn compare(&self, repository: &Repository, ledger: &mut Ledger, line: &Line) {
        if !ledger.broken.is_empty() {
            // What stands behind a gap may be anybody's.
            return;
        }
        if let Some(seen) = self.parse()
            && line.digests.get(&seen.number) != Some(&seen.digest)
        {
            if let Some(promoted) = line.left_behind(&seen) {
                let (from, to) = (promoted.number, seen.number);
                ledger.findings.push(format!(
                    "a replica was promoted and stands here for the repository (ledger record \
                     {from}); the former one had gone on to record {to} when this machine last used \
                     it: what was backed up there since its last replication is not here"
                ));
            } else {
                ledger.broken.push(self.altered(&seen, repository, ledger, line));
                return;
            }
        }
        // One that does not open may be damaged, and must not count against the sound one.
        if ledger.records.last().is_some_and(|(newest, _)| newest.number == ledger.head.number) {
            self.note(repository, ledger.head, ledger.head_digest, line.epoch);
        }
    }

    /// What to say of a ledger that is not what was seen.
    fn altered(
        &self,
        seen: &SeenHead,
        repository: &Repository,
        ledger: &Ledger,
        line: &Line,
    ) -> String {
        let (number, head) = (seen.number, ledger.head.number);
        let file = repository.cache.directory().join(&self.file);
        let file = file.display();
        if !line.has_begun(&seen.incarnation) {
            format!(
                "this machine has used a replica that was promoted to stand for this repository \
                 (incarnation {}, ledger record {number}), and this store knows nothing of it: two \
                 stores go on as the same repository. Use the promoted one, or, if this one is right, \
                 delete {file}",
                seen.incarnation
            )
        } else if number > head {
            format!(
                "the ledger ends at record {head}, but record {number} was seen before: the store \
                 shows an older state (if it was restored from a copy on purpose, delete {file})"
            )
        } else {
            format!("ledger record {number} is not the one seen before")
        }
    }

    /// Remembers a head, unless it is the one that was seen.
    fn note(&self, repository: &Repository, head: Position, digest: Digest, epoch: u32) {
        let line = format!("{} {} {digest} {epoch}\n", head.incarnation, head.number);
        if line != self.line {
            repository.cache.write_file(&self.file, line.as_bytes());
        }
    }
}

impl Line {
    /// The promotion by which a store that was seen was given up, if that explains why it showed
    /// something else. Whoever was removed by an epoch that was seen cannot have made it.
    fn left_behind(&self, seen: &SeenHead) -> Option<&Beginning> {
        let mut later = self.incarnations.iter();
        later.find(|it| it.incarnation == seen.incarnation)?;
        later.find(|it| it.number <= seen.number && it.epoch >= seen.epoch)
    }
}

/// The newest head that this machine has seen, by the cache it is remembered in.
pub(crate) fn head_seen(cache: &ObjectCache) -> Option<SeenHead> {
    Seen::of_repository(cache).parse()
}

/// Sees that the newest record is the store's own: a record of its number may be cached that stood in
/// the store that this one stands in for. The records before it are what it says they are.
pub(super) fn follow_store(repository: &Repository, newest: &ObjectInfo) -> Result<()> {
    let ObjectInfo { name, size, modified_unix_nanos } = newest;
    let stamp = format!("{} {name} {size} {modified_unix_nanos}\n", address(&repository.store));
    if repository.cache.read_file(NEWEST).is_some_and(|it| it == stamp.as_bytes()) {
        return Ok(());
    }
    let Some(name) = ObjectName::parse(&newest.name) else { return Ok(()) };
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    let object = match repository.store.get(&newest.name, limit).map_err(RepositoryError::from) {
        // What is wrong with it is told when its turn comes.
        Err(error) if error.is_damage() => return Ok(()),
        object => object?,
    };
    if open(repository, &name, &object).is_ok() {
        repository.cache.put(&name, &object);
        repository.cache.write_file(NEWEST, stamp.as_bytes());
    }
    Ok(())
}

/// Remembers a record that this machine wrote, unless another process saw a newer one by now.
pub(super) fn note_own(repository: &Repository, position: Position, digest: Digest) {
    let seen = Seen::of_repository(&repository.cache);
    let is_newer =
        |it: SeenHead| it.incarnation != position.incarnation || it.number < position.number;
    if seen.parse().is_none_or(is_newer) {
        seen.note(repository, position, digest, repository.keychain.epoch());
    }
}

/// The address of a store, as file names tell it.
pub(crate) fn address(store: &Store) -> String {
    let hash = digest::hash(store.address().as_bytes());
    to_hex(hash.0.first_chunk::<8>().unwrap_or(&[0; 8]))
}

/// Anybody who may write can make a replica of a repository by creating `ledger/replica`, where no
/// older state would be noticed any more: a machine remembers the addresses at which it was none.
pub(super) fn check_mark(repository: &Repository, ledger: &mut Ledger) {
    let file = format!("repository-{}", address(&repository.store));
    let was_repository = repository.cache.read_file(&file).is_some();
    if ledger.is_replica && was_repository {
        let url = repository.store.url();
        ledger.broken.push(format!(
            "{url} was a repository when this machine last used it, and is marked as a replica now: \
             if nobody replicates to it, somebody made `ledger/replica`, and deleting that object \
             mends it; if it was replaced on purpose, delete {}",
            repository.cache.directory().join(file).display()
        ));
    } else if !ledger.is_replica && !was_repository {
        repository.cache.write_file(&file, b"");
    }
}
