//! Opening and creating repositories; operations on them are functions elsewhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use nightjar_codec::chunker::Chunker;
use nightjar_codec::digest::{self, Identifier};
use nightjar_codec::hybrid::PrivateKey;
use nightjar_codec::metadata::{self, Opened, Sealer};
use nightjar_codec::sign::SignatureContext;
use nightjar_codec::sketch::Sketcher;
use nightjar_codec::slot::{
    Anchor, NewSlot, Protection, SlotKeys, Unlock, Voucher, key_commitment, open_keyring,
    seal_keyring, seal_slot,
};
use nightjar_codec::{CodecError, SecretKey};
use nightjar_format::keyring::{EpochRecord, Keyring, Member};
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record::{self, Record};
use nightjar_format::repository::{ChunkerParameters, RepositoryRecord};
use nightjar_format::slot::{Argon2Parameters, Role, SlotLabel, SlotObject};
use nightjar_format::{Digest, IncarnationId, RepositoryId, SlotId, limits};
use nightjar_storage::{Created, Store, StoreError};
use rayon::ScopeFifo;

use crate::bundles::Records;
use crate::cache::ObjectCache;
use crate::environment::Environment;
use crate::error::{RepositoryError, Result};
use crate::found::Found;
use crate::keychain::Keychain;
use crate::ledger::{self, Ledger};

/// An opened repository.
pub struct Repository {
    pub(crate) store: Store,
    pub(crate) record: RepositoryRecord,
    pub(crate) keychain: Keychain,
    pub(crate) environment: Environment,
    pub(crate) cache: ObjectCache,
    /// What the ledger told when the keys were taken in.
    history: History,
}

/// What the ledger told when a repository was opened.
#[derive(Debug, Clone, Default)]
struct History {
    findings: Vec<String>,
    tampered: bool,
    is_replica: bool,
    /// Slots that were added and whose objects cannot be read.
    unreadable: BTreeSet<SlotId>,
}

/// What a new repository is to be like.
#[derive(Debug, Clone, Copy)]
pub struct NewRepository {
    /// How streams are cut.
    pub chunker: ChunkerParameters,
    /// A pack is closed when it holds this many bytes.
    pub pack_target_bytes: u32,
    /// Cost of a passphrase.
    pub argon2: Argon2Parameters,
}

impl Default for NewRepository {
    fn default() -> Self {
        Self {
            chunker: ChunkerParameters::default(),
            pack_target_bytes: 16 << 20,
            argon2: Argon2Parameters::default(),
        }
    }
}

impl Repository {
    /// Takes in the epochs that came after the keychain's first one.
    pub(crate) fn begin(
        store: Store,
        record: RepositoryRecord,
        keychain: Keychain,
        environment: Environment,
    ) -> Result<Self> {
        let cache = ObjectCache::open(&environment.cache_dir, &record.repository_id, &store)?;
        let history = History::default();
        let mut opened = Self { store, record, keychain, environment, cache, history };
        opened.follow_epochs().map(|()| opened)
    }

    /// Creates a repository with one full slot. The `repository` object is created last: before
    /// it stands there is no repository.
    pub fn create(
        store: Store,
        new: &NewRepository,
        unlock: &Unlock,
        label: &str,
        environment: Environment,
    ) -> Result<Self> {
        refuse_if_used(&store)?;
        let random = &*environment.random;
        let record = RepositoryRecord {
            required_features: vec![],
            optional_features: vec![],
            repository_id: RepositoryId(random.array()),
            chunker: new.chunker,
            pack_target_bytes: new.pack_target_bytes,
            conditional_create: probe(&store, &environment)?,
            incarnation: IncarnationId(random.array()),
        };
        let object = record.to_object();
        // Checks the parameters as a reader would.
        RepositoryRecord::from_object(&object)
            .map_err(|error| RepositoryError::Refused(error.to_string()))?;
        let root = make_root(&record, &object, new, unlock, label, &environment)
            .map_err(|error| RepositoryError::in_object("repository", error))?;
        // What could still fail on this machine fails before anything is written.
        ObjectCache::open(&environment.cache_dir, &record.repository_id, &store)?;
        let names: Vec<ObjectName> = root.iter().map(|(name, _)| *name).collect();
        let store = handle_for(store, &record);
        let created = root
            .into_iter()
            .chain([(ObjectName::Repository, object)])
            .try_for_each(|(name, bytes)| create_new(&store, &name, bytes));
        if let Err(error) = created {
            // Another `nightjar init` won, or the store failed: what was made is nobody's.
            for name in names {
                let _ = store.delete(&name.to_string());
            }
            return Err(error);
        }
        Self::open(store, unlock, environment)
    }

    /// Opens a repository with a passphrase or key file.
    pub fn open(store: Store, unlock: &Unlock, environment: Environment) -> Result<Self> {
        Found::look(store)?.open(unlock, environment)
    }

    /// Reads slots and epochs again: others may have changed them since this was opened.
    pub(crate) fn refresh_keys(&mut self) -> Result<()> {
        let slots = read_slots(&self.store)?;
        self.keychain.set_slots(slots);
        self.follow_epochs()
    }

    /// Takes in the epochs that have begun, one ledger record after another, and checks that the
    /// opened slot is part of the newest.
    fn follow_epochs(&mut self) -> Result<()> {
        let mut held = Records::default();
        let ledger = loop {
            let ledger = ledger::read_holding(self, &mut held)?;
            let Some((epoch, digest)) = ledger.next_epoch else {
                if ledger::lacking_slots(self, &ledger)?.is_empty() {
                    break ledger;
                }
                // Added since the slots were read: what they signed would seem to be nobody's.
                self.keychain.set_slots(read_slots(&self.store)?);
                let damaged = ledger::lacking_slots(self, &ledger)?;
                self.history.unreadable.extend(damaged);
                continue;
            };
            let name = ObjectName::Keyring(epoch, digest.attempt(), self.keychain.slot());
            if self.store.head(&name.to_string())?.is_none() {
                return Err(RepositoryError::RemovedSlot { epoch });
            }
            let keyring = read_keyring(&self.store, &self.id(), &name, self.keychain.keys());
            let keyring = match keyring {
                // Removed at this moment.
                Err(_) if self.store.head(&name.to_string())?.is_none() => {
                    return Err(RepositoryError::RemovedSlot { epoch });
                }
                keyring => keyring?,
            };
            if digest::hash(&keyring.epoch_record) != digest {
                return Err(RepositoryError::Tampered(format!("{name} is of another epoch")));
            }
            self.keychain
                .add_epoch(keyring)
                .map_err(|error| RepositoryError::Tampered(format!("{name}: {error}")))?;
        };
        let Ledger { findings, broken, is_replica, .. } = ledger;
        self.history.is_replica = is_replica;
        self.history.findings = findings;
        self.history.tampered = !broken.is_empty();
        let slot = self.keychain.slot();
        self.keychain.confirm().map_err(|error| match error {
            CodecError::UntrustedSigner(_) => RepositoryError::NotAdmitted { slot },
            error => RepositoryError::Tampered(format!("slots/{slot}: {error}")),
        })
    }

    /// Does what rayon is asked to do: in its own time, or now.
    pub(crate) fn spawn<'scope>(
        &self,
        scope: &ScopeFifo<'scope>,
        work: impl FnOnce() + Send + 'scope,
    ) {
        if self.environment.one_at_a_time { work() } else { scope.spawn_fifo(|_| work()) }
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.record.repository_id
    }

    /// What everybody may know about it.
    pub fn record(&self) -> &RepositoryRecord {
        &self.record
    }

    /// The opened slot and what it believes.
    pub fn keychain(&self) -> &Keychain {
        &self.keychain
    }

    /// Where its objects lie.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The directory for its caches on this machine.
    pub fn cache_dir(&self) -> PathBuf {
        self.cache.directory().to_path_buf()
    }

    /// What was wrong with the ledger when the repository was opened, for people to read.
    pub fn history_findings(&self) -> &[String] {
        &self.history.findings
    }

    /// Whether records were missing, exchanged or taken back then.
    pub fn is_history_altered(&self) -> bool {
        self.history.tampered
    }

    /// Whether it is a replica, which only `nightjar replicate` writes to.
    pub fn is_replica(&self) -> bool {
        self.history.is_replica
    }

    /// Refuses to write to a replica.
    pub(crate) fn require_no_replica(&self) -> Result<()> {
        if self.is_replica() { Err(self.is_a_replica()) } else { Ok(()) }
    }

    /// What to say to who would write there.
    pub(crate) fn is_a_replica(&self) -> RepositoryError {
        let url = self.store.url();
        RepositoryError::Refused(format!(
            "{url} is a replica: it can be read and verified, and only `nightjar replicate` writes to \
             it; do this in the repository that it is a replica of. (`ledger/replica` marks it: if \
             nobody replicates to here, somebody else made that object, and deleting it mends this)"
        ))
    }

    /// Whether a slot's object was there and could not be read.
    pub(crate) fn is_unreadable(&self, slot: &SlotId) -> bool {
        self.history.unreadable.contains(slot)
    }

    pub(crate) fn identifier(&self) -> Identifier {
        self.keychain.identifier()
    }

    pub(crate) fn sketcher(&self) -> Sketcher {
        Sketcher::new(self.keychain.dedup_key())
    }

    pub(crate) fn chunker(&self) -> Result<Chunker> {
        Chunker::new(self.record.chunker, self.keychain.dedup_key())
            .map_err(|error| RepositoryError::in_format("repository", error))
    }

    pub(crate) fn require_full(&self, what: &'static str) -> Result<()> {
        match self.keychain.role() {
            Role::Full => Ok(()),
            Role::Write => Err(RepositoryError::RoleForbids { what }),
        }
    }

    /// Seals and signs a record into the object of this name.
    pub(crate) fn seal<R: Record>(
        &self,
        kind: MetadataKind,
        name: &ObjectName,
        record: &R,
    ) -> Result<Vec<u8>> {
        self.keychain
            .sealer()
            .and_then(|sealer| {
                metadata::seal(&sealer, kind, name, record, &*self.environment.random)
            })
            .map_err(|error| RepositoryError::in_object(name, error))
    }

    /// Opens an object and checks its signature.
    pub(crate) fn unseal<R: Record>(
        &self,
        kind: MetadataKind,
        name: &ObjectName,
        object: &[u8],
    ) -> Result<Opened<R>> {
        metadata::open(&self.keychain, kind, name, object)
            .map_err(|error| RepositoryError::in_object(name, error))
    }
}

/// A store that was seen to ignore conditions is asked first whether there is what is created.
pub(crate) fn handle_for(store: Store, record: &RepositoryRecord) -> Store {
    if record.conditional_create { store } else { store.that_ignores_conditions() }
}

fn refuse_if_used(store: &Store) -> Result<()> {
    let already = |what: &str| {
        Err(RepositoryError::AlreadyThere { url: store.url().to_owned(), what: what.into() })
    };
    if store.head(&ObjectName::Repository.to_string())?.is_some() {
        return already("a repository");
    }
    for prefix in ["slots", "keyring", "ledger", "snapshots", "index", "packs"] {
        if !store.list(prefix)?.is_empty() {
            return already(&format!(
                "objects under {prefix}/ of a repository whose `repository` object is missing"
            ));
        }
    }
    Ok(())
}

pub(crate) fn probe(store: &Store, environment: &Environment) -> Result<bool> {
    let nonce: [u8; 16] = environment.random.array();
    let name = format!("probe/{}", nightjar_format::ids::to_hex(&nonce));
    Ok(store.probe_conditional_create(&name)?)
}

pub(crate) fn create_new(store: &Store, name: &ObjectName, bytes: Vec<u8>) -> Result<()> {
    match store.create(&name.to_string(), bytes.into())? {
        Created::Created => Ok(()),
        Created::Exists => Err(RepositoryError::AlreadyThere {
            url: store.url().to_owned(),
            what: format!("{name}, made by another process at the same time"),
        }),
    }
}

/// The objects of epoch 1: the root slot, its keyring and the ledger's first record.
fn make_root(
    repository: &RepositoryRecord,
    repository_object: &[u8],
    new: &NewRepository,
    unlock: &Unlock,
    label: &str,
    environment: &Environment,
) -> std::result::Result<Vec<(ObjectName, Vec<u8>)>, CodecError> {
    let random = &*environment.random;
    let id = repository.repository_id;
    let now = environment.clock.now();
    let keys = SlotKeys::random(random)?;
    let sign_key = keys.sign_key();
    let slot_id = keys.slot_id();
    let anchor =
        Anchor { repository_hash: digest::hash(repository_object), root_public: sign_key.public() };
    let (dedup_key, metadata_key) = (SecretKey::random(random), SecretKey::random(random));
    let data_secret = PrivateKey::random(random)?;

    let slot = seal_slot(
        &id,
        &anchor,
        &keys,
        &NewSlot {
            role: Role::Full,
            since_epoch: 1,
            label: SlotLabel { label: label.to_owned(), created: now },
        },
        &Protection { unlock, argon2: new.argon2 },
        &Voucher { slot_id, sign_key: &sign_key, metadata_key: &metadata_key },
        random,
    )?;
    let root =
        Member { slot_id, role: Role::Full, sign_public: sign_key.public(), since: 1, until: None };
    let epoch_record = record::encode(&EpochRecord {
        epoch: 1,
        repository_hash: anchor.repository_hash,
        previous: None,
        created_by: slot_id,
        data_public: data_secret.public().to_bytes(),
        dedup_commitment: key_commitment(&dedup_key),
        metadata_commitment: key_commitment(&metadata_key),
        slots: vec![root],
    });
    let message = [id.as_bytes().as_slice(), &epoch_record].concat();
    let keyring = Keyring {
        signature: sign_key.sign(SignatureContext::Epoch, &message),
        epoch_record,
        dedup_key: *dedup_key.expose(),
        metadata_key: *metadata_key.expose(),
        data_secret: Some(*data_secret.seed().expose()),
    };
    let open = LedgerRecord {
        incarnation: repository.incarnation,
        number: 0,
        previous: Digest([0; 32]),
        time: now,
        body: LedgerBody::Open,
    };
    let ledger_name = ObjectName::Ledger(0);
    let sealer = Sealer {
        repository: id,
        epoch: 1,
        metadata_key: &metadata_key,
        signer: slot_id,
        sign_key: &sign_key,
    };
    Ok(vec![
        (ObjectName::Slot(slot_id), slot.to_object()),
        (
            ObjectName::Keyring(1, digest::hash(&keyring.epoch_record).attempt(), slot_id),
            seal_keyring(&id, 1, &slot.record, &keyring, random)?,
        ),
        (ledger_name, metadata::seal(&sealer, MetadataKind::Ledger, &ledger_name, &open, random)?),
    ])
}

/// Every slot object that can be read; a damaged one is reported and passed over.
pub(crate) fn read_slots(store: &Store) -> Result<Vec<SlotObject>> {
    let mut slots = Vec::new();
    for info in store.list("slots")? {
        let Some(ObjectName::Slot(id)) = ObjectName::parse(&info.name) else {
            continue;
        };
        let object = match store.get(&info.name, limits::PLAIN_OBJECT_BYTES as u64) {
            // Removed since it was listed.
            Err(StoreError::NotFound { .. }) => continue,
            object => object?,
        };
        match SlotObject::from_object(&object) {
            Ok(slot) if slot.record.slot_id == id => slots.push(slot),
            Ok(_) => tracing::warn!("{} holds another slot's record", info.name),
            Err(error) => tracing::warn!("{} is damaged: {error}", info.name),
        }
    }
    Ok(slots)
}

pub(crate) fn read_keyring(
    store: &Store,
    repository: &RepositoryId,
    name: &ObjectName,
    keys: &SlotKeys,
) -> Result<Keyring> {
    let ObjectName::Keyring(epoch, ..) = name else {
        return Err(RepositoryError::Internal("a keyring has another name"));
    };
    let object = store.get(&name.to_string(), limits::KEYRING_BYTES as u64)?;
    open_keyring(repository, *epoch, keys, &object)
        .map_err(|error| RepositoryError::in_object(name, error))
}
