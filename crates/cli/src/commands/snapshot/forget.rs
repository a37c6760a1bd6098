//! `nightjar snapshot forget`

use std::collections::BTreeSet;

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

/// What comes after an erasure was asked for.
pub(super) const STILL_THERE: &str = "\
what had to go is still in the store until `nightjar gc` has run; `nightjar ledger show` then has the
record that it is gone
";

#[derive(Serialize)]
struct ForgottenView<'a> {
    forgotten: Vec<SnapshotView<'a>>,
    /// Those that could not be read, or were gone.
    lost: Vec<String>,
    /// Those that were forgotten before, and are to be erased now.
    forgotten_before: Vec<String>,
    reason: &'a str,
    /// Nothing that only they hold is to stay in the store.
    erase: bool,
}

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotForget) -> Result<Exit> {
    let repository = program.open()?;
    if repository.keychain().role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "forget snapshots" }.into());
    }
    let list = list_snapshots(&repository)?;
    // All are found before any is forgotten.
    let mut found: Vec<&SnapshotInfo> = Vec::new();
    let mut lost: BTreeSet<SessionId> = BTreeSet::new();
    let mut before: BTreeSet<SessionId> = BTreeSet::new();
    for id in &arguments.ids {
        match (list.find(id, None), list.find_lost(id)) {
            (Ok(info), _) if found.iter().any(|earlier| earlier.id == info.id) => {}
            (Ok(info), None) => found.push(info),
            (Ok(info), Some(other)) => {
                let (one, other) = (info.id.short(), other.short());
                let why = format!("{id:?} begins both {one} and {other}; give more digits");
                return Err(RepositoryError::NoSuchSnapshot(why).into());
            }
            (Err(_), Some(id)) => {
                lost.insert(id);
            }
            (Err(error), None) => match snapshots::find_forgotten(&repository, id)? {
                Some(id) if arguments.erase => {
                    before.insert(id);
                }
                _ => return Err(error.into()),
            },
        }
    }
    let ids = found.iter().map(|info| info.id).chain(lost.clone()).chain(before.clone());
    let ids: Vec<SessionId> = ids.collect();
    let forget = if arguments.erase { snapshots::erase } else { snapshots::forget };
    forget(&repository, &ids, &environment::who(), &arguments.reason)?;
    let view = ForgottenView {
        forgotten: found.iter().map(|info| SnapshotView::new(info)).collect(),
        lost: lost.iter().map(ToString::to_string).collect(),
        forgotten_before: before.iter().map(ToString::to_string).collect(),
        reason: &arguments.reason,
        erase: arguments.erase,
    };
    program.output.summary(&view, || {
        let struck =
            |id: &SessionId| format!("struck off snapshot {}, which is lost\n", id.short());
        let found = found.iter().map(|info| describe(info));
        let next = arguments.erase.then(|| STILL_THERE.to_owned());
        let known = before.iter().map(|id| {
            format!("snapshot {} was forgotten before; now it is to be erased\n", id.short())
        });
        found.chain(lost.iter().map(struck)).chain(known).chain(next).collect()
    })?;
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
