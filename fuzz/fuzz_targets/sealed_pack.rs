//! A pack, damaged: each blob, the footer and the trailer open to the same bytes or not at all.
#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use nightjar_codec::aead::TAG_LEN;
use nightjar_codec::compress;
use nightjar_codec::digest::Identifier;
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_format::blob::{Bases, BlobEntry, BlobKind, BlobTable, Encoding};
use nightjar_format::pack::{PackHeader, Trailer};
use nightjar_format::{BlobId, RepositoryId, SessionId};
use nightjar_fuzz::{Counter, Damage, key};

const REPOSITORY: RepositoryId = RepositoryId([7; 16]);

struct Sealed {
    object: Vec<u8>,
    table: BlobTable,
    plaintexts: Vec<Vec<u8>>,
}

#[derive(Arbitrary, Debug)]
struct Case {
    data: bool,
    damages: Vec<Damage>,
}

static DATA: LazyLock<Sealed> = LazyLock::new(|| seal(BlobKind::Data));
static TREE: LazyLock<Sealed> = LazyLock::new(|| seal(BlobKind::Tree));

static DATA_SECRET: LazyLock<PrivateKey> =
    LazyLock::new(|| PrivateKey::from_seed(key("data secret")).unwrap());

fn seal(kind: BlobKind) -> Sealed {
    let header = PackHeader { kind, epoch: 1, session: SessionId([9; 16]) };
    let public = DATA_SECRET.public();
    let metadata_key = key("metadata");
    let source = match kind {
        BlobKind::Data => PackKeySource::Data(&public),
        BlobKind::Tree => PackKeySource::Tree(&metadata_key),
    };
    let (cipher, mut object) =
        PackCipher::create(REPOSITORY, header, &source, &Counter::new("pack")).unwrap();
    let identifier = Identifier::new(&key("dedup"));
    let first = b"a first blob ".repeat(20);
    let second = [first.as_slice(), b"and a second"].concat();
    let third = [&second[200..], b"between", &first[..100]].concat();
    let plaintexts = vec![first.clone(), second.clone(), b"raw".to_vec(), third.clone()];
    let delta = |plaintext: &[u8], bases: &[&[u8]], depth| {
        let ids: Vec<_> = bases.iter().map(|base| identifier.blob_id(kind, base)).collect();
        let encoding = Encoding::Delta { bases: Bases::new(&ids).unwrap(), depth };
        (encoding, compress::compress_delta(plaintext, &bases.concat(), 3).unwrap())
    };
    let payloads = [
        (Encoding::Zstd, compress::compress(&first, 3).unwrap()),
        delta(&second, &[&first], 1),
        (Encoding::Raw, b"raw".to_vec()),
        delta(&third, &[&second, b"raw", &first], 2),
    ];
    let mut entries = Vec::new();
    for (plaintext, (encoding, mut payload)) in plaintexts.iter().zip(payloads) {
        let id = identifier.blob_id(kind, plaintext);
        let offset = object.len() as u32;
        payload.extend_from_slice(&[0; TAG_LEN]);
        cipher.seal_blob(&id, offset, &mut payload).unwrap();
        object.extend_from_slice(&payload);
        entries.push(BlobEntry {
            id,
            offset,
            stored_len: payload.len() as u32,
            raw_len: plaintext.len() as u32,
            encoding,
            sketch: [1, 2, 3],
        });
    }
    let table = BlobTable::from_entries(&entries);
    cipher.finish(&mut object, table.clone()).unwrap();
    Sealed { object, table, plaintexts }
}

fuzz_target!(|case: Case| {
    let sealed = if case.data { &*DATA } else { &*TREE };
    let mut damaged = sealed.object.clone();
    case.damages.iter().for_each(|damage| damage.apply(&mut damaged));
    let opened = PackCipher::open(
        REPOSITORY,
        &damaged,
        |epoch| (epoch == 1).then(|| DATA_SECRET.clone()),
        |epoch| (epoch == 1).then(|| key("metadata")),
    );
    let Ok(cipher) = opened else {
        assert_ne!(damaged, sealed.object);
        return;
    };
    check_footer(&cipher, &damaged, sealed);
    check_blobs(&cipher, &damaged, sealed);
});

fn check_footer(cipher: &PackCipher, damaged: &[u8], sealed: &Sealed) {
    let size = damaged.len() as u64;
    let trailer = damaged
        .last_chunk::<{ Trailer::SEALED_LEN }>()
        .and_then(|sealed| cipher.open_trailer(sealed, size).ok());
    let table = trailer.and_then(|trailer| {
        let range = trailer.footer_range(size);
        let footer = &damaged[range.start as usize..range.end as usize];
        cipher.open_footer(footer, &trailer, size).ok()
    });
    match table {
        Some(table) => assert!(table == sealed.table),
        None => assert_ne!(damaged, sealed.object),
    }
}

fn check_blobs(cipher: &PackCipher, damaged: &[u8], sealed: &Sealed) {
    let mut known: HashMap<BlobId, &[u8]> = HashMap::new();
    for (entry, plaintext) in sealed.table.entries(cipher.blobs_offset()).zip(&sealed.plaintexts) {
        let (start, end) = (entry.offset as usize, (entry.offset + entry.stored_len) as usize);
        let Some(mut bytes) = damaged.get(start..end).map(<[u8]>::to_vec) else { continue };
        let Ok(payload) = cipher.open_blob(&entry, &mut bytes) else {
            assert_ne!(damaged, sealed.object);
            continue;
        };
        let decoded = match entry.encoding {
            Encoding::Raw => Ok(payload.to_vec()),
            Encoding::Zstd => compress::decompress(payload, entry.raw_len as usize, None),
            Encoding::Delta { bases, .. } => {
                let bases: Option<Vec<&[u8]>> =
                    bases.ids().iter().map(|base| known.get(base).copied()).collect();
                let Some(bases) = bases else { continue };
                compress::decompress(payload, entry.raw_len as usize, Some(&bases.concat()))
            }
        };
        assert_eq!(decoded.as_ref(), Ok(plaintext));
        known.insert(entry.id, plaintext);
    }
}
