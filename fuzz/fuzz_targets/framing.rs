//! The fixed layouts around what is sealed: metadata objects, their payloads, packs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::{MetadataHeader, MetadataPayload, padme};
use nightjar_format::pack::{KeyMaterial, PackHeader, Trailer};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 5 {
        0 => metadata_object(bytes),
        1 => metadata_payload(bytes),
        2 => pack_header(bytes),
        3 => pack_trailer(bytes),
        _ => padding(bytes),
    }
});

fn metadata_object(bytes: &[u8]) {
    if let Ok((header, ciphertext)) = MetadataHeader::split(bytes) {
        assert_eq!([header.to_bytes().as_slice(), ciphertext].concat(), bytes);
    }
}

fn metadata_payload(bytes: &[u8]) {
    if let Ok(payload) = MetadataPayload::parse(bytes) {
        assert_eq!(payload.to_bytes(bytes.len()), bytes);
    }
}

fn pack_header(bytes: &[u8]) {
    if let Ok((header, material)) = PackHeader::parse(bytes) {
        let mut again = header.to_bytes();
        assert_eq!(again.len(), PackHeader::LEN);
        match material {
            KeyMaterial::Data { encapsulated, ciphertext } => {
                again.extend_from_slice(encapsulated);
                again.extend_from_slice(ciphertext);
            }
            KeyMaterial::Tree { salt } => again.extend_from_slice(&salt),
        }
        assert_eq!(again.len(), PackHeader::blobs_offset(header.kind));
        assert!(bytes.starts_with(&again));
    }
}

fn pack_trailer(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else { return };
    let Some((kind, rest)) = rest.split_first() else { return };
    let Some(kind) = BlobKind::from_byte(*kind) else { return };
    let size = u64::from_le_bytes(*size);
    if let Ok(trailer) = Trailer::parse(rest, kind, size) {
        assert_eq!(rest, trailer.to_bytes());
        let range = trailer.footer_range(size);
        assert!(range.start >= PackHeader::blobs_offset(kind) as u64);
        assert_eq!(range.end - range.start, u64::from(trailer.footer_len));
        assert_eq!(range.end + Trailer::SEALED_LEN as u64, size);
    }
}

fn padding(bytes: &[u8]) {
    let Some((len, _)) = bytes.split_first_chunk::<8>() else { return };
    // No object comes near 2⁶⁴ bytes.
    let len = u64::from_le_bytes(*len) >> 1;
    let padded = padme(len);
    assert!(padded >= len && u128::from(padded) <= u128::from(len) * 9 / 8 + 1);
    assert_eq!(padme(padded), padded);
}
