//! What opening rests on: the `repository` object, slots, keyrings and the ledger, put together in
//! memory from the best of both stores. Whether that opens decides what is right: the anchor in the
//! opener's own slot, which only its secret unlocks, names the `repository` object and the root of all
//! trust. Nothing is written here.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_codec::slot::{SlotKeys, Unlock, open_keyring, slot_id, unwrap, verify_slot};
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::repository::RepositoryRecord;
use nightjar_format::slot::SlotObject;
use nightjar_format::snapshot::Register;
use nightjar_format::{Digest, RepositoryId, SlotId, limits};
use nightjar_storage::Store;

use super::records::{Known, Records};
use super::{Left, Means, Mend, Repairing, Small, Trouble, get, keyrings};
use crate::cache::ObjectCache;
use crate::environment::Environment;
use crate::error::{RepositoryError, Result};
use crate::index::sync::open_index;
use crate::ledger;
use crate::repository::{Repository, handle_for};
use crate::verify::metadata::check_slot;

const PLAIN: u64 = limits::PLAIN_OBJECT_BYTES as u64;
/// Objects that are asked whether they belong to a repository whose first object is lost.
const WITNESSES: usize = 16;

/// A store and a copy of it, both closed.
pub struct Pair {
    store: Store,
    copy: Store,
    ours: Option<Bytes>,
    theirs: Bytes,
}

/// Which of two objects under one name was taken.
#[derive(Clone)]
struct Chosen {
    object: Bytes,
    /// From the copy: what is the matter with the one here.
    trouble: Option<Trouble>,
}

/// A repository object that is believed for now, and what was put together under it.
struct Attempt {
    scratch: Store,
    record: RepositoryRecord,
    slots: BTreeMap<SlotId, Chosen>,
    keyrings: BTreeMap<ObjectName, Chosen>,
}

impl Pair {
    /// Looks whether there is anything to repair and whether the copy is one: nobody should be asked
    /// for a passphrase for nothing.
    pub fn look(store: Store, copy: Store) -> Result<Self> {
        if store.url() == copy.url() {
            let why = "the copy is the repository itself; name another store with --from";
            return Err(RepositoryError::Refused(why.into()));
        }
        if store.head(&ObjectName::Replica.to_string())?.is_some() {
            let url = store.url();
            return Err(RepositoryError::Refused(format!(
                "{url} is a replica, which is mended from its source: delete what is damaged there, \
                 and `nightjar replicate` copies it again"
            )));
        }
        let name = ObjectName::Repository;
        let no_repository =
            |store: &Store| RepositoryError::NoRepository { url: store.url().into() };
        let theirs = get(&copy, &name, PLAIN)?.ok_or_else(|| no_repository(&copy))?;
        RepositoryRecord::from_object(&theirs).map_err(|error| {
            RepositoryError::in_format(format!("the repository object of {}", copy.url()), error)
        })?;
        let ours = get(&store, &name, PLAIN)?;
        if ours.is_none() && is_empty(&store)? {
            return Err(no_repository(&store));
        }
        Ok(Self { store, copy, ours, theirs })
    }

    /// Opens the repository, with what the copy has where that is needed. Nothing is written.
    pub fn open(self, unlock: &Unlock, environment: Environment) -> Result<Repairing> {
        let mut failure = None;
        let candidates = self.ours.iter().chain([&self.theirs].into_iter().filter(|it| {
            // Asked twice it says the same.
            self.ours.as_ref() != Some(it)
        }));
        for object in candidates {
            let is_ours = self.ours.as_ref() == Some(object);
            match self.open_under(object, unlock, &environment) {
                Ok(_) if is_ours && *object != self.theirs => {
                    return Err(RepositoryError::Refused(format!(
                        "{} is no copy of this repository: its repository object is another one",
                        self.copy.url()
                    )));
                }
                Ok(repairing) => return Ok(repairing),
                Err(error @ (RepositoryError::Store(_) | RepositoryError::Local { .. })) => {
                    return Err(error);
                }
                // What is wrong with the one that is here says more.
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or(RepositoryError::WrongSecret))
    }

    fn open_under(
        &self,
        object: &Bytes,
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<Repairing> {
        let record = RepositoryRecord::from_object(object)
            .map_err(|error| RepositoryError::in_format(ObjectName::Repository, error))?;
        let scratch = Store::memory();
        scratch.put(&ObjectName::Repository.to_string(), object.clone())?;
        let (slots, keys) =
            self.choose_slots(&record.repository_id, digest::hash(object), unlock)?;
        let keyrings = self.choose_keyrings(&record.repository_id, &keys)?;
        let chosen = slots.iter().map(|(id, chosen)| (ObjectName::Slot(*id), chosen));
        let own = keyrings.iter().map(|(name, chosen)| (*name, chosen));
        for (name, chosen) in chosen.chain(own) {
            scratch.put(&name.to_string(), chosen.object.clone())?;
        }
        let attempt = Attempt { scratch, record, slots, keyrings };
        let repairing = self.finish(attempt, unlock, environment)?;
        if self.ours.as_ref() == Some(object) {
            return Ok(repairing);
        }
        self.require_kinship(&repairing)?;
        let trouble = if self.ours.is_some() { Trouble::Damaged } else { Trouble::Missing };
        let mend = mend(ObjectName::Repository, trouble, object);
        let mut small = vec![Small { mend, object: object.clone() }];
        small.extend(repairing.small);
        Ok(Repairing { small, ..repairing })
    }

    /// Chooses one object for each slot: that which its voucher signed, and of the opener's own slot
    /// that which opens. Returns the keys that were opened, too.
    fn choose_slots(
        &self,
        repository: &RepositoryId,
        hash: Digest,
        unlock: &Unlock,
    ) -> Result<(BTreeMap<SlotId, Chosen>, Vec<SlotKeys>)> {
        let mut candidates: BTreeMap<SlotId, Vec<(SlotObject, Chosen)>> = BTreeMap::new();
        let here = slot_names(&self.store)?;
        for (store, from_copy) in [(&self.store, false), (&self.copy, true)] {
            for id in slot_names(store)? {
                let Some(object) = get(store, &ObjectName::Slot(id), PLAIN)? else { continue };
                let Ok(slot) = SlotObject::from_object(&object) else { continue };
                if slot_id(&slot.record.kem_public, &slot.record.sign_public) != id {
                    continue;
                }
                let trouble = match (from_copy, here.contains(&id)) {
                    (false, _) => None,
                    (true, true) => Some(Trouble::Damaged),
                    (true, false) => Some(Trouble::Missing),
                };
                let of_slot = candidates.entry(id).or_default();
                if of_slot.iter().all(|(_, known)| known.object != object) {
                    of_slot.push((slot, Chosen { object, trouble }));
                }
            }
        }
        let publics: BTreeMap<SlotId, [u8; 32]> = candidates
            .iter()
            .filter_map(|(id, them)| Some((*id, them.first()?.0.record.sign_public)))
            .collect();
        let is_vouched = |slot: &SlotObject| {
            let voucher = publics.get(&slot.record.added_by);
            voucher.is_some_and(|public| verify_slot(repository, slot, public).is_ok())
        };
        let (mut chosen, mut keys) = (BTreeMap::new(), Vec::new());
        for (id, mut of_slot) in candidates {
            of_slot.sort_by_key(|(slot, _)| !is_vouched(slot));
            let opened = of_slot.iter().find_map(|(slot, object)| {
                let (keys, anchor) = unwrap(repository, &slot.record, unlock).ok()?;
                (anchor.repository_hash == hash).then_some((keys, object))
            });
            let first = of_slot.first().map(|(_, object)| object);
            let object = opened.as_ref().map(|(_, object)| *object).or(first);
            chosen.extend(object.map(|object| (id, object.clone())));
            keys.extend(opened.map(|(keys, _)| keys));
        }
        Ok((chosen, keys))
    }

    /// Chooses the keyrings of the opened slots that open and are what their names tell.
    fn choose_keyrings(
        &self,
        repository: &RepositoryId,
        keys: &[SlotKeys],
    ) -> Result<BTreeMap<ObjectName, Chosen>> {
        let mut chosen: BTreeMap<ObjectName, Chosen> = BTreeMap::new();
        let mut here = BTreeSet::new();
        for (store, from_copy) in [(&self.store, false), (&self.copy, true)] {
            for info in store.list("keyring")? {
                let Some(name @ ObjectName::Keyring(epoch, attempt, owner)) =
                    ObjectName::parse(&info.name)
                else {
                    continue;
                };
                let Some(keys) = keys.iter().find(|keys| keys.slot_id() == owner) else { continue };
                let trouble = match (from_copy, here.contains(&name)) {
                    (false, _) => None,
                    (true, true) => Some(Trouble::Damaged),
                    (true, false) => Some(Trouble::Missing),
                };
                if !from_copy {
                    here.insert(name);
                }
                if chosen.contains_key(&name) {
                    continue;
                }
                let Some(object) = get(store, &name, limits::KEYRING_BYTES as u64)? else {
                    continue;
                };
                let opened = open_keyring(repository, epoch, keys, &object);
                if opened.is_ok_and(|it| digest::hash(&it.epoch_record).attempt() == attempt) {
                    chosen.insert(name, Chosen { object, trouble });
                }
            }
        }
        Ok(chosen)
    }

    /// Opens what was put together and finds out what of it has to be written.
    fn finish(
        &self,
        attempt: Attempt,
        unlock: &Unlock,
        environment: &Environment,
    ) -> Result<Repairing> {
        let Attempt { scratch, record, mut slots, keyrings } = attempt;
        let real = ObjectCache::open(&environment.cache_dir, &record.repository_id, &self.store)?;
        let seen = ledger::head_seen(&real);
        let one_at_a_time = environment.one_at_a_time;
        let mut records = Records::read(&self.store, &self.copy, seen, one_at_a_time)?;
        records.write_to(&scratch)?;
        // What is read here must not be taken for what this machine saw in the store, nor what was
        // believed for a while for what is there.
        let aside = Aside::new(environment);
        let open = || {
            let inside = Environment { cache_dir: aside.fresh(), ..environment.clone() };
            Repository::open(scratch.clone(), unlock, inside)
        };
        let refresh = |repository: &mut Repository| {
            repository.cache = ObjectCache::open(&aside.fresh(), &record.repository_id, &scratch)?;
            repository.refresh_keys()
        };
        let mut repository = match open() {
            Err(error) if error.is_damage() || is_about_keys(&error) => {
                // The record that began an epoch may be what is damaged.
                records.prefer_copy()?;
                records.write_to(&scratch)?;
                open().map_err(|_| error)?
            }
            opened => opened?,
        };
        let line = ledger::read_with(&repository)?.line;
        if seen.is_some_and(|seen| line.left_behind(&seen).is_some()) {
            records.forget_what_was_seen();
            records.write_to(&scratch)?;
            refresh(&mut repository)?;
        }
        loop {
            let mut refreshed = Ok(());
            while refreshed.is_ok() && records.improve(&repository)? {
                records.write_to(&scratch)?;
                refreshed = refresh(&mut repository);
            }
            let barred = match refreshed {
                Ok(()) => records.bar_the_unbelievable(&repository)?,
                Err(error) if !records.bar_epochs(&repository) => return Err(error),
                Err(_) => true,
            };
            if !barred {
                break;
            }
            records.write_to(&scratch)?;
            repository = open()?;
        }
        let ledger = ledger::read(&repository)?;
        // Whoever was removed, or never came in, does not come in through the copy.
        let admitted = admitted(&repository, &ledger);
        slots.retain(|id, chosen| chosen.trouble.is_none() || admitted.contains(id));
        for info in scratch.list("slots")? {
            if !matches!(ObjectName::parse(&info.name), Some(ObjectName::Slot(id)) if slots.contains_key(&id))
            {
                scratch.delete(&info.name)?;
            }
        }
        refresh(&mut repository)?;
        let ledger = ledger::read(&repository)?;
        let (mut of_ledger, mut left) = (Vec::new(), Vec::new());
        let known = records.mends(&repository, &mut of_ledger, &mut left);
        let mut small = Vec::new();
        // As long as it is not known who was removed, nobody's access comes back.
        if known == Known::Whole {
            self.mend_slots(&repository, &admitted, &slots, &mut small, &mut left)?;
            mend_own_keyrings(&repository, &keyrings, &mut small);
            keyrings::seal_missing(&repository, &self.store, &mut small, &mut left)?;
        }
        small.extend(of_ledger);
        repository.store = handle_for(self.store.clone(), &record);
        repository.cache = real;
        repository.environment = environment.clone();
        let is_known = known != Known::InPart;
        Ok(Repairing { repository, copy: self.copy.clone(), ledger, is_known, small, left })
    }

    /// Slots that have access and whose object is not as it was signed.
    fn mend_slots(
        &self,
        repository: &Repository,
        admitted: &BTreeSet<SlotId>,
        slots: &BTreeMap<SlotId, Chosen>,
        small: &mut Vec<Small>,
        left: &mut Vec<Left>,
    ) -> Result<()> {
        for id in admitted {
            let name = ObjectName::Slot(*id);
            let chosen = slots.get(id);
            let is_sound = |object: &Bytes| check_slot(repository, *id, object).is_ok();
            let mut chosen = chosen.filter(|chosen| is_sound(&chosen.object)).cloned();
            if chosen.is_none() {
                // What is here opened, and is not as it was signed all the same.
                let object = get(&self.copy, &name, PLAIN)?.filter(is_sound);
                let trouble = match self.store.head(&name.to_string())? {
                    Some(_) => Trouble::Damaged,
                    None => Trouble::Missing,
                };
                chosen = object.map(|object| Chosen { object, trouble: Some(trouble) });
            }
            match chosen {
                Some(Chosen { trouble: None, .. }) => {}
                Some(Chosen { object, trouble: Some(trouble) }) => {
                    small.push(Small { mend: mend(name, trouble, &object), object });
                }
                None => {
                    let why = "it is missing or damaged, and the copy has no sound one; the slot \
                               cannot be opened: remove it, and add another";
                    left.push(Left::new(name, why));
                }
            }
        }
        Ok(())
    }

    /// Where the first object is lost, the copy alone says what repository this is: something else
    /// that lies here must be of the same.
    fn require_kinship(&self, repairing: &Repairing) -> Result<()> {
        let repository = &repairing.repository;
        for id in slot_names(&self.store)? {
            let object = get(&self.store, &ObjectName::Slot(id), PLAIN)?;
            if object.is_some_and(|object| check_slot(repository, id, &object).is_ok()) {
                return Ok(());
            }
        }
        for folder in ["ledger", "index", "snapshots"] {
            for info in self.store.list(folder)?.iter().take(WITNESSES) {
                let Some(name) = ObjectName::parse(&info.name) else { continue };
                let limit = limits::METADATA_OBJECT_BYTES as u64;
                let Some(object) = get(&self.store, &name, limit)? else { continue };
                let opens = match name {
                    ObjectName::Ledger(..) => {
                        ledger::open_record(repository, &name, &object).is_ok()
                    }
                    ObjectName::Index(_) => open_index(repository, &name, &object).is_ok(),
                    _ => repository
                        .unseal::<Register>(MetadataKind::Snapshot, &name, &object)
                        .is_ok(),
                };
                if opens {
                    return Ok(());
                }
            }
        }
        Err(RepositoryError::Refused(format!(
            "the repository object is missing or damaged, and nothing that is left at {} shows that \
             {} is a copy of it; nothing was changed",
            self.store.url(),
            self.copy.url()
        )))
    }
}

/// The opener's keyrings, those of epochs that have begun.
fn mend_own_keyrings(
    repository: &Repository,
    keyrings: &BTreeMap<ObjectName, Chosen>,
    small: &mut Vec<Small>,
) {
    let keychain = &repository.keychain;
    let own = (1..=keychain.epoch()).filter_map(|it| keychain.keyring_name(it, keychain.slot()));
    for name in own {
        if let Some(Chosen { object, trouble: Some(trouble) }) = keyrings.get(&name) {
            small.push(Small { mend: mend(name, *trouble, object), object: object.clone() });
        }
    }
}

pub(super) fn mend(name: ObjectName, trouble: Trouble, object: &Bytes) -> Mend {
    Mend { name, trouble, means: Means::Copy, bytes: object.len() as u64 }
}

fn is_about_keys(error: &RepositoryError) -> bool {
    matches!(
        error,
        RepositoryError::WrongSecret
            | RepositoryError::NotAdmitted { .. }
            | RepositoryError::RemovedSlot { .. }
    )
}

fn is_empty(store: &Store) -> Result<bool> {
    for folder in ["slots", "keyring", "ledger", "index", "snapshots", "packs"] {
        if !store.list(folder)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn slot_names(store: &Store) -> Result<BTreeSet<SlotId>> {
    let listed = store.list("slots")?.into_iter();
    Ok(listed
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Slot(id)) => Some(id),
            _ => None,
        })
        .collect())
}

/// The slots that have access: those of the newest epoch's record, and write slots that the ledger
/// names since.
fn admitted(repository: &Repository, ledger: &ledger::Ledger) -> BTreeSet<SlotId> {
    let keychain = &repository.keychain;
    let listed = keychain.epochs().last().map(|epoch| epoch.record.slots.as_slice());
    let listed = listed.unwrap_or_default();
    let named = ledger.records.iter().filter_map(|(record, _)| match record.body {
        LedgerBody::Slot { slot } => Some(slot),
        _ => None,
    });
    let new = named.filter(|slot| {
        // Each record of an epoch lists who came before it, and says so of those who went.
        !listed.iter().any(|member| member.slot_id == *slot)
    });
    let present = listed.iter().filter(|member| member.until.is_none());
    present.map(|member| member.slot_id).chain(new).collect()
}

/// A directory for caches that is gone when this is dropped.
struct Aside {
    root: PathBuf,
    taken: Cell<u32>,
}

impl Aside {
    fn new(environment: &Environment) -> Self {
        let nonce: [u8; 8] = environment.random.array();
        let name = format!("repair-{}", nightjar_format::ids::to_hex(&nonce));
        Self { root: environment.cache_dir.join(name), taken: Cell::new(0) }
    }

    /// A place that was not used yet.
    fn fresh(&self) -> PathBuf {
        self.taken.set(self.taken.get() + 1);
        self.root.join(self.taken.get().to_string())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.root) {
            tracing::debug!("cannot remove {}: {error}", self.root.display());
        }
    }
}
