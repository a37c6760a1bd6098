//! Ledger records in bundles: few requests for a machine that begins without a cache, and whoever
//! made the bundles, it reads what the store's own records say.

use std::fs;
use std::path::Path;

use nightjar_codec::digest;
use nightjar_format::bundle::{self, BundleKind};
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{BundleId, SessionId, SlotId};
use nightjar_repository::ledger::{self, Ledger};
use nightjar_repository::replicate::{Source, replicate};
use nightjar_repository::{Progress, slots};
use nightjar_storage::Store;
use nightjar_testkit::damage::{names, read, write};
use nightjar_testkit::fixture::{Fixture, back_up};
use nightjar_testkit::generate::noise;
use nightjar_testkit::insider::Insider;
use nightjar_testkit::model::verify_all;

use crate::gc::{collected, thorough};

const OTHER: &str = "another full slot";
const WRITER: &str = "the writer's passphrase";

/// A record that is as long as every other one that this makes.
fn hold(fixture: &Fixture, why: &str) -> LedgerBody {
    let snapshots = vec![SessionId(fixture.world.random().array())];
    LedgerBody::Hold { snapshots, until: None, who: "tester".into(), why: why.into() }
}

fn append_holds(fixture: &Fixture, count: usize) {
    let holds = (0..count).map(|_| hold(fixture, "test"));
    Insider::first(fixture).append(&fixture.open(), holds);
}

/// A repository with so many records, all but the newest few of which are in bundles.
fn with_records(seed: u64, count: usize) -> Fixture {
    let fixture = Fixture::new(seed);
    append_holds(&fixture, count);
    fixture.night(&noise(seed, 3000));
    assert!(!own_bundles(&fixture).is_empty());
    append_holds(&fixture, 3);
    fixture
}

fn own_bundles(fixture: &Fixture) -> Vec<String> {
    let slot = fixture.open().keychain().slot();
    names(&fixture.store, &BundleKind::Ledger(slot).folder())
}

/// What a machine without a cache reads, and the requests that it needs. Nothing else gets into its
/// cache than the objects of the store.
fn cold(fixture: &Fixture) -> (Ledger, u64) {
    cold_as_it_is(fixture, true)
}

fn cold_as_it_is(fixture: &Fixture, is_store_as_it_was: bool) -> (Ledger, u64) {
    let store = Store::over(fixture.store.inner(), "s3://cold");
    let machine = fixture.at(store.clone(), fixture.world.fresh_cache());
    let repository = machine.open();
    let ledger = ledger::read(&repository).unwrap();
    let counters = store.counters();
    if is_store_as_it_was {
        let cached = machine.cache.join(repository.id().to_string()).join("objects");
        assert_cached_as_stored(&fixture.store, &cached.join("ledger"));
    }
    (ledger, counters.get + counters.list + counters.head)
}

/// Records are cached by the address of the store.
fn assert_cached_as_stored(store: &Store, cached: &Path) {
    let mut compared = 0;
    let folder = fs::read_dir(cached).unwrap().next().unwrap().unwrap().path();
    for name in names(store, "ledger") {
        let number = name.trim_start_matches("ledger/");
        let Ok(object) = fs::read(folder.join(number)) else { continue };
        assert!(object == read(store, &name), "{name}");
        compared += 1;
    }
    assert!(compared > 0);
}

/// The same by the records themselves.
fn by_objects(fixture: &Fixture) -> (Ledger, u64) {
    let twin = fixture.twin();
    for name in names(&twin.store, "bundles") {
        twin.store.delete(&name).unwrap();
    }
    cold(&twin)
}

#[track_caller]
fn assert_same(found: &Ledger, expected: &Ledger) {
    assert_eq!(format!("{found:#?}"), format!("{expected:#?}"));
}

/// Reads the ledger without a cache and finds what its records say; returns the requests.
#[track_caller]
fn read_cold(fixture: &Fixture) -> u64 {
    let (found, requests) = cold(fixture);
    assert_same(&found, &by_objects(fixture).0);
    requests
}

#[test]
fn a_machine_without_a_cache_reads_a_thousand_records_with_few_requests() {
    let fixture = with_records(601, 1000);
    let (ledger, few) = cold(&fixture);
    assert_eq!((ledger.records.len(), ledger.state.holds.len()), (1004, 1003));
    let (expected, many) = by_objects(&fixture);
    assert_same(&ledger, &expected);
    println!("{few} requests, {many} without bundles");
    assert!(few < 25 && many > 1000, "{few} and {many} requests");
}

#[test]
fn night_after_night_few_records_are_in_no_bundle() {
    let fixture = Fixture::new(602);
    for night in 0..60 {
        append_holds(&fixture, 3);
        // Whether something new is stored or not.
        fixture.night(&noise(night % 2, 3000));
    }
    let requests = read_cold(&fixture);
    assert!(requests < 35, "{requests} requests");
    // A collector does the same.
    append_holds(&fixture, 100);
    assert!(read_cold(&fixture) > 100);
    collected(&fixture, &thorough());
    let requests = read_cold(&fixture);
    assert!(requests < 35, "{requests} requests");
}

#[test]
fn few_requests_where_epochs_have_begun() {
    let fixture = Fixture::new(603);
    append_holds(&fixture, 100);
    let other = fixture.add_slot(Role::Full, OTHER);
    append_holds(&fixture, 100);
    fixture.add_slot(Role::Full, "a third slot");
    append_holds(&fixture, 100);
    slots::remove(&mut fixture.open(), other).unwrap();
    append_holds(&fixture, 100);
    fixture.night(&noise(603, 3000));
    let requests = read_cold(&fixture);
    assert!(requests < 60, "{requests} requests");
    // One by one they are fetched once, and not once in each epoch.
    let (_, many) = by_objects(&fixture);
    assert!(many < 480, "{many} requests");
}

/// What every slot needs it copies itself.
#[test]
fn a_slot_that_only_writes_makes_bundles_for_itself() {
    let fixture = with_records(604, 100);
    fixture.add_slot(Role::Write, WRITER);
    let requests = || {
        let store = Store::over(fixture.store.inner(), "s3://cold");
        let machine = fixture.at(store.clone(), fixture.world.fresh_cache());
        let repository = machine.open_with(WRITER).unwrap();
        let counters = store.counters();
        (repository, counters.get + counters.list + counters.head)
    };
    let (repository, many) = requests();
    assert!(many > 100, "{many} requests");
    back_up(&repository, &noise(604, 3000)).unwrap();
    let (_, few) = requests();
    assert!(few < 25, "{few} requests");
}

type Copies = Vec<(ObjectName, Vec<u8>)>;

/// Every record of a store, as a bundle would hold it.
fn copies(store: &Store) -> Copies {
    let names = names(store, "ledger");
    names.iter().map(|name| (ObjectName::parse(name).unwrap(), read(store, name))).collect()
}

/// A repository like `fixture` whose only bundle holds these copies, in the folder of `slot`.
fn with_bundle(fixture: &Fixture, signer: &Insider, slot: SlotId, copies: &Copies) -> Fixture {
    let twin = fixture.twin();
    for name in names(&twin.store, "bundles") {
        twin.store.delete(&name).unwrap();
    }
    let name = ObjectName::Bundle(BundleKind::Ledger(slot), BundleId([15; 16]));
    write(&twin.store, &name.to_string(), signer.bundle(&name, copies));
    twin
}

/// Makes another copy of a record.
type Harm<'a> = dyn Fn(&ObjectName, &[u8]) -> Vec<u8> + 'a;
/// Takes a record away from a store.
type Loss = dyn Fn(&Store, &str);

fn number(name: &ObjectName) -> u64 {
    let ObjectName::Ledger(number) = name else { panic!("{name}") };
    *number
}

/// Other records of the same slot from a number up to another, each of which names the one before.
fn forged(fixture: &Fixture, true_ones: &Copies, first: u64, last: u64) -> Copies {
    let insider = Insider::first(fixture);
    let (_, before) = true_ones.iter().find(|(name, _)| number(name) + 1 == first).unwrap();
    let holds = (first..=last).map(|_| hold(fixture, "test"));
    let mut copies = true_ones.clone();
    for (name, object) in insider.records(first, digest::hash(before), holds) {
        let copy = copies.iter_mut().find(|(it, _)| *it == name).unwrap();
        // Nor is it the length that gives it away.
        assert_eq!((copy.1.len(), copy.1 == object), (object.len(), false));
        copy.1 = object;
    }
    copies
}

/// What a slot signed once need not be what came to be: the store may have been put back since.
#[test]
fn a_record_that_the_next_one_does_not_name_is_fetched() {
    let fixture = with_records(605, 60);
    let insider = Insider::first(&fixture);
    let true_ones = copies(&fixture.store);
    let newest = true_ones.iter().map(|(name, _)| number(name)).max().unwrap();
    let as_it_is = with_bundle(&fixture, &insider, insider.slot, &true_ones);
    let requests = read_cold(&as_it_is);
    assert!(requests < 20, "{requests} requests");
    for (first, last) in [(5, 5), (5, 9), (5, newest - 1), (5, newest), (newest, newest)] {
        let copies = forged(&fixture, &true_ones, first, last);
        let twin = with_bundle(&fixture, &insider, insider.slot, &copies);
        let requests = read_cold(&twin);
        let most = 20 + last - first + 1;
        assert!(requests <= most, "{first} to {last}: {requests} requests");
    }
}

/// As long as nothing was read, whoever was removed is a full slot.
#[test]
fn who_was_removed_tells_no_other_history() {
    let fixture = Fixture::new(606);
    let first = Insider::first(&fixture).slot;
    let removed = fixture.add_slot(Role::Full, OTHER);
    append_holds(&fixture, 20);
    let removed = Insider::open(&fixture, removed, OTHER);
    let before = ledger::read(&fixture.open()).unwrap();
    slots::remove(&mut fixture.open(), removed.slot).unwrap();
    append_holds(&fixture, 10);
    let newest = ledger::read(&fixture.open()).unwrap().head.number;
    let mut copies = copies(&fixture.store);
    let (mut previous, mut next) = (before.head_digest, before.head.number + 1);
    while next <= newest {
        let copy = copies.iter_mut().find(|(name, _)| number(name) == next).unwrap();
        // One that is as long as what stands in its place.
        let object = (0..400)
            .map(|len| removed.records(next, previous, [hold(&fixture, &"w".repeat(len))]))
            .find_map(|made| made.into_iter().find(|(_, object)| object.len() == copy.1.len()));
        let (_, object) = object.unwrap();
        previous = digest::hash(&object);
        copy.1 = object;
        next += 1;
    }
    // It may still be able to write to the store.
    let (name, object) = removed.records(next, previous, [hold(&fixture, "test")]).remove(0);
    write(&fixture.store, &name.to_string(), object);
    for folder in [first, removed.slot] {
        let twin = with_bundle(&fixture, &removed, folder, &copies);
        read_cold(&twin);
        assert_eq!(twin.elsewhere().open().keychain().epoch(), 3);
    }
}

#[test]
fn damaged_bundles_of_records_harm_nobody() {
    let fixture = with_records(607, 60);
    let insider = Insider::first(&fixture);
    let zeros = |name: &ObjectName, whole: &[u8]| {
        let copies = bundle::from_object(whole).unwrap().copies.into_iter();
        insider
            .bundle(name, &copies.map(|(it, copy)| (it, vec![0; copy.len()])).collect::<Vec<_>>())
    };
    let damages: [&Harm<'_>; 6] = [
        &|_, whole| whole[..whole.len() / 2].to_vec(),
        &|_, whole| whole[..5].to_vec(),
        &|_, _| Vec::new(),
        &|_, _| noise(7, 5000),
        &zeros,
        // Another one's signature, or that of another bundle.
        &|_, whole| {
            let other = ObjectName::Bundle(BundleKind::Ledger(insider.slot), BundleId([15; 16]));
            insider.bundle(&other, &own_copies(whole))
        },
    ];
    for damage in damages {
        let twin = fixture.twin();
        for name in own_bundles(&twin) {
            let parsed = ObjectName::parse(&name).unwrap();
            write(&twin.store, &name, damage(&parsed, &read(&twin.store, &name)));
        }
        read_cold(&twin);
    }
}

fn own_copies(bundle: &[u8]) -> Copies {
    let copies = bundle::from_object(bundle).unwrap().copies.into_iter();
    copies.map(|(name, copy)| (name, copy.to_vec())).collect()
}

/// Void records keep their number, and vouch for nothing.
#[test]
fn void_records_stay_void_beside_bundles() {
    let fixture = with_records(608, 30);
    let writer = fixture.add_slot(Role::Write, WRITER);
    let writer = Insider::open(&fixture, writer, WRITER);
    for _ in 0..3 {
        let snapshots = vec![SessionId([7; 16])];
        let (who, why) = ("the owner".to_owned(), "old".to_owned());
        let forget = LedgerBody::Forget { snapshots, who, why, erase: false };
        writer.append(&fixture.open(), [forget]);
        append_holds(&fixture, 20);
    }
    fixture.night(&noise(608, 5000));
    let requests = read_cold(&fixture);
    assert!(requests < 40, "{requests} requests");
    let (found, _) = cold(&fixture);
    assert_eq!((found.findings.len(), found.broken.len()), (3, 0), "{:?}", found.findings);
}

#[test]
fn what_the_store_does_not_list_as_it_was_is_not_taken_from_a_bundle() {
    let fixture = with_records(609, 60);
    let lost: [&Loss; 3] = [
        &|store, name| store.delete(name).unwrap(),
        &|store, name| {
            let whole = read(store, name);
            write(store, name, whole[..whole.len() / 2].to_vec());
        },
        &|store, name| write(store, name, noise(7, 700)),
    ];
    let all = names(&fixture.store, "ledger");
    for (lose, name) in lost.iter().flat_map(|lose| all[20..22].iter().map(move |it| (lose, it))) {
        let twin = fixture.twin();
        lose(&twin.store, name);
        read_cold(&twin);
        assert!(!cold(&twin).0.broken.is_empty());
    }
}

/// A copy hides, as a cache does, that the store now has something else of the same length.
#[test]
fn verify_reads_the_records_themselves() {
    let fixture = with_records(610, 60);
    let true_ones = copies(&fixture.store);
    let newest = true_ones.iter().map(|(name, _)| number(name)).max().unwrap();
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
    for exchanged in [20, newest] {
        let twin = fixture.twin();
        let others = forged(&fixture, &true_ones, exchanged, exchanged);
        let (name, object) = others.iter().find(|(it, _)| number(it) == exchanged).unwrap();
        write(&twin.store, &name.to_string(), object.clone());
        let report = verify_all(&twin.open()).unwrap();
        let name = name.to_string();
        // Of the newest, this machine knows what it was.
        let seen = format!("ledger record {newest} is not the one seen before");
        let told = |object: &str, problem: &str| match exchanged == newest {
            true => problem == seen,
            false => object == name,
        };
        let found = report.findings.iter().filter(|it| told(&it.object, &it.problem)).count();
        assert_eq!(found, 1, "{exchanged}: {:?}", report.findings);
    }
    let twin = fixture.twin();
    let others = forged(&fixture, &true_ones, 20, 20);
    write(&twin.store, &others[20].0.to_string(), others[20].1.clone());
    assert!(cold_as_it_is(&twin, false).0.broken.is_empty());
    let report = verify_all(&twin.elsewhere().open()).unwrap();
    assert!(report.findings.iter().any(|it| it.object == others[20].0.to_string()));
}

#[test]
fn a_collector_deletes_the_bundles_of_removed_slots() {
    let fixture = with_records(611, 30);
    let other = fixture.add_slot(Role::Full, OTHER);
    back_up(&fixture.elsewhere().open_with(OTHER).unwrap(), &noise(611, 3000)).unwrap();
    let of_other = || names(&fixture.store, &BundleKind::Ledger(other).folder()).len();
    collected(&fixture, &thorough());
    assert_eq!(of_other(), 1);
    slots::remove(&mut fixture.open(), other).unwrap();
    collected(&fixture, &thorough());
    assert_eq!(of_other(), 0);
    assert!(!own_bundles(&fixture).is_empty());
}

#[test]
fn a_replica_is_read_with_few_requests_and_by_its_own_records() {
    let fixture = with_records(612, 100);
    let target = Store::memory();
    let replicated = || {
        replicate(Source::Opened(&fixture.open()), &target, &Progress::default()).unwrap();
        fixture.at(target.clone(), fixture.world.fresh_cache())
    };
    let requests = read_cold(&replicated());
    assert!(requests < 25, "{requests} requests");
    // Bundles that are ahead of the ledger there.
    append_holds(&fixture, 100);
    fixture.night(&noise(612, 4000));
    for name in own_bundles(&fixture) {
        write(&target, &name, read(&fixture.store, &name));
    }
    let lagging = fixture.at(target.clone(), fixture.world.fresh_cache());
    let (found, _) = cold(&lagging);
    assert_eq!(found.records.len(), 104);
    read_cold(&lagging);
    assert!(read_cold(&replicated()) < 25);
}
