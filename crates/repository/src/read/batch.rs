//! Reading many blobs together, with all that their chains rest on.
//!
//! [`Reader::begin`] looks up every blob and every base below it, merges what lies close together
//! in one pack into one request, and begins all requests. [`FetchedBlobs`] then decodes: each base
//! once, however many deltas rest on it, and kept only as long as one of them is still to come.
//!
//! A blob is checked against its id; the bases on the way to it are not, for a wrong base gives a
//! wrong blob. Whatever goes wrong here is tried again by [`Reader::blob`], which goes through all
//! places of each blob and says what is damaged.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use nightjar_codec::compress::{self, Payload};
use nightjar_codec::pack::PackCipher;
use nightjar_format::BlobId;
use nightjar_format::blob::{BlobKind, Encoding};

use crate::error::{RepositoryError, Result};
use crate::index::database::Location;
use crate::packs::reader::{Answer, Opening};
use crate::read::Reader;

/// Chunks in a batch: a list may name any number that have no bytes.
pub(crate) const MOST_CHUNKS: usize = 4096;

/// How much is asked for at once. What is under way is bounded by `bytes` times `window`, as sealed
/// bytes and again as plaintext.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batching {
    /// Plaintext in a batch, in bytes, unless one chunk has more.
    pub(crate) bytes: u64,
    /// Batches under way.
    pub(crate) window: usize,
    /// Bytes between two blobs that are fetched rather than asking twice.
    gap: u64,
}

impl Batching {
    /// A request costs next to nothing; small batches keep all workers busy.
    const HERE: Self = Self { bytes: 2 << 20, window: 12, gap: 64 << 10 };
    /// A request costs a round trip and money: as few as fill the line.
    const FAR: Self = Self { bytes: 8 << 20, window: 5, gap: 256 << 10 };
}

/// A blob that is needed.
struct Place {
    at: Location,
    /// How often it is still needed: by a delta, or by whoever asked.
    uses: u32,
}

/// One request: a stretch of a pack that holds several blobs.
struct Fetch<'a> {
    /// The pack's ordinal.
    pack: u32,
    opening: Arc<Opening>,
    range: Range<u64>,
    answer: Answer<'a>,
}

/// Its answer.
struct Fetched {
    pack: u32,
    cipher: Arc<PackCipher>,
    range: Range<u64>,
    bytes: Bytes,
}

impl Fetched {
    /// The sealed bytes of the blob at a location, if they are in it.
    fn sealed(&self, at: &Location) -> Option<&[u8]> {
        let range = at.range();
        let holds =
            self.pack == at.pack && self.range.start <= range.start && range.end <= self.range.end;
        let from = usize::try_from(range.start.checked_sub(self.range.start)?).ok()?;
        holds.then(|| self.bytes.get(from..from + at.stored_len as usize))?
    }
}

/// Blobs on their way.
pub(crate) struct PendingBlobs<'a> {
    kind: BlobKind,
    places: HashMap<BlobId, Place>,
    fetches: Vec<Fetch<'a>>,
}

/// Blobs that can be decoded.
pub(crate) struct FetchedBlobs<'r, 'a> {
    reader: &'r Reader<'a>,
    kind: BlobKind,
    places: HashMap<BlobId, Place>,
    fetched: Vec<Fetched>,
    decoded: HashMap<BlobId, Bytes>,
    scratch: Vec<u8>,
    /// Buffers that held plaintexts nobody needs any more.
    spare: Vec<Vec<u8>>,
}

impl<'a> Reader<'a> {
    /// How much is asked for at once.
    pub(crate) fn batching(&self) -> Batching {
        if self.repository.store.is_remote() { Batching::FAR } else { Batching::HERE }
    }

    /// Begins to fetch blobs. An id may stand there several times: it can be had as often.
    pub(crate) fn begin(&self, kind: BlobKind, ids: &[BlobId]) -> Result<PendingBlobs<'a>> {
        self.begin_at(kind, ids, self.newest_index().places(ids)?)
    }

    /// The same, where places for the blobs and all they rest on are known.
    pub(crate) fn begin_at(
        &self,
        kind: BlobKind,
        ids: &[BlobId],
        places: HashMap<BlobId, Location>,
    ) -> Result<PendingBlobs<'a>> {
        let mut uses: HashMap<BlobId, u32> = HashMap::new();
        let bases = places.values().flat_map(|at| at.encoding.bases().to_vec());
        for id in ids.iter().copied().chain(bases) {
            *uses.entry(id).or_default() += 1;
        }
        let places: HashMap<BlobId, Place> = places
            .into_iter()
            .filter_map(|(id, at)| Some((id, Place { at, uses: *uses.get(&id)? })))
            .collect();
        let mut fetches = Vec::new();
        for (first, range) in
            stretches(places.values().map(|place| place.at).collect(), self.batching().gap)
        {
            let begun = self.start_opening(kind, &first).and_then(|(pack, opening)| {
                let answer = self.start_range(&pack, range.clone())?;
                Ok(Fetch { pack: first.pack, opening, range, answer })
            });
            fetches.extend(or_later(begun)?);
        }
        Ok(PendingBlobs { kind, places, fetches })
    }

    /// How many requests it takes to fetch blobs and all they rest on.
    pub(crate) fn count_requests(&self, ids: &[BlobId]) -> Result<u64> {
        let places = self.newest_index().places(ids)?;
        Ok(stretches(places.into_values().collect(), self.batching().gap).len() as u64)
    }
}

/// Joins what lies close together in one pack; each stretch with the place it begins with.
fn stretches(mut locations: Vec<Location>, gap: u64) -> Vec<(Location, Range<u64>)> {
    locations.sort_by_key(|location| (location.pack, location.offset));
    let close = |a: &Location, b: &Location| {
        a.pack == b.pack && b.range().start <= a.range().end.saturating_add(gap)
    };
    locations
        .chunk_by(close)
        .filter_map(|stretch| {
            let (first, last) = (stretch.first()?, stretch.last()?);
            Some((*first, first.range().start..last.range().end))
        })
        .collect()
}

/// A pack that cannot be opened or read is left to [`Reader::blob`], who tries every place there is
/// and reports it; so is what this slot may not read.
fn or_later<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_damage() || error.is_role() => Ok(None),
        Err(error) => Err(error),
    }
}

impl<'a> PendingBlobs<'a> {
    /// Waits for the answers.
    pub(crate) fn wait<'r>(self, reader: &'r Reader<'a>) -> Result<FetchedBlobs<'r, 'a>> {
        let Self { kind, places, fetches } = self;
        let mut fetched = Vec::with_capacity(fetches.len());
        for Fetch { pack, opening, range, answer } in fetches {
            let opened = reader
                .finish_opening(kind, &opening)
                .and_then(|cipher| Ok(Fetched { pack, cipher, range, bytes: answer.wait()? }));
            fetched.extend(or_later(opened)?);
        }
        Ok(FetchedBlobs {
            reader,
            kind,
            places,
            fetched,
            decoded: HashMap::new(),
            scratch: Vec::new(),
            spare: Vec::new(),
        })
    }
}

impl FetchedBlobs<'_, '_> {
    /// The plaintext of a blob, checked.
    pub(crate) fn blob(&mut self, id: &BlobId) -> Result<Bytes> {
        match self.decode(id, u8::MAX) {
            Some(plaintext) if self.reader.identifier.blob_id(self.kind, &plaintext) == *id => {
                Ok(plaintext)
            }
            _ => self.reader.blob(self.kind, id).map(Bytes::from),
        }
    }

    /// Whether a blob can be had from the place that was chosen for it.
    pub(crate) fn is_sound(&mut self, id: &BlobId) -> bool {
        self.decode(id, u8::MAX)
            .is_some_and(|plaintext| self.reader.identifier.blob_id(self.kind, &plaintext) == *id)
    }

    /// A blob as it is stored, opened and not decoded; one that is whole is decoded nevertheless,
    /// and compared with its id. `None` if anything is wrong.
    pub(crate) fn payload(&self, id: &BlobId) -> Option<(Location, Payload)> {
        let at = self.places.get(id)?.at;
        let holder = self.fetched.iter().find_map(|it| Some((&it.cipher, it.sealed(&at)?)));
        let (cipher, sealed) = holder?;
        let mut bytes = sealed.to_vec();
        let opened = cipher.open_blob(&at.entry(*id), &mut bytes).ok()?.len();
        bytes.truncate(opened);
        let is_it = |plaintext: &[u8]| self.reader.identifier.blob_id(self.kind, plaintext) == *id;
        let is_sound = match at.encoding {
            Encoding::Raw => is_it(&bytes),
            Encoding::Zstd => {
                compress::with_decompressed(&bytes, at.raw_len as usize, is_it).ok()?
            }
            Encoding::Delta { .. } => true,
        };
        is_sound.then_some((at, Payload { encoding: at.encoding, bytes }))
    }

    /// Decodes a blob, and first what it rests on; `None` if anything is wrong.
    fn decode(&mut self, id: &BlobId, above: u8) -> Option<Bytes> {
        let mut above = above;
        let mut next = *id;
        // Deltas on the way down whose base is nobody else's, the lowest last.
        let mut steps: Vec<(BlobId, Location)> = Vec::new();
        let mut plaintext = loop {
            if let Some(plaintext) = self.decoded.get(&next).cloned() {
                self.count_down(&next);
                break plaintext;
            }
            let place = self.places.get(&next)?;
            let (at, only_use) = (place.at, place.uses == 1);
            let depth = at.encoding.depth();
            if depth >= above {
                return None;
            }
            match at.encoding.bases() {
                [base] if only_use || steps.is_empty() => {
                    steps.push((next, at));
                    (next, above) = (*base, depth);
                }
                bases => break self.decode_and_keep(&next, &at, bases, depth)?,
            }
        };
        while let Some((id, at)) = steps.pop() {
            let mut out = self.spare.pop().unwrap_or_default();
            if steps.is_empty() {
                out = Vec::with_capacity(at.raw_len as usize);
            }
            self.open(&id, &at, Some(&plaintext), &mut out)?;
            if let Ok(used) = plaintext.try_into_mut() {
                self.spare.push(used.into());
            }
            plaintext = out.into();
            self.keep(&id, &plaintext);
        }
        Some(plaintext)
    }

    fn decode_and_keep(
        &mut self,
        id: &BlobId,
        at: &Location,
        bases: &[BlobId],
        depth: u8,
    ) -> Option<Bytes> {
        let mut joined = Vec::new();
        for base in bases {
            joined.extend_from_slice(&self.decode(base, depth)?);
        }
        let mut plaintext = Vec::with_capacity(at.raw_len as usize);
        let joined = (!bases.is_empty()).then_some(joined.as_slice());
        self.open(id, at, joined, &mut plaintext)?;
        let plaintext = Bytes::from(plaintext);
        self.keep(id, &plaintext);
        Some(plaintext)
    }

    /// Opens and decodes one payload.
    fn open(
        &mut self,
        id: &BlobId,
        at: &Location,
        base: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let Self { fetched, scratch, .. } = self;
        let (cipher, sealed) = fetched.iter().find_map(|it| Some((&it.cipher, it.sealed(at)?)))?;
        scratch.clear();
        scratch.extend_from_slice(sealed);
        let payload = cipher.open_blob(&at.entry(*id), scratch).ok()?;
        if at.encoding == Encoding::Raw {
            out.clear();
            out.extend_from_slice(payload);
            return Some(());
        }
        compress::decompress_into(payload, at.raw_len as usize, base, out).ok()
    }

    /// Keeps what will be needed again.
    fn keep(&mut self, id: &BlobId, plaintext: &Bytes) {
        self.count_down(id);
        if self.places.get(id).is_some_and(|place| place.uses > 0) {
            self.decoded.insert(*id, plaintext.clone());
        }
    }

    fn count_down(&mut self, id: &BlobId) {
        let Some(place) = self.places.get_mut(id) else { return };
        place.uses = place.uses.saturating_sub(1);
        if place.uses == 0 {
            self.decoded.remove(id);
        }
    }
}

/// A chunk must be as long as the list that names it says.
pub(crate) fn check_length(id: &BlobId, expected: u64, plaintext: Bytes) -> Result<Bytes> {
    if plaintext.len() as u64 == expected {
        Ok(plaintext)
    } else {
        let why = format!("it has {} bytes, its list says {expected}", plaintext.len());
        Err(RepositoryError::LostBlob { id: *id, why })
    }
}
