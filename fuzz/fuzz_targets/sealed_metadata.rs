//! A sealed metadata object, damaged: it opens to the same record or not at all.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use nightjar_codec::metadata::{self, Opened, Sealer, Trust};
use nightjar_codec::sign::SignKey;
use nightjar_codec::{CodecError, SecretKey};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::session::SessionRecord;
use nightjar_format::slot::Role;
use nightjar_format::{RepositoryId, SessionId, SlotId};
use nightjar_fuzz::{Counter, Damage, key};

const SIGNER: SlotId = SlotId([3; 16]);
const REPOSITORY: RepositoryId = RepositoryId([7; 16]);

struct Keys {
    metadata: [SecretKey; 2],
    sign: SignKey,
}

impl Trust for Keys {
    fn repository(&self) -> RepositoryId {
        REPOSITORY
    }

    fn metadata_key(&self, epoch: u32) -> Option<&SecretKey> {
        self.metadata.get(epoch.checked_sub(1)? as usize)
    }

    fn member(&self, epoch: u32, slot: SlotId) -> Option<(Role, [u8; 32])> {
        (epoch == 1 && slot == SIGNER).then(|| (Role::Write, self.sign.public()))
    }
}

struct Sealed {
    keys: Keys,
    name: ObjectName,
    record: SessionRecord,
    object: Vec<u8>,
}

static SEALED: LazyLock<Sealed> = LazyLock::new(|| {
    let keys = Keys {
        metadata: [key("metadata 1"), key("metadata 2")],
        sign: SignKey::from_seed(&key("sign")),
    };
    let session = SessionId([9; 16]);
    let name = ObjectName::Session(session);
    let record = SessionRecord {
        session,
        host: "host".repeat(60),
        process: 1,
        started: 2,
        renewed: 3,
        renewals: 4,
        noted: None,
    };
    let sealer = Sealer {
        repository: REPOSITORY,
        epoch: 1,
        metadata_key: &keys.metadata[0],
        signer: SIGNER,
        sign_key: &keys.sign,
    };
    let random = Counter::new("object");
    let object = metadata::seal(&sealer, MetadataKind::Session, &name, &record, &random).unwrap();
    Sealed { keys, name, record, object }
});

fuzz_target!(|damages: Vec<Damage>| {
    let Sealed { keys, name, record, object } = &*SEALED;
    let mut damaged = object.clone();
    damages.iter().for_each(|damage| damage.apply(&mut damaged));
    let opened: Result<Opened<SessionRecord>, CodecError> =
        metadata::open(keys, MetadataKind::Session, name, &damaged);
    // The bytes themselves cannot be altered either: nothing in the object is unauthenticated.
    assert_eq!(opened.is_ok(), damaged == *object);
    if let Ok(opened) = opened {
        assert!(opened.record == *record && opened.signer == SIGNER && opened.role == Role::Write);
    }
    let elsewhere = ObjectName::Session(SessionId([8; 16]));
    assert!(
        metadata::open::<SessionRecord>(keys, MetadataKind::Session, &elsewhere, &damaged).is_err()
    );
    assert!(metadata::open::<SessionRecord>(keys, MetadataKind::Ledger, name, &damaged).is_err());
});
