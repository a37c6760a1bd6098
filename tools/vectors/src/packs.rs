//! `ids.json` and `blobs.json`: blob ids, packs with sealed blobs in every encoding, a chain of
//! deltas (format-spec, chapters 3 and 4).

use anyhow::{Context, Result};
use nightjar_codec::aead::TAG_LEN;
use nightjar_codec::compress;
use nightjar_codec::digest::{Identifier, pack_id};
use nightjar_codec::digest::{Purpose, derive};
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable, Encoding};
use nightjar_format::pack::PackHeader;
use nightjar_format::{RepositoryId, SessionId};
use serde_json::{Value, json};

use crate::seeded::{Seeded, array, hex, key};

pub(crate) fn ids() -> Value {
    let dedup_key = key("dedup key");
    let identifier = Identifier::new(&dedup_key);
    let plaintexts: [&[u8]; 4] = [b"", b"a", b"the same bytes", &[0; 3000]];
    let ids: Vec<Value> = plaintexts
        .iter()
        .map(|plaintext| {
            json!({
                "plaintext": hex(plaintext),
                "chunk": identifier.blob_id(BlobKind::Data, plaintext).to_string(),
                "node": identifier.blob_id(BlobKind::Tree, plaintext).to_string(),
            })
        })
        .collect();
    json!({
        "about": "format-spec, chapter 3: the ids of a chunk and of a tree blob.",
        "dedup_key": hex(dedup_key.expose()),
        "ids": ids,
    })
}

pub(crate) fn vectors() -> Result<Value> {
    Ok(json!({
        "about": "format-spec, chapters 3 and 4: two whole packs, and their blobs one by one. A \
            base names the blob whose plaintext is the prefix.",
        "packs": [pack(BlobKind::Data)?, pack(BlobKind::Tree)?],
    }))
}

/// What one blob of a pack is made of.
struct Blob {
    plaintext: Vec<u8>,
    payload: Vec<u8>,
    encoding: Encoding,
}

fn blobs(kind: BlobKind, identifier: &Identifier) -> Result<Vec<Blob>> {
    let noise: [u8; 100] = array(&format!("noise of the {kind} pack"));
    let rows = (0..80).map(|row| format!("{row}\tsome text of the {kind} pack\t{}\n", row * row));
    let text = rows.collect::<String>().into_bytes();
    let mut blobs = vec![
        Blob { plaintext: noise.to_vec(), payload: noise.to_vec(), encoding: Encoding::Raw },
        Blob {
            payload: compress::compress(&text, 3).context("text compresses")?,
            plaintext: text.clone(),
            encoding: Encoding::Zstd,
        },
    ];
    let mut base = text;
    for depth in 1..=3 {
        let mut plaintext = base.clone();
        plaintext.splice(700..704, format!("changed {depth}").bytes());
        plaintext.extend_from_slice(&array::<20>(&format!("change {depth} of the {kind} pack")));
        blobs.push(Blob {
            payload: compress::compress_delta(&plaintext, &base, 3).context("a delta is small")?,
            plaintext: plaintext.clone(),
            encoding: Encoding::Delta { base: identifier.blob_id(kind, &base), depth },
        });
        base = plaintext;
    }
    Ok(blobs)
}

fn pack(kind: BlobKind) -> Result<Value> {
    let repository = RepositoryId(array("repository"));
    let header = PackHeader { kind, epoch: 2, session: SessionId(array("session")) };
    let identifier = Identifier::new(&key("dedup key"));
    let data_secret = PrivateKey::from_seed(key("data secret"))?;
    let metadata_key = key("metadata key");
    let public = data_secret.public();
    let source = match kind {
        BlobKind::Data => PackKeySource::Data(&public),
        BlobKind::Tree => PackKeySource::Tree(&metadata_key),
    };
    let random = format!("the {kind} pack");
    let (cipher, mut object) =
        PackCipher::create(repository, header, &source, &Seeded::new(&random))?;
    // What create drew first: the key of a data pack, the salt of a tree pack.
    let drawn: [u8; 32] = array(&random);
    let pack_key = match kind {
        BlobKind::Data => drawn,
        BlobKind::Tree => derive(Purpose::TreePack, &[metadata_key.expose(), &drawn]),
    };
    let mut entries = Vec::new();
    let mut described = Vec::new();
    for blob in blobs(kind, &identifier)? {
        let offset = u32::try_from(object.len())?;
        let id = identifier.blob_id(kind, &blob.plaintext);
        let mut sealed = [blob.payload.as_slice(), &[0; TAG_LEN]].concat();
        cipher.seal_blob(&id, offset, &mut sealed)?;
        object.extend_from_slice(&sealed);
        let (encoding, base) = match blob.encoding {
            Encoding::Raw => ("raw", None),
            Encoding::Zstd => ("zstd", None),
            Encoding::Delta { base, .. } => ("delta", Some(base.to_string())),
        };
        described.push(json!({
            "id": id.to_string(),
            "offset": offset,
            "encoding": encoding,
            "base": base,
            "depth": blob.encoding.depth(),
            "plaintext": hex(&blob.plaintext),
            "payload": hex(&blob.payload),
            "sealed": hex(&sealed),
        }));
        entries.push(BlobEntry {
            id,
            offset,
            stored_len: u32::try_from(sealed.len())?,
            raw_len: u32::try_from(blob.plaintext.len())?,
            encoding: blob.encoding,
            sketch: if kind == BlobKind::Data { [offset, 2, 300_000] } else { [0; 3] },
        });
    }
    cipher.finish(&mut object, BlobTable::from_entries(&entries))?;
    Ok(json!({
        "repository_id": repository.to_string(),
        "kind": kind.to_string(),
        "epoch": 2,
        "session": header.session.to_string(),
        "dedup_key": hex(key("dedup key").expose()),
        "data_secret": (kind == BlobKind::Data).then(|| hex(data_secret.seed().expose())),
        "metadata_key": (kind == BlobKind::Tree).then(|| hex(metadata_key.expose())),
        "random": random,
        "pack_key": hex(&pack_key),
        "blobs": described,
        "pack_id": pack_id(&object).to_string(),
        "object": hex(&object),
    }))
}
