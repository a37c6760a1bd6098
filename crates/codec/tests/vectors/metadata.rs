//! `metadata.json`: sealed metadata objects.

use nightjar_codec::metadata::{self, Opened, Sealer, Trust};
use nightjar_codec::sign::SignKey;
use nightjar_codec::{CodecError, SecretKey};
use nightjar_format::check::CheckRecord;
use nightjar_format::index::IndexRecord;
use nightjar_format::ledger::LedgerRecord;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record::{self, Record};
use nightjar_format::session::SessionRecord;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Register;
use nightjar_format::{RepositoryId, SlotId};
use serde_json::Value;

use crate::file::{Seeded, array, bytes, key, list, load, number, text};

struct Keys {
    repository: RepositoryId,
    epoch: u32,
    metadata_key: SecretKey,
    signer: SlotId,
    public: [u8; 32],
}

impl Keys {
    fn new(file: &Value) -> Self {
        Self {
            repository: RepositoryId(array(file, "repository_id")),
            epoch: number(file, "epoch"),
            metadata_key: key(file, "metadata_key"),
            signer: SlotId(array(file, "signer")),
            public: array(file, "sign_public"),
        }
    }
}

impl Trust for Keys {
    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn metadata_key(&self, epoch: u32) -> Option<&SecretKey> {
        (epoch == self.epoch).then_some(&self.metadata_key)
    }

    fn member(&self, epoch: u32, slot: SlotId) -> Option<(Role, [u8; 32])> {
        (epoch == self.epoch && slot == self.signer).then_some((Role::Write, self.public))
    }
}

#[test]
fn recorded_objects_open_to_their_records() {
    let file = load("metadata.json");
    let [index, session, snapshot, records @ .., checked] = list(&file, "objects") else {
        panic!("nothing but ledger records stands between")
    };
    assert_eq!(records.len(), 4);
    check::<IndexRecord>(&file, index, MetadataKind::Index);
    check::<SessionRecord>(&file, session, MetadataKind::Session);
    check::<Register>(&file, snapshot, MetadataKind::Snapshot);
    let Ok(Register::Committed(snapshot)) = record::decode(&bytes(snapshot, "record")) else {
        panic!("a committed snapshot")
    };
    assert_eq!(serde_json::to_value(snapshot.counts).unwrap(), file["counts"]);
    for record in records {
        check::<LedgerRecord>(&file, record, MetadataKind::Ledger);
    }
    check::<CheckRecord>(&file, checked, MetadataKind::Check);
}

fn check<R: Record + PartialEq + std::fmt::Debug>(file: &Value, value: &Value, kind: MetadataKind) {
    assert_eq!(Some(u64::from(kind as u8)), value["kind"].as_u64());
    let keys = Keys::new(file);
    let name = ObjectName::parse(text(value, "name")).unwrap();
    let object = bytes(value, "object");
    let open = |trust: &Keys, object: &[u8]| metadata::open::<R>(trust, kind, &name, object);
    let opened = open(&keys, &object).unwrap();
    assert_eq!(record::encode(&opened.record), bytes(value, "record"));
    assert_eq!((opened.signer, opened.role), (keys.signer, Role::Write));

    let stranger = Keys { signer: SlotId([0; 16]), ..Keys::new(file) };
    assert_eq!(open(&stranger, &object), Err(CodecError::UntrustedSigner(keys.signer)));
    let forged = Keys { public: [1; 32], ..Keys::new(file) };
    assert!(open(&forged, &object).is_err());
    let elsewhere = Keys { repository: RepositoryId([0; 16]), ..Keys::new(file) };
    assert!(open(&elsewhere, &object).is_err());

    let sealer = Sealer {
        repository: keys.repository,
        epoch: keys.epoch,
        metadata_key: &keys.metadata_key,
        signer: keys.signer,
        sign_key: &SignKey::from_seed(&key(file, "sign_seed")),
    };
    let random = Seeded::new(text(value, "random"));
    let again = metadata::seal(&sealer, kind, &name, &opened.record, &random).unwrap();
    // The header is the same; what follows is compressed and may differ with zstd's version.
    assert_eq!(again[..41], object[..41]);
    let Opened { record, .. } = open(&keys, &again).unwrap();
    assert_eq!(record, opened.record);
}
