//! Reading a whole content list in order, many blobs at a time.
//!
//! The list is walked lazily. Consecutive chunks form a batch; within it, chunks that lie close
//! together in one pack are fetched with one request, begun at once. Batches are decoded by the
//! workers and written in order by the caller, with a fixed number of batches under way: this
//! bounds memory, and whoever is slow makes the others wait.

use std::collections::VecDeque;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use nightjar_codec::pack::PackCipher;
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Content, ContentRef};
use nightjar_format::object::ObjectName;
use nightjar_storage::Pending;

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::Location;
use crate::manifest::walk::ContentWalk;
use crate::read::{Effort, Reader, SealedBlob};

/// Plaintext in a batch, in bytes, unless one chunk has more.
const BATCH_BYTES: u64 = 2 << 20;
/// Batches under way.
const WINDOW: usize = 12;
/// Bytes between two chunks that are fetched rather than asking twice.
const GAP_BYTES: u64 = 64 << 10;

/// Chunks that are fetched and decoded together.
struct Batch {
    chunks: Vec<(ContentRef, Option<Location>)>,
    fetches: Vec<Fetch>,
}

/// A pack that chunks of a batch lie in.
struct OpenedPack {
    ordinal: u32,
    name: ObjectName,
    cipher: Arc<PackCipher>,
}

/// One request: a stretch of a pack that holds several of the batch's chunks.
struct Fetch {
    pack: OpenedPack,
    range: Range<u64>,
    answer: Pending<Bytes>,
}

/// Its answer.
struct Fetched {
    pack: OpenedPack,
    range: Range<u64>,
    bytes: Bytes,
}

impl Fetched {
    /// The sealed bytes of the blob at a location, if they are in it.
    fn sealed(&self, at: &Location) -> Option<&[u8]> {
        let range = at.range();
        let holds = self.pack.ordinal == at.pack
            && self.range.start <= range.start
            && range.end <= self.range.end;
        let from = usize::try_from(range.start.checked_sub(self.range.start)?).ok()?;
        holds.then(|| self.bytes.get(from..from + at.stored_len as usize))?
    }
}

type Decoded = Result<Vec<Vec<u8>>>;

impl Reader<'_> {
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
    fn next_batch(&self, walk: &mut ContentWalk) -> Result<Option<Batch>> {
        let mut chunks = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(chunk) = walk.next(self)? else { break };
            let location = self.index.locations(&chunk.id)?.into_iter().next();
            bytes += chunk.length;
            chunks.push((chunk, location));
        }
        if chunks.is_empty() {
            return Ok(None);
        }
        let fetches = self.begin_fetches(&chunks)?;
        Ok(Some(Batch { chunks, fetches }))
    }

    fn begin_fetches(&self, chunks: &[(ContentRef, Option<Location>)]) -> Result<Vec<Fetch>> {
        let mut locations: Vec<Location> = chunks.iter().filter_map(|(_, at)| *at).collect();
        locations.sort_by_key(|location| (location.pack, location.offset));
        let mut fetches = Vec::new();
        for stretch in locations.chunk_by(|a, b| {
            a.pack == b.pack && b.range().start <= a.range().end.saturating_add(GAP_BYTES)
        }) {
            let (Some(first), Some(last)) = (stretch.first(), stretch.last()) else {
                continue;
            };
            // A pack that cannot be opened is reported chunk by chunk, if no other place helps.
            let (name, cipher) = match self.open_pack(BlobKind::Data, first) {
                Ok(opened) => opened,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            let range = first.range().start..last.range().end;
            let answer = self.repository.store.start_get_range(name.to_string(), range.clone());
            let pack = OpenedPack { ordinal: first.pack, name, cipher };
            fetches.push(Fetch { pack, range, answer });
        }
        Ok(fetches)
    }

    fn decode_batch(&self, batch: Batch) -> Decoded {
        let mut fetched = Vec::new();
        for Fetch { pack, range, answer } in batch.fetches {
            match answer.wait().map_err(RepositoryError::from) {
                Ok(bytes) => {
                    Progress::add(&self.progress.stored, bytes.len() as u64);
                    fetched.push(Fetched { pack, range, bytes });
                }
                // Tried again blob by blob below, from every place there is.
                Err(error) if error.is_damage() => {}
                Err(error) => return Err(error),
            }
        }
        let mut scratch = Vec::new();
        batch
            .chunks
            .iter()
            .map(|(chunk, location)| {
                let found = location.and_then(|at| {
                    fetched.iter().find_map(|it| Some((at, &it.pack, it.sealed(&at)?)))
                });
                let plaintext = match found {
                    Some((at, pack, sealed)) => {
                        scratch.clear();
                        scratch.extend_from_slice(sealed);
                        let OpenedPack { name, cipher, .. } = pack;
                        let sealed = SealedBlob { id: chunk.id, at, name, cipher };
                        self.decode(BlobKind::Data, &sealed, &mut scratch, &mut Effort::new())
                    }
                    None => self.blob(BlobKind::Data, &chunk.id),
                };
                let plaintext = match plaintext {
                    Err(error) if error.is_damage() => self.blob(BlobKind::Data, &chunk.id)?,
                    other => other?,
                };
                check_length(&chunk.id, chunk.length, plaintext)
            })
            .collect()
    }
}

fn check_length(id: &BlobId, expected: u64, plaintext: Vec<u8>) -> Result<Vec<u8>> {
    if plaintext.len() as u64 == expected {
        Ok(plaintext)
    } else {
        let why = format!("it has {} bytes, its list says {expected}", plaintext.len());
        Err(RepositoryError::LostBlob { id: *id, why })
    }
}
