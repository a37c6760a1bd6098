//! A replicator as the replica sees it that is promoted: what it lists of its source at one moment
//! it puts, packs first, then index objects, the ledger record by record, and registers last. It
//! does so at any speed, so that all of it may land behind a promotion.
//!
//! That one pass finds what belongs together is the matter of [`crate::replicator`]; here its
//! source stands still from the first listing to the last, at any moment of a history. It has no
//! key, so it copies the registers of forgotten snapshots, too, as long as they are there. A ledger
//! record whose number is taken stops it no more than the real one: it goes on with the next.

use crate::ledger::Record;
use crate::set::Set;
use crate::state::Turn;
use crate::store::{Index, Register, Request, SESSIONS, Store};
use crate::variant::Variant;

/// What one replicator has under way, if anything.
pub type Copier = Option<Pass>;

/// What is left to do of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pass {
    /// The moment of the source.
    pub moment: usize,
    /// The packs that the replica lacked.
    pub packs: Set,
    /// The index objects that it lacked.
    pub index: Index,
    /// The number of the next ledger record.
    pub number: usize,
    /// The registers that it lacked.
    pub registers: Set,
}

impl Pass {
    fn begin(moment: usize, source: &Store, replica: &Store) -> Self {
        let retired = source.sum().retired;
        let packs = source.packs.and(source.index.packs()).without(retired);
        let index = source.index.objects().filter(|object| !replica.index.has(*object));
        let lacks = |session: &usize| {
            source.registers[*session] != Register::Absent
                && replica.registers[*session] == Register::Absent
        };
        Self {
            moment,
            packs: packs.without(replica.packs),
            index: index.fold(Index::default(), Index::with),
            number: replica.ledger.head() + 1,
            registers: (0..SESSIONS).filter(lacks).collect(),
        }
    }

    fn is_over(&self, source: &Store) -> bool {
        let has_all = self.packs.is_empty() && self.index.is_empty() && self.registers.is_empty();
        has_all && self.number > source.ledger.head()
    }
}

/// All steps of one replicator.
pub(crate) fn steps(turn: &mut Turn<'_>, me: usize) {
    match turn.state.copiers[me] {
        Some(pass) => go_on(turn, me, pass),
        None => begin(turn, me),
    }
}

/// A replica that has a record which the source lacks is none, or newer.
fn begin(turn: &mut Turn<'_>, me: usize) {
    let (configuration, replica) = (turn.configuration, &turn.state.store);
    if !replica.is_replica() {
        return;
    }
    for (moment, source) in configuration.source.iter().enumerate() {
        let pass = Pass::begin(moment, source, replica);
        if replica.ledger.head() <= source.ledger.head() && !pass.is_over(source) {
            turn.step("lists the source", |next| next.copiers[me] = Some(pass));
        }
    }
}

fn go_on(turn: &mut Turn<'_>, me: usize, pass: Pass) {
    let variant = turn.configuration.variant;
    let source = &turn.configuration.source[pass.moment];
    let (does, request, rest) = if let Some(pack) = pass.packs.iter().next() {
        let packs = pass.packs.without(Set::one(pack));
        ("copies a pack", Request::PutPack(pack), Pass { packs, ..pass })
    } else if let Some(object) = pass.index.objects().next() {
        let index = pass.index.without(object);
        ("copies an index object", Request::PutIndex(object), Pass { index, ..pass })
    } else if pass.number <= source.ledger.head() {
        let request = record(variant, pass.number, source.ledger.record(pass.number));
        ("copies a record", request, Pass { number: pass.number + 1, ..pass })
    } else if let Some(session) = pass.registers.iter().next() {
        let registers = pass.registers.without(Set::one(session));
        let register = register(variant, source.registers[session]);
        let request = Request::CreateRegister(session, register);
        ("copies a register", request, Pass { registers, ..pass })
    } else {
        return;
    };
    turn.send(does, request, |next, _| {
        next.copiers[me] = Some(rest).filter(|rest| !rest.is_over(source));
    });
    turn.may("crashes", |next| next.copiers[me] = None);
}

fn record(variant: Variant, number: usize, record: Record) -> Request {
    match variant {
        Variant::LateRecordsCount => Request::Append(number, record),
        _ => Request::Bring(number, record),
    }
}

fn register(variant: Variant, register: Register) -> Register {
    match (variant, register) {
        (Variant::LateAdmitted, _) | (_, Register::Absent | Register::Fence) => register,
        (_, Register::Committed | Register::Copied) => Register::Copied,
    }
}
