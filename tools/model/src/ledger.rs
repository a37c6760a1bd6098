//! The ledger: numbered records, and what they amount to.

use crate::set::Set;
use crate::variant::Variant;

/// A record. Positions count from one: the head of an empty ledger is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Record {
    /// These packs are about to go.
    Condemn(Set),
    /// Closes the condemn of that number: its packs are gone for ever.
    Retire(usize, Set),
    /// Closes the condemn of that number: its packs live.
    Reinstate(usize),
    /// The snapshot of this session is no more.
    Forget(usize),
    /// Writers treat the pack as absent.
    Damaged(usize),
    /// Ends that.
    Repaired(usize),
    /// What was a replica is the repository: of the snapshots made before, these exist, and these
    /// packs are retired no more.
    Promote(Set, Set),
    /// A record of the lost incarnation, behind its end. It says nothing.
    Void,
}

/// All records, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger(Vec<Record>);

/// What the records up to a position amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// The condemn that no record has closed yet, and its packs. At most one is open.
    pub open: Option<(usize, Set)>,
    /// The packs of every retire. Final: no later record takes one out.
    pub retired: Set,
    /// Damaged and not repaired.
    pub damaged: Set,
    /// Sessions whose snapshots are forgotten. Final but for a promotion.
    pub forgotten: Set,
    /// The snapshots that the newest promotion names, if there is one.
    pub promoted: Option<Set>,
}

impl Sum {
    /// The closed set: packs that a writer treats as absent.
    pub fn closed(&self, variant: Variant) -> Set {
        let condemned = self.condemned();
        match variant {
            Variant::V1 => condemned.or(self.damaged),
            Variant::DamagedReused => condemned.or(self.retired),
            _ => condemned.or(self.retired).or(self.damaged),
        }
    }

    /// The packs of the open condemn.
    pub fn condemned(&self) -> Set {
        self.open.map_or(Set::EMPTY, |(_, packs)| packs)
    }
}

impl Ledger {
    /// The number of the newest record.
    pub fn head(&self) -> usize {
        self.0.len()
    }

    /// The records after this position.
    pub fn after(&self, position: usize) -> &[Record] {
        &self.0[position..]
    }

    /// The packs of the condemn of this number.
    pub fn condemned_by(&self, number: usize) -> Option<Set> {
        match self.0.get(number.checked_sub(1)?)? {
            Record::Condemn(packs) => Some(*packs),
            _ => None,
        }
    }

    /// How many rounds were begun since the promotion, if there is one.
    pub fn condemns(&self) -> usize {
        let since = self.0.iter().rev().take_while(|record| !record.is_promotion());
        since.filter(|record| matches!(record, Record::Condemn(_))).count()
    }

    /// How often the repository was promoted.
    pub fn promotions(&self) -> usize {
        self.0.iter().filter(|record| record.is_promotion()).count()
    }

    /// The record of that number.
    pub fn record(&self, number: usize) -> Record {
        self.0[number - 1]
    }

    /// As [`Self::append`], by somebody who knows of no promotion.
    pub fn bring(&mut self, number: usize, record: Record) -> bool {
        let record = if self.promotions() == 0 { record } else { Record::Void };
        self.append(number, record)
    }

    /// Puts the record of that number, whatever stands there.
    pub fn overwrite(&mut self, number: usize, record: Record) {
        if !self.append(number, record) {
            self.0[number - 1] = record;
        }
    }

    /// Creates the record of that number, unless one stands there.
    pub fn append(&mut self, number: usize, record: Record) -> bool {
        let free = number == self.head() + 1;
        if free {
            self.0.push(record);
        }
        free
    }

    /// What the records up to this position amount to.
    pub fn sum(&self, position: usize) -> Sum {
        let mut sum = Sum::default();
        for (record, number) in self.0.iter().take(position).zip(1..) {
            match *record {
                Record::Condemn(packs) => sum.open = Some((number, packs)),
                Record::Retire(condemned, packs) => {
                    sum.close(condemned);
                    sum.retired = sum.retired.or(packs);
                }
                Record::Reinstate(condemned) => sum.close(condemned),
                Record::Forget(session) => sum.forgotten = sum.forgotten.or(Set::one(session)),
                Record::Damaged(pack) => sum.damaged = sum.damaged.or(Set::one(pack)),
                Record::Repaired(pack) => sum.damaged = sum.damaged.without(Set::one(pack)),
                Record::Promote(snapshots, revived) => sum.promote(snapshots, revived),
                Record::Void => {}
            }
        }
        sum
    }
}

impl Sum {
    fn close(&mut self, condemned: usize) {
        if self.open.is_some_and(|(number, _)| number == condemned) {
            self.open = None;
        }
    }

    /// What rounds and checks said was about packs of another store.
    fn promote(&mut self, snapshots: Set, revived: Set) {
        *self = Self {
            open: None,
            retired: self.retired.without(revived),
            damaged: Set::EMPTY,
            forgotten: self.forgotten.without(snapshots),
            promoted: Some(snapshots),
        };
    }
}

impl Record {
    fn is_promotion(&self) -> bool {
        matches!(self, Self::Promote(..))
    }
}
