//! Every kind of damage to every kind of object is mended from a copy, to a repository that verifies
//! clean and gives back every byte: by a machine that knows it and by one that does not.
//!
//! What is exempt, and why: a dead writer's session, which nobody needs; and the newest record of the
//! ledger missing, for a machine that has not seen it: nothing tells it from one that somebody
//! appended to the copy alone, so it is named and stays with the copy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use nightjar_format::PackId;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::repair::{Means, Pair, Plan, Report, Trouble};
use nightjar_repository::{Progress, RepositoryError, ledger};
use nightjar_storage::Store;
use nightjar_storage::faults::{FaultPlan, FaultStore};
use nightjar_testkit::damage::{Damage, copy_of, keyring_name, names, read};
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, passphrase};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::model::verify_all;

use crate::damage_matrix::{OTHER, Sound, assert_nothing_wrong, packs, sound};

/// Mends a fixture's store from a copy.
pub(crate) fn repaired(
    fixture: &Fixture,
    copy: &Store,
    text: &str,
) -> Result<(Plan, Report), RepositoryError> {
    let progress = Progress::default();
    let pair = Pair::look(fixture.store.clone(), elsewhere(copy))?;
    let environment = fixture.world.environment(&fixture.cache);
    let repairing = pair.open(&passphrase(text), environment)?;
    let plan = repairing.plan(true, &progress)?;
    let report = repairing.execute(&plan, &progress)?;
    Ok((plan, report))
}

/// What would be done.
pub(crate) fn planned(fixture: &Fixture, copy: &Store) -> Result<Plan, RepositoryError> {
    let pair = Pair::look(fixture.store.clone(), elsewhere(copy))?;
    let environment = fixture.world.environment(&fixture.cache);
    pair.open(&passphrase(PASSPHRASE), environment)?.plan(true, &Progress::default())
}

/// The same store under a URL of its own.
fn elsewhere(copy: &Store) -> Store {
    Store::over(copy.inner(), "memory://copy")
}

/// All objects with their bytes.
pub(crate) fn contents_of(store: &Store) -> Vec<(String, Vec<u8>)> {
    names(store, "").into_iter().map(|name| (name.clone(), read(store, &name))).collect()
}

/// What is wrong after damage was done and mended.
fn run(sound: &Sound, name: &str, damage: &Damage, warm: bool, text: &str) -> Vec<String> {
    let cache = if warm { "warm cache" } else { "fresh cache" };
    let label = format!("{name}, {}, {cache}", damage.label());
    let world = &sound.fixture.world;
    let store = copy_of(&sound.fixture.store);
    damage.inflict(&store, name);
    let cache = match warm {
        true => world.copy_of_cache(&sound.fixture.cache),
        false => world.fresh_cache(),
    };
    let fixture = sound.fixture.at(store, cache);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let (_, report) = repaired(&fixture, &sound.fixture.store, text)?;
        let repository = fixture.open_with(text)?;
        let findings = verify_all(&repository)?.findings;
        sound.model.check(&fixture.elsewhere().open(), None, &label);
        Ok::<_, RepositoryError>((report, findings))
    }));
    match outcome {
        Err(_) => vec![format!("{label}: something panicked")],
        Ok(Err(error)) => vec![format!("{label}: {error}")],
        Ok(Ok((report, findings))) => {
            let unmended = report.mended.is_empty().then(|| format!("{label}: nothing was mended"));
            let left = report.left.iter().map(|left| format!("{label}: {left:?} is left"));
            let found = findings.iter().map(|found| format!("{label}: verify finds {found:?}"));
            unmended.into_iter().chain(left).chain(found).collect()
        }
    }
}

/// All damages to one object, with both caches.
fn matrix(sound: &Sound, name: &str, text: &str, extra: &[Damage]) -> Vec<String> {
    let mut wrong = Vec::new();
    for damage in Damage::BASIC.iter().chain(extra) {
        for warm in [false, true] {
            wrong.extend(run(sound, name, damage, warm, text));
        }
    }
    wrong
}

/// Another object's place is taken, or it takes this one's.
fn swaps(sound: &Sound, other: &str) -> [Damage; 2] {
    [Damage::Swap(other.to_owned()), Damage::Replace(read(&sound.fixture.store, other))]
}

#[test]
fn the_repository_object_is_mended() {
    let sound = sound();
    let foreign = Damage::Replace(read(&Fixture::new(92).store, "repository"));
    assert_nothing_wrong(matrix(&sound, "repository", PASSPHRASE, &[foreign]));
}

#[test]
fn slots_are_mended() {
    let sound = sound();
    let [own, other] = sound.slots.map(|slot| ObjectName::Slot(slot).to_string());
    let mut wrong = matrix(&sound, &own, PASSPHRASE, &swaps(&sound, &other));
    wrong.extend(matrix(&sound, &other, PASSPHRASE, &swaps(&sound, &own)));
    wrong.extend(matrix(&sound, &other, OTHER, &[]));
    assert_nothing_wrong(wrong);
}

#[test]
fn a_keyring_is_mended_by_its_owner() {
    let sound = sound();
    let [own, other] = sound.slots;
    let name = |epoch, slot| keyring_name(&sound.fixture.store, epoch, slot);
    let mut wrong = Vec::new();
    for (epoch, slot, text) in [(1, own, PASSPHRASE), (2, own, PASSPHRASE), (2, other, OTHER)] {
        // Where two are swapped, only the owner of both can mend both.
        let extra = swaps(&sound, &name(3 - epoch, slot));
        wrong.extend(matrix(&sound, &name(epoch, slot), text, &extra));
    }
    assert_nothing_wrong(wrong);
}

#[test]
fn a_keyring_that_others_lost_is_sealed_anew_and_opens() {
    let sound = sound();
    for damage in [Damage::Delete, Damage::Halve, Damage::Empty] {
        let fixture = sound.fixture.twin();
        let [_, other] = sound.slots;
        for epoch in [1, 2] {
            let name = keyring_name(&fixture.store, epoch, other);
            damage.inflict(&fixture.store, &name);
        }
        // The copy need not have it.
        let copy = copy_of(&fixture.store);
        let (plan, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
        assert!(plan.mends.iter().all(|mend| mend.means == Means::Sealed), "{plan:?}");
        assert_eq!((report.mended.len(), report.left.len()), (2, 0), "{report:?}");
        let repository = fixture.open_with(OTHER).unwrap();
        assert_eq!(repository.keychain().role(), Role::Full);
        assert_eq!(verify_all(&repository).unwrap().findings, []);
        // Again there is nothing to do.
        assert!(repaired(&fixture, &copy, PASSPHRASE).unwrap().0.mends.is_empty());
    }
}

fn packs_are_mended(kind: u8) {
    let sound = sound();
    let packs = packs(&sound.fixture.store, kind);
    assert_nothing_wrong(matrix(&sound, &packs[0], PASSPHRASE, &swaps(&sound, &packs[1])));
}

#[test]
fn data_packs_are_mended() {
    packs_are_mended(1);
}

#[test]
fn tree_packs_are_mended() {
    packs_are_mended(2);
}

#[test]
fn index_objects_are_mended() {
    let sound = sound();
    let index = names(&sound.fixture.store, "index");
    assert_nothing_wrong(matrix(&sound, &index[0], PASSPHRASE, &swaps(&sound, &index[1])));
}

#[test]
fn snapshots_are_mended() {
    let sound = sound();
    let names: Vec<String> =
        sound.snapshots.iter().map(|id| ObjectName::Snapshot(*id).to_string()).collect();
    let mut wrong = matrix(&sound, &names[0], PASSPHRASE, &swaps(&sound, &names[1]));
    wrong.extend(matrix(&sound, &names[2], PASSPHRASE, &swaps(&sound, &names[0])));
    assert_nothing_wrong(wrong);
}

#[test]
fn ledger_records_are_mended() {
    let sound = sound();
    let names = names(&sound.fixture.store, "ledger");
    let mut wrong = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let other = &names[(number + 1) % 3];
        for text in [PASSPHRASE, OTHER] {
            wrong.extend(matrix(&sound, name, text, &swaps(&sound, other)));
        }
    }
    // See above.
    let newest = format!("{}, Delete, fresh cache", names[2]);
    let (exempt, wrong): (Vec<_>, Vec<_>) =
        wrong.into_iter().partition(|what| what.starts_with(&newest));
    assert_nothing_wrong(wrong);
    assert_eq!(exempt.len(), 4, "{exempt:?}");
    assert!(exempt.iter().any(|what| what.contains("goes on to record 2")), "{exempt:?}");
}

/// Something of every kind is damaged or gone.
fn ruin(sound: &Sound, store: &Store) {
    let last = |folder: &str| names(store, folder).pop().unwrap();
    let [own, other] = sound.slots;
    for name in [
        "repository".to_owned(),
        ObjectName::Slot(own).to_string(),
        keyring_name(store, 2, own),
        keyring_name(store, 1, other),
        names(store, "ledger").remove(1),
        packs(store, 1).remove(0),
        packs(store, 2).remove(0),
        last("index"),
        ObjectName::Snapshot(sound.snapshots[1]).to_string(),
    ] {
        Damage::Delete.inflict(store, &name);
    }
    for name in [
        ObjectName::Slot(other).to_string(),
        keyring_name(store, 1, own),
        packs(store, 1).remove(0),
        names(store, "index").remove(0),
        ObjectName::Snapshot(sound.snapshots[0]).to_string(),
    ] {
        Damage::Flip(500).inflict(store, &name);
    }
}

#[test]
fn much_damage_at_once_is_mended_and_a_plan_changes_nothing() {
    let sound = sound();
    let fixture = sound.fixture.elsewhere().twin();
    ruin(&sound, &fixture.store);
    let before = contents_of(&fixture.store);
    let plan = planned(&fixture, &sound.fixture.store).unwrap();
    assert!(before == contents_of(&fixture.store), "a plan changed something");
    assert_eq!(plan.mends.len(), 14, "{plan:#?}");
    assert_eq!(plan.left, []);
    assert_eq!(plan.mends.iter().filter(|mend| mend.trouble == Trouble::Damaged).count(), 5);
    assert!(plan.bytes() > 1_000_000);
    let (_, report) = repaired(&fixture, &sound.fixture.store, PASSPHRASE).unwrap();
    assert_eq!((report.mended.len(), report.left.len()), (14, 0), "{report:#?}");
    sound.model.check(&fixture.open(), None, "mended");
    assert_eq!(verify_all(&fixture.open_with(OTHER).unwrap()).unwrap().findings, []);
    let (plan, report) = repaired(&fixture, &sound.fixture.store, PASSPHRASE).unwrap();
    assert!(plan.mends.is_empty() && report.mended.is_empty(), "{report:?}");
}

#[test]
fn a_repair_that_is_killed_anywhere_is_brought_to_its_end_by_the_next() {
    let sound = sound();
    for writes in 0.. {
        let fixture = sound.fixture.elsewhere().twin();
        ruin(&sound, &fixture.store);
        let faults = FaultStore::new(fixture.store.inner(), FaultPlan::stop_after_writes(writes));
        let dying = fixture
            .at(Store::over(std::sync::Arc::new(faults), "memory://dying"), fixture.cache.clone());
        let ended = repaired(&dying, &sound.fixture.store, PASSPHRASE).is_ok();
        let (_, report) = repaired(&fixture, &sound.fixture.store, PASSPHRASE).unwrap();
        assert_eq!(report.left, [], "killed after {writes} writes");
        sound.model.check(&fixture.elsewhere().open(), None, &format!("after {writes} writes"));
        if ended {
            assert!(writes > 10);
            break;
        }
    }
}

fn pack_ids(store: &Store, kind: u8) -> Vec<PackId> {
    let parsed = packs(store, kind).into_iter().map(|name| match ObjectName::parse(&name) {
        Some(ObjectName::Pack(id)) => id,
        other => panic!("{other:?}"),
    });
    parsed.collect()
}

#[test]
fn packs_recorded_as_damaged_are_relied_on_again_when_they_are_sound() {
    let sound = sound();
    let fixture = sound.fixture.twin();
    let altered = pack_ids(&fixture.store, 1)[0];
    let gone = pack_ids(&fixture.store, 2)[0];
    let fine = pack_ids(&fixture.store, 1)[1];
    Damage::Flip(400).inflict(&fixture.store, &ObjectName::Pack(altered).to_string());
    Damage::Delete.inflict(&fixture.store, &ObjectName::Pack(gone).to_string());
    let recorded = vec![altered, gone, fine];
    ledger::append(&fixture.open(), &LedgerBody::Damaged { packs: recorded.clone() }).unwrap();
    // The copy is older than the record.
    let (plan, report) = repaired(&fixture, &sound.fixture.store, PASSPHRASE).unwrap();
    assert_eq!(plan.suspects, recorded.iter().copied().collect());
    assert_eq!((report.mended.len(), report.left.len()), (2, 0), "{report:?}");
    assert_eq!(report.repaired, recorded.into_iter().collect());
    assert!(ledger::read(&fixture.open()).unwrap().state.damaged.is_empty());
    sound.model.check(&fixture.open(), None, "repaired");
}

#[test]
fn a_pack_that_stays_damaged_stays_recorded() {
    let sound = sound();
    let fixture = sound.fixture.twin();
    let id = pack_ids(&fixture.store, 1)[0];
    let name = ObjectName::Pack(id).to_string();
    Damage::Flip(400).inflict(&fixture.store, &name);
    ledger::append(&fixture.open(), &LedgerBody::Damaged { packs: vec![id] }).unwrap();
    let copy = copy_of(&sound.fixture.store);
    Damage::Flip(600).inflict(&copy, &name);
    let before = contents_of(&fixture.store);
    let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert!(before == contents_of(&fixture.store), "something unverified was written");
    assert_eq!(report.left.len(), 1, "{report:?}");
    assert_eq!(report.left[0].object, name);
    assert!(ledger::read(&fixture.open()).unwrap().state.damaged.contains(&id));
}

#[test]
fn a_write_slot_mends_what_it_can_check() {
    let sound = sound();
    sound.fixture.add_slot(Role::Write, "host");
    let copy = copy_of(&sound.fixture.store);
    let fixture = sound.fixture.twin();
    let data = pack_ids(&fixture.store, 1)[0];
    let tree = pack_ids(&fixture.store, 2)[0];
    for id in [data, tree] {
        Damage::Delete.inflict(&fixture.store, &ObjectName::Pack(id).to_string());
    }
    let host = fixture.open_with("host").unwrap();
    ledger::append(&host, &LedgerBody::Damaged { packs: vec![data, tree] }).unwrap();
    let (_, report) = repaired(&fixture, &copy, "host").unwrap();
    assert_eq!(report.mended.len(), 2, "{report:?}");
    assert_eq!(report.repaired, [tree].into());
    assert!(report.left.iter().any(|left| left.why.contains("full slot")), "{report:?}");
    let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert_eq!(report.repaired, [data].into());
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
}

#[test]
fn a_lost_night_is_stored_on_after_a_repair() {
    let sound = sound();
    let fixture = sound.fixture.twin();
    ruin(&sound, &fixture.store);
    repaired(&fixture, &sound.fixture.store, PASSPHRASE).unwrap();
    let bytes = [noise(4, 1_300_000), dump(2, 500_000)].concat();
    let info = fixture.night(&bytes);
    assert_eq!(info.snapshot.counts.chunks_new, 0, "what came back is used");
    let mut model = sound.model.clone();
    model.insert(&info, &bytes);
    model.check(&fixture.open(), None, "the night after");
}
