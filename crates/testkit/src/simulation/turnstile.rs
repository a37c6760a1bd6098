//! One request at a time, in an order that a seed decides.
//!
//! Exactly one actor runs at any moment. It runs until it makes a request; then the turnstile
//! draws who comes next, lets some time go by, and lets that one's request through. As actors make
//! one request at a time (`Environment::one_at_a_time`), nothing is left to chance: not the order of
//! requests, nor what lies in a cache directory that several actors share, nor who holds its lock.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::oneshot;

use crate::environment::ManualClock;
use crate::generate::Rng;
use crate::simulation::history::History;

/// Lets requests through.
pub(super) struct Turnstile {
    clock: Arc<ManualClock>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    /// In thousandths: how often the actor that ran last goes on.
    stickiness: usize,
    /// Whoever is about to send what decides something waits for the others, so that decisions
    /// meet.
    collides: bool,
    running: usize,
    last: usize,
    waiting: BTreeMap<usize, Waiting>,
    /// The lock file of each actor whose cache directory others use.
    locks: BTreeMap<usize, PathBuf>,
    /// Who went through the turnstile with a lock in hand.
    holders: HashMap<PathBuf, usize>,
    log: Vec<String>,
}

/// An actor that waits for its turn.
struct Waiting {
    turn: oneshot::Sender<()>,
    /// What it is about to send decides something.
    decides: bool,
}

impl Turnstile {
    /// For so many actors, each with the lock file that it shares with others, if it does.
    pub(super) fn new(
        seed: u64,
        clock: Arc<ManualClock>,
        actors: usize,
        locks: BTreeMap<usize, PathBuf>,
    ) -> Self {
        let mut rng = Rng::new(seed);
        let stickiness = [0, 500, 900, 980].get(rng.below(4)).copied().unwrap_or_default();
        let collides = rng.below(3) == 0;
        let state = State {
            rng,
            stickiness,
            collides,
            running: actors,
            last: 0,
            waiting: BTreeMap::new(),
            locks,
            holders: HashMap::new(),
            log: Vec::new(),
        };
        Self { clock, state: Mutex::new(state) }
    }

    /// The first turn of an actor: called in its own thread.
    pub(super) fn enter(&self, actor: usize) {
        // Its sender is kept until it is used.
        let _ = self.wait(actor, false).blocking_recv();
    }

    /// An actor is done.
    pub(super) fn leave(&self, actor: usize) {
        let mut state = self.state();
        state.holders.retain(|_, holder| *holder != actor);
        state.running -= 1;
        state.go_on(&self.clock);
    }

    /// What happened, a line for each request and its outcome.
    pub(super) fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    /// Notes something that is no request.
    pub(super) fn note(&self, line: String) {
        self.state().log.push(line);
    }

    fn wait(&self, actor: usize, decides: bool) -> oneshot::Receiver<()> {
        let (turn, my_turn) = oneshot::channel();
        let mut state = self.state();
        state.note_lock(actor);
        state.waiting.insert(actor, Waiting { turn, decides });
        state.running -= 1;
        state.go_on(&self.clock);
        my_turn
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Nobody else runs: if the lock cannot be had, this actor holds it. The others that share it
    /// wait until it has gone on.
    fn note_lock(&mut self, actor: usize) {
        let Some(path) = self.locks.get(&actor) else { return };
        let free = std::fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok());
        if free || !path.exists() {
            self.holders.remove(path);
        } else {
            self.holders.entry(path.clone()).or_insert(actor);
        }
    }

    fn may_run(&self, actor: usize) -> bool {
        let holder = self.locks.get(&actor).and_then(|path| self.holders.get(path));
        holder.is_none_or(|holder| *holder == actor)
    }

    /// Who can be drawn.
    fn ready(&self) -> Vec<usize> {
        let may_run = || self.waiting.iter().filter(|(actor, _)| self.may_run(**actor));
        let undecided = |(_, waiting): &(&usize, &Waiting)| !waiting.decides;
        if self.collides && may_run().any(|waiting| undecided(&waiting)) {
            may_run().filter(undecided).map(|(actor, _)| *actor).collect()
        } else {
            may_run().map(|(actor, _)| *actor).collect()
        }
    }

    /// Draws who comes next, once nobody runs.
    fn go_on(&mut self, clock: &ManualClock) {
        if self.running > 0 {
            return;
        }
        let ready = self.ready();
        let goes_on = ready.contains(&self.last) && self.rng.below(1000) < self.stickiness;
        let next = if goes_on || ready.is_empty() {
            self.last
        } else {
            ready.get(self.rng.below(ready.len())).copied().unwrap_or_default()
        };
        clock.advance(self.time_goes_by());
        if let Some(Waiting { turn, .. }) = self.waiting.remove(&next) {
            self.last = next;
            self.running = 1;
            // It waits: it is suspended nowhere else.
            let _ = turn.send(());
        }
    }

    /// In nanoseconds: mostly little, now and then more than writers renew after, or than
    /// collectors wait.
    fn time_goes_by(&mut self) -> i64 {
        const MILLISECOND: usize = 1_000_000;
        let most = match self.rng.below(1000) {
            0..800 => 500 * MILLISECOND,
            800..950 => 60_000 * MILLISECOND,
            950..995 => 900_000 * MILLISECOND,
            _ => 30 * 3_600_000 * MILLISECOND,
        };
        i64::try_from(self.rng.below(most)).unwrap_or_default()
    }
}

/// The store as one process of an actor sees it: every request waits for its turn.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) turnstile: Arc<Turnstile>,
    pub(super) history: Arc<History>,
    pub(super) actor: usize,
    pub(super) inner: Arc<dyn ObjectStore>,
}

impl Gate {
    async fn turn(&self) {
        let _ = self.turnstile.wait(self.actor, false).await;
    }

    /// The turn of a creation: those in the ledger and of registers decide something.
    async fn turn_to_create(&self, name: &str) {
        let decides = name.starts_with("ledger/") || name.starts_with("snapshots/");
        let _ = self.turnstile.wait(self.actor, decides).await;
    }

    fn note<T>(&self, operation: &str, name: &str, outcome: &Result<T>) {
        let outcome = match outcome {
            Ok(_) => String::new(),
            Err(error) => format!(": {}", short(error)),
        };
        self.turnstile.note(format!("{} {operation} {name}{outcome}", self.actor));
    }
}

/// The innermost words of an error.
fn short(error: &object_store::Error) -> String {
    match error {
        object_store::Error::NotFound { .. } => "not there".into(),
        object_store::Error::AlreadyExists { .. } => "there already".into(),
        other => other.to_string(),
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.actor)
    }
}

#[async_trait]
impl ObjectStore for Gate {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let operation = if opts.mode == PutMode::Create { "create" } else { "put" };
        if operation == "create" {
            self.turn_to_create(location.as_ref()).await;
            self.history.sending(self.actor, location.as_ref());
        } else {
            self.turn().await;
        }
        let outcome = self.inner.put_opts(location, payload, opts).await;
        self.note(operation, location.as_ref(), &outcome);
        outcome
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn().await;
        let operation = match &options.range {
            _ if options.head => "head".to_owned(),
            Some(range) => format!("get {range}"),
            None => "get".to_owned(),
        };
        let outcome = self.inner.get_opts(location, options).await;
        self.note(&operation, location.as_ref(), &outcome);
        outcome
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let gate = self.clone();
        let delete = move |location: Path| {
            let gate = gate.clone();
            async move {
                gate.turn().await;
                let outcome = gate.inner.delete(&location).await;
                gate.note("delete", location.as_ref(), &outcome);
                outcome.map(|()| location)
            }
        };
        locations.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (gate, prefix) = (self.clone(), prefix.cloned());
        let list = async move {
            gate.turn().await;
            let listed: Vec<_> = gate.inner.list(prefix.as_ref()).collect().await;
            let error = listed.iter().find_map(|listed| listed.as_ref().err());
            let name = prefix.as_ref().map_or("", Path::as_ref);
            let line = format!("{} list {name}: {}", gate.actor, listed.len());
            let error = error.map_or_else(String::new, |error| format!(", {}", short(error)));
            gate.turnstile.note(line + &error);
            futures::stream::iter(listed)
        };
        futures::stream::once(list).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.turn().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.turn().await;
        self.inner.copy_opts(from, to, options).await
    }
}
