//! What a writer reuses, and what it stores anew.

use crate::pack::Contents;
use crate::set::Set;
use crate::state::Turn;
use crate::variant::Variant;
use crate::writer::go_on;

/// Steps 4 and 5: Reuse what a cache of any age shows, or store it anew, as a delta where a base is at
/// hand. A blob is present only if its bases are, all in listed packs outside the closed set.
pub(crate) fn choose(turn: &mut Turn<'_>, me: usize) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let variant = configuration.variant;
    let wanted = configuration.writers[me];
    let closed = store.sum_at(turn.state.writers[me].noted).closed(variant);
    let known = match variant {
        Variant::UnpublishedCached => store.ever_listed.or(store.packs),
        Variant::AbsentReused => store.ever_listed,
        Variant::LostStoreCached => listed_in_source(turn).or(store.ever_listed).and(store.packs),
        // What is listed in a replica may not be there. Elsewhere nobody's safety rests on this.
        _ if store.is_marked => store.ever_listed.and(store.packs),
        _ => store.ever_listed,
    };
    for cache in known.without(closed).subsets() {
        for planned in plans(turn, wanted, cache) {
            // Only caches of which every entry is used: others make no other run.
            if cache
                .iter()
                .any(|pack| suffices(turn, wanted, cache.without(Set::one(pack)), planned))
            {
                continue;
            }
            turn.step("chooses what to reuse", |next| {
                let writer = &mut next.writers[me];
                (writer.uses, writer.planned) = (cache, planned);
                go_on(next, me);
            });
        }
    }
}

/// What a cache may hold that was made in the store for which the replica stands in.
fn listed_in_source(turn: &Turn<'_>) -> Set {
    turn.configuration.source.iter().fold(Set::EMPTY, |listed, store| listed.or(store.ever_listed))
}

/// What the writer takes for present in these packs.
fn present(turn: &Turn<'_>, among: Set) -> Set {
    let contents = &turn.state.store.contents;
    match turn.configuration.variant {
        Variant::BasesUnchecked => contents.blobs(among),
        _ => contents.readable(&turn.configuration.bases, among),
    }
}

/// What a new pack would hold: all that is missing whole, or as deltas where that is possible.
pub(crate) fn plans(turn: &Turn<'_>, wanted: Set, among: Set) -> Vec<Contents> {
    let present = present(turn, among);
    let missing = wanted.without(present);
    let rests = |blob: &usize| turn.configuration.bases[*blob].is_some_and(|b| present.has(b));
    let delta: Set = missing.iter().filter(rests).collect();
    let mut plans = vec![Contents { whole: missing, delta: Set::EMPTY }];
    if !delta.is_empty() {
        plans.push(Contents { whole: missing.without(delta), delta });
    }
    plans
}

fn suffices(turn: &Turn<'_>, wanted: Set, among: Set, planned: Contents) -> bool {
    let present = present(turn, among);
    let rests = |blob: &usize| turn.configuration.bases[*blob].is_some_and(|b| present.has(b));
    let delta: Set = planned.delta.iter().filter(rests).collect();
    present.or(planned.whole).or(delta).covers(wanted)
}
