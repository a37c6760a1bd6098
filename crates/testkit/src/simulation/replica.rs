//! Replicators, and what must hold of the replica at every moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_format::SessionId;
use nightjar_repository::replicate::{self, Source};
use nightjar_repository::snapshots;
use nightjar_repository::{Environment, Found, Progress, Repository, RepositoryError};
use nightjar_storage::Store;

use crate::environment::World;
use crate::fixture::passphrase;
use crate::model::verify_all;
use crate::simulation::base::{FULL, SERIES};
use crate::simulation::check::{open_alone, restores, said};
use crate::simulation::history::History;
use crate::simulation::process::{Process, Stage};

/// Copies what the replica lacks, of all series or of one, with a key or without, and looks at the
/// replica, however that went.
pub(super) fn replicate(process: &mut Process<'_>) -> Result<(), RepositoryError> {
    let progress = Progress::default();
    let way = process.rng.below(4);
    let repository = &process.repository;
    let copy = |source: Source<'_>| replicate::replicate(source, &process.target, &progress);
    let outcome = match SERIES.get(way) {
        Some(series) => copy(Source::OfSeries(repository, &|name| name == *series)),
        None if way == SERIES.len() => copy(Source::Opened(repository)),
        None => Found::look(repository.store().clone())
            .and_then(|found| copy(Source::Sealed(&found, &process.environment))),
    };
    let done = outcome.is_ok();
    if let Ok(report) = &outcome
        && !report.damaged.is_empty()
    {
        process.breach(&format!("a sound repository is said to be damaged: {report:?}"));
    }
    if let Err(why) = look(process.stage, process, done) {
        process.breach(&format!("the replica: {why}"));
    }
    outcome.map(drop)
}

/// From a machine that reads nothing but the replica.
fn look(stage: &Stage, process: &Process<'_>, done: bool) -> Result<(), String> {
    let store = Store::over(stage.replica.clone(), "memory://replica");
    let environment = Environment {
        cache_dir: process.host.cache.join("replica"),
        one_at_a_time: true,
        ..process.environment.clone()
    };
    use RepositoryError as E;
    match Repository::open(store, &passphrase(FULL[0]), environment) {
        Ok(repository) => is_whole(&repository, process.history).map(drop),
        Err(E::NoRepository { .. } | E::UnfinishedReplica { .. }) if !done => Ok(()),
        Err(error) => Err(format!("it does not open: {error}")),
    }
}

/// Everything that is listed restores bit for bit.
fn is_whole(repository: &Repository, history: &History) -> Result<BTreeSet<SessionId>, String> {
    let list = snapshots::list(repository).map_err(said("the list"))?;
    if !list.findings.is_empty() {
        return Err(format!("the list: {:?}", list.findings));
    }
    restores(repository, history, &list.snapshots)?;
    Ok(list.snapshots.iter().map(|info| info.id).collect())
}

/// When nothing fails any more, one pass makes it as good as its source.
pub(super) fn check_in_the_end(stage: &Stage, store: &Store, world: &World) -> Result<(), String> {
    let cache = world.fresh_cache();
    let source = open_alone(store, world, &cache, FULL[0]).map_err(said("it does not open"))?;
    let target = Store::over(Arc::clone(&stage.replica) as _, "memory://replica");
    let report = replicate::replicate(Source::Opened(&source), &target, &Progress::default());
    let report = report.map_err(said("replication"))?;
    if !report.damaged.is_empty() {
        return Err(format!("replication: {:?}", report.damaged));
    }
    let again = replicate::replicate(Source::Opened(&source), &target, &Progress::default());
    let again = again.map_err(said("replication of what is there"))?;
    if again.total().objects > 0 {
        return Err(format!("was copied twice: {again:?}"));
    }
    let replica = open_alone(&target, world, &world.fresh_cache(), FULL[0]);
    let replica = replica.map_err(said("the replica does not open"))?;
    let there = is_whole(&replica, &stage.history)?;
    let list = snapshots::list(&source).map_err(said("the list"))?;
    let expected: BTreeSet<SessionId> = list.snapshots.iter().map(|info| info.id).collect();
    if there != expected {
        return Err(format!("the replica has {there:?}, its source {expected:?}"));
    }
    let report = verify_all(&replica).map_err(said("verify of the replica"))?;
    match report.findings.is_empty() {
        true => Ok(()),
        false => Err(format!("verify of the replica: {:#?}", report.findings)),
    }
}
