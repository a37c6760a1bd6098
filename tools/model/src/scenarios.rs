//! The configurations that are searched, each small enough to be searched to its last state, and
//! made to stress one thing. Together with [`crate::Variant`] they say what was checked.

use crate::configuration::{Configuration, Plan};
use crate::history;
use crate::ledger::Record;
use crate::pack::{Contents, PACKS};
use crate::set::Set;
use crate::store::{Register, Request};

/// How much is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Seconds for each.
    Usual,
    /// Minutes to hours for each, and gigabytes: `everybody` has 13,368,773 states then.
    Large,
}

/// A configuration, or two of different size.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// How many states its usual size has.
    pub states: usize,
    configure: fn(Size) -> Configuration,
}

impl Scenario {
    /// Its bounds.
    pub fn configuration(&self, size: Size) -> Configuration {
        (self.configure)(size)
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|scenario| scenario.name == name).copied()
    }
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario { name: "reuse", states: 184_724, configure: reuse },
    Scenario { name: "two_writers", states: 2_816_760, configure: two_writers },
    Scenario { name: "everybody", states: 1_493_482, configure: everybody },
    Scenario { name: "renewals", states: 157_088, configure: renewals },
    Scenario { name: "rounds", states: 271_896, configure: rounds },
    Scenario { name: "pages", states: 369_231, configure: pages },
    Scenario { name: "forgetting", states: 1_942_033, configure: forgetting },
    Scenario { name: "chains", states: 2_704_980, configure: chains },
    Scenario { name: "bases", states: 765_267, configure: bases },
    Scenario { name: "circles", states: 2_840_349, configure: circles },
    Scenario { name: "damage", states: 1_075_175, configure: damage },
    Scenario { name: "replica", states: 3_111_539, configure: replica },
    Scenario { name: "replica_behind", states: 4_295_979, configure: replica_behind },
    Scenario { name: "replica_pages", states: 197_689, configure: replica_pages },
    Scenario { name: "promotion_behind", states: 1_636_538, configure: promotion_behind },
    Scenario { name: "promotion_back", states: 1_618_702, configure: promotion_back },
    Scenario { name: "promotion_late", states: 834_140, configure: promotion_late },
    Scenario { name: "promotion_twice", states: 2_547_094, configure: promotion_twice },
];

/// One more in the large size.
fn more(size: Size) -> usize {
    match size {
        Size::Usual => 0,
        Size::Large => 1,
    }
}

/// That many delayed requests, and one more in the large size.
fn delays(usual: u8, size: Size) -> u8 {
    match size {
        Size::Usual => usual,
        Size::Large => usual + 1,
    }
}

/// A pack with these blobs stored whole.
const fn whole(blobs: &[usize]) -> Contents {
    Contents { whole: Set::of(blobs), delta: Set::EMPTY }
}

/// A pack with these blobs stored as deltas.
const fn delta(blobs: &[usize]) -> Contents {
    Contents { whole: Set::EMPTY, delta: Set::of(blobs) }
}

/// A writer finds its blob in a dead pack, which two collectors condemn, retire, reinstate.
fn reuse(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 2,
        reinstates: true,
        delays: delays(1, size),
        ..Configuration::default()
    }
}

/// Two writers find each other's blobs.
fn two_writers(size: Size) -> Configuration {
    Configuration {
        writers: vec![Set::of(&[0]), Set::of(&[0])],
        collectors: 1 + more(size),
        delays: 1,
        ..Configuration::default()
    }
}

/// Two writers, collectors and a forgetter.
fn everybody(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0]), Set::of(&[0])],
        collectors: 1 + more(size),
        forgettable: Set::of(&[0]),
        ..Configuration::default()
    }
}

/// A writer notes newer heads, and has to store again what was closed.
fn renewals(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0, 1])],
        packs_per_writer: 2,
        renewals: true,
        collectors: 1 + more(size),
        rounds: 2,
        reinstates: true,
        ..Configuration::default()
    }
}

/// Two collectors and two rounds over a snapshot whose blob lies in two packs.
fn rounds(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        index: vec![Set::of(&[0, 1])],
        snapshots: vec![Set::of(&[0])],
        collectors: 2,
        rounds: 2 + more(size),
        reinstates: true,
        delays: delays(1, size),
        plan: Plan::Several,
        ..Configuration::default()
    }
}

/// The same with listings in pages.
fn pages(size: Size) -> Configuration {
    Configuration { pages: true, ..rounds(size) }
}

/// Snapshots are forgotten while others are made.
fn forgetting(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 1 + more(size),
        forgettable: Set::of(&[0, 1]),
        delays: 1,
        ..Configuration::default()
    }
}

/// A blob lies whole in one pack, and as a delta in another, its base in a third.
fn chains(size: Size) -> Configuration {
    Configuration {
        bases: [None, Some(0), None],
        packs: vec![whole(&[0]), whole(&[1]), delta(&[1])],
        index: vec![Set::of(&[0]), Set::of(&[1]), Set::of(&[2])],
        snapshots: vec![Set::of(&[1])],
        writers: vec![Set::of(&[1])],
        collectors: 1 + more(size),
        rounds: 2 + more(size),
        plan: Plan::Several,
        ..Configuration::default()
    }
}

/// A writer finds a delta whose base is collected.
fn bases(size: Size) -> Configuration {
    Configuration {
        bases: [None, Some(0), None],
        packs: vec![whole(&[0]), delta(&[1])],
        index: vec![Set::of(&[0]), Set::of(&[1])],
        writers: vec![Set::of(&[1])],
        collectors: 2,
        rounds: 2,
        delays: delays(0, size),
        plan: if size == Size::Large { Plan::Several } else { Plan::One },
        ..Configuration::default()
    }
}

/// Two deltas in one pack that name each other as bases.
fn circles(size: Size) -> Configuration {
    Configuration {
        bases: [Some(1), Some(0), None],
        packs: vec![whole(&[0]), whole(&[1]), delta(&[0, 1])],
        index: vec![Set::of(&[0, 1, 2])],
        snapshots: vec![Set::of(&[0]), Set::of(&[1])],
        forgettable: Set::of(&[0]),
        collectors: 1 + more(size),
        rounds: 3,
        copies: 2,
        plan: Plan::Several,
        ..Configuration::default()
    }
}

/// Packs are found damaged, and mended, during a round.
fn damage(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        index: vec![Set::of(&[0]), Set::of(&[1])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 2,
        rounds: 1 + more(size),
        damageable: (Set::below(PACKS), 1),
        plan: if size == Size::Large { Plan::Several } else { Plan::One },
        ..Configuration::default()
    }
}

/// A replica is filled while a writer and a collector work. Listings come in pages.
fn replica(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0, 1])],
        collectors: 1 + more(size),
        replicator: true,
        pages: true,
        ..Configuration::default()
    }
}

/// A replica is filled while snapshots are forgotten and packs collected, twice.
fn replica_behind(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0, 1])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0]), Set::of(&[1])],
        forgettable: Set::of(&[0]),
        collectors: 1,
        rounds: 2,
        copies: 2,
        replicator: true,
        pages: size == Size::Large,
        ..Configuration::default()
    }
}

/// A replica is filled while packs go of which an index object names another, too. Listings come in
/// pages.
fn replica_pages(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[1])],
        index: vec![Set::of(&[0, 1])],
        snapshots: vec![Set::of(&[1])],
        writers: Vec::new(),
        collectors: 2 + more(size),
        replicator: true,
        pages: true,
        ..Configuration::default()
    }
}

/// A replica is promoted whose ledger tells of a part of what was copied: a snapshot's blob was
/// moved, then the snapshot forgotten, then the new pack collected, too.
fn promotion_behind(size: Size) -> Configuration {
    let mut then = history::round(1, 0, Some(1));
    then.push(Request::Append(3, Record::Forget(0)));
    then.extend(history::round(4, 1, None));
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        snapshots: vec![Set::of(&[0])],
        source: history::of(&[0], &[0], &then),
        copiers: 2,
        promoters: 1,
        collectors: more(size),
        ..Configuration::default()
    }
}

/// A replica is promoted that has the register of a forgotten snapshot, and not all it rests on. A
/// writer finds what is left of it.
fn promotion_back(size: Size) -> Configuration {
    let mut then = vec![Request::Append(1, Record::Forget(0))];
    then.extend(history::round(2, 0, None));
    Configuration {
        bases: [None, Some(0), None],
        packs: vec![whole(&[0]), delta(&[1])],
        snapshots: vec![Set::of(&[1])],
        source: history::of(&[0, 1], &[0], &then),
        writers: vec![Set::of(&[1])],
        copiers: 1 + more(size),
        promoters: 1,
        ..Configuration::default()
    }
}

/// What was on its way to a replica lands in the repository that it has become, and so does what was
/// on its way to the source.
fn promotion_late(size: Size) -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        snapshots: vec![Set::of(&[0]), Set::of(&[0])],
        source: history::of(&[0], &[0], &history::round(1, 0, Some(1))),
        writers: if size == Size::Large { vec![Set::of(&[0])] } else { Vec::new() },
        copiers: 1 + more(size),
        promoters: 1,
        strays: vec![
            Request::PutSession(1, 0),
            Request::CreateRegister(1, Register::Copied),
            Request::DeletePack(0),
            Request::DeleteIndex(Set::of(&[0])),
            Request::DeleteRegister(0),
        ],
        rounds: 2,
        forgettable: Set::of(&[0]),
        delays: delays(0, size),
        ..Configuration::default()
    }
}

/// Two promote a replica at once, while it is filled; a snapshot is forgotten then.
fn promotion_twice(size: Size) -> Configuration {
    let mut then = vec![Request::Append(1, Record::Forget(0))];
    then.extend(history::round(2, 0, None));
    Configuration {
        packs: vec![whole(&[0])],
        snapshots: vec![Set::of(&[0])],
        source: history::of(&[0], &[0], &then),
        copiers: 1,
        promoters: 2,
        forgettable: Set::of(&[0]),
        delays: delays(1, size),
        ..Configuration::default()
    }
}
