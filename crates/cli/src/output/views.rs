//! What JSON shows. Field names are stable: scripts rely on them. These types are apart from
//! what is stored, so that the format can change without them, and they without it.

use nightjar_format::ids::to_hex;
use nightjar_format::snapshot::{Counts, Snapshot, Source};
use nightjar_repository::slots::SlotInfo;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{RestorePlan, RestoreReport};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::format::{count, number, percent, rfc3339, size};
use super::requests::RequestsView;

/// A path: text, and its bytes in hexadecimal where the text does not tell them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PathView {
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_bytes: Option<String>,
}

impl PathView {
    pub(crate) fn new(path: &[u8]) -> Self {
        Self {
            path: String::from_utf8_lossy(path).into_owned(),
            path_bytes: std::str::from_utf8(path).is_err().then(|| to_hex(path)),
        }
    }
}

/// A snapshot, in a list or alone.
#[derive(Debug, Serialize)]
pub(crate) struct SnapshotView<'a> {
    id: String,
    series: &'a str,
    /// When it began.
    time: String,
    finished: String,
    /// When the store says it was written.
    stored: String,
    host: &'a str,
    user: &'a str,
    program: &'a str,
    labels: Labels<'a>,
    files: u64,
    directories: u64,
    others: u64,
    unreadable: u64,
    /// Files that were not read, because they had not changed.
    files_unchanged: u64,
    bytes_unchanged: u64,
    bytes_read: u64,
    chunks: u64,
    chunks_new: u64,
    bytes_new: u64,
    bytes_stored: u64,
    /// Of the new chunks, those stored as deltas.
    chunks_delta: u64,
    bytes_delta: u64,
    bytes_stored_delta: u64,
    /// Read from the store to make deltas.
    bytes_read_back: u64,
    bytes_added: u64,
    /// Bytes of files, read or unchanged, for each byte added.
    ratio: Option<f64>,
    duration_seconds: f64,
    root: String,
    previous: Option<String>,
    /// The snapshot that it was made from by leaving something out.
    original: Option<String>,
    /// The slot that signed it.
    slot: String,
    source: SourceView<'a>,
    /// Those whose time has come are among them.
    holds: Vec<HoldView<'a>>,
    /// A replica still has it.
    forgotten: bool,
}

/// What keeps a snapshot from being forgotten.
#[derive(Debug, Serialize)]
struct HoldView<'a> {
    since: String,
    until: Option<String>,
    who: &'a str,
    reason: &'a str,
}

/// A snapshot that was just made.
#[derive(Debug, Serialize)]
pub(crate) struct CreatedView<'a> {
    #[serde(flatten)]
    pub(crate) snapshot: SnapshotView<'a>,
    /// Entries that were left out; what lies in directories among them is not counted.
    pub(crate) excluded: u64,
    /// None if nothing was read.
    pub(crate) start: Option<StartView>,
    pub(crate) requests: RequestsView,
    pub(crate) warnings: &'a [String],
}

/// What it took to get ready: all that came before the source was first read.
#[derive(Debug, Serialize)]
pub(crate) struct StartView {
    /// Since the command began; a passphrase that somebody types takes part of it.
    pub(crate) seconds: f64,
    pub(crate) requests: RequestsView,
}

/// An object with the labels' keys.
#[derive(Debug)]
struct Labels<'a>(&'a Snapshot);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let labels = &self.0.labels;
        let mut map = serializer.serialize_map(Some(labels.len()))?;
        for label in labels {
            map.serialize_entry(&label.key, &label.value)?;
        }
        map.end()
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum SourceView<'a> {
    Stdin { name: &'a str, tar: bool },
    Command { name: &'a str, arguments: &'a [String], status: i32, tar: bool },
    Paths { paths: Vec<PathView> },
}

impl<'a> SourceView<'a> {
    fn new(source: &'a Source) -> Self {
        match source {
            Source::Stdin { name, tar } => Self::Stdin { name, tar: *tar },
            Source::Command { name, arguments, status, tar } => {
                Self::Command { name, arguments, status: *status, tar: *tar }
            }
            Source::Paths { paths } => {
                Self::Paths { paths: paths.iter().map(|path| PathView::new(path)).collect() }
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio is for people")]
fn ratio(counts: &Counts) -> Option<f64> {
    (counts.bytes_added > 0).then(|| counts.bytes() as f64 / counts.bytes_added as f64)
}

/// What was new, and how it is stored.
pub(crate) fn new_chunks(counts: &Counts) -> String {
    if counts.chunks_new == 0 {
        return "nothing".to_owned();
    }
    let mut text = format!(
        "{} in {}, stored in {}",
        size(counts.bytes_new),
        count(counts.chunks_new, "chunk", "chunks"),
        size(counts.bytes_stored),
    );
    if counts.chunks_delta > 0 {
        text += &format!(
            ": {} whole in {}, {} as deltas in {}",
            number(counts.chunks_new.saturating_sub(counts.chunks_delta)),
            size(counts.bytes_stored.saturating_sub(counts.bytes_stored_delta)),
            number(counts.chunks_delta),
            size(counts.bytes_stored_delta),
        );
    }
    text
}

/// What the store grew by, and what part that is of the files.
pub(crate) fn added(counts: &Counts) -> String {
    let added = size(counts.bytes_added);
    match counts.bytes().checked_div(counts.bytes_added) {
        Some(ratio) if ratio >= 10 => {
            format!("{added} to the repository, 1/{} of the whole", number(ratio))
        }
        _ => percent(counts.bytes_added, counts.bytes()).map_or_else(
            || format!("{added} to the repository"),
            |share| format!("{added} to the repository, {share} of the whole"),
        ),
    }
}

/// How long a run took, by its own clock.
pub(crate) fn duration(snapshot: &Snapshot) -> std::time::Duration {
    let nanos = snapshot.finished.saturating_sub(snapshot.started);
    std::time::Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

impl<'a> SnapshotView<'a> {
    pub(crate) fn new(info: &'a SnapshotInfo) -> Self {
        let snapshot = &info.snapshot;
        let counts = &snapshot.counts;
        Self {
            id: info.id.to_string(),
            series: &snapshot.series,
            time: rfc3339(snapshot.started),
            finished: rfc3339(snapshot.finished),
            stored: rfc3339(info.stored),
            host: &snapshot.host,
            user: &snapshot.user,
            program: &snapshot.program,
            labels: Labels(snapshot),
            files: counts.files,
            directories: counts.directories,
            others: counts.others,
            unreadable: counts.unreadable,
            files_unchanged: counts.files_unchanged,
            bytes_unchanged: counts.bytes_unchanged,
            bytes_read: counts.bytes_read,
            chunks: counts.chunks,
            chunks_new: counts.chunks_new,
            bytes_new: counts.bytes_new,
            bytes_stored: counts.bytes_stored,
            chunks_delta: counts.chunks_delta,
            bytes_delta: counts.bytes_delta,
            bytes_stored_delta: counts.bytes_stored_delta,
            bytes_read_back: counts.bytes_read_back,
            bytes_added: counts.bytes_added,
            ratio: ratio(counts),
            duration_seconds: duration(snapshot).as_secs_f64(),
            root: snapshot.root.to_string(),
            previous: snapshot.previous.map(|previous| previous.id.to_string()),
            original: snapshot.original.map(|original| original.id.to_string()),
            slot: info.signer.to_string(),
            source: SourceView::new(&snapshot.source),
            holds: info
                .holds
                .iter()
                .map(|hold| HoldView {
                    since: rfc3339(hold.since),
                    until: hold.until.map(rfc3339),
                    who: &hold.who,
                    reason: &hold.why,
                })
                .collect(),
            forgotten: info.forgotten,
        }
    }
}

/// What a restore did.
#[derive(Debug, Serialize)]
pub(crate) struct RestoredView<'a> {
    snapshot: String,
    series: &'a str,
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
    unchanged: u64,
    links: u64,
    deleted: u64,
    failed: u64,
    requests: RequestsView,
    warnings: &'a [String],
}

impl<'a> RestoredView<'a> {
    pub(crate) fn new(
        info: &'a SnapshotInfo,
        report: &'a RestoreReport,
        requests: RequestsView,
    ) -> Self {
        Self {
            snapshot: info.id.to_string(),
            series: &info.snapshot.series,
            files: report.files,
            directories: report.directories,
            others: report.others,
            bytes: report.bytes,
            unchanged: report.unchanged,
            links: report.links,
            deleted: report.deleted,
            failed: report.failed,
            requests,
            warnings: &report.warnings,
        }
    }
}

/// What a restore would do.
#[derive(Debug, Serialize)]
pub(crate) struct RestorePlanView<'a> {
    snapshot: String,
    series: &'a str,
    dry_run: bool,
    files: u64,
    directories: u64,
    others: u64,
    bytes: u64,
    unchanged: u64,
    replaced: u64,
    links: u64,
    deleted: u64,
    requests: u64,
}

impl<'a> RestorePlanView<'a> {
    pub(crate) fn new(info: &'a SnapshotInfo, plan: &RestorePlan) -> Self {
        Self {
            snapshot: info.id.to_string(),
            series: &info.snapshot.series,
            dry_run: true,
            files: plan.files,
            directories: plan.directories,
            others: plan.others,
            bytes: plan.bytes,
            unchanged: plan.unchanged,
            replaced: plan.replaced,
            links: plan.links,
            deleted: plan.deleted,
            requests: plan.requests,
        }
    }
}

/// A slot in a list.
#[derive(Debug, Serialize)]
pub(crate) struct SlotView<'a> {
    id: String,
    role: String,
    label: &'a str,
    created: String,
    protection: &'a str,
    current: bool,
}

impl<'a> SlotView<'a> {
    pub(crate) fn new(slot: &'a SlotInfo) -> Self {
        Self {
            id: slot.id.to_string(),
            role: slot.role.to_string(),
            label: &slot.label,
            created: rfc3339(slot.created),
            protection: &slot.protection,
            current: slot.current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_shows_its_bytes_only_where_its_text_does_not_tell_them() {
        let text = |path: &[u8]| serde_json::to_string(&PathView::new(path)).unwrap();
        assert_eq!(text(b"etc/hosts"), r#"{"path":"etc/hosts"}"#);
        assert_eq!(text(b"a\xff"), "{\"path\":\"a\u{fffd}\",\"path_bytes\":\"61ff\"}");
    }
}
