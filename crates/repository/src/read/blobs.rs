//! Fetching, opening and checking blobs.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use nightjar_codec::compress;
use nightjar_codec::digest::Identifier;
use nightjar_codec::pack::PackCipher;
use nightjar_format::blob::{BlobKind, Encoding};
use nightjar_format::manifest::{DirectoryNode, ListNode};
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{BlobId, FormatError, limits, record};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::LocalIndex;
use crate::index::database::{Database, Location, PackInfo};
use crate::index::sync::{Copies, open_private};
use crate::packs::copies::PackCopies;
use crate::packs::reader::{Answer, Opening, PackReader};
use crate::repository::Repository;

/// A sealed blob, and where it came from.
pub(crate) struct SealedBlob<'a> {
    pub(crate) id: BlobId,
    pub(crate) at: Location,
    pub(crate) name: &'a ObjectName,
    pub(crate) cipher: &'a PackCipher,
}

/// What finding one blob may still cost. A blob may lie in several places, and so may each of its
/// bases: the ways through them multiply, and whoever publishes such must not make readers hang.
struct Effort {
    steps: u8,
    tries: usize,
    /// Bases on the way: a blob may rest on one in several ways.
    decoded: HashMap<BlobId, Bytes>,
    decoded_bytes: usize,
    /// Bases that could not be had with so many steps left.
    lost: HashMap<BlobId, u8>,
}

/// Bases that are remembered while one blob is found.
const DECODED_BYTES: usize = 64 << 20;

impl Effort {
    fn new() -> Self {
        Self {
            steps: limits::CHAIN_DEPTH,
            tries: 2 * limits::SUPPORT,
            decoded: HashMap::new(),
            decoded_bytes: 0,
            lost: HashMap::new(),
        }
    }
}

/// Reads blobs of a repository through a private copy of the local index.
pub struct Reader<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) index: Arc<LocalIndex>,
    pub(crate) identifier: Identifier,
    packs: PackReader<'a>,
    pub(crate) progress: &'a Progress,
    /// Present where a collector may work beside it.
    renewal: Option<Renewal>,
}

/// What a reader does about packs that a collector removed since its index was read.
#[derive(Default)]
struct Renewal {
    /// In place of the first one.
    index: RwLock<Option<Arc<LocalIndex>>>,
    /// How often in a row nothing new was found.
    fruitless: AtomicU32,
}

/// So often in a row: then it is damage, and asking again would only take time.
const FRUITLESS: u32 = 3;

impl<'a> Reader<'a> {
    /// Brings the local index up to date and takes a copy of it.
    pub fn open(repository: &'a Repository, progress: &'a Progress) -> Result<Self> {
        let (index, _) = open_private(repository, Copies::Welcome)?;
        let renewal = Some(Renewal::default());
        Ok(Self { renewal, ..Self::over(repository, Arc::new(index), None, progress) })
    }

    /// Reads through a copy of the local index that is at hand and stays as it is; a writer, from
    /// copies of packs.
    pub(crate) fn over(
        repository: &'a Repository,
        index: Arc<LocalIndex>,
        copies: Option<&'a PackCopies>,
        progress: &'a Progress,
    ) -> Self {
        let identifier = repository.identifier();
        let packs = PackReader::new(repository, copies, progress);
        Self { repository, index, identifier, packs, progress, renewal: None }
    }

    /// The index that is newest here.
    pub(crate) fn newest_index(&self) -> Arc<LocalIndex> {
        let renewed = self.renewal.as_ref().and_then(|renewal| {
            renewal.index.read().unwrap_or_else(PoisonError::into_inner).clone()
        });
        renewed.unwrap_or_else(|| Arc::clone(&self.index))
    }

    /// Reads the index objects again, if what could not be found by `stale` may have moved. False
    /// if nothing has changed.
    fn renew(&self, stale: &Arc<LocalIndex>) -> Result<bool> {
        let Some(renewal) = &self.renewal else { return Ok(false) };
        let mut newest = renewal.index.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(newest.as_ref().unwrap_or(&self.index), stale) {
            // Another thread was faster.
            return Ok(true);
        }
        if renewal.fruitless.load(Ordering::Relaxed) >= FRUITLESS {
            return Ok(false);
        }
        let (index, _) = open_private(self.repository, Copies::Welcome)?;
        if index.applied()? == stale.applied()? {
            renewal.fruitless.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        tracing::debug!("packs were collected meanwhile; going on with a newer index");
        renewal.fruitless.store(0, Ordering::Relaxed);
        *newest = Some(Arc::new(index));
        Ok(true)
    }

    /// How far reading has come.
    pub fn progress(&self) -> &Progress {
        self.progress
    }

    /// Reads a node of a content list.
    pub(crate) fn list_node(&self, id: &BlobId) -> Result<ListNode> {
        self.node(id, record::decode)
    }

    /// Reads a node of a directory.
    pub(crate) fn directory_node(&self, id: &BlobId) -> Result<DirectoryNode> {
        self.node(id, DirectoryNode::decode)
    }

    fn node<T>(
        &self,
        id: &BlobId,
        decode: impl FnOnce(&[u8]) -> std::result::Result<T, FormatError>,
    ) -> Result<T> {
        let plaintext = self.blob(BlobKind::Tree, id)?;
        decode(&plaintext)
            .map_err(|error| RepositoryError::LostBlob { id: *id, why: error.to_string() })
    }

    /// Reads one blob, from whichever of its places is sound.
    pub(crate) fn blob(&self, kind: BlobKind, id: &BlobId) -> Result<Vec<u8>> {
        loop {
            let index = self.newest_index();
            match self.blob_within(kind, id, &mut Effort::new()) {
                Err(error) if error.is_damage() && self.renew(&index)? => {}
                outcome => return outcome,
            }
        }
    }

    fn blob_within(&self, kind: BlobKind, id: &BlobId, effort: &mut Effort) -> Result<Vec<u8>> {
        let locations = self.newest_index().locations(id)?;
        let mut why = "no index object lists it; if index objects were lost, \
                       `nightjar index rebuild --from-packs` may find it"
            .to_owned();
        for location in &locations {
            let Some(tries) = effort.tries.checked_sub(1) else {
                why = "too many places were tried for it and its bases".into();
                break;
            };
            effort.tries = tries;
            match self.blob_at(kind, id, location, effort) {
                Ok(plaintext) => return Ok(plaintext),
                Err(error) if error.is_damage() => why = error.to_string(),
                Err(error) => return Err(error),
            }
        }
        Err(RepositoryError::LostBlob { id: *id, why })
    }

    fn blob_at(
        &self,
        kind: BlobKind,
        id: &BlobId,
        location: &Location,
        effort: &mut Effort,
    ) -> Result<Vec<u8>> {
        let (pack, opening) = self.start_opening(kind, location)?;
        let cipher = self.finish_opening(kind, &opening)?;
        let sealed = match kind {
            BlobKind::Data => self.packs.start_range(&pack, location.range())?.wait()?,
            BlobKind::Tree => self.packs.read_ahead(&pack, location.range())?,
        };
        let name = ObjectName::Pack(pack.pack_id);
        let blob = SealedBlob { id: *id, at: *location, name: &name, cipher: &cipher };
        let mut base_failed = false;
        let decoded = self.decode(kind, &blob, &mut sealed.to_vec(), &mut |base| {
            self.base_within(kind, base, effort).inspect_err(|_| base_failed = true)
        });
        if !base_failed && decoded.as_ref().is_err_and(RepositoryError::is_damage) {
            // If it was a copy, the next attempt reads the store.
            self.packs.drop_copy(&pack);
        }
        decoded
    }

    /// Begins to open the pack that a location points into, which must be of the right kind.
    pub(crate) fn start_opening(
        &self,
        kind: BlobKind,
        location: &Location,
    ) -> Result<(PackInfo, Arc<Opening>)> {
        let pack = self.newest_index().pack(location.pack)?;
        if pack.kind() != kind {
            let object = ObjectName::Pack(pack.pack_id).to_string();
            let why = "the index lists a blob of the other kind in it".into();
            return Err(RepositoryError::Damaged { object, why });
        }
        let opening = self.packs.start_opening(&pack);
        Ok((pack, opening))
    }

    /// The cipher of a pack whose opening was begun.
    pub(crate) fn finish_opening(
        &self,
        kind: BlobKind,
        opening: &Opening,
    ) -> Result<Arc<PackCipher>> {
        let cipher = self.packs.finish_opening(opening)?;
        if cipher.header().kind != kind {
            let object = ObjectName::Pack(opening.id()).to_string();
            let why = "the index tells another kind than its header".into();
            return Err(RepositoryError::Damaged { object, why });
        }
        Ok(cipher)
    }

    /// Begins to read a range of a pack.
    pub(crate) fn start_range(&self, pack: &PackInfo, range: Range<u64>) -> Result<Answer<'a>> {
        self.packs.start_range(pack, range)
    }

    /// Whether this slot, on this machine, can read a pack's blobs.
    pub(crate) fn may_read(&self, database: &Database, ordinal: u32) -> bool {
        self.repository.keychain.role() == Role::Full
            || database.pack(ordinal).is_ok_and(|pack| self.packs.has_key(&pack))
    }

    /// Opens a sealed blob, decodes it and compares it with its id; `base` gives the plaintexts of
    /// its bases.
    pub(crate) fn decode(
        &self,
        kind: BlobKind,
        blob: &SealedBlob<'_>,
        sealed: &mut [u8],
        base: &mut dyn FnMut(&BlobId) -> Result<Bytes>,
    ) -> Result<Vec<u8>> {
        let SealedBlob { id, at, name, cipher } = blob;
        let damaged = |error| RepositoryError::in_object(name, error);
        let payload = cipher.open_blob(&at.entry(*id), sealed).map_err(damaged)?;
        let raw_len = at.raw_len as usize;
        let plaintext = match at.encoding {
            Encoding::Raw => payload.to_vec(),
            Encoding::Zstd => compress::decompress(payload, raw_len, None).map_err(damaged)?,
            Encoding::Delta { bases, .. } => {
                let mut joined = Vec::new();
                for id in bases.ids() {
                    joined.extend_from_slice(&base(id)?);
                }
                compress::decompress(payload, raw_len, Some(&joined)).map_err(damaged)?
            }
        };
        if self.identifier.blob_id(kind, &plaintext) == *id {
            Ok(plaintext)
        } else {
            Err(damaged(nightjar_codec::CodecError::WrongContent))
        }
    }

    /// Reads a base of a blob that is being found.
    fn base_within(&self, kind: BlobKind, id: &BlobId, effort: &mut Effort) -> Result<Bytes> {
        if let Some(plaintext) = effort.decoded.get(id) {
            return Ok(plaintext.clone());
        }
        let lost = |why: &str| RepositoryError::LostBlob { id: *id, why: why.into() };
        if effort.lost.get(id).is_some_and(|steps| *steps >= effort.steps) {
            return Err(lost("it could not be read before"));
        }
        let Some(steps) = effort.steps.checked_sub(1) else {
            return Err(lost("it stands at the end of a chain of deltas that is too long"));
        };
        effort.steps = steps;
        let plaintext = self.blob_within(kind, id, effort).map(Bytes::from);
        effort.steps += 1;
        let plaintext = plaintext.inspect_err(|_| {
            effort.lost.insert(*id, effort.steps);
        })?;
        if effort.decoded_bytes + plaintext.len() <= DECODED_BYTES {
            effort.decoded_bytes += plaintext.len();
            effort.decoded.insert(*id, plaintext.clone());
        }
        Ok(plaintext)
    }
}
