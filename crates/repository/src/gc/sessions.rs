//! Which writers a round has to wait for (format-spec, chapter 13: the collector's step 4).
//!
//! Whoever announced a session before packs were condemned may still rely on them, until it has
//! ended, or has noted the condemnation. One that is not renewed any more is fenced: from then on
//! it cannot commit, whether it is dead or only late. Age is measured by the store's own clock, from
//! one renewal to another, so nobody's wrong clock ends a backup.

use nightjar_format::SessionId;
use nightjar_format::limits;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::session::{Position, SessionRecord};
use nightjar_format::snapshot::Register;
use nightjar_storage::{ObjectInfo, StoreError};

use crate::error::Result;
use crate::ledger;
use crate::repository::Repository;
use crate::session::Session;

/// A writer whose session stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its session.
    pub session: SessionId,
    /// Where it runs; empty if its announcement cannot be read.
    pub host: String,
    /// Its process there.
    pub process: u32,
    /// For how long it has not been renewed, in nanoseconds.
    pub silent: i64,
    /// The position in the ledger that it relies on, if it has noted one.
    pub noted: Option<Position>,
}

/// Fences the sessions that have been silent for too long and returns the others that have neither
/// ended nor noted the condemnation.
pub(super) fn unresolved(
    repository: &Repository,
    own: &mut Session<'_>,
    condemned: Option<Position>,
    timeout: i64,
) -> Result<Vec<Waiting>> {
    // Shows what time it is in the store.
    own.rely_on_nothing()?;
    let forgotten = ledger::read(repository)?.state.forgotten;
    let listed = repository.store.list("sessions")?;
    let own_name = ObjectName::Session(own.id()).to_string();
    let mine = listed.iter().find(|info| info.name == own_name);
    let now = mine.map(|info| info.modified_unix_nanos);
    let mut waiting = Vec::new();
    for info in listed.iter().filter(|info| info.name != own_name) {
        let Some(name @ ObjectName::Session(session)) = ObjectName::parse(&info.name) else {
            continue;
        };
        let register = ObjectName::Snapshot(session).to_string();
        if forgotten.contains(&session) || repository.store.head(&register)?.is_some() {
            continue;
        }
        let Some(record) = read(repository, &name, info)? else { continue };
        let noted = record.as_ref().and_then(|record| record.noted);
        if noted.zip(condemned).is_some_and(|(noted, since)| is_at_or_after(noted, since)) {
            continue;
        }
        // Without our own announcement in the listing nobody is old.
        let silent = now.map_or(0, |now| now.saturating_sub(info.modified_unix_nanos).max(0));
        if silent < timeout || !fence(repository, session)? {
            let (host, process) = record.map_or((String::new(), 0), |it| (it.host, it.process));
            waiting.push(Waiting { session, host, process, silent, noted });
        }
    }
    Ok(waiting)
}

fn is_at_or_after(noted: Position, condemned: Position) -> bool {
    noted.incarnation == condemned.incarnation && noted.number >= condemned.number
}

/// An announcement: nothing if it is gone, and no record if it is unreadable.
fn read(
    repository: &Repository,
    name: &ObjectName,
    info: &ObjectInfo,
) -> Result<Option<Option<SessionRecord>>> {
    let object = match repository.store.get(&info.name, limits::METADATA_OBJECT_BYTES as u64) {
        Err(StoreError::NotFound { .. }) => return Ok(None),
        object => object?,
    };
    match repository.unseal::<SessionRecord>(MetadataKind::Session, name, &object) {
        Ok(opened) => Ok(Some(Some(opened.record))),
        // Whoever it is of, it is waited for, and fenced in the end.
        Err(error) if error.is_damage() => Ok(Some(None)),
        Err(error) => Err(error),
    }
}

/// Ends a session: whatever now stands under its name, it cannot commit any more, or has.
fn fence(repository: &Repository, session: SessionId) -> Result<bool> {
    let name = ObjectName::Snapshot(session);
    let reason = format!("gc on {} found it silent for too long", repository.environment.host);
    let object = repository.seal(MetadataKind::Snapshot, &name, &Register::Fence { reason })?;
    repository.store.create(&name.to_string(), object.into())?;
    // Read back: only what stands there settles it.
    Ok(repository.store.head(&name.to_string())?.is_some())
}
