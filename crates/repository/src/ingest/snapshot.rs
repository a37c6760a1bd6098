//! One run, from announcement to commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::unbounded;
use nightjar_codec::digest;
use nightjar_format::IndexId;
use nightjar_format::object::ObjectName;
use nightjar_format::snapshot::{Counts, Label, Previous, Snapshot, Source};

use crate::bundles;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::index::sync::{self, Copies, open_private};
use crate::ingest::assembler::{Assembled, Assembler};
use crate::ingest::delta::{DeltaEncoder, DeltaParameters};
use crate::ingest::encoder::Encoder;
use crate::ingest::feeder::{Feeder, StopSignal};
use crate::ingest::pack_writer::PackWriter;
use crate::ingest::planner::Planner;
use crate::ingest::previous::PreviousTree;
use crate::packs::copies::PackCopies;
use crate::packs::{Uploader, stored_sizes};
use crate::read::Reader;
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshots::{self, SnapshotInfo};

/// What to call a run, and how to store it.
#[derive(Debug, Clone)]
pub struct SnapshotRequest {
    /// The name under which successive snapshots stand.
    pub series: String,
    /// Sorted by key, no key twice.
    pub labels: Vec<Label>,
    /// zstd's level.
    pub level: i32,
    /// Bounds on deltas; none are made without.
    pub delta: Option<DeltaParameters>,
    /// What copies of packs may take on this machine, in bytes.
    pub cache_bytes: u64,
}

/// What the source says when everything was fed.
#[derive(Debug)]
pub struct Fed {
    /// How it was read.
    pub source: Source,
    /// Files that could not be read.
    pub unreadable: u64,
}

/// Stores what `feed` feeds and commits a snapshot of it.
///
/// If `feed` fails there is no snapshot, and its error is returned.
pub fn create_snapshot<E: From<RepositoryError>>(
    repository: &Repository,
    request: &SnapshotRequest,
    progress: &Progress,
    feed: impl FnOnce(&mut Feeder<'_>) -> std::result::Result<Fed, E>,
) -> std::result::Result<SnapshotInfo, E> {
    let started = repository.environment.clock.now();
    let mut session = Session::begin(repository)?;
    let stored = store(repository, &mut session, request, progress, feed);
    let Stored { fed, assembled, previous, applied } = match stored {
        Ok(stored) => stored,
        Err(error) => {
            session.abandon();
            return Err(error);
        }
    };
    let environment = &repository.environment;
    let snapshot = Snapshot {
        series: request.series.clone(),
        started,
        finished: environment.clock.now(),
        host: environment.host.clone(),
        user: environment.user.clone(),
        program: environment.program.clone(),
        labels: request.labels.clone(),
        source: fed.source,
        counts: Counts { unreadable: fed.unreadable, ..assembled.counts },
        root: assembled.root,
        previous,
        original: None,
        incarnation: session.ledger().head.incarnation,
    };
    let info = commit(repository, session, snapshot)?;
    // Where nothing is new, this is left to another run: few requests are worth more than order.
    if info.snapshot.counts.chunks_new > 0
        && let Err(error) = bundles::make(repository, &applied)
    {
        tracing::debug!("no bundle was made: {error}");
    }
    // The ledger is others' doing, and no other slot's bundles of it serve this one.
    bundles::make_of_records(repository);
    Ok(info)
}

/// What a run stored and what it found.
struct Stored {
    fed: Fed,
    assembled: Assembled,
    previous: Option<Previous>,
    /// Index objects that were there when it began.
    applied: Vec<IndexId>,
}

fn store<E: From<RepositoryError>>(
    repository: &Repository,
    session: &mut Session<'_>,
    request: &SnapshotRequest,
    progress: &Progress,
    feed: impl FnOnce(&mut Feeder<'_>) -> std::result::Result<Fed, E>,
) -> std::result::Result<Stored, E> {
    let index = open_for_writing(repository, session)?;
    let applied = index.applied()?;
    let list = snapshots::list_under(repository, session.ledger())?;
    for finding in &list.findings {
        tracing::warn!("{finding}");
    }
    let previous = list.previous_of(&request.series);
    let index = Arc::new(index);
    let last = previous.and_then(|last| list.snapshots.iter().find(|info| info.id == last.id));
    let last = last.map(|info| &info.snapshot);
    let expected = last.map_or(0, |last| last.counts.bytes_read);
    progress.expected.store(expected, Ordering::Relaxed);
    let ran = run(repository, session, Arc::clone(&index), last, request, progress, feed);
    if index.is_damaged() {
        sync::discard(repository)?;
    }
    let (fed, assembled) = ran?;
    Ok(Stored { fed, assembled, previous, applied })
}

/// A private copy of the local index that obeys the session's ledger. A damaged one is made anew:
/// nothing was read from the source yet.
fn open_for_writing(repository: &Repository, session: &Session<'_>) -> Result<LocalIndex> {
    let open = || {
        let (mut index, _) = open_private(repository, Copies::Welcome)?;
        let stored = stored_sizes(repository)?;
        for id in index.close_packs(&session.ledger().state, &stored)? {
            let name = ObjectName::Pack(id);
            tracing::warn!("{name} is not in the store; what it held is stored again");
        }
        Ok(index)
    };
    match open() {
        Err(RepositoryError::LocalIndex(why)) => {
            tracing::warn!("the local index failed ({why}); making it anew");
            sync::discard(repository)?;
            open()
        }
        outcome => outcome,
    }
}

fn run<E: From<RepositoryError>>(
    repository: &Repository,
    session: &mut Session<'_>,
    index: Arc<LocalIndex>,
    previous: Option<&Snapshot>,
    request: &SnapshotRequest,
    progress: &Progress,
    feed: impl FnOnce(&mut Feeder<'_>) -> std::result::Result<Fed, E>,
) -> std::result::Result<(Fed, Assembled), E> {
    let read_back = Progress::default();
    let copies = PackCopies::open(repository, request.cache_bytes);
    let copies = copies.as_ref().filter(|_| request.delta.is_some());
    let reader = Reader::over(repository, Arc::clone(&index), copies, &read_back);
    let delta =
        request.delta.map(|parameters| DeltaEncoder::new(&reader, parameters, request.level));
    let encoder = Encoder {
        index: &index,
        identifier: repository.identifier(),
        level: request.level,
        delta: delta.as_ref(),
        sketcher: repository.sketcher(),
    };
    let chunker = repository.chunker()?;
    let (to_assembler, fed) = unbounded();
    let stop = StopSignal::new();
    thread::scope(|scope| {
        let uploader = Uploader::start(scope, repository, copies, progress);
        let writer = PackWriter::new(
            repository,
            &index,
            session.id(),
            request.level,
            delta.as_ref(),
            uploader,
        );
        let planner = Planner::new(delta.as_ref());
        let assembler = Assembler::new(&encoder, planner, writer, session);
        let stopped = stop.clone();
        let assembling = scope.spawn(move || {
            // Whoever waits for the source must hear of a panic too.
            let outcome = catch_unwind(AssertUnwindSafe(|| assembler.run(&fed)))
                .unwrap_or(Err(RepositoryError::Internal("the assembler panicked")));
            if outcome.is_err() {
                stopped.set();
            }
            outcome
        });
        let previous = PreviousTree::new(&reader, previous, request.delta.is_some());
        let mut feeder = Feeder::new(chunker, stop, to_assembler, progress, previous);
        let fed = feed(&mut feeder);
        let fed = match fed {
            Ok(fed) => feeder.finish().map(|()| fed).map_err(E::from),
            Err(error) => {
                drop(feeder);
                Err(error)
            }
        };
        let assembled =
            assembling.join().unwrap_or(Err(RepositoryError::Internal("the assembler panicked")));
        match (fed, assembled) {
            (Ok(fed), Ok(Some(mut assembled))) => {
                assembled.counts.bytes_read_back = read_back.stored.load(Ordering::Relaxed);
                // Copies are a cache: what cannot be stamped goes sooner.
                if let Some(copies) = copies
                    && let Ok(used) = index.used_packs()
                {
                    copies.stamp(|id| used.contains(id));
                }
                Ok((fed, assembled))
            }
            // If the pipeline stopped first, the feeder only says that it did.
            (_, Err(error)) => Err(error.into()),
            (Err(error), Ok(_)) => Err(error),
            (Ok(_), Ok(None)) => Err(RepositoryError::Internal("the end was lost").into()),
        }
    })
}

/// Commits, with the object's own length counted among the bytes added.
pub(crate) fn commit(
    repository: &Repository,
    session: Session<'_>,
    mut snapshot: Snapshot,
) -> Result<SnapshotInfo> {
    let id = session.id();
    snapshot.counts.bytes_added += session.sealed_len(&snapshot)?;
    let object = session.commit(snapshot.clone())?;
    let name = ObjectName::Snapshot(id);
    repository.cache.put(&name, &object);
    Ok(SnapshotInfo {
        id,
        digest: digest::hash(&object),
        signer: repository.keychain.slot(),
        role: repository.keychain.role(),
        stored: repository.environment.clock.now(),
        snapshot,
        holds: Vec::new(),
        forgotten: false,
        was_copied: false,
    })
}
