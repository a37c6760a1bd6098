//! Writes that are still on their way: they arrive when nobody waits for them any more.
//!
//! A client that hears nothing asks again, or gives up; what it sent first may still lie in some
//! queue, and be carried out after the second copy, after other clients' requests, after the
//! process that sent it has died. A creation that arrives late is as conditional as before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Extensions;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutOptions, PutPayload, PutResult, Result};

use super::plan::{LoggedWrite, WriteOperation};

/// The way to a store, shared by all clients whose requests count as time going by.
#[derive(Debug, Default)]
pub struct Network {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: u64,
    under_way: Vec<LateWrite>,
    delivered: Vec<LoggedWrite>,
}

/// A write that will arrive.
#[derive(Debug)]
struct LateWrite {
    /// Before the request of this number.
    due: u64,
    store: Arc<dyn ObjectStore>,
    location: Path,
    write: Write,
}

/// What is to be done to the object.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Put(PutPayload, Box<PutOptions>),
    Delete,
}

impl Network {
    /// A request comes by: what is due by now arrives before it. What becomes of it, nobody hears.
    pub(super) async fn pass(&self) {
        let due = {
            let mut state = self.state();
            state.requests += 1;
            let now = state.requests;
            state.take(|late| late.due <= now)
        };
        deliver(due).await;
    }

    /// All that is still on its way arrives; how many writes that is.
    pub async fn deliver_all(&self) -> usize {
        let all = self.state().take(|_| true);
        let count = all.len();
        deliver(all).await;
        count
    }

    /// What arrived late, in its order.
    pub fn delivered(&self) -> Vec<LoggedWrite> {
        self.state().delivered.clone()
    }

    /// A write is to arrive after so many further requests.
    pub(super) fn hold_back(
        &self,
        requests: u64,
        store: &Arc<dyn ObjectStore>,
        location: &Path,
        write: Write,
    ) {
        let mut state = self.state();
        let due = state.requests + requests;
        let (store, location) = (Arc::clone(store), location.clone());
        state.under_way.push(LateWrite { due, store, location, write });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, arrives: impl Fn(&LateWrite) -> bool) -> Vec<LateWrite> {
        let mut taken: Vec<LateWrite> =
            self.under_way.extract_if(.., |late| arrives(late)).collect();
        taken.sort_by_key(|late| late.due);
        self.delivered.extend(taken.iter().map(LateWrite::logged));
        taken
    }
}

impl LateWrite {
    fn logged(&self) -> LoggedWrite {
        let operation = match &self.write {
            Write::Put(_, options) => WriteOperation::of(&options.mode),
            Write::Delete => WriteOperation::Delete,
        };
        LoggedWrite { operation, name: self.location.to_string() }
    }
}

impl Write {
    pub(super) async fn carry_out(
        self,
        store: &dyn ObjectStore,
        location: &Path,
    ) -> Result<PutResult> {
        match self {
            Self::Put(payload, options) => store.put_opts(location, payload, *options).await,
            Self::Delete => {
                store.delete(location).await?;
                Ok(PutResult { e_tag: None, version: None, extensions: Extensions::new() })
            }
        }
    }
}

async fn deliver(writes: Vec<LateWrite>) {
    for LateWrite { store, location, write, .. } in writes {
        // A creation may find the name taken, a deletion nothing: whoever asked is not there.
        let _ = write.carry_out(&*store, &location).await;
    }
}
