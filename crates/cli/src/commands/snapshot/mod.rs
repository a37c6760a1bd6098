//! `nightjar snapshot …`

pub(super) mod cat;
pub(super) mod create;
mod deletion;
pub(super) mod diff;
mod entry_line;
pub(super) mod find;
pub(super) mod forget;
pub(super) mod hold;
pub(super) mod list;
pub(super) mod ls;
mod pattern;
pub(super) mod restore;
pub(super) mod rewrite;
pub(super) mod selection;
pub(super) mod show;
pub(super) mod verify;

use nightjar_format::snapshot::Snapshot;
use nightjar_repository::snapshots::SnapshotInfo;

use crate::environment;
use crate::output::format::{local_time, printable};

/// `reason=nightly, tier=gold`
fn labels(snapshot: &Snapshot) -> String {
    let labels: Vec<String> =
        snapshot.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
    printable(&labels.join(", "))
}

/// `until 2026-04-01 00:00:00`, `until released`; nothing where no hold lasts.
fn held(info: &SnapshotInfo) -> String {
    let now = environment::now();
    let mut lasting = info.holds.iter().filter(|hold| hold.holds_at(now)).peekable();
    if lasting.peek().is_none() {
        return String::new();
    }
    // Those that end by themselves matter only where none stays.
    let ends: Option<Vec<i64>> = lasting.map(|hold| hold.until).collect();
    match ends.and_then(|ends| ends.into_iter().max()) {
        Some(until) => format!("until {}", local_time(until)),
        None => "until released".to_owned(),
    }
}
