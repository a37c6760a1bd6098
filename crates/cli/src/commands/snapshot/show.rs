//! `nightjar snapshot show`

use anyhow::Result;
use nightjar_format::ledger::Hold;
use nightjar_format::snapshot::{Counts, Snapshot, Source};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::verify;
use serde::Serialize;

use super::super::{Program, find_snapshot};
use crate::args::SnapshotShow;
use crate::environment;
use crate::exit::Exit;
use crate::output::damage::{self, DamageView};
use crate::output::format::{self, count, local_time, number, printable, size};
use crate::output::table::pairs;
use crate::output::views::{self, SnapshotView};

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotShow) -> Result<Exit> {
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let mut damage = verify::standing_damage(&repository, &[&info])?;
    // Others are not its affair.
    damage.packs.retain(|pack| !pack.snapshots.is_empty());
    let hit = damage.hits.first();
    let known = std::slice::from_ref(&info);
    let view = ShownView {
        snapshot: SnapshotView::new(&info),
        damage: hit.map(|_| DamageView::new(&damage, known)),
    };
    program.output.result(&view, || {
        let lacks = hit.map(|hit| {
            let packs = damage::packs(&damage, known);
            format!(
                "\nrests on packs that are damaged or missing with these paths:\n{}{packs}",
                damage::paths(hit)
            )
        });
        describe(&info) + &lacks.unwrap_or_default()
    })?;
    Ok(if hit.is_some() { Exit::Damage } else { Exit::Done })
}

/// A snapshot, and what of it is damaged.
#[derive(Serialize)]
struct ShownView<'a> {
    #[serde(flatten)]
    snapshot: SnapshotView<'a>,
    /// The packs that are damaged or missing, and the paths that rest on them; null if there are
    /// none.
    damage: Option<DamageView<'a>>,
}

fn describe(info: &SnapshotInfo) -> String {
    let snapshot = &info.snapshot;
    let Snapshot { counts, .. } = snapshot;
    let duration = format::duration(views::duration(snapshot));
    let previous =
        snapshot.previous.map_or_else(|| "none".into(), |previous| previous.id.to_string());
    let rewritten = snapshot.original.map(|original| format!("from {}", original.id));
    let rewritten = rewritten.unwrap_or_default();
    let unreadable = match counts.unreadable {
        0 => String::new(),
        files => format!("{} (not in the snapshot)", count(files, "file", "files")),
    };
    pairs(&[
        ("id", info.id.to_string()),
        ("series", printable(&snapshot.series)),
        ("time", format!("{}, took {duration}", local_time(snapshot.started))),
        ("host", printable(&snapshot.host)),
        ("user", printable(&snapshot.user)),
        ("labels", super::labels(snapshot)),
        ("held", held(info)),
        ("source", source(&snapshot.source)),
        ("files", number(counts.files)),
        ("directories", number(counts.directories)),
        ("others", number(counts.others)),
        ("unreadable", unreadable),
        (
            "read",
            format!("{} in {}", size(counts.bytes_read), count(counts.chunks, "chunk", "chunks")),
        ),
        ("unchanged", unchanged(counts)),
        ("new", views::new_chunks(counts)),
        ("added", views::added(counts)),
        ("read back", read_back(counts.bytes_read_back)),
        ("previous", previous),
        ("rewritten", rewritten),
        ("root", snapshot.root.to_string()),
        ("slot", info.signer.to_string()),
        ("program", printable(&snapshot.program)),
    ])
}

/// Who holds it, and why: holds whose time has come are told as such.
fn held(info: &SnapshotInfo) -> String {
    let now = environment::now();
    let describe = |hold: &Hold| {
        let until = match hold.until {
            None => "until released".to_owned(),
            Some(until) if hold.holds_at(now) => format!("until {}", local_time(until)),
            Some(until) => format!("ended {}", local_time(until)),
        };
        let (who, since) = (printable(&hold.who), local_time(hold.since));
        format!("{until} by {who}, {since}: {}", printable(&hold.why))
    };
    info.holds.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn unchanged(counts: &Counts) -> String {
    match counts.files_unchanged {
        0 => String::new(),
        files => {
            let files = count(files, "file", "files");
            format!("{} in {files}, not read", size(counts.bytes_unchanged))
        }
    }
}

fn read_back(bytes: u64) -> String {
    match bytes {
        0 => String::new(),
        bytes => format!("{} from the repository, to tell what was new", size(bytes)),
    }
}

fn source(source: &Source) -> String {
    match source {
        Source::Stdin { name, tar } => format!("standard input, {}", stored_as(name, *tar)),
        Source::Command { name, arguments, status, tar } => format!(
            "the command `{}`, {} (exit status {status})",
            printable(&arguments.join(" ")),
            stored_as(name, *tar)
        ),
        Source::Paths { paths } => {
            paths.iter().map(|path| format::path(path)).collect::<Vec<_>>().join(", ")
        }
    }
}

fn stored_as(name: &str, tar: bool) -> String {
    let name = printable(name);
    if tar { format!("the members of the tar {name}") } else { format!("as {name}") }
}
