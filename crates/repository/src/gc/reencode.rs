//! Storing whole what rests on dead weight (format-spec, chapter 13: the collector's step 1).
//!
//! An ordinary writer's step, done before anything is condemned: the blobs are read like in a
//! restore, stored whole in new packs, and listed. Wherever this stops, each of them lies in one
//! place more than before. Marking prefers the place of least depth, so from then on nothing is
//! needed of what they rested on.

use std::sync::atomic::Ordering;
use std::thread;

use nightjar_codec::compress::encode_verified;
use nightjar_codec::sketch;
use nightjar_format::blob::BlobKind;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::environment::Progress;
use crate::error::Result;
use crate::gc::evacuate::LEVEL;
use crate::gc::survey::Survey;
use crate::gc::weight::{DeadWeight, Heavy};
use crate::ingest::PackWriter;
use crate::packs::Uploader;
use crate::repository::Repository;
use crate::session::Session;

/// Plaintext that is read together, in bytes, unless one blob has more.
const BATCH_BYTES: u64 = 16 << 20;
/// Blobs that are put in order before they are stored.
const BLOBS: usize = 1 << 17;

/// What was stored whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reencoded {
    /// Blobs.
    pub blobs: u64,
    /// Bytes added to the store for them.
    pub bytes: u64,
    /// Blobs that could not be read, and stay as they are.
    pub unreadable: u64,
}

impl Reencoded {
    /// Adds what another pass did. What it could not read is what stays.
    pub(super) fn add(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.unreadable = other.unreadable;
    }
}

/// Stores whole what had better be, until `most_bytes` were added.
pub(super) fn reencode(
    repository: &Repository,
    session: &mut Session<'_>,
    survey: &Survey<'_>,
    mut weight: DeadWeight<'_, '_>,
    most_bytes: Option<u64>,
    progress: &Progress,
) -> Result<Reencoded> {
    progress.total.store(0, Ordering::Relaxed);
    thread::scope(|scope| {
        let uploader = Uploader::start(scope, repository, None, progress);
        let index = &survey.reader.index;
        let writer = PackWriter::new(repository, index, session.id(), LEVEL, None, uploader);
        let mut run = Reencoding { repository, survey, writer, done: Reencoded::default() };
        let mut planned = 0;
        let mut heavy: Vec<Heavy> = Vec::new();
        loop {
            let window = weight.next_window()?;
            let is_last = window.is_none();
            let fresh = window.unwrap_or_default();
            planned += fresh.iter().map(|it| it.whole).sum::<u64>();
            heavy.extend(fresh);
            let is_last = is_last || most_bytes.is_some_and(|most| planned >= most);
            if is_last || heavy.len() >= BLOBS {
                run.store_all(std::mem::take(&mut heavy), session)?;
            }
            if is_last {
                break;
            }
        }
        let Reencoding { writer, mut done, .. } = run;
        done.bytes = writer.close()?.bytes_added;
        Ok(done)
    })
}

struct Reencoding<'s, 'e, 'w> {
    repository: &'s Repository,
    survey: &'s Survey<'e>,
    writer: PackWriter<'w>,
    done: Reencoded,
}

impl Reencoding<'_, '_, '_> {
    /// Side by side in new packs lies what lay side by side in old ones.
    fn store_all(&mut self, mut blobs: Vec<Heavy>, session: &mut Session<'_>) -> Result<()> {
        blobs.sort_unstable_by_key(|heavy| heavy.place);
        for kind in [BlobKind::Tree, BlobKind::Data] {
            let of_kind: Vec<Heavy> = blobs.iter().filter(|it| it.kind == kind).copied().collect();
            self.store(kind, &of_kind, session)?;
        }
        Ok(())
    }

    fn store(&mut self, kind: BlobKind, blobs: &[Heavy], session: &mut Session<'_>) -> Result<()> {
        let mut rest = blobs;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|heavy| {
                bytes += u64::from(heavy.raw_len);
                bytes <= BATCH_BYTES
            });
            let (batch, after) = rest.split_at(fits.count().max(1));
            self.store_batch(kind, batch)?;
            session.renew_if_due()?;
            self.writer.settle_some()?;
            rest = after;
        }
        Ok(())
    }

    fn store_batch(&mut self, kind: BlobKind, batch: &[Heavy]) -> Result<()> {
        let ids: Vec<_> = batch.iter().map(|heavy| heavy.id).collect();
        let reader = &self.survey.reader;
        let mut fetched = reader.begin(kind, &ids)?.wait(reader)?;
        let mut plaintexts = Vec::with_capacity(ids.len());
        for id in ids {
            match fetched.blob(&id) {
                Ok(plaintext) => plaintexts.push((id, plaintext)),
                Err(error) if error.is_damage() => {
                    tracing::warn!("{error}; it stays as it is");
                    self.done.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        let sketcher = self.repository.sketcher();
        let encoded: Vec<_> = plaintexts
            .par_iter()
            .map(|(_, plaintext)| {
                let sketch = match kind {
                    BlobKind::Data => sketcher.sketch(plaintext),
                    BlobKind::Tree => sketch::NONE,
                };
                (encode_verified(plaintext, LEVEL), sketch)
            })
            .collect();
        for ((id, plaintext), (payload, sketch)) in plaintexts.iter().zip(encoded) {
            self.writer.put(kind, *id, plaintext.len(), &payload, sketch)?;
            self.done.blobs += 1;
            Progress::add(&reader.progress().bytes, plaintext.len() as u64);
        }
        Ok(())
    }
}
