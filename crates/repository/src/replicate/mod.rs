//! Copies of a repository in other stores (format-spec, chapter 15).
//!
//! ```text
//!  list ledger, snapshots, ─→ copy packs, ─→ list index, packs ─→ is the ledger ─→ copy ledger,
//!  index, packs               index          again, copy          as it was?       snapshots
//!            ↑                                                        │ no
//!            └────────────────────────────────────────────────────────┘
//! ```
//!
//! What is listed first is copied last, so the replica never names what it lacks; and as no record
//! came into the ledger between the first listing and the last, nothing that was listed was
//! forgotten or retired. Nothing that is sealed has to be read for that, so copying needs no key.
//!
//! Whoever stops anywhere leaves a replica that is whole as far as it came, and the next pass copies
//! what is missing: all that is remembered is what lies in the target. Nothing is deleted there.

mod copy;
mod lag;
mod note;
mod plan;
mod series;

use std::collections::BTreeMap;

use nightjar_codec::digest;
use nightjar_format::object::ObjectName;
use nightjar_format::replica::ReplicaRecord;
use nightjar_format::{IncarnationId, limits};
use nightjar_storage::Store;

pub use lag::{Lag, lag};
pub use plan::Kind;
pub use series::SeriesFilter;

use crate::environment::{Environment, Progress};
use crate::error::{RepositoryError, Result};
use crate::found::{Found, fetch_repository_object};
use crate::ledger;
use crate::repository::Repository;
use copy::{Copier, Outcome};
use plan::Listing;
use series::Chosen;

/// The repository that is copied.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Without a key.
    Sealed(&'a Found, &'a Environment),
    /// With one: signatures are checked, too.
    Opened(&'a Repository),
    /// Likewise, and of it only the snapshots of some series, with what these need.
    OfSeries(&'a Repository, SeriesFilter<'a>),
}

impl<'a> Source<'a> {
    /// Where its objects lie.
    pub fn store(self) -> &'a Store {
        match self {
            Self::Sealed(found, _) => found.store(),
            Self::Opened(repository) | Self::OfSeries(repository, _) => repository.store(),
        }
    }

    const fn opened(self) -> Option<&'a Repository> {
        match self {
            Self::Sealed(..) => None,
            Self::Opened(repository) | Self::OfSeries(repository, _) => Some(repository),
        }
    }

    const fn environment(self) -> &'a Environment {
        match self {
            Self::Sealed(_, environment) => environment,
            Self::Opened(repository) | Self::OfSeries(repository, _) => &repository.environment,
        }
    }

    /// Leaves in `here`, which lists it, what the replica in `target` is to have; `there` is what that
    /// has. `None` if the source changed meanwhile.
    fn choose(self, here: &mut Listing, there: &Listing, target: &Store) -> Result<Option<Chosen>> {
        match self {
            Self::Sealed(..) | Self::Opened(_) => Ok(Some(Chosen::default())),
            Self::OfSeries(repository, filter) => {
                series::choose(repository, filter, here, there, target)
            }
        }
    }

    /// Refuses one that lacks records, as far as that shows when it is opened.
    fn require_whole_history(self) -> Result<()> {
        match self.opened().filter(|it| it.is_history_altered()) {
            None => Ok(()),
            Some(repository) => {
                let why = repository.history_findings().join("; ");
                Err(RepositoryError::Tampered(format!("{why}; nothing was copied")))
            }
        }
    }
}

/// How many objects, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

/// An object of the source that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    /// Its name.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// What was copied, or would be.
#[derive(Debug, Clone, Default)]
pub struct ReplicationReport {
    /// By kind; nothing of the others.
    pub copied: BTreeMap<Kind, Amount>,
    /// The target had no replica of it before.
    pub is_first: bool,
    /// What was left out because it is damaged in the source, or rests on what is.
    pub damaged: Vec<Unsound>,
}

impl ReplicationReport {
    /// All kinds together.
    pub fn total(&self) -> Amount {
        let sum = |sum: Amount, one: &Amount| Amount {
            objects: sum.objects + one.objects,
            bytes: sum.bytes + one.bytes,
        };
        self.copied.values().fold(Amount::default(), sum)
    }
}

/// Says what [`replicate`] would copy now.
pub fn preview(source: Source<'_>, target: &Store) -> Result<ReplicationReport> {
    let (_, object) = fetch_repository_object(source.store())?;
    source.require_whole_history()?;
    let there = look_at_target(&object, target)?;
    let mut report = ReplicationReport { is_first: there.is_none(), ..Default::default() };
    let there = there.unwrap_or_default();
    let mut here = list_source(source)?;
    report.damaged = source.choose(&mut here, &there, target)?.ok_or_else(changed)?.left_out;
    require_same_history(source.store(), &here, target, &there)?;
    for kind in Kind::ALL {
        for (_, size) in here.missing_in(&there, kind) {
            report.copied.entry(kind).or_default().add(size);
        }
    }
    Ok(report)
}

/// So often a pass begins anew because somebody wrote to the ledger meanwhile.
const ATTEMPTS: usize = 10;

/// Brings the replica in `target` up to date, or begins one there.
pub fn replicate(
    source: Source<'_>,
    target: &Store,
    progress: &Progress,
) -> Result<ReplicationReport> {
    let (_, object) = fetch_repository_object(source.store())?;
    source.require_whole_history()?;
    let (there, is_first) = claim(&object, target, source.environment())?;
    let copier = Copier {
        source: source.store(),
        target,
        opened: source.opened(),
        progress,
        one_at_a_time: source.environment().one_at_a_time,
    };
    let report = ReplicationReport { is_first, ..ReplicationReport::default() };
    let mut pass = Pass { source, copier, there, chosen: Chosen::default(), report };
    for _ in 0..ATTEMPTS {
        if pass.attempt()? {
            pass.require_new_keys()?;
            let Pass { chosen: Chosen { needs, left_out }, mut report, .. } = pass;
            if let Source::OfSeries(repository, _) = source {
                needs.write(repository, target);
            }
            report.damaged.extend(left_out);
            return Ok(report);
        }
        tracing::debug!("the source changed while it was copied; going on with what is new");
    }
    Err(RepositoryError::Busy(
        "the repository is changed too often to be copied; what was copied stays: run it again when \
         fewer commands change its ledger (gc, forget, hold)"
            .into(),
    ))
}

/// Nobody was told anything wrong, nor was anything done.
fn changed() -> RepositoryError {
    RepositoryError::Busy("the repository was changed at this moment; run the command again".into())
}

/// Whether no record came into the ledger since the source was listed.
fn is_ledger_as_listed(source: &Store, here: &Listing) -> Result<bool> {
    let ledger = Listing::of(source, Kind::Ledger)?;
    Ok(ledger.names().eq(here.objects(Kind::Ledger).map(|(name, _)| name)))
}

/// What is in the target; nothing if it is empty. Refuses one that is not for a replica of this
/// repository.
fn look_at_target(repository_object: &[u8], target: &Store) -> Result<Option<Listing>> {
    let infos = target.list("")?;
    let mark = ObjectName::Replica.to_string();
    if infos.iter().any(|info| info.name == mark) {
        check_mark(repository_object, target)?;
        let repository = ObjectName::Repository.to_string();
        if infos.iter().any(|info| info.name == repository)
            && target.get(&repository, limits::PLAIN_OBJECT_BYTES as u64)? != repository_object
        {
            let url = target.url();
            return Err(RepositoryError::Refused(format!(
                "{url} holds another repository, or a damaged `repository` object; nothing was \
                 changed. If it is damaged, delete that object, and it is copied again"
            )));
        }
        return Ok(Some(Listing::from(infos)));
    }
    if let Some(info) = infos.iter().find(|info| ObjectName::parse(&info.name).is_some()) {
        let (url, name) = (target.url(), &info.name);
        return Err(RepositoryError::Refused(format!(
            "{url} is not empty (there is {name}) and is no replica: a replica is begun in an empty \
             place, also where there is a copy that was made in another way; nothing was changed"
        )));
    }
    Ok(None)
}

fn check_mark(repository_object: &[u8], target: &Store) -> Result<()> {
    let name = ObjectName::Replica.to_string();
    let object = target.get(&name, limits::PLAIN_OBJECT_BYTES as u64)?;
    let found = ReplicaRecord::from_object(&object)
        .map_err(|error| RepositoryError::in_format(format!("{}/{name}", target.url()), error))?;
    if found.repository_hash == digest::hash(repository_object) {
        return Ok(());
    }
    let url = target.url();
    Err(RepositoryError::Refused(format!(
        "{url} holds a replica of another repository; nothing was changed"
    )))
}

/// Marks an empty target as a replica of this repository, or finds that it is one; tells what is in
/// it, and whether it was empty.
fn claim(
    repository_object: &[u8],
    target: &Store,
    environment: &Environment,
) -> Result<(Listing, bool)> {
    if let Some(there) = look_at_target(repository_object, target)? {
        return Ok((there, false));
    }
    let mark = ReplicaRecord {
        repository_hash: digest::hash(repository_object),
        incarnation: IncarnationId(environment.random.array()),
    };
    let object = mark.to_object();
    target.create(&ObjectName::Replica.to_string(), object.into())?;
    // Somebody may have made a replica or a repository there at the same moment.
    let there = look_at_target(repository_object, target)?;
    Ok((there.unwrap_or_default(), true))
}

/// In the order that the replica needs: who signed a snapshot and what it is sealed under was there
/// before it, and so was a slot's keyring before the slot.
fn list_source(source: Source<'_>) -> Result<Listing> {
    let store = source.store();
    let mut listing = Listing::of(store, Kind::Ledger)?;
    for kind in [
        Kind::Snapshots,
        Kind::Index,
        Kind::Packs,
        Kind::Slots,
        Kind::Keyring,
        Kind::Bundles,
        Kind::Repository,
    ] {
        listing.extend(Listing::of(store, kind)?);
    }
    if let Some(repository) = source.opened() {
        // What they rest on may be gone.
        let forgotten = ledger::read(repository)?.state.forgotten;
        listing.retain(|name| !matches!(name, ObjectName::Snapshot(id) if forgotten.contains(id)));
    }
    Ok(listing)
}

/// Refuses a source that is not what the replica was made of: it was put back to an older state,
/// and went on from there in another way.
fn require_same_history(
    source: &Store,
    here: &Listing,
    target: &Store,
    there: &Listing,
) -> Result<()> {
    let altered = |name: &ObjectName, why: &str| {
        Err(RepositoryError::Tampered(format!(
            "{name} of the replica {why} in the source: either the replica was promoted, and is a \
             repository of its own now, or the source shows an older or another state; nothing was \
             copied"
        )))
    };
    let mut records = there.objects(Kind::Ledger).map(|(name, _)| *name);
    if let Some(lost) = records.find(|name| here.get(name).is_none()) {
        return altered(&lost, "is not there");
    }
    let newest = there.objects(Kind::Ledger).map(|(name, _)| *name).last();
    if let Some(name) = newest.filter(|_| !here.is_in(there)) {
        let limit = limits::METADATA_OBJECT_BYTES as u64;
        let [ours, theirs] = [target, source].map(|store| store.get(&name.to_string(), limit));
        let (ours, theirs) = (ours?, theirs?);
        // One that broke off in the replica is copied again.
        if ours != theirs && !theirs.starts_with(&ours) {
            return altered(&name, "is another one");
        }
    }
    Ok(())
}

/// One replication, however often it lists the source.
struct Pass<'a> {
    source: Source<'a>,
    copier: Copier<'a>,
    /// What is in the target by now.
    there: Listing,
    /// What it is to have of some series.
    chosen: Chosen,
    report: ReplicationReport,
}

impl Pass<'_> {
    /// Lists and copies once. False if something came into the ledger, or a register went, while it
    /// did.
    fn attempt(&mut self) -> Result<bool> {
        let source = self.source.store();
        let mut here = list_source(self.source)?;
        let chosen = self.source.choose(&mut here, &self.there, self.copier.target)?;
        let Some(chosen) = chosen else { return Ok(false) };
        self.chosen = chosen;
        require_same_history(source, &here, self.copier.target, &self.there)?;
        if here.is_in(&self.there) {
            return Ok(true);
        }
        self.copy(&here, Kind::Keyring)?;
        self.copy(&here, Kind::Slots)?;
        if self.copy(&here, Kind::Packs)? > 0 && self.is_of_series() {
            return Ok(false);
        }
        self.copy(&here, Kind::Index)?;
        if !self.follow_index()? {
            return Ok(false);
        }
        if !is_ledger_as_listed(source, &here)? {
            return Ok(false);
        }
        self.require_new_keys()?;
        // A reader that sees a later record and not the one before it reports that one as missing.
        let records = here.missing_in(&self.there, Kind::Ledger);
        let outcome = self.copier.copy_in_order(records)?;
        if self.take(&here, Kind::Ledger, outcome) > 0 {
            return Ok(false);
        }
        if self.copy(&here, Kind::Snapshots)? > 0 {
            return Ok(false);
        }
        self.copy(&here, Kind::Bundles)?;
        self.copy(&here, Kind::Repository)?;
        self.require_replica(&here)?;
        Ok(true)
    }

    /// Refuses to call a pass done if the target was promoted meanwhile: what came late is no part of
    /// it.
    fn require_replica(&self, here: &Listing) -> Result<()> {
        let there = Listing::of(self.copier.target, Kind::Ledger)?;
        match there.names().find(|name| here.get(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(RepositoryError::Tampered(format!(
                "{name} of the replica is not there in the source: it was promoted while this ran, and \
                 snapshots that came late are no part of it"
            ))),
        }
    }

    /// Lists index objects and packs once more, and again as long as some went: what a collector put
    /// in their place is there by then. False if that does not end.
    fn follow_index(&mut self) -> Result<bool> {
        let source = self.copier.source;
        for _ in 0..ATTEMPTS {
            let mut again = Listing::of(source, Kind::Index)?;
            if !self.is_of_series() {
                again.extend(Listing::of(source, Kind::Packs)?);
            }
            self.copy(&again, Kind::Packs)?;
            let gone = self.copy(&again, Kind::Index)?;
            let now = Listing::of(source, Kind::Index)?;
            let stays = again.objects(Kind::Index).all(|(name, _)| now.get(name).is_some());
            if gone == 0 && stays {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Then it is known which packs are needed.
    const fn is_of_series(&self) -> bool {
        matches!(self.source, Source::OfSeries(..))
    }

    /// What was sealed or signed since the keys were read is not damaged.
    fn require_new_keys(&self) -> Result<()> {
        match self.copier.opened {
            Some(repository)
                if !self.report.damaged.is_empty() && ledger::are_keys_old(repository)? =>
            {
                Err(RepositoryError::KeysChanged)
            }
            _ => Ok(()),
        }
    }

    /// Copies what the target lacks of one kind; says how much was gone.
    fn copy(&mut self, here: &Listing, kind: Kind) -> Result<u64> {
        let missing = here.missing_in(&self.there, kind);
        let bytes: u64 = missing.iter().map(|(_, size)| size).sum();
        Progress::add(&self.copier.progress.total, bytes);
        let outcome = self.copier.copy(missing)?;
        Ok(self.take(here, kind, outcome))
    }

    fn take(&mut self, here: &Listing, kind: Kind, outcome: Outcome) -> u64 {
        for (name, bytes) in outcome.copied {
            self.report.copied.entry(kind).or_default().add(bytes);
            self.there.add(here, &name);
        }
        for (name, problem) in outcome.damaged {
            self.report.damaged.push(Unsound { object: name.to_string(), problem });
            // Not again in this run.
            self.there.add(here, &name);
        }
        outcome.gone
    }
}
