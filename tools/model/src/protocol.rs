//! The protocol as stateright sees it.

use std::sync::Arc;

use stateright::{Model, Property};

use crate::collector::Collector;
use crate::completion::{self, Completion};
use crate::configuration::Configuration;
use crate::invariants::{self, Invariant};
use crate::promoter::Promoter;
use crate::replicator::{At, Replicator};
use crate::state::{State, Step, Turn, Who};
use crate::writer::Writer;
use crate::{checker, collector, copier, forgetter, promoter, replicator, state, writer};

/// A configuration that can be searched.
#[derive(Clone, Debug)]
pub struct Protocol {
    configuration: Configuration,
    completion: Arc<Completion>,
}

impl Protocol {
    /// A configuration that can be searched.
    pub fn new(configuration: Configuration) -> Self {
        Self { configuration, completion: Arc::default() }
    }
}

/// What may happen where the store is a replica, or was.
fn promotion(turn: &mut Turn<'_>) {
    let state = turn.state;
    for me in 0..state.copiers.len() {
        if me == 0 || state.copiers.get(me) != state.copiers.get(me - 1) {
            turn.who = Who::Copier(me);
            copier::steps(turn, me);
        }
    }
    for me in 0..state.promoters.len() {
        if me == 0 || state.promoters.get(me) != state.promoters.get(me - 1) {
            turn.who = Who::Promoter(me);
            promoter::steps(turn, me);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let configuration = &self.configuration;
        vec![State {
            store: configuration.store(),
            late: Vec::new(),
            delays: configuration.delays,
            damages: configuration.damageable.1,
            writers: vec![Writer::new(configuration.variant); configuration.writers.len()],
            collectors: vec![Collector::Idle; configuration.collectors],
            replicator: Replicator::default(),
            copiers: vec![None; configuration.copiers],
            promoters: vec![Promoter::Idle; configuration.promoters],
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let configuration = &self.configuration;
        let mut turn = Turn { configuration, state, who: Who::Network, steps };
        state::land(&mut turn);
        promotion(&mut turn);
        if state.store.is_replica() {
            return;
        }
        for me in 0..state.writers.len() {
            turn.who = Who::Writer(me);
            writer::steps(&mut turn, me);
        }
        for me in 0..state.collectors.len() {
            // Collectors are sorted: of two that do the same, one stands for both.
            if me == 0 || state.collectors.get(me) != state.collectors.get(me - 1) {
                turn.who = Who::Collector(me);
                collector::steps(&mut turn, me);
            }
        }
        turn.who = Who::Forgetter;
        forgetter::steps(&mut turn);
        turn.who = Who::Checker;
        checker::steps(&mut turn);
        if configuration.replicator {
            turn.who = Who::Replicator;
            replicator::steps(&mut turn);
        }
    }

    fn next_state(&self, _: &State, step: Step) -> Option<State> {
        Some(step.next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let name = Invariant::name;
        vec![
            Property::always(name(Invariant::NothingDangles), |model: &Self, state| {
                invariants::nothing_dangles(&model.configuration, state)
            }),
            Property::always(name(Invariant::NothingUsedIsDeleted), |model: &Self, state| {
                invariants::nothing_used_is_deleted(&model.configuration, state)
            }),
            Property::always(name(Invariant::ReportsAreTrue), |model: &Self, state| {
                invariants::reports_are_true(&model.configuration, state)
            }),
            Property::always(name(Invariant::EverythingDeadGoes), |model: &Self, state: &State| {
                // Any collector may crash: then it is idle, and the store the same.
                state.store.is_replica()
                    || state.collectors.iter().any(|collector| *collector != Collector::Idle)
                    || model.completion.collect(&model.configuration, &state.store).is_ok()
            }),
            Property::always(name(Invariant::NoFalseAlarm), |_: &Self, state| {
                invariants::no_false_alarm(state)
            }),
            Property::always(name(Invariant::ReplicaIsWhole), |model: &Self, state| {
                invariants::replica_is_whole(&model.configuration, state)
            }),
            Property::always(name(Invariant::ReplicaCatchesUp), |model: &Self, state: &State| {
                // It may crash too, and begins anew then.
                state.replicator.at != At::Ledger
                    || !model.configuration.replicator
                    || completion::replicate(&model.configuration, state).is_ok()
            }),
            Property::always(name(Invariant::PromotedOnce), |_: &Self, state: &State| {
                state.store.ledger.promotions() <= 1
            }),
        ]
    }
}
