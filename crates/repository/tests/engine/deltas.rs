//! Chains of deltas are read, checked at every step, and never followed for ever.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nightjar_format::blob::{Bases, BlobKind, Encoding};
use nightjar_format::manifest::{Content, ContentRef};
use nightjar_format::{BlobId, SessionId, limits};
use nightjar_repository::read::Reader;
use nightjar_repository::{Progress, RepositoryError};
use nightjar_testkit::fixture::Fixture;
use nightjar_testkit::generate::dump;
use nightjar_testkit::insider::{HandMade, Insider};

const SESSION: SessionId = SessionId([9; 16]);

/// Successive versions of one chunk.
fn versions(count: usize) -> Vec<Vec<u8>> {
    let mut text = dump(1, 60_000);
    (0..count)
        .map(|number| {
            text[number * 1000] ^= 0x55;
            text.extend_from_slice(format!("version {number}\n").as_bytes());
            text.clone()
        })
        .collect()
}

fn chain(insider: &Insider, versions: &[Vec<u8>]) -> Vec<HandMade> {
    let deltas = versions.windows(2).enumerate();
    let deltas = deltas.map(|(place, pair)| insider.delta(&pair[1], &[&pair[0]], place as u8 + 1));
    std::iter::once(insider.whole(&versions[0])).chain(deltas).collect()
}

fn read(fixture: &Fixture, wanted: &[(BlobId, usize)]) -> Result<Vec<u8>, RepositoryError> {
    let repository = fixture.open();
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let chunks = wanted.iter().map(|(id, len)| ContentRef { id: *id, length: *len as u64 });
    let length = wanted.iter().map(|(_, len)| *len as u64).sum();
    let mut bytes = Vec::new();
    reader.copy_content(&Content::Chunks(chunks.collect()), length, &mut bytes)?;
    Ok(bytes)
}

fn assert_all_read(fixture: &Fixture, chain: &[HandMade], versions: &[Vec<u8>]) {
    for (blob, version) in chain.iter().zip(versions) {
        assert!(read(fixture, &[(blob.id, version.len())]).unwrap() == *version);
    }
    // All in one stream, the deepest first.
    let wanted: Vec<(BlobId, usize)> =
        chain.iter().zip(versions).rev().map(|(blob, text)| (blob.id, text.len())).collect();
    let expected: Vec<u8> = versions.iter().rev().flatten().copied().collect();
    assert!(read(fixture, &wanted).unwrap() == expected);
}

#[test]
fn a_chain_within_one_pack_is_read() {
    let fixture = Fixture::new(71);
    let insider = Insider::first(&fixture);
    let versions = versions(6);
    let chain = chain(&insider, &versions);
    let pack = insider.write_pack(BlobKind::Data, SESSION, &chain);
    insider.write_index(SESSION, vec![pack]);
    assert_all_read(&fixture, &chain, &versions);
}

#[test]
fn a_chain_across_packs_and_index_objects_is_read() {
    let fixture = Fixture::new(72);
    let insider = Insider::first(&fixture);
    let versions = versions(6);
    let chain = chain(&insider, &versions);
    for blob in chain.iter().rev() {
        let pack = insider.write_pack(BlobKind::Data, SESSION, std::slice::from_ref(blob));
        insider.write_index(SESSION, vec![pack]);
    }
    assert_all_read(&fixture, &chain, &versions);
}

#[test]
fn the_deepest_chain_that_the_format_allows_is_read() {
    let fixture = Fixture::new(73);
    let insider = Insider::first(&fixture);
    let versions = versions(usize::from(limits::CHAIN_DEPTH) + 1);
    let chain = chain(&insider, &versions);
    let (odd, even): (Vec<_>, Vec<_>) =
        chain.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 1);
    let packs = [odd, even].map(|blobs| {
        let blobs: Vec<HandMade> = blobs.into_iter().map(|(_, blob)| blob).collect();
        insider.write_pack(BlobKind::Data, SESSION, &blobs)
    });
    insider.write_index(SESSION, packs.to_vec());
    assert_all_read(&fixture, &chain, &versions);
}

#[test]
fn a_blob_is_read_from_its_other_place_when_its_base_is_gone() {
    let fixture = Fixture::new(74);
    let insider = Insider::first(&fixture);
    let versions = versions(3);
    let lost_base = insider.delta(&versions[1], &[&versions[0]], 1);
    let also_whole = insider.whole(&versions[1]);
    let packs = [lost_base.clone(), also_whole]
        .map(|blob| insider.write_pack(BlobKind::Data, SESSION, &[blob]));
    insider.write_index(SESSION, packs.to_vec());
    let wanted = [(lost_base.id, versions[1].len())];
    assert!(read(&fixture, &wanted).unwrap() == versions[1]);
}

#[test]
fn a_delta_without_its_base_is_an_error_that_names_the_base() {
    let fixture = Fixture::new(75);
    let insider = Insider::first(&fixture);
    let versions = versions(2);
    let blob = insider.delta(&versions[1], &[&versions[0]], 1);
    let base = insider.identifier().blob_id(BlobKind::Data, &versions[0]);
    let pack = insider.write_pack(BlobKind::Data, SESSION, std::slice::from_ref(&blob));
    insider.write_index(SESSION, vec![pack]);
    let error = read(&fixture, &[(blob.id, versions[1].len())]).unwrap_err();
    assert!(matches!(error, RepositoryError::LostBlob { .. }), "{error:?}");
    assert!(error.to_string().contains(&base.to_string()), "{error}");
}

#[test]
fn a_delta_on_the_wrong_base_gives_no_bytes() {
    let fixture = Fixture::new(76);
    let insider = Insider::first(&fixture);
    let versions = versions(3);
    let mut wrong = insider.delta(&versions[1], &[&versions[0]], 1);
    let other = insider.identifier().blob_id(BlobKind::Data, &versions[2]);
    wrong.payload.encoding = Encoding::Delta { bases: Bases::new(&[other]).unwrap(), depth: 1 };
    let blobs = [insider.whole(&versions[0]), insider.whole(&versions[2]), wrong.clone()];
    let pack = insider.write_pack(BlobKind::Data, SESSION, &blobs);
    insider.write_index(SESSION, vec![pack]);
    let error = read(&fixture, &[(wrong.id, versions[1].len())]).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}

/// Runs `work` elsewhere and gives up on it after half a minute.
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, outcome) = channel();
    thread::spawn(move || done.send(work()));
    outcome.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("it hangs"))
}

/// Two chunks, each stored `copies` times as a delta of the other.
fn circle(fixture: &Fixture, copies: usize) -> (BlobId, usize) {
    let insider = Insider::first(fixture);
    let versions = versions(2);
    let blobs = [
        insider.delta(&versions[0], &[&versions[1]], 1),
        insider.delta(&versions[1], &[&versions[0]], 1),
    ];
    let packs = (0..copies).flat_map(|_| {
        blobs
            .each_ref()
            .map(|blob| insider.write_pack(BlobKind::Data, SESSION, std::slice::from_ref(blob)))
    });
    insider.write_index(SESSION, packs.collect());
    (blobs[0].id, versions[0].len())
}

#[test]
fn a_circle_of_deltas_is_an_error() {
    let fixture = Fixture::new(77);
    let wanted = circle(&fixture, 1);
    let error = in_time(move || read(&fixture, &[wanted])).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}

#[test]
fn a_circle_of_deltas_with_many_ways_round_is_an_error_too() {
    let fixture = Fixture::new(78);
    let wanted = circle(&fixture, 4);
    let error = in_time(move || read(&fixture, &[wanted])).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}

#[test]
fn a_chain_with_many_ways_to_a_lost_base_is_an_error_too() {
    let fixture = Fixture::new(82);
    let insider = Insider::first(&fixture);
    let versions = versions(usize::from(limits::CHAIN_DEPTH) + 1);
    let chain = chain(&insider, &versions);
    let without_base = &chain[1..];
    let packs = (0..4).map(|_| insider.write_pack(BlobKind::Data, SESSION, without_base));
    insider.write_index(SESSION, packs.collect());
    let wanted = (chain[chain.len() - 1].id, versions[versions.len() - 1].len());
    let error = in_time(move || read(&fixture, &[wanted])).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}

#[test]
fn verify_is_not_held_up_by_a_circle_of_deltas_that_nothing_needs() {
    let fixture = Fixture::new(79);
    circle(&fixture, 2);
    let report = in_time(move || nightjar_testkit::model::verify_all(&fixture.open())).unwrap();
    assert_eq!(report.findings, [], "what no snapshot needs is no damage");
}

#[test]
fn a_blob_that_is_its_own_base_is_an_error() {
    let fixture = Fixture::new(80);
    let insider = Insider::first(&fixture);
    let versions = versions(1);
    // A copy: zstd does not use a prefix that is its own input.
    let blob = insider.delta(&versions[0], &[&versions[0].clone()], 1);
    let pack = insider.write_pack(BlobKind::Data, SESSION, std::slice::from_ref(&blob));
    insider.write_index(SESSION, vec![pack]);
    let wanted = (blob.id, versions[0].len());
    let error = in_time(move || read(&fixture, &[wanted])).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}

#[test]
fn a_chunk_is_never_read_as_a_node_or_the_other_way_round() {
    let fixture = Fixture::new(81);
    let insider = Insider::first(&fixture);
    let text = dump(5, 10_000);
    // The id of a chunk, in a tree pack: a write slot could publish that.
    let blob = insider.whole(&text);
    let pack = insider.write_pack(BlobKind::Tree, SESSION, std::slice::from_ref(&blob));
    insider.write_index(SESSION, vec![pack]);
    let error = read(&fixture, &[(blob.id, text.len())]).unwrap_err();
    assert!(error.is_damage(), "{error:?}");
}
