//! One snapshot in another's place, from announcement to commit.

use std::sync::Arc;
use std::thread;

use nightjar_format::BlobId;
use nightjar_format::snapshot::Snapshot;

use super::tree::Rebuild;
use super::{LeavesOut, Planned, gone, kept, require_quiet};
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::index::sync::{Copies, open_private};
use crate::ingest::{PackWriter, commit};
use crate::manifest::NodeSink;
use crate::packs::{Uploader, stored_sizes};
use crate::read::Reader;
use crate::repository::Repository;
use crate::session::Session;
use crate::snapshots::SnapshotInfo;

/// The level at which nodes are compressed.
const LEVEL: i32 = 3;

/// Makes and commits the snapshot that takes the place of a planned one.
pub(super) fn write(
    repository: &Repository,
    plan: &Planned,
    leaves_out: LeavesOut<'_>,
    progress: &Progress,
) -> Result<SnapshotInfo> {
    let mut session = Session::begin(repository)?;
    match store(repository, &mut session, plan, leaves_out, progress) {
        Ok(snapshot) => commit(repository, session, snapshot),
        Err(error) => {
            let fence = session.fence();
            let id = session.id();
            session.abandon();
            match fence {
                Ok(Some(reason)) => Err(RepositoryError::Fenced { session: id, reason }),
                _ => Err(error),
            }
        }
    }
}

/// Stores the nodes that are new.
fn store(
    repository: &Repository,
    session: &mut Session<'_>,
    plan: &Planned,
    leaves_out: LeavesOut<'_>,
    progress: &Progress,
) -> Result<Snapshot> {
    let state = session.ledger().state.clone();
    require_quiet(&state)?;
    if state.forgotten.contains(&plan.info.id) {
        return Err(gone(&plan.info));
    }
    let (mut index, _) = open_private(repository, Copies::Welcome)?;
    index.close_packs(&state, &stored_sizes(repository)?)?;
    let index = Arc::new(index);
    let reader = Reader::over(repository, Arc::clone(&index), None, progress);
    let rebuild = Rebuild { reader: &reader, leaves_out, touched: &plan.touched };
    let (root, bytes_added) = put(session, &index, &rebuild, plan.info.snapshot.root, progress)?;
    if root != plan.root {
        return Err(RepositoryError::Internal("a tree was made in two ways"));
    }
    let unusable = kept::unusable(&index, &state.retired)?;
    if !unusable.is_empty() {
        kept::require(&reader, &index, &unusable, plan)?;
    }
    let mut snapshot =
        plan.record(&repository.environment.program, session.ledger().head.incarnation);
    snapshot.counts.bytes_added = bytes_added;
    Ok(snapshot)
}

/// Makes the tree anew; returns its root and what that added to the store, when all of it is listed.
fn put(
    session: &mut Session<'_>,
    index: &LocalIndex,
    rebuild: &Rebuild<'_, '_>,
    root: BlobId,
    progress: &Progress,
) -> Result<(BlobId, u64)> {
    let repository = rebuild.reader.repository;
    thread::scope(|scope| {
        let uploader = Uploader::start(scope, repository, None, progress);
        let writer = PackWriter::new(repository, index, session.id(), LEVEL, None, uploader);
        let mut sink = Writing { writer, session };
        let root = rebuild.run(root, &mut sink)?;
        Ok((root, sink.writer.close()?.bytes_added))
    })
}

/// Stores nodes, and keeps the session alive meanwhile.
struct Writing<'s, 'r, 'w> {
    writer: PackWriter<'w>,
    session: &'s mut Session<'r>,
}

impl NodeSink for Writing<'_, '_, '_> {
    fn put_node(&mut self, plaintext: Vec<u8>, like: Option<BlobId>) -> Result<BlobId> {
        self.session.renew_if_due()?;
        self.writer.settle_some()?;
        self.writer.put_node(plaintext, like)
    }
}
