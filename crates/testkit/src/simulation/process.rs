//! One run of the program on one host.

use std::sync::Arc;

use nightjar_repository::{Environment, Repository, RepositoryError};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultRates, FaultStore, LastWrite, Network};

use crate::environment::{ManualClock, SeededRandom};
use crate::fixture::passphrase;
use crate::generate::Rng;
use crate::simulation::history::{History, Taken};
use crate::simulation::host::Host;
use crate::simulation::turnstile::{Gate, Turnstile};

/// What all actors of a schedule share.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) memory: Arc<nightjar_storage::InMemory>,
    /// Where replicators copy it to.
    pub(super) replica: Arc<nightjar_storage::InMemory>,
    pub(super) network: Arc<Network>,
    pub(super) turnstile: Arc<Turnstile>,
    pub(super) history: Arc<History>,
    pub(super) clock: Arc<ManualClock>,
}

/// A process: it opens the repository, does one thing, and ends, well or not.
pub(super) struct Process<'a> {
    pub(super) actor: usize,
    pub(super) host: &'a Host,
    pub(super) history: &'a History,
    pub(super) rng: Rng,
    pub(super) repository: Repository,
    pub(super) environment: Environment,
    /// The replica, on a way that fails as well.
    pub(super) target: Store,
    pub(super) stage: &'a Stage,
    faults: Arc<FaultStore>,
}

/// A kind of actor: what its processes do.
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut Process<'_>) -> Result<(), RepositoryError>,
}

impl Process<'_> {
    /// Whether it was killed: nobody hears what it reports.
    pub(super) fn was_killed(&self) -> bool {
        self.faults.is_stopped()
    }

    /// Something must not be.
    pub(super) fn breach(&self, what: &str) {
        self.history.breach(format!("actor {}: {what}", self.actor));
    }
}

/// Runs a process to its end.
pub(super) fn run(stage: &Stage, actor: usize, host: &Host, work: &Work, seed: u64) {
    let mut rng = Rng::new(seed);
    let gate = |memory: &Arc<nightjar_storage::InMemory>, plan: FaultPlan| {
        let inner: Arc<dyn nightjar_storage::ObjectStore> = memory.clone();
        let faults = Arc::new(FaultStore::on(Arc::clone(&stage.network), inner, plan));
        let gate = Gate {
            turnstile: Arc::clone(&stage.turnstile),
            history: Arc::clone(&stage.history),
            actor,
            inner: faults.clone(),
        };
        (Store::over(Arc::new(gate), host.url), faults)
    };
    let (rates, kill) = plan(&mut rng);
    let seeded = |rng: &mut Rng| FaultPlan::seeded(rng.next_u64(), rates);
    let passing = seeded(&mut rng);
    let plan = match kill {
        Some(kill) => passing.and(kill),
        None => passing,
    };
    let (store, faults) = gate(&stage.memory, plan);
    let (target, target_faults) = gate(&stage.replica, seeded(&mut rng));
    let environment = Environment {
        clock: host.clock(&stage.clock, &mut rng),
        random: Arc::new(SeededRandom::new(rng.next_u64())),
        host: format!("host-{actor}"),
        user: "tester".into(),
        process: u32::try_from(rng.below(1 << 20)).unwrap(),
        program: "nightjar simulation".into(),
        cache_dir: host.cache.clone(),
        one_at_a_time: true,
    };
    stage.turnstile.note(format!("{actor} begins to {}", work.name));
    let opened = Repository::open(store, &passphrase(host.passphrase), environment.clone());
    let outcome = match opened {
        Ok(repository) => {
            let (faults, history) = (Arc::clone(&faults), &*stage.history);
            let mut process = Process {
                actor,
                host,
                history,
                rng,
                repository,
                environment,
                target,
                stage,
                faults,
            };
            (work.run)(&mut process)
        }
        Err(error) => Err(error),
    };
    let killed = if faults.is_stopped() { ", killed" } else { "" };
    match outcome {
        Ok(()) => {
            stage.turnstile.note(format!("{actor} did {}{killed}", work.name));
            stage.history.done(work.name);
        }
        Err(error) => {
            stage.turnstile.note(format!("{actor} failed to {}{killed}: {error}", work.name));
            let met_faults = faults.injected() + target_faults.injected() > 0;
            judge(stage, actor, host, work, &error, met_faults);
        }
    }
}

/// A process may fail where the store failed it, or where keys were changed. It must never take
/// an error that passes for damage, or for tampering.
fn judge(
    stage: &Stage,
    actor: usize,
    host: &Host,
    work: &Work,
    error: &RepositoryError,
    met_faults: bool,
) {
    use RepositoryError as E;
    let removed = {
        let state = stage.history.state();
        state.slots.get(host.passphrase).is_some_and(|slot| slot.removed > Taken::No)
    };
    let excused = match error {
        // By a collector.
        E::KeysChanged | E::Fenced { .. } => true,
        E::RemovedSlot { .. } | E::WrongSecret => removed,
        E::Stream { .. } => work.name == "fail to read",
        // Somebody else was faster.
        E::Refused(why) if why.contains("there is no slot") => work.name == "remove a slot",
        // By a collector, or by somebody who forgot it.
        E::Busy(_) | E::NoSuchSnapshot(_) if work.name == "rewrite" => true,
        // Others write to the ledger again and again.
        E::Busy(_) => work.name == "replicate",
        error if error.is_damage() => false,
        E::Store(_) | E::Refused(_) | E::NoSuchSnapshot(_) | E::CommitOpen { .. } => met_faults,
        _ => false,
    };
    if !excused {
        let what = work.name;
        stage.history.breach(format!("actor {actor} may not fail to {what} like this: {error}"));
    }
}

/// What goes wrong for a process: nothing, now and then something, or a lot; and every third is
/// killed.
fn plan(rng: &mut Rng) -> (FaultRates, Option<FaultPlan>) {
    let most = [0, 0, 8, 30, 80].get(rng.below(5)).copied().unwrap_or_default();
    let mut rate = || match most {
        0 => 0,
        most => u32::try_from(rng.below(most)).unwrap(),
    };
    let rates = FaultRates {
        refused: rate(),
        throttled: rate(),
        answer_lost: rate(),
        late: rate(),
        repeated: rate(),
        conflict: rate(),
        truncated: rate(),
        ..FaultRates::default()
    };
    if rng.below(3) > 0 {
        return (rates, None);
    }
    let last = [LastWrite::Lost, LastWrite::Torn, LastWrite::Late];
    let last = last.get(rng.below(3)).copied().unwrap_or(LastWrite::Lost);
    (rates, Some(FaultPlan::stop_after_requests(rng.next_u64() % 70, last)))
}
