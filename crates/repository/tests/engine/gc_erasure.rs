//! Erasure: what only erased snapshots held goes for good, and the ledger says when.

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_format::ledger::LedgerBody;
use nightjar_repository::gc::{Bounds, Erasure, GcReport, GcRequest, Reason, collect, preview};
use nightjar_repository::snapshots::{self, SnapshotInfo, erase};
use nightjar_repository::{Progress, ledger};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::names;
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::Fixture;
use nightjar_testkit::generate::{dump, noise};

use crate::gc::{alike_nights, assert_sound, collected};
use crate::gc_sessions::back_up_while;

fn erased(fixture: &Fixture, made: &[&SnapshotInfo]) {
    let ids: Vec<_> = made.iter().map(|info| info.id).collect();
    erase(&fixture.open(), &ids, "tester", "they asked us to").unwrap();
}

/// Nights that differ by little, one that differs by much, and again nights like the first ones.
fn nights(seed: u64) -> (Fixture, Vec<(SnapshotInfo, Vec<u8>)>) {
    let fixture = Fixture::new(seed);
    let mut bytes = dump(seed, 1_500_000);
    let mut made = Vec::new();
    for night in 0..9 {
        let tonight = match night {
            4 => [bytes.as_slice(), &noise(seed, 400_000)].concat(),
            _ => bytes.clone(),
        };
        made.push((fixture.night(&tonight), tonight));
        bytes = touched(&bytes, night);
    }
    (fixture, made)
}

/// The ledger's last record says so.
fn assert_recorded(fixture: &Fixture, report: &GcReport) {
    let Some(Erasure::Done { record, kept_until }) = report.erasure else {
        panic!("{:?}", report.erasure)
    };
    let ledger = ledger::read(&fixture.open()).unwrap();
    assert!(ledger.state.erasures.is_empty());
    let (last, _) = ledger.records.last().unwrap();
    assert_eq!(last.number, record);
    let LedgerBody::Erased { packs, bytes, kept_until: recorded, .. } = last.body else {
        panic!("{last:?}")
    };
    assert_eq!((packs, bytes), (report.swept.packs, report.swept.pack_bytes));
    assert_eq!(recorded, kept_until);
}

#[test]
fn nothing_stays_that_only_erased_snapshots_held() {
    for (seed, gone) in [(240, 0..8), (241, 0..1), (242, 4..5), (243, 2..7)] {
        let (fixture, made) = nights(seed);
        let kept: Vec<_> = (0..made.len()).filter(|it| !gone.contains(it)).collect();
        let kept: Vec<_> = kept.into_iter().map(|it| made[it].clone()).collect();
        erased(&fixture, &made[gone.clone()].iter().map(|(info, _)| info).collect::<Vec<_>>());
        assert!(
            preview(&fixture.open(), &GcRequest::default().bounds, &Progress::default())
                .unwrap()
                .erases
        );
        let report = collected(&fixture, &GcRequest::default());
        assert_eq!(report.plan.unused_bytes, 0, "{report:?}");
        assert_recorded(&fixture, &report);
        assert_sound(&fixture, &kept);
        // Every blob that is left is in some snapshot: had the others never been, no other would be
        // there.
        let never = Fixture::new(seed);
        kept.iter().for_each(|(_, bytes)| drop(never.night(bytes)));
        assert_eq!(blobs(&fixture), blobs(&never), "{gone:?}");
        let again = collected(&fixture, &GcRequest::default());
        assert!(again.erasure.is_none() && again.reencoded.blobs == 0, "{again:?}");
        // What this run's predecessor wrote itself may be small.
        assert!(again.plan.by_reason.keys().all(|why| *why == Reason::Small), "{again:?}");
    }
}

/// The ids of all blobs that are listed, but for nodes: those name times.
fn blobs(fixture: &Fixture) -> BTreeSet<BlobId> {
    let chains = Chains::of(&fixture.open());
    let chunks = chains.all().filter(|stored| stored.kind == BlobKind::Data);
    chunks.map(|stored| stored.entry.id).collect()
}

#[test]
fn a_writer_that_began_before_may_have_copied_it() {
    let (fixture, made) = nights(245);
    let other = fixture.elsewhere();
    let bytes = dump(1245, 300_000);
    let info = back_up_while(&fixture.open(), &bytes, || {
        erased(&other, &made[..8].iter().map(|(info, _)| info).collect::<Vec<_>>());
        let report = collected(&other, &GcRequest::default());
        assert!(matches!(report.erasure, Some(Erasure::Open { .. })), "{report:?}");
    });
    let report = collected(&other, &GcRequest::default());
    assert!(report.swept.packs > 0);
    assert_recorded(&other, &report);
    assert_sound(&other, &[made[8].clone(), (info.unwrap(), bytes)]);
}

#[test]
fn what_cannot_be_deleted_keeps_an_erasure_open() {
    let (fixture, made) = nights(246);
    erased(&fixture, &made[..8].iter().map(|(info, _)| info).collect::<Vec<_>>());
    let faults = Arc::new(FaultStore::new(fixture.store.inner(), FaultPlan::locked("packs")));
    let locked = fixture.at(Store::over(faults, "memory://locked"), fixture.cache.clone());
    let before = names(&fixture.store, "packs").len();
    for _ in 0..2 {
        let report = collect(&locked.open(), &GcRequest::default(), &Progress::default()).unwrap();
        assert!(!report.swept.undeleted.is_empty() && report.swept.packs == 0, "{report:?}");
        assert!(report.swept.undeleted.values().all(|why| why.contains("lock")), "{report:?}");
        let Some(Erasure::Open { why }) = &report.erasure else { panic!("{report:?}") };
        assert!(why.contains("could not be deleted"), "{why}");
        assert!(names(&fixture.store, "packs").len() >= before);
        assert_sound(&fixture, &made[8..]);
    }
    // The lock has ended.
    let report = collected(&fixture, &GcRequest::default());
    assert!(report.swept.packs > 0);
    assert_recorded(&fixture, &report);
    assert_sound(&fixture, &made[8..]);
}

/// What a run may not move stays, and no record says that it is gone.
#[test]
fn a_run_that_may_not_move_everything_does_not_end_an_erasure() {
    let (fixture, made) = nights(249);
    erased(&fixture, &[&made[4].0]);
    let bounds = Bounds { move_bytes: Some(0), ..Bounds::default() };
    let report = collected(&fixture, &GcRequest { bounds, ..GcRequest::default() });
    let Some(Erasure::Open { why }) = &report.erasure else { panic!("{report:?}") };
    assert!(why.contains("--max-repack"), "{why}");
    assert!(!ledger::read(&fixture.open()).unwrap().state.erasures.is_empty());
    assert_recorded(&fixture, &collected(&fixture, &GcRequest::default()));
}

/// Bundles copy index objects and snapshots: no copy of one that is gone stays.
#[test]
fn bundles_keep_nothing_of_what_was_erased() {
    let (fixture, mut made) = alike_nights(248, 300_000, 20);
    assert!(!names(&fixture.store, "bundles/snapshots").is_empty());
    erased(&fixture, &[&made[3].0]);
    let report = collected(&fixture.elsewhere(), &GcRequest::default());
    assert_recorded(&fixture, &report);
    assert!(report.swept.bundles > 0, "{report:?}");
    let id = made.remove(3).0.id.to_string();
    for name in names(&fixture.store, "bundles") {
        let bundle = nightjar_testkit::damage::read(&fixture.store, &name);
        let holds = bundle.windows(id.len()).any(|window| window == id.as_bytes());
        assert!(!holds, "{name} copies a snapshot that is gone");
    }
    assert_sound(&fixture, &made);
}

/// What is erased in one snapshot and held by another one stays.
#[test]
fn what_another_snapshot_holds_stays() {
    let (fixture, made) = nights(247);
    let twin = fixture.night(&made[3].1);
    erased(&fixture, &[&made[3].0]);
    let report = collected(&fixture, &GcRequest::default());
    assert_recorded(&fixture, &report);
    let mut kept = made.clone();
    kept[3].0 = twin;
    assert_sound(&fixture, &kept);
    assert!(snapshots::list(&fixture.open()).unwrap().lost.is_empty());
}
