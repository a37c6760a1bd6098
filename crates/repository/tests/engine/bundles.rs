//! Bundles: few requests for a machine that begins without a cache, and nothing rests on them.

use std::thread;

use nightjar_format::BundleId;
use nightjar_format::bundle::{self, BundleKind};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Register;
use nightjar_repository::index::sync;
use nightjar_repository::snapshots;
use nightjar_storage::Store;
use nightjar_testkit::damage::{names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, back_up, restore};
use nightjar_testkit::generate::noise;
use nightjar_testkit::insider::Insider;
use nightjar_testkit::model::Model;

const NIGHTS: u64 = 60;

/// A repository after many changed nights, and what they stored.
fn after_many_nights(seed: u64) -> (Fixture, Model) {
    let fixture = Fixture::new(seed);
    let mut model = Model::default();
    for night in 0..NIGHTS {
        let bytes = noise(seed * 1000 + night, 3000);
        model.insert(&fixture.night(&bytes), &bytes);
    }
    (fixture, model)
}

/// Requests that a machine without a cache needs to open the repository, list the snapshots and
/// fill its index.
fn cold_requests(fixture: &Fixture) -> u64 {
    let store = Store::over(fixture.store.inner(), "s3://cold");
    let cold = fixture.at(store.clone(), fixture.world.fresh_cache());
    let repository = cold.open();
    assert_eq!(snapshots::list(&repository).unwrap().snapshots.len() as u64, NIGHTS);
    let report = sync::status(&repository).unwrap();
    assert_eq!((report.index_objects, report.applied), (NIGHTS, NIGHTS));
    let counters = store.counters();
    counters.get + counters.list + counters.head
}

fn bundles(fixture: &Fixture) -> Vec<String> {
    names(&fixture.store, "bundles")
}

#[test]
fn a_machine_without_a_cache_needs_few_requests() {
    let (fixture, model) = after_many_nights(141);
    let few = cold_requests(&fixture);
    assert!(few < 45, "{few} requests");
    for name in bundles(&fixture) {
        fixture.store.delete(&name).unwrap();
    }
    let many = cold_requests(&fixture);
    assert!(many > 2 * NIGHTS, "{many} requests");
    model.check(&fixture.elsewhere().open(), None, "without bundles");
}

/// Makes something else of a bundle of this name.
type Damage<'a> = &'a dyn Fn(&str, &[u8]) -> Vec<u8>;

#[test]
fn damaged_bundles_harm_nobody() {
    let (fixture, model) = after_many_nights(142);
    let insider = Insider::first(&fixture);
    let damages: [Damage<'_>; 5] = [
        &|_, whole| whole[..whole.len() / 2].to_vec(),
        &|_, whole| whole[..5].to_vec(),
        &|_, _| Vec::new(),
        &|_, _| noise(7, 5000),
        // The signature is right, and no copy is.
        &|name, whole| {
            let copies = bundle::from_object(whole).unwrap().copies;
            let wrong = |(name, copy): &(ObjectName, &[u8])| (*name, vec![0; copy.len()]);
            let name = ObjectName::parse(name).unwrap();
            insider.bundle(&name, &copies.iter().map(wrong).collect::<Vec<_>>())
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        let twin = fixture.twin();
        for name in bundles(&twin) {
            let whole = read(&twin.store, &name);
            write(&twin.store, &name, damage(&name, &whole));
        }
        let elsewhere = twin.elsewhere();
        model.check(&elsewhere.open(), None, &format!("damage {number}"));
        let bytes = noise(number as u64, 100_000);
        let info = elsewhere.night(&bytes);
        assert!(restore(&elsewhere.open(), &info).unwrap() == bytes);
    }
}

/// Any member can sign something else for a name that exists; only the store keeps what is there.
#[test]
fn who_may_only_write_bundles_for_itself() {
    let (fixture, model) = after_many_nights(144);
    let slot = fixture.add_slot(Role::Write, "writer");
    let writer = Insider::open(&fixture, slot, "writer");
    let forged: Vec<(ObjectName, Vec<u8>)> = names(&fixture.store, "snapshots")
        .iter()
        .map(|name| {
            let (parsed, original) = (ObjectName::parse(name).unwrap(), read(&fixture.store, name));
            let fence = Register::Fence { reason: "forged".into() };
            writer.write(MetadataKind::Snapshot, &parsed, &fence);
            let forged = read(&fixture.store, name);
            write(&fixture.store, name, original);
            (parsed, forged)
        })
        .collect();
    bundles(&fixture).iter().for_each(|name| fixture.store.delete(name).unwrap());
    let bundle = ObjectName::Bundle(BundleKind::Snapshots, BundleId([15; 16]));
    let name = bundle.to_string();
    write(&fixture.store, &name, writer.bundle(&bundle, &forged));
    model.check(&fixture.elsewhere().open(), None, "a bundle of a writer's");
    // It is the signer that decides: of a full slot it is believed.
    write(&fixture.store, &name, Insider::first(&fixture).bundle(&bundle, &forged));
    let list = snapshots::list(&fixture.elsewhere().open()).unwrap();
    assert!(list.snapshots.is_empty());
}

/// A copy stands for an object only as long as that is there.
#[test]
fn what_was_forgotten_does_not_come_back_from_a_bundle() {
    let (fixture, _) = after_many_nights(143);
    let repository = fixture.open();
    let list = snapshots::list(&repository).unwrap();
    let ids: Vec<_> = list.snapshots.iter().take(20).map(|info| info.id).collect();
    snapshots::forget(&repository, &ids, "tester", "test").unwrap();
    let list = snapshots::list(&fixture.elsewhere().open()).unwrap();
    assert!(list.findings.is_empty(), "{:?}", list.findings);
    assert_eq!(list.snapshots.len() as u64, NIGHTS - 20);
    assert!(list.snapshots.iter().all(|info| !ids.contains(&info.id)));
}

/// Several machines make bundles of the same objects, and delete each other's.
#[test]
fn machines_that_bundle_at_the_same_time_lose_nothing() {
    let fixture = Fixture::new(145);
    let others = [fixture.elsewhere(), fixture.elsewhere(), fixture.elsewhere()];
    let mut model = Model::default();
    let mut bytes = noise(145, 200_000);
    for night in 0..NIGHTS / 4 {
        fixture.world.sleep_until_next_night();
        bytes = touched(&bytes, night);
        let run = |fixture: &Fixture| back_up(&fixture.open(), &bytes).unwrap();
        let runs = thread::scope(|scope| {
            let running: Vec<_> = others.iter().map(|it| scope.spawn(|| run(it))).collect();
            running.into_iter().map(|it| it.join().unwrap()).collect::<Vec<_>>()
        });
        runs.iter().for_each(|info| model.insert(info, &bytes));
    }
    assert!(!bundles(&fixture).is_empty());
    model.check(&fixture.elsewhere().open(), None, "after all");
}
