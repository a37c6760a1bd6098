//! Small objects, fetched ahead of their use.

use std::collections::VecDeque;

use bytes::Bytes;
use nightjar_format::object::ObjectName;
use nightjar_storage::{Pending, Store};

use crate::error::Result;
use crate::repository::Repository;

/// Requests under way at once, and the bytes that their answers may take: one object at least,
/// however large it is.
const AT_ONCE: usize = 16;
const BYTES_AT_ONCE: u64 = 32 << 20;

/// Yields objects in the order in which they were named.
pub(crate) struct Ahead<'a, Names> {
    store: &'a Store,
    at_once: usize,
    names: Names,
    limit_bytes: u64,
    under_way: VecDeque<(ObjectName, u64, Pending<Bytes>)>,
    bytes: u64,
}

impl<'a, Names: Iterator<Item = (ObjectName, u64)>> Ahead<'a, Names> {
    /// Fetches objects, given with the sizes that they are said to have.
    pub(crate) fn new(repository: &'a Repository, names: Names, limit_bytes: u64) -> Self {
        Self::over(&repository.store, repository.environment.one_at_a_time, names, limit_bytes)
    }

    /// The same from any store, which need not be that of an opened repository.
    pub(crate) fn over(
        store: &'a Store,
        one_at_a_time: bool,
        names: Names,
        limit_bytes: u64,
    ) -> Self {
        let at_once = if one_at_a_time { 1 } else { AT_ONCE };
        Self { store, at_once, names, limit_bytes, under_way: VecDeque::new(), bytes: 0 }
    }
}

impl<Names: Iterator<Item = (ObjectName, u64)>> Iterator for Ahead<'_, Names> {
    type Item = (ObjectName, Result<Bytes>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.under_way.is_empty()
            || (self.under_way.len() < self.at_once && self.bytes < BYTES_AT_ONCE)
        {
            let Some((name, size)) = self.names.next() else { break };
            self.bytes = self.bytes.saturating_add(size);
            let pending = self.store.start_get(name.to_string(), self.limit_bytes);
            self.under_way.push_back((name, size, pending));
        }
        let (name, size, pending) = self.under_way.pop_front()?;
        self.bytes = self.bytes.saturating_sub(size);
        Some((name, pending.wait().map_err(Into::into)))
    }
}
