//! What a write slot, which can read no data pack, makes deltas of: what it wrote itself, on the
//! machine that wrote it.

use nightjar_format::repository::ChunkerParameters;
use nightjar_format::slot::Role;
use nightjar_repository::NewRepository;
use nightjar_repository::ingest::SnapshotRequest;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, back_up_as, parameters, request, restore};
use nightjar_testkit::generate::{dump, noise};

use crate::copies::{bytes_of, directory};
use crate::deltas::in_time;

const WRITER: &str = "the writer's passphrase";

fn write_night(fixture: &Fixture, bytes: &[u8]) -> SnapshotInfo {
    fixture.world.sleep_until_next_night();
    let writer = fixture.open_with(WRITER).unwrap();
    let info = back_up_as(&writer, &request("dump"), &mut &*bytes).unwrap();
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
    info
}

fn both_stores(seed: u64) -> [Fixture; 2] {
    [Fixture::new(seed), Fixture::new(seed + 1).remote()].map(|fixture| {
        fixture.add_slot(Role::Write, WRITER);
        fixture
    })
}

#[test]
fn a_write_slot_makes_deltas_of_what_it_wrote_itself() {
    for fixture in both_stores(172) {
        let mut bytes = dump(9, 2 << 20);
        assert_eq!(write_night(&fixture, &bytes).snapshot.counts.chunks_delta, 0);
        for number in 0..3 {
            bytes = touched(&bytes, number);
            let counts = write_night(&fixture, &bytes).snapshot.counts;
            let url = fixture.store.url();
            assert!(counts.chunks_delta * 10 > counts.chunks_new * 9, "{url}: {counts:?}");
        }
        // Where the store is at hand, keys are enough.
        let taken = bytes_of(&directory(&fixture));
        assert_eq!(taken > 100_000, fixture.store.is_remote(), "{taken}");
    }
}

#[test]
fn a_write_slot_without_its_cache_makes_none_and_does_not_fail() {
    for fixture in both_stores(174) {
        let bytes = dump(10, 2 << 20);
        write_night(&fixture, &bytes);
        let elsewhere = fixture.elsewhere();
        let bytes = touched(&bytes, 1);
        assert_eq!(write_night(&elsewhere, &bytes).snapshot.counts.chunks_delta, 0);
        // From then on it knows what it wrote there.
        let counts = write_night(&elsewhere, &touched(&bytes, 2)).snapshot.counts;
        assert!(counts.chunks_delta > 20, "{counts:?}");
    }
}

#[test]
fn a_write_slot_makes_deltas_of_its_own_beside_what_others_wrote() {
    for fixture in both_stores(176) {
        let others = dump(11, 1 << 20);
        fixture.elsewhere().night(&others);
        // Now and then a stretch of its own between what another machine wrote.
        let weave = |mine: &[u8], others: &[u8]| {
            let woven = mine.chunks(200_000).zip(others.chunks(100_000));
            woven.flat_map(|(mine, others)| [mine, others].concat()).collect::<Vec<u8>>()
        };
        let mine = dump(12, 2 << 20);
        write_night(&fixture, &weave(&mine, &others));
        let bytes = weave(&touched(&mine, 1), &touched(&others, 1));
        let counts = write_night(&fixture, &bytes).snapshot.counts;
        let share = counts.chunks_delta * 100 / counts.chunks_new;
        assert!(share > 50, "{}: {share} %: {counts:?}", fixture.store.url());
    }
}

#[test]
fn a_write_slot_that_cannot_read_does_not_keep_asking() {
    let fixture = Fixture::new(178).remote();
    fixture.add_slot(Role::Write, WRITER);
    let bytes = dump(13, 24 << 20);
    fixture.night(&bytes);
    let elsewhere = fixture.elsewhere();
    elsewhere.world.sleep_until_next_night();
    let bytes = touched(&bytes, 1);
    let gets = |delta| {
        let twin = elsewhere.twin().remote();
        let writer = twin.open_with(WRITER).unwrap();
        let before = twin.store.counters().get;
        let request = SnapshotRequest { delta, ..request("dump") };
        back_up_as(&writer, &request, &mut bytes.as_slice()).unwrap();
        twin.store.counters().get - before
    };
    let (without, with) = (gets(None), gets(request("dump").delta));
    assert!(with <= without + 10, "{with} requests, {without} without deltas");
}

#[test]
fn a_write_slot_with_many_packs_on_their_way_is_not_held_up() {
    // What it may read is asked for each base while others note packs that became durable.
    let chunker = ChunkerParameters { min: 1 << 10, average: 4 << 10, max: 16 << 10 };
    let fixture = Fixture::with(182, &NewRepository { chunker, ..parameters() });
    fixture.add_slot(Role::Write, WRITER);
    let text = noise(14, 32 << 20);
    for night in 0..4u64 {
        // A third of every chunk is new each night: deltas, and packs full of them.
        let rows = text.chunks(3000).zip(0u64..);
        let bytes: Vec<u8> = rows
            .flat_map(|(row, number)| {
                [&row[row.len().min(1000)..], &noise(number << 8 | night, 1000)].concat()
            })
            .collect();
        let fixture = fixture.clone();
        in_time(move || {
            let writer = fixture.open_with(WRITER).unwrap();
            back_up_as(&writer, &request("dump"), &mut &*bytes).unwrap()
        });
    }
}
