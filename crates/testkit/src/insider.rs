//! The raw keys of a slot, as anybody has them who knows its passphrase: tests forge with them
//! what the engine would never write.

use std::collections::BTreeMap;

use nightjar_codec::SecretKey;
use nightjar_codec::compress::{Payload, compress, compress_delta};
use nightjar_codec::digest::{self, Identifier};
use nightjar_codec::hybrid::PublicKey;
use nightjar_codec::metadata::{self, Sealer};
use nightjar_codec::pack::{PackCipher, PackKeySource};
use nightjar_codec::sign::{SignKey, SignatureContext};
use nightjar_codec::slot::{Anchor, SlotKeys, open_keyring, unwrap};
use nightjar_format::blob::{Bases, BlobEntry, BlobKind, BlobTable, Encoding, TAG_LEN};
use nightjar_format::bundle;
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::keyring::{EpochRecord, Keyring};
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::pack::PackHeader;
use nightjar_format::record::{self, Record};
use nightjar_format::repository::RepositoryRecord;
use nightjar_format::slot::SlotObject;
use nightjar_format::{BlobId, Digest, IndexId, RepositoryId, SessionId, SlotId};
use nightjar_repository::{Repository, ledger};
use nightjar_storage::Store;

use crate::damage;
use crate::fixture::{Fixture, PASSPHRASE, passphrase};

/// Holds a slot's keys of every epoch, and writes under the newest.
pub struct Insider {
    store: Store,
    fixture: Fixture,
    /// The repository as everybody sees it.
    pub record: RepositoryRecord,
    /// The slot.
    pub slot: SlotId,
    /// Its secret halves.
    pub keys: SlotKeys,
    /// What it trusts.
    pub anchor: Anchor,
    /// The newest epoch it was given keys of.
    pub epoch: u32,
    /// What it was given then.
    pub keyring: Keyring,
    sign_key: SignKey,
    metadata_keys: BTreeMap<u32, SecretKey>,
}

/// A blob of a hand-made pack.
#[derive(Debug, Clone)]
pub struct HandMade {
    /// Under which name.
    pub id: BlobId,
    /// How long its plaintext is said to be, in bytes.
    pub raw_len: usize,
    /// What is sealed.
    pub payload: Payload,
}

impl Insider {
    /// Opens the first slot of a fixture by hand.
    pub fn first(fixture: &Fixture) -> Self {
        Self::open(fixture, fixture.open().keychain().slot(), PASSPHRASE)
    }

    /// Opens a slot by hand.
    pub fn open(fixture: &Fixture, slot: SlotId, text: &str) -> Self {
        let store = fixture.store.clone();
        let read = |name: ObjectName| damage::read(&store, &name.to_string());
        let record = RepositoryRecord::from_object(&read(ObjectName::Repository)).unwrap();
        let object = SlotObject::from_object(&read(ObjectName::Slot(slot))).unwrap();
        let id = record.repository_id;
        let (keys, anchor) = unwrap(&id, &object.record, &passphrase(text)).unwrap();
        let mut keyrings = BTreeMap::new();
        for name in damage::names(&store, "keyring") {
            let Some(ObjectName::Keyring(epoch, _, owner)) = ObjectName::parse(&name) else {
                continue;
            };
            if owner == slot {
                let object = damage::read(&store, &name);
                keyrings.insert(epoch, open_keyring(&id, epoch, &keys, &object).unwrap());
            }
        }
        let metadata_keys = keyrings
            .iter()
            .map(|(epoch, keyring)| (*epoch, SecretKey::new(keyring.metadata_key)))
            .collect();
        let (epoch, keyring) = keyrings.pop_last().unwrap();
        let (sign_key, fixture) = (keys.sign_key(), fixture.clone());
        Self { store, fixture, record, slot, keys, anchor, epoch, keyring, sign_key, metadata_keys }
    }

    /// The repository's id.
    pub fn repository(&self) -> RepositoryId {
        self.record.repository_id
    }

    /// Names blobs.
    pub fn identifier(&self) -> Identifier {
        Identifier::new(&SecretKey::new(self.keyring.dedup_key))
    }

    /// The metadata key of an epoch.
    pub fn metadata_key(&self, epoch: u32) -> Option<&SecretKey> {
        self.metadata_keys.get(&epoch)
    }

    /// A metadata object of the newest epoch, signed by this slot.
    pub fn seal<R: Record>(&self, kind: MetadataKind, name: &ObjectName, record: &R) -> Vec<u8> {
        let sealer = Sealer {
            repository: self.repository(),
            epoch: self.epoch,
            metadata_key: self.metadata_key(self.epoch).unwrap(),
            signer: self.slot,
            sign_key: &self.sign_key,
        };
        let random = self.fixture.world.random();
        metadata::seal(&sealer, kind, name, record, random).unwrap()
    }

    /// The same, written.
    pub fn write<R: Record>(&self, kind: MetadataKind, name: &ObjectName, record: &R) {
        damage::write(&self.store, &name.to_string(), self.seal(kind, name, record));
    }

    /// Signs copies as a bundle of this name.
    pub fn bundle(&self, name: &ObjectName, copies: &[(ObjectName, Vec<u8>)]) -> Vec<u8> {
        let signed = bundle::to_signed(copies);
        let message = bundle::signed_message(&self.repository(), name, &digest::hash(&signed));
        let signature = self.sign_key.sign(SignatureContext::Bundle, &message);
        bundle::to_object(signed, self.slot, &signature)
    }

    /// The id of a chunk.
    pub fn chunk_id(&self, text: &[u8]) -> BlobId {
        self.identifier().blob_id(BlobKind::Data, text)
    }

    /// A chunk, stored whole.
    pub fn whole(&self, text: &[u8]) -> HandMade {
        let bytes = compress(text, 3).unwrap();
        let payload = Payload { encoding: Encoding::Zstd, bytes };
        HandMade { id: self.chunk_id(text), raw_len: text.len(), payload }
    }

    /// A chunk, stored as a delta of others that it resembles.
    pub fn delta(&self, text: &[u8], bases: &[&[u8]], depth: u8) -> HandMade {
        let bytes = compress_delta(text, &bases.concat(), 3).unwrap();
        assert!(bytes.len() < 1000, "a delta of {} bytes is none", bytes.len());
        let ids: Vec<BlobId> = bases.iter().map(|base| self.chunk_id(base)).collect();
        let encoding = Encoding::Delta { bases: Bases::new(&ids).unwrap(), depth };
        HandMade {
            id: self.chunk_id(text),
            raw_len: text.len(),
            payload: Payload { encoding, bytes },
        }
    }

    /// Writes a pack of these blobs, back to back, and says what an index object would.
    pub fn write_pack(&self, kind: BlobKind, session: SessionId, blobs: &[HandMade]) -> PackRecord {
        let header = PackHeader { kind, epoch: self.epoch, session };
        let epoch: EpochRecord = record::decode(&self.keyring.epoch_record).unwrap();
        let public = PublicKey::from_bytes(&epoch.data_public).unwrap();
        let source = match kind {
            BlobKind::Data => PackKeySource::Data(&public),
            BlobKind::Tree => PackKeySource::Tree(self.metadata_key(self.epoch).unwrap()),
        };
        let random = self.fixture.world.random();
        let (cipher, mut object) =
            PackCipher::create(self.repository(), header, &source, random).unwrap();
        let mut entries = Vec::new();
        for HandMade { id, raw_len, payload } in blobs {
            let offset = u32::try_from(object.len()).unwrap();
            let mut sealed = payload.bytes.clone();
            sealed.extend_from_slice(&[0; TAG_LEN]);
            cipher.seal_blob(id, offset, &mut sealed).unwrap();
            object.extend_from_slice(&sealed);
            entries.push(BlobEntry {
                id: *id,
                offset,
                stored_len: u32::try_from(sealed.len()).unwrap(),
                raw_len: u32::try_from(*raw_len).unwrap(),
                encoding: payload.encoding,
                sketch: [0; 3],
            });
        }
        let table = BlobTable::from_entries(&entries);
        cipher.finish(&mut object, table.clone()).unwrap();
        let pack_id = digest::pack_id(&object);
        let size = object.len() as u64;
        damage::write(&self.store, &ObjectName::Pack(pack_id).to_string(), object);
        PackRecord { pack_id, size, kind: kind as u8, epoch: self.epoch, table }
    }

    /// Publishes packs.
    pub fn write_index(&self, session: SessionId, packs: Vec<PackRecord>) -> IndexId {
        let id = IndexId(self.fixture.world.random().array());
        let record = IndexRecord { session, packs };
        self.write(MetadataKind::Index, &ObjectName::Index(id), &record);
        id
    }

    /// Condemns and retires every pack, as if the slot were a full one.
    pub fn forge_round(&self, repository: &Repository) {
        let listed = damage::names(&self.store, "packs");
        let parsed = listed.iter().filter_map(|name| match ObjectName::parse(name)? {
            ObjectName::Pack(id) => Some(id),
            _ => None,
        });
        let packs: Vec<_> = parsed.collect();
        let condemn = LedgerBody::Condemn { packs: packs.clone() };
        let condemned = self.append(repository, [condemn]);
        self.append(repository, [LedgerBody::Retire { condemned, packs }]);
    }

    /// Writes records behind the newest one and returns the first one's number, whatever the slot
    /// may do.
    pub fn append(
        &self,
        repository: &Repository,
        bodies: impl IntoIterator<Item = LedgerBody>,
    ) -> u64 {
        let ledger = ledger::read(repository).unwrap();
        let first = ledger.head.number + 1;
        for (name, object) in self.records(first, ledger.head_digest, bodies) {
            damage::write(&self.store, &name.to_string(), object);
        }
        first
    }

    /// The objects of ledger records from a number on, each of which names the one before it, and
    /// the first `previous`.
    pub fn records(
        &self,
        first: u64,
        mut previous: Digest,
        bodies: impl IntoIterator<Item = LedgerBody>,
    ) -> Vec<(ObjectName, Vec<u8>)> {
        let incarnation = self.record.incarnation;
        let seal = |(number, body)| {
            let record = LedgerRecord { incarnation, number, previous, time: 0, body };
            let name = ObjectName::Ledger(number);
            let object = self.seal(MetadataKind::Ledger, &name, &record);
            previous = digest::hash(&object);
            (name, object)
        };
        (first..).zip(bodies).map(seal).collect()
    }
}
