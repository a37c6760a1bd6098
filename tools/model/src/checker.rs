//! Whoever finds damage, and mends it.
//!
//! Damage is found where it does not itself take the last sound copy of something: what is lost
//! then no protocol can keep. Nor while a run is under way that has read the ledger: it cannot
//! know.

use crate::ledger::Record;
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Request, SESSIONS};

/// All steps.
pub(crate) fn steps(turn: &mut Turn<'_>) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let number = store.ledger.head() + 1;
    let damaged = store.sum().damaged;
    for pack in configuration.damageable.0.iter() {
        if damaged.has(pack) {
            let request = Request::Append(number, Record::Repaired(pack));
            turn.may_send("mends a pack", request, |_| {});
        } else if turn.state.damages > 0 && store.packs.has(pack) && is_spare(turn, pack) {
            turn.may_send(
                "finds a pack damaged",
                Request::Append(number, Record::Damaged(pack)),
                |next| next.damages -= 1,
            );
        }
    }
}

/// Whether all that lives can be read without this pack, and no run is under way.
fn is_spare(turn: &Turn<'_>, pack: usize) -> bool {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let sum = store.sum();
    let gone = sum.retired.or(sum.damaged).or(Set::one(pack));
    let left = store.packs.and(store.index.packs()).without(gone);
    let live = configuration.blobs_of_all(store.snapshots());
    let running = turn.state.writers.iter().any(|writer| writer.is_running(configuration.variant));
    let landing = (0..SESSIONS).any(|session| {
        turn.state
            .late
            .contains(&Request::CreateRegister(session, crate::store::Register::Committed))
    });
    store.contents.readable(&configuration.bases, left).covers(live) && !running && !landing
}
