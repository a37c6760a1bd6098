//! What a run asked of the store.

use nightjar_storage::{Counters, Store};
use serde::Serialize;

/// Requests by kind, and bytes moved.
#[derive(Debug, Serialize)]
pub(crate) struct RequestsView {
    put: u64,
    create: u64,
    get: u64,
    head: u64,
    list: u64,
    delete: u64,
    /// HTTP requests behind these, pages of listings, repeated ones and those for credentials among
    /// them; 0 to a store on this machine.
    http: u64,
    /// HTTP requests that repeated another.
    retries: u64,
    /// Answers by which the store asked for fewer requests.
    throttled: u64,
    bytes_up: u64,
    bytes_down: u64,
}

impl RequestsView {
    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        self.put + self.create + self.get + self.head + self.list + self.delete
    }

    /// What a store of this kind bills: HTTP requests, or what was asked of a directory.
    pub(crate) fn sent(&self) -> u64 {
        if self.http > 0 { self.http } else { self.total() }
    }

    /// Bytes moved, both ways.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes_up + self.bytes_down
    }

    /// What was asked of a store so far.
    pub(crate) fn of(store: &Store) -> Self {
        let Counters {
            put,
            create,
            get,
            head,
            delete,
            list,
            bytes_up,
            bytes_down,
            http_requests: http,
            retries,
            throttled,
        } = store.counters();
        Self {
            put,
            create,
            get,
            head,
            list,
            delete,
            http,
            retries,
            throttled,
            bytes_up,
            bytes_down,
        }
    }
}
