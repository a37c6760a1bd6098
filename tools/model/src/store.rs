//! The store: named objects, created if absent, overwritten, listed and deleted, and what was
//! asked of it and has not arrived yet.
//!
//! An index object is known by the packs that it names: two that name the same are one here.
//! That is stricter than the real store, where deleting one leaves the other.

use crate::ledger::{Ledger, Record, Sum};
use crate::pack::{Bases, PACKS, Packs};
use crate::set::Set;

/// How many sessions there may be.
pub const SESSIONS: usize = 4;

/// `snapshots/S`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Register {
    /// Nothing stands there.
    #[default]
    Absent,
    /// A snapshot.
    Committed,
    /// A snapshot of the lost incarnation: behind a promotion it exists if that names it.
    Copied,
    /// The session may not commit any more.
    Fence,
}

impl Register {
    /// Whether it is a snapshot's.
    pub fn is_committed(self) -> bool {
        matches!(self, Self::Committed | Self::Copied)
    }
}

/// Index objects, each known by the packs that it names: bit n stands for the set of number n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Index(u64);

impl Index {
    /// With this object.
    #[must_use]
    pub fn with(self, object: Set) -> Self {
        Self(self.0 | 1 << object.number())
    }

    /// Without this object.
    #[must_use]
    pub fn without(self, object: Set) -> Self {
        Self(self.0 & !(1 << object.number()))
    }

    /// Whether the object is there.
    pub fn has(self, object: Set) -> bool {
        self.0 & 1 << object.number() != 0
    }

    /// All objects.
    pub fn objects(self) -> impl Iterator<Item = Set> {
        (1..1 << PACKS).map(Set::numbered).filter(move |object| self.has(*object))
    }

    /// All packs that any object names.
    pub fn packs(self) -> Set {
        self.objects().fold(Set::EMPTY, Set::or)
    }

    /// Those objects that name one of these packs.
    #[must_use]
    pub fn naming(self, packs: Set) -> Self {
        self.objects().filter(|object| object.meets(packs)).fold(Self::default(), Self::with)
    }

    /// Whether there is no object.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What a listing in pages may show that began when the store held `self` and ended when it
    /// held `later`: what was there all the time, and any of what came or went.
    pub fn listed_until(self, later: Self) -> Vec<Self> {
        let passing = Self(self.0 ^ later.0);
        let mut seen = vec![Self(self.0 & later.0)];
        for object in passing.objects() {
            let with: Vec<Self> = seen.iter().map(|index| index.with(object)).collect();
            seen.extend(with);
        }
        seen
    }
}

/// What an actor asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Create `sessions/S`, with nothing noted.
    CreateSession(usize),
    /// Overwrite `sessions/S`, noting a position.
    PutSession(usize, usize),
    /// Delete `sessions/S`.
    DeleteSession(usize),
    /// Put a pack.
    PutPack(usize),
    /// Delete a pack.
    DeletePack(usize),
    /// Put an index object that names these packs.
    PutIndex(Set),
    /// Delete it.
    DeleteIndex(Set),
    /// Create `snapshots/S`.
    CreateRegister(usize, Register),
    /// Delete `snapshots/S`.
    DeleteRegister(usize),
    /// Create the ledger record of this number.
    Append(usize, Record),
    /// Create the ledger record of this number, made by somebody who knows of no promotion.
    Bring(usize, Record),
    /// Put the ledger record of this number, whatever stands there: only in variant
    /// PromotionOverwrites.
    Overwrite(usize, Record),
}

impl Request {
    /// Whether something goes by it.
    pub fn is_deletion(&self) -> bool {
        matches!(
            self,
            Self::DeleteSession(_)
                | Self::DeletePack(_)
                | Self::DeleteIndex(_)
                | Self::DeleteRegister(_)
        )
    }
}

/// All objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Store {
    /// The packs that are there.
    pub packs: Set,
    /// What each pack holds that was ever made.
    pub contents: Packs,
    /// The index objects that are there.
    pub index: Index,
    /// Every pack that any index object ever named: what a cache of some age may hold.
    pub ever_listed: Set,
    /// `sessions/S`: the position noted, zero if none is.
    pub sessions: [Option<usize>; SESSIONS],
    /// `snapshots/S`.
    pub registers: [Register; SESSIONS],
    /// The ledger.
    pub ledger: Ledger,
    /// Retired packs that nobody takes for retired any more: none, but for variants V1b and
    /// ReinstateRevives.
    pub unlearned: Set,
    /// Whether it was made as a replica, and is one until it is promoted.
    pub is_marked: bool,
}

impl Store {
    /// Serves a request. Tells whether what was to be created was absent.
    pub fn serve(&mut self, request: Request) -> bool {
        match request {
            Request::CreateSession(session) => {
                let absent = self.sessions[session].is_none();
                if absent {
                    self.sessions[session] = Some(0);
                }
                return absent;
            }
            Request::PutSession(session, noted) => self.sessions[session] = Some(noted),
            Request::DeleteSession(session) => self.sessions[session] = None,
            Request::PutPack(pack) => self.packs = self.packs.or(Set::one(pack)),
            Request::DeletePack(pack) => self.packs = self.packs.without(Set::one(pack)),
            Request::PutIndex(packs) => {
                self.index = self.index.with(packs);
                self.ever_listed = self.ever_listed.or(packs);
            }
            Request::DeleteIndex(packs) => self.index = self.index.without(packs),
            Request::CreateRegister(session, register) => {
                let absent = self.registers[session] == Register::Absent;
                if absent {
                    self.registers[session] = register;
                }
                return absent;
            }
            Request::DeleteRegister(session) => self.registers[session] = Register::Absent,
            Request::Append(number, record) => return self.ledger.append(number, record),
            Request::Bring(number, record) => return self.ledger.bring(number, record),
            Request::Overwrite(number, record) => self.ledger.overwrite(number, record),
        }
        true
    }

    /// What the whole ledger amounts to.
    pub fn sum(&self) -> Sum {
        self.sum_at(self.ledger.head())
    }

    /// What the ledger amounts to up to a position.
    pub fn sum_at(&self, position: usize) -> Sum {
        let mut sum = self.ledger.sum(position);
        sum.retired = sum.retired.without(self.unlearned);
        sum
    }

    /// Whether somebody decided about the session: no later commit of it can count.
    pub fn is_resolved(&self, session: usize) -> bool {
        self.registers[session] != Register::Absent || self.sum().forgotten.has(session)
    }

    /// Whether nobody but replicators works in it.
    pub fn is_replica(&self) -> bool {
        self.is_marked && self.ledger.promotions() == 0
    }

    /// The sessions that are committed and not forgotten.
    pub fn snapshots(&self) -> Set {
        let sum = self.sum();
        let exists = |session: &usize| match self.registers[*session] {
            Register::Committed => true,
            Register::Copied => sum.promoted.is_none_or(|named| named.has(*session)),
            Register::Absent | Register::Fence => false,
        };
        (0..SESSIONS).filter(exists).collect::<Set>().without(sum.forgotten)
    }

    /// The blobs that can be read from packs that are there, listed, sound and not retired; in a
    /// replica, from all that are there and listed.
    pub fn readable(&self, bases: &Bases) -> Set {
        let sum = self.ledger.sum(self.ledger.head());
        let gone = if self.is_replica() { Set::EMPTY } else { sum.retired.or(sum.damaged) };
        self.contents.readable(bases, self.packs.and(self.index.packs()).without(gone))
    }
}
