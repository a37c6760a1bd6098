//! `blobs.json`: whole packs and their blobs, a chain of deltas and deltas with several bases
//! among them.

use std::collections::HashMap;

use nightjar_codec::aead::{Cipher, TAG_LEN};
use nightjar_codec::compress;
use nightjar_codec::digest::{Identifier, Purpose, derive, pack_id};
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable, Encoding};
use nightjar_format::object::padme;
use nightjar_format::pack::{KeyMaterial, PackHeader, SealedPart, Trailer};
use nightjar_format::{BlobId, RepositoryId};
use serde_json::Value;

use crate::file::{Seeded, array, bytes, key, list, load, text};

fn data_secret(pack: &Value) -> Option<PrivateKey> {
    pack["data_secret"].as_str()?;
    PrivateKey::from_seed(key(pack, "data_secret")).ok()
}

fn open(pack: &Value) -> PackCipher {
    PackCipher::open(
        RepositoryId(array(pack, "repository_id")),
        &bytes(pack, "object"),
        |epoch| data_secret(pack).filter(|_| epoch == 2),
        |epoch| (epoch == 2).then(|| key(pack, "metadata_key")),
    )
    .unwrap()
}

fn table(cipher: &PackCipher, object: &[u8]) -> BlobTable {
    let size = object.len();
    let trailer = cipher.open_trailer(&object[size - Trailer::SEALED_LEN..], size as u64).unwrap();
    let range = trailer.footer_range(size as u64);
    let footer =
        &object[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
    cipher.open_footer(footer, &trailer, size as u64).unwrap()
}

fn entries(pack: &Value) -> Vec<BlobEntry> {
    let object = bytes(pack, "object");
    let cipher = open(pack);
    let table = table(&cipher, &object);
    table.entries(cipher.blobs_offset()).collect()
}

#[test]
fn recorded_packs_open_and_their_blobs_decode() {
    for pack in list(&load("blobs.json"), "packs") {
        let object = bytes(pack, "object");
        assert_eq!(pack_id(&object).to_string(), text(pack, "pack_id"));
        assert_eq!(padme(object.len() as u64), object.len() as u64);
        let cipher = open(pack);
        let kind = cipher.header().kind;
        assert_eq!(kind.to_string(), text(pack, "kind"));
        assert_eq!(cipher.header().session.to_string(), text(pack, "session"));
        let identifier = Identifier::new(&key(pack, "dedup_key"));
        let elsewhere = bytes(pack, "elsewhere");
        let mut known = HashMap::from([(identifier.blob_id(kind, &elsewhere), elsewhere)]);
        let blobs = list(pack, "blobs");
        let entries = entries(pack);
        assert_eq!(entries.len(), blobs.len());
        for (entry, blob) in entries.iter().zip(blobs) {
            check_entry(entry, blob);
            let start = entry.offset as usize;
            let mut sealed = object[start..start + entry.stored_len as usize].to_vec();
            assert_eq!(sealed, bytes(blob, "sealed"));
            let payload = cipher.open_blob(entry, &mut sealed).unwrap();
            assert_eq!(payload, bytes(blob, "payload"));
            let raw_len = entry.raw_len as usize;
            let plaintext = match entry.encoding {
                Encoding::Raw => payload.to_vec(),
                Encoding::Zstd => compress::decompress(payload, raw_len, None).unwrap(),
                Encoding::Delta { bases, .. } => {
                    let mut parts: Vec<&[u8]> =
                        bases.ids().iter().map(|base| known[base].as_slice()).collect();
                    let prefix = parts.concat();
                    parts.reverse();
                    let other = compress::decompress(payload, raw_len, Some(&parts.concat()));
                    assert!(parts.len() == 1 || other != Ok(bytes(blob, "plaintext")));
                    compress::decompress(payload, raw_len, Some(&prefix)).unwrap()
                }
            };
            assert_eq!(plaintext, bytes(blob, "plaintext"));
            assert_eq!(identifier.blob_id(kind, &plaintext), entry.id);
            known.insert(entry.id, plaintext);
        }
        let depths: Vec<u8> = entries.iter().map(|entry| entry.encoding.depth()).collect();
        assert_eq!(depths, [0, 0, 0, 1, 2, 3, 4, 5, 0, 1], "a chain of deltas is among them");
        let bases: Vec<usize> = entries.iter().map(|entry| entry.encoding.bases().len()).collect();
        assert_eq!(bases, [0, 0, 0, 1, 1, 1, 2, 4, 0, 1], "several bases are among them");
    }
}

fn check_entry(entry: &BlobEntry, blob: &Value) {
    assert_eq!(entry.id.to_string(), text(blob, "id"));
    assert_eq!(Some(u64::from(entry.offset)), blob["offset"].as_u64());
    assert_eq!(Some(u64::from(entry.encoding.depth())), blob["depth"].as_u64());
    let name = match entry.encoding {
        Encoding::Raw => "raw",
        Encoding::Zstd => "zstd",
        Encoding::Delta { .. } => "delta",
    };
    assert_eq!(name, text(blob, "encoding"));
    let bases: Vec<String> = serde_json::from_value(blob["bases"].clone()).unwrap();
    assert_eq!(entry.encoding.bases().iter().map(BlobId::to_string).collect::<Vec<_>>(), bases);
}

#[test]
fn pack_keys_are_what_the_headers_lead_to() {
    for pack in list(&load("blobs.json"), "packs") {
        let object = bytes(pack, "object");
        let (header, material) = PackHeader::parse(&object).unwrap();
        let repository = bytes(pack, "repository_id");
        let pack_key = match material {
            KeyMaterial::Data { encapsulated, ciphertext } => {
                let context = b"nightjar format 1: pack key";
                let epoch = header.epoch.to_le_bytes();
                let info =
                    [context, repository.as_slice(), &epoch, header.session.as_bytes()].concat();
                let secret = data_secret(pack).unwrap();
                secret.open(&info, encapsulated, ciphertext, "pack key").unwrap()
            }
            KeyMaterial::Tree { salt } => {
                derive(Purpose::TreePack, &[key(pack, "metadata_key").expose(), &salt]).to_vec()
            }
        };
        assert_eq!(pack_key, bytes(pack, "pack_key"));
        // Each blob once more under the bare key, as chapter 3 puts it.
        let cipher = Cipher::new(&key(pack, "pack_key"));
        for (entry, blob) in entries(pack).iter().zip(list(pack, "blobs")) {
            let mut nonce = [0; 12];
            nonce[..4].copy_from_slice(&entry.offset.to_le_bytes());
            assert_eq!(nonce, SealedPart::Blob { offset: entry.offset }.nonce());
            let associated =
                [repository.as_slice(), &[header.kind as u8], entry.id.as_bytes()].concat();
            let sealed = cipher.seal(nonce, &associated, &bytes(blob, "payload"));
            assert_eq!(sealed, Ok(bytes(blob, "sealed")));
        }
    }
}

#[test]
fn a_pack_sealed_again_has_the_recorded_blobs() {
    for pack in list(&load("blobs.json"), "packs") {
        let recorded = bytes(pack, "object");
        let (header, _) = PackHeader::parse(&recorded).unwrap();
        let public = data_secret(pack).map(|secret| secret.public());
        let metadata_key = pack["metadata_key"].as_str().map(|_| key(pack, "metadata_key"));
        let source = match header.kind {
            BlobKind::Data => PackKeySource::Data(public.as_ref().unwrap()),
            BlobKind::Tree => PackKeySource::Tree(metadata_key.as_ref().unwrap()),
        };
        let repository = RepositoryId(array(pack, "repository_id"));
        let random = Seeded::new(text(pack, "random"));
        let (cipher, mut object) =
            PackCipher::create(repository, header, &source, &random).unwrap();
        for (entry, blob) in entries(pack).iter().zip(list(pack, "blobs")) {
            let mut buffer = [bytes(blob, "payload").as_slice(), &[0; TAG_LEN]].concat();
            assert_eq!(object.len(), entry.offset as usize);
            cipher.seal_blob(&entry.id, entry.offset, &mut buffer).unwrap();
            object.extend_from_slice(&buffer);
        }
        assert!(recorded.starts_with(&object));
        // What follows is compressed: other versions of zstd may make other bytes of it, which
        // must say the same.
        let whole = BlobTable::from_entries(&entries(pack));
        cipher.finish(&mut object, whole.clone()).unwrap();
        assert_eq!(table(&cipher, &object), whole);
    }
}
