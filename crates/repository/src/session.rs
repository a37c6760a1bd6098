//! A writer's session: announced before anything is read, renewed while it works, ended by the
//! register (format-spec, chapter 10: the writer's steps 1, 2, 3, 7 and 8).

use bytes::Bytes;
use nightjar_format::SessionId;
use nightjar_format::limits;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::session::{Position, SessionRecord};
use nightjar_format::snapshot::{Register, Snapshot};
use nightjar_storage::Created;

use crate::error::{RepositoryError, Result};
use crate::ledger::{self, Ledger};
use crate::repository::Repository;

/// Writers renew this often, in nanoseconds.
const RENEWAL_INTERVAL: i64 = 10 * 60 * 1_000_000_000;

/// An announced session.
pub(crate) struct Session<'a> {
    repository: &'a Repository,
    record: SessionRecord,
    ledger: Ledger,
    /// Whether a create of the register was ever sent.
    committing: bool,
}

impl<'a> Session<'a> {
    /// Announces a session, *then* reads the ledger, then notes its head: a collector that
    /// condemns packs after this ledger was read finds the session and waits for it.
    pub(crate) fn begin(repository: &'a Repository) -> Result<Self> {
        repository.require_no_replica()?;
        let environment = &repository.environment;
        let now = environment.clock.now();
        let mut record = SessionRecord {
            session: SessionId(environment.random.array()),
            host: environment.host.clone(),
            process: environment.process,
            started: now,
            renewed: now,
            renewals: 0,
            noted: None,
        };
        let name = ObjectName::Session(record.session);
        let object = repository.seal(MetadataKind::Session, &name, &record)?;
        if repository.store.create(&name.to_string(), object.into())? == Created::Exists {
            return Err(RepositoryError::Internal("a random session id was taken"));
        }
        let ledger = ledger::read(repository)?;
        let unfit = match ledger.next_epoch {
            Some(_) => Err(RepositoryError::KeysChanged),
            // The address may lead to another store by now.
            None if ledger.is_replica => Err(repository.is_a_replica()),
            // An older state may seal to keys that a removed slot has.
            None => ledger.require_whole(),
        };
        if let Err(error) = unfit {
            // No create of the register was sent.
            let _ = repository.store.delete(&name.to_string());
            return Err(error);
        }
        for finding in &ledger.findings {
            tracing::warn!("{finding}");
        }
        record.noted = Some(ledger.head);
        let session = Self { repository, record, ledger, committing: false };
        session.write()?;
        Ok(session)
    }

    fn name(&self) -> ObjectName {
        ObjectName::Session(self.record.session)
    }

    fn write(&self) -> Result<()> {
        let object = self.repository.seal(MetadataKind::Session, &self.name(), &self.record)?;
        Ok(self.repository.store.put(&self.name().to_string(), object.into())?)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.record.session
    }

    /// The ledger whose closed set this session obeys.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Renews the announcement if it is time. The noted position stays.
    pub(crate) fn renew_if_due(&mut self) -> Result<()> {
        let now = self.repository.environment.clock.now();
        if now.saturating_sub(self.record.renewed) < RENEWAL_INTERVAL {
            return Ok(());
        }
        self.record.renewed = now;
        self.record.renewals += 1;
        self.write()
    }

    /// Notes that it relies on nothing that can be condemned, so that no collector waits for it; and
    /// renews it. For a collector, whose packs hold nothing but copies of what lies elsewhere until
    /// the round is closed.
    pub(crate) fn rely_on_nothing(&mut self) -> Result<()> {
        let number = limits::LEDGER_NUMBER;
        self.record.noted = self.record.noted.map(|noted| Position { number, ..noted });
        self.record.renewed = self.repository.environment.clock.now();
        self.record.renewals += 1;
        self.write()
    }

    /// How long the object of this snapshot will be, give or take the digits of its own counts.
    pub(crate) fn sealed_len(&self, snapshot: &Snapshot) -> Result<u64> {
        let name = ObjectName::Snapshot(self.record.session);
        let register = Register::Committed(Box::new(snapshot.clone()));
        let object = self.repository.seal(MetadataKind::Snapshot, &name, &register)?;
        Ok(object.len() as u64)
    }

    /// Commits: creates the register, or learns that somebody fenced the session.
    pub(crate) fn commit(mut self, snapshot: Snapshot) -> Result<Vec<u8>> {
        let name = ObjectName::Snapshot(self.record.session);
        let register = Register::Committed(Box::new(snapshot));
        let object = self.repository.seal(MetadataKind::Snapshot, &name, &register)?;
        self.committing = true;
        let bytes = Bytes::from(object.clone());
        let session = self.record.session;
        // Whatever the last answer was, an earlier copy of the request may have been heard.
        let open = |source| RepositoryError::CommitOpen { session, source };
        match self.repository.store.create(&name.to_string(), bytes).map_err(open)? {
            Created::Created => {
                self.require_admitted()?;
                self.delete();
                Ok(object)
            }
            Created::Exists => {
                let reason = read_fence(self.repository, &name)?;
                self.delete();
                Err(RepositoryError::Fenced { session, reason })
            }
        }
    }

    /// Refuses to call a snapshot committed in a store that a replica stands in for since. Whoever
    /// promotes one after this look finds the snapshot there.
    fn require_admitted(&self) -> Result<()> {
        let session = self.record.session;
        let ledger = match ledger::read(self.repository) {
            Ok(ledger) => ledger,
            Err(RepositoryError::Store(source)) => {
                return Err(RepositoryError::CommitOpen { session, source });
            }
            Err(error) => {
                tracing::warn!("the ledger cannot be read after the commit: {error}");
                return Ok(());
            }
        };
        if !ledger.is_replica && ledger.state.admits(&session, self.ledger.head.incarnation) {
            return Ok(());
        }
        self.delete();
        let reason = "a replica was promoted while this ran, and what it stored is no part of the \
                      repository"
            .to_owned();
        Err(RepositoryError::Fenced { session, reason })
    }

    /// What a collector says that took this session for dead, if one did: what it relied on may be
    /// gone since.
    pub(crate) fn fence(&self) -> Result<Option<String>> {
        let name = ObjectName::Snapshot(self.record.session);
        match self.repository.store.head(&name.to_string())? {
            Some(_) => read_fence(self.repository, &name).map(Some),
            None => Ok(None),
        }
    }

    /// Ends the session without a snapshot. Only where no create of the register was sent: what
    /// is then pending could still arrive.
    pub(crate) fn abandon(self) {
        if !self.committing {
            self.delete();
        }
    }

    fn delete(&self) {
        if let Err(error) = self.repository.store.delete(&self.name().to_string()) {
            tracing::debug!("cannot delete {}: {error}; gc will", self.name());
        }
    }
}

fn read_fence(repository: &Repository, name: &ObjectName) -> Result<String> {
    let limit = limits::METADATA_OBJECT_BYTES as u64;
    let object = repository.store.get(&name.to_string(), limit)?;
    match repository.unseal::<Register>(MetadataKind::Snapshot, name, &object) {
        Ok(opened) => match opened.record {
            Register::Fence { reason } => Ok(reason),
            Register::Committed(_) => {
                Err(RepositoryError::Internal("another process committed this session"))
            }
        },
        // Whoever fenced it had keys that are newer than ours.
        Err(error) if error.is_damage() && ledger::are_keys_old(repository)? => {
            Err(RepositoryError::KeysChanged)
        }
        Err(error) => Err(error),
    }
}
