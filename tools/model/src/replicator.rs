//! The replicator: lists ledger, snapshots, index; copies packs and index objects; lists the index
//! once more, and copies what is new; and goes on only if the ledger is as it was: copies the ledger,
//! then the snapshots, which are sealed under keys that the ledger tells of.
//!
//! What it lists first it copies last, so that the replica lacks nothing that it names: as no record
//! came meanwhile, nothing was forgotten or retired, and what was alive at the first listing is still
//! there at the last. A listing that comes in pages may miss an index object and the one that
//! replaced it; but a collector replaces each only once for the packs that are retired, so the second
//! listing shows the new one. It reads nothing that is sealed, and so needs no key.
//!
//! Nothing is deleted in a replica here, and nobody writes to it.

use crate::configuration::Configuration;
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Index, Store};
use crate::variant::Variant;

/// What the replicator does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum At {
    /// Reads the ledger to its head.
    #[default]
    Ledger,
    /// Lists snapshots. Holds the head.
    Snapshots(usize),
    /// Lists the index. Holds what was there when the listing began, if it comes in pages.
    Index(Pass, Option<Index>),
    /// Copies packs.
    CopyPacks(Pass),
    /// Copies index objects.
    CopyIndex(Pass),
    /// Reads the ledger again.
    LedgerAgain(Pass),
    /// Copies the ledger up to the head that was read.
    CopyLedger(Pass),
    /// Copies snapshots.
    CopySnapshots(Pass),
}

/// What one pass has listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pass {
    /// The head of the ledger.
    pub head: usize,
    /// The snapshots.
    pub snapshots: Set,
    /// The index objects of the newest listing.
    pub index: Index,
    /// Whether the index was listed twice.
    pub twice: bool,
}

/// What it does next, and the replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Replicator {
    /// What it does next.
    pub at: At,
    /// The packs in the replica.
    pub packs: Set,
    /// Its index objects.
    pub index: Index,
    /// Its committed registers.
    pub snapshots: Set,
    /// The head of its ledger.
    pub head: usize,
}

impl Replicator {
    /// The blobs that would remain readable in the replica if its ledger had this head.
    pub fn readable(&self, configuration: &Configuration, store: &Store, head: usize) -> Set {
        let retired = store.ledger.sum(head).retired;
        let packs = self.packs.and(self.index.packs()).without(retired);
        store.contents.readable(&configuration.bases, packs)
    }

    /// Whether every snapshot that the replica would name with this head could be read.
    pub fn is_whole(&self, configuration: &Configuration, store: &Store, head: usize) -> bool {
        let named = self.snapshots.without(store.ledger.sum(head).forgotten);
        self.readable(configuration, store, head).covers(configuration.blobs_of_all(named))
    }

    fn lacks(&self, store: &Store) -> bool {
        self.head < store.ledger.head() || !self.snapshots.covers(store.snapshots())
    }
}

/// All steps.
pub(crate) fn steps(turn: &mut Turn<'_>) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let replica = &turn.state.replicator;
    match replica.at.clone() {
        At::Ledger => {
            if replica.lacks(store) {
                let at = At::Snapshots(store.ledger.head());
                turn.step("reads the ledger", |next| next.replicator.at = at);
            }
            return;
        }
        At::Snapshots(head) => {
            let pass = Pass { head, snapshots: store.snapshots(), ..Pass::default() };
            let at = match configuration.variant {
                Variant::ReplicaSnapshotsFirst => At::CopySnapshots(pass),
                Variant::ReplicaLedgerFirst => At::CopyLedger(pass),
                _ => At::Index(pass, None),
            };
            turn.step("lists snapshots", |next| next.replicator.at = at);
        }
        At::Index(pass, began) => index(turn, pass, began),
        At::CopyPacks(pass) => copy_packs(turn, pass),
        At::CopyIndex(pass) => turn.step("copies index objects", |next| {
            next.replicator.index = pass.index.objects().fold(next.replicator.index, Index::with);
            next.replicator.at = match configuration.variant {
                Variant::ReplicaListsOnce => At::LedgerAgain(pass),
                _ if !pass.twice => At::Index(Pass { twice: true, ..pass }, None),
                _ => At::LedgerAgain(pass),
            };
        }),
        At::LedgerAgain(pass) => ledger_again(turn, pass),
        At::CopySnapshots(pass) => copy_snapshots(turn, pass),
        At::CopyLedger(pass) => copy_ledger(turn, pass),
    }
    turn.may("crashes", |next| next.replicator.at = At::Ledger);
}

/// After the snapshots: what they rest on is listed by now.
fn index(turn: &mut Turn<'_>, pass: Pass, began: Option<Index>) {
    let now = turn.state.store.index;
    let seen = match began {
        None if turn.configuration.pages => {
            let at = At::Index(pass, Some(now));
            turn.step("begins to list the index", |next| next.replicator.at = at);
            return;
        }
        None => vec![now],
        Some(began) => began.listed_until(now),
    };
    for index in seen {
        turn.step("lists the index", |next| {
            next.replicator.at = At::CopyPacks(Pass { index, ..pass });
        });
    }
}

/// Packs that the ledger has not retired. One that is gone was retired since, or is named by an index
/// object that is; the ledger, read again, tells.
fn copy_packs(turn: &mut Turn<'_>, pass: Pass) {
    let store = &turn.state.store;
    let retired = store.ledger.sum(pass.head).retired;
    let there = pass.index.packs().iter().filter(|pack| store.packs.has(*pack)).collect::<Set>();
    let missing = there.without(retired).without(turn.state.replicator.packs);
    match missing.iter().next() {
        None => turn.step("has all packs", |next| next.replicator.at = At::CopyIndex(pass)),
        Some(pack) => turn.step("copies a pack", |next| {
            next.replicator.packs = next.replicator.packs.or(Set::one(pack));
        }),
    }
}

/// If a record came meanwhile, what was listed may be gone: begin anew.
fn ledger_again(turn: &mut Turn<'_>, pass: Pass) {
    let variant = turn.configuration.variant;
    let is_same = turn.state.store.ledger.head() == pass.head;
    turn.step("reads the ledger again", |next| {
        next.replicator.at = match variant {
            Variant::ReplicaLedgerOnce => At::CopyLedger(pass),
            // That was the first thing it did.
            Variant::ReplicaLedgerFirst if is_same => At::CopySnapshots(pass),
            _ if is_same => At::CopyLedger(pass),
            _ => At::Ledger,
        };
    });
}

fn copy_ledger(turn: &mut Turn<'_>, pass: Pass) {
    let first = turn.configuration.variant == Variant::ReplicaLedgerFirst && pass.index.is_empty();
    turn.step("copies the ledger", |next| {
        next.replicator.head = pass.head;
        next.replicator.at = match (first, turn.configuration.variant) {
            (true, _) => At::Index(pass, None),
            (false, Variant::ReplicaSnapshotsFirst) => At::Ledger,
            (false, _) => At::CopySnapshots(pass),
        };
    });
}

fn copy_snapshots(turn: &mut Turn<'_>, pass: Pass) {
    let then = match turn.configuration.variant {
        Variant::ReplicaSnapshotsFirst => At::Index(pass, None),
        _ => At::Ledger,
    };
    turn.step("copies snapshots", |next| {
        next.replicator.snapshots = next.replicator.snapshots.or(pass.snapshots);
        next.replicator.at = then;
    });
}
