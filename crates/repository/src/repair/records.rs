//! The ledger, put together from both stores.
//!
//! Each record names the digest of the one before it, so a valid record vouches for all before it.
//! Where no record that is here vouches for one of the copy, there is nothing but its signature, and
//! that may deceive:
//!
//! - The copy may have gone its own way. A record that says that something is gone does not come back
//!   if that is here.
//! - Whoever was removed by an epoch may have made up another one in its place. One that begins an
//!   epoch comes back only if what is here is sealed under that.
//! - What stands behind the newest record here may never have stood here. It comes back only if this
//!   machine has seen it here.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_format::object::{MetadataHeader, ObjectName};
use nightjar_format::{Digest, limits};
use nightjar_storage::Store;

use super::foundation::mend;
use super::registers::open as open_register;
use super::{Left, Small, Trouble, get};
use crate::ahead::Ahead;
use crate::error::Result;
use crate::index::sync::open_index;
use crate::ledger::{self, SeenHead};
use crate::repository::Repository;

const LIMIT: u64 = limits::METADATA_OBJECT_BYTES as u64;

/// How much is known of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// All of it, as far as anybody can tell.
    Whole,
    /// All that is here. The copy has more, for which nobody vouches: somebody may have been removed by
    /// that.
    MaybeOlder,
    /// Records are missing or damaged.
    InPart,
}

/// The records.
pub(super) struct Records {
    store: Store,
    copy: Store,
    /// What lies here; nothing where it cannot be read.
    here: BTreeMap<u64, Option<Bytes>>,
    /// What the copy holds, as far as somebody asked.
    asked: BTreeMap<u64, Option<Bytes>>,
    /// Numbers for which the copy's record is not believed.
    barred: BTreeSet<u64>,
    /// What the ledger is to be.
    chosen: BTreeMap<u64, Bytes>,
    /// The newest that is to be.
    top: u64,
    /// Number and digest of the newest that this machine saw.
    seen: Option<(u64, Digest)>,
    /// The newest of the copy.
    newest_there: Option<u64>,
}

impl Records {
    pub(super) fn read(
        store: &Store,
        copy: &Store,
        seen: Option<SeenHead>,
        one_at_a_time: bool,
    ) -> Result<Self> {
        let listed = listed(store)?;
        let names = listed.iter().map(|(number, size)| (ObjectName::Ledger(*number), *size));
        let mut here = BTreeMap::new();
        for (name, object) in Ahead::over(store, one_at_a_time, names, LIMIT) {
            let ObjectName::Ledger(number) = name else { continue };
            let object = match object {
                Ok(object) => Some(object),
                Err(error) if error.is_damage() => None,
                Err(error) => return Err(error),
            };
            here.insert(number, object);
        }
        let newest_there = self::listed(copy)?.last_key_value().map(|(number, _)| *number);
        let seen = seen.map(|seen| (seen.number, seen.digest));
        let chosen = here.iter().filter_map(|(number, object)| Some((*number, object.clone()?)));
        let mut records = Self {
            store: store.clone(),
            copy: copy.clone(),
            chosen: chosen.collect(),
            top: 0,
            asked: BTreeMap::new(),
            barred: BTreeSet::new(),
            here,
            seen,
            newest_there,
        };
        records.top = records.find_top()?;
        for number in 0..=records.top {
            if !records.here.contains_key(&number)
                && let Some(object) = records.theirs(number)?
            {
                records.chosen.insert(number, object);
            }
        }
        Ok(records)
    }

    /// The newest record that is here; or a newer one that this machine saw here and the copy has.
    fn find_top(&mut self) -> Result<u64> {
        let Some(newest) = self.newest_here() else { return Ok(self.newest_there.unwrap_or(0)) };
        let Some((number, digest)) = self.seen.filter(|(number, _)| *number > newest) else {
            return Ok(newest);
        };
        let theirs = self.theirs(number)?;
        Ok(if theirs.is_some_and(|it| digest::hash(&it) == digest) { number } else { newest })
    }

    fn newest_here(&self) -> Option<u64> {
        self.here.last_key_value().map(|(number, _)| *number)
    }

    /// Lets go of what this machine saw: it was in another store, which this one stands in for.
    pub(super) fn forget_what_was_seen(&mut self) {
        self.seen = None;
        self.top = self.newest_here().or(self.newest_there).unwrap_or(0);
        let top = self.top;
        self.chosen.retain(|number, _| *number <= top);
    }

    /// The copy's record, asked for once.
    fn theirs(&mut self, number: u64) -> Result<Option<Bytes>> {
        if self.barred.contains(&number) {
            return Ok(None);
        }
        if let Some(known) = self.asked.get(&number) {
            return Ok(known.clone());
        }
        let object = get(&self.copy, &ObjectName::Ledger(number), LIMIT)?;
        self.asked.insert(number, object.clone());
        Ok(object)
    }

    /// Writes the ledger that is to be into a store in memory.
    pub(super) fn write_to(&self, scratch: &Store) -> Result<()> {
        for (number, size) in listed(scratch)? {
            let is_it = self.chosen.get(&number).is_some_and(|it| it.len() as u64 == size);
            if !is_it {
                scratch.delete(&ObjectName::Ledger(number).to_string())?;
            }
        }
        for (number, object) in &self.chosen {
            scratch.put(&ObjectName::Ledger(*number).to_string(), object.clone())?;
        }
        Ok(())
    }

    /// Takes the copy's record wherever it differs, for now: without the keys of an epoch nobody can
    /// tell which of the two began it.
    pub(super) fn prefer_copy(&mut self) -> Result<()> {
        for number in 0..=self.top {
            if let Some(object) = self.theirs(number)? {
                self.chosen.insert(number, object);
            }
        }
        Ok(())
    }

    /// Takes for each number the record that fits; if both do, the one that is here. True if anything
    /// changed: then more keys may be known, and it is worth another look.
    pub(super) fn improve(&mut self, repository: &Repository) -> Result<bool> {
        let mut changed = false;
        let mut next: Option<LedgerRecord> = None;
        for number in (0..=self.top).rev() {
            let ours = self.here.get(&number).cloned().flatten();
            let mut fitting = ours.filter(|it| self.fits(repository, number, it, next.as_ref()));
            if fitting.is_none() {
                let theirs = self.theirs(number)?;
                fitting = theirs.filter(|it| self.may_come(repository, number, it, next.as_ref()));
            }
            if let Some(object) = fitting
                && self.chosen.get(&number) != Some(&object)
            {
                self.chosen.insert(number, object);
                changed = true;
            }
            next = self.opened(repository, number);
        }
        Ok(changed)
    }

    /// Lets go of what was taken from the copy and is not to be believed, and of all that stands behind
    /// it. True if there was any: then keys may have been believed for its sake, so open again.
    pub(super) fn bar_the_unbelievable(&mut self, repository: &Repository) -> Result<bool> {
        let unbelievable = self.unbelievable(repository)?;
        Ok(self.bar(unbelievable))
    }

    fn bar(&mut self, numbers: BTreeSet<u64>) -> bool {
        let Some(first) = numbers.first().copied() else { return false };
        self.barred.extend(numbers);
        self.chosen.retain(|number, _| *number < first);
        for (number, ours) in self.here.range(first..) {
            if let Some(ours) = ours {
                self.chosen.insert(*number, ours.clone());
            }
        }
        true
    }

    /// Lets go of every record of the copy that begins an epoch, as the keys of one of them cannot be
    /// had. True if there was any.
    pub(super) fn bar_epochs(&mut self, repository: &Repository) -> bool {
        let begins = |number: &u64| {
            let record = self.opened(repository, *number);
            record.is_some_and(|record| matches!(record.body, LedgerBody::Epoch { .. }))
        };
        let foreign = self.chosen.iter().filter(|(number, object)| {
            self.here.get(number).cloned().flatten().as_ref() != Some(object)
        });
        let barred: BTreeSet<u64> = foreign.map(|(number, _)| *number).filter(begins).collect();
        self.bar(barred)
    }

    /// Records of the copy that do not fit, and those for which nothing but their signature speaks, if
    /// they may do harm.
    fn unbelievable(&self, repository: &Repository) -> Result<BTreeSet<u64>> {
        let mut found = BTreeSet::new();
        let (mut anchored, mut was_seen) = (false, false);
        let mut next: Option<LedgerRecord> = None;
        for number in (0..=self.top).rev() {
            let Some(object) = self.chosen.get(&number) else {
                (anchored, was_seen, next) = (false, false, None);
                continue;
            };
            let hash = digest::hash(object);
            let is_named = next.as_ref().is_some_and(|next| next.previous == hash);
            anchored &= is_named;
            was_seen = (was_seen && is_named) || self.seen == Some((number, hash));
            let record = self.opened(repository, number);
            if self.here.get(&number).cloned().flatten().as_ref() == Some(object) {
                anchored |= record.is_some();
            } else {
                let is_safe = match &record {
                    _ if anchored => true,
                    Some(record) => self.is_safe(repository, record, was_seen)?,
                    None => false,
                };
                if !is_safe || !self.may_come(repository, number, object, next.as_ref()) {
                    found.insert(number);
                }
            }
            next = record;
        }
        Ok(found)
    }

    /// Whether a record for which nothing but its signature speaks can do no harm.
    fn is_safe(
        &self,
        repository: &Repository,
        record: &LedgerRecord,
        was_seen: bool,
    ) -> Result<bool> {
        Ok(match &record.body {
            LedgerBody::Epoch { epoch, .. } => was_seen || self.is_in_use(repository, *epoch)?,
            LedgerBody::Retire { packs, .. } => {
                !self.lies_here("packs", packs.iter().map(|id| ObjectName::Pack(*id)))?
            }
            LedgerBody::Forget { snapshots, .. } => !self
                .lies_here("snapshots", snapshots.iter().map(|id| ObjectName::Snapshot(*id)))?,
            _ => true,
        })
    }

    /// Whether one of these lies in a folder of the store.
    fn lies_here(&self, folder: &str, names: impl Iterator<Item = ObjectName>) -> Result<bool> {
        let names: BTreeSet<ObjectName> = names.collect();
        let listed = self.store.list(folder)?;
        let is_meant = |name| names.contains(&name);
        Ok(listed.iter().any(|info| ObjectName::parse(&info.name).is_some_and(is_meant)))
    }

    /// Whether an epoch's keys open what is here and says that it is sealed under them: more of it
    /// than they do not open.
    fn is_in_use(&self, repository: &Repository, epoch: u32) -> Result<bool> {
        let (mut opened, mut refused) = (0u64, 0u64);
        for folder in ["index", "snapshots"] {
            for info in self.store.list(folder)? {
                let Some(name) = ObjectName::parse(&info.name) else { continue };
                let Some(object) = get(&self.store, &name, LIMIT)? else { continue };
                let claims = MetadataHeader::split(&object).map_or(0, |(header, _)| header.epoch);
                if claims != epoch {
                    continue;
                }
                let opens = match name {
                    ObjectName::Index(_) => open_index(repository, &name, &object).is_ok(),
                    _ => open_register(repository, &name, &object).is_ok(),
                };
                if opens {
                    opened += 1;
                } else {
                    refused += 1;
                }
            }
        }
        Ok(opened > refused)
    }

    fn opened(&self, repository: &Repository, number: u64) -> Option<LedgerRecord> {
        let object = self.chosen.get(&number)?;
        ledger::open_record(repository, &ObjectName::Ledger(number), object).ok()
    }

    /// Whether an object is the record of that number, as far as its neighbours tell. A void record
    /// has its place all the same: the next one names it.
    fn fits(
        &self,
        repository: &Repository,
        number: u64,
        object: &Bytes,
        next: Option<&LedgerRecord>,
    ) -> bool {
        if let Some(next) = next {
            return next.previous == digest::hash(object);
        }
        let Ok(record) = ledger::open_record(repository, &ObjectName::Ledger(number), object)
        else {
            return false;
        };
        let before = number.checked_sub(1).and_then(|before| self.chosen.get(&before));
        before.is_none_or(|before| digest::hash(before) == record.previous)
    }

    /// The same of one from the copy, whose operator may have helped a slot that was removed: it must
    /// not be another one than this machine saw, and if no neighbour vouches for it, it must be of the
    /// newest epoch.
    fn may_come(
        &self,
        repository: &Repository,
        number: u64,
        object: &Bytes,
        next: Option<&LedgerRecord>,
    ) -> bool {
        let hash = digest::hash(object);
        if self.seen.is_some_and(|(seen, digest)| seen == number && digest != hash) {
            return false;
        }
        if !self.fits(repository, number, object, next) {
            return false;
        }
        if next.is_some() || self.seen == Some((number, hash)) {
            return true;
        }
        let newest = repository.keychain.epoch();
        let epoch = MetadataHeader::split(object).map_or(0, |(header, _)| header.epoch);
        let record = ledger::open_record(repository, &ObjectName::Ledger(number), object);
        epoch == newest
            || record.is_ok_and(
                |record| matches!(record.body, LedgerBody::Epoch { epoch, .. } if epoch == newest),
            )
    }

    /// What is wrong with the newest record, if this machine has seen another one, or a newer one.
    fn contradicts_what_was_seen(&self) -> Option<String> {
        let (number, digest) = self.seen?;
        if number > self.top {
            return Some(format!(
                "the ledger ends here, but record {number} was seen before, and the copy does not \
                 have it as it was"
            ));
        }
        let newest = self.chosen.get(&self.top).map(|newest| digest::hash(newest));
        (number == self.top && newest.is_some_and(|newest| newest != digest))
            .then(|| "it is not the one that was seen before".to_owned())
    }

    /// What has to be written, and what cannot be had. Says how much is known of the ledger.
    pub(super) fn mends(
        &self,
        repository: &Repository,
        small: &mut Vec<Small>,
        left: &mut Vec<Left>,
    ) -> Known {
        let mut known = Known::Whole;
        for (number, object) in &self.chosen {
            let trouble = match self.here.get(number) {
                Some(Some(ours)) if ours == object => continue,
                Some(_) => Trouble::Damaged,
                None => Trouble::Missing,
            };
            let mend = mend(ObjectName::Ledger(*number), trouble, object);
            small.push(Small { mend, object: object.clone() });
        }
        let mut next = None;
        for number in (0..=self.top).rev() {
            let object = self.chosen.get(&number);
            if !object.is_some_and(|it| self.fits(repository, number, it, next.as_ref())) {
                let why = match object {
                    Some(_) => "it is damaged, and the copy has no sound one",
                    None => "it is missing, and the copy has none that fits its neighbours",
                };
                left.push(Left::new(ObjectName::Ledger(number), why));
                known = Known::InPart;
            }
            next = self.opened(repository, number);
        }
        if let Some(why) = self.contradicts_what_was_seen() {
            left.push(Left::new(ObjectName::Ledger(self.top), why));
            known = Known::InPart;
        }
        if let Some(newest) = self.newest_there.filter(|newest| *newest > self.top) {
            let why = format!(
                "it is missing here, and the copy's ledger goes on to record {newest}; nothing shows \
                 that these records stood here: the copy may have gone its own way since, and what it \
                 says is gone may be needed here. A machine that saw them here can bring them back"
            );
            left.push(Left::new(ObjectName::Ledger(self.top + 1), why));
            if known == Known::Whole {
                known = Known::MaybeOlder;
            }
        }
        known
    }
}

/// Numbers and sizes of the records.
fn listed(store: &Store) -> Result<BTreeMap<u64, u64>> {
    let listed = store.list("ledger")?.into_iter();
    Ok(listed
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Ledger(number)) => Some((number, info.size)),
            _ => None,
        })
        .collect())
}
