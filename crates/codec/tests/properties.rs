//! Promises for all inputs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::collections::HashSet;

use nightjar_codec::aead::{Cipher, TAG_LEN};
use nightjar_codec::chunker::{Chunker, gear_table};
use nightjar_codec::digest::{Identifier, Purpose, derive_long};
use nightjar_codec::sketch::Sketcher;
use nightjar_codec::{SecretKey, compress};
use nightjar_format::blob::{BlobKind, Encoding};
use nightjar_format::object::padme;
use nightjar_format::repository::ChunkerParameters;
use proptest::prelude::*;

mod reference;

/// Streams of some hundred thousand bytes from few choices: noise, text, runs of one byte.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let hiss = (any::<u64>(), 0..100_000usize).prop_map(|(seed, len)| noise(seed, len));
    let text = (any::<u64>(), 0..100_000usize)
        .prop_map(|(seed, len)| noise(seed, len).iter().map(|byte| b'a' + byte % 7).collect());
    let run = (any::<u8>(), 0..50_000usize).prop_map(|(byte, len)| vec![byte; len]);
    proptest::collection::vec(prop_oneof![hiss, text, run], 0..5)
        .prop_map(|pieces: Vec<Vec<u8>>| pieces.concat())
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn key() -> impl Strategy<Value = SecretKey> {
    any::<[u8; 32]>().prop_map(SecretKey::new)
}

/// All the sizes that a repository may choose, the small ones above all.
fn parameters() -> impl Strategy<Value = ChunkerParameters> {
    (0..=10u32, any::<u16>(), any::<u16>()).prop_map(|(step, min, max)| {
        let average = 1u32 << (12 + step * step / 10);
        let share = |part: u16, from: u32, to: u32| {
            let wide = u64::from(from) + u64::from(part) * u64::from(to - from) / 65_535;
            u32::try_from(wide).unwrap() & !1
        };
        ChunkerParameters {
            min: share(min, 1024, average / 2),
            average,
            max: share(max, average * 2, (average * 8).min(16 << 20)),
        }
    })
}

fn cut_all(chunker: &Chunker, stream: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        at += chunker.cut(&stream[at..stream.len().min(at + chunker.max_len())]);
        ends.push(at);
    }
    ends
}

/// Old chunks of these lengths, one after the other.
fn join(seed: u64, lens: &[usize]) -> Vec<u8> {
    (seed..).zip(lens).flat_map(|(seed, len)| noise(seed, *len)).collect()
}

/// A part of the bases is a small delta against them all.
fn is_a_small_delta(part: &[u8], bases: &[u8]) -> Result<(), TestCaseError> {
    // A copy: zstd ignores a prefix that overlaps what it compresses.
    let text = part.to_vec();
    let frame = compress::encode_delta_verified(&text, bases).unwrap();
    prop_assert!(frame.len() < 200, "{} bytes", frame.len());
    let decoded = compress::decompress(&frame, text.len(), Some(bases));
    prop_assert_eq!(decoded, Ok(text));
    Ok(())
}

/// A stream with a stretch replaced by other bytes.
fn edit(stream: &[u8], at: prop::sample::Index, remove: usize, insert: &[u8]) -> Vec<u8> {
    let at = at.index(stream.len() + 1);
    let end = stream.len().min(at + remove);
    [&stream[..at], insert, &stream[end..]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn cut_points_follow_the_specification(
        parameters in parameters(), key in key(), stream in stream(),
    ) {
        parameters.validate().unwrap();
        let ChunkerParameters { min, average, max } = parameters;
        let ends = cut_all(&Chunker::new(parameters, &key).unwrap(), &stream);
        let expected = reference::cut_points(&stream, (min, average, max), &gear_table(&key));
        prop_assert_eq!(ends, expected);
    }

    #[test]
    fn a_small_edit_changes_few_chunks(
        key in key(), seed: u64, at: prop::sample::Index,
        remove in 0..300usize, insert in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let parameters = ChunkerParameters { min: 1 << 10, average: 4 << 10, max: 16 << 10 };
        let chunker = Chunker::new(parameters, &key).unwrap();
        let before = noise(seed, 1 << 20);
        let after = edit(&before, at, remove, &insert);
        let chunks = |stream: &[u8]| {
            let ends = cut_all(&chunker, stream);
            let starts = std::iter::once(0).chain(ends.clone());
            starts.zip(ends).map(|(start, end)| *blake3::hash(&stream[start..end]).as_bytes())
                .collect::<Vec<_>>()
        };
        let known: HashSet<_> = chunks(&before).into_iter().collect();
        let new = chunks(&after).into_iter().filter(|chunk| !known.contains(chunk)).count();
        // Of about 220. Two or three as a rule; a stretch without agreement is short.
        prop_assert!(new <= 24, "{} chunks are new", new);
    }

    #[test]
    fn sketches_are_those_of_the_specification(key in key(), stream in stream()) {
        let mut constants = [0; 240];
        derive_long(Purpose::Sketch, &key, &mut constants);
        let expected = reference::sketch(&stream, &reference::words(&constants));
        prop_assert_eq!(Sketcher::new(&key).sketch(&stream), expected);
    }

    #[test]
    fn payloads_give_the_blob_back(stream in stream(), level in -5..6i32) {
        let payload = compress::encode_verified(&stream, level);
        prop_assert!(payload.bytes.len() <= stream.len());
        match payload.encoding {
            Encoding::Raw => prop_assert_eq!(&payload.bytes, &stream),
            _ => {
                let decoded = compress::decompress(&payload.bytes, stream.len(), None);
                prop_assert_eq!(decoded.as_ref(), Ok(&stream));
                prop_assert!(compress::decompress(&payload.bytes, stream.len() - 1, None).is_err());
                prop_assert!(compress::decompress(&payload.bytes, stream.len() + 1, None).is_err());
            }
        }
    }

    #[test]
    fn a_delta_gives_the_blob_back_and_is_small(
        seed: u64, len in 5_000..200_000usize, at: prop::sample::Index,
        remove in 0..500usize, insert in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        let base = noise(seed, len);
        let text = edit(&base, at, remove, &insert);
        let frame = compress::compress_delta(&text, &base, 3).unwrap();
        prop_assert!(frame.len() < insert.len() + 200 + len / 100, "{} bytes", frame.len());
        let decoded = compress::decompress(&frame, text.len(), Some(&base));
        prop_assert_eq!(decoded.as_ref(), Ok(&text));
        // Another base gives an error or other bytes, which the blob's id then tells.
        let other = compress::decompress(&frame, text.len(), Some(&noise(!seed, len)));
        prop_assert_ne!(other, Ok(text));
    }

    #[test]
    fn a_chunk_across_several_old_ones_is_a_small_delta_against_them(
        seed: u32, lens in proptest::collection::vec(2_000..60_000usize, 1..=4),
        skip: prop::sample::Index, end: prop::sample::Index,
    ) {
        let joined = join(seed.into(), &lens);
        let start = skip.index(joined.len() - 1_000);
        let end = joined.len() - end.index(joined.len() - start - 1_000);
        is_a_small_delta(&joined[start..end], &joined)?;
    }

    #[test]
    fn a_damaged_frame_stays_within_its_room(
        seed: u64, flips in proptest::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..4),
        raw_len in 0..20_000usize, with_base: bool,
    ) {
        let base = noise(seed, 2000);
        let text = base.repeat(5);
        let mut frame = compress::compress_delta(&text, &base, 3).unwrap();
        for (at, mask) in flips {
            let at = at.index(frame.len());
            frame[at] ^= mask;
        }
        let base = with_base.then_some(base.as_slice());
        if let Ok(decoded) = compress::decompress(&frame, raw_len, base) {
            prop_assert_eq!(decoded.len(), raw_len);
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_nothing_else_does(
        key in key(), nonce: [u8; 12],
        associated in proptest::collection::vec(any::<u8>(), 0..80),
        plaintext in proptest::collection::vec(any::<u8>(), 0..300),
        place: prop::sample::Index, bit in 0..8u32,
    ) {
        let cipher = Cipher::new(&key);
        let sealed = cipher.seal(nonce, &associated, &plaintext).unwrap();
        prop_assert_eq!(sealed.len(), plaintext.len() + TAG_LEN);
        let opened = cipher.open(nonce, &associated, "message", &sealed);
        prop_assert_eq!(opened, Ok(plaintext));

        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            bytes
        };
        prop_assert!(cipher.open(nonce, &associated, "message", &flipped(&sealed)).is_err());
        let other: [u8; 12] = flipped(&nonce).try_into().unwrap();
        prop_assert!(cipher.open(other, &associated, "message", &sealed).is_err());
        let other = Cipher::new(&SecretKey::new(flipped(key.expose()).try_into().unwrap()));
        prop_assert!(other.open(nonce, &associated, "message", &sealed).is_err());
        let more = [associated.as_slice(), &[0]].concat();
        prop_assert!(cipher.open(nonce, &more, "message", &sealed).is_err());
        let shorter = &sealed[..place.index(sealed.len())];
        prop_assert!(cipher.open(nonce, &associated, "message", shorter).is_err());
    }

    #[test]
    fn a_chunk_and_a_node_never_share_an_id(key in key(), bytes: Vec<u8>) {
        let identifier = Identifier::new(&key);
        let id = |kind| identifier.blob_id(kind, &bytes);
        prop_assert_ne!(id(BlobKind::Data), id(BlobKind::Tree));
        prop_assert_eq!(id(BlobKind::Data), Identifier::new(&key).blob_id(BlobKind::Data, &bytes));
    }

    #[test]
    fn padding_is_bounded_ordered_and_idempotent(len in 2..1u64 << 40, more in 0..1u64 << 20) {
        let padded = padme(len);
        prop_assert!(padded >= len && (padded - len) * 100 <= len * 12);
        prop_assert_eq!(padme(padded), padded);
        prop_assert!(padme(len + more) >= padded);
        // At most log₂ log₂ len + 1 leading bits stay.
        let bits = padded.ilog2();
        prop_assert!(padded.trailing_zeros() + bits.ilog2() + 1 >= bits);
        if len >= 1 << 20 {
            prop_assert!((padded - len) * 1000 <= len * 32);
        }
    }
}

/// Found by `a_chunk_across_several_old_ones_is_a_small_delta_against_them`.
#[test]
fn a_chunk_from_the_beginning_of_four_old_ones_is_a_small_delta_against_them() {
    let joined = join(0, &[34_155, 50_464, 52_071, 45_415]);
    is_a_small_delta(&joined[..67_646], &joined).unwrap();
}
