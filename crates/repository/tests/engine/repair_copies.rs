//! A copy's operator may hand out anything, may have helped a slot that was removed, or may have gone
//! on with the copy by himself: nothing of that gets in.

use nightjar_format::blob::BlobKind;
use nightjar_format::index::PackRecord;
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Register;
use nightjar_format::{PackId, SessionId};
use nightjar_repository::snapshots;
use nightjar_repository::verify::{Bounds, Level};
use nightjar_repository::{RepositoryError, ledger, slots};
use nightjar_storage::Store;
use nightjar_testkit::damage::{Damage, copy_of, names, read, write};
use nightjar_testkit::fixture::{Fixture, PASSPHRASE, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::Insider;
use nightjar_testkit::model::verify_all;

use crate::coverage::check;
use crate::damage_matrix::{packs, sound};
use crate::gc::{collected, thorough};
use crate::repair::{contents_of, planned, repaired};

/// Two nights and a copy of them.
fn two_nights(seed: u64) -> (Fixture, Store) {
    let fixture = Fixture::new(seed);
    fixture.night(&[noise(1, 600_000), dump(1, 200_000)].concat());
    fixture.night(&[noise(1, 600_000), dump(2, 200_000)].concat());
    let copy = copy_of(&fixture.store);
    (fixture, copy)
}

/// Nothing is planned, nothing written.
#[track_caller]
fn assert_nothing_comes(fixture: &Fixture, copy: &Store) {
    let before = contents_of(&fixture.store);
    let (plan, report) = repaired(fixture, copy, PASSPHRASE).unwrap();
    assert!(plan.mends.is_empty() && report.mended.is_empty(), "{plan:#?}");
    assert!(before == contents_of(&fixture.store), "something was written");
}

#[test]
fn a_copy_of_another_repository_is_refused() {
    let (fixture, _) = two_nights(500);
    let (_, foreign) = two_nights(501);
    for damage in [None, Some(Damage::Delete), Some(Damage::Flip(500))] {
        let fixture = fixture.elsewhere().twin();
        if let Some(damage) = damage {
            damage.inflict(&fixture.store, "repository");
        }
        let before = contents_of(&fixture.store);
        assert!(repaired(&fixture, &foreign, PASSPHRASE).is_err());
        assert!(before == contents_of(&fixture.store));
    }
    // The same slot opens both: what lies here still tells them apart.
    let only_packs = fixture.at(Store::memory(), fixture.world.fresh_cache());
    for name in names(&fixture.store, "packs") {
        write(&only_packs.store, &name, read(&fixture.store, &name));
    }
    let error = repaired(&only_packs, &foreign, PASSPHRASE).unwrap_err();
    assert!(error.to_string().contains("shows that"), "{error}");
    let empty = fixture.at(Store::memory(), fixture.world.fresh_cache());
    let error = repaired(&empty, &foreign, PASSPHRASE).unwrap_err();
    assert!(matches!(error, RepositoryError::NoRepository { .. }), "{error}");
}

#[test]
fn what_is_sound_here_is_never_overwritten() {
    let sound = sound();
    let copy = copy_of(&sound.fixture.store);
    for name in names(&copy, "").into_iter().filter(|name| name != "repository") {
        Damage::Flip(700).inflict(&copy, &name);
    }
    assert_nothing_comes(&sound.fixture.twin(), &copy);
    assert_nothing_comes(&sound.fixture.elsewhere().twin(), &copy);
}

#[test]
fn what_is_damaged_there_too_is_named_and_not_written() {
    let sound = sound();
    let one_of = |folder: &str| names(&sound.fixture.store, folder).remove(0);
    for name in [one_of("packs"), one_of("index"), one_of("snapshots"), one_of("ledger")] {
        for damage in [Damage::Delete, Damage::Flip(300)] {
            let fixture = sound.fixture.twin();
            damage.inflict(&fixture.store, &name);
            let copy = copy_of(&sound.fixture.store);
            Damage::Flip(600).inflict(&copy, &name);
            let before = contents_of(&fixture.store);
            let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
            assert!(before == contents_of(&fixture.store), "{name}");
            let told = format!("{:?}", report.left);
            let id = name.rsplit('/').next().unwrap();
            // A missing index object is told from one that was replaced by nothing but a sound copy.
            let is_silent = name.starts_with("index/") && damage == Damage::Delete;
            assert!(told.contains(id) || is_silent, "{name}, {damage:?}: {told}");
        }
    }
}

#[test]
fn what_was_collected_or_forgotten_does_not_come_back() {
    let fixture = Fixture::new(502);
    let first = fixture.night(&noise(1, 900_000));
    fixture.night(&noise(2, 900_000));
    let copy = copy_of(&fixture.store);
    snapshots::forget(&fixture.open(), &[first.id], "me", "old").unwrap();
    collected(&fixture, &thorough());
    for fixture in [fixture.twin(), fixture.elsewhere().twin()] {
        assert_nothing_comes(&fixture, &copy);
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
    }
    // Nor where the index objects that named it are wanted.
    let store = copy_of(&fixture.store);
    for name in names(&store, "index") {
        store.delete(&name).unwrap();
    }
    let fixture = fixture.at(store, fixture.world.fresh_cache());
    let retired = ledger::read(&fixture.open()).unwrap().state.retired;
    assert!(!retired.is_empty());
    repaired(&fixture, &copy, PASSPHRASE).unwrap();
    let is_back = |id: &PackId| fixture.store.head(&ObjectName::Pack(*id).to_string()).unwrap();
    assert!(retired.iter().all(|id| is_back(id).is_none()));
}

/// What somebody did in the copy alone: everything is forgotten and collected there.
fn emptied(fixture: &Fixture, copy: &Store) -> Store {
    let alone = fixture.at(copy_of(copy), fixture.world.fresh_cache());
    let list = snapshots::list(&alone.open()).unwrap();
    let ids: Vec<SessionId> = list.snapshots.iter().map(|info| info.id).collect();
    snapshots::forget(&alone.open(), &ids, "me", "only in the copy").unwrap();
    collected(&alone, &thorough());
    alone.store
}

#[test]
fn what_was_deleted_in_the_copy_alone_is_not_deleted_here() {
    let (fixture, copy) = two_nights(503);
    let alone = emptied(&fixture, &copy);
    // The whole ledger of the copy, and one that ours has lost.
    for store in [alone.clone(), alone] {
        let fixture = fixture.elsewhere().twin();
        let before = contents_of(&fixture.store);
        let (_, report) = repaired(&fixture, &store, PASSPHRASE).unwrap();
        assert!(before == contents_of(&fixture.store));
        assert!(format!("{:?}", report.left).contains("gone its own way"), "{report:?}");
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
    }
}

#[test]
fn a_damaged_head_does_not_become_a_deletion_of_what_is_here() {
    let (fixture, _) = two_nights(504);
    // The newest record here, and another one of that number in the copy.
    let copy = copy_of(&fixture.store);
    let alone = fixture.at(copy, fixture.world.fresh_cache());
    let all = snapshots::list(&fixture.open()).unwrap();
    let ids: Vec<SessionId> = all.snapshots.iter().map(|info| info.id).collect();
    nightjar_repository::holds::hold(&fixture.open(), &ids, None, "me", "keep").unwrap();
    snapshots::forget(&alone.open(), &ids, "me", "only in the copy").unwrap();
    let newest = names(&fixture.store, "ledger").pop().unwrap();
    assert!(names(&alone.store, "ledger").contains(&newest));
    for damage in [Damage::Flip(500), Damage::Delete] {
        let fixture = fixture.elsewhere().twin();
        damage.inflict(&fixture.store, &newest);
        let before = read(&fixture.store, &names(&fixture.store, "ledger")[0]);
        let (_, report) = repaired(&fixture, &alone.store, PASSPHRASE).unwrap();
        assert!(!report.left.is_empty());
        assert_eq!(read(&fixture.store, &names(&fixture.store, "ledger")[0]), before);
        let ledger = ledger::read(&fixture.open()).unwrap();
        assert!(ledger.state.forgotten.is_empty(), "{damage:?}: {report:?}");
        assert_eq!(snapshots::list(&fixture.open()).unwrap().snapshots.len(), 2);
    }
}

#[test]
fn a_removed_slot_gets_nothing_in() {
    let fixture = Fixture::new(505);
    fixture.night(&[noise(1, 600_000), dump(1, 200_000)].concat());
    let slot = fixture.add_slot(Role::Full, "removed");
    let night = fixture.night(&[noise(1, 600_000), dump(2, 200_000)].concat());
    // Before it was removed, somebody copied what it could read.
    let copy = copy_of(&fixture.store);
    let held = fixture.at(copy, fixture.world.fresh_cache());
    let insider = Insider::open(&held, slot, "removed");
    slots::remove(&mut fixture.open(), slot).unwrap();

    // A snapshot that never was.
    let id = SessionId([7; 16]);
    let forged = Register::Committed(Box::new(night.snapshot.clone()));
    insider.write(MetadataKind::Snapshot, &ObjectName::Snapshot(id), &forged);
    // A record in the place of the newest, which removed it.
    let ledger = ledger::read(&held.open()).unwrap();
    let (incarnation, number) = (ledger.head.incarnation, ledger.head.number + 1);
    let newest = ObjectName::Ledger(number);
    assert_eq!(names(&fixture.store, "ledger").last(), Some(&newest.to_string()));
    let snapshots = vec![night.id];
    let (who, why) = ("nobody".to_owned(), "why".to_owned());
    let record = LedgerRecord {
        incarnation,
        number,
        previous: ledger.head_digest,
        time: 0,
        body: LedgerBody::Forget { snapshots, who, why, erase: true },
    };
    insider.write(MetadataKind::Ledger, &newest, &record);

    let warm = fixture.twin();
    let (_, report) = repaired(&warm, &held.store, PASSPHRASE).unwrap();
    assert!(report.mended.is_empty(), "{report:?}");
    assert!(warm.store.head(&ObjectName::Snapshot(id).to_string()).unwrap().is_none());
    assert!(format!("{:?}", report.left).contains("no access any more"), "{report:?}");
    // Where the record that removed it is damaged, its own does not take that place.
    let hurt = fixture.elsewhere().twin();
    Damage::Flip(500).inflict(&hurt.store, &newest.to_string());
    let before = contents_of(&hurt.store);
    let told = repaired(&hurt, &held.store, PASSPHRASE);
    assert!(before == contents_of(&hurt.store), "{told:?}");
}

#[test]
fn an_epoch_that_a_removed_slot_made_up_does_not_begin() {
    let fixture = Fixture::new(506);
    let slot = fixture.add_slot(Role::Full, "removed");
    fixture.night(&noise(1, 300_000));
    let third = fixture.add_slot(Role::Write, "third");
    let copy = fixture.at(copy_of(&fixture.store), fixture.world.fresh_cache());
    let other = fixture.at(copy_of(&fixture.store), fixture.world.fresh_cache());
    slots::remove(&mut fixture.open(), slot).unwrap();
    // In one copy, it removes whoever was to remove it; in another, the root keeps its access.
    let root = fixture.open().keychain().slot();
    slots::remove(&mut copy.open_with("removed").unwrap(), root).unwrap();
    slots::remove(&mut other.open_with("removed").unwrap(), third).unwrap();
    fixture.night(&noise(2, 300_000));
    let record = names(&fixture.store, "ledger").pop().unwrap();
    for damage in [Damage::Flip(500), Damage::Delete] {
        for store in [&copy.store, &other.store] {
            let hurt = fixture.elsewhere().twin();
            damage.inflict(&hurt.store, &record);
            let before = contents_of(&hurt.store);
            let told = repaired(&hurt, store, PASSPHRASE);
            let kept = |it: &Vec<(String, Vec<u8>)>| {
                let kept = it.iter().filter(|(name, _)| {
                    ["ledger", "slots", "keyring"].iter().any(|it| name.starts_with(it))
                });
                kept.cloned().collect::<Vec<_>>()
            };
            assert!(kept(&before) == kept(&contents_of(&hurt.store)), "{told:?}");
        }
    }
}

#[test]
fn an_index_object_of_a_removed_slot_must_be_confirmed_by_its_packs() {
    let fixture = Fixture::new(507);
    let slot = fixture.add_slot(Role::Write, "host");
    fixture.world.sleep_until_next_night();
    let host = fixture.open_with("host").unwrap();
    nightjar_testkit::fixture::back_up(&host, &noise(1, 600_000)).unwrap();
    drop(host);
    let copy = fixture.at(copy_of(&fixture.store), fixture.world.fresh_cache());
    slots::remove(&mut fixture.open(), slot).unwrap();
    for name in names(&fixture.store, "index") {
        fixture.store.delete(&name).unwrap();
    }
    // What it wrote when it might comes back, for the packs say the same.
    let (_, report) = repaired(&fixture.elsewhere().twin(), &copy.store, PASSPHRASE).unwrap();
    assert_eq!(report.mended.len(), names(&copy.store, "index").len(), "{report:?}");
    // What it makes up does not.
    let insider = Insider::open(&copy, slot, "host");
    let genuine = names(&copy.store, "index");
    let session = SessionId([9; 16]);
    let pack = insider.write_pack(BlobKind::Data, session, &[insider.whole(&dump(8, 4000))]);
    let real = packs(&fixture.store, 1).remove(0);
    let Some(ObjectName::Pack(id)) = ObjectName::parse(&real) else { panic!("{real}") };
    let size = read(&fixture.store, &real).len() as u64;
    let lie = PackRecord { pack_id: id, size, ..pack };
    insider.write_index(session, vec![lie]);
    genuine.iter().for_each(|name| copy.store.delete(name).unwrap());
    let plan = planned(&fixture.elsewhere(), &copy.store).unwrap();
    assert!(plan.mends.is_empty(), "{plan:?}");
}

#[test]
fn a_pack_that_is_not_what_an_index_object_says_stays_recorded_as_damaged() {
    let fixture = Fixture::new(508);
    fixture.night(&noise(1, 300_000));
    let insider = Insider::first(&fixture);
    let session = SessionId([9; 16]);
    // Its bytes are right, and what they decode to is not.
    let mut blob = insider.whole(&dump(8, 4000));
    blob.id = insider.chunk_id(b"another text");
    let pack = insider.write_pack(BlobKind::Data, session, &[blob]);
    let id = pack.pack_id;
    insider.write_index(session, vec![pack]);
    let copy = copy_of(&fixture.store);
    ledger::append(&fixture.open(), &LedgerBody::Damaged { packs: vec![id] }).unwrap();
    let (plan, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert!(plan.mends.is_empty() && plan.suspects.contains(&id), "{plan:?}");
    assert!(report.repaired.is_empty() && report.left.len() == 1, "{report:?}");
    assert!(ledger::read(&fixture.open()).unwrap().state.damaged.contains(&id));
}

/// All that index objects tell of a pack must be so, not only what the first of them tells.
#[test]
fn a_pack_of_which_one_of_two_listings_lies_is_found_and_stays_recorded_as_damaged() {
    for lie in ["kind", "size", "blobs"] {
        let fixture = Fixture::new(513);
        fixture.night(&noise(1, 300_000));
        let insider = Insider::first(&fixture);
        let session = SessionId([9; 16]);
        let write =
            |text: &[u8]| insider.write_pack(BlobKind::Data, session, &[insider.whole(text)]);
        let (pack, other) = (write(&dump(8, 4000)), write(&dump(9, 4000)));
        let id = pack.pack_id;
        let lying = match lie {
            "kind" => PackRecord { kind: BlobKind::Tree as u8, ..pack.clone() },
            "size" => PackRecord { size: pack.size + 1, ..pack.clone() },
            _ => PackRecord { table: other.table.clone(), ..pack.clone() },
        };
        insider.write_index(session, vec![pack, other]);
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
        insider.write_index(session, vec![lying]);
        // What blobs there are shows only to who opens it.
        let level = if lie == "blobs" { Level::Data } else { Level::Packs };
        let report = check(&fixture, level, Bounds::default());
        assert_eq!(report.recorded_damaged, [id], "{lie}: {report:?}");
        let name = ObjectName::Pack(id).to_string();
        assert!(report.findings.iter().all(|it| it.object == name), "{lie}: {report:?}");
        assert_eq!(check(&fixture, Level::Data, Bounds::default()).recorded_repaired, []);
        let (plan, report) = repaired(&fixture, &copy_of(&fixture.store), PASSPHRASE).unwrap();
        assert!(plan.suspects.contains(&id) && report.repaired.is_empty(), "{lie}: {report:?}");
        assert!(report.left[0].why.contains(&format!("another {lie}")) || lie == "blobs");
        assert!(ledger::read(&fixture.open()).unwrap().state.damaged.contains(&id), "{lie}");
    }
}

#[test]
fn a_snapshot_that_is_in_the_copy_alone_comes_with_all_that_it_rests_on() {
    let (fixture, copy) = two_nights(509);
    let alone = fixture.at(copy, fixture.world.fresh_cache());
    let bytes = noise(77, 700_000);
    let foreign = alone.night(&bytes);
    let (plan, report) = repaired(&fixture, &alone.store, PASSPHRASE).unwrap();
    assert_eq!((report.mended.len(), report.left.len()), (plan.mends.len(), 0), "{report:?}");
    let repository = fixture.open();
    let list = snapshots::list(&repository).unwrap();
    let info = list.find(&foreign.id.to_string(), None).unwrap();
    assert!(restore(&repository, info).unwrap() == bytes);
    assert_eq!(verify_all(&repository).unwrap().findings, []);
    assert_eq!(names(&fixture.store, "sessions"), Vec::<String>::new());
}

#[test]
fn packs_come_back_that_are_lost_together_with_what_lists_them() {
    let (fixture, copy) = two_nights(511);
    for folder in ["packs", "index"] {
        for name in names(&fixture.store, folder) {
            fixture.store.delete(&name).unwrap();
        }
    }
    let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert!(!report.mended.is_empty() && report.left.is_empty(), "{report:?}");
    assert_eq!(verify_all(&fixture.elsewhere().open()).unwrap().findings, []);
}

#[test]
fn a_fence_in_the_copy_does_not_take_the_place_of_a_damaged_snapshot() {
    let (fixture, copy) = two_nights(512);
    let repository = fixture.at(copy.clone(), fixture.world.fresh_cache()).open();
    // The last one: no other names it.
    let list = snapshots::list(&repository).unwrap();
    let newest = list.snapshots.last().unwrap().id;
    let name = ObjectName::Snapshot(newest);
    let fence = Register::Fence { reason: "taken for dead".into() };
    copy.delete(&name.to_string()).unwrap();
    let insider = Insider::first(&fixture.at(copy.clone(), fixture.world.fresh_cache()));
    insider.write(MetadataKind::Snapshot, &name, &fence);
    Damage::Flip(500).inflict(&fixture.store, &name.to_string());
    let elsewhere = fixture.elsewhere();
    let (_, report) = repaired(&elsewhere, &copy, PASSPHRASE).unwrap();
    assert!(report.mended.is_empty() && report.left.len() == 1, "{report:?}");
    assert!(report.left[0].why.contains("fence"), "{report:?}");
}

#[test]
fn a_missing_snapshot_waits_for_the_end_of_a_collection() {
    let (fixture, copy) = two_nights(510);
    let name = names(&fixture.store, "snapshots").remove(0);
    fixture.store.delete(&name).unwrap();
    let Some(ObjectName::Pack(pack)) = ObjectName::parse(&names(&fixture.store, "packs")[0]) else {
        panic!("no pack")
    };
    let body = LedgerBody::Condemn { packs: vec![pack] };
    let condemned = ledger::append(&fixture.open(), &body).unwrap().number;
    let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert!(report.mended.is_empty() && report.left[0].why.contains("nightjar gc"), "{report:?}");
    ledger::append(&fixture.open(), &LedgerBody::Reinstate { condemned }).unwrap();
    let (_, report) = repaired(&fixture, &copy, PASSPHRASE).unwrap();
    assert_eq!((report.mended.len(), report.left.len()), (1, 0), "{report:?}");
    assert_eq!(verify_all(&fixture.open()).unwrap().findings, []);
}
