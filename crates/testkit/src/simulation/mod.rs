//! Deterministic simulation: real engine code, many processes, one store, and whatever a network
//! does, in an order that a seed decides.
//!
//! A **schedule** has a few hosts, each an actor in a thread of its own, which runs one process
//! after another: backups, restores, checks, forgetting, changes of keys, replication to a second
//! store (`work`, `replica`). Processes are
//! killed between any two requests, their requests fail, are answered in vain, arrive late or
//! twice (`nightjar_storage::faults`). Hosts share caches or have none, and their clocks differ.
//!
//! ```text
//! engine → Store → Gate (waits for its turn, keeps the log) → FaultStore → one store in memory
//! ```
//!
//! **Whose turn it is** the `turnstile` decides: one actor runs at a time, until it makes a
//! request; then the seed draws the next. The engine makes one request at a time
//! (`Environment::one_at_a_time`), random numbers belong to a process, time goes by only at the
//! turnstile: so a seed gives the same requests, names included, in the same order, whatever the
//! machine does meanwhile. What it cannot show is what concurrent requests within one process do;
//! the engine's other tests run those.
//!
//! **What must hold** (`history`, `check`): every snapshot that was reported is listed and restores
//! bit for bit, by readers in between and from a new machine at the end; a run that failed left
//! none, unless it said that it may have; what was forgotten is gone; no fault that passes is taken
//! for damage or tampering; nobody fails without a reason; verifying finds nothing; the next backup
//! succeeds.

mod base;
mod check;
mod history;
mod host;
mod process;
mod replica;
mod turnstile;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::thread;

use nightjar_storage::Store;
use nightjar_storage::faults::Network;

use crate::environment::{ManualClock, World};
use crate::generate::Rng;
use crate::simulation::base::{Base, FULL, WRITER};
use crate::simulation::history::{History, Reported, Run, Slot, Taken};
use crate::simulation::host::Host;
use crate::simulation::process::{Stage, Work};
use crate::simulation::turnstile::Turnstile;
use crate::simulation::work::KINDS;

/// What a schedule came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Every request and its outcome, in order.
    pub log: Vec<String>,
    /// How many processes of each kind succeeded.
    pub done: BTreeMap<&'static str, u64>,
    /// What must not be; nothing, if all is well.
    pub breaches: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.log.iter().chain(&self.breaches).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Runs the schedule of a seed.
pub fn run(seed: u64) -> Outcome {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(Base::new);
    let world = World::new(seed);
    let mut rng = Rng::new(seed);
    let hosts = hosts(&mut rng, base, &world);
    let clock = Arc::new(ManualClock::new(3 * 24 * 3_600_000_000_000));
    let locks = shared_locks(base, &hosts);
    let turnstile = Turnstile::new(rng.next_u64(), Arc::clone(&clock), hosts.len(), locks);
    let stage = Stage {
        memory: Arc::new(base.memory.fork()),
        replica: Arc::default(),
        network: Arc::new(Network::default()),
        turnstile: Arc::new(turnstile),
        history: Arc::new(begin(base)),
        clock,
    };
    let theme = theme(&mut rng);
    thread::scope(|scope| {
        for (actor, host) in hosts.iter().enumerate() {
            let (stage, theme, seed) = (&stage, &theme, rng.next_u64());
            scope.spawn(move || act(stage, actor, host, theme, seed));
        }
    });
    finish(&stage, &world, &mut rng)
}

/// The life of a host.
fn act(stage: &Stage, actor: usize, host: &Host, theme: &[usize], seed: u64) {
    let mut rng = Rng::new(seed);
    stage.turnstile.enter(actor);
    // Mostly short: many different schedules find more than few long ones.
    let most = if rng.below(4) == 0 { 4 } else { 2 };
    for _ in 0..1 + rng.below(most) {
        let work = any_work(theme, &mut rng);
        let seed = rng.next_u64();
        let run = || process::run(stage, actor, host, work, seed);
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            stage.history.breach(format!("actor {actor} panicked when it was to {}", work.name));
        }
    }
    stage.turnstile.leave(actor);
}

/// What a schedule is about: some kinds of work come often in it, some not at all. Where everything
/// is always mixed alike, what is rare hardly ever meets its like.
fn theme(rng: &mut Rng) -> Vec<usize> {
    let factors = [0, 1, 1, 10];
    let mut weigh = |weight: usize| weight * factors.get(rng.below(4)).unwrap_or(&1);
    let mut weights: Vec<usize> = KINDS.iter().map(|(weight, _)| weigh(*weight)).collect();
    // There is always something to do.
    if let Some(first) = weights.first_mut() {
        *first = (*first).max(10);
    }
    weights
}

fn any_work(theme: &[usize], rng: &mut Rng) -> &'static Work {
    let mut drawn = rng.below(theme.iter().sum());
    for (weight, (_, work)) in theme.iter().zip(KINDS) {
        match drawn.checked_sub(*weight) {
            Some(rest) => drawn = rest,
            None => return work,
        }
    }
    unreachable!("what is drawn is below the sum of weights")
}

/// Two or three hosts, or a few more. Some share a cache directory, some begin with one that knows the
/// repository, others with none.
fn hosts(rng: &mut Rng, base: &Base, world: &World) -> Vec<Host> {
    let mut hosts: Vec<Host> = Vec::new();
    let remote = rng.below(2) == 0;
    let most = if rng.below(4) == 0 { 4 } else { 2 };
    for _ in 0..2 + rng.below(most) {
        let other = hosts.get(rng.below(hosts.len().max(1)));
        let cache = match (rng.below(3), other) {
            (0, Some(other)) => other.cache.clone(),
            (1, _) => world.copy_of_cache(&base.cache),
            _ => world.fresh_cache(),
        };
        let passphrase = match rng.below(6) {
            0 => WRITER,
            1 | 2 => FULL[1],
            _ => FULL[0],
        };
        let url = if remote { "s3://simulation" } else { "memory://simulation" };
        hosts.push(Host { cache, passphrase, url });
    }
    hosts
}

/// The locks of the cache directories that several hosts use.
fn shared_locks(base: &Base, hosts: &[Host]) -> BTreeMap<usize, std::path::PathBuf> {
    let users = |host: &Host| hosts.iter().filter(|other| other.cache == host.cache).count();
    let lock = |host: &Host| host.cache.join(&base.directory).join("lock");
    let shared = hosts.iter().enumerate().filter(|(_, host)| users(host) > 1);
    shared.map(|(actor, host)| (actor, lock(host))).collect()
}

/// What the repository holds at the beginning.
fn begin(base: &Base) -> History {
    let history = History::default();
    let mut state = history.state();
    state.newest.clone_from(&base.newest);
    for (id, bytes) in &base.snapshots {
        let (bytes, reported) = (Arc::clone(bytes), Reported::Committed);
        state.runs.insert(*id, Run { bytes, reported, seen: true, forgotten: Taken::No });
    }
    for (text, id) in &base.slots {
        state.slots.insert(text.clone(), Slot { id: Some(*id), removed: Taken::No });
    }
    drop(state);
    history
}

/// Faults end, and what is left is looked at: before or after the last late writes have come.
fn finish(stage: &Stage, world: &World, rng: &mut Rng) -> Outcome {
    let store = Store::over(stage.memory.clone(), "memory://simulation");
    let deliver = || futures::executor::block_on(stage.network.deliver_all());
    let late = rng.below(2) == 0;
    if !late {
        deliver();
    }
    let mut checked = check::check(&store, world, &stage.history);
    if checked.is_ok() {
        checked = replica::check_in_the_end(stage, &store, world);
    }
    if late && checked.is_ok() && deliver() > 0 {
        checked = check::check_again(&store, world, &stage.history);
    }
    let state = stage.history.state();
    let mut breaches = state.breaches.clone();
    breaches.extend(checked.err().map(|why| format!("in the end: {why}")));
    Outcome { log: stage.turnstile.log(), done: state.done.clone(), breaches }
}
