//! What this machine saw of the ledger before: a store that shows less, or something else, shows an
//! older state or is not where the repository goes on.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_format::object::ObjectName;
use nightjar_format::session::Position;
use nightjar_format::{Digest, IncarnationId};

use super::{Beginning, Ledger, Line};
use crate::cache::ObjectCache;
use crate::repository::Repository;

const HEAD: &str = "head";

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
        Self::in_file(&repository.cache, format!("{HEAD}-{}", repository.cache.address()))
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
    pub(super) fn compare(&self, repository: &Repository, ledger: &mut Ledger) {
        if !ledger.broken.is_empty() {
            // What stands behind a gap may be anybody's.
            return;
        }
        let line = &ledger.line;
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
                let why = self.altered(&seen, repository, ledger);
                ledger.broken.push(why);
                return;
            }
        }
        // One that does not open may be damaged, and must not count against the sound one.
        if ledger.records.last().is_some_and(|(newest, _)| newest.number == ledger.head.number) {
            self.note(repository, ledger.head, ledger.head_digest, ledger.line.epoch);
        }
    }

    /// What to say of a ledger that is not what was seen.
    fn altered(&self, seen: &SeenHead, repository: &Repository, ledger: &Ledger) -> String {
        let (number, head) = (seen.number, ledger.head.number);
        let file = repository.cache.directory().join(&self.file);
        let file = file.display();
        if !ledger.line.has_begun(&seen.incarnation) {
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
    pub(crate) fn left_behind(&self, seen: &SeenHead) -> Option<&Beginning> {
        if self.digests.get(&seen.number) == Some(&seen.digest) {
            return None;
        }
        let mut later = self.incarnations.iter();
        later.find(|it| it.incarnation == seen.incarnation)?;
        later.find(|it| it.number <= seen.number && it.epoch >= seen.epoch)
    }
}

/// The newest head that this machine has seen, by the cache it is remembered in.
pub(crate) fn head_seen(cache: &ObjectCache) -> Option<SeenHead> {
    Seen::of_repository(cache).parse()
}

/// When and how large the records were, of which the cache has what stood in the store.
pub(super) struct Stamps {
    file: String,
    read: BTreeMap<u64, Stamp>,
}

/// Size, and Unix nanoseconds, as a listing shows them.
pub(super) type Stamp = (u64, i64);

impl Stamps {
    pub(super) fn read(cache: &ObjectCache) -> Self {
        let file = format!("records-{}", cache.address());
        let text = cache.read_file(&file).unwrap_or_default();
        let parse = |line: &str| {
            let mut words = line.split_whitespace();
            let number = words.next()?.parse().ok()?;
            Some((number, (words.next()?.parse().ok()?, words.next()?.parse().ok()?)))
        };
        let read = String::from_utf8_lossy(&text).lines().filter_map(parse).collect();
        Self { file, read }
    }

    /// Records that are not, or may not be, what was cached.
    pub(super) fn differ(&self, listed: &BTreeMap<u64, Stamp>) -> BTreeSet<ObjectName> {
        let differ = listed.iter().filter(|(number, stamp)| self.read.get(number) != Some(stamp));
        differ.map(|(number, _)| ObjectName::Ledger(*number)).collect()
    }

    /// Notes that what is cached is what is listed, but for some.
    pub(super) fn note(
        &self,
        cache: &ObjectCache,
        listed: &BTreeMap<u64, Stamp>,
        not: &BTreeSet<ObjectName>,
    ) {
        let noted =
            listed.iter().filter(|(number, _)| !not.contains(&ObjectName::Ledger(**number)));
        let line = |(number, (size, time)): (&u64, &Stamp)| format!("{number} {size} {time}\n");
        let text: String = noted.map(line).collect();
        cache.write_file(&self.file, text.as_bytes());
    }
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

/// Anybody who may write can make a replica of a repository by creating `ledger/replica`, where no
/// older state would be noticed any more: a machine remembers the addresses at which it was none.
pub(super) fn check_mark(repository: &Repository, ledger: &mut Ledger) {
    let file = format!("repository-{}", repository.cache.address());
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
