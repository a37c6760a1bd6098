//! What every collector begins with, and ends with: what the ledger says is gone is deleted, and
//! silent sessions are resolved. Each step can be repeated by anyone at any time.

use crate::collector::Collector;
use crate::configuration::Configuration;
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Index, Register, Request, Store};
use crate::variant::Variant;

/// All steps of the clean-up from its beginning.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    packs(turn);
    index(turn, me);
    sessions(turn);
    registers(turn);
    unlearn(turn);
}

/// Step 7: Packs of a Retire that was read in the ledger are deleted. For all rounds: a late put can
/// bring one back.
fn packs(turn: &mut Turn<'_>) {
    let store = &turn.state.store;
    for pack in store.sum().retired.and(store.packs).iter() {
        turn.send("deletes a retired pack", Request::DeletePack(pack), |_, _| {});
    }
}

/// Step 7: Index objects that name retired packs get one replacement that names their other packs …
fn index(turn: &mut Turn<'_>, me: usize) {
    let store = &turn.state.store;
    let retired = store.sum().retired;
    let old = store.index.naming(retired);
    if old.is_empty() {
        return;
    }
    let others = old.packs().without(retired);
    turn.step("reads index objects that name retired packs", |next| {
        next.collectors[me] = match others.is_empty() {
            true => Collector::Unlist { old, then: None },
            false => Collector::Replace { old, others, then: None },
        };
    });
}

/// … which is published …
pub(crate) fn replace(
    turn: &mut Turn<'_>,
    me: usize,
    old: Index,
    others: Set,
    then: Option<(usize, usize)>,
) {
    if others.is_empty() {
        turn.step("replaces nothing", |next| next.collectors[me] = Collector::Unlist { old, then });
        return;
    }
    turn.send("publishes a replacement", Request::PutIndex(others), |next, _| {
        next.collectors[me] = Collector::Unlist { old, then };
    });
}

/// … before they are deleted.
pub(crate) fn unlist(turn: &mut Turn<'_>, me: usize, old: Index, then: Option<(usize, usize)>) {
    let Some(object) = old.objects().next() else { return };
    let rest = old.without(object);
    let after = match then {
        _ if !rest.is_empty() => Collector::Unlist { old: rest, then },
        Some((round, marked)) => Collector::Close { round, marked, may_retire: true },
        None => Collector::Idle,
    };
    turn.send("deletes an index object", Request::DeleteIndex(object), |next, _| {
        next.collectors[me] = after;
    });
}

/// Step 1: A session that is silent for long is fenced, round or no round: its packs could never be
/// planned otherwise. One whose register stands, or whose snapshot is forgotten, is deleted.
fn sessions(turn: &mut Turn<'_>) {
    let (variant, store) = (turn.configuration.variant, &turn.state.store);
    for session in 0..turn.configuration.sessions() {
        if store.sessions[session].is_none() {
            continue;
        }
        if store.is_resolved(session) {
            if variant != Variant::SessionsKept {
                let request = Request::DeleteSession(session);
                turn.send("deletes a resolved session", request, |_, _| {});
            }
        } else if variant != Variant::SilentLeftOut {
            let request = Request::CreateRegister(session, Register::Fence);
            turn.send("fences a silent session", request, |_, _| {});
        }
    }
}

/// The register of a forgotten snapshot is deleted; a fence never (V5).
fn registers(turn: &mut Turn<'_>) {
    let store = &turn.state.store;
    let forgotten = store.sum().forgotten;
    let tidied = turn.configuration.variant == Variant::V5;
    for session in 0..turn.configuration.sessions() {
        let request = Request::DeleteRegister(session);
        match store.registers[session] {
            Register::Committed | Register::Copied if forgotten.has(session) => {
                turn.send("deletes a forgotten register", request, |_, _| {});
            }
            Register::Fence if tidied && store.sessions[session].is_none() => {
                turn.send("deletes a fence", request, |_, _| {});
            }
            _ => {}
        }
    }
}

/// Retired ids are known for ever (V1b).
fn unlearn(turn: &mut Turn<'_>) {
    let store = &turn.state.store;
    if turn.configuration.variant != Variant::V1b {
        return;
    }
    let left = store.packs.or(store.index.packs());
    let unlearned = store.sum().retired.without(left);
    if !unlearned.is_empty() {
        turn.step("forgets retired ids", |next| {
            next.store.unlearned = next.store.unlearned.or(unlearned);
        });
    }
}

/// The packs that no snapshot needs, those of unresolved sessions left out: a matter of effort.
/// A pack is needed if it is listed and holds a live blob, or a base of any place of one.
pub(crate) fn dead_packs(configuration: &Configuration, store: &Store) -> Set {
    let retired = store.sum().retired;
    let listed = store.index.packs().without(retired);
    let live = configuration.blobs_of_all(store.snapshots());
    let needed = store.contents.support(&configuration.bases, listed, live);
    let is_dead = |pack: &usize| {
        let unresolved = configuration.maker_of(*pack).is_some_and(|session| {
            store.sessions[session].is_some() && !store.is_resolved(session)
        });
        let is_needed = listed.has(*pack) && store.contents.0[*pack].blobs().meets(needed);
        !is_needed && !unresolved
    };
    store.packs.or(listed).without(retired).iter().filter(is_dead).collect()
}
