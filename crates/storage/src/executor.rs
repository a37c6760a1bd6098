//! The asynchronous runtime, hidden behind blocking calls.
//!
//! Every request is a task on a small runtime of the store's own, and the caller waits on a plain
//! channel. Waiting that way never panics, wherever the caller runs, which `block_on` does inside
//! another runtime. The runtime starts with the first request.
//!
//! When the last [`Store`](crate::Store) and [`Pending`] of a runtime are dropped, requests not
//! waited for are given up, and the drop returns only when none is running any more: a directory
//! or a lock released after that is released for good. Inside foreign asynchronous code, where
//! waiting is forbidden, running requests are left to finish on their own.

use std::future::Future;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Handle, Runtime};

use crate::StoreError;

const WORKER_THREADS: usize = 2;
/// Local reads and writes each hold a thread; more than this only queue in the disk.
const BLOCKING_THREADS: usize = 32;

/// One store's runtime.
#[derive(Debug, Default)]
pub(crate) struct Executor {
    runtime: OnceLock<Result<Runtime, String>>,
}

impl Executor {
    /// Begins `request` at once; `name` and `operation` describe it in errors.
    pub(crate) fn start<T, F>(
        self: &Arc<Self>,
        name: &str,
        operation: &'static str,
        request: F,
    ) -> Pending<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (sender, pending) = self.pending(name, operation);
        match self.runtime.get_or_init(start_runtime) {
            Ok(runtime) => drop(runtime.spawn(async move { deliver(&sender, request.await) })),
            Err(why) => deliver(&sender, Err(failed(name, operation, why))),
        }
        pending
    }

    /// A request whose answer needs no request.
    pub(crate) fn answered<T>(
        self: &Arc<Self>,
        name: &str,
        operation: &'static str,
        answer: Result<T, StoreError>,
    ) -> Pending<T> {
        let (sender, pending) = self.pending(name, operation);
        deliver(&sender, answer);
        pending
    }

    fn pending<T>(
        self: &Arc<Self>,
        name: &str,
        operation: &'static str,
    ) -> (SyncSender<Result<T, StoreError>>, Pending<T>) {
        let (sender, answer) = sync_channel(1);
        let executor = Arc::clone(self);
        let pending = Pending { answer, name: name.to_owned(), operation, _executor: executor };
        (sender, pending)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        if let Some(Ok(runtime)) = self.runtime.take()
            && Handle::try_current().is_ok()
        {
            runtime.shutdown_background();
        }
    }
}

fn start_runtime() -> Result<Runtime, String> {
    Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("nightjar-store")
        .enable_all()
        .build()
        .map_err(|error| format!("the threads for requests could not be started: {error}"))
}

/// An answer that nobody waits for is dropped.
fn deliver<T>(sender: &SyncSender<T>, answer: T) {
    let _ = sender.try_send(answer);
}

fn failed(name: &str, operation: &'static str, why: &str) -> StoreError {
    StoreError::Failed { name: name.to_owned(), operation, source: why.into() }
}

/// The answer of a request that is under way.
///
/// Dropping it does not take the request back: it goes on, and may take effect, as long as a
/// handle to the store exists.
#[derive(Debug)]
#[must_use = "a request has not succeeded until its answer has been waited for"]
pub struct Pending<T> {
    answer: Receiver<Result<T, StoreError>>,
    name: String,
    operation: &'static str,
    _executor: Arc<Executor>,
}

impl<T> Pending<T> {
    /// Blocks until the answer is there.
    pub fn wait(self) -> Result<T, StoreError> {
        let silence = |_| Err(failed(&self.name, self.operation, "the request broke off"));
        self.answer.recv().unwrap_or_else(silence)
    }
}
