//! Whoever promotes a replica (format-spec, chapter 15): reads the ledger, lists the registers,
//! walks the forgotten snapshots among them, lists the packs, and creates one record.
//!
//! Nothing goes in a replica, and a register is put after what it rests on. So the packs of every
//! register that was listed are there when packs are listed afterwards, and what a walk found is
//! there, too; and who creates the next number after the head that he read knows that no record has
//! come meanwhile.

use crate::configuration::Configuration;
use crate::ledger::Record;
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Request, SESSIONS, Store};
use crate::variant::Variant;

/// What it does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promoter {
    /// Reads the ledger.
    #[default]
    Idle,
    /// Takes that one of its three looks at what is there.
    Look(usize, Survey),
    /// Creates the record.
    Create(Survey),
    /// Nothing more.
    Ended,
}

/// A look at what is there.
#[derive(Clone, Copy)]
enum Look {
    Registers,
    Forgotten,
    Packs,
}

/// Packs last.
fn looks(variant: Variant) -> [Look; 3] {
    match variant {
        Variant::PacksFirst => [Look::Packs, Look::Registers, Look::Forgotten],
        Variant::PacksBeforeWalk => [Look::Registers, Look::Packs, Look::Forgotten],
        _ => [Look::Registers, Look::Forgotten, Look::Packs],
    }
}

/// What it has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Survey {
    /// The number of the record: one after the head that was read.
    pub number: usize,
    /// The registers; after the walk, without those that do not come back.
    pub snapshots: Set,
    /// The packs that are there and retired.
    pub revived: Set,
}

impl Survey {
    /// The snapshots found that a record forgets.
    fn forgotten(&self, store: &Store) -> Set {
        self.snapshots.and(store.sum_at(self.number - 1).forgotten)
    }
}

/// All steps of one of them.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    match turn.state.promoters[me] {
        Promoter::Idle => {
            if turn.state.store.is_replica() {
                let then = begin(turn.state.store.ledger.head());
                turn.step("reads the ledger", |next| next.promoters[me] = then);
            }
            return;
        }
        Promoter::Look(number, survey) => look(turn, me, number, survey),
        Promoter::Create(survey) => create(turn, me, survey),
        Promoter::Ended => return,
    }
    turn.may("crashes", |next| next.promoters[me] = Promoter::Idle);
}

/// Step 1: Read the ledger. The store must be a replica.
fn begin(head: usize) -> Promoter {
    Promoter::Look(0, Survey { number: head + 1, ..Survey::default() })
}

/// Step 2: List the registers, walk the forgotten snapshots, list the packs.
fn look(turn: &mut Turn<'_>, me: usize, number: usize, survey: Survey) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let looks = looks(configuration.variant);
    let (does, found) = match looks[number] {
        Look::Registers => ("lists registers", registers(store, survey)),
        Look::Forgotten => ("walks what is forgotten", walked(configuration, store, survey)),
        Look::Packs => ("lists packs", packs(configuration, store, survey)),
    };
    let is_last = number + 1 == looks.len();
    turn.step(does, |next| {
        next.promoters[me] =
            if is_last { Promoter::Create(found) } else { Promoter::Look(number + 1, found) };
    });
}

fn registers(store: &Store, survey: Survey) -> Survey {
    let is_committed = |session: &usize| store.registers[*session].is_committed();
    Survey { snapshots: (0..SESSIONS).filter(is_committed).collect(), ..survey }
}

/// Of the forgotten snapshots, those come back of which everything is there.
fn walked(configuration: &Configuration, store: &Store, survey: Survey) -> Survey {
    let forgotten = survey.forgotten(store);
    let readable = match configuration.variant {
        Variant::BasesUnwalked => store.contents.blobs(store.packs.and(store.index.packs())),
        _ => store.readable(&configuration.bases),
    };
    let is_back = |session: &usize| {
        configuration.variant == Variant::BackUnwalked
            || readable.covers(configuration.blobs_of(*session))
    };
    let back = forgotten.iter().filter(is_back).collect();
    Survey { snapshots: survey.snapshots.without(forgotten).or(back), ..survey }
}

/// Revived are the packs that are there and retired.
fn packs(configuration: &Configuration, store: &Store, survey: Survey) -> Survey {
    let retired = store.packs.and(store.sum_at(survey.number - 1).retired);
    let blobs = configuration.blobs_of_all(survey.forgotten(store));
    let needed = store.contents.support(&configuration.bases, store.packs, blobs);
    let is_needed = |pack: &usize| store.contents.0[*pack].blobs().meets(needed);
    let revived = match configuration.variant {
        Variant::NothingRevived => Set::EMPTY,
        Variant::OnlyBackRevived => retired.iter().filter(is_needed).collect(),
        _ => retired,
    };
    Survey { revived, ..survey }
}

/// Step 3: Create the record of the next number. Who finds it taken begins anew.
fn create(turn: &mut Turn<'_>, me: usize, survey: Survey) {
    let record = Record::Promote(survey.snapshots, survey.revived);
    let request = match turn.configuration.variant {
        Variant::PromotionOverwrites => Request::Overwrite(survey.number, record),
        _ => Request::Append(survey.number, record),
    };
    let again = match turn.configuration.variant {
        Variant::PromotedAgain => begin(turn.state.store.ledger.head()),
        Variant::SurveyKept if turn.state.store.is_replica() => {
            Promoter::Create(Survey { number: turn.state.store.ledger.head() + 1, ..survey })
        }
        _ => Promoter::Idle,
    };
    turn.send("promotes", request, |next, created| {
        next.promoters[me] = if created { Promoter::Ended } else { again };
    });
}
