//! What a collector does between its look at the sessions and the end of its round: it marks what
//! lives, and copies what would go.

use crate::collector::{Collector, mark_anew};
use crate::pack::{Contents, Found};
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Index, Request};
use crate::variant::Variant;

/// Step 5: Only now mark (V8): first the snapshots, committed and not forgotten …
pub(crate) fn snapshots(
    turn: &mut Turn<'_>,
    me: usize,
    of: (usize, bool),
    session: usize,
    live: Set,
) {
    let (configuration, (round, again)) = (turn.configuration, of);
    let (looked_at, rest) = match configuration.pages {
        true => (Set::one(session), session + 1),
        false => (Set::below(configuration.sessions()), configuration.sessions()),
    };
    let mut seen = turn.state.store.snapshots().and(looked_at);
    if configuration.variant == Variant::BundleIsListing {
        seen = seen.and(Set::below(configuration.snapshots.len()));
    }
    let live = live.or(configuration.blobs_of_all(seen));
    turn.step("lists snapshots", |next| {
        next.collectors[me] = match rest < configuration.sessions() {
            true => Collector::Snapshots { round, session: rest, live, again },
            false => Collector::Index { round, live, again, began: None },
        };
    });
}

/// … then the index, without retired packs (V3).
pub(crate) fn index(
    turn: &mut Turn<'_>,
    me: usize,
    of: (usize, bool),
    live: Set,
    began: Option<Index>,
) {
    let now = turn.state.store.index;
    match began {
        None if turn.configuration.pages => turn.step("begins to list the index", |next| {
            let (round, again) = of;
            next.collectors[me] = Collector::Index { round, live, again, began: Some(now) };
        }),
        None => mark(turn, me, of, live, now),
        Some(began) => {
            for seen in began.listed_until(now) {
                mark(turn, me, of, live, seen);
            }
        }
    }
}

/// Step 5: Each live blob must be readable from listed packs outside the closed set, or is copied out
/// of condemned ones. One that is found in neither stops the collector (V4): it marks anew.
fn mark(turn: &mut Turn<'_>, me: usize, of: (usize, bool), live: Set, seen: Index) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let (variant, (round, again)) = (configuration.variant, of);
    let (sum, marked) = (store.sum(), store.ledger.head());
    let Some((open, condemned)) = sum.open.filter(|(open, _)| *open == round) else {
        turn.step("finds its round closed", |next| next.collectors[me] = Collector::Idle);
        return;
    };
    let closed = match variant {
        Variant::V3 => condemned.or(sum.damaged),
        _ => sum.closed(variant),
    };
    let there = match variant {
        Variant::AbsentStays => seen.packs(),
        _ => seen.packs().and(store.packs),
    };
    let staying = there.without(closed);
    let sources = there.and(condemned).without(sum.damaged);
    let (copies, found) =
        store.contents.evacuation(&configuration.bases, staying, sources, live, variant);
    if found == Found::NotAll && variant != Variant::V4 {
        missed(turn, me, round, again);
        return;
    }
    let free = configuration.packs_of_collectors().iter();
    let free = free.filter(|pack| store.contents.0[*pack].is_empty()).min();
    let then = match (copies.is_empty(), free) {
        (true, _) if variant == Variant::V6 => {
            let old = store.index.naming(condemned);
            let others = old.packs().without(condemned).without(sum.retired);
            Collector::Replace { old, others, then: Some((open, marked)) }
        }
        (true, _) => Collector::Close { round, marked, may_retire: true },
        (false, Some(pack)) => Collector::Copy { round, marked, pack, copies },
        (false, None) => Collector::Close { round, marked, may_retire: false },
    };
    turn.step("marks", |next| next.collectors[me] = then);
}

/// Damage is reported if a blob is found nowhere a second time while the round is open. An index
/// object that was missed because it was being replaced has a replacement by then, which names no
/// retired pack and so stays as long as the round does.
fn missed(turn: &mut Turn<'_>, me: usize, round: usize, again: bool) {
    if again || turn.configuration.variant == Variant::AlarmAtOnce {
        turn.step("reports damage", |next| next.collectors[me] = Collector::Alarmed);
    } else {
        turn.step("misses a live blob", |next| next.collectors[me] = mark_anew(round, true));
    }
}

/// Step 5: Copies go into a pack of the collector's own …
pub(crate) fn copy(
    turn: &mut Turn<'_>,
    me: usize,
    of: (usize, usize),
    pack: usize,
    copies: Contents,
) {
    let store = &turn.state.store;
    let (round, marked) = of;
    let is_taken = !store.contents.0[pack].is_empty() && store.contents.0[pack] != copies;
    if store.sum().open.is_none_or(|(open, _)| open != round) || is_taken {
        turn.step("begins anew", |next| next.collectors[me] = Collector::Idle);
        return;
    }
    let listed_late = turn.configuration.variant == Variant::CopiesListedLate;
    turn.put_pack(pack, copies, |next| {
        next.collectors[me] = match listed_late {
            true => Collector::Close { round, marked, may_retire: true },
            false => Collector::ListCopies { round, marked, pack },
        };
    });
}

/// … whose index object is published before the round is closed.
pub(crate) fn list_copies(
    turn: &mut Turn<'_>,
    me: usize,
    round: usize,
    marked: usize,
    pack: usize,
) {
    turn.send("lists its copies", Request::PutIndex(Set::one(pack)), |next, _| {
        next.collectors[me] = Collector::Close { round, marked, may_retire: true };
    });
}
