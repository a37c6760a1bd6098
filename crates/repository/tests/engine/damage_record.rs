//! Damage that is found is traced to snapshots and paths, recorded, and healed by the next backup of
//! the same content.

use std::collections::BTreeSet;

use nightjar_format::blob::BlobKind;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::{PackId, SessionId};
use nightjar_repository::Progress;
use nightjar_repository::ledger;
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::status::status;
use nightjar_repository::verify::{
    Bounds, Finding, Level, Sample, VerifyReport, VerifyRequest, standing_damage, verify,
};
use nightjar_testkit::damage::{Damage, names, read, write};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{FILE, Fixture, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::Insider;

use crate::coverage::{all_of, check, hurried, nights};
use crate::gc::{collected, thorough};

const EVERYTHING: Bounds = Bounds { sample: None, before: None, deadline: None };
const WRITER: &str = "the writer's passphrase";

/// Nights of which each shares something with others.
struct Nights {
    fixture: Fixture,
    made: Vec<(SnapshotInfo, Vec<u8>)>,
}

impl Nights {
    fn new(seed: u64) -> Self {
        let fixture = Fixture::new(seed);
        let mut made = Vec::new();
        let mut bytes = noise(seed, 2_500_000);
        for night in 0..3 {
            made.push((fixture.night(&bytes), bytes.clone()));
            bytes = [bytes, noise(seed + 10 + night, 1_200_000)].concat();
        }
        Self { fixture, made }
    }

    /// A pack without which so many of them cannot be restored.
    fn pack_of(&self, many: usize) -> String {
        let is_it = |name: &String| {
            let twin = self.fixture.twin();
            Damage::Delete.inflict(&twin.store, name);
            self.unrestorable(&twin).len() == many
        };
        let found = data_packs(&self.fixture).into_iter().find(is_it);
        found.unwrap_or_else(|| panic!("no pack that {many} need"))
    }

    fn unrestorable(&self, fixture: &Fixture) -> BTreeSet<SessionId> {
        let repository = fixture.open();
        let lost = self.made.iter().filter(|(info, bytes)| match restore(&repository, info) {
            Ok(restored) => {
                assert!(restored == *bytes, "WRONG BYTES of {}", info.id);
                false
            }
            Err(_) => true,
        });
        lost.map(|(info, _)| info.id).collect()
    }
}

/// The packs of data.
fn data_packs(fixture: &Fixture) -> Vec<String> {
    let packs = names(&fixture.store, "packs").into_iter();
    packs.filter(|name| read(&fixture.store, name)[4] == 1).collect()
}

fn id_of(name: &str) -> PackId {
    match ObjectName::parse(name) {
        Some(ObjectName::Pack(id)) => id,
        other => panic!("{other:?}"),
    }
}

fn about<'a>(report: &'a VerifyReport, name: &str) -> &'a Finding {
    let mut found = report.findings.iter().filter(|it| it.object == name);
    let finding = found.next().unwrap_or_else(|| panic!("{name}: {:#?}", report.findings));
    assert!(found.next().is_none(), "{:#?}", report.findings);
    finding
}

fn damaged(fixture: &Fixture) -> BTreeSet<PackId> {
    ledger::read(&fixture.open()).unwrap().state.damaged
}

fn head(fixture: &Fixture) -> u64 {
    ledger::read(&fixture.open()).unwrap().head.number
}

#[test]
fn a_damaged_pack_is_recorded_and_the_next_backup_heals_what_it_held() {
    for damage in [Damage::Flip(500), Damage::Halve] {
        let nights = Nights::new(321);
        let Nights { fixture, made } = &nights;
        let (newest, bytes) = &made[2];
        let mut removed = 0;
        for name in data_packs(fixture) {
            let fixture = fixture.twin();
            damage.inflict(&fixture.store, &name);
            let lost = nights.unrestorable(&fixture);
            assert!(lost.contains(&newest.id), "{name}");

            let report = check(&fixture, Level::Data, EVERYTHING);
            let finding = about(&report, &name);
            assert!(finding.blobs > 0 && !finding.blob_ids.is_empty(), "{finding:?}");
            let hit: BTreeSet<SessionId> = finding.snapshots.iter().copied().collect();
            assert_eq!(hit, lost, "{name}");
            assert_eq!(report.hits.iter().map(|it| it.snapshot).collect::<BTreeSet<_>>(), lost);
            assert!(
                report.hits.iter().all(|it| it.paths == [FILE.as_bytes()]),
                "{:?}",
                report.hits
            );
            assert_eq!(report.recorded_damaged, [id_of(&name)]);
            assert_eq!(report.unrecorded, [""; 0]);
            assert_eq!(damaged(&fixture), BTreeSet::from([id_of(&name)]));
            let told = status(&fixture.elsewhere().open()).unwrap();
            assert_eq!(told.damage.packs.len(), 1);
            assert!(!told.findings.is_empty());

            // Once is enough.
            let number = head(&fixture);
            assert_eq!(check(&fixture, Level::Data, EVERYTHING).recorded_damaged, []);
            assert_eq!(head(&fixture), number);

            let healing = fixture.night(bytes);
            assert!(healing.snapshot.counts.chunks_new > 0, "{name}");
            assert!(restore(&fixture.elsewhere().open(), &healing).unwrap() == *bytes);
            // What only an older night holds cannot be healed, and is still told.
            let still = nights.unrestorable(&fixture.elsewhere());
            assert!(!still.contains(&newest.id), "{name}");
            let report = check(&fixture.elsewhere(), Level::Data, EVERYTHING);
            let hit: BTreeSet<_> = about(&report, &name).snapshots.iter().copied().collect();
            assert_eq!(hit, report.hits.iter().map(|it| it.snapshot).collect());
            let is_exact = damage != Damage::Halve;
            assert!(hit.is_superset(&still) && (hit == still || !is_exact), "{hit:?} {still:?}");
            let told = status(&fixture.open()).unwrap();
            assert_eq!(told.damage.packs.len(), 1);
            // Older nights may rest on what is right in it, and is stored nowhere else.
            let resting: BTreeSet<_> = told.damage.hits.iter().map(|it| it.snapshot).collect();
            assert!(!resting.contains(&newest.id) && !resting.contains(&healing.id), "{name}");
            assert!(resting.is_superset(&still), "{name}");
            assert_eq!(told.findings.is_empty(), resting.is_empty(), "{:?}", told.findings);

            // A collector removes it once nobody rests on it, and refuses where something is lost; one
            // that has another size than is listed it leaves alone.
            if !is_exact || !still.is_empty() {
                continue;
            }
            collected(&fixture, &thorough());
            let report = check(&fixture, Level::Data, EVERYTHING);
            let left = status(&fixture.open()).unwrap().damage.packs.len();
            let expected = usize::from(!resting.is_empty());
            assert_eq!((report.findings.len(), left), (expected, expected));
            assert_eq!(nights.unrestorable(&fixture), BTreeSet::new());
            removed += usize::from(left == 0);
        }
        assert_eq!(removed > 0, damage != Damage::Halve);
    }
}

#[test]
fn what_is_still_hit_is_told_until_it_is_healed() {
    let nights = Nights::new(322);
    let Nights { fixture, made } = &nights;
    let name = nights.pack_of(1);
    Damage::Flip(300).inflict(&fixture.store, &name);
    check(fixture, Level::Data, EVERYTHING);
    let repository = fixture.open();
    let list = snapshots::list(&repository).unwrap();
    let of = |place: usize| standing_damage(&repository, &[&list.snapshots[place]]).unwrap();
    assert_eq!((of(0).hits.len(), of(1).hits.len()), (0, 0));
    assert_eq!(of(2).hits[0].paths, [FILE.as_bytes()]);
    assert_eq!(of(2).packs[0].snapshots, [made[2].0.id]);
    fixture.night(&made[2].1);
    let repository = fixture.open();
    assert_eq!(standing_damage(&repository, &[&list.snapshots[2]]).unwrap().hits, []);
}

#[test]
fn a_missing_pack_is_told_and_needs_no_record() {
    let nights = Nights::new(323);
    let fixture = &nights.fixture;
    let name = data_packs(fixture).remove(0);
    Damage::Delete.inflict(&fixture.store, &name);
    let lost = nights.unrestorable(fixture);
    let report = check(fixture, Level::Presence, EVERYTHING);
    let finding = about(&report, &name);
    assert_eq!(finding.snapshots.iter().copied().collect::<BTreeSet<_>>(), lost);
    assert!(finding.blobs > 0 && !finding.blob_ids.is_empty());
    assert_eq!((report.recorded_damaged, head(fixture)), (vec![], 0));
    let told = status(&fixture.open()).unwrap();
    assert_eq!(told.damage.packs[0].pack, id_of(&name));
    assert_eq!(told.damage.hits.iter().map(|it| it.snapshot).collect::<BTreeSet<_>>(), lost);
}

#[test]
fn who_only_looks_records_no_damage() {
    let nights = Nights::new(324);
    let fixture = &nights.fixture;
    Damage::Flip(500).inflict(&fixture.store, &data_packs(fixture)[0]);
    let before = names(&fixture.store, "");
    let repository = fixture.open();
    let looks = VerifyRequest { record: false, ..all_of(&repository, Level::Data, EVERYTHING) };
    let report = verify(&repository, &looks, &Progress::default()).unwrap();
    assert!(!report.findings.is_empty() && report.recorded_damaged.is_empty());
    assert_eq!(names(&fixture.store, ""), before);
}

/// A collector also records packs whose bytes are right, and of which an index object lies: only
/// who decodes them can tell that they are sound again.
#[test]
fn only_a_check_of_the_data_says_that_a_pack_is_sound_again() {
    let nights = Nights::new(325);
    let fixture = &nights.fixture;
    let name = data_packs(fixture).remove(0);
    let body = LedgerBody::Damaged { packs: vec![id_of(&name)] };
    ledger::append(&fixture.open(), &body).unwrap();
    for level in [Level::Presence, Level::Packs] {
        let report = check(fixture, level, EVERYTHING);
        assert!(about(&report, &name).problem.contains("the ledger records it"), "{level:?}");
        assert_eq!((report.recorded_repaired, head(fixture)), (vec![], 1));
    }
    let report = check(fixture, Level::Data, EVERYTHING);
    assert_eq!((report.findings, report.recorded_repaired), (vec![], vec![id_of(&name)]));
    assert_eq!(damaged(fixture), BTreeSet::new());
    assert_eq!(head(fixture), 2);
}

#[test]
fn a_pack_that_was_put_right_is_relied_on_again() {
    let nights = Nights::new(326);
    let fixture = &nights.fixture;
    let name = data_packs(fixture).remove(1);
    let right = read(&fixture.store, &name);
    Damage::Flip(400).inflict(&fixture.store, &name);
    check(fixture, Level::Data, EVERYTHING);
    write(&fixture.store, &name, right);
    let report = check(fixture, Level::Data, EVERYTHING);
    assert_eq!((report.findings, report.recorded_repaired), (vec![], vec![id_of(&name)]));
    let counts = fixture.night(&nights.made[2].1).snapshot.counts;
    assert_eq!(counts.chunks_new, 0);
}

#[test]
fn a_sampled_run_names_every_snapshot_that_what_it_found_hits() {
    let nights = Nights::new(327);
    let fixture = &nights.fixture;
    let name = nights.pack_of(3);
    Damage::Flip(500).inflict(&fixture.store, &name);
    let sample = Bounds { sample: Some(Sample::Bytes(1)), ..EVERYTHING };
    let packs = names(&fixture.store, "packs").len();
    let mut found = 0;
    for _ in 0..packs {
        let report = check(fixture, Level::Data, sample);
        if report.findings.is_empty() {
            continue;
        }
        // From then on it is told by every run, whatever that reads.
        found += 1;
        assert_eq!(about(&report, &name).snapshots.len(), 3);
        assert_eq!(report.hits.len(), 3);
    }
    assert!(found > 0);
    // The damaged one holds up no other.
    assert_eq!(status(&fixture.open()).unwrap().coverage.data.never(), 1);
}

#[test]
fn a_time_limit_holds_for_tracing_damage_and_what_is_unknown_is_said() {
    let nights = Nights::new(332);
    let Nights { fixture, made } = &nights;
    let (name, newest) = (nights.pack_of(3), made[2].0.id);
    let over = Bounds { deadline: Some(0), ..EVERYTHING };
    Damage::Flip(500).inflict(&fixture.store, &name);
    let report = check(fixture, Level::Data, EVERYTHING);
    assert_eq!((report.hits.len(), report.hits_unknown), (3, 0));
    let report = check(fixture, Level::Data, over);
    assert_eq!((report.hits.len(), report.hits_unknown, report.out_of_time), (1, 2, true));
    assert_eq!(about(&report, &name).snapshots, [newest]);
    let told = status(&hurried(fixture).0).unwrap();
    assert_eq!((told.damage.hits.len(), told.damage.hits_unknown), (1, 2));
    assert_eq!(told.damage.packs[0].snapshots, [newest]);
    assert!(told.findings.iter().any(|it| it.contains("2 that were not looked at")));
    // A snapshot that lacks something is named, whether there is time to find out what or not.
    Damage::Delete.inflict(&fixture.store, &name);
    let report = check(fixture, Level::Data, over);
    assert_eq!((report.hits.len(), report.hits_unknown, report.out_of_time), (1, 2, true));
    for (info, _) in &made[..2] {
        let finding = about(&report, &ObjectName::Snapshot(info.id).to_string());
        assert!(finding.problem.contains("something is wrong"), "{finding:?}");
    }
}

#[test]
fn a_run_with_little_time_reads_less_where_damage_is_to_be_traced() {
    let fixture = nights(333);
    let sound = fixture.twin();
    let pack = names(&fixture.store, "packs").into_iter().next_back().unwrap();
    Damage::Delete.inflict(&fixture.store, &pack);
    let run = |fixture: &Fixture| {
        let (repository, _) = hurried(fixture);
        let now = fixture.world.environment(&fixture.cache).clock.now();
        let bounds = Bounds { deadline: Some(now + 24 * 60_000_000_000), ..EVERYTHING };
        let request = all_of(&repository, Level::Packs, bounds);
        verify(&repository, &request, &Progress::default()).unwrap()
    };
    let (sound, hurt) = (run(&sound), run(&fixture));
    assert!(sound.out_of_time && hurt.out_of_time);
    assert!(hurt.packs > 0 && hurt.packs < sound.packs, "{} of {}", hurt.packs, sound.packs);
    assert_eq!((hurt.hits.is_empty(), hurt.hits_unknown), (false, 0), "{hurt:?}");
}

#[test]
fn a_write_slot_records_what_it_finds() {
    let nights = Nights::new(328);
    let fixture = &nights.fixture;
    fixture.add_slot(Role::Write, WRITER);
    let name = data_packs(fixture).remove(0);
    Damage::Flip(500).inflict(&fixture.store, &name);
    let writer = fixture.open_with(WRITER).unwrap();
    let request = all_of(&writer, Level::Packs, EVERYTHING);
    let report = verify(&writer, &request, &Progress::default()).unwrap();
    assert_eq!(report.recorded_damaged, [id_of(&name)]);
    // What of it is lost it cannot tell: all may be.
    assert!(about(&report, &name).blobs > 1);
}

#[test]
fn one_flipped_bit_loses_one_blob() {
    let nights = Nights::new(329);
    let fixture = &nights.fixture;
    let name = data_packs(fixture).remove(0);
    Damage::Flip(500).inflict(&fixture.store, &name);
    let finding = about(&check(fixture, Level::Data, EVERYTHING), &name).clone();
    assert_eq!((finding.blobs, finding.blob_ids.len()), (1, 1));
}

#[test]
fn where_the_ledger_is_broken_damage_is_told_all_the_same() {
    let nights = Nights::new(330);
    let fixture = &nights.fixture;
    let ids = [nights.made[0].0.id];
    snapshots::forget(&fixture.open(), &ids, "me", "test").unwrap();
    snapshots::forget(&fixture.open(), &[nights.made[1].0.id], "me", "test").unwrap();
    let name = data_packs(fixture).remove(0);
    Damage::Flip(500).inflict(&fixture.store, &name);
    let record = names(&fixture.store, "ledger").remove(1);
    fixture.store.delete(&record).unwrap();
    let report = check(fixture, Level::Data, EVERYTHING);
    about(&report, &name);
    assert_eq!(report.recorded_damaged, []);
    assert!(report.unrecorded[0].contains("could not be recorded"), "{:?}", report.unrecorded);
}

#[test]
fn deltas_on_a_blob_that_is_lost_are_lost_with_it() {
    let fixture = Fixture::new(331);
    let first = dump(1, 900_000);
    let second = touched(&first, 2);
    let made = vec![(fixture.night(&first), first), (fixture.night(&second), second)];
    let nights = Nights { fixture, made };
    for name in data_packs(&nights.fixture) {
        for thousandths in [300, 600] {
            let fixture = nights.fixture.twin();
            Damage::Flip(thousandths).inflict(&fixture.store, &name);
            let lost = nights.unrestorable(&fixture);
            let report = check(&fixture, Level::Data, EVERYTHING);
            let hit: BTreeSet<_> = report.hits.iter().map(|it| it.snapshot).collect();
            assert!(hit.is_superset(&lost), "{name}, {thousandths}: {hit:?}, {lost:?}");
        }
    }
}

/// The pack of a base may have been checked lately, and have its turn in months.
#[test]
fn a_base_that_cannot_be_had_is_traced_to_its_pack_by_the_run_that_misses_it() {
    let fixture = Fixture::new(334);
    let first = dump(1, 900_000);
    fixture.night(&first);
    check(&fixture, Level::Data, EVERYTHING);
    let old = data_packs(&fixture);
    let second = fixture.night(&touched(&first, 2));
    let unchecked = Bounds { before: Some(1), ..EVERYTHING };
    let mut told = 0;
    for name in &old {
        for thousandths in (100..900).step_by(100) {
            let fixture = fixture.twin();
            Damage::Flip(thousandths).inflict(&fixture.store, name);
            let report = check(&fixture, Level::Data, unchecked);
            if report.findings.is_empty() {
                assert_eq!(report.recorded_damaged, []);
                continue;
            }
            told += 1;
            let finding = about(&report, name);
            assert!(finding.snapshots.contains(&second.id), "{finding:?}");
            assert_eq!(report.recorded_damaged, [id_of(name)]);
        }
    }
    assert!(told > 0, "no night rests on what the flips hit");
}

/// A collector that runs while a pack is damaged takes what only dead deltas in it rest on.
#[test]
fn a_delta_whose_base_was_collected_does_not_keep_its_pack_from_being_sound_again() {
    let fixture = Fixture::new(335);
    let insider = Insider::first(&fixture);
    let session = SessionId([9; 16]);
    let old = dump(335, 30_000);
    let new = [&old[..15_000], b"changed", &old[15_000..]].concat();
    let base = insider.write_pack(BlobKind::Data, session, &[insider.whole(&old)]);
    let blobs = [insider.whole(&dump(336, 30_000)), insider.delta(&new, &[&old], 1)];
    let pack = insider.write_pack(BlobKind::Data, session, &blobs);
    let (base_id, id) = (base.pack_id, pack.pack_id);
    insider.write_index(session, vec![base]);
    insider.write_index(session, vec![pack]);
    insider.append(&fixture.open(), [LedgerBody::Damaged { packs: vec![id] }]);
    fixture.store.delete(&ObjectName::Pack(base_id).to_string()).unwrap();
    // A base that is lost may come back, and then its delta must be right.
    let lost = fixture.twin();
    let report = check(&lost, Level::Data, EVERYTHING);
    assert_eq!((report.recorded_repaired, report.findings.len()), (vec![], 2));
    let packs = vec![base_id];
    let condemned = insider.append(&fixture.open(), [LedgerBody::Condemn { packs: packs.clone() }]);
    insider.append(&fixture.open(), [LedgerBody::Retire { condemned, packs }]);
    let report = check(&fixture, Level::Data, EVERYTHING);
    assert_eq!((report.recorded_repaired, report.findings), (vec![id], vec![]));
}
