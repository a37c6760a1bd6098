//! One pass of a check: walk, look for packs, read them, say what is hit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use indexmap::IndexMap;
use nightjar_format::blob::BlobKind;
use nightjar_format::ids::SessionId;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{BlobId, PackId, limits};

use super::hits::{self, BadPack, Lost};
use super::listed::{Listed, Pack};
use super::plan::{self, Candidate, Turn};
use super::walk::{Met, through};
use super::{Doubts, Finding, IN_ALL, Level, Run, TO_WALK, VerifyReport};
use crate::error::{RepositoryError, Result};
use crate::index::database::Database;
use crate::index::sync::{self, Copies, open_private};
use crate::ledger::{self, Ledger};
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::snapshots::{self, SnapshotInfo};

/// What a pass found, and what recording it needs.
pub(super) struct Outcome {
    pub(super) report: VerifyReport,
    /// How many packs had ever been retired when it began.
    pub(super) retired: usize,
    /// The ledger's newest record then.
    pub(super) head: u64,
    /// What is to be looked at again if a collector was at work.
    pub(super) doubts: Doubts,
    /// Packs in the store that are damaged.
    pub(super) damaged: BTreeSet<PackId>,
    /// Packs that are recorded as damaged, and all of whose blobs could be decoded.
    pub(super) sound_again: BTreeSet<PackId>,
    /// Packs in scope, with their bytes.
    pub(super) packs: Vec<(PackId, u64)>,
    /// Snapshots in scope, with the bytes of their sources.
    pub(super) snapshots: Vec<(SessionId, u64)>,
    /// All packs in the store.
    pub(super) sizes: HashMap<PackId, u64>,
    /// All snapshots.
    pub(super) existing: HashSet<SessionId>,
}

/// Checks once.
pub(super) fn once(run: &mut Run<'_>) -> Result<Outcome> {
    let (repository, request) = (run.repository, run.request);
    if request.level == Level::Data && repository.keychain.role() != Role::Full {
        return Err(RepositoryError::RoleForbids { what: "verify at the level data" });
    }
    let ledger = ledger::read(repository)?;
    let (index, _) = open_private(repository, Copies::Refused)?;
    let reader = Reader::over(repository, Arc::new(index), None, run.progress);
    let sizes = stored_sizes(repository)?;
    let listed = Listed::new(&reader.index, &sizes)?;
    let list = snapshots::list(repository)?;
    let wanted: HashSet<SessionId> = request.snapshots.iter().copied().collect();
    let existing = list.snapshots.iter().chain(&list.forgotten);
    let scope: Vec<&SnapshotInfo> =
        existing.clone().filter(|info| wanted.contains(&info.id)).collect();
    let mut check = Check {
        reader: &reader,
        ledger: &ledger,
        listed: &listed,
        level: request.level,
        report: VerifyReport { snapshots_in_scope: scope.len() as u64, ..Default::default() },
        // A replica need not have what none of its snapshots needs.
        touched: (!request.whole_repository || repository.is_replica()).then(BTreeSet::new),
        all_present: request.whole_repository,
        walked: HashSet::new(),
        unsound: BTreeSet::new(),
        suspects: run.doubts.packs.clone(),
        doubted: BTreeSet::new(),
        times_listed: listed.times_listed(&ledger.state.damaged),
        bad: BTreeMap::new(),
        lost_blobs: 0,
        damaged: BTreeSet::new(),
        sound_again: BTreeSet::new(),
    };
    let walked = check.walk(run, &scope)?;
    if request.whole_repository {
        check.find("the repository", list.findings.clone());
        check.find("the local index", sync::status(repository)?.findings);
        check.metadata_objects()?;
        check.slots()?;
    }
    let packs = check.presence();
    let read = check.read_packs(run, &packs)?;
    check.known_damage(&packs, &read);
    check.report.complete = walked && read.len() == packs.len();
    check.tell_hits(run, &scope)?;
    let Check { mut report, bad, damaged, sound_again, unsound, .. } = check;
    report.findings.sort_by(|a, b| (&a.object, &a.problem).cmp(&(&b.object, &b.problem)));
    report.findings.dedup();
    let of_ordinal = |ordinal: &u32| listed.get(*ordinal).map(|pack| pack.id);
    let doubts = Doubts { packs: bad.keys().filter_map(of_ordinal).collect(), snapshots: unsound };
    let bytes_of = |info: &&SnapshotInfo| (info.id, info.snapshot.counts.bytes());
    Ok(Outcome {
        report,
        retired: ledger.state.retired.len(),
        head: ledger.head.number,
        doubts,
        damaged,
        sound_again,
        packs: packs.iter().map(|(id, pack)| (*id, pack.size)).collect(),
        snapshots: scope.iter().map(bytes_of).collect(),
        sizes,
        existing: existing.map(|info| info.id).collect(),
    })
}

/// A pack that belongs to what is checked.
pub(super) struct InScope {
    pub(super) size: u64,
    /// Under which it is listed; one, unless index objects contradict each other.
    pub(super) ordinals: Vec<u32>,
}

/// The packs in scope, in the order of their first ordinals.
pub(super) type Scope = IndexMap<PackId, InScope>;

pub(super) struct Check<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) ledger: &'a Ledger,
    pub(super) listed: &'a Listed,
    pub(super) level: Level,
    pub(super) report: VerifyReport,
    /// Ordinals of the packs that the snapshots need, unless all are checked.
    touched: Option<BTreeSet<u32>>,
    /// Whether those that are there are checked, too.
    all_present: bool,
    /// Snapshots that were walked.
    walked: HashSet<SessionId>,
    /// Those that lack something.
    unsound: BTreeSet<SessionId>,
    /// Packs that there is reason to doubt.
    suspects: BTreeSet<PackId>,
    /// Packs of which one holds, or held, a blob that could not be had when another pack was read.
    pub(super) doubted: BTreeSet<PackId>,
    /// How often each pack that is recorded as damaged is listed, in scope or not.
    pub(super) times_listed: HashMap<PackId, usize>,
    /// What is wrong with packs, by ordinal.
    pub(super) bad: BTreeMap<u32, BadPack>,
    /// Lost blobs that are remembered there one by one.
    pub(super) lost_blobs: usize,
    pub(super) damaged: BTreeSet<PackId>,
    pub(super) sound_again: BTreeSet<PackId>,
}

impl Check<'_> {
    pub(super) fn find(&mut self, object: &str, problems: Vec<String>) {
        let finding =
            |problem| Finding { object: object.to_owned(), problem, ..Default::default() };
        self.report.findings.extend(problems.into_iter().map(finding));
    }

    pub(super) fn add(&mut self, object: &str, problem: impl ToString) {
        self.find(object, vec![problem.to_string()]);
    }

    /// Walks the snapshots that have their turn; whether those are all.
    ///
    /// Which packs snapshots need shows only by walking them. So where not all packs are checked, all
    /// snapshots are walked, or as many as there is time for.
    fn walk(&mut self, run: &mut Run<'_>, scope: &[&SnapshotInfo]) -> Result<bool> {
        let bounds = run.request.bounds;
        let candidate = |info: &&SnapshotInfo| Candidate {
            amount: 1,
            last: run.coverage.snapshot(&info.id),
            turn: if run.doubts.snapshots.contains(&info.id) { Turn::First } else { Turn::Queue },
        };
        let candidates: Vec<Candidate> = scope.iter().map(candidate).collect();
        let chosen = if self.touched.is_none() {
            let bytes = self.listed.all().map(|(_, pack)| pack.size).sum();
            let budget = plan::snapshot_budget(bounds.sample, bytes, scope.len() as u64);
            plan::choose(&candidates, &bounds, budget)
        } else {
            plan::choose(
                &candidates,
                &plan::Bounds { deadline: bounds.deadline, ..Default::default() },
                None,
            )
        };
        let mut sound = 0;
        for place in &chosen {
            let Some((info, candidate)) = scope.get(*place).zip(candidates.get(*place)) else {
                continue;
            };
            // One at least, and one that lacks something does not count: so runs that are cut off
            // come around as well.
            if sound > 0 && candidate.turn != Turn::First && run.is_over(TO_WALK) {
                self.report.out_of_time = true;
                break;
            }
            if self.walk_one(info)? {
                run.recorder.snapshot(info.id);
                sound += 1;
            } else {
                self.unsound.insert(info.id);
            }
        }
        Ok(self.report.snapshots == scope.len() as u64)
    }

    /// Decodes a snapshot's nodes and looks up its chunks; whether nothing is missing.
    fn walk_one(&mut self, info: &SnapshotInfo) -> Result<bool> {
        self.report.snapshots += 1;
        self.walked.insert(info.id);
        let mut is_sound = self.has_register(info)?;
        through(self.reader, &info.snapshot.root, &mut |_, met| {
            match met {
                Met::Reference { kind, id, length } => {
                    is_sound &= self.look_up(kind, id, length)?
                }
                Met::Unreadable(RepositoryError::LostBlob { id, .. }) => {
                    is_sound = false;
                    self.suspect(*id)?;
                }
                Met::Unreadable(_) | Met::Length { .. } => is_sound = false,
            }
            Ok(())
        })?;
        Ok(is_sound)
    }

    /// Whether a blob can be had, by what is listed and in the store, and is what it should be.
    fn look_up(&mut self, kind: BlobKind, id: &BlobId, length: Option<u64>) -> Result<bool> {
        self.report.references += 1;
        let is_whole = |_: &Database, ordinal| self.listed.is_whole(ordinal);
        let Some(support) = self.reader.index.support(&[*id], &is_whole)? else {
            let ordinals = self.ordinals_of(*id)?;
            if let Some(touched) = &mut self.touched {
                touched.extend(ordinals);
            }
            return Ok(false);
        };
        let mut fits = support
            .places
            .last()
            .is_some_and(|(_, at)| length.is_none_or(|length| u64::from(at.raw_len) == length));
        for (_, at) in &support.places {
            fits &= self.listed.get(at.pack).is_some_and(|pack| pack.kind == kind);
            if let Some(touched) = &mut self.touched {
                touched.insert(at.pack);
            }
        }
        Ok(fits)
    }

    /// Something that was to be read from these packs could not be.
    fn suspect(&mut self, id: BlobId) -> Result<()> {
        let ordinals = self.ordinals_of(id)?;
        let packs = ordinals.iter().filter_map(|ordinal| Some(self.listed.get(*ordinal)?.id));
        self.suspects.extend(packs);
        if let Some(touched) = &mut self.touched {
            touched.extend(ordinals);
        }
        Ok(())
    }

    /// Every pack in which a blob, or something that it may rest on, lies or lay.
    pub(super) fn ordinals_of(&self, id: BlobId) -> Result<BTreeSet<u32>> {
        let mut ordinals = BTreeSet::new();
        each_place(self.reader, id, |_, ordinal| {
            ordinals.insert(ordinal);
        })?;
        Ok(ordinals)
    }

    /// Says which packs are in scope, and which of these are not in the store as they should be.
    fn presence(&mut self) -> Scope {
        let retired = &self.ledger.state.retired;
        let in_scope = |ordinal: u32, pack: &Pack| {
            // A retired pack is gone, whether the index objects say so yet or not.
            let is_listed = self.all_present && !retired.contains(&pack.id);
            match &self.touched {
                Some(touched) => touched.contains(&ordinal) || (is_listed && pack.stored.is_some()),
                None => is_listed,
            }
        };
        let mut scope = Scope::new();
        for (ordinal, pack) in self.listed.all().filter(|(ordinal, it)| in_scope(*ordinal, it)) {
            let new = || InScope { size: pack.size, ordinals: Vec::new() };
            scope.entry(pack.id).or_insert_with(new).ordinals.push(ordinal);
            if let Some(problem) = pack.problem() {
                self.bad.insert(ordinal, BadPack { problem, lost: Lost::All });
            }
        }
        for (id, pack) in &scope {
            let in_store = pack
                .ordinals
                .iter()
                .any(|it| self.listed.get(*it).is_some_and(|it| it.stored.is_some()));
            if in_store && !pack.ordinals.iter().any(|ordinal| self.listed.is_whole(*ordinal)) {
                self.damaged.insert(*id);
            }
        }
        self.report.packs_in_scope = scope.len() as u64;
        scope
    }

    /// The packs to read, in this order.
    pub(super) fn plan_packs(&self, run: &Run<'_>, scope: &Scope) -> Vec<(usize, Turn)> {
        let bounds = run.request.bounds;
        let turn = |id: &PackId| {
            if self.suspects.contains(id) {
                Turn::First
            } else if self.ledger.state.damaged.contains(id) {
                Turn::Last
            } else {
                Turn::Queue
            }
        };
        let candidate = |(id, pack): (&PackId, &InScope)| Candidate {
            amount: pack.size,
            last: run.coverage.pack(id, self.level),
            turn: turn(id),
        };
        let candidates: Vec<Candidate> = scope.iter().map(candidate).collect();
        let bytes = scope.values().map(|pack| pack.size).sum();
        let chosen = plan::choose(&candidates, &bounds, plan::pack_budget(bounds.sample, bytes));
        let with_turn = |place: usize| Some((place, candidates.get(place)?.turn));
        chosen.into_iter().filter_map(with_turn).collect()
    }

    /// Packs that the ledger says are damaged, and of which this run does not know better.
    fn known_damage(&mut self, scope: &Scope, read: &HashSet<PackId>) {
        for (id, pack) in scope.iter().filter(|(id, _)| self.ledger.state.damaged.contains(*id)) {
            if self.sound_again.contains(id) {
                continue;
            }
            let problem = match read.contains(id) && self.level > Level::Presence {
                true => {
                    "the ledger records it as damaged: its bytes are right, and whether all of its \
                     blobs are was not found out"
                }
                false => "the ledger records it as damaged, and this run did not read it",
            };
            for ordinal in &pack.ordinals {
                let bad = || BadPack { problem: problem.to_owned(), lost: Lost::All };
                self.bad.entry(*ordinal).or_insert_with(bad);
            }
        }
    }

    /// Whether anything was found that snapshots may be hit by.
    pub(super) fn has_damage(&self) -> bool {
        !self.bad.is_empty() || !self.unsound.is_empty()
    }

    /// Walks the snapshots once more if anything is wrong, and makes findings of all of it.
    fn tell_hits(&mut self, run: &mut Run<'_>, scope: &[&SnapshotInfo]) -> Result<()> {
        if !self.has_damage() {
            return Ok(());
        }
        // What is known to lack something first, then the newest: time may run out.
        let mut order: Vec<&SnapshotInfo> = scope.iter().rev().copied().collect();
        order.sort_by_key(|info| !self.unsound.contains(&info.id));
        let is_over = || run.is_over(IN_ALL);
        let hits = hits::find(self.reader, self.listed, &self.bad, &order, &is_over)?;
        let (walked, unknown) = order.split_at(hits.walked);
        self.report.hits_unknown = unknown.len() as u64;
        self.report.out_of_time |= !unknown.is_empty();
        for info in unknown.iter().filter(|info| self.unsound.contains(&info.id)) {
            self.report.findings.push(Finding {
                object: ObjectName::Snapshot(info.id).to_string(),
                problem: "something is wrong with it, and there was no time to find out what"
                    .to_owned(),
                snapshots: vec![info.id],
                ..Finding::default()
            });
        }
        let hit: HashSet<SessionId> = hits.snapshots.iter().map(|hit| hit.snapshot).collect();
        for info in walked.iter().filter(|info| !hit.contains(&info.id)) {
            // This was a walk, too, but for the snapshot's own object.
            if self.walked.insert(info.id) && self.has_register(info)? {
                run.recorder.snapshot(info.id);
            }
        }
        self.report.findings.extend(hits::pack_findings(
            self.reader,
            self.listed,
            &self.bad,
            &hits,
        )?);
        self.report.findings.extend(hits.findings);
        self.report.hits = hits.snapshots;
        Ok(())
    }
}

/// Tells of every place at which a blob, or something that it may rest on, lies or lay.
pub(super) fn each_place(
    reader: &Reader<'_>,
    id: BlobId,
    mut tell: impl FnMut(&BlobId, u32),
) -> Result<()> {
    let mut seen = HashSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        if seen.len() == limits::SUPPORT || !seen.insert(id) {
            continue;
        }
        for at in reader.index.locations(&id)? {
            tell(&id, at.pack);
            open.extend(at.encoding.bases());
        }
    }
    Ok(())
}
