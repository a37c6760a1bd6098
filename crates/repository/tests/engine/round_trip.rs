//! Any stream and any tree comes back as it was, and a small change stores little.

use std::collections::BTreeMap;
use std::io::{self, Read};

use nightjar_format::manifest::EntryKind;
use nightjar_format::repository::ChunkerParameters;
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, Feeder, create_snapshot};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::{NewRepository, Progress, Repository, RepositoryError};
use nightjar_testkit::fixture::{
    Fixture, back_up, back_up_from, cheap, empty_file, entry, parameters, request, restore,
};
use nightjar_testkit::generate::{Rng, dump, noise};
use nightjar_testkit::model::verify_all;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const MIB: usize = 1 << 20;

/// The same cases in every run; a failing one is shrunk and printed.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

#[derive(Debug, Clone)]
enum Piece {
    Zeros(usize),
    Noise(u64, usize),
    Dump(u64, usize),
    /// Whole chunks of the largest size.
    Chunks(u8, usize),
}

fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (0..MIB).prop_map(Piece::Zeros),
        (0..5u64, 0..MIB).prop_map(|(seed, len)| Piece::Noise(seed, len)),
        (0..5u64, 0..MIB).prop_map(|(seed, len)| Piece::Dump(seed, len)),
        (any::<u8>(), 0..16usize).prop_map(|(byte, count)| Piece::Chunks(byte, count)),
    ]
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Zeros(len) => vec![0; *len],
            Piece::Noise(seed, len) => noise(*seed, *len),
            Piece::Dump(seed, len) => dump(*seed, *len),
            Piece::Chunks(byte, count) => vec![*byte; count * parameters().chunker.max as usize],
        })
        .collect();
    parts.concat()
}

/// Gives its bytes in portions of any size, as pipes do.
struct Dribble<'a>(&'a [u8], Rng);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = 1 << self.1.below(18);
        let len = buffer.len().min(most).min(self.0.len());
        buffer[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        Ok(len)
    }
}

#[test]
fn any_stream_comes_back_bit_for_bit() {
    let fixture = Fixture::new(1);
    let strategy = (vec(piece(), 0..7), any::<u64>());
    let outcome = runner(32).run(&strategy, |(pieces, seed)| {
        fixture.world.sleep_until_next_night();
        let bytes = bytes(&pieces);
        let repository = fixture.open();
        let info = back_up_from(&repository, &mut Dribble(&bytes, Rng::new(seed))).unwrap();
        prop_assert_eq!(info.snapshot.counts.bytes_read, bytes.len() as u64);
        prop_assert!(restore(&repository, &info).unwrap() == bytes);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    let report = verify_all(&fixture.elsewhere().open()).unwrap();
    assert_eq!(report.findings, []);
}

#[test]
fn streams_at_the_edges_of_chunks_packs_and_segments_come_back() {
    let fixture = Fixture::new(2);
    let repository = fixture.open();
    let chunker = parameters().chunker;
    let edges = [0, 1, chunker.min as usize, chunker.max as usize, MIB, 2 * MIB, 6 * MIB];
    for edge in edges {
        for len in [edge.saturating_sub(1), edge, edge + 1] {
            for bytes in [vec![0; len], noise(len as u64, len), dump(3, len)] {
                let info = back_up(&repository, &bytes).unwrap();
                assert!(restore(&repository, &info).unwrap() == bytes, "{len} bytes");
            }
        }
    }
}

#[test]
fn a_long_run_of_zeros_is_stored_once() {
    let fixture = Fixture::new(3);
    let info = fixture.night(&vec![0; 40 * MIB]);
    assert!(info.snapshot.counts.chunks_new <= 2, "{:?}", info.snapshot.counts);
    assert!(info.snapshot.counts.bytes_added < 64 << 10, "{:?}", info.snapshot.counts);
    assert!(restore(&fixture.open(), &info).unwrap() == vec![0; 40 * MIB]);
}

/// Inserts, deletes or overwrites a few bytes somewhere.
fn edit(bytes: &[u8], rng: &mut Rng) -> (Vec<u8>, String) {
    let (place, len) = (rng.below(bytes.len() - 200), 1 + rng.below(100));
    let patch = noise(rng.next_u64(), len);
    let (kind, removed, inserted): (_, _, &[u8]) = match rng.below(3) {
        0 => ("insert", 0, &patch),
        1 => ("delete", len, &[]),
        _ => ("overwrite", len, &patch),
    };
    let edited = [&bytes[..place], inserted, &bytes[place + removed..]].concat();
    (edited, format!("{kind} {len} bytes at {place}"))
}

#[test]
fn a_small_edit_stores_few_new_chunks() {
    let fixture = Fixture::with(4, &NewRepository { argon2: cheap(), ..NewRepository::default() });
    let mut rng = Rng::new(4);
    for original in [noise(5, 20 * MIB), dump(5, 20 * MIB)] {
        let first = fixture.night(&original);
        assert!(first.snapshot.counts.chunks > 100, "{:?}", first.snapshot.counts);
        for _ in 0..8 {
            let (edited, what) = edit(&original, &mut rng);
            let info = fixture.night(&edited);
            let counts = info.snapshot.counts;
            assert!((1..=6).contains(&counts.chunks_new), "{what}: {counts:?}");
            assert!(restore(&fixture.open(), &info).unwrap() == edited, "{what}");
        }
    }
}

#[test]
fn the_manifest_of_a_long_stream_shares_its_nodes_with_last_nights() {
    let tiny = ChunkerParameters { min: 1 << 10, average: 4 << 10, max: 16 << 10 };
    let fixture = Fixture::with(6, &NewRepository { chunker: tiny, ..parameters() });
    let bytes = noise(6, 32 * MIB);
    let first = fixture.night(&bytes);
    // More chunks than a list node may have, so that there are several levels.
    assert!(first.snapshot.counts.chunks > 4096, "{:?}", first.snapshot.counts);
    assert!(restore(&fixture.open(), &first).unwrap() == bytes);
    let mut edited = bytes.clone();
    edited[16 * MIB] ^= 1;
    let second = fixture.night(&edited);
    let added = second.snapshot.counts.bytes_added;
    assert!(added < 150_000, "a changed byte added {added} bytes");
    let third = fixture.night(&edited);
    let added = third.snapshot.counts.bytes_added;
    assert!(added < 8_000, "an unchanged night added {added} bytes");
    assert!(restore(&fixture.elsewhere().open(), &third).unwrap() == edited);
}

#[test]
fn a_second_night_of_the_same_length_is_not_taken_for_the_first() {
    let fixture = Fixture::new(7);
    let (first, second) = (dump(1, MIB), dump(2, MIB));
    let infos = [fixture.night(&first), fixture.night(&second)];
    let repository = fixture.open();
    assert!(restore(&repository, &infos[0]).unwrap() == first);
    assert!(restore(&repository, &infos[1]).unwrap() == second);
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    File(Vec<u8>),
    Symlink(Vec<u8>),
    Fifo,
    Directory(BTreeMap<Vec<u8>, Node>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("not in names", |byte| !matches!(byte, 0 | b'/'));
    vec(byte, 1..20).prop_filter("not a name", |name| name != b"." && name != b"..")
}

fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => (0..9u64, 0..200_000usize).prop_map(|(seed, len)| Node::File(dump(seed, len))),
        1 => Just(Node::File(vec![])),
        1 => vec(any::<u8>(), 1..30).prop_map(Node::Symlink),
        1 => Just(Node::Fifo),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| btree_map(name(), inner, 0..8).prop_map(Node::Directory))
}

fn feed(feeder: &mut Feeder<'_>, name: &[u8], node: &Node) -> Result<(), RepositoryError> {
    match node {
        Node::File(bytes) => {
            feeder.stream(name, &mut bytes.as_slice(), "a file")?;
            feeder.file(entry(name, empty_file()))
        }
        Node::Symlink(target) => {
            feeder.other(entry(name, EntryKind::Symlink { target: target.clone() }))
        }
        Node::Fifo => feeder.other(entry(name, EntryKind::Fifo)),
        Node::Directory(entries) => {
            feeder.enter_directory(name)?;
            for (name, node) in entries {
                feed(feeder, name, node)?;
            }
            let root = nightjar_format::BlobId([0; 32]);
            feeder.leave_directory(entry(name, EntryKind::Directory { root }))
        }
    }
}

fn back_up_tree(repository: &Repository, top: &BTreeMap<Vec<u8>, Node>) -> Flat {
    let feed_all = |feeder: &mut Feeder<'_>| -> Result<Fed, RepositoryError> {
        for (name, node) in top {
            feed(feeder, name, node)?;
        }
        Ok(Fed { source: Source::Paths { paths: vec![] }, unreadable: 0 })
    };
    let info =
        create_snapshot(repository, &request("tree"), &Progress::default(), feed_all).unwrap();
    let progress = Progress::default();
    let reader = Reader::open(repository, &progress).unwrap();
    let mut walk = TreeWalk::new(info.snapshot.root);
    let mut flat = Flat::new();
    while let Some(visited) = walk.next(&reader).unwrap() {
        let expected = entry(&visited.entry.name, visited.entry.kind.clone());
        assert_eq!(visited.entry, expected, "its attributes");
        let node = match visited.entry.kind {
            EntryKind::File(file) => {
                let mut bytes = Vec::new();
                reader.copy_content(&file.content, file.data_bytes(), &mut bytes).unwrap();
                assert_eq!(file.size, bytes.len() as u64);
                Node::File(bytes)
            }
            EntryKind::Symlink { target } => Node::Symlink(target),
            EntryKind::Fifo => Node::Fifo,
            EntryKind::Directory { .. } => Node::Directory(BTreeMap::new()),
            other => panic!("{other:?} was never stored"),
        };
        assert_eq!(flat.insert(visited.path, node), None, "a path twice");
    }
    flat
}

/// Paths and what stands there; directories are empty here, their entries have paths of their own.
type Flat = BTreeMap<Vec<u8>, Node>;

fn flatten(top: &BTreeMap<Vec<u8>, Node>, path: &[u8], flat: &mut Flat) {
    for (name, node) in top {
        let path = nightjar_repository::manifest::walk::join(path, name);
        match node {
            Node::Directory(entries) => {
                flatten(entries, &path, flat);
                flat.insert(path, Node::Directory(BTreeMap::new()));
            }
            node => {
                flat.insert(path, node.clone());
            }
        }
    }
}

fn assert_same_tree(found: &Flat, top: &BTreeMap<Vec<u8>, Node>) {
    let mut expected = Flat::new();
    flatten(top, b"", &mut expected);
    assert!(found.keys().eq(expected.keys()), "other paths");
    for (path, node) in &expected {
        assert!(found[path] == *node, "{} differs", String::from_utf8_lossy(path));
    }
}

#[test]
fn any_tree_comes_back_as_it_was() {
    let fixture = Fixture::new(8);
    let outcome = runner(24).run(&btree_map(name(), tree(), 0..6), |top| {
        assert_same_tree(&back_up_tree(&fixture.open(), &top), &top);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn large_directories_and_deep_ones_come_back() {
    let fixture = Fixture::new(9);
    let many = (0..6000).map(|number| {
        (format!("{number:05}").into_bytes(), Node::File(number.to_string().into_bytes()))
    });
    let deep = (0..60).fold(Node::File(b"bottom".to_vec()), |inner, _| {
        Node::Directory(BTreeMap::from([(b"d".to_vec(), inner)]))
    });
    let top = BTreeMap::from([
        (b"deep".to_vec(), deep),
        (b"empty".to_vec(), Node::Directory(BTreeMap::new())),
        (b"many".to_vec(), Node::Directory(many.collect())),
    ]);
    assert_same_tree(&back_up_tree(&fixture.open(), &top), &top);
}
