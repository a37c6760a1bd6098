//! Snapshots without what is lost (format-spec, chapter 10).
//!
//! Where nothing has a pack any more, the snapshots that needed it cannot be restored whole, and a
//! collector stops at them. Each is followed by one that leaves out the files, and the directories,
//! that lost something; it names the one it was made from. The originals stay until somebody forgets
//! them: what is left of a half file may still be worth something.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_format::SessionId;

use super::Left;
use super::loss::{LeftOut, Look, Loss, paths};
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::sync::{Copies, open_private};
use crate::ledger;
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;
use crate::rewrite::{self, Planned, Rewritten};
use crate::snapshots::{SnapshotInfo, SnapshotList};

/// So often a plan that met a collector is made anew.
const DISTURBANCES: usize = 3;

/// What would become of snapshots that lost something.
#[derive(Debug, Clone, Default)]
pub struct SnapshotsPlan {
    /// Those of which something is left.
    pub mends: Vec<SnapshotMend>,
    /// Snapshots that lost nothing.
    pub whole: u64,
    /// Those that cannot be mended, with the reason.
    pub left: Vec<Left>,
}

/// A snapshot that lost something, and what is left of it.
#[derive(Debug, Clone)]
pub struct SnapshotMend {
    /// What takes its place.
    pub planned: Planned,
    /// What it is without.
    pub left_out: Vec<LeftOut>,
}

/// Finds out what snapshots have lost. Nothing is changed, and chunks are not read: packs whose damage
/// nobody has noticed yet count as sound.
pub fn plan(
    repository: &Repository,
    list: &SnapshotList,
    wanted: &[&SnapshotInfo],
    progress: &Progress,
) -> Result<SnapshotsPlan> {
    for _ in 0..DISTURBANCES {
        let before = ledger::read(repository)?;
        before.require_whole()?;
        // What lies in condemned packs may be relied on by nobody, and is not lost.
        rewrite::require_quiet(&before.state)?;
        let plan = plan_once(repository, list, wanted, progress)?;
        let after = ledger::read(repository)?;
        if before.state.retired == after.state.retired && after.state.condemned.is_empty() {
            return Ok(plan);
        }
        tracing::info!("packs were collected meanwhile; looking again");
    }
    Err(RepositoryError::Busy("packs were collected while it was looked; run it again".into()))
}

fn plan_once(
    repository: &Repository,
    list: &SnapshotList,
    wanted: &[&SnapshotInfo],
    progress: &Progress,
) -> Result<SnapshotsPlan> {
    let state = ledger::read(repository)?.state;
    let (mut index, _) = open_private(repository, Copies::Refused)?;
    index.close_packs(&state, &stored_sizes(repository)?)?;
    let index = Arc::new(index);
    let reader = Reader::over(repository, Arc::clone(&index), None, progress);
    let mut look = Look::new(&reader, &index);
    let mut plan = SnapshotsPlan::default();
    for info in wanted {
        let Loss { left_out, kept } = look.at(info.snapshot.root)?;
        Progress::add(&progress.items, 1);
        let name = nightjar_format::object::ObjectName::Snapshot(info.id);
        if left_out.is_empty() {
            plan.whole += 1;
            continue;
        }
        if left_out.iter().any(|it| it.path.is_empty()) || kept.files + kept.others == 0 {
            let id = info.id.short();
            let why = format!(
                "nothing would be left of it: {}; `nightjar snapshot forget {id} --reason …` strikes \
                 it off",
                left_out.first().map_or("", |it| it.why.as_str())
            );
            plan.left.push(Left::new(name, why));
            continue;
        }
        let gone = paths(&left_out);
        let planned = rewrite::plan_without(&reader, list, info, &gone, kept)?;
        plan.mends.push(SnapshotMend { planned, left_out });
    }
    Ok(plan)
}

/// Makes the snapshots that are without what is lost, as far as they are not there. The originals stay.
pub fn execute(
    repository: &Repository,
    plan: &SnapshotsPlan,
    progress: &Progress,
) -> Result<Vec<Rewritten>> {
    repository.require_full("write snapshots in the place of others")?;
    let mut made = Vec::new();
    for mend in &plan.mends {
        let gone: BTreeSet<Vec<u8>> = paths(&mend.left_out);
        let leaves_out = |path: &[u8], _: bool| gone.contains(path);
        let planned = std::slice::from_ref(&mend.planned);
        made.extend(rewrite::execute(repository, planned, &leaves_out, None, progress)?);
    }
    Ok(made)
}

impl SnapshotMend {
    /// The snapshot as it is.
    pub fn original(&self) -> &SnapshotInfo {
        &self.planned.info
    }

    /// The snapshot in its place, if an earlier run made it.
    pub fn successor(&self) -> Option<SessionId> {
        self.planned.successor
    }
}
