//! `keys.json`: derivations, slots, keyrings, signatures (format-spec, chapter 2).

use anyhow::Result;
use nightjar_codec::chunker::gear_table;
use nightjar_codec::digest::{self, Purpose, derive};
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::sign::{SignKey, SignatureContext};
use nightjar_codec::slot::{
    self, Anchor, NewSlot, Protection, SlotKeys, Unlock, Voucher, key_commitment,
};
use nightjar_codec::{Random, SecretKey};
use nightjar_format::keyring::{self, EpochRecord, Keyring, Member};
use nightjar_format::record;
use nightjar_format::slot::{Argon2Parameters, Role, SlotLabel, SlotObject};
use nightjar_format::{Digest, RepositoryId};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::seeded::{Seeded, array, hex, key};

pub(crate) fn vectors() -> Result<Value> {
    let repository = RepositoryId(array("repository"));
    let root = SlotKeys::random(&Seeded::new("root slot"))?;
    let anchor = Anchor {
        repository_hash: Digest(array("repository hash")),
        root_public: root.sign_key().public(),
    };
    let passphrase = Unlock::Passphrase(Zeroizing::new(b"correct horse battery staple".to_vec()));
    let key_file = Unlock::KeyFile(Zeroizing::new(array::<48>("key file").to_vec()));
    let slots = [
        seal_slot(&repository, &anchor, &root, &root, Role::Full, &passphrase, "root slot")?,
        seal_slot(
            &repository,
            &anchor,
            &SlotKeys::random(&Seeded::new("write slot"))?,
            &root,
            Role::Write,
            &key_file,
            "write slot",
        )?,
    ];
    Ok(json!({
        "about": "format-spec, chapter 2. \"random\" names the label whose BLAKE3 extendable \
            output stood in for random numbers.",
        "derived": derived(),
        "slots": slots,
        "hpke": hpke()?,
        "keyring": sealed_keyring(&repository, &anchor, &root)?,
        "signatures": signatures(),
    }))
}

fn derived() -> Value {
    let (dedup, metadata) = (key("dedup key"), key("metadata key"));
    let salt: [u8; 32] = array("salt");
    let from_dedup = |purpose| hex(&derive(purpose, &[dedup.expose()]));
    let salted = |purpose| hex(&derive(purpose, &[metadata.expose(), &salt]));
    let gear = gear_table(&dedup);
    let gear_bytes: Vec<u8> = gear.iter().flat_map(|word| word.to_le_bytes()).collect();
    let first_words: Vec<String> = gear.iter().take(8).map(|word| format!("{word:016x}")).collect();
    json!({
        "dedup_key": hex(dedup.expose()),
        "chunk_id_key": from_dedup(Purpose::ChunkId),
        "node_id_key": from_dedup(Purpose::NodeId),
        "directory_cut_key": from_dedup(Purpose::DirectoryCut),
        "dedup_commitment": hex(&key_commitment(&dedup)),
        "gear_table_first_words": first_words,
        "gear_table": hex(&gear_bytes),
        "gear_table_blake3": digest::hash(&gear_bytes).to_string(),
        "metadata_key": hex(metadata.expose()),
        "metadata_commitment": hex(&key_commitment(&metadata)),
        "salt": hex(&salt),
        "metadata_object_key": salted(Purpose::MetadataObject),
        "tree_pack_key": salted(Purpose::TreePack),
        "slot_label_key": salted(Purpose::SlotLabel),
    })
}

fn seal_slot(
    repository: &RepositoryId,
    anchor: &Anchor,
    keys: &SlotKeys,
    root: &SlotKeys,
    role: Role,
    unlock: &Unlock,
    random: &str,
) -> Result<Value> {
    let metadata_key = key("metadata key");
    let label = SlotLabel { label: format!("the {random}"), created: 1_700_000_000_123_456_789 };
    let argon2 = Argon2Parameters { memory_kib: 256, passes: 2, lanes: 2 };
    let sealing = format!("sealing the {random}");
    let object = slot::seal_slot(
        repository,
        anchor,
        keys,
        &NewSlot { role, since_epoch: 1, label: label.clone() },
        &Protection { unlock, argon2 },
        &Voucher {
            slot_id: root.slot_id(),
            sign_key: &root.sign_key(),
            metadata_key: &metadata_key,
        },
        &Seeded::new(&sealing),
    )?;
    let unlock = match unlock {
        Unlock::Passphrase(passphrase) => json!({ "passphrase": hex(passphrase) }),
        Unlock::KeyFile(content) => json!({ "key_file": hex(content) }),
    };
    let (kem_private, sign_seed) = halves(random);
    let SlotObject { record, .. } = &object;
    Ok(json!({
        "repository_id": repository.to_string(),
        "repository_hash": anchor.repository_hash.to_string(),
        "root_public": hex(&anchor.root_public),
        "metadata_key": hex(metadata_key.expose()),
        "unlock": unlock,
        "argon2": { "memory_kib": 256, "passes": 2, "lanes": 2 },
        "random": sealing,
        "role": role.to_string(),
        "since_epoch": 1,
        "kem_private": hex(kem_private.expose()),
        "kem_public": hex(&record.kem_public),
        "sign_seed": hex(sign_seed.expose()),
        "sign_public": hex(&record.sign_public),
        "slot_id": record.slot_id.to_string(),
        "added_by": record.added_by.to_string(),
        "label": { "label": label.label, "created": label.created },
        "object": hex(&object.to_object()),
    }))
}

/// The secret halves that [`SlotKeys::random`] draws.
fn halves(label: &str) -> (SecretKey, SecretKey) {
    let random: &dyn Random = &Seeded::new(label);
    (SecretKey::random(random), SecretKey::random(random))
}

fn hpke() -> Result<Vec<Value>> {
    ["hpke 1", "hpke 2", "hpke 3"]
        .iter()
        .zip([b"".as_slice(), b"a message", &[0x5a; 1000]])
        .map(|(label, plaintext)| {
            let private = PrivateKey::from_seed(key(label))?;
            let info = format!("info of {label}");
            let random = format!("sealing {label}");
            let (encapsulated, ciphertext) =
                private.public().seal(info.as_bytes(), plaintext, &Seeded::new(&random))?;
            Ok(json!({
                "private": hex(private.seed().expose()),
                "public": hex(&private.public().to_bytes()),
                "info": hex(info.as_bytes()),
                "plaintext": hex(plaintext),
                "enc": hex(&encapsulated),
                "ciphertext": hex(&ciphertext),
                "random": random,
            }))
        })
        .collect()
}

fn sealed_keyring(repository: &RepositoryId, anchor: &Anchor, root: &SlotKeys) -> Result<Value> {
    let (dedup, metadata, data) = (key("dedup key"), key("metadata key"), key("data secret"));
    let epoch = EpochRecord {
        epoch: 1,
        repository_hash: anchor.repository_hash,
        previous: None,
        created_by: root.slot_id(),
        data_public: PrivateKey::from_seed(data.clone())?.public().to_bytes(),
        dedup_commitment: key_commitment(&dedup),
        metadata_commitment: key_commitment(&metadata),
        slots: vec![Member {
            slot_id: root.slot_id(),
            role: Role::Full,
            sign_public: root.sign_key().public(),
            since: 1,
            until: None,
        }],
    };
    let epoch_record = record::encode(&epoch);
    let message = [repository.as_bytes().as_slice(), &epoch_record].concat();
    let signature = root.sign_key().sign(SignatureContext::Epoch, &message);
    let keyring = Keyring {
        epoch_record: epoch_record.clone(),
        signature,
        dedup_key: *dedup.expose(),
        metadata_key: *metadata.expose(),
        data_secret: Some(*data.expose()),
    };
    let (kem_private, _) = halves("root slot");
    let random = "sealing the keyring";
    let kem = PrivateKey::from_seed(kem_private.clone())?;
    let info = [
        b"nightjar format 1: keyring".as_slice(),
        repository.as_bytes(),
        &1u32.to_le_bytes(),
        root.slot_id().as_bytes(),
    ]
    .concat();
    let plaintext = record::encode(&keyring);
    let (encapsulated, ciphertext) = kem.public().seal(&info, &plaintext, &Seeded::new(random))?;
    Ok(json!({
        "repository_id": repository.to_string(),
        "epoch": 1,
        "slot_id": root.slot_id().to_string(),
        "kem_private": hex(kem_private.expose()),
        "root_public": hex(&anchor.root_public),
        "epoch_record": hex(&epoch_record),
        "signature": hex(&signature.to_bytes()),
        "dedup_key": hex(dedup.expose()),
        "metadata_key": hex(metadata.expose()),
        "data_secret": hex(data.expose()),
        "data_public": hex(&epoch.data_public),
        "plaintext": hex(&plaintext),
        "random": random,
        "object": hex(&keyring::to_object(&encapsulated, &ciphertext)),
    }))
}

fn signatures() -> Vec<Value> {
    let seed = key("signer");
    let signer = SignKey::from_seed(&seed);
    [
        ("signature", SignatureContext::Metadata),
        ("slot", SignatureContext::Slot),
        ("epoch", SignatureContext::Epoch),
    ]
    .map(|(name, context)| {
        let message = format!("a message under {name}");
        json!({
            "context": name,
            "seed": hex(seed.expose()),
            "public": hex(&signer.public()),
            "message": hex(message.as_bytes()),
            "signature": hex(&signer.sign(context, message.as_bytes()).to_bytes()),
        })
    })
    .to_vec()
}
