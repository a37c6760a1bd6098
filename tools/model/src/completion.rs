//! Liveness: from every state one collector alone, without faults, comes to an end in which
//! nothing dead is left. Writers that still run are silent then: they are fenced.
//!
//! The collector is the one of the model: of its steps the first that makes progress is taken,
//! over and over. What is on its way is taken never to land; where it lands first, that is
//! another state, from which the same must hold.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use crate::cleaning;
use crate::collector::{self, Collector};
use crate::configuration::{Configuration, Plan};
use crate::replicator::{self, Replicator};
use crate::state::{State, Step, Turn, Who};
use crate::store::Store;

/// More than any sound run takes.
const MOST_STEPS: usize = 300;

/// Runs collectors to their end, and remembers from which stores that went well.
#[derive(Debug, Default)]
pub struct Completion {
    completed: Mutex<HashSet<u64>>,
}

impl Completion {
    /// Runs one collector to its end. An error says what is wrong then.
    pub fn collect(&self, configuration: &Configuration, store: &Store) -> Result<(), String> {
        let mut configuration = configuration.clone();
        (configuration.rounds, configuration.plan) = (usize::MAX, Plan::Dead);
        (configuration.pages, configuration.reinstates) = (false, false);
        let mut state = alone(store);
        let mut passed = Vec::new();
        for _ in 0..MOST_STEPS {
            let is_idle = state.collectors == [Collector::Idle];
            let known = is_idle.then(|| hash(&state.store));
            if known.is_some_and(|store| self.is_known(store)) {
                self.learn(passed);
                return Ok(());
            }
            passed.extend(known);
            match collector_step(&configuration, &state) {
                Some(step) => state = step.next,
                None => {
                    left(&configuration, &state)?;
                    self.learn(passed);
                    return Ok(());
                }
            }
        }
        Err("the collector never ends".to_owned())
    }

    fn learn(&self, stores: Vec<u64>) {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).extend(stores);
    }

    fn is_known(&self, store: u64) -> bool {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).contains(&store)
    }
}

fn hash(store: &Store) -> u64 {
    let mut hasher = DefaultHasher::new();
    store.hash(&mut hasher);
    hasher.finish()
}

fn alone(store: &Store) -> State {
    State {
        store: store.clone(),
        late: Vec::new(),
        delays: 0,
        damages: 0,
        writers: Vec::new(),
        collectors: vec![Collector::Idle],
        replicator: Replicator::default(),
        copiers: Vec::new(),
        promoters: Vec::new(),
    }
}

fn collector_step(configuration: &Configuration, state: &State) -> Option<Step> {
    let mut steps = Vec::new();
    let who = Who::Collector(0);
    collector::steps(&mut Turn { configuration, state, who, steps: &mut steps }, 0);
    steps.into_iter().find(|step| step.is_progress)
}

fn left(configuration: &Configuration, state: &State) -> Result<(), String> {
    let store = &state.store;
    let sum = store.ledger.sum(store.ledger.head());
    let dead = cleaning::dead_packs(configuration, store).or(sum.retired.and(store.packs));
    let dead = dead.or(store.packs.without(store.index.packs()));
    if !dead.is_empty() {
        return Err(format!("dead packs stay: {dead:?}"));
    }
    if store.index.packs().meets(sum.retired) {
        return Err("index objects name retired packs".to_owned());
    }
    if store.sessions.iter().any(Option::is_some) {
        return Err("sessions stay".to_owned());
    }
    if sum.open.is_some() || state.collectors != [Collector::Idle] {
        return Err("a round stays open".to_owned());
    }
    Ok(())
}

/// Runs the replicator alone. An error says what the replica lacks then.
pub fn replicate(configuration: &Configuration, state: &State) -> Result<(), String> {
    let mut state = state.clone();
    for _ in 0..MOST_STEPS {
        let mut steps = Vec::new();
        let who = Who::Replicator;
        replicator::steps(&mut Turn { configuration, state: &state, who, steps: &mut steps });
        match steps.into_iter().find(|step| step.is_progress) {
            Some(step) => state = step.next,
            None => return Ok(()),
        }
    }
    Err("the replicator never ends".to_owned())
}
