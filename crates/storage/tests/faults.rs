//! That the faults that other crates test with are what they say.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::Arc;

use nightjar_storage::faults::{
    CarelessStore, FaultPlan, FaultRates, FaultStore, LastWrite, LoggedWrite, Network,
    WriteOperation,
};
use nightjar_storage::{Created, Store, StoreError};

fn faulty(plan: FaultPlan) -> (Store, Arc<FaultStore>, Store) {
    let below = Store::memory();
    let faults = Arc::new(FaultStore::new(below.inner(), plan));
    (below, Arc::clone(&faults), Store::over(faults, "memory://faulty"))
}

fn names(store: &Store) -> Vec<String> {
    store.list("").unwrap().into_iter().map(|object| object.name).collect()
}

#[test]
fn after_the_last_write_nothing_works_and_nothing_changes() {
    let (below, faults, store) = faulty(FaultPlan::stop_after_writes(3));
    store.put("a", "1".into()).unwrap();
    store.create("b", "2".into()).unwrap();
    assert!(!faults.is_stopped());
    store.delete("a").unwrap();
    assert_eq!(store.get("b", 10).unwrap(), "2");
    assert!(store.delete("b").is_err());
    assert!(faults.is_stopped());
    assert!(store.put("c", "3".into()).is_err());
    assert!(store.get("b", 10).is_err());
    assert!(store.head("b").is_err());
    assert!(store.list("").is_err());
    assert_eq!(names(&below), ["b"]);
    assert_eq!(faults.log().len(), 3);
}

#[test]
fn a_torn_write_takes_effect_and_is_denied() {
    let (below, faults, store) = faulty(FaultPlan::stop_after_writes_torn(1));
    store.put("a", "1".into()).unwrap();
    assert!(store.create("b", "2".into()).is_err());
    assert!(store.create("c", "3".into()).is_err());
    assert_eq!(names(&below), ["a", "b"]);
    assert_eq!(faults.log().len(), 2);
}

#[test]
fn a_full_store_is_reported_as_such_and_can_still_be_read_and_cleaned() {
    let (_, _, store) = faulty(FaultPlan::no_space_after_bytes(10));
    store.put("a", "12345678".into()).unwrap();
    let error = store.put("b", "123".into()).unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { ref name, .. } if name == "b"), "{error}");
    store.put("c", "12".into()).unwrap();
    assert_eq!(names(&store), ["a", "c"]);
    store.delete("a").unwrap();
}

#[test]
fn one_object_cannot_be_read_and_the_others_can() {
    let (_, _, store) = faulty(FaultPlan::unreadable("a"));
    store.put("a", "1".into()).unwrap();
    store.put("b", "2".into()).unwrap();
    assert!(store.get("a", 10).is_err());
    assert_eq!(store.get("b", 10).unwrap(), "2");
    assert_eq!(names(&store), ["a", "b"]);
}

#[test]
fn the_log_has_what_was_written_in_order() {
    let (_, faults, store) = faulty(FaultPlan::record());
    store.put("a/b", "1".into()).unwrap();
    assert_eq!(store.create("a/b", "2".into()).unwrap(), Created::Exists);
    store.get("a/b", 10).unwrap();
    store.delete("a/b").unwrap();
    let expected = [WriteOperation::Put, WriteOperation::Create, WriteOperation::Delete];
    let expected = expected.map(|operation| LoggedWrite { operation, name: "a/b".to_owned() });
    assert_eq!(faults.log(), expected);
    faults.stop();
    assert!(store.list("").is_err());
}

#[test]
fn a_seed_fails_the_same_writes_and_some_of_them_take_effect() {
    let run = |seed| {
        let (below, _, store) = faulty(FaultPlan::flaky(seed, 4));
        let write = |i: u32| store.put(&format!("{i:03}"), "x".into()).is_err();
        let failed: Vec<bool> = (0..200).map(write).collect();
        (failed, names(&below))
    };
    let (failed, written) = run(7);
    assert_eq!((failed.clone(), written.clone()), run(7));
    assert_ne!(failed, run(8).0);
    let refused = 200 - written.len();
    let denied = failed.iter().filter(|failed| **failed).count() - refused;
    assert!(refused > 5 && denied > 5, "{refused} refused, {denied} denied");
}

#[test]
fn the_probe_finds_out_a_store_that_ignores_conditions() {
    let honest = Store::memory();
    let careless = Store::over(Arc::new(CarelessStore::new(honest.inner())), "memory://careless");
    assert!(!careless.probe_conditional_create("probe").unwrap());
    assert!(honest.probe_conditional_create("probe").unwrap());
    assert!(names(&honest).is_empty());
}

#[test]
fn a_handle_for_such_a_store_looks_first() {
    let below = Store::memory();
    let careless = Store::over(Arc::new(CarelessStore::new(below.inner())), "memory://careless");
    careless.create("a", "lost".into()).unwrap();
    assert_eq!(careless.create("a", "first".into()).unwrap(), Created::Created);
    let looking = careless.that_ignores_conditions();
    assert_eq!(looking.create("a", "second".into()).unwrap(), Created::Exists);
    assert_eq!(below.get("a", 10).unwrap(), "first");
    assert_eq!(looking.create("b", "ours".into()).unwrap(), Created::Created);
    // As after an answer that was lost.
    assert_eq!(looking.create("b", "ours".into()).unwrap(), Created::Created);
}

#[test]
fn a_creation_that_looked_first_is_settled_by_reading_back() {
    let mut failed = 0;
    for seed in 0..50 {
        let below = Store::memory();
        let faults = FaultStore::new(below.inner(), FaultPlan::flaky(seed, 3));
        let careless = CarelessStore::new(Arc::new(faults));
        let store = Store::over(Arc::new(careless), "s3://far").that_ignores_conditions();
        match store.create("a", "ours".into()) {
            Ok(created) => {
                assert_eq!(created, Created::Created);
                assert_eq!(below.get("a", 10).unwrap(), "ours");
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Failed { .. }), "{error}");
                failed += 1;
            }
        }
    }
    assert!((1..50).contains(&failed), "{failed} of 50 failed");
}

#[test]
fn a_creation_whose_answer_was_lost_is_never_taken_for_anothers() {
    let below = Store::memory();
    let faults = FaultStore::new(below.inner(), FaultPlan::flaky(7, 2));
    let store = Store::over(Arc::new(faults), "memory://");
    for number in 0..200 {
        let name = format!("snapshots/{number}");
        match store.create(&name, name.clone().into()) {
            Ok(Created::Created) => assert_eq!(below.get(&name, 100).unwrap(), name),
            Ok(Created::Exists) => unreachable!("{name} was created by nobody else"),
            Err(error) => assert!(matches!(error, StoreError::Failed { .. }), "{error}"),
        }
    }
}

/// What can be read back from a disk may be gone after a power failure.
#[test]
fn what_can_only_be_seen_is_not_acknowledged() {
    let mut seen = 0;
    for seed in 0..20 {
        let below = Store::memory();
        let faults = FaultStore::new(below.inner(), FaultPlan::flaky(seed, 1));
        let store = Store::over(Arc::new(faults), "memory://");
        if store.create("a", "ours".into()).is_err() {
            seen += usize::from(below.head("a").unwrap().is_some());
        }
    }
    assert!(seen > 0, "what could be seen was believed");
}

/// An upload in parts is one write, which counts when it is completed.
#[test]
fn an_upload_in_parts_is_one_write() {
    use object_store::ObjectStoreExt;
    let upload = |plan: FaultPlan| {
        let (below, faults, _) = faulty(plan);
        let done = futures::executor::block_on(async {
            let mut upload = faults.put_multipart(&"large".into()).await.unwrap();
            upload.put_part("12345".into()).await?;
            upload.put_part("678".into()).await?;
            upload.complete().await
        });
        (done.is_ok(), below.get("large", 10).ok(), faults.log().len())
    };
    let there = || Some("12345678".into());
    assert_eq!(upload(FaultPlan::record()), (true, there(), 1));
    assert_eq!(upload(FaultPlan::stop_after_writes(1)), (true, there(), 1));
    assert_eq!(upload(FaultPlan::stop_after_writes(0)), (false, None, 0));
    assert_eq!(upload(FaultPlan::stop_after_writes_torn(0)), (false, there(), 1));
    assert_eq!(upload(FaultPlan::no_space_after_bytes(7)), (false, None, 0));
}

/// What becomes of 300 writes at one rate of one fault.
fn written_under(rates: FaultRates) -> (usize, Vec<String>, Arc<Network>, Store) {
    let below = Store::memory();
    let network = Arc::new(Network::default());
    let plan = FaultPlan::seeded(3, rates);
    let faults = FaultStore::on(Arc::clone(&network), below.inner(), plan);
    let store = Store::over(Arc::new(faults), "memory://faulty");
    let failed = |i: &u32| store.put(&format!("{i:03}"), "x".into()).is_err();
    let failed = (0..300).filter(failed).count();
    (failed, names(&below), network, below)
}

#[test]
fn a_late_write_fails_and_arrives_after_other_requests_or_at_the_end() {
    let rates = FaultRates { late: 300, ..FaultRates::default() };
    let (failed, written, network, below) = written_under(rates);
    let delivered = network.delivered().len();
    assert!(failed > 50 && delivered > 20 && delivered < failed, "{failed}, {delivered}");
    assert_eq!(written.len(), 300 - failed + delivered);
    let last = futures::executor::block_on(network.deliver_all());
    assert_eq!((last, names(&below).len()), (failed - delivered, 300));
}

#[test]
fn a_repeated_write_undoes_what_came_between() {
    let below = Store::memory();
    let rates = FaultRates { repeated: 1000, ..FaultRates::default() };
    let faults = Arc::new(FaultStore::new(below.inner(), FaultPlan::seeded(4, rates)));
    let store = Store::over(faults, "memory://faulty");
    store.put("a", "old".into()).unwrap();
    let put_back = |_: &u32| {
        below.put("a", "new".into()).unwrap();
        store.head("b").unwrap();
        below.get("a", 10).unwrap() == "old"
    };
    assert_eq!((0..200).filter(put_back).count(), 1, "once, and before 60 requests");
}

#[test]
fn a_late_creation_does_not_replace() {
    let below = Store::memory();
    let network = Arc::new(Network::default());
    let rates = FaultRates { late: 1000, ..FaultRates::default() };
    let plan = FaultPlan::seeded(5, rates);
    let faults = FaultStore::on(Arc::clone(&network), below.inner(), plan);
    assert!(Store::over(Arc::new(faults), "s3://faulty").create("a", "late".into()).is_err());
    below.put("a", "ours".into()).unwrap();
    futures::executor::block_on(network.deliver_all());
    assert_eq!(below.get("a", 10).unwrap(), "ours");
    assert_eq!(network.delivered().len(), 2, "it was asked twice");
}

#[test]
fn an_answer_that_breaks_off_is_an_error_and_never_short() {
    let below = Store::memory();
    for i in 0..100 {
        below.put(&format!("{i:03}"), vec![7; 1000].into()).unwrap();
    }
    let rates = FaultRates { truncated: 500, ..FaultRates::default() };
    let faults = Arc::new(FaultStore::new(below.inner(), FaultPlan::seeded(6, rates)));
    let store = Store::over(faults.clone(), "memory://faulty");
    let mut broken = 0;
    for i in 0..100 {
        match store.get(&format!("{i:03}"), 2000) {
            Ok(bytes) => assert_eq!(bytes.len(), 1000),
            Err(error) => {
                assert!(matches!(error, StoreError::Failed { .. }), "{error}");
                broken += 1;
            }
        }
        match store.list("") {
            Ok(all) => assert_eq!(all.len(), 100),
            Err(_) => broken += 1,
        }
    }
    assert!(broken > 50, "{broken}");
    assert_eq!(faults.injected(), broken);
}

#[test]
fn conflicts_hit_creations_alone_and_may_have_made_the_object() {
    let below = Store::memory();
    let rates = FaultRates { conflict: 1000, ..FaultRates::default() };
    let faults = FaultStore::new(below.inner(), FaultPlan::seeded(7, rates));
    let store = Store::over(Arc::new(faults), "memory://faulty");
    let create = |i: &u32| store.create(&format!("{i:03}"), "x".into()).is_err();
    assert!((0..100).filter(create).count() > 50);
    let made = names(&below).len();
    assert!((10..90).contains(&made), "{made}");
    store.put("a", "x".into()).unwrap();
    store.delete("a").unwrap();
}

#[test]
fn throttling_and_slowness_change_nothing() {
    let rates = FaultRates { throttled: 300, ..FaultRates::default() };
    let (failed, written, ..) = written_under(rates);
    assert!(failed > 50);
    assert_eq!(written.len(), 300 - failed);
    let below = Store::memory();
    below.put("a", "1".into()).unwrap();
    let pause = std::time::Duration::from_millis(1);
    let rates = FaultRates { slow: 1000, pause, ..FaultRates::default() };
    let faults = Arc::new(FaultStore::new(below.inner(), FaultPlan::seeded(8, rates)));
    assert_eq!(Store::over(faults.clone(), "memory://slow").get("a", 10).unwrap(), "1");
    assert_eq!(faults.injected(), 1);
}

#[test]
fn a_process_is_killed_between_any_two_requests() {
    for (last, there) in
        [(LastWrite::Lost, false), (LastWrite::Torn, true), (LastWrite::Late, false)]
    {
        let plan = FaultPlan::stop_after_requests(2, last);
        let (below, faults, store) = faulty(plan.and(FaultPlan::unreadable("z")));
        store.put("a", "1".into()).unwrap();
        store.get("a", 10).unwrap();
        assert!(store.put("b", "2".into()).is_err());
        assert!(faults.is_stopped());
        assert_eq!(below.head("b").unwrap().is_some(), there, "{last:?}");
        assert!(store.get("a", 10).is_err());
    }
}

#[test]
fn the_order_of_requests_does_not_matter_to_what_fails() {
    let rates = FaultRates { refused: 200, answer_lost: 200, ..FaultRates::default() };
    let failed = |order: &mut dyn Iterator<Item = u32>| -> BTreeSet<u32> {
        let (_, _, store) = faulty(FaultPlan::seeded(9, rates));
        order.filter(|i| store.put(&format!("{i}"), "x".into()).is_err()).collect()
    };
    let forwards = failed(&mut (0..100));
    assert!(forwards.len() > 20);
    assert_eq!(forwards, failed(&mut (0..100).rev()));
}
