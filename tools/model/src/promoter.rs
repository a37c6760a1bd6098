//! Whoever promotes a replica (format-spec, chapter 15): reads the ledger, lists the registers,
//! walks the forgotten snapshots among them, lists the packs, and creates one record.
//!
//! Nothing goes in a replica, and a register is put after what it rests on. So the packs of every
//! register that was listed are there when packs are listed afterwards, and what a walk found is
//! there, too; and who creates the next number after the head that he read knows that no record has
//! come meanwhile.

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
    /// Lists the registers.
    Registers(Survey),
    /// Walks those that are forgotten.
    Walk(Survey),
    /// Lists the packs.
    Packs(Survey),
    /// Creates the record.
    Create(Survey),
    /// Nothing more.
    Ended,
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

/// All steps of one of them.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    match turn.state.promoters[me] {
        Promoter::Idle => {
            if turn.state.store.is_replica() {
                let then = begin(turn);
                turn.step("reads the ledger", |next| next.promoters[me] = then);
            }
            return;
        }
        Promoter::Registers(survey) => registers(turn, me, survey),
        Promoter::Walk(survey) => walk(turn, me, survey),
        Promoter::Packs(survey) => packs(turn, me, survey),
        Promoter::Create(survey) => create(turn, me, survey),
        Promoter::Ended => return,
    }
    turn.may("crashes", |next| next.promoters[me] = Promoter::Idle);
}

/// Step 1: Read the ledger. The store must be a replica.
fn begin(turn: &Turn<'_>) -> Promoter {
    let survey = Survey { number: turn.state.store.ledger.head() + 1, ..Survey::default() };
    match turn.configuration.variant {
        Variant::PacksFirst => Promoter::Packs(survey),
        _ => Promoter::Registers(survey),
    }
}

/// Step 2: List the registers …
fn registers(turn: &mut Turn<'_>, me: usize, survey: Survey) {
    let registers = turn.state.store.registers;
    let snapshots = (0..SESSIONS).filter(|session| registers[*session].is_committed()).collect();
    turn.step("lists registers", |next| {
        next.promoters[me] = Promoter::Walk(Survey { snapshots, ..survey });
    });
}

/// … walk the forgotten snapshots: those of which everything is there come back …
fn walk(turn: &mut Turn<'_>, me: usize, survey: Survey) {
    let (variant, store) = (turn.configuration.variant, &turn.state.store);
    let forgotten = survey.snapshots.and(forgotten_at(store, survey));
    let readable = match variant {
        Variant::BasesUnwalked => store.contents.blobs(store.packs.and(store.index.packs())),
        _ => store.readable(&turn.configuration.bases),
    };
    let is_whole = |session: &usize| readable.covers(turn.configuration.blobs_of(*session));
    let whole: Set = forgotten.iter().filter(is_whole).collect();
    let back = if variant == Variant::BackUnwalked { forgotten } else { whole };
    let snapshots = survey.snapshots.without(forgotten).or(back);
    let survey = Survey { snapshots, ..survey };
    turn.step("walks what is forgotten", |next| {
        next.promoters[me] = match variant {
            Variant::PacksFirst => Promoter::Create(survey),
            _ => Promoter::Packs(survey),
        };
    });
}

fn forgotten_at(store: &Store, survey: Survey) -> Set {
    store.sum_at(survey.number - 1).forgotten
}

/// … then list the packs: revived are those that are there and retired.
fn packs(turn: &mut Turn<'_>, me: usize, survey: Survey) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let retired = store.packs.and(store.sum_at(survey.number - 1).retired);
    let revived = match configuration.variant {
        Variant::NothingRevived => Set::EMPTY,
        Variant::OnlyBackRevived => {
            let back = survey.snapshots.and(forgotten_at(store, survey));
            let blobs = configuration.blobs_of_all(back);
            let needed = store.contents.support(&configuration.bases, store.packs, blobs);
            retired.iter().filter(|pack| store.contents.0[*pack].blobs().meets(needed)).collect()
        }
        _ => retired,
    };
    let survey = Survey { revived, ..survey };
    turn.step("lists packs", |next| {
        next.promoters[me] = match configuration.variant {
            Variant::PacksFirst => Promoter::Registers(survey),
            _ => Promoter::Create(survey),
        };
    });
}

/// Step 3: Create the record of the next number. Who finds it taken begins anew.
fn create(turn: &mut Turn<'_>, me: usize, survey: Survey) {
    let record = Record::Promote(survey.snapshots, survey.revived);
    let request = match turn.configuration.variant {
        Variant::PromotionOverwrites => Request::Overwrite(survey.number, record),
        _ => Request::Append(survey.number, record),
    };
    let again = match turn.configuration.variant {
        Variant::PromotedAgain => begin(turn),
        Variant::SurveyKept if turn.state.store.is_replica() => {
            Promoter::Create(Survey { number: turn.state.store.ledger.head() + 1, ..survey })
        }
        _ => Promoter::Idle,
    };
    turn.send("promotes", request, |next, created| {
        next.promoters[me] = if created { Promoter::Ended } else { again };
    });
}
