//! `nightjar status`

use anyhow::Result;
use nightjar_repository::Repository;
use nightjar_repository::status::{self, Status};
use serde::Serialize;

use super::Program;
use crate::environment;
use crate::exit::Exit;
use crate::output::coverage::{self, CoverageView};
use crate::output::damage::{self, DamageView};
use crate::output::format::{count, local_time, number, percent, printable, rfc3339, size};
use crate::output::table::{Align, Table, pairs};
use crate::stderr;

#[derive(Serialize)]
struct StatusView<'a> {
    id: String,
    url: &'a str,
    role: String,
    epoch: u32,
    slots: u64,
    ledger_incarnation: String,
    ledger_record: u64,
    conditional_create: bool,
    /// It is a replica, which `nightjar replicate` alone writes to.
    replica: bool,
    snapshots: u64,
    bytes_logical: u64,
    bytes_unique: u64,
    bytes_stored: u64,
    blobs: u64,
    /// Blobs stored whole, as deltas of these, as deltas of those, and so on.
    blobs_by_depth: &'a [u64],
    series: Vec<SeriesView<'a>>,
    objects: Vec<ObjectsView>,
    sessions: Vec<SessionView<'a>>,
    coverage: CoverageView,
    damage: DamageView<'a>,
    findings: &'a [String],
}

#[derive(Serialize)]
struct SeriesView<'a> {
    name: &'a str,
    snapshots: u64,
    newest_id: String,
    newest_time: String,
    newest_bytes: u64,
}

#[derive(Serialize)]
struct ObjectsView {
    kind: &'static str,
    count: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SessionView<'a> {
    id: String,
    host: &'a str,
    started: String,
    renewed: String,
}

pub(super) fn run(program: &Program<'_>) -> Result<Exit> {
    let repository = program.open()?;
    let status = status::status(&repository)?;
    status.findings.iter().for_each(|finding| stderr::warn(finding));
    program.output.result(&view(&repository, &status), || describe(&repository, &status))?;
    Ok(if status.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn view<'a>(repository: &'a Repository, status: &'a Status) -> StatusView<'a> {
    let series = status.series.iter().map(|series| SeriesView {
        name: &series.name,
        snapshots: series.snapshots,
        newest_id: series.newest_id.to_string(),
        newest_time: rfc3339(series.newest),
        newest_bytes: series.newest_bytes,
    });
    let objects = status.objects.iter().map(|objects| ObjectsView {
        kind: objects.kind,
        count: objects.count,
        bytes: objects.bytes,
    });
    let sessions = status.sessions.iter().map(|session| SessionView {
        id: session.id.to_string(),
        host: &session.host,
        started: rfc3339(session.started),
        renewed: rfc3339(session.renewed),
    });
    StatusView {
        id: repository.id().to_string(),
        url: repository.store().url(),
        role: repository.keychain().role().to_string(),
        epoch: status.epoch,
        slots: status.slots,
        ledger_incarnation: status.ledger_head.incarnation.to_string(),
        ledger_record: status.ledger_head.number,
        conditional_create: repository.record().conditional_create,
        replica: status.is_replica,
        snapshots: status.snapshots,
        bytes_logical: status.bytes_logical,
        bytes_unique: status.bytes_unique,
        bytes_stored: status.bytes_stored,
        blobs: status.blobs,
        blobs_by_depth: &status.depths,
        series: series.collect(),
        objects: objects.collect(),
        sessions: sessions.collect(),
        coverage: CoverageView::new(&status.coverage, environment::now()),
        damage: DamageView::new(&status.damage, &status.infos),
        findings: &status.findings,
    }
}

fn describe(repository: &Repository, status: &Status) -> String {
    let share = percent(status.bytes_stored, status.bytes_logical)
        .map(|share| format!(", {share} of what was backed up"))
        .unwrap_or_default();
    let slots = count(status.slots, "slot", "slots");
    let [packs_checked, data_checked, walked] =
        coverage::lines(&status.coverage, environment::now());
    let mut text = pairs(&[
        ("repository", repository.id().to_string()),
        ("at", repository.store().url().to_owned()),
        ("access", format!("{slots}, epoch {}", status.epoch)),
        ("ledger", format!("at record {}", status.ledger_head.number)),
        ("writers", writers(repository)),
        ("snapshots", amount(status.snapshots, status.bytes_logical)),
        ("blobs", amount(status.blobs, status.bytes_unique)),
        ("deltas", deltas(&status.depths)),
        ("stored", format!("{}{share}", size(status.bytes_stored))),
        packs_checked,
        data_checked,
        walked,
    ]);
    if !status.damage.packs.is_empty() {
        text += &format!("\ndamaged or missing:\n{}", damage::packs(&status.damage, &status.infos));
        text += "`nightjar snapshot show` tells which paths rest on them, and `nightjar snapshot verify` \
                 what of these is lost\n";
    }
    if !status.series.is_empty() {
        text += &format!("\n{}", series_table(status));
    }
    text += &format!("\n{}", objects_table(status));
    if !status.sessions.is_empty() {
        text += &format!("\nsessions at work, or of writers that died:\n{}", sessions(status));
    }
    text
}

/// Who may change the repository at once: several unless the store ignores conditions.
fn writers(repository: &Repository) -> String {
    if repository.is_replica() {
        return "only `nightjar replicate`: this is a replica".to_owned();
    }
    if repository.record().conditional_create {
        return String::new();
    }
    "one at a time: the store ignores conditional creation (format-spec, chapter 10)".to_owned()
}

/// How many blobs are deltas, and how deep their chains are.
fn deltas(depths: &[u64]) -> String {
    let deltas = || depths.iter().zip(0u64..).skip(1);
    let count: u64 = deltas().map(|(count, _)| count).sum();
    let steps: u64 = deltas().map(|(count, depth)| count * depth).sum();
    let deepest = depths.len().saturating_sub(1);
    match steps.checked_div(count) {
        None => "none".to_owned(),
        Some(_) => format!(
            "{} of them, {}.{} deep on average, {deepest} at most",
            number(count),
            steps / count,
            steps * 10 / count % 10
        ),
    }
}

fn amount(count: u64, bytes: u64) -> String {
    format!("{}, together {}", number(count), size(bytes))
}

fn series_table(status: &Status) -> String {
    let mut table = Table::new([
        ("series", Align::Left),
        ("snapshots", Align::Right),
        ("newest", Align::Left),
        ("id", Align::Left),
        ("size", Align::Right),
    ]);
    for series in &status.series {
        table.push([
            printable(&series.name),
            number(series.snapshots),
            local_time(series.newest),
            series.newest_id.short(),
            size(series.newest_bytes),
        ]);
    }
    table.render()
}

fn objects_table(status: &Status) -> String {
    let mut table =
        Table::new([("objects", Align::Left), ("count", Align::Right), ("size", Align::Right)]);
    for objects in &status.objects {
        table.push([objects.kind.to_owned(), number(objects.count), size(objects.bytes)]);
    }
    table.render()
}

fn sessions(status: &Status) -> String {
    let mut table = Table::new([
        ("session", Align::Left),
        ("host", Align::Left),
        ("started", Align::Left),
        ("last renewed", Align::Left),
    ]);
    for session in &status.sessions {
        table.push([
            session.id.short(),
            printable(&session.host),
            local_time(session.started),
            local_time(session.renewed),
        ]);
    }
    table.render()
}
