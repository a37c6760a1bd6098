//! A writer's announcement (format-spec, chapter 8).

use serde::{Deserialize, Serialize};

use crate::ids::{IncarnationId, SessionId};
use crate::limits;
use crate::record::Record;

/// A place in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which incarnation.
    pub incarnation: IncarnationId,
    /// Which record of it.
    pub number: u64,
}

/// The record of a session object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Random, never reused.
    pub session: SessionId,
    /// Where it runs.
    pub host: String,
    /// Its process number there.
    pub process: u32,
    /// Unix nanoseconds.
    pub started: i64,
    /// Unix nanoseconds.
    pub renewed: i64,
    /// How often it was renewed.
    pub renewals: u64,
    /// The ledger position whose closed set the writer obeys.
    pub noted: Option<Position>,
}

impl Record for SessionRecord {
    const NAME: &'static str = "session object";
    const LIMIT_BYTES: usize = limits::PLAIN_OBJECT_BYTES;
}
