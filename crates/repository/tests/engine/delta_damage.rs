//! A base is lost or damaged: whoever rests on it is named, nobody else is harmed, and the next
//! backup of the same content heals it.

use std::collections::{BTreeMap, BTreeSet};

use nightjar_format::SessionId;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::ObjectName;
use nightjar_repository::index::sync;
use nightjar_repository::ingest::{Fed, create_snapshot};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::status::status;
use nightjar_repository::verify::{Finding, Level, VerifyRequest, verify};
use nightjar_repository::{Progress, RepositoryError, ledger};
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::{Damage, names};
use nightjar_testkit::edits::{grown, touched};
use nightjar_testkit::fixture::{FILE, Fixture, back_up, empty_file, entry, request, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::model::Model;

/// Snapshots that rest on each other, and some that do not.
struct Nights {
    fixture: Fixture,
    made: Vec<(SnapshotInfo, Vec<u8>)>,
}

impl Nights {
    fn new(seed: u64) -> Self {
        let mut nights = Self { fixture: Fixture::new(seed), made: Vec::new() };
        let first = dump(1, 1_500_000);
        let second = touched(&first, 2);
        let third = grown(&second, 3);
        let others = noise(4, 1_300_000);
        // Begins like the third, goes on like nothing before.
        let fifth = [&touched(&third, 5)[..600_000], &dump(5, 600_000)].concat();
        for bytes in [first, second, third, others, fifth] {
            nights.made.push((nights.fixture.night(&bytes), bytes));
        }
        let chains = Chains::of(&nights.fixture.open());
        let deltas = |bases: usize| {
            chains.deltas().filter(|stored| stored.entry.encoding.bases().len() == bases).count()
        };
        assert!(deltas(1) > 50 && deltas(2) + deltas(3) > 5, "{} and {}", deltas(1), deltas(2));
        let across = chains.deltas().any(|stored| {
            let bases = stored.entry.encoding.bases();
            bases.iter().any(|base| chains.places(base)[0].pack != stored.pack)
        });
        assert!(across, "no delta lies in another pack than its base");
        nights
    }

    /// Those snapshots that cannot be restored, and why.
    fn unrestorable(&self, fixture: &Fixture) -> BTreeMap<SessionId, RepositoryError> {
        let repository = fixture.open();
        let mut lost = BTreeMap::new();
        for (info, bytes) in &self.made {
            match restore(&repository, info) {
                Ok(restored) => assert!(restored == *bytes, "WRONG BYTES of {}", info.id),
                Err(error) => drop(lost.insert(info.id, error)),
            }
        }
        lost
    }

    fn verify(&self, fixture: &Fixture, level: Level) -> Vec<Finding> {
        let snapshots = self.made.iter().map(|(info, _)| info.id).collect();
        let request =
            VerifyRequest { level, snapshots, whole_repository: false, ..VerifyRequest::default() };
        verify(&fixture.open(), &request, &Progress::default()).unwrap().findings
    }
}

/// The snapshots that findings about an object name.
fn hit(findings: &[Finding], name: &str) -> BTreeSet<SessionId> {
    let about = |it: &&Finding| it.object == name || it.problem.contains(name);
    findings.iter().filter(about).flat_map(|it| it.snapshots.iter().copied()).collect()
}

/// Damages each pack in turn, and holds against each other what cannot be restored and whom verify
/// names. At the level data, verify checks packs whole, and names all that touch them.
fn damage_each_pack(seed: u64, damage: &Damage, levels: &[Level]) {
    let nights = Nights::new(seed);
    let (mut several, mut spared) = (0, 0);
    for name in names(&nights.fixture.store, "packs") {
        let when = format!("{}: {name}", damage.label());
        let fixture = nights.fixture.twin();
        damage.inflict(&fixture.store, &name);
        let fixture = fixture.elsewhere();
        let lost = nights.unrestorable(&fixture);
        for (id, error) in &lost {
            let error = error.to_string();
            assert!(error.contains(&name) && error.contains("blob "), "{when}, {id}: {error}");
        }
        let lost: BTreeSet<SessionId> = lost.into_keys().collect();
        several += usize::from(lost.len() > 1);
        spared += usize::from(lost.len() < nights.made.len());
        for level in levels {
            let findings = nights.verify(&fixture, *level);
            let hit = hit(&findings, &name);
            let exact = *level == Level::Presence && *damage == Damage::Delete;
            let named = if exact { hit == lost } else { hit.is_superset(&lost) };
            assert!(named, "{when}, {level:?}: lost {lost:?}, but {findings:#?}");
            let told = findings.iter().any(|it| it.object == name || it.problem.contains(&name));
            assert!(told, "{when}, {level:?}: {findings:#?}");
        }
    }
    assert!(several >= 3 && spared >= 3, "{several} packs hit several, {spared} spared some");
}

#[test]
fn a_lost_pack_names_all_that_rest_on_it_and_harms_no_others() {
    damage_each_pack(111, &Damage::Delete, &[Level::Presence, Level::Data]);
}

#[test]
fn a_halved_pack_names_all_that_rest_on_it_and_harms_no_others() {
    damage_each_pack(112, &Damage::Halve, &[Level::Presence, Level::Data]);
}

#[test]
fn a_flipped_bit_names_all_that_rest_on_it_and_harms_no_others() {
    for thousandths in [100, 700] {
        damage_each_pack(113, &Damage::Flip(thousandths), &[Level::Data]);
    }
}

/// Loses packs and backs the third night up once more: it is stored again, and restores.
fn heals(seed: u64, damage: &Damage) {
    let nights = Nights::new(seed);
    let bytes = nights.made[2].1.clone();
    for (number, name) in names(&nights.fixture.store, "packs").into_iter().enumerate() {
        let warm = number % 2 == 0;
        let when = format!("{}: {name}, warm cache: {warm}", damage.label());
        let fixture = nights.fixture.twin();
        damage.inflict(&fixture.store, &name);
        let fixture = if warm { fixture } else { fixture.elsewhere() };
        let was_hit = nights.unrestorable(&fixture).contains_key(&nights.made[2].0.id);
        let info = fixture.night(&bytes);
        let stored_again = info.snapshot.counts.bytes_added > 2_000;
        assert!(stored_again || !was_hit, "{when}: {:?}", info.snapshot.counts);
        assert!(!stored_again || was_hit || *damage != Damage::Delete, "{when}");
        let lost = nights.unrestorable(&fixture.elsewhere());
        assert!(!lost.contains_key(&nights.made[2].0.id), "{when}: {lost:?}");
        let restored = restore(&fixture.elsewhere().open(), &info).unwrap();
        assert!(restored == bytes, "{when}: the next night restores other bytes");
        let again = fixture.night(&bytes).snapshot.counts;
        assert_eq!(again.chunks_new, 0, "{when}: it is stored once more");
    }
}

#[test]
fn what_rested_on_a_lost_pack_is_stored_again() {
    heals(114, &Damage::Delete);
}

#[test]
fn what_rested_on_a_halved_pack_is_stored_again() {
    heals(115, &Damage::Halve);
}

#[test]
fn lost_index_objects_lose_no_chain() {
    let nights = Nights::new(116);
    let before = status(&nights.fixture.open()).unwrap().depths;
    for name in names(&nights.fixture.store, "index") {
        nights.fixture.store.delete(&name).unwrap();
    }
    for fixture in [nights.fixture.clone(), nights.fixture.elsewhere()] {
        assert_eq!(nights.unrestorable(&fixture).len(), nights.made.len());
        let report = sync::rebuild_from_packs(&fixture.open()).unwrap();
        assert_eq!(report.findings, [""; 0]);
        assert_eq!(status(&fixture.open()).unwrap().depths, before);
        assert!(nights.unrestorable(&fixture).is_empty());
        assert_eq!(nights.verify(&fixture, Level::Data), []);
    }
    // Nobody may rely on packs that are not listed: the next night stands on its own.
    let bytes = touched(&nights.made[4].1, 6);
    let info = nights.fixture.night(&bytes);
    assert!(restore(&nights.fixture.elsewhere().open(), &info).unwrap() == bytes);
    let chains = Chains::of(&nights.fixture.open());
    let all: Vec<_> = chains.all().map(|stored| stored.entry.id).collect();
    assert_eq!(chains.support(&all).missing, []);
}

#[test]
fn a_base_that_is_damaged_fails_no_backup() {
    let nights = Nights::new(117);
    let next = touched(&nights.made[4].1, 7);
    for name in names(&nights.fixture.store, "packs") {
        for damage in [Damage::Delete, Damage::Halve, Damage::Flip(300), Damage::Flip(700)] {
            let fixture = nights.fixture.twin();
            damage.inflict(&fixture.store, &name);
            let info = fixture.night(&next);
            // A bit that flipped is not looked for: what is the same as last night may rest on it.
            let restored = restore(&fixture.elsewhere().open(), &info);
            match restored {
                Ok(bytes) => assert!(bytes == next, "{}: {name}", damage.label()),
                Err(error) => {
                    let flipped = matches!(damage, Damage::Flip(_));
                    assert!(flipped && error.is_damage(), "{}: {name}: {error}", damage.label());
                }
            }
            assert!(info.snapshot.counts.chunks_delta > 0, "{}: {name}", damage.label());
        }
    }
}

#[test]
fn new_chunks_never_rest_on_a_base_that_is_damaged() {
    let nights = Nights::new(118);
    // Not one chunk is the same as any night before.
    let next = touched(&touched(&nights.made[4].1, 8), 9);
    for name in names(&nights.fixture.store, "packs") {
        let fixture = nights.fixture.twin();
        Damage::Flip(500).inflict(&fixture.store, &name);
        let info = fixture.night(&next);
        let known = info.snapshot.counts.chunks - info.snapshot.counts.chunks_new;
        let restored = restore(&fixture.elsewhere().open(), &info);
        assert!(known > 0 || restored.unwrap() == next, "{name}");
    }
}

#[test]
fn a_damaged_snapshot_object_fails_no_backup() {
    let nights = Nights::new(119);
    let next = touched(&nights.made[4].1, 10);
    let last = ObjectName::Snapshot(nights.made[4].0.id).to_string();
    for damage in [Damage::Delete, Damage::Halve, Damage::Empty, Damage::Flip(500)] {
        for fixture in [nights.fixture.twin().elsewhere(), nights.fixture.twin()] {
            damage.inflict(&fixture.store, &last);
            let info = fixture.night(&next);
            assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == next);
            // Sketches find what the previous snapshot does not tell.
            assert!(info.snapshot.counts.chunks_delta > 0, "{:?}", info.snapshot.counts);
        }
    }
}

#[test]
fn a_local_index_that_is_discarded_midway_fails_no_backup() {
    let fixture = Fixture::new(120);
    let mut model = Model::default();
    let first = dump(1, 3 << 20);
    model.insert(&fixture.night(&first), &first);
    let second = touched(&first, 2);
    fixture.world.sleep_until_next_night();
    let repository = fixture.open();
    let (before, after) = second.split_at(2 << 20);
    let info = create_snapshot(&repository, &request("dump"), &Progress::default(), |feeder| {
        let mut before = before;
        let mut halfway = Halfway { repository: &repository, done: false };
        let mut reader =
            std::io::Read::chain(std::io::Read::chain(&mut before, &mut halfway), after);
        feeder.stream(FILE.as_bytes(), &mut reader, FILE)?;
        feeder.file(entry(FILE.as_bytes(), empty_file()))?;
        let source = nightjar_format::snapshot::Source::Stdin { name: FILE.into(), tar: false };
        Ok::<Fed, RepositoryError>(Fed { source, unreadable: 0 })
    })
    .unwrap();
    assert!(info.snapshot.counts.chunks_delta > 100, "{:?}", info.snapshot.counts);
    model.insert(&info, &second);
    model.check(&fixture.open(), None, "same machine");
    model.check(&fixture.elsewhere().open(), None, "elsewhere");
    let next = back_up(&fixture.open(), &second).unwrap();
    assert_eq!(next.snapshot.counts.chunks_new, 0);
}

/// Holds no bytes; whoever reads it loses the local index.
struct Halfway<'a> {
    repository: &'a nightjar_repository::Repository,
    done: bool,
}

impl std::io::Read for Halfway<'_> {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        if !std::mem::replace(&mut self.done, true) {
            sync::discard(self.repository).unwrap();
        }
        Ok(0)
    }
}

#[test]
fn nothing_new_rests_on_a_condemned_pack() {
    let fixture = Fixture::new(122);
    let first = dump(1, 1_000_000);
    fixture.night(&first);
    let condemned = names(&fixture.store, "packs");
    let second = touched(&first, 2);
    let counts = fixture.night(&second).snapshot.counts;
    assert!(counts.chunks_delta > 40, "{counts:?}");
    let packs = condemned.iter().map(|name| match ObjectName::parse(name) {
        Some(ObjectName::Pack(id)) => id,
        other => panic!("{other:?}"),
    });
    let body = LedgerBody::Condemn { packs: packs.collect() };
    ledger::append(&fixture.open(), &body).unwrap();
    // As last night, and partly resembling it.
    let third = [&second[..500_000], &touched(&second, 3)[500_000..]].concat();
    let info = fixture.night(&third);
    for name in &condemned {
        fixture.store.delete(name).unwrap();
    }
    for fixture in [fixture.elsewhere(), fixture] {
        assert!(restore(&fixture.open(), &info).unwrap() == third);
    }
}
