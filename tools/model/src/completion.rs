//! Liveness: from a state in which all writers have ended, one collector alone, without faults,
//! comes to an end in which nothing dead is left.
//!
//! The collector is the one of the model: of its steps the first that makes progress is taken,
//! over and over. What is on its way is taken never to land; where it lands first, that is
//! another state, from which the same must hold.

use crate::cleaning;
use crate::collector::{self, Collector};
use crate::configuration::{Configuration, Plan};
use crate::replicator::Replicator;
use crate::state::{State, Step, Turn, Who};
use crate::store::Store;

/// More than any sound run takes.
const MOST_STEPS: usize = 300;

/// Runs one collector to its end. An error says what is wrong then.
pub fn complete(configuration: &Configuration, store: &Store) -> Result<(), String> {
    let mut configuration = configuration.clone();
    (configuration.rounds, configuration.plan) = (usize::MAX, Plan::Dead);
    (configuration.pages, configuration.reinstates) = (false, false);
    let mut state = State {
        store: store.clone(),
        late: Vec::new(),
        delays: 0,
        damages: 0,
        writers: Vec::new(),
        collectors: vec![Collector::Idle],
        replicator: Replicator::default(),
    };
    for _ in 0..MOST_STEPS {
        match next(&configuration, &state) {
            Some(step) => state = step.next,
            None => return left(&configuration, &state.store),
        }
    }
    Err("the collector never ends".to_owned())
}

fn next(configuration: &Configuration, state: &State) -> Option<Step> {
    let mut steps = Vec::new();
    collector::steps(&mut Turn { configuration, state, who: Who::Collector(0), steps: &mut steps }, 0);
    steps.into_iter().find(|step| step.is_progress)
}

fn left(configuration: &Configuration, store: &Store) -> Result<(), String> {
    let sum = store.ledger.sum(store.ledger.head());
    let dead = cleaning::dead_packs(configuration, store).or(sum.retired.and(store.packs));
    let unlisted = store.packs.without(store.index.packs());
    if !dead.or(unlisted).is_empty() {
        return Err(format!("dead packs stay: {:?}", dead.or(unlisted)));
    }
    if store.index.packs().meets(sum.retired) {
        return Err("index objects name retired packs".to_owned());
    }
    if store.sessions.iter().any(Option::is_some) {
        return Err("sessions stay".to_owned());
    }
    if sum.open.is_some() {
        return Err("a round stays open".to_owned());
    }
    Ok(())
}
