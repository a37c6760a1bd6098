//! A writer: one run, from its announcement to its end.
//!
//! A run that failed or crashed is not resumed: the next one has a new session, and is another
//! writer here. What a crashed run had sent may still land.

use crate::pack::Contents;
use crate::reuse;
use crate::set::Set;
use crate::state::{State, Turn};
use crate::store::{Register, Request};
use crate::variant::Variant;

/// What the writer does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum At {
    /// Creates `sessions/S`.
    #[default]
    Announce,
    /// Reads the ledger to its head.
    ReadLedger,
    /// Overwrites `sessions/S`, noting the head.
    Note,
    /// Decides which blobs it reuses and which it stores.
    Choose,
    /// Puts a pack.
    PutPack,
    /// Publishes an index object.
    Publish,
    /// Overwrites `sessions/S`, noting a newer head.
    NoteNewer,
    /// Creates `snapshots/S`.
    Commit,
    /// Does not know whether it has.
    Unsure,
    /// Fences itself.
    FenceItself,
    /// Deletes `sessions/S`.
    Leave,
    /// Nothing more.
    Ended,
}

/// What the run reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing yet, or it crashed.
    #[default]
    None,
    /// There is a snapshot.
    Success,
    /// There is none, and there will be none.
    Failure,
    /// It cannot tell.
    Open,
}

/// What a writer remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Writer {
    /// What it does next.
    pub at: At,
    /// The position whose closed set it obeys.
    pub noted: usize,
    /// The packs of others whose blobs it uses.
    pub uses: Set,
    /// Its own packs that are durable and that it uses.
    pub own: Set,
    /// Those of them that it has listed.
    pub listed: Set,
    /// Names of its own that it may not use again: durable, or closed.
    pub spent: Set,
    /// What its next pack will hold.
    pub planned: Contents,
    /// Whether a create of its register was ever sent.
    pub sent: bool,
    /// What it reports.
    pub outcome: Outcome,
}

impl Writer {
    /// A writer that has not begun.
    pub fn new(variant: Variant) -> Self {
        let at = if variant == Variant::V9 { At::ReadLedger } else { At::Announce };
        Self { at, ..Self::default() }
    }

    /// Whether it has begun and not ended.
    pub fn is_running(&self, variant: Variant) -> bool {
        *self != Self::new(variant) && self.at != At::Ended
    }

    /// All packs that its snapshot would rest on.
    pub fn relies_on(&self) -> Set {
        self.uses.or(self.own)
    }

    fn end(&mut self, outcome: Outcome) {
        *self = Self { at: At::Ended, outcome, ..Self::default() };
    }
}

/// All steps of this writer.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    let (state, session) = (turn.state, turn.configuration.session_of(me));
    let writer = &state.writers[me];
    let read_first = turn.configuration.variant == Variant::V9;
    match writer.at {
        // 1. Announce, and wait for the confirmed answer. (V9)
        At::Announce => {
            let then = if read_first { At::Note } else { At::ReadLedger };
            turn.send("announces itself", Request::CreateSession(session), |next, _| {
                next.writers[me].at = then;
            });
        }
        // 2. Then read the ledger to its head: its closed set counts as absent. (V1, V9)
        At::ReadLedger => turn.step("reads the ledger", |next| {
            next.writers[me].noted = next.store.ledger.head();
            next.writers[me].at = if read_first { At::Announce } else { At::Note };
        }),
        // 3. Note that head.
        At::Note => {
            let request = Request::PutSession(session, writer.noted);
            turn.send("notes the head", request, |next, _| next.writers[me].at = At::Choose);
        }
        At::Choose => reuse::choose(turn, me),
        At::PutPack => put_pack(turn, me),
        // 6. Only when the pack is durable, list it, with every pack that is not listed yet.
        At::Publish => {
            let request = Request::PutIndex(writer.own.without(writer.listed));
            turn.send("publishes an index object", request, |next, _| {
                next.writers[me].listed = next.writers[me].own;
                next.writers[me].at = At::Commit;
            });
        }
        At::NoteNewer => {
            let request = Request::PutSession(session, writer.noted);
            turn.send("notes a newer head", request, |next, _| go_on(next, me));
        }
        At::Commit => commit(turn, me),
        At::Unsure => settle(turn, me),
        // 8. To give up after a create was sent, fence oneself. What stands there decides.
        At::FenceItself => {
            let request = Request::CreateRegister(session, Register::Fence);
            turn.send("fences itself", request, |next, _| heed_register(next, me, session));
        }
        // 8. The session goes only when the register is known, or if no create of it was sent.
        At::Leave => {
            let outcome = writer.outcome;
            turn.send("deletes its session", Request::DeleteSession(session), |next, _| {
                next.writers[me].end(outcome);
            });
        }
        At::Ended => return,
    }
    may_renew(turn, me);
    may_stop(turn, me);
}

/// The first thing that is left to do before the commit.
pub(crate) fn go_on(next: &mut State, me: usize) {
    let writer = &mut next.writers[me];
    writer.at = if !writer.planned.is_empty() {
        At::PutPack
    } else if writer.listed.covers(writer.own) {
        At::Commit
    } else {
        At::Publish
    };
}

/// Step 5: Whatever is new goes into a pack whose header names S.
fn put_pack(turn: &mut Turn<'_>, me: usize) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let writer = &turn.state.writers[me];
    let mut names = configuration.packs_of(me).without(writer.spent).iter();
    let Some(pack) = names.find(|pack| {
        let made = store.contents.0[*pack];
        made.is_empty() || made == writer.planned
    }) else {
        turn.step("gives up: the model has no more packs for it", |next| {
            next.writers[me].outcome = Outcome::Failure;
            next.writers[me].at = At::Leave;
        });
        return;
    };
    if configuration.variant == Variant::IndexBeforePack && !writer.listed.has(pack) {
        let planned = writer.planned;
        turn.send("lists a pack to come", Request::PutIndex(Set::one(pack)), |next, _| {
            next.store.contents.0[pack] = planned;
            next.writers[me].listed = Set::one(pack);
        });
        return;
    }
    turn.put_pack(pack, writer.planned, |next| {
        let writer = &mut next.writers[me];
        writer.planned = Contents::default();
        writer.own = writer.own.or(Set::one(pack));
        writer.spent = writer.spent.or(Set::one(pack));
        go_on(next, me);
    });
}

/// Step 3: A renewal may note a newer head only after every use of a pack closed since is dropped, the
/// writer's own packs among them, durable or on their way. (V7) What was in them is stored anew.
fn may_renew(turn: &mut Turn<'_>, me: usize) {
    let (configuration, store) = (turn.configuration, &turn.state.store);
    let writer = &turn.state.writers[me];
    let working = matches!(writer.at, At::PutPack | At::Publish | At::Commit) && !writer.sent;
    if !configuration.renewals || !working || writer.noted == store.ledger.head() {
        return;
    }
    let closed = store.sum().closed(configuration.variant);
    let (mut uses, mut own, mut spent) = (writer.uses, writer.own, writer.spent);
    if configuration.variant != Variant::V7 {
        uses = uses.without(closed);
        if configuration.variant != Variant::OwnPacksKept {
            own = own.without(closed);
            spent = spent.or(configuration.packs_of(me).and(closed));
        }
    }
    let wanted = configuration.writers[me];
    for planned in reuse::plans(turn, wanted, uses.or(own)) {
        turn.may("drops what was closed since", |next| {
            let writer = &mut next.writers[me];
            (writer.uses, writer.own, writer.spent) = (uses, own, spent);
            writer.planned = planned;
            writer.listed = writer.listed.and(own);
            writer.noted = next.store.ledger.head();
            writer.at = At::NoteNewer;
        });
    }
}

/// Step 7: Commit: whoever creates `snapshots/S` first decides.
fn commit(turn: &mut Turn<'_>, me: usize) {
    let session = turn.configuration.session_of(me);
    let request = Request::CreateRegister(session, Register::Committed);
    turn.step("commits", |next| {
        next.store.serve(request);
        heed_register(next, me, session);
    });
    let unsure = |next: &mut State| {
        next.writers[me].sent = true;
        next.writers[me].at = At::Unsure;
    };
    turn.may("commits, and the answer is lost", |next| {
        next.store.serve(request);
        unsure(next);
    });
    turn.delay(request, unsure);
}

fn heed_register(next: &mut State, me: usize, session: usize) {
    let writer = &mut next.writers[me];
    let outcome = match next.store.registers[session] {
        Register::Committed | Register::Copied => Outcome::Success,
        Register::Fence => Outcome::Failure,
        Register::Absent => return,
    };
    (writer.outcome, writer.at) = (outcome, At::Leave);
}

/// Steps 7 and 8: An unanswered create is settled by what stands there. "Absent" settles nothing (V2):
/// try again, fence oneself, or leave it open.
fn settle(turn: &mut Turn<'_>, me: usize) {
    let session = turn.configuration.session_of(me);
    if turn.state.store.registers[session] != Register::Absent {
        turn.step("reads its register back", |next| heed_register(next, me, session));
        return;
    }
    if turn.configuration.variant == Variant::V2 {
        turn.step("takes its commit for lost", |next| {
            (next.writers[me].outcome, next.writers[me].at) = (Outcome::Failure, At::Leave);
        });
    }
    turn.step("tries again", |next| next.writers[me].at = At::Commit);
    turn.may("gives up", |next| next.writers[me].at = At::FenceItself);
    turn.may("reports that it cannot tell", |next| stop(next, me, session, Outcome::Open));
}

/// A run may crash at any step, and fail as long as it has not tried to commit.
fn may_stop(turn: &mut Turn<'_>, me: usize) {
    let session = turn.configuration.session_of(me);
    let writer = &turn.state.writers[me];
    if !writer.is_running(turn.configuration.variant) {
        return;
    }
    turn.may("crashes", |next| stop(next, me, session, Outcome::None));
    if matches!(writer.at, At::PutPack | At::Publish | At::Commit) && !writer.sent {
        turn.may("fails", |next| {
            let failed = Writer { at: At::Leave, outcome: Outcome::Failure, ..Writer::default() };
            next.writers[me] = failed;
        });
    }
}

/// Forgets everything, but for what the invariants ask about as long as its commit may land.
fn stop(next: &mut State, me: usize, session: usize, outcome: Outcome) {
    let relied = next.writers[me].clone();
    next.writers[me].end(outcome);
    if next.late.contains(&Request::CreateRegister(session, Register::Committed)) {
        (next.writers[me].uses, next.writers[me].own) = (relied.uses, relied.own);
    }
}
