//! Night after night of edits: every night comes back as it was, and chains stay within bounds.

use std::cell::Cell;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use nightjar_format::BlobId;
use nightjar_format::blob::BlobKind;
use nightjar_repository::ingest::{DeltaParameters, SnapshotRequest};
use nightjar_repository::status::status;
use nightjar_testkit::chains::Chains;
use nightjar_testkit::damage::names;
use nightjar_testkit::edits::{Edit, grown, touched};
use nightjar_testkit::fixture::{Fixture, back_up_from, request, restore};
use nightjar_testkit::generate::{Rng, dump, noise};
use nightjar_testkit::model::verify_all;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const KIB: usize = 1 << 10;

fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// The dumps that nights begin with.
fn bases() -> [(&'static str, Vec<u8>); 3] {
    [
        ("a dump", dump(1, 700 * KIB)),
        ("noise", noise(1, 500 * KIB)),
        ("both", [dump(2, 300 * KIB), noise(2, 200 * KIB), dump(3, 200 * KIB)].concat()),
    ]
}

/// How many blobs are stored at each depth.
fn depths(fixture: &Fixture) -> Vec<u64> {
    status(&fixture.open()).unwrap().depths
}

/// A series of nights, each with these edits, restored as it goes and all again at the end. How
/// many chunks were stored as deltas, and the greatest depth.
fn live_through(fixture: &Fixture, base: &[u8], nights: &[Vec<Edit>], seed: u64) -> (u64, usize) {
    let mut rng = Rng::new(seed);
    let mut bytes = base.to_vec();
    let mut made = vec![(fixture.night(&bytes), bytes.clone())];
    for (number, edits) in nights.iter().enumerate() {
        edits.iter().for_each(|edit| edit.apply(&mut bytes, &mut rng));
        bytes.truncate(900 * KIB);
        let info = fixture.night(&bytes);
        for (cache, fixture) in [("warm", fixture.clone()), ("fresh", fixture.elsewhere())] {
            let restored = restore(&fixture.open(), &info).unwrap();
            assert!(restored == bytes, "night {number}, {cache} cache: other bytes");
        }
        made.push((info, bytes.clone()));
    }
    let elsewhere = fixture.elsewhere();
    for (number, (info, bytes)) in made.iter().enumerate() {
        assert!(restore(&elsewhere.open(), info).unwrap() == *bytes, "night {number} at last");
    }
    assert_eq!(verify_all(&elsewhere.open()).unwrap().findings, []);
    (
        made.iter().map(|(info, _)| info.snapshot.counts.chunks_delta).sum(),
        depths(fixture).len() - 1,
    )
}

#[test]
fn any_nights_of_edits_come_back_bit_for_bit() {
    let edit = any::<u64>().prop_map(|seed| Edit::any(&mut Rng::new(seed)));
    let strategy = (0..3usize, vec(vec(edit, 0..4), 20..24), any::<u64>());
    let (deltas, deepest) = (Cell::new(0), Cell::new(0));
    let outcome = runner(3).run(&strategy, |(base, nights, seed)| {
        let (_, base) = &bases()[base];
        let (made, depth) = live_through(&Fixture::new(seed), base, &nights, seed);
        deltas.set(deltas.get() + made);
        deepest.set(deepest.get().max(depth));
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(deltas.get() > 500, "only {} chunks were stored as deltas", deltas.get());
    assert!((6..=32).contains(&deepest.get()), "the greatest depth was {}", deepest.get());
}

#[test]
fn rows_that_change_everywhere_each_night_are_stored_as_deltas_of_deltas() {
    for (what, base) in bases() {
        let fixture = Fixture::new(101);
        let mut bytes = base;
        fixture.night(&bytes);
        for night in 1..=36 {
            bytes = touched(&bytes, night);
            let counts = fixture.night(&bytes).snapshot.counts;
            assert!(counts.chunks_new > 20, "{what}, night {night}: {counts:?}");
            let share = counts.chunks_delta * 100 / counts.chunks_new;
            assert!(share > 60, "{what}, night {night}: {counts:?}");
        }
        let depths = depths(&fixture);
        assert!((8..=33).contains(&depths.len()), "{what}: {depths:?}");
        let last = fixture.night(&bytes);
        assert!(restore(&fixture.elsewhere().open(), &last).unwrap() == bytes, "{what}");
    }
}

fn with_delta(delta: Option<DeltaParameters>) -> SnapshotRequest {
    SnapshotRequest { delta, ..request("dump") }
}

/// Nights of every kind of edit, stored as the parameters say.
fn nights_with(parameters: DeltaParameters, nights: u64) -> Fixture {
    let fixture = Fixture::new(102);
    let mut bytes = [dump(4, 500 * KIB), noise(4, 300 * KIB)].concat();
    let mut rng = Rng::new(102);
    for night in 0..nights {
        let info = fixture.night_as(&with_delta(Some(parameters)), &bytes);
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes, "night {night}");
        bytes = match night % 3 {
            0 => touched(&bytes, night),
            1 => grown(&bytes, night),
            _ => bytes,
        };
        Edit::any(&mut rng).apply(&mut bytes, &mut rng);
    }
    fixture
}

#[test]
fn no_chain_is_deeper_than_the_run_allows() {
    for depth in 0..=3 {
        let fixture = nights_with(DeltaParameters { depth, ..DeltaParameters::default() }, 9);
        let depths = depths(&fixture);
        // Not less either: the bound is what stops them.
        assert_eq!(depths.len(), usize::from(depth) + 1, "{depths:?}");
    }
}

/// The rules of chapter 3, worked out for every delta of a data pack.
fn assert_bounds_hold(fixture: &Fixture, parameters: DeltaParameters) {
    let chains = Chains::of(&fixture.open());
    let mut several_bases = 0;
    for stored in chains.deltas() {
        let bases = stored.entry.encoding.bases();
        several_bases += usize::from(bases.len() > 1);
        let below = chains.support(bases);
        assert_eq!(below.missing, Vec::<BlobId>::new(), "a base is nowhere");
        assert!(below.blobs.values().all(|base| base.kind == stored.kind), "bases of another kind");
        let depth = below.blobs.values().map(|base| base.entry.encoding.depth()).max().unwrap();
        assert_eq!(stored.entry.encoding.depth(), depth + 1, "{:?}", stored.entry);
        assert!(stored.entry.encoding.depth() <= parameters.depth, "{:?}", stored.entry);
        // The tag is not the delta's.
        let deltas = below.stored_bytes(false) + u64::from(stored.entry.stored_len) - 16;
        let room = below.stored_bytes(true) * u64::from(parameters.chain_percent) / 100;
        assert!(deltas <= room, "deltas of {deltas} bytes where {room} may be: {:?}", stored.entry);
        let most = 4 * usize::from(parameters.depth);
        assert!(below.blobs.len() < most, "it rests on {} blobs", below.blobs.len());
    }
    assert!(several_bases > 0, "no delta has several bases");
}

#[test]
fn the_deltas_of_a_chain_take_no_more_than_the_run_allows() {
    for chain_percent in [5, 30, 100] {
        let parameters = DeltaParameters { chain_percent, ..DeltaParameters::default() };
        let fixture = nights_with(parameters, 12);
        assert!(depths(&fixture).len() > 2, "{:?}", depths(&fixture));
        assert_bounds_hold(&fixture, parameters);
    }
    let parameters = DeltaParameters { chain_percent: 0, ..DeltaParameters::default() };
    assert_eq!(depths(&nights_with(parameters, 3)).len(), 1);
}

#[test]
fn the_supports_of_rows_that_grow_each_night_stay_bounded() {
    let fixture = Fixture::new(103);
    let mut bytes = dump(5, 600 * KIB);
    for night in 0..30 {
        fixture.night(&bytes);
        bytes = grown(&bytes, night);
    }
    assert_bounds_hold(&fixture, DeltaParameters::default());
}

#[test]
fn without_deltas_there_are_neither_deltas_nor_sketches() {
    let fixture = Fixture::new(104);
    let mut bytes = dump(6, 600 * KIB);
    for night in 0..4 {
        let info = fixture.night_as(&with_delta(None), &bytes);
        let counts = info.snapshot.counts;
        assert_eq!((counts.chunks_delta, counts.bytes_read_back), (0, 0), "{counts:?}");
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
        bytes = touched(&bytes, night);
    }
    assert_eq!(depths(&fixture).len(), 1);
    let sketched = |fixture: &Fixture| {
        let chains = Chains::of(&fixture.open());
        chains.all().filter(|stored| stored.entry.sketch != [0; 3]).count()
    };
    assert_eq!(sketched(&fixture), 0);
    // The next night makes deltas of what it finds at the same place.
    let info = fixture.night(&touched(&bytes, 9));
    assert!(info.snapshot.counts.chunks_delta > 0, "{:?}", info.snapshot.counts);
    assert!(sketched(&fixture) > 0);
}

/// Waits before its second part until the first has left packs, and the run knows.
struct InTwoParts<'a> {
    fixture: &'a Fixture,
    parts: [&'a [u8]; 2],
    waited: bool,
}

impl Read for InTwoParts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.parts[0].is_empty() {
            return self.parts[0].read(buffer);
        }
        while !self.waited {
            self.waited = names(&self.fixture.store, "packs").len() >= 3;
            thread::sleep(Duration::from_millis(200));
        }
        self.parts[1].read(buffer)
    }
}

#[test]
fn a_run_makes_deltas_of_what_it_stored_itself() {
    let fixture = Fixture::new(106);
    let rows = dump(8, 16 << 20);
    let again = touched(&rows[..1 << 20], 1);
    let mut reader = InTwoParts { fixture: &fixture, parts: [&rows, &again], waited: false };
    let info = back_up_from(&fixture.open(), &mut reader).unwrap();
    assert!(info.snapshot.counts.chunks_delta > 30, "{:?}", info.snapshot.counts);
    let bytes = [rows.as_slice(), &again].concat();
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
    assert_eq!(verify_all(&fixture.elsewhere().open()).unwrap().findings, []);
}

#[test]
fn no_node_has_a_sketch_and_nodes_are_deltas_of_nodes() {
    let fixture = Fixture::new(105);
    let mut bytes = dump(7, 1500 * KIB);
    for night in 0..6 {
        fixture.night(&bytes);
        bytes = touched(&bytes, night);
        bytes.extend(dump(night, 40 * KIB));
    }
    let chains = Chains::of(&fixture.open());
    let nodes = || chains.all().filter(|stored| stored.kind == BlobKind::Tree);
    assert!(nodes().all(|node| node.entry.sketch == [0; 3]));
    assert!(nodes().any(|node| node.entry.encoding.depth() > 0), "no node is a delta");
}
