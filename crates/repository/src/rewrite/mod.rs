//! Taking entries out of snapshots that exist (format-spec, chapter 10: the rewriter).
//!
//! A snapshot never changes. One that holds what has to go is followed by another that holds the
//! rest, and is then forgotten, with a record that asks collectors to leave nothing in the store that
//! only it held. The new one is made from manifests alone: files keep their chunks, and of the
//! directories only those on the way to what was taken out are made anew.
//!
//! **Order.** All new snapshots are committed first, each by a session of its own; then one record of
//! the ledger forgets all the old ones. Whoever is killed in between leaves both, and a run that
//! comes later finds the new ones, for it knows what they must look like, and goes on from there.
//!
//! **Nothing is looked up blob by blob.** A session that is announced while no condemn is open relies
//! on packs that are neither retired nor damaged. The old snapshot is alive at the head that it notes,
//! so what it needs lies in packs that are not retired, and whoever condemns one of these from now on
//! waits for the session. Only where packs are damaged, missing or not listed is it checked that what
//! is kept can be read without them (`kept`).

mod kept;
mod look;
mod tree;
mod write;

use std::collections::BTreeSet;

use nightjar_format::ledger::LedgerState;
use nightjar_format::snapshot::{Counts, Previous, Snapshot};
use nightjar_format::{BlobId, IncarnationId, SessionId};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::ledger;
use crate::read::Reader;
use crate::repository::Repository;
use crate::snapshots::{self, SnapshotInfo, SnapshotList};

pub use look::{Taken, Tally};

/// Whether the entry at a path, which is a directory or not, is taken out, and all that lies in it.
pub type LeavesOut<'a> = &'a dyn Fn(&[u8], bool) -> bool;

/// What would become of a snapshot in which something is taken out.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The snapshot as it is.
    pub info: SnapshotInfo,
    /// What is taken out of it.
    pub taken: Tally,
    /// The snapshot that takes its place, if an earlier run made it.
    pub successor: Option<SessionId>,
    /// The root of the snapshot that takes its place.
    root: BlobId,
    /// Directories with something to be taken out in them or below them.
    touched: look::Touched,
}

/// A snapshot that took another's place.
#[derive(Debug, Clone)]
pub struct Rewritten {
    /// The one before.
    pub original: SessionId,
    /// The one in its place.
    pub id: SessionId,
    /// Whether an earlier run had made it.
    pub was_there: bool,
    /// What it took in the store, in bytes; 0 if it was there.
    pub bytes_added: u64,
}

/// Why the old snapshots go.
#[derive(Debug, Clone, Copy)]
pub struct Erasure<'a> {
    /// Who says so.
    pub who: &'a str,
    /// And why.
    pub why: &'a str,
}

/// Finds what would be taken out of these snapshots, and says so of each topmost entry. Those in which
/// nothing is are not among the planned. Nothing is changed.
pub fn plan(
    repository: &Repository,
    list: &SnapshotList,
    wanted: &[&SnapshotInfo],
    leaves_out: LeavesOut<'_>,
    progress: &Progress,
    mut each: impl FnMut(&SnapshotInfo, Taken<'_>),
) -> Result<Vec<Planned>> {
    let reader = Reader::open(repository, progress)?;
    let mut look = look::Look::new(&reader, leaves_out);
    let mut planned = Vec::new();
    for info in wanted {
        let found = look.at(info, &mut |taken| each(info, taken));
        let look::Found { taken, touched } =
            found.map_err(|error| explain(repository, info, error))?;
        Progress::add(&progress.items, 1);
        if taken == Tally::default() {
            continue;
        }
        require_rest(info, &taken)?;
        let mut ids = tree::OnlyIds(repository.identifier());
        let rebuild = tree::Rebuild { reader: &reader, leaves_out, touched: &touched };
        let root = rebuild.run(info.snapshot.root, &mut ids);
        let root = root.map_err(|error| explain(repository, info, error))?;
        let mut plan = Planned { info: (*info).clone(), taken, successor: None, root, touched };
        plan.successor = plan.find_successor(list);
        planned.push(plan);
    }
    Ok(planned)
}

/// Plans a snapshot without these paths, where what lies below them need not be readable. `kept` is all
/// else, as somebody counted it. Nothing is changed.
pub(crate) fn plan_without(
    reader: &Reader<'_>,
    list: &SnapshotList,
    info: &SnapshotInfo,
    paths: &BTreeSet<Vec<u8>>,
    kept: Tally,
) -> Result<Planned> {
    let mut touched = look::Touched::new();
    paths.iter().for_each(|path| look::touch(&mut touched, path));
    let counts = &info.snapshot.counts;
    let taken = Tally {
        files: counts.files.saturating_sub(kept.files),
        directories: counts.directories.saturating_sub(kept.directories),
        others: counts.others.saturating_sub(kept.others),
        bytes: counts.bytes().saturating_sub(kept.bytes),
    };
    require_rest(info, &taken)?;
    let leaves_out = |path: &[u8], _: bool| paths.contains(path);
    let mut ids = tree::OnlyIds(reader.repository.identifier());
    let rebuild = tree::Rebuild { reader, leaves_out: &leaves_out, touched: &touched };
    let root = rebuild.run(info.snapshot.root, &mut ids)?;
    let mut plan = Planned { info: info.clone(), taken, successor: None, root, touched };
    plan.successor = plan.find_successor(list);
    Ok(plan)
}

/// What was forgotten and collected while it was read is not damaged.
fn explain(
    repository: &Repository,
    info: &SnapshotInfo,
    error: RepositoryError,
) -> RepositoryError {
    match ledger::read(repository) {
        Ok(ledger) if error.is_damage() && ledger.state.forgotten.contains(&info.id) => gone(info),
        _ => error,
    }
}

/// Somebody else forgot it.
fn gone(info: &SnapshotInfo) -> RepositoryError {
    let id = info.id.short();
    let why = format!("snapshot {id} was forgotten at this moment; it was not rewritten");
    RepositoryError::NoSuchSnapshot(why)
}

/// A snapshot of which nothing but directories is left says nothing.
fn require_rest(info: &SnapshotInfo, taken: &Tally) -> Result<()> {
    let Counts { files, others, .. } = info.snapshot.counts;
    if files + others > taken.files + taken.others {
        return Ok(());
    }
    let id = info.id.short();
    Err(RepositoryError::Refused(format!(
        "nothing would be left of snapshot {id}; nothing was changed. `nightjar snapshot forget {id} \
         --erase --reason …` removes it whole"
    )))
}

impl Planned {
    /// What the snapshot in its place says.
    fn record(&self, program: &str, incarnation: IncarnationId) -> Snapshot {
        let old = &self.info.snapshot;
        let Tally { files, directories, others, bytes, .. } = self.taken;
        let files = old.counts.files.saturating_sub(files);
        // It read nothing, and stored none of its files.
        let counts = Counts {
            files,
            directories: old.counts.directories.saturating_sub(directories),
            others: old.counts.others.saturating_sub(others),
            unreadable: old.counts.unreadable,
            files_unchanged: files,
            bytes_unchanged: old.counts.bytes().saturating_sub(bytes),
            ..Counts::default()
        };
        Snapshot {
            program: program.to_owned(),
            counts,
            root: self.root,
            original: Some(Previous { id: self.info.id, digest: self.info.digest }),
            incarnation,
            ..old.clone()
        }
    }

    /// A snapshot that says all that the one in its place has to say. What it took in the store may
    /// differ, and the program that made it.
    fn find_successor(&self, list: &SnapshotList) -> Option<SessionId> {
        let fits = |info: &&SnapshotInfo| {
            let there = &info.snapshot;
            let mut wanted = self.record(&there.program, there.incarnation);
            wanted.counts.bytes_added = there.counts.bytes_added;
            *there == wanted
        };
        list.snapshots.iter().find(fits).map(|info| info.id)
    }
}

/// Makes the snapshots that take the place of the planned ones, as far as they are not there. With an
/// `erasure`, the old ones are then forgotten, all with one record; none is if one is held.
pub fn execute(
    repository: &Repository,
    planned: &[Planned],
    leaves_out: LeavesOut<'_>,
    erasure: Option<Erasure<'_>>,
    progress: &Progress,
) -> Result<Vec<Rewritten>> {
    repository.require_full("rewrite snapshots")?;
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let originals: Vec<SessionId> = planned.iter().map(|plan| plan.info.id).collect();
    let ledger = ledger::read(repository)?;
    require_quiet(&ledger.state)?;
    if erasure.is_some() {
        snapshots::refuse_held(&ledger, &originals, repository.environment.clock.now())?;
    }
    let mut rewritten = Vec::new();
    for plan in planned {
        let was_there = plan.successor.is_some();
        let (id, bytes_added) = match plan.successor {
            Some(id) => (id, 0),
            None => {
                let info = write::write(repository, plan, leaves_out, progress)?;
                (info.id, info.snapshot.counts.bytes_added)
            }
        };
        rewritten.push(Rewritten { original: plan.info.id, id, was_there, bytes_added });
        Progress::add(&progress.items, 1);
    }
    if let Some(Erasure { who, why }) = erasure {
        snapshots::erase(repository, &originals, who, why)?;
    }
    Ok(rewritten)
}

/// Refuses while packs are about to go: what is kept may lie in one of them.
pub(crate) fn require_quiet(state: &LedgerState) -> Result<()> {
    match state.condemned.keys().next() {
        None => Ok(()),
        Some(number) => Err(RepositoryError::Busy(format!(
            "a collection is under way (ledger record {number}); run `nightjar gc` to its end, then \
             this again"
        ))),
    }
}
