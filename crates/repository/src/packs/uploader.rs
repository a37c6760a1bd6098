//! Seals full packs and sends them to the store, several at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::Scope;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use nightjar_format::index::PackRecord;

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::packs::copies::PackCopies;
use crate::packs::{OpenPack, purpose_of};
use crate::repository::Repository;

/// Packs sealed and sent at once. Handing over another waits until one is durable: this, and
/// not a queue, bounds the memory they take.
const AT_ONCE: usize = 3;

/// A pack that is durable, or why it is not.
pub(crate) type Uploaded = Result<PackRecord>;

/// Threads that seal and send. They end when this is dropped, after what is on its way.
pub(crate) struct Uploader {
    packs: Sender<OpenPack>,
    uploaded: Receiver<Uploaded>,
    pub(crate) in_flight: usize,
}

impl Uploader {
    pub(crate) fn start<'scope, 'env: 'scope>(
        scope: &'scope Scope<'scope, 'env>,
        repository: &'env Repository,
        copies: Option<&'env PackCopies>,
        progress: &'env Progress,
    ) -> Self {
        let (packs, work) = bounded::<OpenPack>(0);
        let (done, uploaded) = unbounded();
        for _ in 0..AT_ONCE {
            let (work, done) = (work.clone(), done.clone());
            scope.spawn(move || {
                for pack in work {
                    // A panic must not leave the assembler waiting for a pack that never comes.
                    let uploaded = catch_unwind(AssertUnwindSafe(|| {
                        upload(repository, copies, progress, pack)
                    }))
                    .unwrap_or(Err(RepositoryError::Internal("an uploader panicked")));
                    if done.send(uploaded).is_err() {
                        return;
                    }
                }
            });
        }
        Self { packs, uploaded, in_flight: 0 }
    }

    /// Hands over a full pack; waits while [`AT_ONCE`] are on their way.
    pub(crate) fn send(&mut self, pack: OpenPack) -> Result<()> {
        self.in_flight += 1;
        self.packs.send(pack).map_err(|_| RepositoryError::Internal("the uploaders are gone"))
    }

    /// Packs arrive here as they become durable.
    pub(crate) fn uploaded(&self) -> &Receiver<Uploaded> {
        &self.uploaded
    }
}

fn upload(
    repository: &Repository,
    copies: Option<&PackCopies>,
    progress: &Progress,
    pack: OpenPack,
) -> Uploaded {
    let sealed = pack.seal()?;
    let object = Bytes::from(sealed.object);
    let purpose = purpose_of(sealed.cipher.header().kind);
    repository.store.start_put(sealed.name.to_string(), object.clone(), purpose).wait()?;
    if let Some(copies) = copies {
        copies.keep_own(&sealed.record.pack_id, &sealed.cipher, &object);
    }
    Progress::add(&progress.stored, sealed.record.size);
    Ok(sealed.record)
}
