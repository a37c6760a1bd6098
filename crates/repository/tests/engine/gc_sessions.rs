//! Whom a collector waits for, and whom it ends.

use nightjar_format::ledger::LedgerBody;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Source;
use nightjar_repository::gc::GcRequest;
use nightjar_repository::ingest::{Fed, create_snapshot};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, Repository, RepositoryError, ledger, slots};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{FILE, Fixture, empty_file, entry, request, restore};
use nightjar_testkit::generate::dump;

use crate::gc::{assert_sound, collected, forgotten, thorough};

/// A backup in the middle of which something else happens.
pub(crate) fn back_up_while(
    repository: &Repository,
    bytes: &[u8],
    meanwhile: impl FnOnce(),
) -> Result<SnapshotInfo, RepositoryError> {
    create_snapshot(repository, &request("dump"), &Progress::default(), |feeder| {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        feeder.stream(b"begin", &mut &*first, "begin")?;
        feeder.file(entry(b"begin", empty_file()))?;
        meanwhile();
        feeder.stream(FILE.as_bytes(), &mut &*second, FILE)?;
        feeder.file(entry(FILE.as_bytes(), empty_file()))?;
        Ok::<Fed, RepositoryError>(Fed {
            source: Source::Stdin { name: FILE.into(), tar: false },
            unreadable: 0,
        })
    })
}

/// A night that is stored and forgotten: all of it is to go.
fn forgotten_night(seed: u64) -> (Fixture, Vec<u8>) {
    let fixture = Fixture::new(seed);
    let bytes = dump(seed, 900_000);
    let info = fixture.night(&bytes);
    forgotten(&fixture, &[&info]);
    (fixture, bytes)
}

#[test]
fn a_backup_that_relies_on_what_is_to_go_is_waited_for() {
    let (fixture, bytes) = forgotten_night(221);
    let other = fixture.elsewhere();
    let info = back_up_while(&fixture.open(), &bytes, || {
        let report = collected(&other, &thorough());
        assert_eq!((report.rounds, report.waiting.len(), report.swept.packs), (0, 1, 0));
        let waiting = &report.waiting[0];
        assert!(!waiting.host.is_empty() && waiting.silent < 3_600_000_000_000, "{waiting:?}");
        let again = collected(&other, &thorough());
        assert!(again.resumed && again.waiting[0].session == waiting.session, "{again:?}");
    })
    .unwrap();
    let counts = info.snapshot.counts;
    assert!(counts.chunks_new * 4 < counts.chunks, "it relied on nothing");
    let report = collected(&other, &thorough());
    assert!(report.resumed && report.waiting.is_empty() && report.moved_blobs > 0, "{report:?}");
    assert!(restore(&fixture.open(), &info).unwrap() == bytes);
    assert_sound(&other, &[(info, bytes)]);
}

#[test]
fn a_backup_that_began_after_packs_were_condemned_stores_again_and_is_not_waited_for() {
    let (fixture, bytes) = forgotten_night(222);
    let other = fixture.elsewhere();
    // Another writer keeps the round open.
    let unrelated = back_up_while(&other.elsewhere().open(), &dump(1222, 200_000), || {
        assert_eq!(collected(&other, &thorough()).waiting.len(), 1);
        let mut reports = Vec::new();
        let info = back_up_while(&fixture.open(), &bytes, || {
            reports.push(collected(&other, &thorough()).waiting.len());
        });
        assert!(info.unwrap().snapshot.counts.chunks_new > 10, "it relied on what is to go");
        assert_eq!(reports, [1], "it is waited for");
    });
    unrelated.unwrap();
    let report = collected(&other, &thorough());
    assert_eq!((report.waiting.len(), report.moved_blobs), (0, 0), "{report:?}");
    assert!(report.swept.packs > 0);
    assert_sound(&fixture, &[]);
}

/// What is alive in packs that are to go was copied before they were condemned.
#[test]
fn a_backup_that_began_after_packs_were_condemned_finds_what_stays() {
    let fixture = Fixture::new(228);
    let (old, new) = (dump(228, 2_000_000), dump(1228, 400_000));
    let first = fixture.night(&old);
    let bytes = [&old[..1_000_000], &new].concat();
    let kept = fixture.night(&bytes);
    forgotten(&fixture, &[&first]);
    let other = fixture.elsewhere();
    // Another writer keeps the round open.
    let unrelated = back_up_while(&other.elsewhere().open(), &dump(2228, 200_000), || {
        let report = collected(&other, &thorough());
        assert!(report.waiting.len() == 1 && report.moved_blobs > 5, "{report:?}");
        assert!(!ledger::read(&other.open()).unwrap().state.condemned.is_empty());
        assert_eq!(fixture.night(&bytes).snapshot.counts.chunks_new, 0);
    });
    unrelated.unwrap();
    let report = collected(&other, &thorough());
    assert!(report.resumed && report.waiting.is_empty() && report.moved_blobs == 0, "{report:?}");
    assert!(report.swept.packs > 0);
    assert_sound(&fixture, &[(kept, bytes)]);
}

#[test]
fn a_writer_that_was_taken_for_dead_cannot_commit() {
    let (fixture, bytes) = forgotten_night(223);
    let other = fixture.elsewhere();
    let failed = back_up_while(&fixture.open(), &bytes, || {
        let report = collected(&other, &GcRequest { session_timeout: 0, ..thorough() });
        assert!(report.waiting.is_empty() && report.swept.packs > 0, "{report:?}");
    });
    let error = failed.unwrap_err();
    assert!(matches!(error, RepositoryError::Fenced { .. }), "{error}");
    collected(&other, &thorough());
    assert_sound(&fixture, &[]);
    let info = fixture.night(&bytes);
    assert_sound(&fixture, &[(info, bytes)]);
}

#[test]
fn a_backup_beside_a_collector_completes() {
    let fixture = Fixture::new(224);
    let bytes = dump(224, 900_000);
    let kept = fixture.night(&bytes);
    let other_bytes = dump(1224, 900_000);
    forgotten(&fixture, &[&fixture.night(&other_bytes)]);
    let other = fixture.elsewhere();
    let tonight = touched(&bytes, 1);
    let info = back_up_while(&fixture.open(), &tonight, || {
        collected(&other, &thorough());
    })
    .unwrap();
    collected(&other, &thorough());
    assert_sound(&fixture, &[(kept, bytes), (info, tonight)]);
}

#[test]
fn two_collectors_do_not_harm_each_other() {
    let (fixture, bytes) = forgotten_night(225);
    let kept = fixture.night(&touched(&bytes, 1));
    let other = fixture.elsewhere();
    let fixtures = [&fixture, &other];
    std::thread::scope(|scope| {
        for fixture in fixtures {
            scope.spawn(|| collected(fixture, &thorough()));
        }
    });
    collected(&fixture, &thorough());
    assert_sound(&other, &[(kept, touched(&bytes, 1))]);
}

#[test]
fn a_round_that_a_write_slot_forges_is_void() {
    use nightjar_format::object::ObjectName;
    use nightjar_format::slot::Role;
    use nightjar_testkit::damage::names;
    use nightjar_testkit::insider::Insider;
    let fixture = Fixture::new(226);
    let bytes = dump(226, 900_000);
    let kept = fixture.night(&bytes);
    fixture.add_slot(Role::Write, "the writer's");
    let listed = names(&fixture.store, "packs");
    let packs = listed.iter().filter_map(|name| match ObjectName::parse(name)? {
        ObjectName::Pack(id) => Some(id),
        _ => None,
    });
    let packs: Vec<_> = packs.collect();
    let writer = fixture.open_with("the writer's").unwrap();
    let refused = ledger::append(&writer, &LedgerBody::Condemn { packs });
    assert!(refused.is_err());
    // With the raw keys it can write the records; nobody obeys them.
    let slot = writer.keychain().slot();
    let before = ledger::read(&fixture.open()).unwrap().head.number;
    Insider::open(&fixture, slot, "the writer's").forge_round(&fixture.open());
    let after = ledger::read(&fixture.open()).unwrap();
    assert_eq!((after.head.number, after.findings.len()), (before + 2, 2), "{:?}", after.findings);
    let report = collected(&fixture, &thorough());
    assert_eq!((report.swept.packs, report.rounds), (0, 0), "{report:?}");
    assert!(restore(&fixture.elsewhere().open(), &kept).unwrap() == bytes);
}

/// Who fenced it had keys that it has not.
#[test]
fn a_backup_that_is_fenced_after_the_keys_changed_is_told_so() {
    let (fixture, bytes) = forgotten_night(229);
    let slot = fixture.add_slot(Role::Write, "somebody who leaves");
    let other = fixture.elsewhere();
    let outcome = back_up_while(&fixture.open(), &bytes, || {
        slots::remove(&mut other.open(), slot).unwrap();
        let report = collected(&other, &GcRequest { session_timeout: 0, ..thorough() });
        assert_eq!(report.waiting, []);
    });
    assert!(matches!(outcome, Err(RepositoryError::KeysChanged)), "{outcome:?}");
    assert_sound(&other, &[]);
}
