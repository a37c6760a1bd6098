//! Ledger records and what they amount to (format-spec, chapter 8).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::ids::{Digest, IncarnationId, PackId, SessionId, SlotId};
use crate::record::Record;

/// One maintenance record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerRecord {
    /// The incarnation that it was written in.
    pub incarnation: IncarnationId,
    /// Its number: promotions go on counting.
    pub number: u64,
    /// BLAKE3 of the object before it; zeros for number 0.
    pub previous: Digest,
    /// Unix nanoseconds.
    pub time: i64,
    /// What it says.
    pub body: LedgerBody,
}

/// What a ledger record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LedgerBody {
    /// The first record.
    Open,
    /// These packs are about to go.
    Condemn {
        /// Which.
        packs: Vec<PackId>,
    },
    /// Closes a condemn; these packs are gone for ever.
    Retire {
        /// Number of the condemn.
        condemned: u64,
        /// Which.
        packs: Vec<PackId>,
    },
    /// Closes a condemn; its packs live.
    Reinstate {
        /// Number of the condemn.
        condemned: u64,
    },
    /// These snapshots are no more.
    Forget {
        /// Which.
        snapshots: Vec<SessionId>,
        /// Who said so.
        who: String,
        /// And why.
        why: String,
        /// What only they hold must not stay in the store, not even as dead weight.
        erase: bool,
    },
    /// Writers treat these packs as absent.
    Damaged {
        /// Which.
        packs: Vec<PackId>,
    },
    /// Ends that.
    Repaired {
        /// Which.
        packs: Vec<PackId>,
    },
    /// An epoch begins; sealed under the one before, as the last record that is.
    Epoch {
        /// Its number.
        epoch: u32,
        /// BLAKE3 of its record.
        digest: Digest,
    },
    /// A write slot was added.
    Slot {
        /// Which.
        slot: SlotId,
    },
    /// These snapshots may not be forgotten for now.
    Hold {
        /// Which.
        snapshots: Vec<SessionId>,
        /// Unix nanoseconds; without it, until they are released.
        until: Option<i64>,
        /// Who said so.
        who: String,
        /// And why.
        why: String,
    },
    /// Ends every hold on these snapshots.
    Release {
        /// Which.
        snapshots: Vec<SessionId>,
        /// Who said so.
        who: String,
        /// And why.
        why: String,
    },
    /// Somebody looked at the sizes of a series' snapshots: they are as they should be. It names the
    /// series and a time, for it has to hold when the snapshots themselves are forgotten.
    Accept {
        /// The series.
        series: String,
        /// The start of the newest snapshot that was looked at, in Unix nanoseconds.
        up_to: i64,
        /// Who looked.
        who: String,
        /// And why the sizes are right.
        why: String,
    },
    /// Every Forget with `erase` up to that number has been carried out.
    Erased {
        /// Number of the newest of them.
        up_to: u64,
        /// How many packs the run deleted that ended it.
        packs: u64,
        /// Their bytes in the store.
        bytes: u64,
        /// Until when the store still keeps what was deleted, in Unix nanoseconds, as its operator
        /// says; nobody said if there is none.
        kept_until: Option<i64>,
        /// Who saw to it.
        who: String,
    },
    /// The store was a replica and is the repository from here on (format-spec, chapter 15).
    Promote(Box<Promotion>),
}

/// What a replica begins with when it becomes the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The incarnation that begins: what is written in another one from here on says nothing.
    pub incarnation: IncarnationId,
    /// The snapshots that are there, those among them that had been forgotten. Sorted.
    pub snapshots: BTreeSet<SessionId>,
    /// Packs that had been retired and are there. Sorted.
    pub revived: BTreeSet<PackId>,
    /// Who promoted it.
    pub who: String,
    /// And why.
    pub why: String,
}

impl LedgerBody {
    /// Whether only a full slot may say this. A hold keeps data and ends nothing, so any member may
    /// place one.
    pub fn needs_full_role(&self) -> bool {
        !matches!(self, Self::Damaged { .. } | Self::Repaired { .. } | Self::Hold { .. })
    }

    /// Its name, for people to read.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Condemn { .. } => "condemn",
            Self::Retire { .. } => "retire",
            Self::Reinstate { .. } => "reinstate",
            Self::Forget { .. } => "forget",
            Self::Damaged { .. } => "damaged",
            Self::Repaired { .. } => "repaired",
            Self::Epoch { .. } => "epoch",
            Self::Slot { .. } => "slot",
            Self::Hold { .. } => "hold",
            Self::Release { .. } => "release",
            Self::Accept { .. } => "accept",
            Self::Erased { .. } => "erased",
            Self::Promote(_) => "promote",
        }
    }
}

impl Record for LedgerRecord {
    const NAME: &'static str = "ledger record";

    fn validate(&self) -> Result<(), FormatError> {
        let opens = matches!(self.body, LedgerBody::Open);
        if opens != (self.number == 0) {
            return Err(FormatError::malformed(Self::NAME, "its number and body disagree"));
        }
        if self.number == 0 && self.previous != Digest([0; 32]) {
            return Err(FormatError::malformed(Self::NAME, "nothing precedes number 0"));
        }
        match self.body {
            LedgerBody::Erased { up_to, .. } if up_to >= self.number => {
                Err(FormatError::malformed(Self::NAME, "it speaks of records that come after it"))
            }
            _ => Ok(()),
        }
    }
}

/// Why a snapshot may not be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// When it was placed, in Unix nanoseconds.
    pub since: i64,
    /// When it ends by itself, in Unix nanoseconds.
    pub until: Option<i64>,
    /// Who placed it.
    pub who: String,
    /// And why.
    pub why: String,
}

impl Hold {
    /// Whether it holds at this time, in Unix nanoseconds.
    pub fn holds_at(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// What the records up to some number amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// Gone for ever.
    pub retired: BTreeSet<PackId>,
    /// Condemns not yet closed, by number.
    pub condemned: BTreeMap<u64, Vec<PackId>>,
    /// Damaged and not repaired.
    pub damaged: BTreeSet<PackId>,
    /// No more.
    pub forgotten: BTreeSet<SessionId>,
    /// Holds on snapshots, in the order in which they were placed; none that was released. Those
    /// whose time has come are among them.
    pub holds: BTreeMap<SessionId, Vec<Hold>>,
    /// For each series, the start of the newest snapshot whose size somebody found to be right, in
    /// Unix nanoseconds.
    pub accepted: BTreeMap<String, i64>,
    /// Numbers of the Forgets with `erase` that no Erased record covers yet.
    pub erasures: BTreeSet<u64>,
    /// The newest Forget with `erase`, covered or not.
    pub newest_erasure: Option<u64>,
    /// The newest promotion: the incarnation that it began, and the snapshots that it found.
    pub promoted: Option<(IncarnationId, BTreeSet<SessionId>)>,
}

impl LedgerState {
    /// Takes one more record into account. Repeating a record changes nothing.
    pub fn apply(&mut self, record: &LedgerRecord) {
        match &record.body {
            LedgerBody::Open | LedgerBody::Epoch { .. } | LedgerBody::Slot { .. } => {}
            LedgerBody::Condemn { packs } => {
                let sorted: BTreeSet<PackId> = packs.iter().copied().collect();
                self.condemned.insert(record.number, sorted.into_iter().collect());
            }
            LedgerBody::Retire { condemned, packs } => {
                self.condemned.remove(condemned);
                self.retired.extend(packs);
            }
            LedgerBody::Reinstate { condemned } => {
                self.condemned.remove(condemned);
            }
            LedgerBody::Forget { snapshots, erase, .. } => {
                for id in snapshots {
                    self.forgotten.insert(*id);
                    self.holds.remove(id);
                }
                if *erase {
                    self.erasures.insert(record.number);
                    self.newest_erasure = Some(record.number);
                }
            }
            LedgerBody::Damaged { packs } => self.damaged.extend(packs),
            LedgerBody::Repaired { packs } => {
                packs.iter().for_each(|pack| {
                    self.damaged.remove(pack);
                });
            }
            LedgerBody::Hold { snapshots, until, who, why } => {
                let hold =
                    Hold { since: record.time, until: *until, who: who.clone(), why: why.clone() };
                snapshots.iter().for_each(|id| self.hold(*id, &hold));
            }
            LedgerBody::Release { snapshots, .. } => {
                snapshots.iter().for_each(|id| {
                    self.holds.remove(id);
                });
            }
            LedgerBody::Accept { series, up_to, .. } => {
                let accepted = self.accepted.entry(series.clone()).or_insert(*up_to);
                *accepted = (*accepted).max(*up_to);
            }
            LedgerBody::Erased { up_to, .. } => self.erasures.retain(|number| number > up_to),
            LedgerBody::Promote(promotion) => self.promote(promotion),
        }
    }

    /// What rounds said was about packs of another store; so was what had been erased. What is
    /// recorded as damaged stays so until somebody has looked: right bytes may hold wrong blobs.
    fn promote(&mut self, promotion: &Promotion) {
        let Promotion { incarnation, snapshots, revived, .. } = promotion;
        self.condemned.clear();
        self.retired.retain(|pack| !revived.contains(pack));
        self.forgotten.retain(|id| !snapshots.contains(id));
        self.erasures.extend(self.newest_erasure);
        self.promoted = Some((*incarnation, snapshots.clone()));
    }

    /// Whether a snapshot that was committed in this incarnation is one of the repository's: since
    /// a promotion, only what the promotion found and what was committed after it is.
    pub fn admits(&self, id: &SessionId, incarnation: IncarnationId) -> bool {
        self.promoted
            .as_ref()
            .is_none_or(|(current, found)| incarnation == *current || found.contains(id))
    }

    /// Holds add up: a later one takes nothing from those before it.
    fn hold(&mut self, id: SessionId, hold: &Hold) {
        if self.forgotten.contains(&id) {
            return;
        }
        let holds = self.holds.entry(id).or_default();
        if !holds.contains(hold) {
            holds.push(hold.clone());
        }
    }

    /// All holds on a snapshot, those whose time has come among them.
    pub fn holds_on(&self, id: &SessionId) -> &[Hold] {
        self.holds.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether a writer must treat the pack as absent.
    pub fn closes(&self, pack: &PackId) -> bool {
        self.retired.contains(pack)
            || self.damaged.contains(pack)
            || self.condemned.values().any(|packs| packs.contains(pack))
    }

    /// The packs that a writer must treat as absent.
    pub fn closed_set(&self) -> BTreeSet<PackId> {
        let condemned = self.condemned.values().flatten();
        self.retired.iter().chain(&self.damaged).chain(condemned).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u64, body: LedgerBody) -> LedgerRecord {
        LedgerRecord {
            incarnation: IncarnationId([1; 8]),
            number,
            previous: Digest([0; 32]),
            time: 0,
            body,
        }
    }

    #[test]
    fn a_retired_pack_is_closed_for_ever_a_reinstated_one_is_not() {
        let (a, b) = (PackId([1; 32]), PackId([2; 32]));
        let mut state = LedgerState::default();
        state.apply(&record(1, LedgerBody::Condemn { packs: vec![a] }));
        state.apply(&record(2, LedgerBody::Condemn { packs: vec![b] }));
        assert!(state.closes(&a) && state.closes(&b));
        state.apply(&record(3, LedgerBody::Retire { condemned: 1, packs: vec![a] }));
        state.apply(&record(4, LedgerBody::Reinstate { condemned: 2 }));
        assert!(state.closes(&a) && !state.closes(&b));
        state.apply(&record(5, LedgerBody::Condemn { packs: vec![a] }));
        state.apply(&record(6, LedgerBody::Reinstate { condemned: 5 }));
        assert_eq!(state.closed_set(), BTreeSet::from([a]));
    }

    #[test]
    fn a_damaged_pack_is_closed_until_it_is_repaired() {
        let a = PackId([1; 32]);
        let mut state = LedgerState::default();
        state.apply(&record(1, LedgerBody::Damaged { packs: vec![a] }));
        assert!(state.closes(&a));
        state.apply(&record(2, LedgerBody::Repaired { packs: vec![a] }));
        assert!(!state.closes(&a));
    }

    fn hold(number: u64, id: SessionId, until: Option<i64>) -> LedgerRecord {
        let snapshots = vec![id];
        let body = LedgerBody::Hold { snapshots, until, who: "me".into(), why: "why".into() };
        LedgerRecord { time: i64::try_from(number).unwrap(), ..record(number, body) }
    }

    #[test]
    fn a_later_hold_takes_nothing_from_an_earlier_one() {
        let id = SessionId([1; 16]);
        let mut state = LedgerState::default();
        state.apply(&hold(1, id, None));
        state.apply(&hold(2, id, Some(10)));
        let held_at = |state: &LedgerState, now| {
            state.holds_on(&id).iter().filter(|hold| hold.holds_at(now)).count()
        };
        assert_eq!((held_at(&state, 9), held_at(&state, 10)), (2, 1));
        let (who, why) = ("you".to_owned(), "over".to_owned());
        state.apply(&record(3, LedgerBody::Release { snapshots: vec![id], who, why }));
        assert_eq!(held_at(&state, 0), 0);
    }

    fn forget(number: u64, id: SessionId, erase: bool) -> LedgerRecord {
        let (who, why) = ("me".to_owned(), "why".to_owned());
        record(number, LedgerBody::Forget { snapshots: vec![id], who, why, erase })
    }

    #[test]
    fn an_erasure_waits_until_a_record_covers_it() {
        let erased = |number, up_to| {
            let who = "me".to_owned();
            record(number, LedgerBody::Erased { up_to, packs: 1, bytes: 1, kept_until: None, who })
        };
        let mut state = LedgerState::default();
        for (number, erase) in [(1, true), (2, false), (3, true), (4, true)] {
            state.apply(&forget(number, SessionId([1; 16]), erase));
        }
        assert_eq!(state.erasures, BTreeSet::from([1, 3, 4]));
        state.apply(&erased(5, 3));
        assert_eq!(state.erasures, BTreeSet::from([4]));
        state.apply(&erased(6, 5));
        assert!(state.erasures.is_empty());
        // Nobody vouches for what is to come.
        assert!(erased(7, 6).validate().is_ok());
        assert!(erased(7, 7).validate().is_err());
    }

    #[test]
    fn a_forgotten_snapshot_is_held_by_nothing() {
        let id = SessionId([1; 16]);
        let mut state = LedgerState::default();
        state.apply(&hold(1, id, None));
        state.apply(&forget(2, id, false));
        // Nor by what comes late.
        state.apply(&hold(3, id, None));
        assert!(state.holds.is_empty());
        assert!(state.forgotten.contains(&id));
    }

    #[test]
    fn what_was_accepted_is_not_taken_back_by_what_is_older() {
        let mut state = LedgerState::default();
        for (number, up_to) in [(1, 50), (2, 70), (3, 60)] {
            let (who, why) = ("me".to_owned(), "a table was dropped".to_owned());
            let series = "orders".to_owned();
            state.apply(&record(number, LedgerBody::Accept { series, up_to, who, why }));
        }
        assert_eq!(state.accepted, BTreeMap::from([("orders".to_owned(), 70)]));
    }

    #[test]
    fn a_promotion_brings_back_what_is_there_and_admits_nothing_that_comes_late() {
        let [there, gone, late] = [1, 2, 3].map(|byte| SessionId([byte; 16]));
        let [kept, lost] = [1, 2].map(|byte| PackId([byte; 32]));
        let [old, new] = [1, 2].map(|byte| IncarnationId([byte; 8]));
        let mut state = LedgerState::default();
        state.apply(&forget(1, there, false));
        state.apply(&forget(2, gone, true));
        state.apply(&record(3, LedgerBody::Condemn { packs: vec![kept, lost] }));
        state.apply(&record(4, LedgerBody::Retire { condemned: 3, packs: vec![kept, lost] }));
        let erased =
            LedgerBody::Erased { up_to: 2, packs: 1, bytes: 1, kept_until: None, who: "me".into() };
        state.apply(&record(5, erased));
        state.apply(&record(6, LedgerBody::Condemn { packs: vec![PackId([9; 32])] }));
        state.apply(&record(7, LedgerBody::Damaged { packs: vec![PackId([8; 32])] }));
        assert!(state.admits(&late, old));
        let promotion = Promotion {
            incarnation: new,
            snapshots: BTreeSet::from([there]),
            revived: BTreeSet::from([kept]),
            who: "me".into(),
            why: "the region is gone".into(),
        };
        let promoted = record(8, LedgerBody::Promote(Box::new(promotion)));
        let decoded: LedgerRecord =
            crate::record::decode(&crate::record::encode(&promoted)).unwrap();
        state.apply(&decoded);
        assert_eq!(state.closed_set(), BTreeSet::from([lost, PackId([8; 32])]));
        assert_eq!(state.forgotten, BTreeSet::from([gone]));
        // What was erased in the other store may be in this one.
        assert_eq!(state.erasures, BTreeSet::from([2]));
        assert!(state.admits(&there, old) && state.admits(&late, new));
        assert!(!state.admits(&late, old));
    }
}
