//! Packs, read whole.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_format::{PackId, limits};

use super::check::{Check, InScope, Scope};
use super::hits::{BadPack, Lost};
use super::plan::Turn;
use super::{IN_ALL, Level, Run, TO_READ};
use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::Result;
use crate::index::database::PackInfo;
use crate::packs::{Decoded, Listing, WholePack};

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
        let mut sound = 0;
        self.read_queue(run, scope, queue, TO_READ, &mut sound, &mut done)?;
        // A sample may have left them out; whatever is wrong with them is told now.
        while !self.doubted.is_empty() {
            let doubted = std::mem::take(&mut self.doubted).into_iter();
            let doubted = doubted.filter(|id| !done.contains(id));
            let queue = doubted.filter_map(|id| Some((id, scope.get(&id)?, Turn::Queue))).collect();
            self.read_queue(run, scope, queue, IN_ALL, &mut sound, &mut done)?;
        }
        Ok(done)
    }

    /// Reads packs in this order, and notes which were read and how many are sound. Where there is
    /// damage to be traced, none is begun after so many quarters of the time.
    fn read_queue(
        &mut self,
        run: &mut Run<'_>,
        scope: &Scope,
        queue: Vec<(PackId, &InScope, Turn)>,
        quarters: i64,
        sound: &mut u64,
        done: &mut HashSet<PackId>,
    ) -> Result<()> {
        let progress = self.reader.progress;
        let before = progress.bytes.load(Ordering::Relaxed);
        let planned: u64 = queue.iter().map(|(_, pack, _)| pack.size).sum();
        progress.total.store(before + planned, Ordering::Relaxed);
        let names = queue.iter().map(|(id, pack, _)| (ObjectName::Pack(*id), pack.size));
        let names: Vec<(ObjectName, u64)> = names.collect();
        let mut objects = Ahead::new(self.reader.repository, names.into_iter(), limits::PACK_BYTES);
        let known = scope.keys().any(|id| self.ledger.state.damaged.contains(id));
        for (id, pack, turn) in queue {
            // One at least, and a damaged one does not count: so runs that are cut off come around
            // as well.
            let has_damage = known || self.has_damage() || !self.doubted.is_empty();
            let quarters = if has_damage { quarters } else { IN_ALL };
            if *sound > 0 && turn != Turn::First && run.is_over(quarters) {
                self.report.out_of_time = true;
                break;
            }
            let Some((_, object)) = objects.next() else { break };
            if self.read_pack(run, id, &pack.ordinals, object)? {
                *sound += 1;
            }
            self.report.packs += 1;
            done.insert(id);
            Progress::add(&progress.items, 1);
        }
        Ok(())
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
                    && self.times_listed.get(&id) == Some(&ordinals.len()) =>
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
        let inside = match self.look_inside(&pack.listing(), object) {
            Ok(inside) => inside,
            Err(error) if error.is_damage() => {
                let problem = if altered { ALTERED.to_owned() } else { error.to_string() };
                return Ok(Verdict::Damaged(BadPack { problem, lost: Lost::All }));
            }
            Err(error) => return Err(error),
        };
        let Some(inside) = inside else {
            return Ok(match altered {
                true => Verdict::Damaged(BadPack { problem: ALTERED.into(), lost: Lost::All }),
                false => Verdict::Sound { decoded: false },
            });
        };
        self.report.blobs += inside.blobs;
        for base in inside.lost_bases.keys() {
            let packs = self.ordinals_of(*base)?.into_iter();
            let packs = packs.filter_map(|ordinal| Some(self.listed.get(ordinal)?.id));
            // What is recorded as damaged is told anyway.
            let is_news = |id: &PackId| !self.ledger.state.damaged.contains(id);
            self.doubted.extend(packs.filter(is_news));
        }
        let problem = match (altered, inside.why) {
            (true, _) => ALTERED.to_owned(),
            (false, Some(why)) => why,
            (false, None) => return Ok(Verdict::Sound { decoded: inside.lost_bases.is_empty() }),
        };
        let lost = match self.lost_blobs + inside.lost.len() <= LOST_BLOBS {
            true => {
                self.lost_blobs += inside.lost.len();
                Lost::Blobs(inside.lost.into_iter().collect())
            }
            false => Lost::All,
        };
        Ok(Verdict::Damaged(BadPack { problem, lost }))
    }

    /// Compares a pack with a listing and decodes what of it the level asks for, and the slot may;
    /// nothing if that is none.
    fn look_inside(&self, listing: &Listing, object: &[u8]) -> Result<Option<Decoded>> {
        listing.require_outside(object)?;
        if self.level < Level::Data && listing.kind == BlobKind::Data {
            return Ok(None);
        }
        let whole = WholePack::open(self.reader.repository, &listing.pack_id, object)?;
        whole.require(listing)?;
        let decoded = whole.decode(self.reader)?;
        decoded.without_collected(self.reader, &self.ledger.state.retired).map(Some)
    }
}
