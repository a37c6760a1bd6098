//! `nightjar snapshot list`

use anyhow::Result;
use nightjar_repository::snapshots::SnapshotInfo;

use super::super::{Program, list_snapshots};
use crate::args::SnapshotList;
use crate::exit::Exit;
use crate::output::format::{local_time, printable, size};
use crate::output::table::{Align, Table};
use crate::output::views::SnapshotView;
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotList) -> Result<Exit> {
    let repository = program.open()?;
    let list = list_snapshots(&repository)?;
    let wanted = |info: &&SnapshotInfo| {
        arguments.series.as_ref().is_none_or(|series| *series == info.snapshot.series)
    };
    // What a replica still has of forgotten snapshots stands behind the others.
    let listed = list.snapshots.iter().chain(&list.forgotten);
    let snapshots: Vec<&SnapshotInfo> = listed.filter(wanted).collect();
    let views: Vec<SnapshotView<'_>> =
        snapshots.iter().map(|info| SnapshotView::new(info)).collect();
    if snapshots.is_empty() {
        stderr::note(&match &arguments.series {
            Some(series) => format!("there is no snapshot of the series {series:?}"),
            None => "the repository holds no snapshot yet".to_owned(),
        });
        program.output.result(&views, String::new)?;
    } else {
        program.output.result(&views, || table(&snapshots))?;
    }
    Ok(if list.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn table(snapshots: &[&SnapshotInfo]) -> String {
    let held: Vec<String> = snapshots.iter().map(|info| super::held(info)).collect();
    let mut table = Table::new([
        ("id", Align::Left),
        ("time", Align::Left),
        ("series", Align::Left),
        ("host", Align::Left),
        ("read", Align::Right),
        ("added", Align::Right),
        (
            if snapshots.iter().any(|info| !info.snapshot.labels.is_empty()) {
                "labels"
            } else {
                ""
            },
            Align::Left,
        ),
        (if held.iter().any(|held| !held.is_empty()) { "held" } else { "" }, Align::Left),
        (if snapshots.iter().any(|info| info.forgotten) { "forgotten" } else { "" }, Align::Left),
    ]);
    for (info, held) in snapshots.iter().zip(held) {
        let snapshot = &info.snapshot;
        table.push([
            info.id.short(),
            local_time(snapshot.started),
            printable(&snapshot.series),
            printable(&snapshot.host),
            size(snapshot.counts.bytes()),
            size(snapshot.counts.bytes_added),
            super::labels(snapshot),
            held,
            if info.forgotten { "in the source" } else { "" }.to_owned(),
        ]);
    }
    table.render()
}
