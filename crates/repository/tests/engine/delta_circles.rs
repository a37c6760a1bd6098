//! What writers that raced, or lost packs, could leave behind: blobs that are deltas of each other,
//! deltas without their base, and a blob that is stored sound in one place and broken in another.

use std::collections::BTreeSet;

use nightjar_format::SessionId;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_repository::RepositoryError;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::fixture::{Fixture, back_up_as, request, restore};
use nightjar_testkit::generate::dump;
use nightjar_testkit::insider::{HandMade, Insider};
use nightjar_testkit::model::verify_all;

use crate::deltas::in_time;
use crate::gc::{collected, thorough};

const SESSION: SessionId = SessionId([7; 16]);

/// Two texts of one chunk each: each is stored as a delta of the other, and one whole as well.
struct Circle {
    fixture: Fixture,
    texts: [Vec<u8>; 2],
    /// The pack with the whole one.
    whole: String,
}

impl Circle {
    fn new(seed: u64) -> Self {
        let fixture = Fixture::new(seed);
        let insider = Insider::first(&fixture);
        // Shorter than the shortest chunk.
        let x = dump(seed, 4000);
        let y = [&x[..3000], b"and a little more", &x[3000..3900]].concat();
        let blobs = [insider.delta(&x, &[&y], 1), insider.delta(&y, &[&x], 1), insider.whole(&y)];
        let packs = blobs.map(|blob| insider.write_pack(BlobKind::Data, SESSION, &[blob]));
        let whole = ObjectName::Pack(packs[2].pack_id).to_string();
        for pack in packs {
            insider.write_index(SESSION, vec![pack]);
        }
        Self { fixture, texts: [x, y], whole }
    }

    /// Backs both up; how many chunks were stored.
    fn back_up(&self) -> ([SnapshotInfo; 2], u64) {
        let made = [0, 1].map(|place| {
            let series = ["x", "y"][place];
            let mut text = self.texts[place].as_slice();
            back_up_as(&self.fixture.open(), &request(series), &mut text).unwrap()
        });
        let stored = made.iter().map(|info| info.snapshot.counts.chunks_new).sum();
        (made, stored)
    }

    fn restore(&self, info: &SnapshotInfo) -> Result<Vec<u8>, RepositoryError> {
        let (fixture, info) = (self.fixture.elsewhere(), info.clone());
        in_time(move || restore(&fixture.open(), &info))
    }
}

#[test]
fn deltas_of_each_other_are_read_while_one_is_there_whole() {
    let circle = Circle::new(134);
    let (made, stored) = circle.back_up();
    assert_eq!(stored, 0, "what is there was stored again");
    for (info, text) in made.iter().zip(&circle.texts) {
        assert!(circle.restore(info).unwrap() == *text);
    }
    assert_eq!(verify_all(&circle.fixture.open()).unwrap().findings, []);
}

#[test]
fn deltas_of_each_other_alone_are_an_error_that_names_what_is_missing() {
    let circle = Circle::new(135);
    let (made, _) = circle.back_up();
    circle.fixture.store.delete(&circle.whole).unwrap();
    for info in &made {
        let error = circle.restore(info).unwrap_err();
        assert!(matches!(error, RepositoryError::LostBlob { .. }), "{error:?}");
    }
    let fixture = circle.fixture.clone();
    let report = in_time(move || verify_all(&fixture.open())).unwrap();
    let named: BTreeSet<SessionId> =
        report.findings.iter().flat_map(|it| it.snapshots.iter().copied()).collect();
    assert_eq!(named, made.iter().map(|info| info.id).collect(), "{:#?}", report.findings);
    assert!(report.findings.iter().any(|it| it.object == circle.whole), "{:#?}", report.findings);
}

#[test]
fn deltas_of_each_other_alone_count_as_absent_and_are_stored_again() {
    let circle = Circle::new(136);
    let (before, _) = circle.back_up();
    circle.fixture.store.delete(&circle.whole).unwrap();
    let (after, stored) = circle.back_up();
    assert!(stored > 0);
    for (info, text) in before.iter().chain(&after).zip(circle.texts.iter().cycle()) {
        assert!(circle.restore(info).unwrap() == *text);
    }
    let (_, again) = circle.back_up();
    assert_eq!(again, 0, "they are stored again and again");
}

/// A blob is listed as a delta of one that is nowhere; then it is backed up, where a chain stands
/// that it fits on the end of.
struct Healed {
    fixture: Fixture,
    text: Vec<u8>,
    info: SnapshotInfo,
}

impl Healed {
    fn new(seed: u64) -> Self {
        let fixture = Fixture::new(seed);
        let insider = Insider::first(&fixture);
        let mut text = dump(seed, 4000);
        let lost = [&text[..2000], b"what only the lost base holds", &text[2000..3900]].concat();
        for number in 0..3 {
            text[1000 * number] ^= 1;
            fixture.night(&text);
        }
        text[3000] ^= 1;
        let dangling: HandMade = insider.delta(&text, &[&lost], 1);
        let pack = insider.write_pack(BlobKind::Data, SESSION, std::slice::from_ref(&dangling));
        insider.write_index(SESSION, vec![pack]);
        let info = fixture.night(&text);
        assert_eq!(info.snapshot.counts.chunks_new, 1, "what dangles was reused");
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == text);
        Self { fixture, text, info }
    }
}

#[test]
fn a_delta_without_its_base_is_stored_again_once() {
    let Healed { fixture, text, .. } = Healed::new(137);
    let again = fixture.night(&text).snapshot.counts;
    assert_eq!(again.chunks_new, 0, "it is stored once more: {again:?}");
}

#[test]
fn what_was_stored_again_is_no_longer_reported() {
    let Healed { fixture, info, .. } = Healed::new(138);
    let report = verify_all(&fixture.open()).unwrap();
    let named = report.findings.iter().any(|it| it.snapshots.contains(&info.id));
    assert!(!named, "it restores, but {:#?}", report.findings);
}

#[test]
fn what_was_stored_again_survives_collection() {
    let Healed { fixture, info, text } = Healed::new(139);
    collected(&fixture, &thorough());
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == text);
}

/// Texts that rest on each other like a tree: on this many blobs, the top one included.
fn tree_of(insider: &Insider, blobs: usize, made: &mut Vec<HandMade>) -> (Vec<u8>, u8) {
    let mut text = dump(9, 300);
    text.extend_from_slice(format!("number {}", made.len()).as_bytes());
    if blobs == 1 {
        made.push(insider.whole(&text));
        return (text, 0);
    }
    let below = (blobs - 1).min(4);
    let shares = (0..below).map(|place| (blobs - 1 + place) / below);
    let bases: Vec<(Vec<u8>, u8)> = shares.map(|share| tree_of(insider, share, made)).collect();
    let depth = bases.iter().map(|(_, depth)| *depth).max().unwrap() + 1;
    let texts: Vec<&[u8]> = bases.iter().map(|(text, _)| text.as_slice()).collect();
    text.extend_from_slice(format!(" on {}", made.len()).as_bytes());
    made.push(insider.delta(&text, &texts, depth));
    (text, depth)
}

#[test]
fn what_rests_on_as_many_blobs_as_there_may_be_is_relied_on_and_on_more_is_not() {
    for (blobs, stored) in [(256, 0), (257, 1), (300, 1)] {
        let fixture = Fixture::new(140);
        let insider = Insider::first(&fixture);
        let mut made = Vec::new();
        let (text, _) = tree_of(&insider, blobs, &mut made);
        assert_eq!(made.len(), blobs);
        let pack = insider.write_pack(BlobKind::Data, SESSION, &made);
        insider.write_index(SESSION, vec![pack]);
        let info = fixture.night(&text);
        assert_eq!(info.snapshot.counts.chunks_new, stored, "it rests on {blobs}");
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == text, "{blobs}");
        let report = verify_all(&fixture.open()).unwrap();
        assert_eq!(report.findings, [], "{blobs}");
    }
}
