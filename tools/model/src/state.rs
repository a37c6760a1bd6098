//! The state of everything, and the steps between states.

use std::fmt;

use crate::collector::Collector;
use crate::configuration::Configuration;
use crate::copier::Copier;
use crate::pack::Contents;
use crate::promoter::Promoter;
use crate::replicator::Replicator;
use crate::store::{Request, Store};
use crate::variant::Variant;
use crate::writer::Writer;

/// The store, what is on its way to it, and what each actor remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The store.
    pub store: Store,
    /// Requests that may still land, or never, in any order; sorted.
    pub late: Vec<Request>,
    /// How many more may be delayed.
    pub delays: u8,
    /// How often damage may still be found.
    pub damages: u8,
    /// The writers.
    pub writers: Vec<Writer>,
    /// The collectors, sorted: nobody can tell one from another.
    pub collectors: Vec<Collector>,
    /// The replicator and what it has copied.
    pub replicator: Replicator,
    /// Those who fill the store as long as it is a replica, sorted.
    pub copiers: Vec<Copier>,
    /// Those who promote it, sorted.
    pub promoters: Vec<Promoter>,
}

/// Who takes a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// That writer.
    Writer(usize),
    /// One of the collectors.
    Collector(usize),
    /// Whoever forgets snapshots.
    Forgetter,
    /// Whoever copies to the replica.
    Replicator,
    /// One of those who fill the store as long as it is a replica.
    Copier(usize),
    /// One of those who promote it.
    Promoter(usize),
    /// Whoever finds and mends damage.
    Checker,
    /// What was on its way.
    Network,
}

/// A step to another state.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// Who takes it.
    pub who: Who,
    /// What is done.
    pub does: &'static str,
    /// The request that is served or delayed by it.
    pub request: Option<Request>,
    /// Whether the actor comes nearer to its end by it, without a fault and without choosing to
    /// do less.
    pub is_progress: bool,
    /// The state after it.
    pub next: State,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.who, self.does)?;
        match self.request {
            Some(request) => write!(f, ": {request:?}"),
            None => Ok(()),
        }
    }
}

/// The steps that one actor may take in a state.
pub struct Turn<'a> {
    /// The bounds.
    pub configuration: &'a Configuration,
    /// The state before.
    pub state: &'a State,
    /// Whose turn it is.
    pub who: Who,
    /// Where the steps are gathered.
    pub steps: &'a mut Vec<Step>,
}

impl Turn<'_> {
    /// Reads, decides, or both.
    pub fn step(&mut self, does: &'static str, change: impl FnOnce(&mut State)) {
        self.add(does, None, true, change);
    }

    /// Something that may happen, but brings nothing nearer to its end.
    pub fn may(&mut self, does: &'static str, change: impl FnOnce(&mut State)) {
        self.add(does, None, false, change);
    }

    /// Sends a request. The store serves it and answers; or a copy of it is delayed, and the
    /// actor sends it again or stops.
    pub fn send(
        &mut self,
        does: &'static str,
        request: Request,
        change: impl FnOnce(&mut State, bool),
    ) {
        self.add(does, Some(request), true, |next| {
            let created = next.store.serve(request);
            change(next, created);
        });
        self.delay(request, |_| {});
    }

    /// Puts a pack that holds this.
    pub fn put_pack(&mut self, pack: usize, contents: Contents, change: impl FnOnce(&mut State)) {
        let request = Request::PutPack(pack);
        self.add("puts a pack", Some(request), true, |next| {
            next.store.contents.0[pack] = contents;
            next.store.serve(request);
            change(next);
        });
        self.delay(request, |next| next.store.contents.0[pack] = contents);
    }

    /// The request is on its way, and no answer comes.
    pub fn delay(&mut self, request: Request, change: impl FnOnce(&mut State)) {
        if self.state.delays == 0 || self.state.late.contains(&request) {
            return;
        }
        self.add("gets no answer, as is delayed", Some(request), false, |next| {
            next.delays -= 1;
            next.late.push(request);
            next.late.sort_unstable();
            change(next);
        });
    }

    /// As [`Self::send`], but it is left open whether the actor has to.
    pub fn may_send(
        &mut self,
        does: &'static str,
        request: Request,
        change: impl FnOnce(&mut State),
    ) {
        self.add(does, Some(request), false, |next| {
            next.store.serve(request);
            change(next);
        });
        self.delay(request, |_| {});
    }

    fn add(
        &mut self,
        does: &'static str,
        request: Option<Request>,
        is_progress: bool,
        change: impl FnOnce(&mut State),
    ) {
        let mut next = self.state.clone();
        change(&mut next);
        next.collectors.sort_unstable();
        next.copiers.sort_unstable();
        next.promoters.sort_unstable();
        self.steps.push(Step { who: self.who, does, request, is_progress, next });
    }
}

/// What was delayed lands.
pub(crate) fn land(turn: &mut Turn<'_>) {
    for (place, request) in turn.state.late.iter().enumerate() {
        turn.add("lands late", Some(*request), false, |next| {
            next.late.remove(place);
            next.store.serve(*request);
        });
    }
    let variant = turn.configuration.variant;
    if turn.state.store.is_replica() && variant != Variant::ReplicaWrittenTo {
        return;
    }
    // From whom nobody waits for an answer, it lands as often as it likes.
    let deletes = variant == Variant::LostCollectorGoesOn;
    for request in turn.configuration.strays.iter().filter(|it| deletes || !it.is_deletion()) {
        turn.add("comes astray", Some(*request), false, |next| {
            next.store.serve(*request);
        });
    }
}
