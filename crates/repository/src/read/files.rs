//! Reading many files at once, each chunk going to its own place.
//!
//! The caller pushes files in the order of the tree, which is about the order in which their chunks
//! lie in packs. Chunks form batches across the borders of files: many small files share one, a
//! large file has many. A batch's requests begin when it is full; a worker decodes it, and the same
//! worker hands each chunk to its file while it is warm. Nobody waits for an order: what is written
//! is written at a position.
//!
//! **What is under way** is a fixed number of batches: whoever is slow makes the caller wait, and
//! memory does not depend on the number of files.
//!
//! **A file is done** when the last of its pieces is: each piece holds its file, and whoever lets
//! the last hold go finishes it. A damaged chunk fails the files that it belongs to and no others;
//! what is no damage (the store cannot be reached) ends the run, and files under way are dropped
//! without a word: a piece that nobody dealt with leaves its file unfinished, whatever became of
//! the others.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{Content, ContentRef};
use rayon::ScopeFifo;

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::manifest::walk::ContentWalk;
use crate::read::Reader;
use crate::read::batch::{FetchedBlobs, MOST_CHUNKS, PendingBlobs, check_length};

/// Why a file did not get all its bytes.
#[derive(Debug)]
pub enum TargetFailure {
    /// What is stored of it is damaged.
    Damaged(RepositoryError),
    /// It did not take them.
    Write(io::Error),
}

/// What takes the bytes of one file.
pub trait Target: Send + Sync {
    /// Takes bytes that belong at a position of the content, in bytes. Called from several threads
    /// and in any order.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;

    /// It has got all of them, or will get no more. A target that is dropped without it belongs to
    /// a run that broke off.
    fn done(self: Box<Self>, outcome: std::result::Result<(), TargetFailure>);
}

/// A file on its way, held by each of its pieces.
struct Job {
    target: Box<dyn Target>,
    failure: OnceLock<TargetFailure>,
    /// Not all of its pieces were or will be dealt with.
    broken_off: AtomicBool,
}

impl Job {
    fn fail(&self, failure: TargetFailure) {
        // The first failure is the one that is told.
        let _ = self.failure.set(failure);
    }

    fn has_failed(&self) -> bool {
        self.failure.get().is_some()
    }

    fn finish(self) {
        if !self.broken_off.into_inner() {
            self.target.done(self.failure.into_inner().map_or(Ok(()), Err));
        }
    }
}

/// A hold of a file. If it is dropped instead of let go, the file is never finished.
struct Hold {
    job: Arc<Job>,
    dealt_with: bool,
}

impl Hold {
    fn new(target: Box<dyn Target>) -> Self {
        let (failure, broken_off) = (OnceLock::new(), AtomicBool::new(false));
        Self { job: Arc::new(Job { target, failure, broken_off }), dealt_with: false }
    }

    fn another(&self) -> Self {
        Self { job: Arc::clone(&self.job), dealt_with: false }
    }

    /// Finishes the file if no other hold is left. Whether it did.
    fn let_go(mut self) -> bool {
        self.dealt_with = true;
        let job = Arc::clone(&self.job);
        drop(self);
        Arc::into_inner(job).map(Job::finish).is_some()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.dealt_with {
            // Seen by whoever lets go last: this hold still counts.
            self.job.broken_off.store(true, Ordering::Relaxed);
        }
    }
}

/// A chunk of a file and where it belongs; without one, the file's end.
struct Piece {
    hold: Hold,
    position: u64,
    chunk: Option<ContentRef>,
}

/// Gives its place in the window back when it is dropped.
struct Ticket(Sender<()>);

impl Drop for Ticket {
    fn drop(&mut self) {
        // The window holds as many as there are.
        let _ = self.0.try_send(());
    }
}

/// Places for the batches that may be under way.
struct Window {
    free: Receiver<()>,
    give_back: Sender<()>,
}

impl Window {
    fn of(batches: usize) -> Self {
        let (give_back, free) = bounded(batches);
        let window = Self { free, give_back };
        (0..batches).for_each(|_| drop(Ticket(window.give_back.clone())));
        window
    }

    fn ticket(&self) -> Ticket {
        // Never disconnected: the window holds a sender itself.
        let _ = self.free.recv();
        Ticket(self.give_back.clone())
    }
}

/// Takes files, and hands their bytes out as they come.
pub struct FileFeed<'f, 'scope, 'a> {
    reader: &'scope Reader<'a>,
    scope: &'f ScopeFifo<'scope>,
    window: Window,
    pieces: Vec<Piece>,
    bytes: u64,
    /// What ended the run.
    fatal: Arc<Mutex<Option<RepositoryError>>>,
}

impl<'a> Reader<'a> {
    /// Restores the files that `feed` pushes. When it returns `Ok`, all of them are done.
    pub fn restore_files<T, E: From<RepositoryError> + Send>(
        &self,
        feed: impl FnOnce(&mut FileFeed<'_, '_, 'a>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        rayon::in_place_scope_fifo(|scope| {
            let mut files = FileFeed {
                reader: self,
                scope,
                window: Window::of(self.batching().window),
                pieces: Vec::new(),
                bytes: 0,
                fatal: Arc::default(),
            };
            let fed = feed(&mut files)?;
            files.drain()?;
            Ok(fed)
        })
    }
}

impl FileFeed<'_, '_, '_> {
    /// Restores a content of so many bytes.
    pub fn push(&mut self, content: &Content, length: u64, target: Box<dyn Target>) -> Result<()> {
        let hold = Hold::new(target);
        let mut walk = ContentWalk::new(content);
        let mut position = 0u64;
        while !hold.job.has_failed() {
            let chunk = match walk.next(self.reader) {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if error.is_damage() => {
                    hold.job.fail(TargetFailure::Damaged(error));
                    break;
                }
                Err(error) => return Err(error),
            };
            let end = position.saturating_add(chunk.length);
            if end > length {
                position = end;
                break;
            }
            self.add(Piece { hold: hold.another(), position, chunk: Some(chunk) })?;
            position = end;
        }
        if position != length {
            // Told only if nothing else has gone wrong before.
            hold.job.fail(TargetFailure::Damaged(RepositoryError::Damaged {
                object: "its content list".into(),
                why: format!("it has not the {length} bytes that the file's entry says"),
            }));
        }
        self.add(Piece { hold, position, chunk: None })
    }

    /// Waits until all files that were pushed are done.
    pub fn drain(&mut self) -> Result<()> {
        self.flush()?;
        let batches = self.reader.batching().window;
        let tickets: Vec<Ticket> = (0..batches).map(|_| self.window.ticket()).collect();
        drop(tickets);
        self.check()
    }

    fn add(&mut self, piece: Piece) -> Result<()> {
        self.bytes += piece.chunk.map_or(0, |chunk| chunk.length);
        self.pieces.push(piece);
        if self.bytes >= self.reader.batching().bytes || self.pieces.len() >= MOST_CHUNKS {
            self.flush()?;
        }
        Ok(())
    }

    /// Begins to fetch what has gathered.
    fn flush(&mut self) -> Result<()> {
        let ticket = self.window.ticket();
        self.check()?;
        let pieces = std::mem::take(&mut self.pieces);
        self.bytes = 0;
        let chunks = pieces.iter().filter_map(|piece| piece.chunk);
        let ids: Vec<BlobId> = chunks.map(|chunk| chunk.id).collect();
        let blobs = self.reader.begin(BlobKind::Data, &ids)?;
        let (reader, fatal) = (self.reader, Arc::clone(&self.fatal));
        reader.repository.spawn(self.scope, move || {
            let _ticket = ticket;
            if let Err(error) = hand_out(reader, pieces, blobs) {
                let mut fatal = fatal.lock().unwrap_or_else(PoisonError::into_inner);
                fatal.get_or_insert(error);
            }
        });
        Ok(())
    }

    fn check(&self) -> Result<()> {
        let fatal = self.fatal.lock().unwrap_or_else(PoisonError::into_inner).take();
        fatal.map_or(Ok(()), Err)
    }
}

/// Decodes a batch and hands its chunks to their files.
fn hand_out<'a>(reader: &Reader<'a>, pieces: Vec<Piece>, blobs: PendingBlobs<'a>) -> Result<()> {
    let mut blobs = blobs.wait(reader)?;
    for Piece { hold, position, chunk } in pieces {
        if let Some(chunk) = chunk.filter(|_| !hold.job.has_failed()) {
            hand_over(reader, &mut blobs, &hold.job, position, &chunk)?;
        }
        if hold.let_go() {
            Progress::add(&reader.progress.items, 1);
        }
    }
    Ok(())
}

fn hand_over(
    reader: &Reader<'_>,
    blobs: &mut FetchedBlobs<'_, '_>,
    job: &Job,
    position: u64,
    chunk: &ContentRef,
) -> Result<()> {
    let plaintext =
        blobs.blob(&chunk.id).and_then(|bytes| check_length(&chunk.id, chunk.length, bytes));
    match plaintext {
        Ok(bytes) => {
            if let Err(error) = job.target.write_at(position, &bytes) {
                job.fail(TargetFailure::Write(error));
            }
            Progress::add(&reader.progress.bytes, bytes.len() as u64);
            Ok(())
        }
        Err(error) if error.is_damage() => {
            job.fail(TargetFailure::Damaged(error));
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Counts the requests that restoring files would take, and makes none.
pub struct RequestForecast<'r, 'a> {
    reader: &'r Reader<'a>,
    ids: Vec<BlobId>,
    bytes: u64,
    requests: u64,
}

impl<'r, 'a> RequestForecast<'r, 'a> {
    /// Nothing yet.
    pub fn new(reader: &'r Reader<'a>) -> Self {
        Self { reader, ids: Vec::new(), bytes: 0, requests: 0 }
    }

    /// One more file.
    pub fn push(&mut self, content: &Content) -> Result<()> {
        let mut walk = ContentWalk::new(content);
        while let Some(chunk) = walk.next(self.reader)? {
            self.ids.push(chunk.id);
            self.bytes = self.bytes.saturating_add(chunk.length);
            if self.bytes >= self.reader.batching().bytes || self.ids.len() >= MOST_CHUNKS {
                self.count()?;
            }
        }
        Ok(())
    }

    /// Requests for all of them.
    pub fn finish(mut self) -> Result<u64> {
        self.count()?;
        Ok(self.requests)
    }

    fn count(&mut self) -> Result<()> {
        self.requests += self.reader.count_requests(&self.ids)?;
        self.ids.clear();
        self.bytes = 0;
        Ok(())
    }
}
