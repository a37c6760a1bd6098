//! `keys.json`.

use nightjar_codec::chunker::gear_table;
use nightjar_codec::digest::{self, Purpose, derive};
use nightjar_codec::hybrid::{PrivateKey, PublicKey};
use nightjar_codec::sign::{SignKey, SignatureContext, verify};
use nightjar_codec::slot::{
    Anchor, NewSlot, Protection, SlotKeys, Unlock, Voucher, key_commitment, open_keyring,
    open_label, seal_keyring, seal_slot, unwrap, verify_slot,
};
use nightjar_codec::{CodecError, Random, SecretKey};
use nightjar_format::keyring::{self, EpochRecord, Keyring};
use nightjar_format::record;
use nightjar_format::slot::{
    Argon2Parameters, Role, Signature, SlotLabel, SlotObject, SlotRecord, Wrap, WrappedSecret,
};
use nightjar_format::{Digest, RepositoryId};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::file::{Seeded, array, bytes, key, list, load, number, text};

#[test]
fn derived_keys_are_those_of_the_format() {
    let derived = &load("keys.json")["derived"];
    let (dedup, metadata) = (key(derived, "dedup_key"), key(derived, "metadata_key"));
    let salt = bytes(derived, "salt");
    for (purpose, field) in [
        (Purpose::ChunkId, "chunk_id_key"),
        (Purpose::NodeId, "node_id_key"),
        (Purpose::DirectoryCut, "directory_cut_key"),
        (Purpose::KeyCommitment, "dedup_commitment"),
    ] {
        assert_eq!(derive(purpose, &[dedup.expose()]), array(derived, field), "{field}");
    }
    for (purpose, field) in [
        (Purpose::MetadataObject, "metadata_object_key"),
        (Purpose::TreePack, "tree_pack_key"),
        (Purpose::SlotLabel, "slot_label_key"),
    ] {
        assert_eq!(derive(purpose, &[metadata.expose(), &salt]), array(derived, field), "{field}");
    }
    assert_eq!(key_commitment(&dedup), array(derived, "dedup_commitment"));
    assert_eq!(key_commitment(&metadata), array(derived, "metadata_commitment"));
}

#[test]
fn the_gear_table_is_that_of_the_format() {
    let derived = &load("keys.json")["derived"];
    let table = gear_table(&key(derived, "dedup_key"));
    let table_bytes: Vec<u8> = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(table_bytes, bytes(derived, "gear_table"));
    assert_eq!(digest::hash(&table_bytes).to_string(), text(derived, "gear_table_blake3"));
    for (word, expected) in table.iter().zip(list(derived, "gear_table_first_words")) {
        assert_eq!(format!("{word:016x}"), expected.as_str().unwrap());
    }
}

fn unlock(slot: &Value) -> Unlock {
    match slot["unlock"].get("passphrase") {
        Some(_) => Unlock::Passphrase(Zeroizing::new(bytes(&slot["unlock"], "passphrase"))),
        None => Unlock::KeyFile(Zeroizing::new(bytes(&slot["unlock"], "key_file"))),
    }
}

fn sealed(record: &SlotRecord) -> &WrappedSecret {
    match &record.wrap {
        Wrap::Passphrase { sealed, .. }
        | Wrap::KeyFile { sealed }
        | Wrap::External { sealed, .. } => sealed,
    }
}

#[test]
fn recorded_slots_open_and_say_what_is_recorded() {
    let file = load("keys.json");
    for slot in list(&file, "slots") {
        let repository = RepositoryId(array(slot, "repository_id"));
        let object = SlotObject::from_object(&bytes(slot, "object")).unwrap();
        let (keys, anchor) = unwrap(&repository, &object.record, &unlock(slot)).unwrap();
        assert_eq!(*keys.kem.seed().expose(), array(slot, "kem_private"));
        assert_eq!(keys.kem.public().to_bytes(), bytes(slot, "kem_public"));
        assert_eq!(keys.sign_key().public(), array(slot, "sign_public"));
        let seed = key(slot, "sign_seed");
        assert_eq!(SignKey::from_seed(&seed).public(), array(slot, "sign_public"));
        assert_eq!(keys.slot_id().to_string(), text(slot, "slot_id"));
        assert_eq!(anchor.repository_hash.to_string(), text(slot, "repository_hash"));
        assert_eq!(anchor.root_public, array(slot, "root_public"));
        assert_eq!(object.record.added_by.to_string(), text(slot, "added_by"));
        assert_eq!(object.record.role.to_string(), text(slot, "role"));
        verify_slot(&repository, &object, &anchor.root_public).unwrap();
        let label = open_label(&repository, &object.record, &key(slot, "metadata_key")).unwrap();
        assert_eq!(label.label, text(&slot["label"], "label"));
        assert_eq!(label.created, slot["label"]["created"].as_i64().unwrap());
    }
}

#[test]
fn a_slot_sealed_again_has_the_recorded_bytes() {
    let file = load("keys.json");
    let [root, _] = list(&file, "slots") else { panic!("two slots") };
    let root_key = SignKey::from_seed(&key(root, "sign_seed"));
    for slot in list(&file, "slots") {
        let keys = SlotKeys::random(&Fixed::halves(slot)).unwrap();
        let argon2 = Argon2Parameters {
            memory_kib: number(&slot["argon2"], "memory_kib"),
            passes: number(&slot["argon2"], "passes"),
            lanes: number(&slot["argon2"], "lanes"),
        };
        let label = SlotLabel {
            label: text(&slot["label"], "label").to_owned(),
            created: slot["label"]["created"].as_i64().unwrap(),
        };
        let role = if text(slot, "role") == "full" { Role::Full } else { Role::Write };
        let object = seal_slot(
            &RepositoryId(array(slot, "repository_id")),
            &Anchor {
                repository_hash: Digest(array(slot, "repository_hash")),
                root_public: array(slot, "root_public"),
            },
            &keys,
            &NewSlot { role, since_epoch: number(slot, "since_epoch"), label },
            &Protection { unlock: &unlock(slot), argon2 },
            &Voucher {
                slot_id: text(root, "slot_id").parse().unwrap(),
                sign_key: &root_key,
                metadata_key: &key(slot, "metadata_key"),
            },
            &Seeded::new(text(slot, "random")),
        );
        assert_eq!(object.unwrap().to_object(), bytes(slot, "object"));
    }
}

/// Gives out what is recorded instead of random numbers.
struct Fixed(std::sync::Mutex<Vec<u8>>);

impl Fixed {
    fn halves(slot: &Value) -> Self {
        let halves = [bytes(slot, "kem_private"), bytes(slot, "sign_seed")].concat();
        Self(std::sync::Mutex::new(halves))
    }
}

impl Random for Fixed {
    fn fill(&self, out: &mut [u8]) {
        let mut left = self.0.lock().unwrap();
        out.copy_from_slice(&left[..out.len()]);
        left.drain(..out.len());
    }
}

#[test]
fn a_wrong_secret_is_told_apart_from_damage() {
    let file = load("keys.json");
    for slot in list(&file, "slots") {
        let repository = RepositoryId(array(slot, "repository_id"));
        let object = SlotObject::from_object(&bytes(slot, "object")).unwrap();
        for wrong in [
            Unlock::Passphrase(Zeroizing::new(b"a guess".to_vec())),
            Unlock::KeyFile(Zeroizing::new(b"a guess".to_vec())),
        ] {
            let error = unwrap(&repository, &object.record, &wrong).err();
            assert_eq!(error, Some(CodecError::WrongSecret));
        }
        let mut damaged = object.record.clone();
        let (Wrap::Passphrase { sealed, .. }
        | Wrap::KeyFile { sealed }
        | Wrap::External { sealed, .. }) = &mut damaged.wrap;
        sealed.ciphertext[0] ^= 1;
        let error = unwrap(&repository, &damaged, &unlock(slot)).err();
        assert_eq!(error, Some(CodecError::NotAuthentic { what: "slot object" }));
    }
}

#[test]
fn the_commitment_of_a_key_file_follows_from_its_content() {
    let file = load("keys.json");
    let slot = list(&file, "slots").last().unwrap();
    let object = SlotObject::from_object(&bytes(slot, "object")).unwrap();
    let WrappedSecret { salt, commitment, .. } = sealed(&object.record);
    let secret = derive(Purpose::KeyFile, &[salt, &bytes(&slot["unlock"], "key_file")]);
    assert_eq!(derive(Purpose::SlotCommitment, &[&secret, salt]), *commitment);
}

#[test]
fn hpke_opens_and_reproduces_what_is_recorded() {
    for message in list(&load("keys.json"), "hpke") {
        let private = PrivateKey::from_seed(key(message, "private")).unwrap();
        let public = bytes(message, "public");
        assert_eq!(private.public().to_bytes(), public);
        let (info, plaintext) = (bytes(message, "info"), bytes(message, "plaintext"));
        let (enc, ciphertext) = (bytes(message, "enc"), bytes(message, "ciphertext"));
        assert_eq!(ciphertext.len(), plaintext.len() + 16);
        assert_eq!(private.open(&info, &enc, &ciphertext, "message"), Ok(plaintext.clone()));
        let sealed = PublicKey::from_bytes(&public).unwrap().seal(
            &info,
            &plaintext,
            &Seeded::new(text(message, "random")),
        );
        assert_eq!(sealed, Ok((enc.clone(), ciphertext.clone())));
        for info in [b"other".to_vec(), [info, b"x".to_vec()].concat()] {
            assert!(private.open(&info, &enc, &ciphertext, "message").is_err());
        }
    }
}

#[test]
fn the_recorded_keyring_opens_and_is_reproduced() {
    let file = load("keys.json");
    let recorded = &file["keyring"];
    let root = &list(&file, "slots")[0];
    let repository = RepositoryId(array(recorded, "repository_id"));
    let keys = SlotKeys::random(&Fixed::halves(root)).unwrap();
    assert_eq!(*keys.kem.seed().expose(), array(recorded, "kem_private"));
    let object = bytes(recorded, "object");
    let keyring = open_keyring(&repository, 1, &keys, &object).unwrap();
    assert_eq!(record::encode(&keyring), bytes(recorded, "plaintext"));
    assert_eq!(keyring.dedup_key, array(recorded, "dedup_key"));
    assert_eq!(keyring.metadata_key, array(recorded, "metadata_key"));
    assert_eq!(keyring.data_secret, Some(array(recorded, "data_secret")));
    check_epoch(&repository, &keyring, recorded);
    assert!(open_keyring(&repository, 2, &keys, &object).is_err());
    assert!(keyring::split(&object).is_ok());

    let slot = SlotObject::from_object(&bytes(root, "object")).unwrap().record;
    let random = Seeded::new(text(recorded, "random"));
    let sealed = seal_keyring(&repository, 1, &slot, &keyring, &random);
    assert_eq!(sealed, Ok(object));
}

fn check_epoch(repository: &RepositoryId, keyring: &Keyring, recorded: &Value) {
    assert_eq!(keyring.epoch_record, bytes(recorded, "epoch_record"));
    let message = [repository.as_bytes().as_slice(), &keyring.epoch_record].concat();
    let root_public = array(recorded, "root_public");
    let context = SignatureContext::Epoch;
    verify(&root_public, context, &message, &keyring.signature, "epoch").unwrap();
    let epoch: EpochRecord = record::decode(&keyring.epoch_record).unwrap();
    assert_eq!(epoch.data_public, bytes(recorded, "data_public"));
    let data = PrivateKey::from_seed(key(recorded, "data_secret")).unwrap();
    assert_eq!(data.public().to_bytes(), epoch.data_public);
    assert_eq!(key_commitment(&SecretKey::new(keyring.dedup_key)), epoch.dedup_commitment);
    assert_eq!(key_commitment(&SecretKey::new(keyring.metadata_key)), epoch.metadata_commitment);
}

#[test]
fn signatures_are_reproduced_and_hold_under_their_context_only() {
    let contexts = [SignatureContext::Metadata, SignatureContext::Slot, SignatureContext::Epoch];
    let file = load("keys.json");
    let signatures = list(&file, "signatures");
    assert_eq!(signatures.len(), contexts.len());
    for (recorded, context) in signatures.iter().zip(contexts) {
        let signer = SignKey::from_seed(&key(recorded, "seed"));
        assert_eq!(signer.public(), array(recorded, "public"));
        let message = bytes(recorded, "message");
        let signature = Signature::from_bytes(array(recorded, "signature"));
        assert_eq!(signer.sign(context, &message), signature);
        for other in contexts {
            let holds = verify(&signer.public(), other, &message, &signature, "message").is_ok();
            assert_eq!(holds, other == context);
        }
    }
}
