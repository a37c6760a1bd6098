//! What must hold when all actors are done and nothing fails any more.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use nightjar_format::SessionId;
use nightjar_format::object::ObjectName;
use nightjar_repository::gc::{self, Bounds, GcRequest, Swept};
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::{Environment, Progress, Repository, RepositoryError, ledger};
use nightjar_storage::Store;

use crate::environment::World;
use crate::fixture::{back_up_as, contents, passphrase, request};
use crate::generate::dump;
use crate::model::verify_all;
use crate::simulation::base::{FULL, SERIES};
use crate::simulation::history::{History, Slot, Taken};
use crate::simulation::work::ADDED;

/// Looks at what is left, from a machine that has never seen it.
pub(super) fn check(store: &Store, world: &World, history: &History) -> Result<(), String> {
    let cache = world.fresh_cache();
    let open_with = |text: &str| open_alone(store, world, &cache, text);
    let repository = open_with(FULL[0]).map_err(said("it does not open"))?;
    whole_ledger(&repository)?;
    let report = verify_all(&repository).map_err(said("verify"))?;
    if !report.findings.is_empty() {
        return Err(format!("verify: {:#?}", report.findings));
    }
    known_names(store)?;
    slots(history, &open_with)?;
    listed(&repository, history)?;
    next_night(&repository, history)?;
    let there = listed(&repository, history)?;
    restores(&repository, history, &there)?;
    collected(&repository, history)
}

/// Looks once more when the last late writes have come, which may settle what was open, and
/// nothing else.
pub(super) fn check_again(store: &Store, world: &World, history: &History) -> Result<(), String> {
    let cache = world.fresh_cache();
    let repository = open_alone(store, world, &cache, FULL[0]).map_err(said("it does not open"))?;
    whole_ledger(&repository)?;
    let there = listed(&repository, history)?;
    restores(&repository, history, &there)?;
    collected(&repository, history)
}

/// Opens the repository so that the same store gives the same answers in the same order.
pub(super) fn open_alone(
    store: &Store,
    world: &World,
    cache: &Path,
    text: &str,
) -> Result<Repository, RepositoryError> {
    let environment = Environment { one_at_a_time: true, ..world.environment(cache) };
    Repository::open(store.clone(), &passphrase(text), environment)
}

pub(super) fn said(what: &str) -> impl FnOnce(RepositoryError) -> String {
    move |error| format!("{what}: {error}")
}

fn whole_ledger(repository: &Repository) -> Result<(), String> {
    let ledger = ledger::read(repository).map_err(said("the ledger"))?;
    let numbers = (0..).zip(&ledger.records);
    let in_order = numbers.into_iter().all(|(number, (record, _))| record.number == number);
    if !in_order || !ledger.findings.is_empty() || !ledger.broken.is_empty() {
        return Err(format!("the ledger: {:?} {:?}", ledger.findings, ledger.broken));
    }
    Ok(())
}

/// The snapshots that are there are those that were reported, and no others but those that were
/// left open.
fn listed(repository: &Repository, history: &History) -> Result<Vec<SnapshotInfo>, String> {
    let list = snapshots::list(repository).map_err(said("the list"))?;
    if !list.findings.is_empty() {
        return Err(format!("the list: {:?}", list.findings));
    }
    let listed: BTreeSet<SessionId> = list.snapshots.iter().map(|info| info.id).collect();
    let state = history.state();
    for (id, run) in &state.runs {
        if run.must_be_there() && !listed.contains(id) {
            return Err(format!("snapshot {id} is lost: {:?}", run.reported));
        }
        if !run.may_be_there() && listed.contains(id) {
            let (reported, forgotten) = (run.reported, run.forgotten);
            return Err(format!("snapshot {id} is there: {reported:?}, forgotten {forgotten:?}"));
        }
    }
    match listed.iter().find(|id| !state.runs.contains_key(id)) {
        Some(id) => Err(format!("snapshot {id} was never made")),
        None => Ok(list.snapshots),
    }
}

pub(super) fn restores(
    repository: &Repository,
    history: &History,
    listed: &[SnapshotInfo],
) -> Result<(), String> {
    let progress = Progress::default();
    let reader = Reader::open(repository, &progress).map_err(said("the local index"))?;
    for info in listed {
        let expected = history.state().runs.get(&info.id).map(|run| Arc::clone(&run.bytes));
        let restored = contents(&reader, info);
        let restored = restored.map_err(said(&format!("snapshot {}", info.id)))?;
        if expected.is_none_or(|expected| *expected != restored) {
            return Err(format!("snapshot {} restores other bytes", info.id));
        }
    }
    Ok(())
}

/// A collector that waits for nobody leaves nothing that is not needed, and everything that is.
fn collected(repository: &Repository, history: &History) -> Result<(), String> {
    let bounds = Bounds { unused_permille: 0, ..Bounds::default() };
    let request = GcRequest { bounds, session_timeout: 0, ..GcRequest::default() };
    let collect = || {
        let report = gc::collect(repository, &request, &Progress::default());
        report.map_err(said("the last collection"))
    };
    collect()?;
    let again = collect()?;
    let nothing = again.rounds == 0 && again.swept == Swept::default();
    if !nothing || again.plan.unused_bytes > 0 || !again.waiting.is_empty() {
        return Err(format!("something was left to collect: {again:?}"));
    }
    let store = repository.store();
    if let Some(left) = store.list("sessions").map_err(|error| error.to_string())?.first() {
        return Err(format!("{} is left", left.name));
    }
    let report = verify_all(repository).map_err(said("verify"))?;
    if !report.findings.is_empty() {
        return Err(format!("verify after the collection: {:#?}", report.findings));
    }
    let there = listed(repository, history)?;
    restores(repository, history, &there)
}

fn known_names(store: &Store) -> Result<(), String> {
    let all = store.list("").map_err(|error| error.to_string())?;
    match all.iter().find(|info| ObjectName::parse(&info.name).is_none()) {
        Some(info) => Err(format!("{} is no object of a repository", info.name)),
        None => Ok(()),
    }
}

/// Whoever was given access has it, and whoever lost it has none.
fn slots(
    history: &History,
    open_with: &impl Fn(&str) -> Result<Repository, RepositoryError>,
) -> Result<(), String> {
    let state = history.state();
    let touched = |text: &str, slot: &Slot| slot.removed > Taken::No || text.starts_with(ADDED);
    for (text, slot) in state.slots.iter().filter(|(text, slot)| touched(text, slot)) {
        match (open_with(text), slot.removed) {
            (Ok(_), Taken::Yes) => return Err(format!("the removed slot {text:?} opens")),
            (Err(error), Taken::No) if slot.id.is_some() => {
                return Err(format!("the slot {text:?} does not open: {error}"));
            }
            (Err(error), _) if error.is_damage() => {
                return Err(format!("the slot {text:?}: {error}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The next backup succeeds; most of it is there already.
fn next_night(repository: &Repository, history: &History) -> Result<(), String> {
    let [orders, users] = SERIES.map(|series| history.state().newest.get(series).cloned());
    let [orders, users] = [orders, users].map(Option::unwrap_or_default);
    let bytes = [orders.as_slice(), users.as_slice(), dump(99, 5_000).as_slice()].concat();
    let info = back_up_as(repository, &request("both"), &mut bytes.as_slice());
    history.made(info.map_err(said("the next backup"))?.id, &bytes);
    Ok(())
}
