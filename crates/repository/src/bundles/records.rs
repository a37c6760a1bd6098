//! Ledger records from bundles. The records say who is a member, so a reader does not know yet whose
//! signature to believe when it reads them: a slot that was removed is a member until the record is
//! read that removed it, and its bundle could leave that one out. So each slot believes its own
//! bundles alone; and of what they hold, only what the record after it in the ledger names.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_format::bundle::BundleKind;
use nightjar_format::object::{MetadataHeader, ObjectName};
use nightjar_format::{Digest, limits};

use super::read::take_copies;
use crate::ahead::Ahead;
use crate::error::Result;
use crate::ledger::open_record;
use crate::repository::Repository;

const LIMIT: u64 = limits::METADATA_OBJECT_BYTES as u64;

/// Objects of ledger records that were not in the cache. While a repository is opened the ledger is
/// read once for each epoch, and what cannot be opened yet need not be fetched again.
#[derive(Default)]
pub(crate) struct Records {
    /// As the store has them: they come from it, or the record after them names them.
    objects: BTreeMap<ObjectName, Bytes>,
    /// Copies that are sealed under epochs which are not known yet.
    copies: BTreeMap<ObjectName, Bytes>,
    without_copies: bool,
    /// Whether any copy was believed.
    believed: bool,
}

impl Records {
    /// Gets the records that the cache lacks or that are stale there, of those that are listed with
    /// their sizes and times. What cannot
    /// be had is told when its turn comes.
    pub(crate) fn gather(
        &mut self,
        repository: &Repository,
        listed: &BTreeMap<u64, (u64, i64)>,
        stale: &BTreeSet<ObjectName>,
    ) -> Result<()> {
        let sizes = listed.iter().map(|(number, (size, _))| (ObjectName::Ledger(*number), *size));
        let listed: &BTreeMap<ObjectName, u64> = &sizes.collect();
        let is_at_hand = |name| self.objects.contains_key(name) || self.copies.contains_key(name);
        let is_cached = |name| !stale.contains(name) && repository.cache.has(name);
        let names = listed.keys().filter(|name| !is_at_hand(name) && !is_cached(name));
        let lacking: BTreeSet<ObjectName> = names.copied().collect();
        if !self.without_copies {
            self.take_copies(repository, listed, &lacking)?;
        }
        let rest = lacking.iter().filter(|name| !self.copies.contains_key(name));
        let rest: Vec<_> = rest.filter_map(|name| Some((*name, *listed.get(name)?))).collect();
        for (name, object) in Ahead::new(repository, rest.into_iter(), LIMIT) {
            self.keep_fetched(repository, name, object)?;
        }
        self.settle(repository)
    }

    /// Takes copies of the size that the store lists, of records that another one follows.
    fn take_copies(
        &mut self,
        repository: &Repository,
        listed: &BTreeMap<ObjectName, u64>,
        lacking: &BTreeSet<ObjectName>,
    ) -> Result<()> {
        let is_followed =
            |name: &&ObjectName| after(name).is_some_and(|next| listed.contains_key(&next));
        let wanted = lacking.iter().filter(is_followed).copied().collect();
        let cold = 2 * lacking.len() > listed.len();
        let kind = BundleKind::Ledger(repository.keychain.slot());
        take_copies(repository, kind, wanted, cold, |name, copy| {
            let fits = listed.get(name) == Some(&(copy.len() as u64));
            if fits {
                self.copies.insert(*name, Bytes::copy_from_slice(copy));
            }
            Ok(fits)
        })?;
        Ok(())
    }

    /// From the newest copy to the oldest, believes those that the record after them names, and
    /// fetches the others. Those of later epochs wait.
    fn settle(&mut self, repository: &Repository) -> Result<()> {
        let epoch = repository.keychain.epoch();
        let waits = |copy: &Bytes| {
            MetadataHeader::split(copy).is_ok_and(|(header, _)| header.epoch > epoch)
        };
        let (waiting, due): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.copies).into_iter().partition(|(_, copy)| waits(copy));
        self.copies = waiting;
        for (name, copy) in due.into_iter().rev() {
            let is_named = self.named(repository, &name) == Some(digest::hash(&copy));
            if is_named && open_record(repository, &name, &copy).is_ok() {
                self.believed = true;
                self.keep(repository, name, copy);
            } else {
                let object = repository.store.get(&name.to_string(), LIMIT).map_err(Into::into);
                self.keep_fetched(repository, name, object)?;
            }
        }
        Ok(())
    }

    /// The digest that the record after it gives of a record; none if that cannot be opened, or is
    /// not believed itself.
    fn named(&self, repository: &Repository, name: &ObjectName) -> Option<Digest> {
        let next = after(name)?;
        let cached = || repository.cache.get(&next).map(Bytes::from);
        let object = self.objects.get(&next).cloned().or_else(cached)?;
        open_record(repository, &next, &object).ok().map(|record| record.previous)
    }

    fn keep(&mut self, repository: &Repository, name: ObjectName, object: Bytes) {
        if open_record(repository, &name, &object).is_ok() {
            repository.cache.put(&name, &object);
        }
        self.objects.insert(name, object);
    }

    fn keep_fetched(
        &mut self,
        repository: &Repository,
        name: ObjectName,
        object: Result<Bytes>,
    ) -> Result<()> {
        match object {
            Ok(object) => self.keep(repository, name, object),
            Err(error) if error.is_damage() => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// A record's object as the store has it, if it is at hand.
    pub(crate) fn object(&self, name: &ObjectName) -> Option<&Bytes> {
        self.objects.get(name)
    }

    /// A copy that is not believed yet. It says nothing, but that its record has to wait.
    pub(crate) fn waiting(&self, name: &ObjectName) -> Option<&Bytes> {
        self.copies.get(name)
    }

    /// Whether anything at hand came from a bundle.
    pub(crate) fn has_believed_copies(&self) -> bool {
        self.believed
    }

    /// Lets go of copies that wait for an epoch, and takes no more. True if there were any.
    pub(crate) fn refuse_copies(&mut self) -> bool {
        self.without_copies = true;
        !std::mem::take(&mut self.copies).is_empty()
    }
}

/// The name of the record after this one.
fn after(name: &ObjectName) -> Option<ObjectName> {
    match name {
        ObjectName::Ledger(number) => Some(ObjectName::Ledger(number.checked_add(1)?)),
        _ => None,
    }
}
