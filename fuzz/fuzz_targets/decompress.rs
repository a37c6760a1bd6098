//! Payloads from anywhere: decoding stays within the room it is given, and what is encoded
//! comes back.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nightjar_codec::compress;
use nightjar_format::blob::Encoding;
use nightjar_fuzz::Damage;

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    Foreign { frame: &'a [u8], raw_len: u32, base: Option<&'a [u8]> },
    Bounded { frame: &'a [u8], limit: u16 },
    RoundTrip { plaintext: &'a [u8], times: u8, level: i8 },
    Delta(Delta<'a>),
}

/// How the dictionaries begin that `zstd --train` makes: as a base, bytes like any others.
const DICTIONARY_MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// A plaintext that has something of its bases, and what is done to its frame.
#[derive(Arbitrary, Debug)]
struct Delta<'a> {
    like_a_dictionary: bool,
    bases: [&'a [u8]; 4],
    times: u8,
    parts: Vec<Part<'a>>,
    level: i8,
    damages: Vec<Damage>,
    other_len: u16,
}

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Old { start: u16, len: u16 },
    New(&'a [u8]),
}

fuzz_target!(|case: Case| match case {
    Case::Foreign { frame, raw_len, base } => {
        let raw_len = raw_len as usize % (1 << 20);
        if let Ok(plaintext) = compress::decompress(frame, raw_len, base) {
            assert_eq!(plaintext.len(), raw_len);
            // Nothing of one call is left over for the next.
            assert_eq!(compress::decompress(frame, raw_len, base), Ok(plaintext));
        }
    }
    Case::Bounded { frame, limit } => {
        if let Ok(plaintext) = compress::decompress_bounded(frame, limit.into()) {
            assert!(plaintext.len() <= limit.into());
        }
    }
    Case::RoundTrip { plaintext, times, level } => round_trip(plaintext, times, level),
    Case::Delta(case) => delta(&case),
});

/// Above these, gcc 12's address sanitizer takes a constant table of zstd for a stale variable.
fn clamped(level: i8) -> i32 {
    i32::from(level).clamp(-7, 8)
}

fn round_trip(plaintext: &[u8], times: u8, level: i8) {
    let plaintext = plaintext.repeat(times.into());
    let payload = compress::encode_verified(&plaintext, clamped(level));
    match payload.encoding {
        Encoding::Raw => assert_eq!(payload.bytes, plaintext),
        Encoding::Zstd => {
            assert!(payload.bytes.len() < plaintext.len());
            let decoded = compress::decompress(&payload.bytes, plaintext.len(), None);
            assert_eq!(decoded.as_ref(), Ok(&plaintext));
        }
        Encoding::Delta { .. } => panic!("there was no base"),
    }
    let frame = compress::compress_always(&plaintext);
    let decoded = frame.and_then(|frame| compress::decompress_bounded(&frame, plaintext.len()));
    assert_eq!(decoded.as_ref(), Ok(&plaintext));
}

fn delta(case: &Delta<'_>) {
    let mut base = case.bases.concat().repeat(case.times.into());
    if case.like_a_dictionary {
        base.splice(0..0, DICTIONARY_MAGIC);
    }
    let mut plaintext = Vec::new();
    for part in &case.parts {
        match part {
            Part::Old { start, len } => {
                let start = usize::from(*start).min(base.len());
                plaintext.extend_from_slice(&base[start..base.len().min(start + *len as usize)]);
            }
            Part::New(bytes) => plaintext.extend_from_slice(bytes),
        }
    }
    let made = compress::compress_delta(&plaintext, &base, clamped(case.level));
    for frame in [&made, &compress::encode_delta_verified(&plaintext, &base)].into_iter().flatten()
    {
        assert!(frame.len() < plaintext.len());
        let decoded = compress::decompress(frame, plaintext.len(), Some(&base));
        assert_eq!(decoded.as_ref(), Ok(&plaintext));
    }
    let Some(mut frame) = made else { return };
    case.damages.iter().for_each(|damage| damage.apply(&mut frame));
    for raw_len in [plaintext.len(), case.other_len.into()] {
        for base in [Some(base.as_slice()), Some(case.bases[0]), None] {
            let decoded = compress::decompress(&frame, raw_len, base);
            assert!(decoded.is_err() || decoded.is_ok_and(|bytes| bytes.len() == raw_len));
        }
    }
}
