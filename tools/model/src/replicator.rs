//! The replicator: lists ledger, snapshots, index; copies packs, index, snapshots, ledger.
//!
//! What it lists first it copies last, so that the replica lacks nothing that it names: whatever
//! a snapshot or a Retire rests on was there when the index was read. Listings that come in pages
//! may miss an index object that was replaced meanwhile, and packs may go before they are copied;
//! so it looks before it copies a snapshot, and before it copies the ledger.
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
    /// Copies snapshots.
    CopySnapshots(Pass),
    /// Copies the ledger up to the head that was read.
    CopyLedger(Pass),
}

/// What one pass has listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pass {
    /// The head of the ledger.
    pub head: usize,
    /// The snapshots.
    pub snapshots: Set,
    /// The index objects.
    pub index: Index,
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
            let pass = Pass { head, snapshots: store.snapshots(), index: Index::default() };
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
                Variant::ReplicaSnapshotsFirst => At::CopyLedger(pass),
                _ => At::CopySnapshots(pass),
            };
        }),
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

/// Packs that the ledger has not retired. If one is gone, it was retired since: begin anew.
fn copy_packs(turn: &mut Turn<'_>, pass: Pass) {
    let store = &turn.state.store;
    let retired = store.ledger.sum(pass.head).retired;
    let missing = pass.index.packs().without(retired).without(turn.state.replicator.packs);
    match missing.iter().next() {
        None => turn.step("has all packs", |next| next.replicator.at = At::CopyIndex(pass)),
        Some(pack) if store.packs.has(pack) => turn.step("copies a pack", |next| {
            next.replicator.packs = next.replicator.packs.or(Set::one(pack));
        }),
        Some(_) => turn.step("begins anew: a pack is gone", |next| {
            next.replicator.at = At::Ledger;
        }),
    }
}

/// Only those that can be read in the replica, even if the whole pass is taken into account.
fn copy_snapshots(turn: &mut Turn<'_>, pass: Pass) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let readable = turn.state.replicator.readable(configuration, store, pass.head);
    let is_whole = |session: &usize| readable.covers(configuration.blobs_of(*session));
    let (copied, then) = match configuration.variant {
        Variant::ReplicaUnchecked => (pass.snapshots, At::CopyLedger(pass)),
        Variant::ReplicaSnapshotsFirst => (pass.snapshots, At::Index(pass, None)),
        _ => (pass.snapshots.iter().filter(is_whole).collect(), At::CopyLedger(pass)),
    };
    turn.step("copies snapshots", |next| {
        next.replicator.snapshots = next.replicator.snapshots.or(copied);
        next.replicator.at = then;
    });
}

/// Only if every snapshot that it does not forget can be read without what it retires.
fn copy_ledger(turn: &mut Turn<'_>, pass: Pass) {
    let (configuration, replica) = (turn.configuration, &turn.state.replicator);
    let first = configuration.variant == Variant::ReplicaLedgerFirst && pass.index.is_empty();
    let is_whole = replica.is_whole(configuration, &turn.state.store, pass.head);
    turn.step("copies the ledger", |next| {
        if is_whole || first {
            next.replicator.head = pass.head;
        }
        next.replicator.at = match first {
            true => At::Index(pass, None),
            false => At::Ledger,
        };
    });
}
