//! Reading from packs: their ciphers, and ranges of them.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use indexmap::IndexMap;
use nightjar_codec::pack::PackCipher;
use nightjar_format::PackId;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_storage::Pending;

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::PackInfo;
use crate::packs::copies::PackCopies;
use crate::packs::{cipher_from, start_cipher_of};
use crate::repository::Repository;

/// Opening a data pack costs a fetch and a decapsulation; a cipher takes some hundred bytes.
const CACHED_CIPHERS: usize = 1024;

/// Bytes of a tree pack that are read together, from far away and from here, and how many such
/// parts are kept.
const FAR_WINDOW_BYTES: u64 = 512 << 10;
const WINDOW_BYTES: u64 = 128 << 10;
const WINDOWS: usize = 32;

/// Reads from the packs of a repository.
///
/// Only a writer, who wants to know no more than what a base is, reads from copies: whoever
/// restores or verifies must learn what the store holds.
pub(crate) struct PackReader<'a> {
    repository: &'a Repository,
    copies: Option<&'a PackCopies>,
    progress: &'a Progress,
    /// Packs that were opened lately.
    openings: Mutex<IndexMap<PackId, Arc<Opening>>>,
    /// Parts of tree packs that were read lately, by where they begin.
    windows: Mutex<IndexMap<(PackId, u64), Bytes>>,
}

/// A pack that is being opened: whoever needs it first waits for its beginning.
pub(crate) struct Opening {
    id: PackId,
    size: u64,
    state: Mutex<OpeningState>,
}

impl Opening {
    /// Which pack.
    pub(crate) fn id(&self) -> PackId {
        self.id
    }
}

enum OpeningState {
    Pending(Pending<Bytes>),
    Open(Arc<PackCipher>),
    Failed,
}

/// Bytes of a pack that are here or on their way.
pub(crate) enum Answer<'a> {
    Here(Bytes),
    Pending(Pending<Bytes>, &'a Progress),
}

impl Answer<'_> {
    pub(crate) fn wait(self) -> Result<Bytes> {
        match self {
            Self::Here(bytes) => Ok(bytes),
            Self::Pending(answer, progress) => {
                let bytes = answer.wait()?;
                Progress::add(&progress.stored, bytes.len() as u64);
                Ok(bytes)
            }
        }
    }
}

impl<'a> PackReader<'a> {
    pub(crate) fn new(
        repository: &'a Repository,
        copies: Option<&'a PackCopies>,
        progress: &'a Progress,
    ) -> Self {
        Self { repository, copies, progress, openings: Mutex::default(), windows: Mutex::default() }
    }

    /// Begins to open a pack: its key stands at its beginning.
    pub(crate) fn start_opening(&self, pack: &PackInfo) -> Arc<Opening> {
        let id = &pack.pack_id;
        if let Some(opening) = self.openings().get(id) {
            return Arc::clone(opening);
        }
        let kept = self.copies.filter(|copies| copies.holds(id)).and_then(|copies| {
            // One that cannot be opened is of no use to anybody.
            copies.cipher(id).or_else(|| {
                copies.remove(id);
                None
            })
        });
        let state = match kept {
            Some(cipher) => OpeningState::Open(Arc::new(cipher)),
            None => OpeningState::Pending(start_cipher_of(self.repository, id, pack.size)),
        };
        let opening = Arc::new(Opening { id: *id, size: pack.size, state: Mutex::new(state) });
        let mut openings = self.openings();
        if openings.len() >= CACHED_CIPHERS {
            openings.shift_remove_index(0);
        }
        openings.insert(*id, Arc::clone(&opening));
        drop(openings);
        if self.repository.environment.one_at_a_time {
            // Whoever needs it is told what is wrong, and asks again.
            let _ = self.finish_opening(&opening);
        }
        opening
    }

    /// The cipher of a pack whose opening was begun.
    pub(crate) fn finish_opening(&self, opening: &Opening) -> Result<Arc<PackCipher>> {
        let mut state = opening.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match std::mem::replace(&mut *state, OpeningState::Failed) {
            OpeningState::Open(cipher) => {
                *state = OpeningState::Open(Arc::clone(&cipher));
                return Ok(cipher);
            }
            OpeningState::Pending(answer) => answer,
            // Somebody else was told why.
            OpeningState::Failed => start_cipher_of(self.repository, &opening.id, opening.size),
        };
        let opened = answer.wait().map_err(RepositoryError::from);
        let opened = opened.and_then(|bytes| cipher_from(self.repository, &opening.id, &bytes));
        match opened {
            Ok(cipher) => {
                let cipher = Arc::new(cipher);
                *state = OpeningState::Open(Arc::clone(&cipher));
                Ok(cipher)
            }
            Err(error) => {
                self.openings().shift_remove(&opening.id);
                Err(error)
            }
        }
    }

    fn openings(&self) -> MutexGuard<'_, IndexMap<PackId, Arc<Opening>>> {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the pack can be opened without a secret that only full slots have.
    pub(crate) fn has_key(&self, pack: &PackInfo) -> bool {
        pack.kind() == BlobKind::Tree
            || self.copies.is_some_and(|copies| copies.holds(&pack.pack_id))
    }

    /// Removes the copy of a pack, if there is one.
    pub(crate) fn drop_copy(&self, pack: &PackInfo) {
        // Where only the key is kept, the bytes were the store's.
        if let Some(copies) = self.copies.filter(|copies| copies.keeps_packs()) {
            copies.remove(&pack.pack_id);
        }
    }

    /// Begins to read a range.
    pub(crate) fn start_range(&self, pack: &PackInfo, range: Range<u64>) -> Result<Answer<'a>> {
        if let Some(bytes) = self.copy_of(pack, &range)? {
            return Ok(Answer::Here(bytes));
        }
        let name = ObjectName::Pack(pack.pack_id).to_string();
        let pending = self.repository.store.start_get_range(name, range);
        let answer = Answer::Pending(pending, self.progress);
        if self.repository.environment.one_at_a_time {
            answer.wait().map(Answer::Here)
        } else {
            Ok(answer)
        }
    }

    /// Reads a range of a tree pack, and what lies around it: nodes are read one after another,
    /// and most of them in the order in which they lie.
    pub(crate) fn read_ahead(&self, pack: &PackInfo, range: Range<u64>) -> Result<Bytes> {
        let far = self.repository.store.is_remote();
        let window_bytes = if far { FAR_WINDOW_BYTES } else { WINDOW_BYTES };
        let start = range.start - range.start % window_bytes;
        let end = pack.size.min(start + window_bytes);
        if range.end > end {
            return self.start_range(pack, range)?.wait();
        }
        let key = (pack.pack_id, start);
        let known = {
            let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
            windows.get(&key).cloned()
        };
        let window = match known {
            Some(window) => window,
            None => {
                let window = match self.start_range(pack, start..end)?.wait() {
                    // What is damaged around it need not be needed.
                    Err(error) if error.is_damage() => {
                        return self.start_range(pack, range)?.wait();
                    }
                    window => window?,
                };
                let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
                if windows.len() >= WINDOWS {
                    windows.shift_remove_index(0);
                }
                windows.insert(key, window.clone());
                window
            }
        };
        let place = |offset: u64| usize::try_from(offset - start).unwrap_or(usize::MAX);
        let (from, to) = (place(range.start), place(range.end));
        if from <= to && to <= window.len() { Ok(window.slice(from..to)) } else { Ok(Bytes::new()) }
    }

    /// Reads a range of a copy, which is fetched first if packs are kept and there is room.
    fn copy_of(&self, pack: &PackInfo, range: &Range<u64>) -> Result<Option<Bytes>> {
        let Some(copies) = self.copies.filter(|copies| copies.keeps_packs()) else {
            return Ok(None);
        };
        let id = &pack.pack_id;
        if copies.holds(id)
            && let Some(bytes) = copies.range(id, range)
        {
            return Ok(Some(bytes));
        }
        let open = |object: &[u8]| cipher_from(self.repository, id, object);
        if let Some(fetched) = copies.fetch(self.repository, id, pack.size, open)? {
            Progress::add(&self.progress.stored, fetched);
        }
        Ok(copies.range(id, range))
    }
}
