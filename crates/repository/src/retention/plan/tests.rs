//! Which snapshots stay, and why.

use std::collections::BTreeSet;

use jiff::Timestamp;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::{Counts, Label, Previous, Snapshot, Source};
use nightjar_format::{BlobId, Digest, IncarnationId};
use proptest::prelude::*;

use super::*;
use crate::retention::policy::Preset;

const HOUR: i64 = 3600 * 1_000_000_000;
const DAY: i64 = 24 * HOUR;

fn nanos(text: &str) -> i64 {
    let time: Timestamp = text.parse().unwrap();
    time.as_nanosecond().try_into().unwrap()
}

fn count(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

/// A snapshot of the series "s" that took a minute and whose store says the same.
fn at(number: u8, started: i64) -> SnapshotInfo {
    let finished = started.saturating_add(60_000_000_000);
    SnapshotInfo {
        id: SessionId([number; 16]),
        digest: Digest([0; 32]),
        signer: SlotId([1; 16]),
        role: Role::Write,
        stored: finished,
        holds: Vec::new(),
        forgotten: false,
        was_copied: false,
        snapshot: Snapshot {
            series: "s".into(),
            started,
            finished,
            host: "h".into(),
            user: "u".into(),
            program: "p".into(),
            labels: Vec::new(),
            source: Source::Stdin { name: "s".into(), tar: false },
            counts: Counts { bytes_read: 1000, ..Counts::default() },
            root: BlobId([0; 32]),
            previous: None,
            original: None,
            incarnation: IncarnationId([0; 8]),
        },
    }
}

/// One each day, at three in the morning (UTC).
fn nights(first: &str, many: u8) -> Vec<SnapshotInfo> {
    let first = nanos(&format!("{first}T03:00:00Z"));
    (0..many).map(|number| at(number, first + i64::from(number) * DAY)).collect()
}

/// Policies with these rules.
fn daily(days: u32) -> Policy {
    let rule = PeriodRule { count: count(days), within: None };
    Policy { periods: BTreeMap::from([(Period::Day, rule)]), ..Policy::new("daily") }
}

fn last(many: u32) -> Policy {
    Policy { last: count(many), ..Policy::new("last") }
}

/// All that is asked of a plan here, and what is usual.
struct Case<'a> {
    policy: &'a Policy,
    zone: TimeZone,
    now: i64,
    accepted: BTreeMap<String, i64>,
    copied_until: Option<i64>,
}

impl<'a> Case<'a> {
    fn new(policy: &'a Policy) -> Self {
        let now = nanos("2030-01-01T00:00:00Z");
        let accepted = BTreeMap::new();
        Self { policy, zone: TimeZone::UTC, now, accepted, copied_until: None }
    }

    /// The numbers of those that go.
    fn going(&self, snapshots: &[SnapshotInfo]) -> Vec<u8> {
        self.with_plan(snapshots, |plan| plan.going().map(|info| info.id.0[0]).collect())
    }

    /// The names of the reasons for which a snapshot stays.
    fn reasons(&self, snapshots: &[SnapshotInfo], number: u8) -> Vec<&'static str> {
        self.with_plan(snapshots, |plan| {
            let mut all = plan.series.iter().flat_map(|series| &series.snapshots);
            let planned = all.find(|it| it.info.id.0[0] == number).unwrap();
            planned.reasons.iter().map(Reason::name).collect()
        })
    }

    fn with_plan<T>(&self, snapshots: &[SnapshotInfo], look: impl FnOnce(&Plan<'_>) -> T) -> T {
        let mut sorted = snapshots.to_vec();
        sorted.sort_by_key(|info| (info.snapshot.started, info.id));
        let policy_of = |_: &str| Some(self.policy);
        let request = Request {
            policy_of: &policy_of,
            zone: &self.zone,
            now: self.now,
            copied_until: self.copied_until,
        };
        look(&plan(&sorted, &self.accepted, &request))
    }
}

fn going(policy: &Policy, snapshots: &[SnapshotInfo]) -> Vec<u8> {
    Case::new(policy).going(snapshots)
}

#[test]
fn the_newest_of_each_period_stay() {
    assert_eq!(going(&last(3), &nights("2026-03-01", 5)), [0, 1]);
    assert_eq!(going(&daily(3), &nights("2026-03-01", 5)), [0, 1]);
    // Three on one day: the newest of them.
    let noon = nanos("2026-03-05T12:00:00Z");
    let three = [at(1, noon), at(2, noon + HOUR), at(3, noon + 2 * HOUR)];
    assert_eq!(going(&daily(3), &three), [1, 2]);
    // From Thursday, the first, to Saturday, the last but one.
    let weekly = PeriodRule { count: count(2), within: None };
    let policy = Policy { periods: BTreeMap::from([(Period::Week, weekly)]), ..Policy::new("w") };
    let stay: Vec<u8> = (0..31)
        .filter(|number| !going(&policy, &nights("2026-01-01", 31)).contains(number))
        .collect();
    assert_eq!(stay, [24, 30]);
}

#[test]
fn days_without_a_snapshot_are_not_counted() {
    let days = [1, 5, 9, 20].map(|day| at(day, i64::from(day) * DAY));
    assert_eq!(going(&daily(3), &days), [1]);
    let within = PeriodRule { count: None, within: Some("11d".parse().unwrap()) };
    let policy = Policy { periods: BTreeMap::from([(Period::Day, within)]), ..Policy::new("d") };
    assert_eq!(going(&policy, &days), [1, 5]);
}

#[test]
fn each_rule_keeps_for_itself() {
    let policy = Policy {
        last: count(2),
        within: Some("3d".parse().unwrap()),
        periods: BTreeMap::from([
            (Period::Month, PeriodRule { count: count(2), within: None }),
            (Period::Year, PeriodRule { count: None, within: Some("2y".parse().unwrap()) }),
        ]),
        ..Policy::new("mixed")
    };
    let nights = nights("2025-12-20", 60);
    let case = Case::new(&policy);
    // 31 January and 31 December, and the last days.
    let gone = case.going(&nights);
    let stay: Vec<u8> = (0..60).filter(|number| !gone.contains(number)).collect();
    assert_eq!(stay, [11, 42, 56, 57, 58, 59]);
    assert_eq!(case.reasons(&nights, 11), ["keep-yearly"]);
    assert_eq!(case.reasons(&nights, 42), ["keep-monthly"]);
    assert_eq!(case.reasons(&nights, 56), ["keep-within"]);
    let all = ["newest", "keep-last", "keep-within", "keep-monthly", "keep-yearly"];
    assert_eq!(case.reasons(&nights, 59), all);
}

#[test]
fn the_standard_preset_thins_out_over_seven_years() {
    let policy = Policy { periods: Preset::SevenYears.rules(), ..Policy::new("standard") };
    // More than numbers of one byte can tell apart: what stays is counted by period.
    let first = nanos("2018-01-01T03:00:00Z");
    let nights: Vec<SnapshotInfo> = (0..4018u16)
        .map(|day| SnapshotInfo {
            id: SessionId([&day.to_be_bytes()[..], &[0; 14]].concat().try_into().unwrap()),
            ..at(0, first + i64::from(day) * DAY)
        })
        .collect();
    Case::new(&policy).with_plan(&nights, |plan| {
        let staying = plan.series[0].snapshots.iter().filter(|it| !it.goes());
        let mut of: BTreeMap<&str, usize> = BTreeMap::new();
        for reason in staying.clone().flat_map(|it| &it.reasons) {
            *of.entry(reason.name()).or_default() += 1;
        }
        // Until 2028-12-31, a Sunday. The week that ended 91 days before is beyond.
        let expected = [
            ("newest", 1),
            ("keep-daily", 30),
            ("keep-weekly", 13),
            ("keep-monthly", 13),
            ("keep-yearly", 8),
        ];
        assert_eq!(of, expected.into());
        // Some are there for several reasons.
        assert_eq!(staying.count(), 30 + 8 + 12 + 6);
    });
}

#[test]
fn the_newest_stays_and_at_least_so_many() {
    let nights = nights("2026-03-01", 6);
    let policy = Policy { at_least: count(4), ..last(1) };
    assert_eq!(going(&policy, &nights), [0, 1]);
    assert_eq!(Case::new(&policy).reasons(&nights, 2), ["keep-at-least"]);
    assert_eq!(going(&Policy { at_least: count(40), ..last(1) }, &nights), [0u8; 0]);
    // Held ones are among them.
    let mut held = nights.clone();
    held[0].holds.push(hold(None));
    assert_eq!(going(&policy, &held), [1, 2]);
}

#[test]
fn a_series_is_thinned_out_by_itself_and_only_with_a_policy() {
    let mut snapshots = nights("2026-03-01", 6);
    for (number, info) in snapshots.iter_mut().enumerate() {
        info.snapshot.series = if number % 2 == 0 { "even" } else { "odd" }.into();
    }
    let policy = last(1);
    let policy_of = |series: &str| (series == "even").then_some(&policy);
    let request = Request {
        policy_of: &policy_of,
        zone: &TimeZone::UTC,
        now: nanos("2026-03-10T00:00:00Z"),
        copied_until: None,
    };
    let plan = plan(&snapshots, &BTreeMap::new(), &request);
    let going: Vec<u8> = plan.going().map(|info| info.id.0[0]).collect();
    assert_eq!(going, [0, 2]);
    let odd = &plan.series[1];
    assert!(odd.policy.is_none());
    assert!(odd.snapshots.iter().all(|it| matches!(it.reasons[..], [Reason::NoPolicy])));
}

#[test]
fn a_series_that_gets_no_more_snapshots_keeps_what_it_has() {
    let policy = Policy { periods: Preset::SevenYears.rules(), ..Policy::new("standard") };
    let nights = nights("2020-01-01", 30);
    let mut case = Case::new(&policy);
    case.now = nanos("2200-01-01T00:00:00Z");
    assert_eq!(case.going(&nights), [0u8; 0]);
}

#[test]
fn of_snapshots_that_began_at_the_same_moment_one_is_the_newest() {
    let time = nanos("2026-03-01T03:00:00Z");
    let twins = [at(2, time), at(1, time), at(3, time)];
    assert_eq!(going(&daily(1), &twins), [1, 2]);
    assert_eq!(going(&last(2), &twins), [1]);
}

#[test]
fn days_are_those_of_the_zone() {
    // Both on 25 October in Berlin, whose day has 25 hours; on two days elsewhere.
    let two = [at(1, nanos("2026-10-24T22:30:00Z")), at(2, nanos("2026-10-25T22:30:00Z"))];
    let policy = daily(5);
    let mut case = Case::new(&policy);
    assert_eq!(case.going(&two), [0u8; 0]);
    case.zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(case.going(&two), [1]);
    // The hour from two to three comes twice, and is two hours.
    let hourly = PeriodRule { count: count(5), within: None };
    let policy = Policy { periods: BTreeMap::from([(Period::Hour, hourly)]), ..Policy::new("h") };
    case.policy = &policy;
    let two = [at(1, nanos("2026-10-25T00:30:00Z")), at(2, nanos("2026-10-25T01:30:00Z"))];
    assert_eq!(case.going(&two), [0u8; 0]);
}

/// With other claims than the store's time.
fn claiming(number: u8, started: i64, finished: i64, stored: i64) -> SnapshotInfo {
    let mut info = at(number, started);
    info.snapshot.finished = finished;
    info.stored = stored;
    info
}

#[test]
fn forged_times_push_nobody_out() {
    let real = nights("2026-03-01", 5);
    let now = real[4].stored;
    let policy = daily(5);
    for (name, forged) in [
        ("for days to come", (1..=5).map(|day| now + (1 + day) * DAY).collect::<Vec<_>>()),
        ("for days gone by", (0..5).map(|day| now - 4 * DAY + day * DAY + HOUR).collect()),
    ] {
        let mut case = Case::new(&policy);
        case.now = now + HOUR;
        let forged =
            (100u8..).zip(forged).map(|(number, time)| claiming(number, time, time, case.now));
        // One that claims the day on which it was made cannot be told from a real one.
        let forged: Vec<SnapshotInfo> =
            forged.filter(|it| (it.snapshot.started - now).abs() > DAY).collect();
        assert!(forged.len() >= 3);
        let all = [&real[..], &forged].concat();
        assert_eq!(case.going(&all), [0u8; 0], "{name}");
        for info in &forged {
            let number = info.id.0[0];
            assert_eq!(case.reasons(&all, number), ["implausible-time"], "{name}");
        }
        assert!(case.reasons(&all, 4).contains(&"newest"), "{name}");
    }
}

#[test]
fn each_implausible_claim_is_told_for_what_it_is() {
    let now = nanos("2026-03-10T00:00:00Z");
    let cases = [
        (claiming(1, now, now - 1, now), Doubt::EndsBeforeItBegins),
        (claiming(1, now - 3 * DAY, now - DAY + HOUR, now - 2 * DAY), Doubt::LaterThanStored),
        (claiming(1, now - 3 * DAY, now - 3 * DAY, now), Doubt::LongBeforeStored),
        // A short end does not hide an early beginning.
        (claiming(1, now - 30 * DAY, now, now), Doubt::LongBeforeStored),
        (claiming(1, now + 2 * DAY, now + 2 * DAY, now + 2 * DAY), Doubt::InTheFuture),
        (claiming(1, now, now, now + 2 * DAY), Doubt::InTheFuture),
        (claiming(1, i64::MAX, i64::MAX, now), Doubt::LaterThanStored),
        (claiming(1, i64::MIN, i64::MIN, now), Doubt::LongBeforeStored),
    ];
    let policy = last(1);
    for (info, expected) in cases {
        let mut case = Case::new(&policy);
        case.now = now;
        let snapshots = [info, at(2, now - DAY)];
        case.with_plan(&snapshots, |plan| {
            let all = &plan.series[0].snapshots;
            let forged = all.iter().find(|it| it.info.id.0[0] == 1).unwrap();
            let Reason::Implausible(doubt) = forged.reasons[0] else { panic!("{forged:?}") };
            assert_eq!(doubt, expected);
        });
    }
    // Within a day all is believed.
    for (started, finished, stored) in
        [(now - DAY, now, now), (now, now, now - DAY), (now + DAY, now + DAY, now + DAY)]
    {
        let mut case = Case::new(&policy);
        case.now = now;
        let info = claiming(1, started, finished, stored);
        assert!(!case.reasons(&[info], 1).contains(&"implausible-time"));
    }
}

#[test]
fn a_longer_tolerance_lets_runs_take_longer() {
    let now = nanos("2026-03-10T00:00:00Z");
    let slow = claiming(1, now - 5 * DAY, now, now);
    let snapshots = [slow, at(2, now - DAY)];
    assert_eq!(going(&last(1), &snapshots), [0u8; 0]);
    let patient = Policy { tolerance: 6 * DAY, ..last(1) };
    assert_eq!(going(&patient, &snapshots), [1]);
}

#[test]
fn a_store_that_was_copied_is_thinned_out_once_that_is_said() {
    let copied = nanos("2026-06-01T00:00:00Z");
    let mut snapshots = nights("2026-03-01", 5);
    for info in &mut snapshots {
        info.stored = copied;
    }
    // One written since then.
    snapshots.push(claiming(9, copied - 50 * DAY, copied - 50 * DAY, copied + HOUR));
    let policy = last(2);
    let mut case = Case::new(&policy);
    assert_eq!(case.going(&snapshots), [0u8; 0]);
    case.copied_until = Some(copied);
    assert_eq!(case.going(&snapshots), [0, 1, 2]);
    assert_eq!(case.reasons(&snapshots, 9), ["implausible-time"]);
}

fn hold(until: Option<i64>) -> Hold {
    Hold { since: 0, until, who: "me".into(), why: "why".into() }
}

#[test]
fn a_held_snapshot_stays_until_its_time_has_come() {
    let mut snapshots = nights("2026-03-01", 5);
    let newest = snapshots[4].stored;
    snapshots[0].holds = vec![hold(None)];
    snapshots[1].holds = vec![hold(Some(newest)), hold(Some(newest + 1))];
    snapshots[2].holds = vec![hold(Some(newest))];
    let policy = last(1);
    let case = Case::new(&policy);
    assert_eq!(case.going(&snapshots), [2, 3]);
    assert_eq!(case.reasons(&snapshots, 0), ["held"]);
    // A clock that runs wrong does not end a hold: the store has seen nothing since its time.
    snapshots[2].holds = vec![hold(Some(newest + HOUR))];
    assert_eq!(case.going(&snapshots), [3]);
    // Nor does one that is behind.
    let behind = Case { now: newest - HOUR, ..Case::new(&policy) };
    snapshots[2].holds = vec![hold(Some(newest))];
    assert_eq!(behind.going(&snapshots), [3]);
}

#[test]
fn a_label_keeps() {
    let mut snapshots = nights("2026-03-01", 4);
    for (number, value) in [(0, "gold"), (1, "lead")] {
        let label = Label { key: "tier".into(), value: value.into() };
        snapshots[number].snapshot.labels.push(label);
    }
    let labelled = |text: &str| Policy { labels: vec![text.parse().unwrap()], ..last(1) };
    assert_eq!(going(&labelled("tier=gold"), &snapshots), [1, 2]);
    assert_eq!(going(&labelled("tier"), &snapshots), [2]);
    assert_eq!(going(&labelled("tier=g"), &snapshots), [0, 1, 2]);
}

#[test]
fn only_snapshots_of_the_slots_that_were_fixed_count() {
    let mut snapshots = nights("2026-03-01", 6);
    // Another host writes into the series, later and more.
    for info in &mut snapshots[3..] {
        info.signer = SlotId([2; 16]);
    }
    let fixed = Policy { slots: BTreeSet::from([SlotId([1; 16])]), ..last(2) };
    let case = Case::new(&fixed);
    assert_eq!(case.going(&snapshots), [0]);
    assert_eq!(case.reasons(&snapshots, 2), ["newest", "keep-last"]);
    assert_eq!(case.reasons(&snapshots, 5), ["other-slot"]);
    assert_eq!(going(&last(2), &snapshots), [0, 1, 2, 3]);
    // Nor do their sizes matter.
    snapshots[5].snapshot.counts.bytes_read = 1;
    assert_eq!(case.going(&snapshots), [0]);
}

/// Takes the place of another, days later.
fn rewritten(number: u8, original: &SnapshotInfo, role: Role) -> SnapshotInfo {
    let mut info = at(number, original.snapshot.started);
    info.stored += 30 * DAY;
    info.snapshot.original = Some(Previous { id: original.id, digest: original.digest });
    SnapshotInfo { role, ..info }
}

#[test]
fn a_rewritten_snapshot_has_the_place_of_its_original() {
    let mut snapshots = nights("2026-03-01", 4);
    snapshots[1] = rewritten(1, &at(9, snapshots[1].snapshot.started), Role::Full);
    let policy = last(2);
    let mut case = Case::new(&policy);
    case.now += 60 * DAY;
    assert_eq!(case.going(&snapshots), [0, 1]);
    // With a write slot anybody could forge the past.
    snapshots[1].role = Role::Write;
    assert_eq!(case.going(&snapshots), [0]);
    assert_eq!(case.reasons(&snapshots, 1), ["implausible-time"]);
}

#[test]
fn originals_and_what_was_made_from_them_count_once() {
    let originals = nights("2026-03-01", 4);
    let copies = originals.iter().zip(10..).map(|(info, id)| rewritten(id, info, Role::Full));
    let snapshots: Vec<SnapshotInfo> = originals.iter().cloned().chain(copies).collect();
    let policy = last(3);
    let mut case = Case::new(&policy);
    case.now += 60 * DAY;
    assert_eq!(case.going(&snapshots), [0]);
    assert_eq!(case.reasons(&snapshots, 13), ["rewritten"]);
}

fn sized(sizes: &[u64]) -> Vec<SnapshotInfo> {
    let mut snapshots = nights("2026-03-01", u8::try_from(sizes.len()).unwrap());
    for (info, bytes) in snapshots.iter_mut().zip(sizes) {
        info.snapshot.counts.bytes_read = *bytes;
    }
    snapshots
}

#[test]
fn a_snapshot_of_half_the_size_holds_its_series_back() {
    let policy = last(1);
    let out = |sizes: &[u64], percent: u8, accepted: Option<i64>| -> Vec<(u8, u64)> {
        let policy = Policy { size_drop_percent: percent, ..policy.clone() };
        let mut case = Case::new(&policy);
        case.accepted.extend(accepted.map(|up_to| ("s".to_owned(), up_to)));
        case.with_plan(&sized(sizes), |plan| {
            let series = &plan.series[0];
            let held = series.going().next().is_none();
            assert_eq!(held, !series.out_of_line.is_empty() || sizes.len() == 1);
            series.out_of_line.iter().map(|it| (it.id.0[0], it.usual)).collect()
        })
    };
    assert_eq!(out(&[100, 100, 50], 50, None), []);
    assert_eq!(out(&[100, 100, 49], 50, None), [(2, 100)]);
    assert_eq!(out(&[100, 100, 49], 60, None), []);
    assert_eq!(out(&[100, 100, 0], 0, None), []);
    assert_eq!(out(&[100], 50, None), []);
    assert_eq!(out(&[100, 10], 50, None), [(1, 100)]);
    assert_eq!(out(&[0, 0], 50, None), []);
    // It is the usual that counts, not the largest, and what is out of line is not usual.
    assert_eq!(out(&[100, 1000, 100, 60], 50, None), []);
    assert_eq!(out(&[100, 100, 9, 9, 9, 9, 9, 100], 50, None).len(), 5);
    // Of the last ten: what was long ago does not count.
    let grown: Vec<u64> = [1].into_iter().chain([100; 12]).chain([51]).collect();
    assert_eq!(out(&grown, 50, None), []);
    // Once somebody has looked, comparisons begin anew.
    let sizes = [100, 100, 9, 9, 9, 4];
    let start = |number: usize| Some(sized(&sizes)[number].snapshot.started);
    assert_eq!(out(&sizes, 50, None).len(), 4);
    assert_eq!(out(&sizes, 50, start(2)), [(5, 9)]);
    assert_eq!(out(&sizes, 50, start(5)), []);
    // Also when what was looked at has gone since.
    assert_eq!(out(&[100, 100, 9], 50, Some(start(1).unwrap() + 1)), [(2, 100)]);
    assert_eq!(out(&[9, 9], 50, Some(0)), []);
}

#[test]
fn a_series_that_is_held_back_says_by_what() {
    let policy = last(1);
    let mut snapshots = sized(&[100, 100, 40, 100]);
    let case = Case::new(&policy);
    assert_eq!(case.reasons(&snapshots, 0), ["held-back"]);
    assert_eq!(case.reasons(&snapshots, 2), ["size"]);
    assert_eq!(case.reasons(&snapshots, 3), ["newest", "keep-last"]);
    // What was found unchanged and not read belongs to a snapshot's size.
    snapshots[2].snapshot.counts.bytes_unchanged = 60;
    assert_eq!(case.going(&snapshots), [0, 1, 2]);
}

#[test]
fn why_a_snapshot_goes_is_told_for_each_rule() {
    let rule = |many| PeriodRule { count: count(many), within: None };
    let policy = Policy {
        last: count(1),
        within: Some("1d".parse().unwrap()),
        periods: BTreeMap::from([(Period::Day, rule(1)), (Period::Month, rule(1))]),
        ..Policy::new("p")
    };
    Case::new(&policy).with_plan(&nights("2026-03-01", 5), |plan| {
        let oldest = &plan.series[0].snapshots[0];
        let names: Vec<&str> = oldest.misses.iter().map(Miss::name).collect();
        assert_eq!(names, ["keep-last", "keep-within", "keep-daily", "keep-monthly"]);
        let Miss::Superseded { by, bucket, .. } = &oldest.misses[3] else { panic!() };
        assert_eq!((by.0[0], bucket.to_string().as_str()), (4, "2026-03"));
        assert!(matches!(&oldest.misses[2], Miss::Beyond { .. }));
    });
}

/// The same from the definition: in each period the newest, of these the newest so many.
fn oracle(times: &BTreeSet<i64>, period: Period, many: usize, zone: &TimeZone) -> BTreeSet<i64> {
    let mut newest: BTreeMap<Bucket, i64> = BTreeMap::new();
    for time in times {
        newest.insert(Bucket::of(period, *time, zone), *time);
    }
    let mut newest: Vec<i64> = newest.into_values().collect();
    newest.sort_unstable();
    newest.into_iter().rev().take(many).chain(times.last().copied()).collect()
}

proptest! {
    #[test]
    fn a_plan_is_what_its_definition_says(
        // Minutes of three years, with two changes of clocks in each.
        minutes in proptest::collection::btree_set(0i64..3 * 366 * 1440, 1..120),
        period in 0usize..5,
        many in 1u32..20,
    ) {
        let begin = nanos("2024-01-01T00:00:00Z");
        let times: BTreeSet<i64> =
            minutes.iter().map(|minute| begin + minute * 60_000_000_000).collect();
        let snapshots: Vec<SnapshotInfo> =
            (0..).zip(&times).map(|(number, time)| at(number, *time)).collect();
        let period = Period::ALL[period];
        let rule = PeriodRule { count: count(many), within: None };
        let policy = Policy { periods: BTreeMap::from([(period, rule)]), ..Policy::new("p") };
        let mut case = Case::new(&policy);
        case.zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let stay: BTreeSet<i64> = case.with_plan(&snapshots, |plan| {
            let staying = plan.series[0].snapshots.iter().filter(|it| !it.goes());
            staying.map(|it| it.info.snapshot.started).collect()
        });
        prop_assert_eq!(&stay, &oracle(&times, period, many as usize, &case.zone));
        // What stays, stays when it is asked again.
        let left: Vec<SnapshotInfo> =
            snapshots.into_iter().filter(|it| stay.contains(&it.snapshot.started)).collect();
        prop_assert!(case.going(&left).is_empty());
    }
}
