//! What actors do. Another kind of actor is another function here, and a line in [`KINDS`].

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::Arc;

use nightjar_codec::slot::Protection;
use nightjar_format::SessionId;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Source;
use nightjar_repository::gc::{self, Bounds, GcRequest, SESSION_TIMEOUT};
use nightjar_repository::ingest::{DeltaParameters, Fed, SnapshotRequest, create_snapshot};
use nightjar_repository::rewrite::{self, Erasure};
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::{Progress, RepositoryError, slots};

use crate::edits::Edit;
use crate::fixture::{FILE, back_up_as, cheap, empty_file, entry, passphrase, request, restore};
use crate::generate::noise;
use crate::model::verify_all;
use crate::simulation::base::{SERIES, WRITER};
use crate::simulation::history::{Reported, Run, Slot, Taken};
use crate::simulation::process::{Process, Work};
use crate::simulation::replica::replicate;

/// How the passphrases of slots begin that were added by the simulation.
pub(super) const ADDED: &str = "added";

type Outcome = Result<(), RepositoryError>;

/// Every kind, and how often it comes beside the others.
pub(super) const KINDS: &[(usize, Work)] = &[
    (60, Work { name: "back up", run: back_up }),
    (4, Work { name: "fail to read", run: fail_to_read }),
    (16, Work { name: "restore", run: read }),
    (6, Work { name: "verify", run: verify }),
    (8, Work { name: "forget", run: forget }),
    (5, Work { name: "rewrite", run: rewrite }),
    (10, Work { name: "collect", run: collect }),
    (8, Work { name: "replicate", run: replicate }),
    (3, Work { name: "add a slot", run: add_slot }),
    (3, Work { name: "remove a slot", run: remove_slot }),
];

/// Stores the next version of a series.
fn back_up(process: &mut Process<'_>) -> Outcome {
    let (request, bytes) = tonight(process);
    let scratch = match process.rng.below(3) {
        0 => noise(process.rng.next_u64(), 3000),
        _ => Vec::new(),
    };
    let whole = Arc::new([bytes.as_slice(), &scratch].concat());
    process.history.storing(process.actor, &request.series, &whole);
    let outcome = store(process, &request, &bytes, &scratch);
    let reported = match &outcome {
        Ok(_) => Reported::Committed,
        Err(_) if process.was_killed() => Reported::Nothing,
        Err(RepositoryError::CommitOpen { .. }) => Reported::Open,
        Err(_) => Reported::Failed,
    };
    process.history.stored(process.actor, reported);
    outcome.map(drop)
}

/// The file that a rewriter takes out.
const SCRATCH: &str = "scratch";

/// Stores a dump, and behind it, unless that is empty, what need not be kept.
fn store(
    process: &Process<'_>,
    request: &SnapshotRequest,
    mut dump: &[u8],
    scratch: &[u8],
) -> Result<SnapshotInfo, RepositoryError> {
    if scratch.is_empty() {
        return back_up_as(&process.repository, request, &mut dump);
    }
    create_snapshot(&process.repository, request, &Progress::default(), |feeder| {
        for (name, mut bytes) in [(FILE, dump), (SCRATCH, scratch)] {
            feeder.stream(name.as_bytes(), &mut bytes, name)?;
            feeder.file(entry(name.as_bytes(), empty_file()))?;
        }
        Ok(Fed { source: Source::Paths { paths: vec![] }, unreadable: 0 })
    })
}

/// Stores a stream that breaks off.
fn fail_to_read(process: &mut Process<'_>) -> Outcome {
    let (request, bytes) = tonight(process);
    process.history.storing(process.actor, "a stream that breaks off", &bytes);
    let broken = Err(io::Error::other("the dump failed"));
    let mut stream = bytes.as_slice().chain(Broken(Some(broken)));
    let outcome = back_up_as(&process.repository, &request, &mut stream);
    process.history.stored(process.actor, Reported::Failed);
    if outcome.is_ok() {
        process.breach("a stream that broke off became a snapshot");
    }
    outcome.map(drop)
}

struct Broken(Option<io::Result<usize>>);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().unwrap_or(Ok(0))
    }
}

/// What a writer finds tonight, and how it stores it.
fn tonight(process: &mut Process<'_>) -> (SnapshotRequest, Arc<Vec<u8>>) {
    let rng = &mut process.rng;
    let series = SERIES.get(rng.below(SERIES.len())).copied().unwrap_or_default();
    let last = process.history.state().newest.get(series).cloned().unwrap_or_default();
    let mut bytes = last.to_vec();
    for _ in 0..rng.below(3) {
        Edit::any(rng).apply(&mut bytes, rng);
    }
    bytes.truncate(400_000);
    if rng.below(40) == 0 {
        // More than a pack holds.
        bytes.extend(noise(rng.next_u64(), 1_200_000));
    }
    let delta = Some(DeltaParameters::default()).filter(|_| rng.below(8) > 0);
    let cache_bytes = [1 << 30, 1 << 30, 200_000, 0].get(rng.below(4)).copied().unwrap_or(0);
    (SnapshotRequest { delta, cache_bytes, ..request(series) }, Arc::new(bytes))
}

/// Lists, and restores something.
fn read(process: &mut Process<'_>) -> Outcome {
    let listed = list(process)?;
    if listed.is_empty() || process.host.passphrase == WRITER {
        return Ok(());
    }
    let chosen = process.rng.below(listed.len());
    let Some(info) = listed.get(chosen) else { return Ok(()) };
    let restored = match restore(&process.repository, info) {
        // Forgotten and collected while it was read.
        Err(error) if error.is_damage() && is_going(process, &info.id) => return Ok(()),
        restored => restored?,
    };
    let expected = process.history.state().runs.get(&info.id).map(|run| Arc::clone(&run.bytes));
    if expected.is_none_or(|expected| *expected != restored) {
        process.breach(&format!("snapshot {} restores other bytes", info.id));
    }
    Ok(())
}

fn is_going(process: &Process<'_>, id: &SessionId) -> bool {
    process.history.state().runs.get(id).is_some_and(|run| run.forgotten > Taken::No)
}

/// Lists, and compares the list with what it must be.
fn list(process: &mut Process<'_>) -> Result<Vec<SnapshotInfo>, RepositoryError> {
    let chosen = |choose: fn(&Run) -> bool| -> BTreeSet<SessionId> {
        let state = process.history.state();
        state.runs.iter().filter(|(_, run)| choose(run)).map(|(id, _)| *id).collect()
    };
    let must = chosen(Run::must_be_there);
    let may_not = chosen(|run| !run.may_be_there());
    let list = snapshots::list(&process.repository)?;
    for finding in &list.findings {
        process.breach(&format!("a finding of a sound repository: {finding}"));
    }
    let listed: BTreeSet<SessionId> = list.snapshots.iter().map(|info| info.id).collect();
    let mut state = process.history.state();
    let mut wrong = Vec::new();
    for id in must.difference(&listed) {
        let forgotten = state.runs.get(id).is_some_and(|run| run.forgotten > Taken::No);
        if !forgotten {
            wrong.push(format!("snapshot {id} is not listed"));
        }
    }
    for id in &listed {
        match state.runs.get_mut(id) {
            Some(_) if may_not.contains(id) => wrong.push(format!("snapshot {id} is listed")),
            Some(run) => run.seen = true,
            None => wrong.push(format!("snapshot {id} was never made")),
        }
    }
    drop(state);
    wrong.iter().for_each(|wrong| process.breach(wrong));
    Ok(list.snapshots)
}

/// Verifies everything while others work.
fn verify(process: &mut Process<'_>) -> Outcome {
    if process.host.passphrase == WRITER {
        return list(process).map(drop);
    }
    for finding in verify_all(&process.repository)?.findings {
        process.breach(&format!("a finding of a sound repository: {finding:?}"));
    }
    Ok(())
}

/// Forgets a snapshot or two.
fn forget(process: &mut Process<'_>) -> Outcome {
    let listed = list(process)?;
    if process.host.passphrase == WRITER {
        return Ok(());
    }
    let rng = &mut process.rng;
    let ids: Vec<SessionId> =
        listed.iter().map(|info| info.id).filter(|_| rng.below(3) == 0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let note = |taken: Taken| {
        let mut state = process.history.state();
        for id in &ids {
            if let Some(run) = state.runs.get_mut(id) {
                run.forgotten = run.forgotten.max(taken);
            }
        }
    };
    note(Taken::Perhaps);
    snapshots::forget(&process.repository, &ids, "tester", "the simulation")?;
    note(Taken::Yes);
    Ok(())
}

/// Takes the file that need not be kept out of a snapshot.
fn rewrite(process: &mut Process<'_>) -> Outcome {
    let listed = list(process)?;
    if process.host.passphrase == WRITER || listed.is_empty() {
        return Ok(());
    }
    let chosen = process.rng.below(listed.len());
    let Some(info) = listed.get(chosen) else { return Ok(()) };
    let progress = Progress::default();
    let leaves_out = |path: &[u8], _: bool| path == SCRATCH.as_bytes();
    let list = snapshots::list(&process.repository)?;
    let repository = &process.repository;
    let planned = rewrite::plan(repository, &list, &[info], &leaves_out, &progress, |_, _| {})?;
    let Some(plan) = planned.first() else { return Ok(()) };
    let whole = process.history.state().runs.get(&info.id).map(|run| Arc::clone(&run.bytes));
    let mut rest = whole.map(|whole| whole.to_vec()).unwrap_or_default();
    rest.truncate(rest.len().saturating_sub(usize::try_from(plan.taken.bytes).unwrap_or(0)));
    process.history.storing(process.actor, "rewritten", &Arc::new(rest));
    let note = |taken: Taken| {
        if let Some(run) = process.history.state().runs.get_mut(&info.id) {
            run.forgotten = run.forgotten.max(taken);
        }
    };
    note(Taken::Perhaps);
    let erasure = Some(Erasure { who: "tester", why: "the simulation" });
    let outcome = rewrite::execute(repository, &planned, &leaves_out, erasure, &progress);
    let reported = match &outcome {
        Ok(_) => Reported::Committed,
        Err(_) if process.was_killed() => Reported::Nothing,
        // It may have failed when only the original was still to be forgotten.
        Err(_) => Reported::Open,
    };
    process.history.stored(process.actor, reported);
    outcome?;
    note(Taken::Yes);
    Ok(())
}

/// Collects what nobody needs; some collectors take everybody else for dead.
fn collect(process: &mut Process<'_>) -> Outcome {
    if process.host.passphrase == WRITER {
        return Ok(());
    }
    let rng = &mut process.rng;
    let unused_permille = [0, 0, 50, 500].get(rng.below(4)).copied().unwrap_or(0);
    let move_bytes = [None, None, Some(100_000)].get(rng.below(3)).copied().flatten();
    let session_timeout = if rng.below(3) == 0 { 0 } else { SESSION_TIMEOUT };
    let bounds = Bounds { unused_permille, move_bytes };
    let request = GcRequest { bounds, session_timeout, ..GcRequest::default() };
    let report = gc::collect(&process.repository, &request, &Progress::default())?;
    if !report.damaged.is_empty() {
        process.breach(&format!("a sound pack is taken for damaged: {report:?}"));
    }
    Ok(())
}

/// Gives somebody access.
fn add_slot(process: &mut Process<'_>) -> Outcome {
    if process.host.passphrase == WRITER {
        return Ok(());
    }
    let text = format!("{ADDED} {:016x}", process.rng.next_u64());
    let role = if process.rng.below(2) == 0 { Role::Full } else { Role::Write };
    let unlock = passphrase(&text);
    let protection = Protection { unlock: &unlock, argon2: cheap() };
    let added = slots::add(&mut process.repository, role, &text, &protection);
    let id = added.as_ref().ok().copied();
    process.history.state().slots.insert(text, Slot { id, removed: Taken::No });
    added.map(drop)
}

/// Takes somebody's access away: a slot that was added, or the one that only writes.
fn remove_slot(process: &mut Process<'_>) -> Outcome {
    if process.host.passphrase == WRITER {
        return Ok(());
    }
    let removable: Vec<(String, _)> = {
        let state = process.history.state();
        let removable = |text: &String| text == WRITER || text.starts_with(ADDED);
        let slots = state.slots.iter().filter(|(text, _)| removable(text));
        slots.filter_map(|(text, slot)| Some((text.clone(), slot.id?))).collect()
    };
    if removable.is_empty() {
        return Ok(());
    }
    let chosen = process.rng.below(removable.len());
    let Some((text, id)) = removable.get(chosen) else { return Ok(()) };
    let note = |taken: Taken| {
        if let Some(slot) = process.history.state().slots.get_mut(text) {
            slot.removed = slot.removed.max(taken);
        }
    };
    note(Taken::Perhaps);
    slots::remove(&mut process.repository, *id)?;
    note(Taken::Yes);
    Ok(())
}
