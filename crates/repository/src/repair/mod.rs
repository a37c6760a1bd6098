//! Bringing back what is damaged or lost (format-spec, chapter 10: the repairer).
//!
//! Three ways, each with a plan that is shown before anything is done:
//!
//! - **From a copy** ([`Pair`]): any store that holds the same objects under the same names. What is
//!   missing or damaged here, and sound there, is fetched, checked and written.
//! - **The index from packs** ([`index`]): footers say again what lost index objects said.
//! - **Snapshots without what is lost** ([`snapshots`]): where nothing has it any more.
//!
//! Whoever runs the copy may hand out anything, a removed slot may have signed it, and the copy may
//! have gone its own way since. So the repairer believes its own keys and nothing else:
//!
//! | object | comes back if |
//! |---|---|
//! | `repository` | the anchor in the opener's slot names its hash (`foundation`) |
//! | slot | it has access now, and its voucher's signature is right |
//! | keyring | the opener's: it opens, and its hash fits its name; others' are sealed anew |
//! | record of the ledger | it opens, and its neighbours' digests fit (`records`) |
//! | pack | its BLAKE3 is its id (`packs`) |
//! | index object, register | it opens under its name, and is missed here (`listings`, `registers`) |
//!
//! What is sound here is never overwritten: objects never change, so of two that differ under one
//! name, the one that opens is right. What a record of the ledger says is gone stays gone. What is
//! missing here may also have been removed rightly, or never have been here: each kind has its own
//! rule for that. Everything is written after what it needs, so whoever stops anywhere has less
//! missing than before, and nothing new is wrong.

mod foundation;
pub mod index;
mod keyrings;
mod listings;
mod loss;
mod packs;
mod records;
mod registers;
pub mod snapshots;

use std::collections::BTreeSet;

use bytes::Bytes;
use nightjar_format::PackId;
use nightjar_format::object::ObjectName;
use nightjar_storage::{Created, Store, StoreError};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;

pub use foundation::Pair;
pub use loss::LeftOut;

/// What is the matter with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// It is not what it should be.
    Damaged,
}

impl Trouble {
    /// Its name, for people and programs to read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
        }
    }
}

/// Where a sound object comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Means {
    /// The copy has it.
    Copy,
    /// The repairer makes it from its own keys.
    Sealed,
}

impl Means {
    /// Its name, for people and programs to read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Sealed => "sealed",
        }
    }
}

/// An object that can be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mend {
    /// Which.
    pub name: ObjectName,
    /// What is the matter with it.
    pub trouble: Trouble,
    /// Where a sound one comes from.
    pub means: Means,
    /// How long the sound one is.
    pub bytes: u64,
}

/// Something that is not as it should be and stays so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// The object.
    pub object: String,
    /// What is the matter with it, and why it cannot be mended.
    pub why: String,
}

impl Left {
    fn new(object: impl ToString, why: impl ToString) -> Self {
        Self { object: object.to_string(), why: why.to_string() }
    }
}

/// What a repair from a copy would do.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// In the order in which they are written.
    pub mends: Vec<Mend>,
    /// Packs recorded as damaged that are looked at again, and said to be repaired if they are sound.
    pub suspects: BTreeSet<PackId>,
    /// What cannot be mended from this copy.
    pub left: Vec<Left>,
    /// Packs of the repository that were read whole for it.
    pub packs_read: u64,
}

impl Plan {
    /// What has to be fetched and written, in bytes.
    pub fn bytes(&self) -> u64 {
        self.mends.iter().map(|mend| mend.bytes).sum()
    }
}

/// What a repair from a copy did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What was written.
    pub mended: Vec<Mend>,
    /// Packs that are no longer recorded as damaged.
    pub repaired: BTreeSet<PackId>,
    /// What is still not as it should be.
    pub left: Vec<Left>,
}

/// A small object that was checked, with its bytes.
struct Small {
    mend: Mend,
    object: Bytes,
}

/// A repository and its copy, as far as one had to be mended in memory to open it.
pub struct Repairing {
    repository: Repository,
    copy: Store,
    /// As it will be when `small` is written.
    ledger: Ledger,
    /// Whether none of its records is missing or damaged then.
    is_known: bool,
    /// What opening rests on, in the order of writing.
    small: Vec<Small>,
    left: Vec<Left>,
}

impl Repairing {
    /// The repository. What opening rests on may still be damaged in its store.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Finds out what is damaged or missing and can be had from the copy. With `check`, all packs are
    /// read. Nothing is changed.
    pub fn plan(&self, check: bool, progress: &Progress) -> Result<Plan> {
        let mut plan = Plan {
            mends: self.small.iter().map(|small| small.mend).collect(),
            left: self.left.clone(),
            ..Plan::default()
        };
        if let Some(left) = self.unknown(&self.ledger) {
            plan.left.push(left);
            return Ok(plan);
        }
        let retired = &self.ledger.state.retired;
        let listings = listings::plan(&self.repository, &self.copy, retired)?;
        let packs = packs::plan(self, &listings.packs, check, progress)?;
        let registers = registers::plan(self)?;
        plan.packs_read = packs.read;
        plan.suspects = packs.suspects;
        plan.mends.extend(packs.mends);
        plan.mends.extend(listings.mends);
        plan.mends.extend(registers.mends);
        plan.left.extend(packs.left.into_iter().chain(listings.left).chain(registers.left));
        Ok(plan)
    }

    /// Does what was planned. Each object is fetched and checked again before it is written.
    pub fn execute(self, plan: &Plan, progress: &Progress) -> Result<Report> {
        let mut report = Report { left: plan.left.clone(), ..Report::default() };
        for Small { mend, object } in &self.small {
            self.write_small(mend, object.clone(), &mut report)?;
        }
        // From the store, as everybody sees it now.
        let ledger = ledger::read(&self.repository)?;
        if ledger::are_keys_old(&self.repository)? {
            return Err(RepositoryError::KeysChanged);
        }
        if let Some(left) = self.unknown(&ledger) {
            if !report.left.iter().any(|it| it.object == left.object) {
                report.left.push(left);
            }
            return Ok(report);
        }
        packs::fetch(&self, plan, &ledger.state.retired, &mut report, progress)?;
        listings::fetch(&self, plan, &ledger.state.retired, &mut report)?;
        registers::fetch(&self, plan, &mut report, progress)?;
        packs::settle(&self, plan, &ledger, &mut report, progress)?;
        Ok(report)
    }

    /// Why nothing is touched that rests on the ledger, if so.
    fn unknown(&self, ledger: &Ledger) -> Option<Left> {
        let why = match (ledger.broken.first(), self.is_known) {
            (Some(why), _) => why.as_str(),
            (None, false) => "records are missing or damaged",
            (None, true) => return None,
        };
        let why = format!(
            "{why}; nothing that rests on it is touched before it is whole, for what is missing may say \
             what is gone and who was removed"
        );
        Some(Left::new("the ledger", why))
    }

    /// Writes a small object that was checked; one that was missing is created, so that nothing that
    /// came meanwhile is overwritten.
    fn write_small(&self, mend: &Mend, object: Bytes, report: &mut Report) -> Result<()> {
        let (store, name) = (&self.repository.store, mend.name.to_string());
        match mend.trouble {
            Trouble::Damaged => store.put(&name, object)?,
            Trouble::Missing => {
                if store.create(&name, object)? == Created::Exists {
                    let why = "something came there at this moment; run the repair again";
                    report.left.push(Left::new(&name, why));
                    return Ok(());
                }
            }
        }
        report.mended.push(*mend);
        Ok(())
    }

    /// A small object of the copy; nothing if it does not have it, or not as it should be.
    fn theirs(&self, name: &ObjectName, limit_bytes: u64) -> Result<Option<Bytes>> {
        get(&self.copy, name, limit_bytes)
    }

    /// Whether a slot has access now.
    fn has_access(&self, slot: &nightjar_format::SlotId) -> bool {
        let mut members = self.repository.keychain.members();
        members.any(|member| member.slot_id == *slot && member.until.is_none())
    }
}

/// A small object of a store; nothing if it is not there, or longer than it may be.
fn get(store: &Store, name: &ObjectName, limit_bytes: u64) -> Result<Option<Bytes>> {
    match store.get(&name.to_string(), limit_bytes) {
        Ok(object) => Ok(Some(object)),
        Err(StoreError::NotFound { .. } | StoreError::TooLarge { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Turns damage into words and leaves other errors as they are.
fn or_damage<T>(outcome: Result<T>) -> Result<std::result::Result<T, String>> {
    match outcome {
        Ok(value) => Ok(Ok(value)),
        Err(error) if error.is_damage() => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}
