//! Reading contents in order, many blobs at a time.
//!
//! Chunks form batches across the borders of contents: many small files share one, a large file
//! has many. A batch's requests begin when it is full, a worker decodes it, and the caller's thread
//! hands the batches on in their order. A fixed number of them is under way: this bounds memory,
//! and whoever is slow makes the others wait.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use crossbeam_channel::{Receiver, bounded};
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Content, ContentRef};
use rayon::ScopeFifo;

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::manifest::walk::ContentWalk;
use crate::read::Reader;
use crate::read::batch::{MOST_CHUNKS, PendingBlobs, check_length};

/// What takes items, each with its bytes, in the order in which they were pushed.
pub trait StreamSink {
    /// What is known of a content before its bytes come.
    type Item;

    /// About how much memory an item takes until its turn has come, in bytes.
    fn weight(item: &Self::Item) -> u64;

    /// An item begins: the bytes that follow are its own.
    fn begin(&mut self, item: Self::Item) -> io::Result<()>;

    /// The next bytes of the item.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The item has got all its bytes.
    fn end(&mut self) -> io::Result<()>;
}

/// What a sink is told.
enum Piece<T> {
    Begin(T),
    Chunk(ContentRef),
    End,
}

type Decoded = Result<VecDeque<Bytes>>;

/// A batch whose chunks are being decoded.
struct Batch<T> {
    pieces: Vec<Piece<T>>,
    decoded: Receiver<Decoded>,
}

/// Takes items with their contents, and hands them to the sink as they come.
pub struct StreamFeed<'f, 'scope, 'a, S: StreamSink> {
    reader: &'scope Reader<'a>,
    scope: &'f ScopeFifo<'scope>,
    sink: &'f mut S,
    window: VecDeque<Batch<S::Item>>,
    pieces: Vec<Piece<S::Item>>,
    bytes: u64,
}

impl<'a> Reader<'a> {
    /// Hands what `feed` pushes to a sink. When it returns `Ok`, the sink has got all of it.
    pub fn stream<S: StreamSink, T, E: From<RepositoryError>>(
        &self,
        sink: &mut S,
        feed: impl FnOnce(&mut StreamFeed<'_, '_, 'a, S>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        rayon::in_place_scope_fifo(|scope| {
            let (window, pieces) = (VecDeque::new(), Vec::new());
            let mut stream = StreamFeed { reader: self, scope, sink, window, pieces, bytes: 0 };
            let fed = feed(&mut stream)?;
            stream.finish()?;
            Ok(fed)
        })
    }

    /// Writes a content of so many bytes, checked, in order.
    pub fn copy_content(&self, content: &Content, length: u64, sink: &mut dyn Write) -> Result<()> {
        self.stream(&mut Plain(sink), |stream| stream.push((), content, length))
    }
}

/// Bytes and nothing else.
struct Plain<'a>(&'a mut dyn Write);

impl StreamSink for Plain<'_> {
    type Item = ();

    fn weight((): &()) -> u64 {
        0
    }

    fn begin(&mut self, (): ()) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: StreamSink> StreamFeed<'_, '_, '_, S> {
    /// An item and its content of so many bytes.
    pub fn push(&mut self, item: S::Item, content: &Content, length: u64) -> Result<()> {
        self.bytes += S::weight(&item);
        self.add(Piece::Begin(item))?;
        let mut walk = ContentWalk::new(content);
        let mut position = 0u64;
        while let Some(chunk) = walk.next(self.reader)? {
            position = position.saturating_add(chunk.length);
            if position > length {
                break;
            }
            self.bytes += chunk.length;
            self.add(Piece::Chunk(chunk))?;
        }
        if position != length {
            return Err(RepositoryError::Damaged {
                object: "a file's content list".into(),
                why: format!("it has not the {length} bytes that the file's entry says"),
            });
        }
        self.add(Piece::End)
    }

    fn add(&mut self, piece: Piece<S::Item>) -> Result<()> {
        self.pieces.push(piece);
        if self.bytes >= self.reader.batching().bytes || self.pieces.len() >= MOST_CHUNKS {
            self.flush()?;
        }
        Ok(())
    }

    /// Begins to fetch what has gathered.
    fn flush(&mut self) -> Result<()> {
        if self.window.len() == self.reader.batching().window {
            self.deliver()?;
        }
        let pieces = std::mem::take(&mut self.pieces);
        self.bytes = 0;
        let chunks: Vec<ContentRef> = pieces
            .iter()
            .filter_map(|piece| if let Piece::Chunk(chunk) = piece { Some(*chunk) } else { None })
            .collect();
        let ids: Vec<BlobId> = chunks.iter().map(|chunk| chunk.id).collect();
        let blobs = self.reader.begin(BlobKind::Data, &ids)?;
        let (done, decoded) = bounded(1);
        self.window.push_back(Batch { pieces, decoded });
        let reader = self.reader;
        reader.repository.spawn(self.scope, move || {
            // The caller is gone only after another error.
            let _ = done.send(decode(reader, &chunks, blobs));
        });
        Ok(())
    }

    /// Hands the oldest batch to the sink.
    fn deliver(&mut self) -> Result<()> {
        let Some(Batch { pieces, decoded }) = self.window.pop_front() else {
            return Ok(());
        };
        let panicked = Err(RepositoryError::Internal("a worker panicked"));
        let mut chunks = decoded.recv().unwrap_or(panicked)?;
        for piece in pieces {
            let taken = match piece {
                Piece::Begin(item) => self.sink.begin(item),
                Piece::Chunk(_) => {
                    let chunk = chunks.pop_front().unwrap_or_default();
                    Progress::add(&self.reader.progress.bytes, chunk.len() as u64);
                    self.sink.bytes(&chunk)
                }
                Piece::End => self.sink.end(),
            };
            taken.map_err(|source| {
                let what = "cannot write what is restored".into();
                RepositoryError::Stream { what, source }
            })?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        while !self.window.is_empty() {
            self.deliver()?;
        }
        Ok(())
    }
}

fn decode<'a>(reader: &Reader<'a>, chunks: &[ContentRef], blobs: PendingBlobs<'a>) -> Decoded {
    let mut blobs = blobs.wait(reader)?;
    let decoded =
        |chunk: &ContentRef| check_length(&chunk.id, chunk.length, blobs.blob(&chunk.id)?);
    chunks.iter().map(decoded).collect()
}
