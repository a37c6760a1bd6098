//! Reading the ledger and appending to it (format-spec, chapter 8).
//!
//! A record is valid if a member signed it, a full one where the body asks for that, and if it
//! names the digest of the record before it. A record that is not is void and stops nobody.
//! Gaps, broken links and a head older than seen before are tampering: nothing is appended or
//! backed up then, and every command reports it.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_codec::digest;
use nightjar_codec::metadata::Opened;
use nightjar_format::ids::to_hex;
use nightjar_format::ledger::{LedgerBody, LedgerRecord, LedgerState};
use nightjar_format::object::{MetadataHeader, MetadataKind, ObjectName};
use nightjar_format::session::Position;
use nightjar_format::slot::Role;
use nightjar_format::{Digest, IncarnationId, SlotId, limits};
use nightjar_storage::Created;

use crate::ahead::Ahead;
use crate::cache::ObjectCache;
use crate::error::{RepositoryError, Result};
use crate::repository::Repository;

/// The ledger as it stood when it was read.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// Its newest record.
    pub head: Position,
    /// BLAKE3 of that record's object.
    pub head_digest: Digest,
    /// What all records amount to.
    pub state: LedgerState,
    /// Every record, oldest first, with its signer.
    pub records: Vec<(LedgerRecord, SlotId)>,
    /// What is not as it should be, for people to read.
    pub findings: Vec<String>,
    /// Those that mean that records are missing, exchanged or taken back: nothing may be appended.
    pub broken: Vec<String>,
    /// An epoch that has begun and that the keychain does not have yet.
    pub next_epoch: Option<(u32, Digest)>,
    /// The store holds a replica: nothing is appended, and it may be older than what was seen.
    pub is_replica: bool,
}

impl Ledger {
    /// Refuses to go on with a ledger that lacks what was there before.
    pub(crate) fn require_whole(&self) -> Result<()> {
        match self.broken.first() {
            Some(finding) => Err(RepositoryError::Tampered(finding.clone())),
            None => Ok(()),
        }
    }
}

/// Reads the current incarnation to its head and compares it with what was seen before.
pub fn read(repository: &Repository) -> Result<Ledger> {
    let ledger = read_with(repository)?;
    if !ledger.findings.is_empty() && !lacking_slots(repository, &ledger)?.is_empty() {
        // A record of that slot would be taken for nobody's: a hold would count for nothing.
        return Err(RepositoryError::KeysChanged);
    }
    Ok(ledger)
}

/// Slots that were added and that the keychain does not have yet.
pub(crate) fn lacking_slots(repository: &Repository, ledger: &Ledger) -> Result<BTreeSet<SlotId>> {
    let keychain = &repository.keychain;
    let mut lacking = BTreeSet::new();
    for (record, _) in &ledger.records {
        let LedgerBody::Slot { slot } = record.body else { continue };
        let known = repository.is_unreadable(&slot)
            || keychain.members().any(|member| member.slot_id == slot)
            || keychain.slot_objects().iter().any(|object| object.record.slot_id == slot);
        // One whose object is gone never will be known.
        if !known && repository.store.head(&ObjectName::Slot(slot).to_string())?.is_some() {
            lacking.insert(slot);
        }
    }
    Ok(lacking)
}

/// Whether an epoch began, or a slot was added, since the keychain was made.
pub(crate) fn are_keys_old(repository: &Repository) -> Result<bool> {
    let ledger = read_with(repository)?;
    Ok(ledger.next_epoch.is_some() || !lacking_slots(repository, &ledger)?.is_empty())
}

/// The same with the slots that the keychain has, whoever was added since.
pub(crate) fn read_with(repository: &Repository) -> Result<Ledger> {
    // Before the listing: a head that another process notes meanwhile may be newer than it.
    let seen = Seen::of_repository(&repository.cache);
    let seen_in_replica = Seen::of_replica(repository);
    let incarnation = repository.record.incarnation;
    let mut listed = Listed::look(repository)?;
    if listed.has_gap(&incarnation) {
        // A directory that is read while two records are appended may show the second alone.
        listed = Listed::look(repository)?;
    }
    let Listed { mut incarnations, sizes, is_replica } = listed;
    let Some(numbers) = incarnations.remove(&incarnation) else {
        let why = format!("ledger/{incarnation}/ is missing from the store");
        return Err(RepositoryError::Tampered(why));
    };
    fetch_ahead(repository, sizes)?;
    let mut ledger = Ledger { is_replica, ..replay(repository, incarnation, &numbers)? };
    // No program makes a second one yet: whoever did could begin again before its own removal.
    let others = incarnations.keys().map(|id| format!("ledger/{id}/ is ignored: it is nobody's"));
    ledger.findings.extend(others);
    if is_replica {
        // That is about packs of the source: what was copied is sound.
        ledger.state.damaged.clear();
    }
    if is_replica {
        seen_in_replica.compare(repository, &mut ledger);
    } else {
        seen.compare(repository, &mut ledger);
    }
    check_mark(repository, &mut ledger);
    ledger.findings.extend(ledger.broken.iter().cloned());
    Ok(ledger)
}

/// The address of a store, as file names tell it.
pub(crate) fn address(url: &str) -> String {
    let hash = digest::hash(url.as_bytes());
    to_hex(hash.0.first_chunk::<8>().unwrap_or(&[0; 8]))
}

/// Anybody who may write can make a replica of a repository by creating `ledger/replica`, where no
/// older state would be noticed any more: a machine remembers the addresses at which it was none.
fn check_mark(repository: &Repository, ledger: &mut Ledger) {
    let file = format!("repository-{}", address(repository.store.url()));
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

/// What the store shows of ledgers.
struct Listed {
    incarnations: BTreeMap<IncarnationId, BTreeSet<u64>>,
    sizes: BTreeMap<ObjectName, u64>,
    is_replica: bool,
}

impl Listed {
    fn look(repository: &Repository) -> Result<Self> {
        let mut listed =
            Self { incarnations: BTreeMap::new(), sizes: BTreeMap::new(), is_replica: false };
        for info in repository.store.list("ledger")? {
            match ObjectName::parse(&info.name) {
                Some(name @ ObjectName::Ledger(incarnation, number)) => {
                    listed.incarnations.entry(incarnation).or_default().insert(number);
                    listed.sizes.insert(name, info.size);
                }
                Some(ObjectName::Replica) => listed.is_replica = true,
                _ => {}
            }
        }
        Ok(listed)
    }

    fn has_gap(&self, incarnation: &IncarnationId) -> bool {
        let numbers = self.incarnations.get(incarnation);
        numbers.is_some_and(|numbers| !(0..).zip(numbers).all(|(place, number)| place == *number))
    }
}

/// The object of a record.
struct Fetched {
    /// BLAKE3 of it: the next record names it, valid or not.
    digest: Digest,
    /// The epoch that its clear header names.
    claimed: u32,
    /// The record, or why it is void.
    record: std::result::Result<Valid, String>,
}

/// A record that is validly signed.
struct Valid {
    record: LedgerRecord,
    signer: SlotId,
    /// The epoch it is sealed under.
    epoch: u32,
}

/// Reads a record from the cache or the store.
fn fetch(repository: &Repository, name: &ObjectName) -> Result<Fetched> {
    let fetched = |object: &[u8], record| Fetched {
        digest: digest::hash(object),
        claimed: MetadataHeader::split(object).map_or(0, |(header, _)| header.epoch),
        record,
    };
    if let Some(object) = repository.cache.get(name)
        && let Ok(valid) = open(repository, name, &object)
    {
        return Ok(fetched(&object, Ok(valid)));
    }
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    let object = repository.store.get(&name.to_string(), limit)?;
    let record = match open(repository, name, &object) {
        Ok(valid) => {
            repository.cache.put(name, &object);
            Ok(valid)
        }
        Err(error) if error.is_damage() => Err(error.to_string()),
        Err(error) => return Err(error),
    };
    Ok(fetched(&object, record))
}

/// Fetches into the cache the valid records that it lacks, several at a time.
fn fetch_ahead(repository: &Repository, sizes: BTreeMap<ObjectName, u64>) -> Result<()> {
    let lacking = sizes.into_iter().filter(|(name, _)| !repository.cache.has(name));
    for (name, object) in Ahead::new(repository, lacking, limits::METADATA_OBJECT_BYTES as u64) {
        match object {
            Ok(object) if open(repository, &name, &object).is_ok() => {
                repository.cache.put(&name, &object);
            }
            // What is wrong with it is told when its turn comes.
            Ok(_) => {}
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The record in an object, if it is validly signed. Whether it follows on the one before it is not
/// looked at.
pub(crate) fn open_record(
    repository: &Repository,
    name: &ObjectName,
    object: &[u8],
) -> Result<LedgerRecord> {
    open(repository, name, object).map(|valid| valid.record)
}

/// The newest head that this machine has seen, by the cache it is remembered in.
pub(crate) fn head_seen(cache: &ObjectCache) -> Option<(IncarnationId, u64, Digest)> {
    Seen::of_repository(cache).parse()
}

fn open(repository: &Repository, name: &ObjectName, object: &[u8]) -> Result<Valid> {
    let opened = repository.unseal::<LedgerRecord>(MetadataKind::Ledger, name, object)?;
    let Opened { record, signer, role, epoch } = opened;
    let damaged = |why: String| RepositoryError::Damaged { object: name.to_string(), why };
    if record.body.needs_full_role() && role != Role::Full {
        let (signer, body) = (signer.short(), record.body.name());
        return Err(damaged(format!("slot {signer} has the role write and may not {body}")));
    }
    if ObjectName::Ledger(record.incarnation, record.number) != *name {
        return Err(damaged("it holds another record".into()));
    }
    Ok(Valid { record, signer, epoch })
}

fn replay(
    repository: &Repository,
    incarnation: IncarnationId,
    numbers: &BTreeSet<u64>,
) -> Result<Ledger> {
    let newest = numbers.last().copied().unwrap_or(0);
    let mut ledger = Ledger {
        head: Position { incarnation, number: newest },
        head_digest: Digest([0; 32]),
        state: LedgerState::default(),
        records: Vec::new(),
        findings: Vec::new(),
        broken: Vec::new(),
        next_epoch: None,
        is_replica: false,
    };
    let mut replay = Replay { previous: Some(Digest([0; 32])), expected: 0, epoch: 1 };
    for number in numbers {
        let name = ObjectName::Ledger(incarnation, *number);
        if *number != replay.expected {
            let from = replay.expected;
            ledger.broken.push(format!("ledger records {from} to {number} are missing"));
            replay.previous = None;
        }
        replay.expected = number + 1;
        let Fetched { digest, claimed, record } = fetch(repository, &name)?;
        ledger.head_digest = digest;
        match record {
            Ok(valid) => replay.take(repository, &name, valid, &mut ledger),
            Err(why) if claimed > repository.keychain.epoch() && ledger.next_epoch.is_none() => {
                ledger.broken.push(format!("{why}: the record that began the epoch is lost"));
            }
            Err(why) => ledger.findings.push(why),
        }
        replay.previous = Some(digest);
    }
    Ok(ledger)
}

/// What the next record is measured against.
struct Replay {
    /// Digest of the record before; none if that is missing.
    previous: Option<Digest>,
    expected: u64,
    /// The newest epoch that has begun.
    epoch: u32,
}

impl Replay {
    /// Takes a record into account, unless a removed slot could have made it up.
    fn take(
        &mut self,
        repository: &Repository,
        name: &ObjectName,
        valid: Valid,
        ledger: &mut Ledger,
    ) {
        let Valid { record, signer, epoch } = valid;
        if epoch < self.epoch {
            let why = format!("{name} is void: it is sealed under epoch {epoch}, which had ended");
            ledger.findings.push(why);
            return;
        }
        if epoch > self.epoch {
            let why = format!("{name}: the record that began epoch {epoch} is lost");
            ledger.broken.push(why);
        }
        if self.previous.is_some_and(|previous| previous != record.previous) {
            ledger.broken.push(format!("{name} does not follow on the record before it"));
        }
        if let LedgerBody::Epoch { epoch: begun, digest } = record.body {
            if begun != self.epoch + 1 {
                ledger.findings.push(format!("{name} is void: epoch {begun} is not the next"));
                return;
            }
            self.epoch = begun;
            if begun > repository.keychain.epoch() && ledger.next_epoch.is_none() {
                ledger.next_epoch = Some((begun, digest));
            }
        }
        ledger.state.apply(&record);
        ledger.records.push((record, signer));
    }
}

const HEAD: &str = "head";

/// The newest head that this machine has seen, and of a replica, which may be behind its source, the
/// newest seen there.
struct Seen {
    file: String,
    line: String,
}

impl Seen {
    fn of_repository(cache: &ObjectCache) -> Self {
        Self::in_file(cache, HEAD.to_owned())
    }

    fn of_replica(repository: &Repository) -> Self {
        Self::in_file(&repository.cache, format!("{HEAD}-{}", address(repository.store.url())))
    }

    fn in_file(cache: &ObjectCache, file: String) -> Self {
        let line = cache.read_file(&file).unwrap_or_default();
        Self { line: String::from_utf8_lossy(&line).into_owned(), file }
    }

    fn parse(&self) -> Option<(IncarnationId, u64, Digest)> {
        let mut words = self.line.split_whitespace();
        let incarnation = words.next()?.parse().ok()?;
        let number = words.next()?.parse().ok()?;
        Some((incarnation, number, words.next()?.parse().ok()?))
    }

    /// Reports a ledger that is older than, or differs from, what was seen; else remembers it.
    fn compare(&self, repository: &Repository, ledger: &mut Ledger) {
        if !ledger.broken.is_empty() {
            // What stands behind a gap may be anybody's.
            return;
        }
        if let Some((incarnation, number, digest)) = self.parse()
            && incarnation == ledger.head.incarnation
        {
            let head = ledger.head.number;
            if number > head {
                ledger.broken.push(format!(
                    "the ledger ends at record {head}, but record {number} was seen before: the \
                     store shows an older state (if it was restored from a copy on purpose, \
                     delete {})",
                    repository.cache.directory().join(&self.file).display()
                ));
                return;
            }
            if number == head && digest != ledger.head_digest {
                ledger.broken.push(format!("ledger record {number} is not the one seen before"));
                return;
            }
        }
        // One that does not open may be damaged, and must not count against the sound one.
        if ledger.records.last().is_some_and(|(newest, _)| newest.number == ledger.head.number) {
            self.note(repository, ledger.head, ledger.head_digest);
        }
    }

    /// Remembers a head, unless it is the one that was seen.
    fn note(&self, repository: &Repository, head: Position, digest: Digest) {
        let line = format!("{} {} {digest}\n", head.incarnation, head.number);
        if line != self.line {
            repository.cache.write_file(&self.file, line.as_bytes());
        }
    }
}

/// Appends a record and returns its position. Where another process takes the number at the same
/// moment, this reads on and tries the next.
pub fn append(repository: &Repository, body: &LedgerBody) -> Result<Position> {
    let position = append_decided(repository, |_| Ok(Some(body.clone())))?;
    position.ok_or(RepositoryError::Internal("a record was decided and not appended"))
}

/// Appends what `decide` makes of the ledger, right after the head that it was shown, so that what
/// it decided by still holds. Where another process takes the number, it is asked again. Nothing is
/// appended if it has nothing to say.
pub(crate) fn append_decided(
    repository: &Repository,
    mut decide: impl FnMut(&Ledger) -> Result<Option<LedgerBody>>,
) -> Result<Option<Position>> {
    loop {
        let ledger = read(repository)?;
        let Some(body) = decide(&ledger)? else { return Ok(None) };
        if let Some(position) = append_after(repository, &ledger, &body)? {
            return Ok(Some(position));
        }
    }
}

/// Appends a record right after a head that was read before. Nothing if the number was taken:
/// what was decided by that reading no longer holds.
pub(crate) fn append_after(
    repository: &Repository,
    ledger: &Ledger,
    body: &LedgerBody,
) -> Result<Option<Position>> {
    repository.require_no_replica()?;
    if body.needs_full_role() {
        repository.require_full("write to the ledger")?;
    }
    ledger.require_whole()?;
    if ledger.next_epoch.is_some() {
        return Err(RepositoryError::KeysChanged);
    }
    let number = ledger.head.number + 1;
    let incarnation = ledger.head.incarnation;
    let name = ObjectName::Ledger(incarnation, number);
    let record = LedgerRecord {
        incarnation,
        number,
        previous: ledger.head_digest,
        time: repository.environment.clock.now(),
        body: body.clone(),
    };
    let object = repository.seal(MetadataKind::Ledger, &name, &record)?;
    let digest = digest::hash(&object);
    if repository.store.create(&name.to_string(), object.into())? == Created::Exists {
        return Ok(None);
    }
    let position = Position { incarnation, number };
    let seen = Seen::of_repository(&repository.cache);
    // Who wrote it has seen it, too. Another process may have seen a newer one by now.
    if seen.parse().is_none_or(|(seen, newest, _)| seen != incarnation || newest < number) {
        seen.note(repository, position, digest);
    }
    Ok(Some(position))
}
