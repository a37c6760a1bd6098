//! A collection among very many blobs is planned in little memory.
//!
//! `NIGHTJAR_BLOBS=100000000` takes another number than the usual one; what was measured is printed.
#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::disallowed_methods, reason = "another number can be asked for")]

use std::fs;
use std::time::Instant;

use nightjar_repository::Progress;
use nightjar_repository::gc::{Bounds, Reason, preview};
use nightjar_storage::{Store, StoreSettings, StoreUrl};
use nightjar_testkit::fixture::Fixture;
use nightjar_testkit::generate::noise;
use nightjar_testkit::multitude;

/// The most memory that this process had resident since [`forget_peak`], in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn forget_peak() {
    // proc_pid_clear_refs(5): 5 resets the peak.
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

#[test]
fn a_plan_among_very_many_blobs_takes_little_memory() {
    let blobs = std::env::var("NIGHTJAR_BLOBS").map_or(200_000, |text| text.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (repository, cache) = (directory.path().join("repository"), directory.path().join("cache"));
    fs::create_dir(&cache).unwrap();
    let url = StoreUrl::parse(repository.to_str().unwrap(), directory.path()).unwrap();
    let store = Store::open_or_create(&url, &StoreSettings::default()).unwrap();
    let fixture = Fixture::in_store(260, store, cache);
    let last = fixture.night(&noise(260, 100_000));
    let began = Instant::now();
    let dead = multitude::fill(&fixture, &repository, blobs, &last.snapshot);
    println!("{blobs} blobs: made in {:.1?}", began.elapsed());
    for what in ["with a local index that is made first", "with one that is there"] {
        forget_peak();
        let began = Instant::now();
        let progress = Progress::default();
        let seen = preview(&fixture.open(), &Bounds::default(), &progress).unwrap();
        let (seconds, peak) = (began.elapsed(), peak());
        println!("{blobs} blobs: planned in {seconds:.1?}, {} MiB, {what}", peak >> 20);
        assert_eq!(seen.plan.by_reason[&Reason::Dead].0, dead, "{what}");
        assert_eq!(seen.plan.by_reason.len(), 1, "{what}");
        assert!(peak < 1 << 30, "{peak} bytes {what}");
    }
}
