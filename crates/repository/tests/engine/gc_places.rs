//! Of the places in which a blob is stored: which one a collector keeps, and what it does before it
//! lets another go.

use std::collections::BTreeSet;

use nightjar_format::SessionId;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_repository::gc::Reason;
use nightjar_repository::index::sync::rebuild_from_packs;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::{Damage, names};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::{HandMade, Insider};

use crate::gc::{assert_sound, collected, forgotten, thorough};

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

    /// In how many places a text is stored.
    fn places(&self, text: &[u8]) -> usize {
        let insider = Insider::first(&self.fixture);
        Chains::of(&self.fixture.open()).places(&insider.chunk_id(text)).len()
    }
}

#[test]
fn of_a_blob_stored_twice_the_whole_one_stays_and_the_base_of_the_other_goes() {
    let twice = Twice::new(231, [true; 3]);
    let info = twice.back_up();
    assert_eq!((twice.places(&twice.text), twice.places(&twice.base)), (2, 1));
    let report = collected(&twice.fixture, &thorough());
    assert!(report.suspect.is_empty() && report.damaged.is_empty(), "{report:?}");
    assert_eq!((twice.places(&twice.text), twice.places(&twice.base)), (1, 0));
    assert_sound(&twice.fixture, &[(info, twice.text.clone())]);
}

#[test]
fn of_a_blob_stored_twice_the_one_that_is_there_stays() {
    let twice = Twice::new(232, [true; 3]);
    let info = twice.back_up();
    let chains = Chains::of(&twice.fixture.open());
    let insider = Insider::first(&twice.fixture);
    let [whole, _] = chains.places(&insider.chunk_id(&twice.text)) else { panic!("not twice") };
    twice.fixture.store.delete(&ObjectName::Pack(whole.pack).to_string()).unwrap();
    collected(&twice.fixture, &thorough());
    assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
}

#[test]
fn a_place_goes_only_after_the_other_was_read() {
    for damage in [Damage::Flip(500), Damage::Flip(600)] {
        let twice = Twice::new(233, [true; 3]);
        let info = twice.back_up();
        let chains = Chains::of(&twice.fixture.open());
        let insider = Insider::first(&twice.fixture);
        let [whole, _] = chains.places(&insider.chunk_id(&twice.text)) else { panic!("not twice") };
        let name = ObjectName::Pack(whole.pack).to_string();
        damage.inflict(&twice.fixture.store, &name);
        let report = collected(&twice.fixture, &thorough());
        assert_eq!(report.suspect.into_iter().collect::<Vec<_>>(), [whole.pack]);
        assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
        // The damaged pack is of no use to anybody now, and goes the next time.
        collected(&twice.fixture, &thorough());
        assert!(!names(&twice.fixture.store, "packs").contains(&name));
        assert_sound(&twice.fixture, &[(info, twice.text.clone())]);
        assert_eq!(collected(&twice.fixture, &thorough()).rounds, 0);
    }
}

#[test]
fn what_a_write_slot_lies_about_a_blob_does_not_bury_the_sound_one() {
    let twice = Twice::new(234, [true, true, false]);
    let info = twice.back_up();
    let slot = twice.fixture.add_slot(Role::Write, "the writer's");
    let thief = Insider::open(&twice.fixture, slot, "the writer's");
    let mut garbage = thief.whole(&dump(99, 4000));
    garbage.id = thief.chunk_id(&twice.text);
    let pack = thief.write_pack(BlobKind::Data, SESSION, &[garbage]);
    thief.write_index(SESSION, vec![pack]);
    for _ in 0..3 {
        collected(&twice.fixture, &thorough());
        assert!(restore(&twice.fixture.elsewhere().open(), &info).unwrap() == twice.text);
    }
    assert_sound(&twice.fixture, &[(info, twice.text.clone())]);
}

#[test]
fn a_pack_that_no_index_object_lists_is_not_what_a_snapshot_rests_on() {
    // As a writer leaves it that died before it published.
    let twice = Twice::new(235, [true, true, false]);
    let info = twice.back_up();
    rebuild_from_packs(&twice.fixture.open()).unwrap();
    let report = collected(&twice.fixture, &thorough());
    assert_eq!(report.plan.by_reason[&Reason::Unlisted].0, 1, "{report:?}");
    assert_sound(&twice.fixture, &[(info, twice.text.clone())]);
}

#[test]
fn what_was_stored_again_beside_packs_that_were_cut_short_stays() {
    let fixture = Fixture::new(236);
    let bytes = noise(236, 600_000);
    fixture.night(&bytes);
    for name in names(&fixture.store, "packs") {
        Damage::Halve.inflict(&fixture.store, &name);
    }
    let info = fixture.night(&bytes);
    collected(&fixture, &thorough());
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
}

#[test]
fn what_is_needed_and_cannot_be_read_stays_and_is_told() {
    let fixture = Fixture::new(237);
    let bytes = dump(237, 1_500_000);
    let gone = fixture.night(&bytes);
    let kept_bytes = touched(&bytes[..900_000], 1);
    let kept = fixture.night(&kept_bytes);
    forgotten(&fixture, &[&gone]);
    let chains = Chains::of(&fixture.open());
    let data = chains.all().filter(|it| it.kind == BlobKind::Data);
    let damaged: BTreeSet<String> = data.map(|it| ObjectName::Pack(it.pack).to_string()).collect();
    for name in &damaged {
        Damage::Flip(2).inflict(&fixture.store, name);
    }
    let report = collected(&fixture, &thorough());
    assert!(!report.damaged.is_empty(), "{report:?}");
    for pack in &report.damaged {
        assert!(names(&fixture.store, "packs").contains(&ObjectName::Pack(*pack).to_string()));
    }
    // The next backup of the same content heals it.
    let healed = fixture.night(&kept_bytes);
    assert!(restore(&fixture.elsewhere().open(), &healed).unwrap() == kept_bytes);
    assert!(restore(&fixture.elsewhere().open(), &kept).unwrap() == kept_bytes);
}

#[test]
fn nothing_is_collected_where_something_needed_is_lost() {
    let fixture = Fixture::new(238);
    let bytes = noise(238, 1_500_000);
    let gone = fixture.night(&dump(1, 500_000));
    fixture.night(&bytes);
    forgotten(&fixture, &[&gone]);
    let repository = fixture.open();
    let needed = names(&fixture.store, "packs").into_iter().find(|name| {
        let twin = fixture.twin();
        twin.store.delete(name).unwrap();
        let list = nightjar_repository::snapshots::list(&twin.open()).unwrap();
        restore(&twin.elsewhere().open(), &list.snapshots[0]).is_err()
    });
    fixture.store.delete(&needed.unwrap()).unwrap();
    let before = names(&fixture.store, "packs");
    let request = thorough();
    let progress = nightjar_repository::Progress::default();
    let error = nightjar_repository::gc::collect(&repository, &request, &progress).unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert_eq!(names(&fixture.store, "packs"), before);
}

/// Of a delta that lies in two packs the base cannot be read: neither may go, and a run that has
/// learnt so ends.
#[test]
fn what_can_be_read_from_nowhere_keeps_no_collector_busy() {
    let fixture = Fixture::new(239);
    let insider = Insider::first(&fixture);
    let base = dump(239, 4000);
    let text = [&base[..1500], b"something else", &base[1500..3900]].concat();
    let list = |blobs: &[HandMade]| {
        let pack = insider.write_pack(BlobKind::Data, SESSION, blobs);
        let id = pack.pack_id;
        insider.write_index(SESSION, vec![pack]);
        id
    };
    let delta = || insider.delta(&text, &[&base], 1);
    let rests_on = list(&[insider.whole(&base)]);
    let unused = insider.whole(&dump(1239, 4000));
    let places = [list(&[delta(), unused]), list(&[delta()])];
    assert_eq!(fixture.night(&text).snapshot.counts.chunks_new, 0);
    Damage::Flip(500).inflict(&fixture.store, &ObjectName::Pack(rests_on).to_string());
    for _ in 0..2 {
        let report = collected(&fixture, &thorough());
        assert!(report.rounds <= 3 && !report.damaged.is_empty(), "{report:?}");
        for pack in places {
            assert!(names(&fixture.store, "packs").contains(&ObjectName::Pack(pack).to_string()));
        }
    }
}
