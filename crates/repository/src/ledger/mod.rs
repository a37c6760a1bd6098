//! Reading the ledger and appending to it (format-spec, chapter 8).
//!
//! A record is valid if a member signed it, a full one where the body asks for that, in the
//! incarnation that stands where it does, and if it names the digest of the record before it. A
//! record that is not is void and stops nobody. Gaps, broken links and a head older than seen before
//! are tampering: nothing is appended or backed up then, and every command reports it.

mod seen;

use std::collections::{BTreeMap, BTreeSet};

use nightjar_codec::digest;
use nightjar_codec::metadata::Opened;
use nightjar_format::ledger::{LedgerBody, LedgerRecord, LedgerState};
use nightjar_format::object::{MetadataHeader, MetadataKind, ObjectName};
use nightjar_format::replica::ReplicaRecord;
use nightjar_format::session::Position;
use nightjar_format::slot::Role;
use nightjar_format::{Digest, IncarnationId, PackId, SlotId, limits};
use nightjar_storage::{Created, StoreError};

use crate::bundles::Records;
use crate::error::{RepositoryError, Result};
use crate::repository::Repository;
pub(crate) use seen::{SeenHead, head_seen};

use seen::{Seen, Stamp, Stamps};

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
    /// What the mark of a replica says, if there is one: of a replica that was promoted, it is left
    /// over.
    pub mark: Option<ReplicaRecord>,
    /// The records as they follow on one another.
    pub(crate) line: Line,
}

impl Ledger {
    /// Refuses to go on with a ledger that lacks what was there before.
    pub(crate) fn require_whole(&self) -> Result<()> {
        match self.broken.first() {
            Some(finding) => Err(RepositoryError::Tampered(finding.clone())),
            None => Ok(()),
        }
    }

    /// Packs that records after that number call damaged, and those that they call repaired.
    pub(crate) fn packs_named_after(&self, number: u64) -> (BTreeSet<PackId>, BTreeSet<PackId>) {
        let (mut damaged, mut repaired) = (BTreeSet::new(), BTreeSet::new());
        for (record, _) in self.records.iter().filter(|(record, _)| record.number > number) {
            match &record.body {
                LedgerBody::Damaged { packs } => damaged.extend(packs),
                LedgerBody::Repaired { packs } => repaired.extend(packs),
                _ => {}
            }
        }
        (damaged, repaired)
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
    read_holding(repository, &mut Records::default())
}

/// The same with objects that are at hand, and that stay so for another time.
pub(crate) fn read_holding(repository: &Repository, held: &mut Records) -> Result<Ledger> {
    // Before the listing: a head that another process notes meanwhile may be newer than it.
    let seen = Seen::of_repository(&repository.cache);
    let seen_in_replica = Seen::of_replica(repository);
    let mut listed = Listed::look(repository)?;
    if listed.has_gap() {
        // A directory that is read while two records are appended may show the second alone.
        listed = Listed::look(repository)?;
    }
    let Listed { stamps: listed, is_marked } = listed;
    if listed.is_empty() {
        return Err(RepositoryError::Tampered("ledger/ is missing from the store".into()));
    }
    // What is cached of a store must be what stands there now: this one may stand in for it.
    let stamps = Stamps::read(&repository.cache);
    let stale = stamps.differ(&listed);
    let mut ledger = loop {
        held.gather(repository, &listed, &stale)?;
        let ledger = replay(repository, &listed, Some(held))?;
        // Copies that wait for an epoch which never began: nothing will vouch for them.
        if ledger.next_epoch.is_some() || !held.refuse_copies() {
            break ledger;
        }
    };
    if ledger.line.has_late && held.has_believed_copies() {
        // What came late from a store that was given up vouches for copies from there.
        ledger = replay(repository, &listed, None)?;
    }
    if !stale.is_empty() {
        let is_cached = |name: &ObjectName| {
            held.object(name).is_some_and(|object| {
                repository.cache.get(name).is_some_and(|cached| cached == **object)
            })
        };
        let unread = stale.into_iter().filter(|name| !is_cached(name)).collect();
        stamps.note(&repository.cache, &listed, &unread);
    }
    if is_marked {
        ledger.mark = read_mark(repository)?;
        let has_begun = |mark: ReplicaRecord| ledger.line.has_begun(&mark.incarnation);
        ledger.is_replica = !ledger.mark.is_some_and(has_begun);
    }
    if ledger.is_replica {
        // That is about packs of the source: what was copied is sound.
        ledger.state.damaged.clear();
        seen_in_replica.compare(repository, &mut ledger);
    } else {
        seen.compare(repository, &mut ledger);
    }
    seen::check_mark(repository, &mut ledger);
    ledger.findings.extend(ledger.broken.iter().cloned());
    Ok(ledger)
}

/// What the mark says. One that cannot be read marks a replica all the same.
fn read_mark(repository: &Repository) -> Result<Option<ReplicaRecord>> {
    let limit = limits::PLAIN_OBJECT_BYTES as u64;
    match repository.store.get(&ObjectName::Replica.to_string(), limit) {
        Ok(object) => Ok(ReplicaRecord::from_object(&object).ok()),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What the store shows of the ledger.
struct Listed {
    stamps: BTreeMap<u64, Stamp>,
    is_marked: bool,
}

impl Listed {
    fn look(repository: &Repository) -> Result<Self> {
        let mut listed = Self { stamps: BTreeMap::new(), is_marked: false };
        for info in repository.store.list("ledger")? {
            match ObjectName::parse(&info.name) {
                Some(ObjectName::Ledger(number)) => {
                    listed.stamps.insert(number, (info.size, info.modified_unix_nanos));
                }
                Some(ObjectName::Replica) => listed.is_marked = true,
                _ => {}
            }
        }
        Ok(listed)
    }

    fn has_gap(&self) -> bool {
        !(0..).zip(self.stamps.keys()).all(|(place, number)| place == *number)
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

/// Reads a record from what is at hand, from the cache, or from the store; from the store first where
/// nothing is to be believed that was read before. What is cached stands in for what is damaged.
fn fetch(repository: &Repository, name: &ObjectName, held: Option<&Records>) -> Result<Fetched> {
    let fetched = |object: &[u8], record| Fetched {
        digest: digest::hash(object),
        claimed: MetadataHeader::split(object).map_or(0, |(header, _)| header.epoch),
        record,
    };
    let cached = || {
        let object = repository.cache.get(name)?;
        let valid = open(repository, name, &object).ok()?;
        Some(fetched(&object, Ok(valid)))
    };
    if held.is_some_and(|held| held.object(name).is_none())
        && let Some(fetched) = cached()
    {
        return Ok(fetched);
    }
    if let Some(copy) = held.and_then(|held| held.waiting(name)) {
        let why = format!("{name} is sealed under an epoch that is not known");
        return Ok(fetched(copy, Err(why)));
    }
    let object = match held.and_then(|held| held.object(name)) {
        Some(object) => object.clone(),
        None => repository.store.get(&name.to_string(), limits::METADATA_OBJECT_BYTES as u64)?,
    };
    let record = match open(repository, name, &object) {
        Ok(valid) => {
            repository.cache.put(name, &object);
            Ok(valid)
        }
        Err(error) if error.is_damage() => match cached() {
            Some(fetched) => return Ok(fetched),
            None => Err(error.to_string()),
        },
        Err(error) => return Err(error),
    };
    Ok(fetched(&object, record))
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

fn open(repository: &Repository, name: &ObjectName, object: &[u8]) -> Result<Valid> {
    let opened = repository.unseal::<LedgerRecord>(MetadataKind::Ledger, name, object)?;
    let Opened { record, signer, role, epoch } = opened;
    let damaged = |why: String| RepositoryError::Damaged { object: name.to_string(), why };
    if record.body.needs_full_role() && role != Role::Full {
        let (signer, body) = (signer.short(), record.body.name());
        return Err(damaged(format!("slot {signer} has the role write and may not {body}")));
    }
    if ObjectName::Ledger(record.number) != *name {
        return Err(damaged("it holds another record".into()));
    }
    Ok(Valid { record, signer, epoch })
}

/// The records as they follow on one another, for what is to be compared with them.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Digests of all objects that are there, by number.
    digests: BTreeMap<u64, Digest>,
    /// Where each incarnation begins, and under which epoch; the oldest first.
    incarnations: Vec<Beginning>,
    /// The newest epoch that has begun.
    epoch: u32,
    /// Whether a record is void because it is of another incarnation.
    has_late: bool,
}

/// Where an incarnation begins.
#[derive(Debug, Clone)]
pub(crate) struct Beginning {
    incarnation: IncarnationId,
    number: u64,
    epoch: u32,
}

impl Line {
    fn has_begun(&self, incarnation: &IncarnationId) -> bool {
        self.incarnations.iter().any(|it| it.incarnation == *incarnation)
    }
}

fn replay(
    repository: &Repository,
    listed: &BTreeMap<u64, Stamp>,
    held: Option<&Records>,
) -> Result<Ledger> {
    let newest = listed.last_key_value().map_or(0, |(number, _)| *number);
    let first = repository.record.incarnation;
    let mut ledger = Ledger {
        head: Position { incarnation: first, number: newest },
        head_digest: Digest([0; 32]),
        state: LedgerState::default(),
        records: Vec::new(),
        findings: Vec::new(),
        broken: Vec::new(),
        next_epoch: None,
        is_replica: false,
        mark: None,
        line: Line {
            digests: BTreeMap::new(),
            incarnations: vec![Beginning { incarnation: first, number: 0, epoch: 1 }],
            epoch: 1,
            has_late: false,
        },
    };
    let mut replay = Replay { previous: Some(Digest([0; 32])), expected: 0 };
    for number in listed.keys() {
        let name = ObjectName::Ledger(*number);
        if *number != replay.expected {
            let from = replay.expected;
            ledger.broken.push(format!("ledger records {from} to {number} are missing"));
            replay.previous = None;
        }
        replay.expected = number + 1;
        let Fetched { digest, claimed, record } = fetch(repository, &name, held)?;
        ledger.head_digest = digest;
        match record {
            Ok(valid) => replay.take(repository, &name, valid, &mut ledger),
            Err(why) if claimed > repository.keychain.epoch() && ledger.next_epoch.is_none() => {
                ledger.broken.push(format!("{why}: the record that began the epoch is lost"));
            }
            Err(why) => ledger.findings.push(why),
        }
        replay.previous = Some(digest);
        ledger.line.digests.insert(*number, digest);
    }
    Ok(ledger)
}

/// What the next record is measured against.
struct Replay {
    /// Digest of the record before; none if that is missing.
    previous: Option<Digest>,
    expected: u64,
}

impl Replay {
    /// Takes a record into account, unless a removed slot could have made it up, or it was meant
    /// for the store that this one stands in for.
    fn take(
        &mut self,
        repository: &Repository,
        name: &ObjectName,
        valid: Valid,
        ledger: &mut Ledger,
    ) {
        let Valid { record, signer, epoch } = valid;
        if epoch < ledger.line.epoch {
            let why = format!("{name} is void: it is sealed under epoch {epoch}, which had ended");
            ledger.findings.push(why);
            return;
        }
        if epoch > ledger.line.epoch {
            let why = format!("{name}: the record that began epoch {epoch} is lost");
            ledger.broken.push(why);
        }
        if record.incarnation != ledger.head.incarnation {
            let of = record.incarnation;
            ledger.findings.push(format!("{name} is void: it is of another incarnation, {of}"));
            ledger.line.has_late = true;
            return;
        }
        if self.previous.is_some_and(|previous| previous != record.previous) {
            ledger.broken.push(format!("{name} does not follow on the record before it"));
        }
        if let LedgerBody::Epoch { epoch: begun, digest } = record.body {
            if begun != ledger.line.epoch + 1 {
                ledger.findings.push(format!("{name} is void: epoch {begun} is not the next"));
                return;
            }
            ledger.line.epoch = begun;
            if begun > repository.keychain.epoch() && ledger.next_epoch.is_none() {
                ledger.next_epoch = Some((begun, digest));
            }
        }
        if let LedgerBody::Promote(promotion) = &record.body {
            let (incarnation, number) = (promotion.incarnation, record.number);
            ledger.line.incarnations.push(Beginning { incarnation, number, epoch });
            ledger.head.incarnation = incarnation;
        }
        ledger.state.apply(&record);
        ledger.records.push((record, signer));
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
    append_anywhere(repository, ledger, body)
}

/// The same, also in a replica: for the record that ends that.
pub(crate) fn append_anywhere(
    repository: &Repository,
    ledger: &Ledger,
    body: &LedgerBody,
) -> Result<Option<Position>> {
    if body.needs_full_role() {
        repository.require_full("write to the ledger")?;
    }
    ledger.require_whole()?;
    if ledger.next_epoch.is_some() {
        return Err(RepositoryError::KeysChanged);
    }
    let number = ledger.head.number + 1;
    let name = ObjectName::Ledger(number);
    let record = LedgerRecord {
        incarnation: ledger.head.incarnation,
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
    let incarnation = match body {
        LedgerBody::Promote(promotion) => promotion.incarnation,
        _ => ledger.head.incarnation,
    };
    let position = Position { incarnation, number };
    seen::note_own(repository, position, digest);
    Ok(Some(position))
}
