//! Garbage collection: what no snapshot needs goes, while backups run (format-spec, chapter 13).
//!
//! ```text
//!  sweep ─→ plan ─→ copy ─→ Condemn ─→ sessions ─→ mark afresh, ─→ Retire ─→ sweep
//!           (mark)  ahead   ledger     wait, or    move the rest   ledger    delete
//!                                      fence
//! ```
//!
//! What is alive in packs that are to go is copied first, so that whoever begins a backup meanwhile
//! finds it. One create in the ledger condemns the packs; from then on writers store anew what lies
//! nowhere else.
//! Those that had begun before are waited for. Only then is marked what is alive, for now nobody can
//! come to need anything in these packs any more; what of it has no copy moves; one more create in
//! the ledger retires the packs, and only what is retired is deleted. Whoever dies anywhere in between leaves
//! a repository in which everything can be restored, and the next run goes on from there.
//!
//! - `survey` says what is there and alive (`mark`, in the `rows` of packs);
//! - `plan` decides, and does nothing; so does `weight`, of deltas that rest on what is dead;
//! - `reencode`, `sessions`, `evacuate` and `sweep` do what was decided;
//! - `erasure` says for the record when nothing is left of what was erased.

mod erasure;
mod evacuate;
pub(crate) mod mark;
mod plan;
mod reencode;
mod rows;
mod sessions;
mod survey;
mod sweep;
mod weight;

use std::collections::BTreeSet;

use nightjar_format::PackId;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::session::Position;

pub use erasure::Erasure;
pub use plan::{Bounds, Plan, Reason};
pub use reencode::Reencoded;
pub use sessions::Waiting;
pub use sweep::Swept;

use crate::bundles;
use crate::environment::Progress;
use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;
use crate::session::Session;
use evacuate::{Copies, Moved, copy_ahead, evacuate};
use plan::Candidates;
use reencode::reencode;
use survey::Survey;
use sweep::{sweep, sweep_bundles, sweep_unfinished};
use weight::{DeadWeight, Total};

/// What to collect, and how far to go.
#[derive(Debug, Clone, Copy)]
pub struct GcRequest {
    /// How far to go.
    pub bounds: Bounds,
    /// Writers that were silent for so long are fenced, in nanoseconds.
    pub session_timeout: i64,
    /// Nothing new is begun after this, in Unix nanoseconds.
    pub deadline: Option<i64>,
    /// Nobody else changes this repository meanwhile: needed where the store ignores conditions.
    pub exclusive: bool,
    /// For how long the store keeps what is deleted (versions, locks, soft deletion), in
    /// nanoseconds, as its operator says: the record of an erasure says until when.
    pub keeps_deleted: Option<i64>,
}

impl Default for GcRequest {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            session_timeout: SESSION_TIMEOUT,
            deadline: None,
            exclusive: false,
            keeps_deleted: None,
        }
    }
}

/// A day: writers renew their sessions every ten minutes.
pub const SESSION_TIMEOUT: i64 = 24 * 3600 * 1_000_000_000;

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct GcReport {
    /// What was decided, of all rounds together; the last one's for what stays.
    pub plan: Plan,
    /// Rounds that were brought to their end.
    pub rounds: u64,
    /// The first was one that another run had begun.
    pub resumed: bool,
    /// Blobs that moved.
    pub moved_blobs: u64,
    /// Bytes of new packs and index objects for them.
    pub moved_bytes: u64,
    /// What was stored whole, for it rested on what no snapshot needs.
    pub reencoded: Reencoded,
    /// What was deleted.
    pub swept: Swept,
    /// Packs that were condemned, hold something alive that cannot be read, and stay.
    pub damaged: BTreeSet<PackId>,
    /// Packs that do not hold what index objects say; what was needed was had from elsewhere.
    pub suspect: BTreeSet<PackId>,
    /// Writers that must end first: run it again later.
    pub waiting: Vec<Waiting>,
    /// The deadline came before everything was done.
    pub out_of_time: bool,
    /// How the erasure stands that the ledger asks for.
    pub erasure: Option<Erasure>,
}

/// What a run would do.
#[derive(Debug, Clone, Default)]
pub struct Preview {
    /// What would go.
    pub plan: Plan,
    /// The ledger asks for an erasure, which the next run carries out whatever its bounds.
    pub erases: bool,
    /// Blobs that would be stored whole, for they rest on what no snapshot needs.
    pub reencoded_blobs: u64,
    /// Bytes that they would take, roughly.
    pub reencoded_bytes: u64,
    /// Bytes that nothing would need any more then, beyond the plan.
    pub reencoded_frees: u64,
    /// Packs that an earlier run condemned and that are not retired yet.
    pub condemned: u64,
    /// Objects that are retired or forgotten, and still there.
    pub leftovers: u64,
}

/// Says what [`collect`] would do.
pub fn preview(repository: &Repository, bounds: &Bounds, progress: &Progress) -> Result<Preview> {
    let ledger = ledger::read(repository)?;
    ledger.require_whole()?;
    let state = &ledger.state;
    let open: BTreeSet<PackId> = state.condemned.values().flatten().copied().collect();
    let survey = take_survey(repository, &ledger, &open, &Copies::new(), progress)?;
    let erases = !state.erasures.is_empty();
    let bounds = &bounds_of(bounds, erases);
    let candidates = survey.candidates(repository, &ledger, None)?;
    let heavy = DeadWeight::find(&survey, &candidates, bounds, erases)?;
    let total = heavy.map_or_else(Total::default, |(_, total)| total);
    let target = u64::from(repository.record.pack_target_bytes);
    Ok(Preview {
        erases,
        reencoded_blobs: total.blobs,
        reencoded_bytes: total.whole,
        reencoded_frees: total.frees,
        plan: plan::plan(candidates, target, bounds),
        condemned: open.len() as u64,
        leftovers: sweep::leftovers(repository, state)?,
    })
}

/// Nothing may stay unused where something is to be erased.
fn bounds_of(asked: &Bounds, erases: bool) -> Bounds {
    Bounds { unused_permille: if erases { 0 } else { asked.unused_permille }, ..*asked }
}

/// Collects what no snapshot needs.
pub fn collect(
    repository: &Repository,
    request: &GcRequest,
    progress: &Progress,
) -> Result<GcReport> {
    repository.require_full("collect garbage")?;
    if !repository.record.conditional_create && !request.exclusive {
        return Err(RepositoryError::Refused(
            "this store ignores conditional creation, so the repository has a single writer; \
             when nothing else works on it, anywhere, run gc with --exclusive"
                .into(),
        ));
    }
    let mut session = Session::begin(repository)?;
    let outcome = erasure::asked_for(repository).and_then(|erase| {
        let report = GcReport::default();
        Collection {
            repository,
            request,
            progress,
            erase,
            report,
            passes: 0,
            places_changed: false,
            copied: Copies::new(),
        }
        .run(&mut session)
    });
    // No register is ever created for it, so nothing can be pending.
    session.abandon();
    outcome
}

struct Collection<'a> {
    repository: &'a Repository,
    request: &'a GcRequest,
    progress: &'a Progress,
    /// The newest Forget that asks for erasure.
    erase: Option<u64>,
    report: GcReport,
    /// How often blobs on dead weight were stored whole.
    passes: u32,
    /// Blobs lost one of several places in the last round: what they rest on now may be other blobs
    /// than when it was planned.
    places_changed: bool,
    /// The packs that the round which is open was copied to before.
    copied: Copies,
}

impl<'a> Collection<'a> {
    fn run(mut self, session: &mut Session<'_>) -> Result<GcReport> {
        // Whoever died is over, whether anything waits for it or not.
        let timeout = self.request.session_timeout;
        sessions::unresolved(self.repository, session, None, timeout)?;
        self.sweep(session)?;
        sweep_unfinished(self.repository, session.id(), timeout, &mut self.report.swept)?;
        loop {
            let (condemned, packs) = match self.open_round()? {
                Some(open) => open,
                None => match self.begin_round(session)? {
                    Some(begun) => begun,
                    None => break,
                },
            };
            let since = Some(condemned);
            self.report.waiting = sessions::unresolved(self.repository, session, since, timeout)?;
            if !self.report.waiting.is_empty() {
                break;
            }
            loop {
                match self.finish_round(session, condemned, &packs) {
                    Ok(true) => break,
                    Ok(false) => tracing::debug!("packs are damaged by now; marking again"),
                    // Another collector closed it and deleted what this one was reading.
                    Err(error) if error.is_damage() && !self.is_open(condemned)? => break,
                    Err(error) => return Err(error),
                }
            }
            self.copied.clear();
            self.report.rounds += 1;
            self.sweep(session)?;
            if !self.has_more() {
                break;
            }
        }
        let swept = &mut self.report.swept;
        sweep_bundles(self.repository, self.erase.is_some(), swept, self.progress)?;
        if let Some(up_to) = self.erase {
            self.report.erasure = Some(self.conclude_erasure(session, up_to)?);
        }
        bundles::make_of_records(self.repository);
        Ok(self.report)
    }

    fn conclude_erasure(&self, session: &mut Session<'_>, up_to: u64) -> Result<Erasure> {
        let Self { repository, request, progress, report, .. } = self;
        erasure::conclude(repository, session, up_to, request, &report.swept, progress)
    }

    /// Whether another round could find something to do.
    fn has_more(&self) -> bool {
        let GcReport { plan, resumed, rounds, .. } = &self.report;
        let asked = self.request.deadline.is_some() || self.erase.is_some();
        plan.truncated || asked || self.places_changed || (*resumed && *rounds == 1)
    }

    fn sweep(&mut self, session: &Session<'_>) -> Result<()> {
        let ledger = ledger::read(self.repository)?;
        ledger.require_whole()?;
        let swept = sweep(self.repository, session.id(), &ledger.state, self.progress)?;
        self.report.swept.add(swept);
        Ok(())
    }

    /// A round that somebody began and nobody closed.
    fn open_round(&mut self) -> Result<Option<(Position, BTreeSet<PackId>)>> {
        let ledger = ledger::read(self.repository)?;
        ledger.require_whole()?;
        let Some((number, packs)) = ledger.state.condemned.first_key_value() else {
            return Ok(None);
        };
        self.report.resumed |= self.report.rounds == 0;
        let position = Position { number: *number, ..ledger.head };
        Ok(Some((position, packs.iter().copied().collect())))
    }

    /// Plans a round and condemns its packs; nothing if there is nothing to do.
    fn begin_round(
        &mut self,
        session: &mut Session<'_>,
    ) -> Result<Option<(Position, BTreeSet<PackId>)>> {
        loop {
            let now = self.repository.environment.clock.now();
            if self.request.deadline.is_some_and(|deadline| now >= deadline) {
                self.report.out_of_time = true;
                return Ok(None);
            }
            let ledger = ledger::read(self.repository)?;
            if !ledger.state.condemned.is_empty() {
                // Another collector was faster: its round is to be closed first.
                return self.open_round();
            }
            let none = BTreeSet::new();
            let survey = self.survey(&ledger, &none)?;
            let mut candidates = survey.candidates(self.repository, &ledger, Some(session.id()))?;
            // What this run could not read and spared, it would only spare again.
            candidates.listed.retain(|pack| !self.report.damaged.contains(&pack.pack));
            if self.lighten(session, &survey, &candidates)? {
                continue;
            }
            drop(survey);
            let target = u64::from(self.repository.record.pack_target_bytes);
            let mut plan = plan::plan(candidates, target, &self.bounds());
            if plan.packs.is_empty() {
                self.report.plan.stays(&plan);
                return Ok(None);
            }
            let now = ledger::read(self.repository)?;
            if !may_condemn(&now, &ledger) {
                continue;
            }
            let copied = match plan.moved_blobs {
                0 => Copies::new(),
                _ => self.move_ahead(session, &now, &mut plan)?,
            };
            let packs: BTreeSet<PackId> = plan.packs.keys().copied().collect();
            if let Some(condemned) = self.condemn(&ledger, &packs)? {
                self.report.plan.add(plan);
                self.copied = copied;
                return Ok(Some((condemned, packs)));
            }
        }
    }

    /// Copies what is alive in packs that are to go before they are condemned: writers that begin
    /// from then on find the copies, and need not store again what only lies in these packs. What it
    /// cannot read is left for later.
    ///
    /// An earlier run may have died here. Then what it copied is dead by the plan, for the older
    /// places count; as everything else goes, it is alive, and stays.
    fn move_ahead(
        &mut self,
        session: &mut Session<'_>,
        ledger: &Ledger,
        plan: &mut Plan,
    ) -> Result<Copies> {
        let going = plan.packs.iter().filter(|(_, reason)| **reason != Reason::Dead);
        let going = going.map(|(pack, _)| *pack).collect();
        let mut survey = self.survey(ledger, &going)?;
        plan.spare(survey.alive_packs());
        let ahead = copy_ahead(self.repository, session, &mut survey, self.progress)?;
        self.report.moved_blobs += ahead.blobs;
        self.report.moved_bytes += ahead.bytes;
        Ok(ahead.packs)
    }

    fn survey(&self, ledger: &Ledger, going: &BTreeSet<PackId>) -> Result<Survey<'a>> {
        take_survey(self.repository, ledger, going, &self.copied, self.progress)
    }

    /// Stores whole what had better be. True if anything was: then more is dead, and what other blobs
    /// rest on besides may be theirs alone.
    fn lighten(
        &mut self,
        session: &mut Session<'_>,
        survey: &Survey<'_>,
        candidates: &Candidates,
    ) -> Result<bool> {
        let bounds = self.bounds();
        if self.passes == MOST_PASSES {
            return Ok(false);
        }
        let Some((weight, _)) =
            DeadWeight::find(survey, candidates, &bounds, self.erase.is_some())?
        else {
            return Ok(false);
        };
        let most = bounds.move_bytes;
        let done = reencode(self.repository, session, survey, weight, most, self.progress)?;
        self.passes = if done.blobs == 0 { MOST_PASSES } else { self.passes + 1 };
        self.report.reencoded.add(done);
        Ok(done.blobs > 0)
    }

    /// Condemns what was planned under a ledger; nothing if somebody collected since. Other records
    /// may have come: a plan is a matter of effort, not of safety.
    fn condemn(&self, planned: &Ledger, packs: &BTreeSet<PackId>) -> Result<Option<Position>> {
        let body = LedgerBody::Condemn { packs: packs.iter().copied().collect() };
        loop {
            let ledger = ledger::read(self.repository)?;
            if !may_condemn(&ledger, planned) {
                return Ok(None);
            }
            if let Some(position) = ledger::append_after(self.repository, &ledger, &body)? {
                return Ok(Some(position));
            }
        }
    }

    /// What this run may still move.
    fn bounds(&self) -> Bounds {
        let moved = self.report.plan.moved_bytes + self.report.reencoded.bytes;
        let left = |bytes: u64| bytes.saturating_sub(moved);
        let mut move_bytes = self.request.bounds.move_bytes.map(left);
        if self.request.deadline.is_some() {
            // Rounds that are short end in time.
            move_bytes = Some(move_bytes.map_or(TIMED_ROUND_BYTES, |it| it.min(TIMED_ROUND_BYTES)));
        }
        bounds_of(&Bounds { move_bytes, ..self.request.bounds }, self.erase.is_some())
    }

    fn is_open(&self, condemned: Position) -> Result<bool> {
        Ok(ledger::read(self.repository)?.state.condemned.contains_key(&condemned.number))
    }

    /// Moves what is alive in condemned packs, which every writer that may rely on them has left,
    /// and closes the round. False if more packs are damaged now than when this looked what is
    /// alive: a place that was to stay may be one of them.
    fn finish_round(
        &mut self,
        session: &mut Session<'_>,
        condemned: Position,
        packs: &BTreeSet<PackId>,
    ) -> Result<bool> {
        let ledger = ledger::read(self.repository)?;
        ledger.require_whole()?;
        let mut survey = self.survey(&ledger, packs)?;
        let marks = &survey.marks;
        let places_changed = !marks.doubts.is_empty() || !marks.contested.is_empty();
        let moved = evacuate(self.repository, session, &mut survey, self.progress)?;
        drop(survey);
        self.places_changed = places_changed;
        self.report.moved_blobs += moved.blobs;
        self.report.moved_bytes += moved.bytes;
        let closing = self.close_round(condemned, packs, &moved, &ledger.state.damaged)?;
        if closing == Closing::Ours {
            self.report.damaged.extend(moved.damaged);
            self.report.suspect.extend(moved.suspect);
        }
        // Where another collector was faster, what could not be read was gone, and not damaged.
        Ok(closing != Closing::Overtaken)
    }

    /// Retires the packs of a round, or learns that somebody else closed it. `known` are the packs
    /// that were damaged when this looked what is alive.
    fn close_round(
        &self,
        condemned: Position,
        packs: &BTreeSet<PackId>,
        moved: &Moved,
        known: &BTreeSet<PackId>,
    ) -> Result<Closing> {
        let gone: Vec<PackId> = packs.difference(&moved.damaged).copied().collect();
        let found: BTreeSet<PackId> = moved.damaged.union(&moved.suspect).copied().collect();
        let condemned = condemned.number;
        let body = match gone.is_empty() {
            true => LedgerBody::Reinstate { condemned },
            false => LedgerBody::Retire { condemned, packs: gone },
        };
        loop {
            let ledger = ledger::read(self.repository)?;
            let damaged = &ledger.state.damaged;
            if !ledger.state.condemned.contains_key(&condemned) {
                return Ok(Closing::Others);
            }
            if !damaged.iter().all(|pack| known.contains(pack) || found.contains(pack)) {
                return Ok(Closing::Overtaken);
            }
            if !found.is_subset(damaged) {
                let packs = found.difference(damaged).copied().collect();
                ledger::append_after(self.repository, &ledger, &LedgerBody::Damaged { packs })?;
            } else if ledger::append_after(self.repository, &ledger, &body)?.is_some() {
                return Ok(Closing::Ours);
            }
        }
    }
}

/// Whether packs may be condemned by what was planned under another state: nobody has collected since.
fn may_condemn(now: &Ledger, planned: &Ledger) -> bool {
    now.state.condemned.is_empty() && now.state.retired == planned.state.retired
}

/// How a round was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    /// By this collector.
    Ours,
    /// By another one.
    Others,
    /// Not at all: more packs are damaged now than when this looked what is alive.
    Overtaken,
}

/// Says what there is and what is alive. Something that is missing is looked for twice: a listing
/// that comes in pages may show neither an index object nor the one that has just replaced it.
fn take_survey<'a>(
    repository: &'a Repository,
    ledger: &Ledger,
    going: &BTreeSet<PackId>,
    copied: &Copies,
    progress: &'a Progress,
) -> Result<Survey<'a>> {
    match Survey::take(repository, ledger, going, copied, progress) {
        Err(RepositoryError::LostBlob { .. }) => {
            Survey::take(repository, ledger, going, copied, progress)
        }
        outcome => outcome,
    }
}

/// Each looks through everything that is alive.
const MOST_PASSES: u32 = 8;

/// What one round moves where there is a deadline.
const TIMED_ROUND_BYTES: u64 = 1 << 30;
