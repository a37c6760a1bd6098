//! `nightjar snapshot hold`, `release` and `accept`

use anyhow::Result;
use jiff::tz::TimeZone;
use nightjar_format::SessionId;
use nightjar_format::slot::Role;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Repository, RepositoryError, holds, retention};
use serde::Serialize;

use super::super::{Program, find_snapshot, list_snapshots};
use super::selection;
use crate::args::{Moment, SnapshotAccept, SnapshotHold, SnapshotRelease};
use crate::environment;
use crate::exit::{CommandError, Exit};
use crate::output::format::{count, local_time, printable, rfc3339, size};

#[derive(Serialize)]
struct HeldView<'a> {
    held: Vec<String>,
    until: Option<String>,
    reason: &'a str,
    ledger_record: u64,
}

#[derive(Serialize)]
struct ReleasedView<'a> {
    released: Vec<String>,
    reason: &'a str,
    ledger_record: u64,
}

#[derive(Serialize)]
struct AcceptedView<'a> {
    snapshot: String,
    series: &'a str,
    bytes: u64,
    reason: &'a str,
    ledger_record: u64,
}

pub(in crate::commands) fn hold(program: &Program<'_>, arguments: &SnapshotHold) -> Result<Exit> {
    let until = arguments.until.as_ref().map(until).transpose()?;
    let repository = program.open()?;
    let list = list_snapshots(&repository)?;
    let found = selection::snapshots(&list, &arguments.ids, arguments.series.as_deref())?;
    let ids = ids(&found);
    let reason = &arguments.reason;
    let number = holds::hold(&repository, &ids, until, &environment::who(), reason)?;
    let view = HeldView {
        held: ids.iter().map(ToString::to_string).collect(),
        until: until.map(rfc3339),
        reason,
        ledger_record: number,
    };
    program.output.summary(&view, || {
        let until = until.map_or_else(|| "it is released".to_owned(), local_time);
        lines(&found, |info| format!("{} held until {until}", name(info)))
    })?;
    Ok(Exit::Done)
}

/// When a hold ends: not before it begins.
fn until(moment: &Moment) -> Result<i64> {
    let now = environment::now();
    let wrong = |what: String| CommandError::Usage(format!("--until: {what}"));
    let until = moment.nanos(&TimeZone::system(), now).map_err(wrong)?;
    if until <= now {
        let what = format!("{} has gone by", local_time(until));
        return Err(wrong(what).into());
    }
    Ok(until)
}

pub(in crate::commands) fn release(
    program: &Program<'_>,
    arguments: &SnapshotRelease,
) -> Result<Exit> {
    let repository = program.open()?;
    require_full(&repository, "release snapshots")?;
    let list = list_snapshots(&repository)?;
    let found = selection::snapshots(&list, &arguments.ids, None)?;
    if let Some(free) = found.iter().find(|info| info.holds.is_empty()) {
        let why = format!("snapshot {} is not held; nothing was released", free.id.short());
        return Err(RepositoryError::Refused(why).into());
    }
    let ids = ids(&found);
    let reason = &arguments.reason;
    let number = holds::release(&repository, &ids, &environment::who(), reason)?;
    let view = ReleasedView {
        released: ids.iter().map(ToString::to_string).collect(),
        reason,
        ledger_record: number,
    };
    program.output.summary(&view, || {
        lines(&found, |info| {
            let holds = count(info.holds.len() as u64, "hold", "holds");
            format!("{} released: {holds} ended", name(info))
        })
    })?;
    Ok(Exit::Done)
}

pub(in crate::commands) fn accept(
    program: &Program<'_>,
    arguments: &SnapshotAccept,
) -> Result<Exit> {
    let repository = program.open()?;
    require_full(&repository, "accept the sizes of snapshots")?;
    let info = find_snapshot(&repository, &arguments.id, None)?;
    let reason = &arguments.reason;
    let number = retention::accept(&repository, &info, &environment::who(), reason)?;
    let bytes = info.snapshot.counts.bytes();
    let series = &info.snapshot.series;
    let snapshot = info.id.to_string();
    let view = AcceptedView { snapshot, series, bytes, reason, ledger_record: number };
    program.output.summary(&view, || {
        format!(
            "{}: {} is the usual size of series {} from here on\n",
            name(&info),
            size(bytes),
            printable(series)
        )
    })?;
    Ok(Exit::Done)
}

fn require_full(repository: &Repository, what: &'static str) -> Result<()> {
    match repository.keychain().role() {
        Role::Full => Ok(()),
        Role::Write => Err(RepositoryError::RoleForbids { what }.into()),
    }
}

fn ids(found: &[&SnapshotInfo]) -> Vec<SessionId> {
    found.iter().map(|info| info.id).collect()
}

fn name(info: &SnapshotInfo) -> String {
    let (id, time) = (info.id.short(), local_time(info.snapshot.started));
    format!("snapshot {id} of series {} ({time})", printable(&info.snapshot.series))
}

fn lines(found: &[&SnapshotInfo], line: impl Fn(&SnapshotInfo) -> String) -> String {
    found.iter().map(|info| line(info) + "\n").collect()
}
