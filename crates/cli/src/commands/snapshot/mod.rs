//! `nightjar snapshot …`

pub(super) mod cat;
pub(super) mod create;
mod deletion;
pub(super) mod diff;
mod entry_line;
pub(super) mod find;
pub(super) mod forget;
pub(super) mod list;
pub(super) mod ls;
mod pattern;
pub(super) mod restore;
mod selection;
pub(super) mod show;
pub(super) mod verify;

use nightjar_format::snapshot::Snapshot;

use crate::output::format::printable;

/// `reason=nightly, tier=gold`
fn labels(snapshot: &Snapshot) -> String {
    let labels: Vec<String> =
        snapshot.labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect();
    printable(&labels.join(", "))
}
