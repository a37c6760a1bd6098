//! Reading a whole content list in order, many blobs at a time.
//!
//! The list is walked lazily. Consecutive chunks form a batch, whose requests begin at once.
//! Batches are decoded by the workers and written in order by the caller, with a fixed number of
//! batches under way: this bounds memory, and whoever is slow makes the others wait.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Content, ContentRef};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::manifest::walk::ContentWalk;
use crate::read::Reader;
use crate::read::batch::{BATCH_BYTES, MOST_CHUNKS, PendingBlobs, WINDOW, check_length};

/// Chunks that are fetched and decoded together.
struct Batch<'a> {
    chunks: Vec<ContentRef>,
    blobs: PendingBlobs<'a>,
}

type Decoded = Result<Vec<Bytes>>;

impl<'a> Reader<'a> {
    /// Writes all bytes of a content, checked, in order.
    pub fn copy_content(&self, content: &Content, sink: &mut dyn Write) -> Result<u64> {
        let mut walk = ContentWalk::new(content);
        let mut written = 0;
        rayon::in_place_scope_fifo(|scope| -> Result<()> {
            let mut window: VecDeque<Receiver<Decoded>> = VecDeque::new();
            loop {
                while window.len() < WINDOW {
                    let Some(batch) = self.next_batch(&mut walk)? else {
                        break;
                    };
                    let (done, decoded) = bounded(1);
                    window.push_back(decoded);
                    scope.spawn_fifo(move |_| {
                        // The caller is gone only after another error.
                        let _ = done.send(self.decode_batch(batch));
                    });
                }
                let Some(oldest) = window.pop_front() else {
                    return Ok(());
                };
                let chunks =
                    oldest.recv().unwrap_or(Err(RepositoryError::Internal("a worker panicked")))?;
                for chunk in chunks {
                    sink.write_all(&chunk).map_err(|source| RepositoryError::Stream {
                        what: "cannot write what is restored".into(),
                        source,
                    })?;
                    written += chunk.len() as u64;
                    Progress::add(&self.progress.bytes, chunk.len() as u64);
                }
            }
        })?;
        Ok(written)
    }

    /// Takes the next chunks off the list and begins to fetch them.
    fn next_batch(&self, walk: &mut ContentWalk) -> Result<Option<Batch<'a>>> {
        let mut chunks = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES && chunks.len() < MOST_CHUNKS {
            let Some(chunk) = walk.next(self)? else { break };
            bytes += chunk.length;
            chunks.push(chunk);
        }
        if chunks.is_empty() {
            return Ok(None);
        }
        let ids: Vec<BlobId> = chunks.iter().map(|chunk| chunk.id).collect();
        let blobs = self.begin(BlobKind::Data, &ids)?;
        Ok(Some(Batch { chunks, blobs }))
    }

    fn decode_batch(&self, batch: Batch<'a>) -> Decoded {
        let mut blobs = batch.blobs.wait(self)?;
        batch
            .chunks
            .iter()
            .map(|chunk| check_length(&chunk.id, chunk.length, blobs.blob(&chunk.id)?))
            .collect()
    }
}
