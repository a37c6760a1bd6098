//! Which of a blob's places is marked: one that others can rely on.

use std::collections::BTreeSet;

use nightjar_format::blob::BlobKind;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{PackId, SessionId};
use nightjar_repository::index::sync::rebuild_from_packs;
use nightjar_repository::ledger;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::{Damage, names};
use nightjar_testkit::fixture::{Fixture, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::Insider;

use crate::mark::{is_alive, marked, sweep};

const SESSION: SessionId = SessionId([5; 16]);

/// A text of one chunk that rests on another, and is stored whole as well.
struct Twice {
    fixture: Fixture,
    text: Vec<u8>,
    base: Vec<u8>,
}

impl Twice {
    /// `publish` says which of: its base, itself as a delta, itself whole, is listed.
    fn new(seed: u64, publish: [bool; 3]) -> Self {
        let fixture = Fixture::new(seed);
        let insider = Insider::first(&fixture);
        let base = dump(seed, 4000);
        let text = [&base[..1500], b"something else", &base[1500..3900]].concat();
        let blobs = [insider.whole(&base), insider.delta(&text, &[&base], 1), insider.whole(&text)];
        for (blob, listed) in blobs.into_iter().zip(publish) {
            let pack = insider.write_pack(BlobKind::Data, SESSION, &[blob]);
            if listed {
                insider.write_index(SESSION, vec![pack]);
            }
        }
        Self { fixture, text, base }
    }

    fn back_up(&self) -> SnapshotInfo {
        let info = self.fixture.night(&self.text);
        assert_eq!(info.snapshot.counts.chunks_new, 0);
        info
    }
}

#[test]
fn of_a_blob_stored_twice_both_are_kept() {
    // Which of them is sound shows only when they are read.
    let twice = Twice::new(147, [true; 3]);
    let live = marked(&twice.fixture, &[&twice.back_up()]).unwrap();
    let chains = Chains::of(&twice.fixture.open());
    let insider = Insider::first(&twice.fixture);
    let [whole, delta] = chains.places(&insider.chunk_id(&twice.text)) else { panic!("not twice") };
    assert_eq!((whole.entry.encoding.depth(), delta.entry.encoding.depth()), (0, 1));
    assert!(is_alive(&live, whole) && is_alive(&live, delta));
    assert!(is_alive(&live, &chains.places(&insider.chunk_id(&twice.base))[0]));
}

#[test]
fn of_a_blob_stored_twice_the_one_that_is_there_is_kept() {
    let twice = Twice::new(148, [true; 3]);
    let info = twice.back_up();
    let chains = Chains::of(&twice.fixture.open());
    let insider = Insider::first(&twice.fixture);
    let [whole, delta] = chains.places(&insider.chunk_id(&twice.text)) else { panic!("not twice") };
    twice.fixture.store.delete(&ObjectName::Pack(whole.pack).to_string()).unwrap();
    let live = marked(&twice.fixture, &[&info]).unwrap();
    assert!(is_alive(&live, delta));
    assert!(is_alive(&live, &chains.places(&insider.chunk_id(&twice.base))[0]));
    assert!(restore(&twice.fixture.open(), &info).unwrap() == twice.text);
}

#[test]
fn a_pack_that_no_index_object_lists_is_not_what_a_snapshot_rests_on() {
    // As a writer leaves it that died before it published: collectors remove such, and no other
    // machine knows of it.
    let twice = Twice::new(149, [true, true, false]);
    let info = twice.back_up();
    rebuild_from_packs(&twice.fixture.open()).unwrap();
    let live = marked(&twice.fixture, &[&info]).unwrap();
    let chains = Chains::of(&twice.fixture.open());
    let insider = Insider::first(&twice.fixture);
    for text in [&twice.text, &twice.base] {
        assert!(is_alive(&live, &chains.places(&insider.chunk_id(text))[0]), "{live:?}");
    }
    sweep(&twice.fixture, &live);
    assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
}

#[test]
fn a_pack_that_was_cut_short_is_not_what_a_snapshot_rests_on() {
    let fixture = Fixture::new(150);
    let bytes = noise(150, 600_000);
    fixture.night(&bytes);
    for name in names(&fixture.store, "packs") {
        Damage::Halve.inflict(&fixture.store, &name);
    }
    // Packs of another size count as absent, so all is stored again.
    let info = fixture.night(&bytes);
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
    let live = marked(&fixture, &[&info]).unwrap();
    sweep(&fixture, &live);
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
}

#[test]
fn a_pack_that_was_retired_is_not_what_a_snapshot_rests_on() {
    // Its collector died before it deleted it.
    let fixture = Fixture::new(153);
    let bytes = noise(153, 600_000);
    fixture.night(&bytes);
    let chains = Chains::of(&fixture.open());
    let retired: BTreeSet<PackId> = chains.all().map(|stored| stored.pack).collect();
    let packs: Vec<PackId> = retired.iter().copied().collect();
    let repository = fixture.open();
    ledger::append(&repository, &LedgerBody::Condemn { packs: packs.clone() }).unwrap();
    let condemned = ledger::read(&repository).unwrap().head.number;
    ledger::append(&repository, &LedgerBody::Retire { condemned, packs }).unwrap();
    let info = fixture.night(&bytes);
    assert!(info.snapshot.counts.chunks_new > 20, "a writer relied on it");
    let live = marked(&fixture, &[&info]).unwrap();
    let relied: Vec<&PackId> = retired.iter().filter(|id| live.offsets.contains_key(id)).collect();
    assert_eq!(relied, Vec::<&PackId>::new());
}

#[test]
fn what_a_write_slot_lies_about_a_blob_does_not_bury_the_sound_one() {
    let twice = Twice::new(152, [true, true, false]);
    let info = twice.back_up();
    let slot = twice.fixture.add_slot(Role::Write, "the writer's");
    let thief = Insider::open(&twice.fixture, slot, "the writer's");
    let mut garbage = thief.whole(&dump(99, 4000));
    garbage.id = thief.chunk_id(&twice.text);
    let pack = thief.write_pack(BlobKind::Data, SESSION, &[garbage]);
    thief.write_index(SESSION, vec![pack]);
    assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
    let live = marked(&twice.fixture, &[&info]).unwrap();
    sweep(&twice.fixture, &live);
    assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
}
