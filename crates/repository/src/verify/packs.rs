//! Packs, read whole.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nightjar_codec::pack::PackCipher;
use nightjar_codec::{CodecError, digest};
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable};
use nightjar_format::object::ObjectName;
use nightjar_format::pack::Trailer;
use nightjar_format::{BlobId, PackId, limits};
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use super::check::{Check, Scope};
use super::hits::{BadPack, Lost};
use super::plan::Turn;
use super::{Level, Run};
use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::index::database::{Location, PackInfo};
use crate::packs::cipher_from;
use crate::read::SealedBlob;

/// Blobs of a pack that are decoded together.
const BATCH_BLOBS: usize = 64;
/// Lost blobs that are remembered one by one; beyond them, packs count as lost wholly.
const LOST_BLOBS: usize = 1 << 20;

/// What was found in a pack.
enum Verdict {
    /// Nothing is wrong; whether all of its blobs were decoded.
    Sound {
        decoded: bool,
    },
    Damaged(BadPack),
}

/// What blobs of a pack turned out to be.
#[derive(Default)]
struct Inside {
    decoded: u64,
    /// Those whose bases could not be had.
    passed_over: u64,
    lost: Vec<BlobId>,
    /// What is wrong with the first of these.
    why: Option<String>,
}

impl Inside {
    fn add(&mut self, other: Self) {
        self.decoded += other.decoded;
        self.passed_over += other.passed_over;
        self.lost.extend(other.lost);
        self.why = self.why.take().or(other.why);
    }
}

impl Check<'_> {
    /// Reads the packs that have their turn. Returns those that need no further look: what was read,
    /// and what is not there to be read.
    pub(super) fn read_packs(
        &mut self,
        run: &mut Run<'_>,
        scope: &Scope,
    ) -> Result<HashSet<PackId>> {
        if self.level == Level::Presence {
            self.report.packs = scope.len() as u64;
            return Ok(scope.keys().copied().collect());
        }
        let mut done = HashSet::new();
        let mut queue = Vec::new();
        for (place, turn) in self.plan_packs(run, scope) {
            let Some((id, pack)) = scope.get_index(place) else { continue };
            if pack.ordinals.iter().any(|ordinal| self.listed.is_whole(*ordinal)) {
                queue.push((*id, pack, turn));
            } else {
                self.report.packs += 1;
                done.insert(*id);
            }
        }
        // Those that were left out of the plan, and are not there, need no reading either.
        let is_lost = |id: &&PackId| {
            let pack = scope.get(*id);
            pack.is_some_and(|it| !it.ordinals.iter().any(|it| self.listed.is_whole(*it)))
        };
        done.extend(scope.keys().filter(is_lost));
        let progress = self.reader.progress;
        let before = progress.bytes.load(Ordering::Relaxed);
        let planned: u64 = queue.iter().map(|(_, pack, _)| pack.size).sum();
        progress.total.store(before + planned, Ordering::Relaxed);
        let names = queue.iter().map(|(id, pack, _)| (ObjectName::Pack(*id), pack.size));
        let names: Vec<(ObjectName, u64)> = names.collect();
        let mut objects = Ahead::new(self.reader.repository, names.into_iter(), limits::PACK_BYTES);
        let mut sound = 0;
        for (id, pack, turn) in queue {
            // One at least, and a damaged one does not count: so runs that are cut off come around
            // as well.
            if sound > 0 && turn != Turn::First && run.is_over(false) {
                self.report.out_of_time = true;
                break;
            }
            let Some((_, object)) = objects.next() else { break };
            if self.read_pack(run, id, &pack.ordinals, object)? {
                sound += 1;
            }
            self.report.packs += 1;
            done.insert(id);
            Progress::add(&progress.items, 1);
        }
        Ok(done)
    }

    /// Checks a pack under all that it is listed as; whether it is sound.
    fn read_pack(
        &mut self,
        run: &mut Run<'_>,
        id: PackId,
        ordinals: &[u32],
        object: Result<Bytes>,
    ) -> Result<bool> {
        let object = match object {
            Err(error) if !error.is_damage() => return Err(error),
            object => object,
        };
        if let Ok(object) = &object {
            self.report.bytes += object.len() as u64;
            Progress::add(&self.reader.progress.bytes, object.len() as u64);
        }
        let altered = object.as_ref().is_ok_and(|object| digest::pack_id(object) != id);
        let (mut is_sound, mut is_decoded) = (true, true);
        for ordinal in ordinals {
            let pack = self.reader.index.pack(*ordinal)?;
            let verdict = match &object {
                Ok(object) if self.listed.is_whole(*ordinal) => {
                    self.examine(&pack, object, altered)?
                }
                // An index object tells a size that is not its own: that shows before it is read.
                Ok(_) => {
                    is_sound = false;
                    continue;
                }
                Err(error) => {
                    Verdict::Damaged(BadPack { problem: error.to_string(), lost: Lost::All })
                }
            };
            match verdict {
                Verdict::Sound { decoded } => is_decoded &= decoded,
                Verdict::Damaged(bad) => {
                    is_sound = false;
                    self.bad.insert(*ordinal, bad);
                }
            }
        }
        // What is gone since it was listed needs no record.
        let name = ObjectName::Pack(id).to_string();
        if !is_sound && (object.is_ok() || self.reader.repository.store.head(&name)?.is_some()) {
            self.damaged.insert(id);
        }
        let is_known = self.ledger.state.damaged.contains(&id);
        match (is_sound, is_known) {
            // What rests on a base that could not be had was not decoded.
            (true, false) if is_decoded || self.level < Level::Data => {
                run.recorder.pack(id, self.level);
            }
            (true, false) => run.recorder.pack(id, Level::Packs),
            (true, true)
                if is_decoded
                    && self.level == Level::Data
                    // Under every listing, also those that the snapshots do not use.
                    && self.listed.all().filter(|(_, pack)| pack.id == id).count()
                        == ordinals.len() =>
            {
                self.sound_again.insert(id);
                run.recorder.pack(id, self.level);
            }
            _ => {}
        }
        Ok(is_sound)
    }

    /// Says what is wrong with the bytes of a pack.
    fn examine(&mut self, pack: &PackInfo, object: &[u8], altered: bool) -> Result<Verdict> {
        const ALTERED: &str = "its bytes do not hash to its id: they were altered";
        let may_look = self.level == Level::Data || pack.kind() == BlobKind::Tree;
        if !may_look {
            return Ok(match altered {
                true => Verdict::Damaged(BadPack { problem: ALTERED.into(), lost: Lost::All }),
                false => Verdict::Sound { decoded: false },
            });
        }
        let inside = match self.look_inside(pack, object) {
            Ok(inside) => inside,
            Err(error) if error.is_damage() => {
                let problem = if altered { ALTERED.to_owned() } else { error.to_string() };
                return Ok(Verdict::Damaged(BadPack { problem, lost: Lost::All }));
            }
            Err(error) => return Err(error),
        };
        self.report.blobs += inside.decoded;
        let problem = match (altered, inside.why) {
            (true, _) => ALTERED.to_owned(),
            (false, Some(why)) => why,
            (false, None) => return Ok(Verdict::Sound { decoded: inside.passed_over == 0 }),
        };
        let remembered = self.bad.values().map(|bad| match &bad.lost {
            Lost::All => 0,
            Lost::Blobs(lost) => lost.len(),
        });
        let lost = match remembered.sum::<usize>() + inside.lost.len() <= LOST_BLOBS {
            true => Lost::Blobs(inside.lost.into_iter().collect()),
            false => Lost::All,
        };
        Ok(Verdict::Damaged(BadPack { problem, lost }))
    }

    /// Compares the footer with the index and decodes every blob that has its bases.
    fn look_inside(&self, pack: &PackInfo, object: &[u8]) -> Result<Inside> {
        let name = ObjectName::Pack(pack.pack_id);
        let damaged =
            |why: &str| RepositoryError::Damaged { object: name.to_string(), why: why.to_owned() };
        let cipher = cipher_from(self.reader.repository, &pack.pack_id, object)?;
        let table =
            footer_of(&cipher, object).map_err(|error| RepositoryError::in_object(name, error))?;
        let encoded = postcard::to_allocvec(&table)
            .map_err(|_| RepositoryError::Internal("a table does not encode"))?;
        if digest::hash(&encoded).0 != pack.table_digest {
            return Err(damaged("an index object tells other blobs than its footer"));
        }
        let entries: Vec<_> = table.entries(cipher.blobs_offset()).collect();
        let check = |entries: &[BlobEntry]| self.check_entries(&name, &cipher, object, entries);
        let parts: Vec<Inside> = if self.reader.repository.environment.one_at_a_time {
            entries.chunks(BATCH_BLOBS).map(check).collect::<Result<_>>()?
        } else {
            entries.par_chunks(BATCH_BLOBS).map(check).collect::<Result<_>>()?
        };
        let mut inside = Inside::default();
        parts.into_iter().for_each(|part| inside.add(part));
        Ok(inside)
    }

    /// Decodes blobs of a pack. What they rest on is read together, and decoded once.
    fn check_entries(
        &self,
        name: &ObjectName,
        cipher: &PackCipher,
        object: &[u8],
        entries: &[BlobEntry],
    ) -> Result<Inside> {
        let mut inside = Inside::default();
        let reader = self.reader;
        let kind = cipher.header().kind;
        let bases: Vec<BlobId> =
            entries.iter().flat_map(|entry| entry.encoding.bases()).copied().collect();
        let mut fetched = reader.begin(kind, &bases)?.wait(reader)?;
        let mut scratch = Vec::new();
        for entry in entries {
            let start = entry.offset as usize;
            let sealed = object.get(start..start + entry.stored_len as usize);
            let sealed = sealed.ok_or_else(|| RepositoryError::Damaged {
                object: name.to_string(),
                why: "a blob lies outside it".into(),
            })?;
            scratch.clear();
            scratch.extend_from_slice(sealed);
            // A base that is lost is the fault of the pack it lay in, which is checked by itself if a
            // snapshot needs it; if none does, it may have been collected.
            let bases: Result<HashMap<BlobId, Bytes>> = entry
                .encoding
                .bases()
                .iter()
                .map(|base| Ok((*base, fetched.blob(base)?)))
                .collect();
            let bases = match bases {
                Err(error) if error.is_damage() => {
                    inside.passed_over += 1;
                    continue;
                }
                bases => bases?,
            };
            let at = Location::new(0, 0, entry);
            let blob = SealedBlob { id: entry.id, at, name, cipher };
            let base = |base: &BlobId| bases.get(base).cloned().unwrap_or_default();
            match reader.decode(kind, &blob, &mut scratch, &mut |id| Ok(base(id))) {
                Ok(_) => inside.decoded += 1,
                Err(error) if error.is_damage() => {
                    inside.lost.push(entry.id);
                    inside.why.get_or_insert_with(|| error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(inside)
    }
}

/// The blob table in the footer of a whole pack.
pub(crate) fn footer_of(
    cipher: &PackCipher,
    object: &[u8],
) -> std::result::Result<BlobTable, CodecError> {
    let short = CodecError::NotAuthentic { what: "pack trailer" };
    let trailer_start =
        object.len().checked_sub(Trailer::SEALED_LEN).ok_or_else(|| short.clone())?;
    let sealed = object.get(trailer_start..).unwrap_or_default();
    let trailer = cipher.open_trailer(sealed, object.len() as u64)?;
    let range = trailer.footer_range(object.len() as u64);
    let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
    let sealed =
        start.ok().zip(end.ok()).and_then(|(start, end)| object.get(start..end)).ok_or(short)?;
    cipher.open_footer(sealed, &trailer, object.len() as u64)
}
