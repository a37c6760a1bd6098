//! Payloads from anywhere: decoding stays within the room it is given, and what is encoded
//! comes back.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nightjar_codec::compress;
use nightjar_format::blob::Encoding;

#[derive(Arbitrary, Debug)]
enum Case<'a> {
    Foreign { frame: &'a [u8], raw_len: u32, base: Option<&'a [u8]> },
    Bounded { frame: &'a [u8], limit: u16 },
    RoundTrip { plaintext: &'a [u8], times: u8, base: &'a [u8], level: i8 },
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
    Case::RoundTrip { plaintext, times, base, level } => round_trip(plaintext, times, base, level),
});

fn round_trip(plaintext: &[u8], times: u8, base: &[u8], level: i8) {
    let plaintext = plaintext.repeat(times.into());
    // Above these, gcc 12's address sanitizer takes a constant table of zstd for a stale variable.
    let level = i32::from(level).clamp(-7, 8);
    let payload = compress::encode_verified(&plaintext, level);
    match payload.encoding {
        Encoding::Raw => assert_eq!(payload.bytes, plaintext),
        Encoding::Zstd => {
            assert!(payload.bytes.len() < plaintext.len());
            let decoded = compress::decompress(&payload.bytes, plaintext.len(), None);
            assert_eq!(decoded.as_ref(), Ok(&plaintext));
        }
        Encoding::Delta { .. } => panic!("there was no base"),
    }
    if let Some(frame) = compress::compress_delta(&plaintext, base, level) {
        let decoded = compress::decompress(&frame, plaintext.len(), Some(base));
        assert_eq!(decoded.as_ref(), Ok(&plaintext));
    }
    let frame = compress::compress_always(&plaintext);
    let decoded = frame.and_then(|frame| compress::decompress_bounded(&frame, plaintext.len()));
    assert_eq!(decoded.as_ref(), Ok(&plaintext));
}
