//! `nightjar snapshot forget`

use anyhow::Result;
use nightjar_format::SessionId;
use nightjar_format::slot::Role;
use nightjar_repository::RepositoryError;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use serde::Serialize;

use super::super::{Program, list_snapshots};
use crate::args::SnapshotForget;
use crate::environment;
use crate::exit::Exit;
use crate::output::format::{local_time, printable};
use crate::output::views::SnapshotView;

#[derive(Serialize)]
struct ForgottenView<'a> {
    forgotten: Vec<SnapshotView<'a>>,
    reason: &'a str,
}

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotForget) -> Result<Exit> {
    let repository = program.open()?;
    if repository.keychain().role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "forget snapshots" }.into());
    }
    let list = list_snapshots(&repository)?;
    // All are found before any is forgotten.
    let mut found: Vec<&SnapshotInfo> = Vec::new();
    for id in &arguments.ids {
        let info = list.find(id, None)?;
        if !found.iter().any(|earlier| earlier.id == info.id) {
            found.push(info);
        }
    }
    let ids: Vec<SessionId> = found.iter().map(|info| info.id).collect();
    let who = format!("{}@{}", environment::user(), environment::host());
    snapshots::forget(&repository, &ids, &who, &arguments.reason)?;
    let view = ForgottenView {
        forgotten: found.iter().map(|info| SnapshotView::new(info)).collect(),
        reason: &arguments.reason,
    };
    program.output.summary(&view, || found.iter().map(|info| describe(info)).collect())?;
    Ok(Exit::Done)
}

fn describe(info: &SnapshotInfo) -> String {
    format!(
        "forgot snapshot {} of series {} ({})\n",
        info.id.short(),
        printable(&info.snapshot.series),
        local_time(info.snapshot.started)
    )
}
