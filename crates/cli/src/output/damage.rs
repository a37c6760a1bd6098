//! What damage hits: packs, snapshots, and paths in them.

use nightjar_format::SessionId;
use nightjar_format::object::ObjectName;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::verify::{DamagedPack, SnapshotHit, StandingDamage};
use serde::Serialize;

use super::format::{self, count, local_time, printable, rfc3339};
use super::views::PathView;

/// Snapshots that are shown of one pack.
const SHOWN: usize = 10;

/// A snapshot that damage hits.
#[derive(Debug, Serialize)]
pub(crate) struct HitView<'a> {
    snapshot: String,
    series: Option<&'a str>,
    time: Option<String>,
    /// The first files and directories of it that are hit.
    paths: Vec<PathView>,
    more_paths: u64,
}

impl<'a> HitView<'a> {
    pub(crate) fn new(hit: &SnapshotHit, snapshots: &'a [SnapshotInfo]) -> Self {
        let info = known(&hit.snapshot, snapshots);
        Self {
            snapshot: hit.snapshot.to_string(),
            series: info.map(|info| info.snapshot.series.as_str()),
            time: info.map(|info| rfc3339(info.snapshot.started)),
            paths: hit.paths.iter().map(|path| PathView::new(path)).collect(),
            more_paths: hit.more_paths,
        }
    }
}

/// Damage that is known without reading packs.
#[derive(Debug, Serialize)]
pub(crate) struct DamageView<'a> {
    packs: Vec<DamagedPackView<'a>>,
    hits: Vec<HitView<'a>>,
    /// Snapshots of which there was no time to find out whether they are among these.
    hits_unknown: u64,
}

#[derive(Debug, Serialize)]
struct DamagedPackView<'a> {
    pack: String,
    problem: &'a str,
    /// In the pack; not all of them need be lost.
    blobs: u64,
    snapshots: Vec<String>,
    more_snapshots: u64,
}

impl<'a> DamageView<'a> {
    pub(crate) fn new(damage: &'a StandingDamage, snapshots: &'a [SnapshotInfo]) -> Self {
        let pack = |it: &'a DamagedPack| DamagedPackView {
            pack: it.pack.to_string(),
            problem: &it.problem,
            blobs: it.blobs,
            snapshots: it.snapshots.iter().map(ToString::to_string).collect(),
            more_snapshots: it.more_snapshots,
        };
        Self {
            packs: damage.packs.iter().map(pack).collect(),
            hits: damage.hits.iter().map(|hit| HitView::new(hit, snapshots)).collect(),
            hits_unknown: damage.hits_unknown,
        }
    }
}

fn known<'a>(id: &SessionId, snapshots: &'a [SnapshotInfo]) -> Option<&'a SnapshotInfo> {
    snapshots.iter().find(|info| info.id == *id)
}

/// `3f2a77c0… of orders, 2026-04-01 02:00:00`
pub(crate) fn snapshot(id: &SessionId, snapshots: &[SnapshotInfo]) -> String {
    let what = known(id, snapshots).map_or_else(String::new, |info| {
        let snapshot = &info.snapshot;
        format!(" of {}, {}", printable(&snapshot.series), local_time(snapshot.started))
    });
    format!("snapshot {}{what}", id.short())
}

/// What of a snapshot is not whole, a line each.
pub(crate) fn paths(hit: &SnapshotHit) -> String {
    let line = |path: &Vec<u8>| match path.as_slice() {
        [] => "  everything\n".to_owned(),
        path => format!("  {}\n", format::path(path)),
    };
    let mut text: String = hit.paths.iter().map(line).collect();
    if hit.more_paths > 0 {
        text += &format!("  and {}\n", count(hit.more_paths, "more path", "more paths"));
    }
    text
}

/// The packs, and what each hits.
pub(crate) fn packs(damage: &StandingDamage, snapshots: &[SnapshotInfo]) -> String {
    let mut text = String::new();
    for it in &damage.packs {
        text += &format!("{}: {}\n", ObjectName::Pack(it.pack), it.problem);
        for id in it.snapshots.iter().take(SHOWN) {
            text += &format!("  hits {}\n", snapshot(id, snapshots));
        }
        let more = it.snapshots.len().saturating_sub(SHOWN) as u64 + it.more_snapshots;
        if more > 0 {
            text += &format!("  and {}\n", count(more, "more snapshot", "more snapshots"));
        }
        if it.snapshots.is_empty() && damage.hits_unknown == 0 {
            text += "  no snapshot needs it any more\n";
        }
    }
    text + &unknown(damage.hits_unknown)
}

/// That time ran out before it was found out of so many snapshots whether they are hit.
pub(crate) fn unknown(snapshots: u64) -> String {
    if snapshots == 0 {
        return String::new();
    }
    let snapshots = count(snapshots, "snapshot", "snapshots");
    format!("what is hit is not all known: there was no time to look at {snapshots}\n")
}
