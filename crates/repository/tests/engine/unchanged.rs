//! Files that have not changed are not read, as long as every blob below them can be relied on.

use nightjar_format::ledger::LedgerBody;
use nightjar_format::manifest::{Origin, Timestamp};
use nightjar_format::object::ObjectName;
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, FileState, create_snapshot};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError, ledger};
use nightjar_testkit::damage::names;
use nightjar_testkit::fixture::{Fixture, empty_file, entry, request, restore};
use nightjar_testkit::generate::noise;

const NAME: &[u8] = b"file";

/// Stores one file, which is read unless it is found unchanged.
fn night(fixture: &Fixture, content: &[u8]) -> SnapshotInfo {
    let origin = Origin { changed: Timestamp { seconds: 1000, nanoseconds: 0 }, inode: 7 };
    let mut entry = entry(NAME, empty_file());
    entry.origin = Some(origin);
    let state = FileState { size: content.len() as u64, modified: entry.modified, origin };
    create_snapshot(&fixture.open(), &request("files"), &Progress::default(), |feeder| {
        match feeder.find_unchanged(NAME, &state) {
            Some(known) => feeder.unchanged(known, true)?,
            None => {
                feeder.stream(NAME, &mut &*content, "file")?;
                feeder.file(entry)?;
            }
        }
        let source = Source::Paths { paths: vec![NAME.to_vec()] };
        Ok::<_, RepositoryError>(Fed { source, unreadable: 0 })
    })
    .unwrap()
}

#[test]
fn a_file_in_condemned_packs_is_read_again_and_stored_elsewhere() {
    // In a list, and right in its entry.
    for (seed, length) in [(131, 5_000_000), (132, 20_000)] {
        let fixture = Fixture::new(seed);
        let content = noise(seed, length);
        assert_eq!(night(&fixture, &content).snapshot.counts.files_unchanged, 0);
        let counts = night(&fixture, &content).snapshot.counts;
        assert_eq!((counts.files_unchanged, counts.bytes_read), (1, 0));

        let condemned = names(&fixture.store, "packs");
        let packs = condemned.iter().map(|name| match ObjectName::parse(name) {
            Some(ObjectName::Pack(id)) => id,
            other => panic!("{other:?}"),
        });
        let body = LedgerBody::Condemn { packs: packs.collect() };
        ledger::append(&fixture.open(), &body).unwrap();
        let info = night(&fixture, &content);
        let counts = info.snapshot.counts;
        assert_eq!((counts.files_unchanged, counts.bytes_read), (0, content.len() as u64));
        assert_eq!(counts.chunks_new, counts.chunks);
        for name in &condemned {
            fixture.store.delete(name).unwrap();
        }
        assert!(restore(&fixture.open(), &info).unwrap() == content);
        let counts = night(&fixture, &content).snapshot.counts;
        assert_eq!((counts.files_unchanged, counts.bytes_read), (1, 0));
    }
}
