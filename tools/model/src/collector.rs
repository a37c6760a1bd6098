//! A collector: one round from Condemn to Retire or Reinstate. What it marks and copies is in
//! `mark`; what comes before and after, the clean-up, in `cleaning`.
//!
//! A collector remembers nothing that another could not find out: it may crash at any step, and
//! whoever comes next reads the ledger and goes on.

use crate::configuration::{Configuration, Plan};
use crate::ledger::Record;
use crate::pack::Contents;
use crate::set::Set;
use crate::state::{State, Turn};
use crate::store::{Index, Register, Request};
use crate::variant::Variant;
use crate::{cleaning, mark};

/// What the collector does next.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Collector {
    /// Cleans up, goes on with an open round, or begins one.
    #[default]
    Idle,
    /// Creates the record of that number: Condemn.
    Condemn {
        /// The packs.
        packs: Set,
        /// One after the head that was read.
        number: usize,
        /// What was live when the plan was made; empty but for variant V8.
        mark: Set,
    },
    /// Looks at one session after the other.
    Sessions {
        /// The number of the condemn.
        round: usize,
        /// The session it looks at.
        session: usize,
        /// As above.
        mark: Set,
    },
    /// Lists the snapshots.
    Snapshots {
        /// The number of the condemn.
        round: usize,
        /// The first session that it has not looked at.
        session: usize,
        /// The blobs of the snapshots seen so far.
        live: Set,
        /// Whether a live blob was found nowhere the last time.
        again: bool,
    },
    /// Reads the index.
    Index {
        /// The number of the condemn.
        round: usize,
        /// The blobs of all snapshots.
        live: Set,
        /// As above.
        again: bool,
        /// What was there when the listing began, if it comes in pages.
        began: Option<Index>,
    },
    /// Puts a pack of copies.
    Copy {
        /// The number of the condemn.
        round: usize,
        /// The ledger's head when the index was read.
        marked: usize,
        /// The pack's name.
        pack: usize,
        /// What goes into it.
        copies: Contents,
    },
    /// Lists the pack of copies.
    ListCopies {
        /// The number of the condemn.
        round: usize,
        /// As above.
        marked: usize,
        /// As above.
        pack: usize,
    },
    /// Closes the round.
    Close {
        /// The number of the condemn.
        round: usize,
        /// As above.
        marked: usize,
        /// Whether all that lives is safe.
        may_retire: bool,
    },
    /// Has reported damage, and does no more.
    Alarmed,
    /// Deletes packs of a Retire that it has not read back: only in that variant.
    DeleteUnread(Set),
    /// Publishes what takes the place of index objects.
    Replace {
        /// Those objects.
        old: Index,
        /// The packs that the new one names.
        others: Set,
        /// The round to be closed then: only in variant V6.
        then: Option<(usize, usize)>,
    },
    /// Deletes index objects whose replacement is published.
    Unlist {
        /// Those objects.
        old: Index,
        /// As above.
        then: Option<(usize, usize)>,
    },
}

/// All steps of one collector.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    match turn.state.collectors[me].clone() {
        Collector::Idle => {
            cleaning::steps(turn, me);
            begin(turn, me);
            return;
        }
        Collector::Condemn { packs, number, mark } => condemn(turn, me, packs, number, mark),
        Collector::Sessions { round, session, mark } => sessions(turn, me, round, session, mark),
        Collector::Snapshots { round, session, live, again } => {
            mark::snapshots(turn, me, (round, again), session, live);
        }
        Collector::Index { round, live, again, began } => {
            mark::index(turn, me, (round, again), live, began);
        }
        Collector::Copy { round, marked, pack, copies } => {
            mark::copy(turn, me, (round, marked), pack, copies);
        }
        Collector::ListCopies { round, marked, pack } => {
            mark::list_copies(turn, me, round, marked, pack)
        }
        Collector::Close { round, marked, may_retire } => {
            close(turn, me, round, marked, may_retire)
        }
        Collector::Alarmed => return,
        Collector::DeleteUnread(packs) => delete_unread(turn, me, packs),
        Collector::Replace { old, others, then } => cleaning::replace(turn, me, old, others, then),
        Collector::Unlist { old, then } => cleaning::unlist(turn, me, old, then),
    }
    turn.may("crashes", |next| next.collectors[me] = Collector::Idle);
}

/// Step 1: Read the ledger. An open condemn is gone on with, whoever began it. Otherwise plan.
fn begin(turn: &mut Turn<'_>, me: usize) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let mark = match configuration.variant {
        Variant::V8 => configuration.blobs_of_all(store.snapshots()),
        _ => Set::EMPTY,
    };
    if let Some((round, _)) = store.sum().open {
        turn.step("goes on with the open round", |next| {
            next.collectors[me] = Collector::Sessions { round, session: 0, mark };
        });
        return;
    }
    if store.ledger.condemns() >= configuration.rounds {
        return;
    }
    let gone = store.sum().retired;
    let plans: Vec<Set> = match configuration.plan {
        Plan::One => store.packs.without(gone).iter().map(Set::one).collect(),
        Plan::Several => store.packs.without(gone).subsets().collect(),
        Plan::Dead => vec![cleaning::dead_packs(configuration, store)],
    };
    for packs in plans.into_iter().filter(|packs| !packs.is_empty()) {
        turn.step("plans", |next| {
            let number = next.store.ledger.head() + 1;
            next.collectors[me] = Collector::Condemn { packs, number, mark };
        });
    }
}

/// Step 2: Condemn with the next number after a head with no round open: so there is one at a time.
/// Step 3: That number is the round's.
fn condemn(turn: &mut Turn<'_>, me: usize, packs: Set, number: usize, mark: Set) {
    let request = Request::Append(number, Record::Condemn(packs));
    turn.send("condemns", request, |next, created| {
        next.collectors[me] = match created {
            true => Collector::Sessions { round: number, session: 0, mark },
            false => Collector::Idle,
        };
    });
}

/// Step 4: After that, look at every session. Each must be gone, or obey this condemn, or have its
/// register; otherwise wait, or, when it is silent for long, fence it and heed what stands there.
fn sessions(turn: &mut Turn<'_>, me: usize, round: usize, session: usize, mark: Set) {
    let configuration = turn.configuration;
    let settled = settled(turn, round, session);
    if settled > session {
        turn.step("finds sessions settled", |next| {
            next.collectors[me] = after_session(configuration, round, settled, mark);
        });
    } else if configuration.variant == Variant::SessionDeletedUnfenced {
        turn.send("deletes a session", Request::DeleteSession(session), |next, _| {
            next.collectors[me] = after_session(configuration, round, session + 1, mark);
        });
    } else {
        let request = Request::CreateRegister(session, Register::Fence);
        turn.send("fences a session", request, |next, _| {
            next.collectors[me] = after_session(configuration, round, session + 1, mark);
        });
    }
    may_reinstate(turn, me, round);
}

/// The first session from this one on that is not settled; just the next one if listings come in
/// pages. What is settled stays so: who announces itself later reads the ledger later.
fn settled(turn: &Turn<'_>, round: usize, session: usize) -> usize {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let is_settled = |session: &usize| {
        store.is_resolved(*session)
            || match store.sessions[*session] {
                None => true,
                Some(0) if configuration.variant == Variant::UnnotedIgnored => true,
                Some(noted) => noted >= round,
            }
    };
    let most = if configuration.pages { 1 } else { configuration.sessions() };
    session + (session..configuration.sessions()).take(most).take_while(is_settled).count()
}

fn after_session(
    configuration: &Configuration,
    round: usize,
    session: usize,
    mark: Set,
) -> Collector {
    if session < configuration.sessions() {
        return Collector::Sessions { round, session, mark };
    }
    match configuration.variant {
        Variant::V8 => Collector::Index { round, live: mark, again: false, began: None },
        _ => mark_anew(round, false),
    }
}

pub(crate) fn mark_anew(round: usize, again: bool) -> Collector {
    Collector::Snapshots { round, session: 0, live: Set::EMPTY, again }
}

/// Step 6: Read the ledger on. Closed by somebody: follow that record. Damaged meanwhile: mark again.
/// Otherwise create the next number; who finds it taken reads on.
fn close(turn: &mut Turn<'_>, me: usize, round: usize, marked: usize, may_retire: bool) {
    let (variant, store) = (turn.configuration.variant, &turn.state.store);
    let is_open = store.sum().open.is_some_and(|(open, _)| open == round);
    if !is_open && variant != Variant::CloseUnread {
        turn.step("finds its round closed", |next| next.collectors[me] = Collector::Idle);
        return;
    }
    let news = store.ledger.after(marked);
    let damaged = news.iter().any(|record| matches!(record, Record::Damaged(_)));
    if damaged && variant != Variant::DamageOvertaken {
        turn.step("marks again: a pack was damaged", |next| {
            next.collectors[me] = mark_anew(round, false);
        });
        return;
    }
    let Some(packs) = store.ledger.condemned_by(round) else { return };
    let retire = Request::Append(store.ledger.head() + 1, Record::Retire(round, packs));
    if may_retire {
        turn.send("retires", retire, |next, _| next.collectors[me] = Collector::Idle);
        if variant == Variant::RetireNotReadBack {
            turn.delay(retire, |next| next.collectors[me] = Collector::DeleteUnread(packs));
        }
        may_reinstate(turn, me, round);
    } else {
        reinstate(turn, me, round);
    }
}

fn may_reinstate(turn: &mut Turn<'_>, me: usize, round: usize) {
    let store = &turn.state.store;
    let is_open = store.sum().open.is_some_and(|(open, _)| open == round);
    let revives = turn.configuration.variant == Variant::ReinstateRevives && !is_open;
    if turn.configuration.reinstates && (is_open || revives) {
        let number = store.ledger.head() + 1;
        let request = Request::Append(number, Record::Reinstate(round));
        turn.may_send("reinstates", request, |next| {
            if revives {
                next.store.unlearned = next.store.ledger.condemned_by(round).unwrap_or_default();
            }
            next.collectors[me] = Collector::Idle;
        });
    }
}

fn reinstate(turn: &mut Turn<'_>, me: usize, round: usize) {
    let number = turn.state.store.ledger.head() + 1;
    let request = Request::Append(number, Record::Reinstate(round));
    turn.send("reinstates", request, |next, _| next.collectors[me] = Collector::Idle);
}

fn delete_unread(turn: &mut Turn<'_>, me: usize, packs: Set) {
    let Some(pack) = packs.iter().next() else {
        turn.step("has deleted", |next| next.collectors[me] = Collector::Idle);
        return;
    };
    turn.send("deletes a pack", Request::DeletePack(pack), |next: &mut State, _| {
        next.collectors[me] = Collector::DeleteUnread(packs.without(Set::one(pack)));
    });
}
