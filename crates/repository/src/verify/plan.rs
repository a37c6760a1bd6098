//! Which packs and snapshots a run checks, and in which order.
//!
//! A run that is not to check everything takes those whose last check is longest ago, those that
//! were never checked before all others. It takes at least one of each, and what it found sound goes
//! to the end of the queue: so successive runs come around to everything, however little each does.

/// How much of what is asked for a run checks; without any of these, all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// So much of it.
    pub sample: Option<Sample>,
    /// Only what was last checked before this, in Unix nanoseconds.
    pub before: Option<i64>,
    /// Nothing more is begun after this, in Unix nanoseconds.
    pub deadline: Option<i64>,
}

impl Bounds {
    /// Whether everything is checked.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// A part of all packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A share of their bytes, in thousandths.
    Permille(u32),
    /// So many bytes.
    Bytes(u64),
}

/// When something has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    /// Before all others and beside every bound: there is reason to doubt it.
    First,
    /// By its last check.
    Queue,
    /// After all others: what is wrong with it is known.
    Last,
}

/// Something that may be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What it counts for: bytes of a pack, 1 for a snapshot.
    pub(super) amount: u64,
    /// Its last check, in Unix nanoseconds.
    pub(super) last: Option<i64>,
    pub(super) turn: Turn,
}

/// The places of those that are to be checked, in this order: so many that `budget` is used up.
pub(super) fn choose(candidates: &[Candidate], bounds: &Bounds, budget: Option<u64>) -> Vec<usize> {
    let mut queue: Vec<(&Candidate, usize)> = candidates.iter().zip(0..).collect();
    if bounds.is_everything() {
        return queue.into_iter().map(|(_, place)| place).collect();
    }
    let is_due = |it: &Candidate| {
        let before = bounds.before.is_none_or(|before| it.last.is_none_or(|last| last < before));
        it.turn == Turn::First || before
    };
    queue.retain(|(it, _)| is_due(it));
    queue.sort_by_key(|(it, place)| (it.turn, it.last, *place));
    let mut left = budget;
    queue.retain(|(it, _)| match &mut left {
        _ if it.turn == Turn::First => true,
        Some(0) => false,
        Some(left) => {
            *left = left.saturating_sub(it.amount);
            true
        }
        None => true,
    });
    queue.into_iter().map(|(_, place)| place).collect()
}

/// Bytes of packs to check, of so many that there are.
pub(super) fn pack_budget(sample: Option<Sample>, bytes: u64) -> Option<u64> {
    Some(match sample? {
        Sample::Permille(share) => share_of(bytes, u64::from(share), 1000),
        Sample::Bytes(bytes) => bytes.max(1),
    })
}

/// Snapshots to walk, of so many that there are: the share that is checked of the packs.
pub(super) fn snapshot_budget(sample: Option<Sample>, bytes: u64, snapshots: u64) -> Option<u64> {
    Some(match sample? {
        Sample::Permille(share) => share_of(snapshots, u64::from(share), 1000),
        Sample::Bytes(sample) => share_of(snapshots, sample, bytes),
    })
}

/// Rounded up, and at least one.
fn share_of(all: u64, part: u64, whole: u64) -> u64 {
    if part >= whole {
        return all.max(1);
    }
    let share = (u128::from(all) * u128::from(part)).div_ceil(u128::from(whole));
    u64::try_from(share).unwrap_or(all).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(sample: Sample) -> Bounds {
        Bounds { sample: Some(sample), ..Bounds::default() }
    }

    fn candidates(lasts: &[Option<i64>]) -> Vec<Candidate> {
        let candidate =
            |last: &Option<i64>| Candidate { amount: 10, last: *last, turn: Turn::Queue };
        lasts.iter().map(candidate).collect()
    }

    #[test]
    fn without_bounds_everything_is_checked_in_its_order() {
        let all = candidates(&[Some(3), None, Some(1)]);
        assert_eq!(choose(&all, &Bounds::default(), None), [0, 1, 2]);
    }

    #[test]
    fn what_was_never_checked_comes_first_then_the_oldest() {
        let all = candidates(&[Some(3), None, Some(1), None, Some(2)]);
        let bounds = Bounds { deadline: Some(0), ..Bounds::default() };
        assert_eq!(choose(&all, &bounds, None), [1, 3, 2, 4, 0]);
    }

    #[test]
    fn a_budget_is_used_up_and_takes_at_least_one() {
        let all = candidates(&[Some(3), None, Some(1), None, Some(2)]);
        let bounds = sampled(Sample::Bytes(1));
        for (budget, chosen) in [
            (1, vec![1]),
            (10, vec![1]),
            (11, vec![1, 3]),
            (29, vec![1, 3, 2]),
            (500, vec![1, 3, 2, 4, 0]),
        ] {
            assert_eq!(choose(&all, &bounds, Some(budget)), chosen, "{budget}");
        }
    }

    #[test]
    fn what_was_checked_lately_is_passed_over() {
        let all = candidates(&[Some(3), None, Some(1), Some(2)]);
        let bounds = Bounds { before: Some(2), ..Bounds::default() };
        assert_eq!(choose(&all, &bounds, None), [1, 2]);
    }

    #[test]
    fn doubts_come_first_and_beside_every_bound_known_damage_last() {
        let mut all = candidates(&[Some(9), Some(5), None, Some(1)]);
        all[0].turn = Turn::First;
        all[2].turn = Turn::Last;
        let bounds = Bounds { before: Some(7), ..sampled(Sample::Bytes(1)) };
        assert_eq!(choose(&all, &bounds, Some(1)), [0, 3]);
        assert_eq!(choose(&all, &bounds, Some(100)), [0, 3, 1, 2]);
    }

    #[test]
    fn shares_are_rounded_up() {
        let share = |permille| Some(Sample::Permille(permille));
        for (sample, bytes, snapshots, expected) in [
            (share(50), 1000, 10, (50, 1)),
            (share(50), 1001, 21, (51, 2)),
            (share(1000), 1000, 10, (1000, 10)),
            (Some(Sample::Bytes(250)), 1000, 10, (250, 3)),
            (Some(Sample::Bytes(5000)), 1000, 10, (5000, 10)),
            (Some(Sample::Bytes(0)), 1000, 10, (1, 1)),
            (Some(Sample::Bytes(5)), 0, 0, (5, 1)),
        ] {
            let found = (pack_budget(sample, bytes), snapshot_budget(sample, bytes, snapshots));
            assert_eq!(found, (Some(expected.0), Some(expected.1)), "{sample:?}");
        }
        assert_eq!((pack_budget(None, 1), snapshot_budget(None, 1, 1)), (None, None));
    }

    /// Runs one after another until everything was checked; how many that took.
    fn runs_until_all(
        mut all: Vec<Candidate>,
        mut run: impl FnMut(&[Candidate]) -> Vec<usize>,
    ) -> u32 {
        let mut now = 0;
        for runs in 1.. {
            for chosen in run(&all) {
                now += 1;
                all[chosen].last = Some(now);
            }
            if all.iter().all(|it| it.last.is_some()) {
                return runs;
            }
        }
        0
    }

    fn uneven() -> Vec<Candidate> {
        let amounts = (0..97u64).map(|number| 1 + number * 7919 % 100);
        amounts.map(|amount| Candidate { amount, last: None, turn: Turn::Queue }).collect()
    }

    #[test]
    fn successive_samples_come_around_to_everything() {
        let total: u64 = uneven().iter().map(|it| it.amount).sum();
        for permille in [1, 5, 50, 333, 1000] {
            let bounds = sampled(Sample::Permille(permille));
            let budget = pack_budget(bounds.sample, total);
            let runs = runs_until_all(uneven(), |all| choose(all, &bounds, budget));
            assert!(runs <= 1000_u32.div_ceil(permille), "{permille}: {runs}");
        }
    }

    #[test]
    fn runs_that_are_cut_off_after_one_come_around_to_everything() {
        let bounds = Bounds { deadline: Some(0), ..Bounds::default() };
        let runs = runs_until_all(uneven(), |all| choose(all, &bounds, None)[..1].to_vec());
        assert_eq!(runs, 97);
    }

    #[test]
    fn what_comes_new_waits_for_no_second_round_of_others() {
        let bounds = sampled(Sample::Permille(100));
        let mut all = uneven();
        for (place, it) in (0..).zip(&mut all) {
            it.last = (place % 10 > 0).then_some(place);
        }
        let chosen = choose(&all, &bounds, Some(1_000_000));
        assert!(chosen.iter().take(10).all(|place| all[*place].last.is_none()));
    }
}
