//! What every store promises, tried on each kind of store.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Barrier;

use bytes::Bytes;
use nightjar_storage::{
    Created, ObjectInfo, Pending, Purpose, Store, StoreError, StoreSettings, StoreUrl,
};
use nightjar_testservers::{Azurite, GcsFake, Moto};

fn local(run: fn(&Store)) {
    let directory = tempfile::tempdir().unwrap();
    // Characters that mean something in URLs and in object_store's own file names.
    let odd = directory.path().join("a b#1/%41?é");
    let url = StoreUrl::parse(odd.to_str().unwrap(), directory.path()).unwrap();
    run(&Store::open_or_create(&url, &StoreSettings::default()).unwrap());
}

fn memory(run: fn(&Store)) {
    run(&Store::memory());
}

fn settings(endpoint: &str, variables: &[(&str, &str)]) -> StoreSettings {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    StoreSettings {
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        variables: variables.collect(),
        ..StoreSettings::default()
    }
}

/// Tries all promises on one server, each below a prefix of its own.
fn in_cloud(bucket: &str, settings: &StoreSettings) {
    for (name, promise) in PROMISES {
        let url = StoreUrl::parse(&format!("{bucket}/{name}/deep"), Path::new("/")).unwrap();
        let store = Store::open(&url, settings).unwrap();
        let held = std::panic::catch_unwind(AssertUnwindSafe(|| promise(&store)));
        assert!(held.is_ok(), "{bucket} does not hold the promise {name}");
    }
}

#[test]
fn s3() {
    let moto = Moto::start();
    let settings = settings(moto.endpoint(), &moto.variables());
    in_cloud(&format!("s3://{}", moto.new_bucket()), &settings);
}

#[test]
fn azure() {
    let azurite = Azurite::start();
    let settings = settings(azurite.endpoint(), &azurite.variables());
    in_cloud(&format!("az://{}", azurite.new_bucket()), &settings);
}

#[test]
fn google() {
    let google = GcsFake::builder().page(7).start();
    let key = google.service_account_key();
    let settings = settings(google.endpoint(), &[("GOOGLE_SERVICE_ACCOUNT_KEY", &key)]);
    in_cloud(&format!("gs://{}", google.new_bucket()), &settings);
}

macro_rules! promises {
    ($($promise:ident)*) => {
        const PROMISES: &[(&str, fn(&Store))] = &[$((stringify!($promise), $promise)),*];
        mod local_directory {
            $(#[test] fn $promise() { super::local(super::$promise) })*
        }
        mod in_memory {
            $(#[test] fn $promise() { super::memory(super::$promise) })*
        }
    };
}

promises! {
    a_name_is_created_once
    a_put_replaces
    a_range_is_exact_or_an_error
    a_range_larger_than_memory_is_only_short
    an_object_larger_than_the_limit_is_not_read
    an_empty_object_is_an_object
    missing_objects_are_told_apart_from_failures
    a_listing_is_whole_segments_sorted
    a_second_deletion_is_fine
    one_of_twenty_racing_creators_wins
    large_objects_come_back_as_they_were
    concurrent_writes_and_reads_all_arrive
    names_that_no_object_can_have_are_refused
    conditional_creation_is_honoured
    requests_are_counted
    calls_work_from_any_thread
}

const LIMIT: u64 = 64 << 20;

fn names(store: &Store, prefix: &str) -> Vec<String> {
    store.list(prefix).unwrap().into_iter().map(|object| object.name).collect()
}

fn a_name_is_created_once(store: &Store) {
    let name = "snapshots/8f0c";
    assert_eq!(store.create(name, "first".into()).unwrap(), Created::Created);
    assert_eq!(store.create(name, "second".into()).unwrap(), Created::Exists);
    assert_eq!(store.get(name, LIMIT).unwrap(), "first");
    store.delete(name).unwrap();
    assert_eq!(store.create(name, "third".into()).unwrap(), Created::Created);
}

fn a_put_replaces(store: &Store) {
    store.put("sessions/1", "a longer one".into()).unwrap();
    store.put("sessions/1", "short".into()).unwrap();
    assert_eq!(store.get("sessions/1", LIMIT).unwrap(), "short");
    assert_eq!(store.head("sessions/1").unwrap().unwrap().size, 5);
}

fn a_range_is_exact_or_an_error(store: &Store) {
    store.put("packs/ab/cd", "0123456789".into()).unwrap();
    let range = |range| store.get_range("packs/ab/cd", range);
    assert_eq!(range(0..10).unwrap(), "0123456789");
    assert_eq!(range(3..5).unwrap(), "34");
    assert_eq!(range(4..4).unwrap(), "");
    let short = |wanted, got| {
        move |error| match error {
            StoreError::Short { wanted: w, got: g, name } => {
                assert_eq!((name.as_str(), w, g), ("packs/ab/cd", wanted, got));
            }
            other => unreachable!("{other}"),
        }
    };
    range(8..12).map_err(short(4, 2)).unwrap_err();
    range(10..11).map_err(short(1, 0)).unwrap_err();
    range(1000..1010).map_err(short(10, 0)).unwrap_err();
}

fn a_range_larger_than_memory_is_only_short(store: &Store) {
    store.put("packs/ab/cd", "0123456789".into()).unwrap();
    for range in [0..u64::MAX, 5..u64::MAX / 2, u64::MAX - 1..u64::MAX] {
        let error = store.get_range("packs/ab/cd", range).unwrap_err();
        assert!(matches!(error, StoreError::Short { .. }), "{error}");
    }
}

fn an_object_larger_than_the_limit_is_not_read(store: &Store) {
    store.put("keyring/0/s", "12345".into()).unwrap();
    assert_eq!(store.get("keyring/0/s", 5).unwrap(), "12345");
    let error = store.get("keyring/0/s", 4).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { size: 5, limit: 4, .. }), "{error}");
}

fn an_empty_object_is_an_object(store: &Store) {
    store.put("empty", Bytes::new()).unwrap();
    assert_eq!(store.get("empty", 0).unwrap(), "");
    assert_eq!(store.head("empty").unwrap().unwrap().size, 0);
    let error = store.get_range("empty", 0..1).unwrap_err();
    assert!(matches!(error, StoreError::Short { wanted: 1, got: 0, .. }), "{error}");
}

fn missing_objects_are_told_apart_from_failures(store: &Store) {
    store.put("packs/ab/cd", "x".into()).unwrap();
    for name in ["nothing", "packs/ab/ce", "packs", "packs/ab"] {
        assert!(store.head(name).unwrap().is_none(), "{name}");
        let whole = store.get(name, LIMIT).unwrap_err();
        assert!(matches!(whole, StoreError::NotFound { name: ref n } if n == name), "{whole}");
        let range = store.get_range(name, 0..1).unwrap_err();
        assert!(matches!(range, StoreError::NotFound { .. }), "{range}");
    }
}

fn a_listing_is_whole_segments_sorted(store: &Store) {
    assert!(store.list("").unwrap().is_empty());
    for name in ["packs/ff/1", "packs/00/2", "packs/00/1", "packs2/1", "repository"] {
        store.put(name, name.to_owned().into()).unwrap();
    }
    assert_eq!(names(store, "packs"), ["packs/00/1", "packs/00/2", "packs/ff/1"]);
    assert_eq!(names(store, "packs/00"), ["packs/00/1", "packs/00/2"]);
    assert_eq!(names(store, "packs/0"), [""; 0]);
    assert_eq!(names(store, "repository"), [""; 0]);
    assert_eq!(names(store, "index"), [""; 0]);
    assert_eq!(names(store, "").len(), 5);
    let listed = store.list("packs/ff").unwrap();
    let looked_up = store.head("packs/ff/1").unwrap().unwrap();
    // Where it is told in a header of HTTP, a time has whole seconds.
    let told = |info: &ObjectInfo| {
        (info.name.clone(), info.size, info.modified_unix_nanos / 1_000_000_000)
    };
    assert_eq!(listed.iter().map(told).collect::<Vec<_>>(), [told(&looked_up)]);
    assert_eq!(listed.iter().map(|object| object.size).sum::<u64>(), 10);
    assert!(listed.iter().all(|object| object.modified_unix_nanos > 1_700_000_000_000_000_000));
}

fn a_second_deletion_is_fine(store: &Store) {
    store.put("index/1", "x".into()).unwrap();
    store.delete("index/1").unwrap();
    store.delete("index/1").unwrap();
    store.delete("never/was/here").unwrap();
    assert!(store.list("").unwrap().is_empty());
}

fn one_of_twenty_racing_creators_wins(store: &Store) {
    for round in 0..10 {
        let name = format!("ledger/0/{round}");
        let start = Barrier::new(20);
        let contend = |me: usize| {
            start.wait();
            let created = store.create(&name, me.to_string().into()).unwrap();
            // Winner or loser, whoever is answered sees the winner's bytes.
            (me, created, store.get(&name, LIMIT).unwrap())
        };
        let answers: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..20).map(|me| scope.spawn(move || contend(me))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let won = |(_, created, _): &&(usize, Created, Bytes)| *created == Created::Created;
        assert_eq!(answers.iter().filter(won).count(), 1);
        let winner = answers.iter().find(won).unwrap().0.to_string();
        assert!(answers.iter().all(|(_, _, bytes)| *bytes == winner));
    }
    assert_eq!(names(store, "ledger").len(), 10);
}

fn large_objects_come_back_as_they_were(store: &Store) {
    let bytes: Bytes = (0..40_000_000_u32).map(|i| (i % 251).to_le_bytes()[0]).collect();
    store.put("packs/40/large", bytes.clone()).unwrap();
    assert!(store.get("packs/40/large", LIMIT).unwrap() == bytes);
    let range = store.get_range("packs/40/large", 30_000_000..39_999_999).unwrap();
    assert!(range == bytes.slice(30_000_000..39_999_999));
    assert_eq!(store.create("packs/41/large", bytes).unwrap(), Created::Created);
}

fn concurrent_writes_and_reads_all_arrive(store: &Store) {
    let name = |i: usize| format!("packs/{:02x}/{i}", i % 7);
    let data = |i: usize| Bytes::from(vec![i.to_le_bytes()[0]; 10_000 + i]);
    let writes: Vec<_> =
        (0..100).map(|i| store.start_put(name(i), data(i), Purpose::Data)).collect();
    writes.into_iter().try_for_each(Pending::wait).unwrap();
    let read = |i| store.start_get_range(name(i), 5_000..10_000);
    let reads: Vec<_> = (0..100).map(read).collect();
    for (i, read) in reads.into_iter().enumerate() {
        assert_eq!(read.wait().unwrap(), data(i).slice(5_000..10_000));
    }
    assert_eq!(names(store, "packs").len(), 100);
    store.start_put(name(1), "again".into(), Purpose::Data).wait().unwrap();
    assert_eq!(store.get(&name(1), LIMIT).unwrap(), "again");
}

fn names_that_no_object_can_have_are_refused(store: &Store) {
    for name in ["", "/", "a//b", "../a", "a/../b", "a/./b", "a\nb", "a#1", "a%2fb", "a\\b"] {
        assert!(store.put(name, "x".into()).is_err(), "{name:?}");
        assert!(
            store.start_put(name.to_owned(), "x".into(), Purpose::Data).wait().is_err(),
            "{name:?}"
        );
        assert!(store.get(name, LIMIT).is_err(), "{name:?}");
    }
    assert!(store.list("").unwrap().is_empty());
}

fn conditional_creation_is_honoured(store: &Store) {
    store.put("probe", "left over from a killed probe".into()).unwrap();
    assert!(store.probe_conditional_create("probe").unwrap());
    assert!(store.list("").unwrap().is_empty());
}

fn requests_are_counted(store: &Store) {
    store.put("a", "123".into()).unwrap();
    store.create("a", "12345".into()).unwrap();
    store.create("b", "12345".into()).unwrap();
    store.get("a", LIMIT).unwrap();
    store.get_range("b", 1..3).unwrap();
    store.head("a").unwrap();
    store.list("").unwrap();
    store.delete("a").unwrap();
    let counted = store.clone().counters();
    // The creation that met another object looked whether it was its own.
    assert_eq!((counted.put, counted.create, counted.get), (1, 2, 3));
    assert_eq!((counted.head, counted.list, counted.delete), (1, 1, 1));
    assert_eq!((counted.bytes_up, counted.bytes_down), (8, 8));
}

fn calls_work_from_any_thread(store: &Store) {
    let work = |who: &str| {
        store.put(who, who.to_owned().into()).unwrap();
        assert_eq!(store.get(who, LIMIT).unwrap(), who.to_owned());
    };
    work("plain");
    rayon::join(|| work("rayon-left"), || work("rayon-right"));
    futures::executor::block_on(async { work("within-an-executor") });
    let foreign = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    foreign.block_on(async {
        work("within-a-runtime");
        let own = Store::memory();
        own.put("x", "dropped here".into()).unwrap();
        drop(own);
    });
    assert_eq!(store.list("").unwrap().len(), 5);
}
