//! Which of the times that a snapshot claims can be relied on (see the module above).

use nightjar_format::slot::Role;

use crate::snapshots::SnapshotInfo;

/// Why a snapshot's times are not relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It claims to have ended before it began.
    EndsBeforeItBegins,
    /// It claims to have begun or ended later than the store says that it was written.
    LaterThanStored,
    /// It claims to have begun long before the store says that it was written.
    LongBeforeStored,
    /// It, or the store, is ahead of this machine's clock.
    InTheFuture,
}

/// What times are measured against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// This machine's clock, in Unix nanoseconds.
    pub(super) now: i64,
    /// How far times may lie apart, in nanoseconds.
    pub(super) tolerance: i64,
    /// Up to this time of the store, in Unix nanoseconds, its objects came from a copy.
    pub(super) copied_until: Option<i64>,
}

/// Why the times of a snapshot cannot be relied on, if they cannot.
pub(super) fn doubt(info: &SnapshotInfo, measure: &Measure) -> Option<Doubt> {
    let Measure { now, tolerance, copied_until } = *measure;
    let (started, finished) = (info.snapshot.started, info.snapshot.finished);
    let stored = info.stored;
    let latest = finished.max(started);
    if finished < started {
        Some(Doubt::EndsBeforeItBegins)
    } else if latest > stored.saturating_add(tolerance) {
        Some(Doubt::LaterThanStored)
    } else if latest.max(stored) > now.saturating_add(tolerance) {
        Some(Doubt::InTheFuture)
    } else if started < stored.saturating_sub(tolerance)
        && !info.is_rewritten()
        && !(info.was_copied && info.role == Role::Full)
        && copied_until.is_none_or(|until| stored > until)
    {
        Some(Doubt::LongBeforeStored)
    } else {
        None
    }
}
