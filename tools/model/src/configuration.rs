//! What a search begins with and what may happen in it.

use std::sync::Arc;

use crate::pack::{BLOBS, Bases, Contents, PACKS, Packs};
use crate::set::Set;
use crate::store::{Index, Register, Request, SESSIONS, Store};
use crate::variant::Variant;

/// The bounds of a search.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// The rule that is broken.
    pub variant: Variant,
    /// The base of each blob that may be stored as a delta.
    pub bases: Bases,
    /// The packs that are there at the beginning.
    pub packs: Vec<Contents>,
    /// The index objects that are there at the beginning.
    pub index: Vec<Set>,
    /// The blobs of each snapshot that is there at the beginning. They take the first sessions.
    pub snapshots: Vec<Set>,
    /// The blobs that each writer backs up. They take the next sessions.
    pub writers: Vec<Set>,
    /// How many packs a writer may make before it gives up.
    pub packs_per_writer: usize,
    /// Whether writers may note a newer head.
    pub renewals: bool,
    /// How many collectors there are: one or two.
    pub collectors: usize,
    /// How many rounds they may begin.
    pub rounds: usize,
    /// What they may condemn.
    pub plan: Plan,
    /// How many packs of copies they may make before they have to reinstate.
    pub copies: usize,
    /// Whether they may reinstate for no reason.
    pub reinstates: bool,
    /// Whose snapshots may be forgotten.
    pub forgettable: Set,
    /// How many requests may be delayed, to land at any time later or never.
    pub delays: u8,
    /// Whether listings come in pages, so that they show what was at different moments.
    pub pages: bool,
    /// Which packs may be found damaged, and how often.
    pub damageable: (Set, u8),
    /// Whether there is a replicator.
    pub replicator: bool,
    /// If the store is a replica at the beginning: its source at each moment of a history.
    pub source: Arc<[Store]>,
    /// How many replicators fill it.
    pub copiers: usize,
    /// How many promote it.
    pub promoters: usize,
    /// What those bring whose address led to the source, once it is promoted; deletions among it
    /// only in variant LostCollectorGoesOn. Before that only in variant ReplicaWrittenTo.
    pub strays: Vec<Request>,
}

/// What collectors may condemn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Any one pack, dead or not: a plan is a matter of effort, never of safety.
    One,
    /// Any packs together.
    Several,
    /// All dead packs.
    Dead,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            variant: Variant::None,
            bases: [None; BLOBS],
            packs: Vec::new(),
            index: Vec::new(),
            snapshots: Vec::new(),
            writers: Vec::new(),
            packs_per_writer: 1,
            renewals: false,
            collectors: 1,
            rounds: 1,
            plan: Plan::One,
            copies: 1,
            reinstates: false,
            forgettable: Set::EMPTY,
            delays: 0,
            pages: false,
            damageable: (Set::EMPTY, 0),
            replicator: false,
            source: Arc::default(),
            copiers: 0,
            promoters: 0,
            strays: Vec::new(),
        }
    }
}

impl Configuration {
    /// The same with a rule broken.
    #[must_use]
    pub fn with(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// The session of a writer.
    pub fn session_of(&self, writer: usize) -> usize {
        self.snapshots.len() + writer
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.snapshots.len() + self.writers.len()
    }

    /// The blobs of the snapshot of this session.
    pub fn blobs_of(&self, session: usize) -> Set {
        self.snapshots.iter().chain(&self.writers).nth(session).copied().unwrap_or_default()
    }

    /// The blobs of the snapshots of these sessions.
    pub fn blobs_of_all(&self, sessions: Set) -> Set {
        sessions.iter().fold(Set::EMPTY, |blobs, session| blobs.or(self.blobs_of(session)))
    }

    /// The names that a writer's packs would have.
    pub fn packs_of(&self, writer: usize) -> Set {
        let first = self.packs.len() + writer * self.packs_per_writer;
        (first..first + self.packs_per_writer).collect()
    }

    /// The session that the header of a pack names, if a writer made it.
    pub fn maker_of(&self, pack: usize) -> Option<usize> {
        let writer = (0..self.writers.len()).find(|writer| self.packs_of(*writer).has(pack))?;
        Some(self.session_of(writer))
    }

    /// The names that collectors' packs would have.
    pub fn packs_of_collectors(&self) -> Set {
        let first = self.packs.len() + self.writers.len() * self.packs_per_writer;
        (first..first + self.copies).collect()
    }

    /// Whether the store is a replica at the beginning.
    pub fn is_promotion(&self) -> bool {
        !self.source.is_empty()
    }

    /// The store at the beginning.
    pub fn store(&self) -> Store {
        let made = self.packs.len() + self.writers.len() * self.packs_per_writer + self.copies;
        assert!(made <= PACKS && self.sessions() <= SESSIONS, "the model has no room for that");
        let mut contents = Packs::default();
        for (pack, held) in contents.0.iter_mut().zip(&self.packs) {
            *pack = *held;
        }
        if self.is_promotion() {
            return Store { contents, is_marked: true, ..Store::default() };
        }
        let mut store = Store {
            packs: Set::below(self.packs.len()),
            contents,
            index: self.index.iter().copied().fold(Index::default(), Index::with),
            ever_listed: self.index.iter().copied().fold(Set::EMPTY, Set::or),
            ..Store::default()
        };
        for register in store.registers.iter_mut().take(self.snapshots.len()) {
            *register = Register::Committed;
        }
        store
    }
}
