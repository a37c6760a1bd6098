//! Garbage collection: what is needed stays, what is not goes.

use nightjar_format::PackId;
use nightjar_format::object::ObjectName;
use nightjar_repository::gc::{Bounds, GcReport, GcRequest, collect, preview};
use nightjar_repository::ingest::SnapshotRequest;
use nightjar_repository::snapshots::{SnapshotInfo, forget};
use nightjar_repository::verify::{Level, VerifyRequest, verify};
use nightjar_repository::{Progress, snapshots};
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::names;
use nightjar_testkit::edits::{grown, touched};
use nightjar_testkit::fixture::{Fixture, request, restore};
use nightjar_testkit::generate::{dump, noise};

/// Nothing may stay unused.
pub(crate) fn thorough() -> GcRequest {
    let bounds = Bounds { unused_permille: 0, ..Bounds::default() };
    GcRequest { bounds, ..GcRequest::default() }
}

pub(crate) fn collected(fixture: &Fixture, request: &GcRequest) -> GcReport {
    collect(&fixture.open(), request, &Progress::default()).unwrap()
}

pub(crate) fn forgotten(fixture: &Fixture, made: &[&SnapshotInfo]) {
    let ids: Vec<_> = made.iter().map(|info| info.id).collect();
    forget(&fixture.open(), &ids, "tester", "test").unwrap();
}

/// Nothing at all is wrong, seen from here and by a machine that has never seen the repository.
pub(crate) fn assert_sound(fixture: &Fixture, kept: &[(SnapshotInfo, Vec<u8>)]) {
    for fixture in [fixture.clone(), fixture.elsewhere()] {
        let repository = fixture.open();
        for (info, bytes) in kept {
            assert!(restore(&repository, info).unwrap() == *bytes, "{} differs", info.id);
        }
        let list = snapshots::list(&repository).unwrap();
        let ids = list.snapshots.iter().map(|info| info.id).collect();
        let request = VerifyRequest {
            level: Level::Data,
            snapshots: ids,
            whole_repository: true,
            ..VerifyRequest::default()
        };
        let report = verify(&repository, &request, &Progress::default()).unwrap();
        assert_eq!(report.findings, []);
    }
}

fn pack_bytes(fixture: &Fixture) -> u64 {
    fixture.store.list("packs").unwrap().iter().map(|info| info.size).sum()
}

/// Nights, some of which rest on earlier ones and some of which do not.
pub(crate) fn nights(
    seed: u64,
    request: &SnapshotRequest,
) -> (Fixture, Vec<(SnapshotInfo, Vec<u8>)>) {
    let fixture = Fixture::new(seed);
    let mut bytes = dump(seed, 1_200_000);
    let mut made = Vec::new();
    for night in 0..8u64 {
        made.push((fixture.night_as(request, &bytes), bytes.clone()));
        bytes = match night {
            2 => noise(seed, 1_200_000),
            3 => [dump(seed + 1, 900_000), noise(seed, 300_000)].concat(),
            5 => grown(&bytes, night),
            _ => touched(&bytes, night),
        };
    }
    (fixture, made)
}

/// Nights of so many bytes of which each differs a little from the one before.
pub(crate) fn alike_nights(
    seed: u64,
    len: usize,
    count: u64,
) -> (Fixture, Vec<(SnapshotInfo, Vec<u8>)>) {
    let fixture = Fixture::new(seed);
    let mut bytes = dump(seed, len);
    let mut made = Vec::new();
    for night in 0..count {
        made.push((fixture.night(&bytes), bytes.clone()));
        bytes = touched(&bytes, night);
    }
    (fixture, made)
}

#[test]
fn whatever_is_forgotten_the_rest_restores_and_nothing_unused_stays() {
    for (seed, delta) in [(201, true), (202, false)] {
        let mut request = request("dump");
        request.delta = request.delta.filter(|_| delta);
        for keep in [0b1000_0000u32, 0b0000_0001, 0b0001_1000, 0b0101_0101, 0b0111_1111] {
            let (fixture, made) = nights(seed, &request);
            let (kept, gone): (Vec<_>, Vec<_>) =
                made.into_iter().enumerate().partition(|(night, _)| keep & (1 << night) != 0);
            let kept: Vec<_> = kept.into_iter().map(|(_, it)| it).collect();
            forgotten(&fixture, &gone.iter().map(|(_, (info, _))| info).collect::<Vec<_>>());
            let before = pack_bytes(&fixture);
            let report = collected(&fixture, &thorough());
            assert_eq!(report.waiting, []);
            assert_eq!(report.plan.unused_bytes, 0, "{report:?}");
            assert!(pack_bytes(&fixture) < before || gone.len() == 1, "{report:?}");
            assert_sound(&fixture, &kept);
            // Each pack that is left is needed.
            for name in names(&fixture.store, "packs") {
                let twin = fixture.twin();
                twin.store.delete(&name).unwrap();
                let fails = |(info, _): &(SnapshotInfo, _)| {
                    restore(&twin.elsewhere().open(), info).is_err()
                };
                assert!(kept.iter().any(fails), "{name} is not needed");
            }
            let again = collected(&fixture, &thorough());
            assert_eq!((again.rounds, again.moved_blobs), (0, 0), "{again:?}");
        }
    }
}

#[test]
fn nothing_is_collected_where_nothing_was_forgotten() {
    let fixture = Fixture::new(203);
    let bytes = dump(203, 1_200_000);
    let made = [&bytes, &touched(&bytes, 1)].map(|it| (fixture.night(it), it.clone()));
    let before = names(&fixture.store, "");
    let report = collected(&fixture, &thorough());
    assert_eq!((report.rounds, report.plan.gone_bytes()), (0, 0), "{report:?}");
    assert_eq!(names(&fixture.store, ""), before);
    assert_sound(&fixture, &made);
}

#[test]
fn everything_goes_with_the_last_snapshot() {
    let (fixture, made) = nights(204, &request("dump"));
    forgotten(&fixture, &made.iter().map(|(info, _)| info).collect::<Vec<_>>());
    collected(&fixture, &GcRequest::default());
    for folder in ["packs", "index", "snapshots", "sessions"] {
        assert_eq!(names(&fixture.store, folder), Vec::<String>::new(), "{folder}");
    }
    let (info, bytes) = &made[0];
    let again = fixture.night(bytes);
    assert_ne!(again.id, info.id);
    assert_sound(&fixture, &[(again, bytes.clone())]);
}

#[test]
fn a_preview_says_what_a_run_does_and_does_nothing() {
    let whole = SnapshotRequest { delta: None, ..request("dump") };
    let (fixture, made) = nights(205, &whole);
    forgotten(&fixture, &[&made[0].0, &made[1].0, &made[4].0]);
    let before = names(&fixture.store, "");
    let seen = preview(&fixture.open(), &Bounds::default(), &Progress::default()).unwrap();
    assert_eq!(names(&fixture.store, ""), before);
    assert!(seen.plan.freed_bytes() > 0, "{seen:?}");
    let report = collected(&fixture, &GcRequest::default());
    assert_eq!(report.plan, seen.plan);
    assert!(report.plan.unused_bytes * 20 <= report.plan.kept_bytes, "{report:?}");
    assert_eq!(report.swept.pack_bytes, seen.plan.gone_bytes());
}

#[test]
fn what_was_collected_is_stored_again_by_every_machine() {
    let (fixture, made) = nights(206, &request("dump"));
    let other = fixture.elsewhere();
    // It has seen everything.
    assert_eq!(other.night(&made[7].1).snapshot.counts.chunks_new, 0);
    forgotten(&fixture, &[&made[2].0, &made[3].0]);
    collected(&fixture, &thorough());
    let back = other.night(&made[3].1);
    assert!(back.snapshot.counts.chunks_new > 0);
    assert_sound(&other, &[(back, made[3].1.clone()), made[7].clone()]);
    assert_sound(&fixture, &[made[5].clone()]);
}

#[test]
fn packs_that_were_never_listed_go() {
    let (fixture, made) = nights(207, &request("dump"));
    let chains = Chains::of(&fixture.open());
    let packs: std::collections::BTreeSet<PackId> = chains.all().map(|it| it.pack).collect();
    // As a writer leaves it that was killed before it published.
    let lost = names(&fixture.store, "index").pop().unwrap();
    fixture.store.delete(&lost).unwrap();
    let left: std::collections::BTreeSet<PackId> =
        Chains::of(&fixture.open()).all().map(|it| it.pack).collect();
    forgotten(&fixture, &made.iter().map(|(info, _)| info).collect::<Vec<_>>());
    assert!(left.len() < packs.len());
    let report = collected(&fixture, &GcRequest::default());
    assert_eq!(report.swept.packs, packs.len() as u64);
    assert_eq!(names(&fixture.store, "packs"), Vec::<String>::new());
}

#[test]
fn small_packs_become_few() {
    let (fixture, made) = alike_nights(208, 400_000, 20);
    let before = names(&fixture.store, "packs").len();
    collected(&fixture, &GcRequest::default());
    let after = names(&fixture.store, "packs").len();
    assert!(after * 3 < before, "{before} packs became {after}");
    assert_sound(&fixture, &made);
    assert!(names(&fixture.store, "packs").iter().all(|name| ObjectName::parse(name).is_some()));
}

/// Night after night a little changes, so each night's chunks are deltas against the night before.
#[test]
fn what_rests_on_dead_weight_is_stored_whole() {
    let (fixture, made) = alike_nights(230, 2_000_000, 12);
    let (last, rest) = made.split_last().unwrap();
    forgotten(&fixture, &rest.iter().map(|(info, _)| info).collect::<Vec<_>>());
    let before = preview(&fixture.open(), &thorough().bounds, &Progress::default()).unwrap();
    assert!(before.reencoded_blobs > 0, "{before:?}");
    assert!(before.reencoded_bytes < before.reencoded_frees, "{before:?}");
    let report = collected(&fixture, &thorough());
    assert!(report.reencoded.blobs >= before.reencoded_blobs, "{report:?}");
    assert_eq!(report.reencoded.unreadable, 0);
    assert_sound(&fixture, std::slice::from_ref(last));
    // What the last night takes where there never was another.
    let alone = Fixture::new(231);
    alone.night(&last.1);
    let (here, there) = (pack_bytes(&fixture), pack_bytes(&alone));
    assert!(here * 100 <= there * 108, "{here} {there}");
    let again = collected(&fixture, &thorough());
    assert_eq!(again.reencoded.blobs, 0, "{again:?}");
}

/// Where the chain's beginning is alive, next to nothing is won.
#[test]
fn what_rests_on_what_is_alive_stays_as_it_is() {
    let (fixture, made) = alike_nights(232, 2_000_000, 6);
    let gone: Vec<&SnapshotInfo> = made[1..5].iter().map(|(info, _)| info).collect();
    forgotten(&fixture, &gone);
    let report = collected(&fixture, &thorough());
    assert!(report.reencoded.bytes < 10_000, "{report:?}");
    assert_sound(&fixture, &[made[0].clone(), made[5].clone()]);
}
