//! The configurations that are searched, each small enough to be searched to its last state and
//! made to stress one thing.

use crate::configuration::Configuration;
use crate::pack::{Contents, PACKS};
use crate::set::Set;

/// A pack with these blobs stored whole.
const fn whole(blobs: &[usize]) -> Contents {
    Contents { whole: Set::of(blobs), delta: Set::EMPTY }
}

/// A pack with these blobs stored as deltas.
const fn delta(blobs: &[usize]) -> Contents {
    Contents { whole: Set::EMPTY, delta: Set::of(blobs) }
}

/// A writer that finds its blob in a dead pack, which two collectors condemn, retire, reinstate.
pub fn reuse() -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 2,
        reinstates: true,
        delays: 1,
        ..Configuration::default()
    }
}

/// Two writers that find each other's blobs.
pub fn two_writers() -> Configuration {
    Configuration {
        writers: vec![Set::of(&[0]), Set::of(&[0])],
        collectors: 1,
        delays: 1,
        ..Configuration::default()
    }
}

/// Writers that note newer heads, and have to store again what was closed.
pub fn renewals() -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0, 1])],
        packs_per_writer: 2,
        renewals: true,
        rounds: 2,
        reinstates: true,
        ..Configuration::default()
    }
}

/// Two collectors and two rounds over a snapshot whose blob lies in two packs.
pub fn rounds() -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        index: vec![Set::of(&[0, 1])],
        snapshots: vec![Set::of(&[0])],
        collectors: 2,
        rounds: 2,
        reinstates: true,
        delays: 1,
        ..Configuration::default()
    }
}

/// The same with listings in pages.
pub fn pages() -> Configuration {
    Configuration { pages: true, delays: 0, ..rounds() }
}

/// Deltas whose bases lie in other packs.
pub fn chains() -> Configuration {
    Configuration {
        bases: [None, Some(0), None],
        packs: vec![whole(&[0]), whole(&[1]), delta(&[1])],
        index: vec![Set::of(&[0]), Set::of(&[1]), Set::of(&[2])],
        snapshots: vec![Set::of(&[1])],
        writers: vec![Set::of(&[1])],
        collectors: 1,
        rounds: 2,
        ..Configuration::default()
    }
}

/// Two deltas that name each other as bases.
pub fn circles() -> Configuration {
    Configuration {
        bases: [Some(1), Some(0), None],
        packs: vec![whole(&[0]), whole(&[1]), delta(&[0, 1])],
        index: vec![Set::of(&[0, 1, 2])],
        snapshots: vec![Set::of(&[0]), Set::of(&[1])],
        forgettable: Set::of(&[0]),
        collectors: 1,
        rounds: 3,
        copies: 2,
        ..Configuration::default()
    }
}

/// Snapshots are forgotten while others are made.
pub fn forgetting() -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 1,
        forgettable: Set::of(&[0, 1]),
        delays: 1,
        ..Configuration::default()
    }
}

/// Packs are found damaged, and mended, during a round.
pub fn damage() -> Configuration {
    Configuration {
        packs: vec![whole(&[0]), whole(&[0])],
        index: vec![Set::of(&[0]), Set::of(&[1])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0])],
        collectors: 2,
        rounds: 1,
        damageable: (Set::below(PACKS), 1),
        ..Configuration::default()
    }
}

/// A replica is filled while a writer and a collector work.
pub fn replica() -> Configuration {
    Configuration {
        packs: vec![whole(&[0])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0])],
        writers: vec![Set::of(&[0, 1])],
        collectors: 1,
        replicator: true,
        pages: true,
        ..Configuration::default()
    }
}

/// A replica is filled while snapshots are forgotten and packs collected, twice.
pub fn replica_behind() -> Configuration {
    Configuration {
        packs: vec![whole(&[0, 1])],
        index: vec![Set::of(&[0])],
        snapshots: vec![Set::of(&[0]), Set::of(&[1])],
        forgettable: Set::of(&[0]),
        collectors: 1,
        rounds: 2,
        copies: 2,
        replicator: true,
        ..Configuration::default()
    }
}

/// All of them by name.
pub const ALL: &[(&str, fn() -> Configuration)] = &[
    ("reuse", reuse),
    ("two_writers", two_writers),
    ("renewals", renewals),
    ("rounds", rounds),
    ("pages", pages),
    ("chains", chains),
    ("circles", circles),
    ("forgetting", forgetting),
    ("damage", damage),
    ("replica", replica),
    ("replica_behind", replica_behind),
];
