//! What a policy lets go: of every snapshot, why it stays or goes. Pure, and nothing is changed.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use jiff::tz::TimeZone;
use nightjar_format::ledger::Hold;
use nightjar_format::{SessionId, SlotId};

use super::calendar::{Bucket, Period, back_from};
use super::policy::{LabelPattern, PeriodRule, Policy, Reach};
use super::size::{OutOfLine, out_of_line};
use super::time::{Doubt, Measure, doubt};
use crate::snapshots::SnapshotInfo;

/// What is asked.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The policy of a series; none, and the series loses nothing.
    pub policy_of: &'a dyn Fn(&str) -> Option<&'a Policy>,
    /// Whose days and weeks count.
    pub zone: &'a TimeZone,
    /// This machine's clock, in Unix nanoseconds.
    pub now: i64,
    /// Up to this time of the store, in Unix nanoseconds, its objects came from a copy: claims that
    /// are earlier are believed.
    pub copied_until: Option<i64>,
}

/// What would happen to every snapshot.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// By name.
    pub series: Vec<SeriesPlan<'a>>,
}

/// What would happen to the snapshots of a series.
#[derive(Debug, Clone)]
pub struct SeriesPlan<'a> {
    /// Its name.
    pub series: &'a str,
    /// Its policy.
    pub policy: Option<Policy>,
    /// From the oldest to the newest.
    pub snapshots: Vec<Planned<'a>>,
    /// Those that hold the series back, because they are much smaller than usual.
    pub out_of_line: Vec<OutOfLine>,
}

/// What would happen to a snapshot.
#[derive(Debug, Clone)]
pub struct Planned<'a> {
    /// Which.
    pub info: &'a SnapshotInfo,
    /// Why it stays. If there is nothing here, it goes.
    pub reasons: Vec<Reason>,
    /// Why the rules of the policy do not keep it.
    pub misses: Vec<Miss>,
}

/// Why a snapshot stays.
#[derive(Debug, Clone)]
pub enum Reason {
    /// Its series has no policy.
    NoPolicy,
    /// It is the newest of its series.
    Newest,
    /// It is among the newest.
    Last {
        /// The how manieth, from 1.
        rank: usize,
        /// Of how many that are kept.
        of: NonZeroU32,
    },
    /// It is not older than that.
    Within(Reach),
    /// It is the newest of an hour, day, week, month or year.
    Period {
        /// Which of these.
        period: Period,
        /// And when.
        bucket: Bucket,
        /// The how manieth from the newest on, from 1, if so many are kept.
        rank: Option<(usize, NonZeroU32)>,
    },
    /// It has a label.
    Label(LabelPattern),
    /// Somebody holds it.
    Held(Hold),
    /// So many stay at least.
    AtLeast(NonZeroU32),
    /// Snapshots of its slot do not count.
    OtherSlot(SlotId),
    /// It was made from another one, which is still there and counts in its place.
    Rewritten(SessionId),
    /// Its times cannot be relied on.
    Implausible(Doubt),
    /// It is much smaller than usual.
    OutOfLine(OutOfLine),
    /// The series is held back until somebody looks at this snapshot, which is much smaller.
    HeldBack(SessionId),
}

/// Why a rule does not keep a snapshot.
#[derive(Debug, Clone)]
pub enum Miss {
    /// It is not among the newest so many.
    Last(NonZeroU32),
    /// It is older than that.
    Within(Reach),
    /// Another one stands for its hour, day, week, month or year.
    Superseded {
        /// Which of these.
        period: Period,
        /// And when.
        bucket: Bucket,
        /// The other one.
        by: SessionId,
    },
    /// Its hour, day, week, month or year is not among those that are kept.
    Beyond {
        /// Which of these.
        period: Period,
        /// And when.
        bucket: Bucket,
    },
}

impl Reason {
    /// A name for programs; stable.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NoPolicy => "no-policy",
            Self::Newest => "newest",
            Self::Last { .. } => "keep-last",
            Self::Within(_) => "keep-within",
            Self::Period { period, .. } => period.rule(),
            Self::Label(_) => "keep-label",
            Self::Held(_) => "held",
            Self::AtLeast(_) => "keep-at-least",
            Self::OtherSlot(_) => "other-slot",
            Self::Rewritten(_) => "rewritten",
            Self::Implausible(_) => "implausible-time",
            Self::OutOfLine(_) => "size",
            Self::HeldBack(_) => "held-back",
        }
    }
}

impl Miss {
    /// The rule; stable.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Last(_) => "keep-last",
            Self::Within(_) => "keep-within",
            Self::Superseded { period, .. } | Self::Beyond { period, .. } => period.rule(),
        }
    }
}

impl Planned<'_> {
    /// Whether it goes.
    pub fn goes(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl SeriesPlan<'_> {
    /// The snapshots that go, from the oldest to the newest.
    pub fn going(&self) -> impl Iterator<Item = &SnapshotInfo> {
        self.snapshots.iter().filter(|planned| planned.goes()).map(|planned| planned.info)
    }
}

impl Plan<'_> {
    /// The snapshots that go.
    pub fn going(&self) -> impl Iterator<Item = &SnapshotInfo> {
        self.series.iter().flat_map(SeriesPlan::going)
    }
}

/// Says of all `snapshots`, given from the oldest to the newest, why they stay or go. `accepted` are
/// the starts, in Unix nanoseconds, up to which the sizes of a series were looked at.
pub fn plan<'a>(
    snapshots: &'a [SnapshotInfo],
    accepted: &BTreeMap<String, i64>,
    request: &Request<'_>,
) -> Plan<'a> {
    let mut by_series: BTreeMap<&str, Vec<&SnapshotInfo>> = BTreeMap::new();
    for info in snapshots {
        by_series.entry(&info.snapshot.series).or_default().push(info);
    }
    // A hold ends when its time has come by both clocks: this machine's may run wrong.
    let newest = snapshots.iter().map(|info| info.stored).max();
    let clock = newest.map_or(request.now, |newest| newest.min(request.now));
    let series = by_series
        .into_iter()
        .map(|(series, snapshots)| match (request.policy_of)(series) {
            None => without_policy(series, &snapshots),
            Some(policy) => {
                let accepted = accepted.get(series).copied();
                let Request { zone, now, copied_until, .. } = *request;
                let measure = Measure { now, copied_until, tolerance: policy.tolerance };
                let of = Series { policy, zone, measure, clock, snapshots: &snapshots };
                of.plan(series, accepted)
            }
        })
        .collect();
    Plan { series }
}

fn without_policy<'a>(series: &'a str, snapshots: &[&'a SnapshotInfo]) -> SeriesPlan<'a> {
    let stays = |info| Planned { info, reasons: vec![Reason::NoPolicy], misses: vec![] };
    let snapshots = snapshots.iter().copied().map(stays).collect();
    SeriesPlan { series, policy: None, snapshots, out_of_line: Vec::new() }
}

/// A series that has a policy.
struct Series<'a, 's> {
    policy: &'s Policy,
    zone: &'s TimeZone,
    measure: Measure,
    /// What ends holds, in Unix nanoseconds.
    clock: i64,
    snapshots: &'s [&'a SnapshotInfo],
}

impl<'a> Series<'a, '_> {
    fn plan(&self, series: &'a str, accepted: Option<i64>) -> SeriesPlan<'a> {
        let mut planned: Vec<Planned<'a>> =
            self.snapshots.iter().map(|info| self.apart_from_rules(info)).collect();
        let counting: Vec<&SnapshotInfo> =
            planned.iter().filter(|it| it.counts()).map(|it| it.info).collect();
        let out_of_line = out_of_line(&counting, self.policy.size_drop_percent, accepted);
        let mut rules = Rules::new(self.policy, self.zone, &counting);
        for planned in planned.iter_mut().rev().filter(|it| it.counts()) {
            rules.judge(planned);
        }
        self.keep_at_least(&mut planned);
        hold_back(&mut planned, &out_of_line);
        SeriesPlan { series, policy: Some(self.policy.clone()), snapshots: planned, out_of_line }
    }

    /// What keeps a snapshot whatever others there are.
    fn apart_from_rules(&self, info: &'a SnapshotInfo) -> Planned<'a> {
        let mut reasons = Vec::new();
        reasons.extend(doubt(info, &self.measure).map(Reason::Implausible));
        let slots = &self.policy.slots;
        if !slots.is_empty() && !slots.contains(&info.signer) {
            reasons.push(Reason::OtherSlot(info.signer));
        }
        let original = info.snapshot.original.map(|original| original.id);
        let is_there = |id: &SessionId| self.snapshots.iter().any(|info| info.id == *id);
        reasons.extend(original.filter(is_there).map(Reason::Rewritten));
        let holds = info.holds.iter().filter(|hold| hold.holds_at(self.clock));
        reasons.extend(holds.cloned().map(Reason::Held));
        let labels = self.policy.labels.iter().filter(|label| label.fits(&info.snapshot));
        reasons.extend(labels.cloned().map(Reason::Label));
        Planned { info, reasons, misses: Vec::new() }
    }

    /// Takes back the newest of those that would go, until enough stay.
    fn keep_at_least(&self, planned: &mut [Planned<'_>]) {
        let Some(least) = self.policy.at_least else { return };
        let wanted = usize::try_from(least.get()).unwrap_or(usize::MAX);
        let staying = planned.iter().filter(|it| it.counts() && !it.goes()).count();
        let lacking = wanted.saturating_sub(staying);
        for planned in planned.iter_mut().rev().filter(|it| it.goes()).take(lacking) {
            planned.reasons.push(Reason::AtLeast(least));
        }
    }
}

impl Planned<'_> {
    /// Whether it may push others out, and be pushed out.
    fn counts(&self) -> bool {
        let apart = |reason: &Reason| {
            matches!(reason, Reason::OtherSlot(_) | Reason::Rewritten(_) | Reason::Implausible(_))
        };
        !self.reasons.iter().any(apart)
    }
}

/// Nothing of a series goes while it holds a snapshot that is out of line.
fn hold_back(planned: &mut [Planned<'_>], out_of_line: &[OutOfLine]) {
    let Some(newest) = out_of_line.last() else { return };
    for planned in planned {
        match out_of_line.iter().find(|it| it.id == planned.info.id) {
            Some(found) => planned.reasons.push(Reason::OutOfLine(*found)),
            None if planned.goes() => planned.reasons.push(Reason::HeldBack(newest.id)),
            None => {}
        }
    }
}

/// The rules of a policy, at work from the newest snapshot to the oldest.
struct Rules<'p> {
    policy: &'p Policy,
    zone: &'p TimeZone,
    /// Start of the newest snapshot, in Unix nanoseconds.
    newest: i64,
    /// How many were judged.
    judged: usize,
    periods: Vec<PeriodState>,
}

/// What a rule of hours, days, weeks, months or years has seen.
struct PeriodState {
    period: Period,
    rule: PeriodRule,
    /// Snapshots that began before, in Unix nanoseconds, are too old.
    limit: Option<i64>,
    seen: BTreeMap<Bucket, SessionId>,
}

impl<'p> Rules<'p> {
    fn new(policy: &'p Policy, zone: &'p TimeZone, counting: &[&SnapshotInfo]) -> Self {
        let newest = counting.last().map_or(0, |info| info.snapshot.started);
        let state = |(period, rule): (&Period, &PeriodRule)| PeriodState {
            period: *period,
            rule: *rule,
            limit: rule.within.map(|reach| back_from(newest, &reach, zone)),
            seen: BTreeMap::new(),
        };
        let periods = policy.periods.iter().map(state).collect();
        Self { policy, zone, newest, judged: 0, periods }
    }

    fn judge(&mut self, planned: &mut Planned<'_>) {
        self.judged += 1;
        let (reasons, misses) = (&mut planned.reasons, &mut planned.misses);
        if self.judged == 1 {
            reasons.push(Reason::Newest);
        }
        let started = planned.info.snapshot.started;
        if let Some(of) = self.policy.last {
            match is_among(self.judged, of) {
                true => reasons.push(Reason::Last { rank: self.judged, of }),
                false => misses.push(Miss::Last(of)),
            }
        }
        if let Some(reach) = self.policy.within {
            match started >= back_from(self.newest, &reach, self.zone) {
                true => reasons.push(Reason::Within(reach)),
                false => misses.push(Miss::Within(reach)),
            }
        }
        for state in &mut self.periods {
            let bucket = Bucket::of(state.period, started, self.zone);
            match state.judge(planned.info.id, started, bucket) {
                Ok(reason) => reasons.push(reason),
                Err(miss) => misses.push(miss),
            }
        }
    }
}

impl PeriodState {
    fn judge(&mut self, id: SessionId, started: i64, bucket: Bucket) -> Result<Reason, Miss> {
        let period = self.period;
        if let Some(by) = self.seen.get(&bucket) {
            return Err(Miss::Superseded { period, bucket, by: *by });
        }
        self.seen.insert(bucket.clone(), id);
        let rank = self.seen.len();
        let rank = self.rule.count.filter(|of| is_among(rank, *of)).map(|of| (rank, of));
        if rank.is_some() || self.limit.is_some_and(|limit| started >= limit) {
            Ok(Reason::Period { period, bucket, rank })
        } else {
            Err(Miss::Beyond { period, bucket })
        }
    }
}

fn is_among(rank: usize, of: NonZeroU32) -> bool {
    u32::try_from(rank).is_ok_and(|rank| rank <= of.get())
}

#[cfg(test)]
mod tests;
