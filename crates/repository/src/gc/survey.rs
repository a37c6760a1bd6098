//! What there is, and what of it is alive.
//!
//! Snapshots are listed first, *then* the index objects are read, then packs and sessions are
//! listed: what a snapshot in the list needs was listed before it was committed, so it is found.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use nightjar_format::object::ObjectName;
use nightjar_format::pack::PackHeader;
use nightjar_format::{BlobId, PackId, SessionId};

use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::gc::evacuate::Copies;
use crate::gc::mark::{Fate, Marks, mark};
use crate::gc::plan::{Candidates, PackUse};
use crate::index::database::{PackInfo, Standing};
use crate::index::sync::{self, open_private};
use crate::ledger::Ledger;
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;
use crate::snapshots;

/// The packs of a repository, and what is alive in them.
pub(super) struct Survey<'a> {
    pub(super) reader: Reader<'a>,
    /// Packs that are not gone, with their ordinals.
    pub(super) packs: Vec<(u32, PackInfo)>,
    /// By ordinal.
    pub(super) fates: Vec<Fate>,
    pub(super) marks: Marks,
    /// Registers that stood there when the snapshots were listed.
    registers: BTreeSet<SessionId>,
    /// Bytes of each pack in the store.
    sizes: HashMap<PackId, u64>,
}

impl<'a> Survey<'a> {
    /// Marks everything afresh. What lies in packs that are `going` has to move, and `copied` are packs
    /// into which this round copied what lay in those.
    pub(super) fn take(
        repository: &'a Repository,
        ledger: &Ledger,
        going: &BTreeSet<PackId>,
        copied: &Copies,
        progress: &'a Progress,
    ) -> Result<Self> {
        let list = snapshots::list_under(repository, ledger)?;
        if let Some(id) = list.lost.first().or(list.exchanged.first()) {
            let why = format!(
                "it is damaged, exchanged or gone, so what it needs is unknown and nothing may be \
                 collected; bring it back with `nightjar repair --from URL`, or strike it off with `nightjar snapshot \
                 forget {} --reason …`",
                id.short()
            );
            let object = ObjectName::Snapshot(*id).to_string();
            return Err(RepositoryError::Damaged { object, why });
        }
        let (index, _) = open_private(repository, sync::Copies::Welcome)?;
        let reader = Reader::over(repository, Arc::new(index), None, progress);
        let sizes = stored_sizes(repository)?;
        let packs = reader.index.packs()?;
        let (mut fates, mut copies) = (Vec::new(), HashSet::new());
        for (ordinal, info) in &packs {
            let is_there = info.standing == Standing::Listed
                && sizes.get(&info.pack_id) == Some(&info.size)
                && !ledger.state.retired.contains(&info.pack_id);
            let fate = match is_there {
                false => Fate::Absent,
                true if going.contains(&info.pack_id) => Fate::Goes,
                true if ledger.state.damaged.contains(&info.pack_id) => Fate::Suspect,
                true => Fate::Stays,
            };
            if copied.contains(&info.listing()) {
                copies.insert(*ordinal);
            }
            let place = *ordinal as usize;
            if fates.len() <= place {
                fates.resize(place + 1, Fate::Absent);
            }
            if let Some(slot) = fates.get_mut(place) {
                *slot = fate;
            }
        }
        // The newest first: what moves is laid out in its order.
        let roots: Vec<BlobId> = list.snapshots.iter().rev().map(|it| it.snapshot.root).collect();
        let marks = mark(&reader, &roots, &fates, &copies)?;
        let registers = list.registers().collect();
        Ok(Self { reader, packs, fates, marks, registers, sizes })
    }

    /// Packs of which something is alive, with their sizes.
    pub(super) fn alive_packs(&self) -> impl Iterator<Item = (PackId, u64)> + '_ {
        let is_alive =
            |ordinal: u32| self.marks.blobs.get(ordinal as usize).is_some_and(|it| *it > 0);
        let alive = self.packs.iter().filter(move |(ordinal, _)| is_alive(*ordinal));
        alive.map(|(_, info)| (info.pack_id, info.size))
    }

    /// The packs that may be condemned, with what is alive in each; and those that no index object
    /// lists, with their sizes. Those of writers that are at work are left out, which saves effort
    /// and is not what safety rests on.
    /// What `own` wrote is complete: this asks between its rounds.
    pub(super) fn candidates(
        &self,
        repository: &Repository,
        ledger: &Ledger,
        own: Option<SessionId>,
    ) -> Result<Candidates> {
        let mut busy = Busy::look(repository, &self.registers)?;
        own.iter().for_each(|own| {
            busy.sessions.remove(own);
        });
        let mut uses: HashMap<PackId, PackUse> = HashMap::new();
        let (mut known, mut of_busy): (HashSet<PackId>, HashSet<PackId>) = Default::default();
        for (ordinal, info) in &self.packs {
            if info.standing == Standing::Listed {
                known.insert(info.pack_id);
            }
            if busy.has(&info.session) {
                of_busy.insert(info.pack_id);
                continue;
            }
            let place = *ordinal as usize;
            // What is lost, and needed by nobody, or marking would have said so, only stands in the
            // index.
            let is_lost = info.standing == Standing::Listed
                && !self.sizes.contains_key(&info.pack_id)
                && !ledger.state.retired.contains(&info.pack_id);
            if !is_lost && !matches!(self.fates.get(place), Some(Fate::Stays | Fate::Suspect)) {
                continue;
            }
            // Where two index objects tell different things of a pack, what either tells counts.
            let pack = uses.entry(info.pack_id).or_insert(PackUse {
                pack: info.pack_id,
                kind: info.kind(),
                size: if is_lost { 0 } else { info.size },
                stored_bytes: 0,
                live_bytes: 0,
                live_blobs: 0,
                damaged: ledger.state.damaged.contains(&info.pack_id),
            });
            if !is_lost {
                pack.stored_bytes = pack.stored_bytes.max(info.stored_bytes);
            }
            pack.live_bytes += self.marks.bytes.get(place).copied().unwrap_or_default();
            pack.live_blobs += self.marks.blobs.get(place).copied().unwrap_or_default();
        }
        let (mut strays, mut misfits) = (Vec::new(), Vec::new());
        for (id, size) in &self.sizes {
            if ledger.state.retired.contains(id) || of_busy.contains(id) || uses.contains_key(id) {
                continue;
            }
            if known.contains(id) {
                misfits.push(*id);
            } else {
                strays.push((*id, *size));
            }
        }
        strays.sort_unstable();
        misfits.sort_unstable();
        let mut unlisted = Vec::new();
        for (id, size) in strays {
            if !busy.has_written(repository, id, size)? {
                unlisted.push((id, size));
            }
        }
        Ok(Candidates { listed: uses.into_values().collect(), unlisted, misfits })
    }
}

/// Sessions that are not resolved, or were only after the snapshots had been listed.
struct Busy {
    sessions: HashSet<SessionId>,
}

impl Busy {
    fn look(repository: &Repository, before: &BTreeSet<SessionId>) -> Result<Self> {
        let sessions = repository.store.list("sessions")?;
        let registers = repository.store.list("snapshots")?;
        let registered: HashSet<SessionId> =
            registers.iter().filter_map(|info| session_of(&info.name)).collect();
        let announced = sessions.iter().filter_map(|info| session_of(&info.name));
        let mut busy: HashSet<SessionId> =
            announced.filter(|id| !registered.contains(id)).collect();
        busy.extend(registered.into_iter().filter(|id| !before.contains(id)));
        Ok(Self { sessions: busy })
    }

    fn has(&self, session: &SessionId) -> bool {
        self.sessions.contains(session)
    }

    /// Whether a pack that no index object lists was written by one of them.
    fn has_written(&self, repository: &Repository, id: PackId, size: u64) -> Result<bool> {
        let name = ObjectName::Pack(id).to_string();
        let range = 0..size.min(PackHeader::LEN as u64);
        match repository.store.get_range(&name, range).map_err(RepositoryError::from) {
            Ok(bytes) => {
                let header = PackHeader::from_bytes(&bytes);
                Ok(header.is_ok_and(|header| self.has(&header.session)))
            }
            // What cannot be read is nobody's pack.
            Err(error) if error.is_damage() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn session_of(name: &str) -> Option<SessionId> {
    match ObjectName::parse(name)? {
        ObjectName::Session(id) | ObjectName::Snapshot(id) => Some(id),
        _ => None,
    }
}
