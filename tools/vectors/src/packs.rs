//! `ids.json` and `blobs.json`: blob ids, packs with sealed blobs in every encoding, a chain of
//! deltas, deltas with several bases (format-spec, chapters 3 and 4).

use anyhow::{Context, Result};
use nightjar_codec::aead::TAG_LEN;
use nightjar_codec::compress;
use nightjar_codec::digest::{Identifier, pack_id};
use nightjar_codec::digest::{Purpose, derive};
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_format::blob::{Bases, BlobEntry, BlobKind, BlobTable, Encoding};
use nightjar_format::pack::PackHeader;
use nightjar_format::{BlobId, RepositoryId, SessionId};
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
        "about": "format-spec, chapters 3 and 4: two whole packs, and their blobs one by one. \
            \"bases\" name the blobs whose plaintexts, joined, are the prefix; \"elsewhere\" is the \
            plaintext of one that lies in another pack.",
        "packs": [pack(BlobKind::Data)?, pack(BlobKind::Tree)?],
    }))
}

/// What one blob of a pack is made of.
struct Blob {
    plaintext: Vec<u8>,
    payload: Vec<u8>,
    encoding: Encoding,
}

/// Blobs as they lie in a pack.
struct Blobs<'a> {
    kind: BlobKind,
    identifier: &'a Identifier,
    blobs: Vec<Blob>,
}

/// A base that lies in another pack.
fn elsewhere(kind: BlobKind) -> Vec<u8> {
    rows(kind, "what lies elsewhere")
}

fn rows(kind: BlobKind, what: &str) -> Vec<u8> {
    let rows = (0..80).map(|row| format!("{row}\t{what} of the {kind} pack\t{}\n", row * row));
    rows.collect::<String>().into_bytes()
}

impl<'a> Blobs<'a> {
    fn new(kind: BlobKind, identifier: &'a Identifier) -> Result<Self> {
        let mut all = Self { kind, identifier, blobs: Vec::new() };
        let noise: [u8; 100] = array(&format!("noise of the {kind} pack"));
        all.raw(&noise);
        all.raw(b"");
        let mut newest = rows(kind, "some text");
        all.blobs.push(Blob {
            payload: compress::compress(&newest, 3).context("text compresses")?,
            plaintext: newest.clone(),
            encoding: Encoding::Zstd,
        });
        for depth in 1..=3 {
            let base = newest.clone();
            newest.splice(700..704, format!("changed {depth}").bytes());
            newest.extend_from_slice(&array::<20>(&format!("change {depth} of the {kind} pack")));
            all.delta(&newest, &[&base], depth)?;
        }
        // A chunk across what was the end of one and the beginning of another, and one for which
        // an empty base and one in another pack are among the most that there may be.
        let part = |of: Option<&[u8]>| of.unwrap_or_default().to_vec();
        let elsewhere = elsewhere(kind);
        let (tail, head) = (part(newest.get(1200..)), part(elsewhere.get(..900)));
        let across = [&tail, b"between".as_slice(), &head].concat();
        all.delta(&across, &[&newest, &elsewhere], 4)?;
        let (tail, head) = (part(elsewhere.get(500..)), part(across.get(..1000)));
        let four = [&tail, noise.as_slice(), &head, b"the end"].concat();
        all.delta(&four, &[&across, b"", &elsewhere, &noise], 5)?;
        // As a base, what begins like a zstd dictionary is bytes like any others.
        let dictionary = [&[0x37, 0xa4, 0x30, 0xec], noise.as_slice()].concat();
        all.raw(&dictionary);
        all.delta(&dictionary.repeat(2), &[&dictionary], 1)?;
        Ok(all)
    }

    fn raw(&mut self, plaintext: &[u8]) {
        let (plaintext, payload) = (plaintext.to_vec(), plaintext.to_vec());
        self.blobs.push(Blob { plaintext, payload, encoding: Encoding::Raw });
    }

    fn delta(&mut self, plaintext: &[u8], bases: &[&[u8]], depth: u8) -> Result<()> {
        let ids: Vec<BlobId> =
            bases.iter().map(|base| self.identifier.blob_id(self.kind, base)).collect();
        let bases = Bases::new(&ids).zip(compress::compress_delta(plaintext, &bases.concat(), 3));
        let (bases, payload) = bases.context("a delta is small")?;
        let (plaintext, encoding) = (plaintext.to_vec(), Encoding::Delta { bases, depth });
        self.blobs.push(Blob { plaintext, payload, encoding });
        Ok(())
    }
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
    for blob in Blobs::new(kind, &identifier)?.blobs {
        let offset = u32::try_from(object.len())?;
        let id = identifier.blob_id(kind, &blob.plaintext);
        let mut sealed = [blob.payload.as_slice(), &[0; TAG_LEN]].concat();
        cipher.seal_blob(&id, offset, &mut sealed)?;
        object.extend_from_slice(&sealed);
        let encoding = match blob.encoding {
            Encoding::Raw => "raw",
            Encoding::Zstd => "zstd",
            Encoding::Delta { .. } => "delta",
        };
        let bases: Vec<String> = blob.encoding.bases().iter().map(BlobId::to_string).collect();
        described.push(json!({
            "id": id.to_string(),
            "offset": offset,
            "encoding": encoding,
            "bases": bases,
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
        "elsewhere": hex(&elsewhere(kind)),
        "blobs": described,
        "pack_id": pack_id(&object).to_string(),
        "object": hex(&object),
    }))
}
