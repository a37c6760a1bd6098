//! Payloads: blobs compressed with zstd (RFC 8878), or as they are, or against a base
//! (format-spec, chapter 3).
//!
//! Contexts are kept one per thread: making one costs more than compressing a chunk.

use std::cell::RefCell;

use nightjar_format::blob::Encoding;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, SafeResult};

use crate::CodecError;

/// A blob as it is stored, before sealing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// How it decodes.
    pub encoding: Encoding,
    /// What is sealed.
    pub bytes: Vec<u8>,
}

/// Encodes a blob, decodes what it made and compares: a compressor's bug must never reach a
/// pack.
pub fn encode_verified(plaintext: &[u8], level: i32) -> Payload {
    let Some(bytes) = compress(plaintext, level) else {
        return Payload { encoding: Encoding::Raw, bytes: plaintext.to_vec() };
    };
    let payload = Payload { encoding: Encoding::Zstd, bytes };
    // Whatever zstd did wrong, the plaintext itself is right.
    if decodes_to(&payload.bytes, plaintext) {
        payload
    } else {
        Payload { encoding: Encoding::Raw, bytes: plaintext.to_vec() }
    }
}

/// zstd's level where nothing else is asked for: on dumps, more costs three times the time for
/// four per cent of the bytes.
pub const DEFAULT_LEVEL: i32 = 3;

/// zstd's levels for deltas. The first finds what there is to find in text for half the time of
/// the second, but passes over much of a base that does not compress; so where it makes little of
/// the base, the second is tried too. More would cost twice the time for five per cent.
const DELTA_LEVELS: [i32; 2] = [2, 3];
/// A delta of one part in so many is small.
const SMALL: usize = 32;

struct Context {
    compressor: CCtx<'static>,
    level: i32,
    decompressor: DCtx<'static>,
    scratch: Vec<u8>,
}

thread_local! {
    static CONTEXT: RefCell<Context> = RefCell::new(Context {
        compressor: CCtx::create(),
        level: 0,
        decompressor: DCtx::create(),
        scratch: Vec::new(),
    });
}

/// Compresses into a frame with content size. `None` if the frame would not be smaller.
pub fn compress(plaintext: &[u8], level: i32) -> Option<Vec<u8>> {
    CONTEXT.with_borrow_mut(|context| {
        let Context { compressor, level: current, scratch, .. } = context;
        if *current != level {
            compressor.set_parameter(CParameter::CompressionLevel(level)).ok()?;
            *current = level;
        }
        frame(plaintext, scratch, |out| compressor.compress2(out, plaintext))
    })
}

/// Encodes a blob against the plaintext of another, decodes what it made and compares. `None` if
/// the frame would not be smaller than the plaintext.
pub fn encode_delta_verified(plaintext: &[u8], base: &[u8]) -> Option<Vec<u8>> {
    let [quick, thorough] = DELTA_LEVELS;
    let mut best = compress_delta(plaintext, base, quick);
    if best.as_ref().is_none_or(|frame| frame.len() > plaintext.len() / SMALL) {
        let other = compress_delta(plaintext, base, thorough);
        best = [best, other].into_iter().flatten().min_by_key(Vec::len);
    }
    let frame = best?;
    let decoded = decompress(&frame, plaintext.len(), Some(base)).ok()?;
    (decoded == plaintext).then_some(frame)
}

/// Compresses with `base` as prefix. `None` if the frame would not be smaller than the plaintext.
pub fn compress_delta(plaintext: &[u8], base: &[u8], level: i32) -> Option<Vec<u8>> {
    if !is_raw_content(base) {
        let mut compressor = CCtx::create();
        compressor.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        compressor.ref_prefix(base).ok()?;
        return frame(plaintext, &mut Vec::new(), |out| compressor.compress2(out, plaintext));
    }
    CONTEXT.with_borrow_mut(|context| {
        let Context { compressor, scratch, .. } = context;
        frame(plaintext, scratch, |out| compressor.compress_using_dict(out, plaintext, base, level))
    })
}

fn frame(
    plaintext: &[u8],
    scratch: &mut Vec<u8>,
    compress: impl FnOnce(&mut Vec<u8>) -> SafeResult,
) -> Option<Vec<u8>> {
    scratch.clear();
    scratch.reserve(zstd::zstd_safe::compress_bound(plaintext.len()));
    // Nothing but a lack of room makes compression fail, and then raw is right.
    compress(scratch).ok()?;
    (scratch.len() < plaintext.len()).then(|| scratch.as_slice().to_vec())
}

/// Whether a frame gives the plaintext back, decoded into scratch space.
fn decodes_to(frame: &[u8], plaintext: &[u8]) -> bool {
    CONTEXT.with_borrow_mut(|context| {
        let Context { decompressor, scratch, .. } = context;
        scratch.clear();
        scratch.reserve(plaintext.len());
        decompressor.decompress(scratch, frame).is_ok() && scratch == plaintext
    })
}

/// Decompresses a frame of exactly `raw_len` bytes, the prefix given if it was made with one.
pub fn decompress(
    frame: &[u8],
    raw_len: usize,
    base: Option<&[u8]>,
) -> Result<Vec<u8>, CodecError> {
    let mut plaintext = Vec::with_capacity(raw_len);
    decompress_into(frame, raw_len, base, &mut plaintext)?;
    Ok(plaintext)
}

/// Like [`decompress`] of a blob that is whole, into scratch space, and only to look at.
pub fn with_decompressed<T>(
    frame: &[u8],
    raw_len: usize,
    look: impl FnOnce(&[u8]) -> T,
) -> Result<T, CodecError> {
    let mut scratch = CONTEXT.with_borrow_mut(|context| std::mem::take(&mut context.scratch));
    let decoded = decompress_into(frame, raw_len, None, &mut scratch);
    let looked = decoded.map(|()| look(&scratch));
    CONTEXT.with_borrow_mut(|context| context.scratch = scratch);
    looked
}

/// Like [`decompress`], into a buffer, which is emptied first.
pub fn decompress_into(
    frame: &[u8],
    raw_len: usize,
    base: Option<&[u8]>,
    plaintext: &mut Vec<u8>,
) -> Result<(), CodecError> {
    // zstd itself would read several frames as one, and skip some.
    if zstd::zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(CodecError::NotDecodable("it is not one whole frame"));
    }
    plaintext.clear();
    plaintext.reserve(raw_len);
    let outcome = CONTEXT.with_borrow_mut(|context| match base {
        None => context.decompressor.decompress(plaintext, frame),
        Some(base) if is_raw_content(base) => {
            context.decompressor.decompress_using_dict(plaintext, frame, base)
        }
        Some(base) => {
            let mut decompressor = DCtx::create();
            decompressor.ref_prefix(base).and_then(|_| decompressor.decompress(plaintext, frame))
        }
    });
    outcome.map_err(|code| CodecError::NotDecodable(zstd::zstd_safe::get_error_name(code)))?;
    if plaintext.len() == raw_len {
        Ok(())
    } else {
        Err(CodecError::NotDecodable("its length is not the one promised"))
    }
}

/// Whether zstd takes these bytes for what they are wherever it is handed a dictionary. What
/// begins like one of its own would be read as such; that needs a context of its own, which
/// costs more than most deltas do.
fn is_raw_content(base: &[u8]) -> bool {
    const DICTIONARY_MAGIC: [u8; 4] = 0xec30_a437u32.to_le_bytes();
    !base.starts_with(&DICTIONARY_MAGIC)
}

/// Decompresses a frame whose length its own header tells, up to `limit` bytes.
pub fn decompress_bounded(frame: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
    let len = zstd::zstd_safe::get_frame_content_size(frame)
        .ok()
        .flatten()
        .and_then(|len| usize::try_from(len).ok())
        .filter(|len| *len <= limit)
        .ok_or(CodecError::NotDecodable("its length is missing or beyond the limit"))?;
    decompress(frame, len, None)
}

/// Compresses a record into a frame with content size, whether or not that makes it smaller.
pub fn compress_always(record: &[u8]) -> Result<Vec<u8>, CodecError> {
    zstd::bulk::compress(record, DEFAULT_LEVEL)
        .map_err(|_| CodecError::Refused("the record could not be compressed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_back() {
        let text = b"nightjar ".repeat(1000);
        let frame = compress(&text, DEFAULT_LEVEL).unwrap();
        assert_eq!(decompress(&frame, text.len(), None), Ok(text.clone()));
        assert!(decompress(&frame, text.len() - 1, None).is_err());
        assert!(decompress(&frame, text.len() + 1, None).is_err());
    }

    #[test]
    fn a_delta_needs_its_base() {
        let base: Vec<u8> = (0..60_000u32).flat_map(|i| (i * i).to_le_bytes()).collect();
        let mut text = base.clone();
        text[70_000] ^= 1;
        let frame = compress_delta(&text, &base, DEFAULT_LEVEL).unwrap();
        assert!(frame.len() < 200, "{}", frame.len());
        assert_eq!(decompress(&frame, text.len(), Some(&base)), Ok(text.clone()));
        assert!(decompress(&frame, text.len(), None).map_or(true, |other| other != text));
    }

    #[test]
    fn noise_is_not_blown_up() {
        let noise: Vec<u8> =
            (0..1000u64).flat_map(|i| blake3::hash(&i.to_le_bytes()).as_bytes().to_vec()).collect();
        assert_eq!(compress(&noise, DEFAULT_LEVEL), None);
    }

    #[test]
    fn a_record_that_claims_too_much_is_refused() {
        let frame = compress_always(&[0; 1 << 20]).unwrap();
        assert!(decompress_bounded(&frame, (1 << 20) - 1).is_err());
        assert_eq!(decompress_bounded(&frame, 1 << 20), Ok(vec![0; 1 << 20]));
    }
}
