//! What deltas save, and what trying them costs where they save nothing.

use nightjar_codec::compress::encode_verified;
use nightjar_format::blob::BlobKind;
use nightjar_format::manifest::{
    Content, ContentRef, DirectoryNode, EntryKind, FileContent, ListNode,
};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::snapshot::{Register, Source};
use nightjar_format::{BlobId, SessionId, record};
use nightjar_repository::ingest::{DeltaParameters, Fed, SnapshotRequest, create_snapshot};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{FILE, Fixture, empty_file, entry, request, restore};
use nightjar_testkit::generate::{dump, noise};
use nightjar_testkit::insider::{HandMade, Insider};

const MIB: usize = 1 << 20;

fn with_delta(delta: Option<DeltaParameters>) -> SnapshotRequest {
    SnapshotRequest { delta, ..request("dump") }
}

/// A directory of thousands of files, each with a chunk of its own; from this one on, `revision`
/// decides one file's owner.
fn large_directory(
    fixture: &Fixture,
    delta: Option<DeltaParameters>,
    revision: u32,
) -> SnapshotInfo {
    fixture.world.sleep_until_next_night();
    let changed = u64::from(revision) * 700 % 4000;
    create_snapshot(&fixture.open(), &with_delta(delta), &Progress::default(), |feeder| {
        for number in 0..4000u64 {
            let name = format!("{number:05}");
            feeder.stream(name.as_bytes(), &mut noise(number, 24).as_slice(), "a file")?;
            let mut file = entry(name.as_bytes(), empty_file());
            file.uid += if number == changed { revision } else { 0 };
            feeder.file(file)?;
        }
        Ok::<Fed, RepositoryError>(Fed { source: Source::Paths { paths: vec![] }, unreadable: 0 })
    })
    .unwrap()
}

#[test]
fn a_large_directory_with_one_changed_entry_adds_little() {
    let added = |delta| {
        let fixture = Fixture::new(181);
        large_directory(&fixture, delta, 0);
        let nights = (1..8).map(|revision| {
            let info = large_directory(&fixture, delta, revision);
            assert_eq!(info.snapshot.counts.chunks_new, 0);
            info
        });
        let nights: Vec<SnapshotInfo> = nights.collect();
        assert_names_and_owners(&fixture, nights.last().unwrap());
        nights.iter().map(|info| info.snapshot.counts.bytes_added).sum::<u64>()
            / nights.len() as u64
    };
    let (without, with) = (added(None), added(Some(DeltaParameters::default())));
    assert!(with * 3 < without, "{with} bytes a night with deltas, {without} without");
}

fn assert_names_and_owners(fixture: &Fixture, last: &SnapshotInfo) {
    let repository = fixture.elsewhere().open();
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    let mut walk = TreeWalk::new(last.snapshot.root);
    let (mut count, mut changed) = (0, 0);
    while let Some(visited) = walk.next(&reader).unwrap() {
        assert_eq!(visited.path, format!("{count:05}").into_bytes());
        count += 1;
        changed += visited.entry.uid - 1000;
    }
    assert_eq!((count, changed), (4000, 7));
}

#[test]
fn a_long_list_of_chunks_that_changes_everywhere_adds_a_fraction() {
    let stored = |delta| {
        let fixture = Fixture::new(182);
        let bytes = dump(1, 6 * MIB);
        fixture.night_as(&with_delta(delta), &bytes);
        let bytes = touched(&bytes, 1);
        let info = fixture.night_as(&with_delta(delta), &bytes);
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
        info.snapshot.counts.bytes_added
    };
    let (without, with) = (stored(None), stored(Some(DeltaParameters::default())));
    assert!(with * 15 < without, "{with} bytes with deltas, {without} without");
}

#[test]
fn noise_that_is_new_each_night_makes_no_deltas_and_soon_tries_few() {
    let fixture = Fixture::new(183);
    let mut read_back = Vec::new();
    for night in 0..3u64 {
        let counts = fixture.night(&noise(night, 100 * MIB)).snapshot.counts;
        assert_eq!(counts.chunks_delta, 0, "night {night}");
        read_back.push(counts.bytes_read_back);
    }
    // What is under way when it is noticed was tried; after that, one chunk in hundreds.
    let most = 30 * MIB as u64;
    assert!(read_back.iter().all(|bytes| *bytes < most), "read back: {read_back:?}");
    assert!(read_back[1] > 0, "nothing was tried: {read_back:?}");
}

#[test]
fn a_dump_behind_noise_is_still_stored_as_deltas() {
    // Doubt does not last: now and then a chunk is tried, and what succeeds ends it.
    let fixture = Fixture::new(184);
    let rows = dump(2, 64 * MIB);
    fixture.night(&[noise(1, 16 * MIB), rows.clone()].concat());
    let info = fixture.night(&[noise(2, 16 * MIB), touched(&rows, 1)].concat());
    let counts = info.snapshot.counts;
    let share = counts.bytes_delta * 100 / rows.len() as u64;
    assert!(share > 40, "{share} %: {counts:?}");
}

#[test]
fn chains_that_are_full_do_not_spoil_what_stands_beside_them() {
    // Where no more deltas may be made, no delta shows that tonight resembles last night.
    let fixture = Fixture::new(185);
    let parameters = Some(DeltaParameters { depth: 1, ..DeltaParameters::default() });
    let (full, fresh) = (dump(3, 6 * MIB), dump(4, 2 * MIB));
    fixture.night_as(&with_delta(parameters), &full);
    let full = touched(&full, 1);
    fixture.night_as(&with_delta(parameters), &[full.clone(), fresh.clone()].concat());
    let bytes = [touched(&full, 2), touched(&fresh, 2)].concat();
    let info = fixture.night_as(&with_delta(parameters), &bytes);
    let counts = info.snapshot.counts;
    assert!(counts.chunks_delta > 80, "{counts:?}");
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
}

/// A tree blob, raw.
fn node(insider: &Insider, plaintext: &[u8]) -> HandMade {
    let id = insider.identifier().blob_id(BlobKind::Tree, plaintext);
    HandMade { id, raw_len: plaintext.len(), payload: encode_verified(plaintext, 3) }
}

#[test]
fn a_list_of_empty_chunks_does_not_hold_up_the_next_night() {
    // Whoever holds any slot can commit such a snapshot.
    let fixture = Fixture::new(186);
    let bytes = dump(5, 300_000);
    let honest = fixture.night(&bytes);
    let insider = Insider::first(&fixture);
    let session = SessionId([3; 16]);
    let nobody = ContentRef { id: BlobId([9; 32]), length: 0 };
    let leaf = node(&insider, &record::encode(&ListNode::new(0, vec![nobody; 2048])));
    let refs = vec![ContentRef { id: leaf.id, length: 0 }; 400];
    let list = node(&insider, &record::encode(&ListNode::new(1, refs)));
    let content = Content::List { id: list.id };
    let file = FileContent { size: 0, content, holes: vec![], changed_while_read: false };
    let root = DirectoryNode::Leaf(vec![entry(FILE.as_bytes(), EntryKind::File(file))]);
    let root = node(&insider, &root.encode());
    let mut snapshot = honest.snapshot.clone();
    (snapshot.root, snapshot.started) = (root.id, snapshot.started + 1);
    let pack = insider.write_pack(BlobKind::Tree, session, &[leaf, list, root]);
    insider.write_index(session, vec![pack]);
    let name = ObjectName::Snapshot(session);
    insider.write(MetadataKind::Snapshot, &name, &Register::Committed(Box::new(snapshot)));

    let gets = |delta| {
        let twin = fixture.twin();
        let before = twin.store.counters().get;
        let info = twin.night_as(&with_delta(delta), &touched(&bytes, 1));
        assert!(restore(&twin.elsewhere().open(), &info).unwrap() == touched(&bytes, 1));
        twin.store.counters().get - before
    };
    let (without, with) = (gets(None), gets(request("dump").delta));
    assert!(with < without + 150, "{with} requests, {without} without deltas");
}
