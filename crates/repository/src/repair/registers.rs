//! Registers: snapshots and fences.
//!
//! One that stands here and does not open has been here. One that is missing may never have been: the
//! copy may have gone its own way. It comes back if this machine has seen that very object, or a
//! snapshot that is here names it with its digest, or if nothing is missing for it; and only under a
//! session, while no packs are condemned, so that no collector overlooks it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use nightjar_codec::digest;
use nightjar_codec::metadata::Opened;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::snapshot::{Register, Snapshot};
use nightjar_format::{Digest, SessionId, limits};
use nightjar_storage::Store;

use super::foundation::mend;
use super::{Left, Mend, Plan, Repairing, Report, Trouble, get, loss, or_damage};
use crate::ahead::Ahead;
use crate::environment::Progress;
use crate::error::Result;
use crate::index::sync::{Copies, open_private};
use crate::packs::stored_sizes;
use crate::read::Reader;
use crate::repository::Repository;
use crate::session::Session;

const LIMIT: u64 = limits::METADATA_OBJECT_BYTES as u64;

/// What can be done about registers.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) mends: Vec<Mend>,
    pub(super) left: Vec<Left>,
}

/// The registers that are here.
struct Here {
    names: BTreeSet<SessionId>,
    /// Those that do not open, with the reason.
    damaged: BTreeMap<SessionId, String>,
    /// The digests that snapshots give for those that they name.
    named: BTreeMap<SessionId, BTreeSet<Digest>>,
}

impl Here {
    /// Reads every register from the store: caches hide damage.
    fn read(repository: &Repository, forgotten: &BTreeSet<SessionId>) -> Result<Self> {
        let mut here =
            Self { names: BTreeSet::new(), damaged: BTreeMap::new(), named: BTreeMap::new() };
        let listed = ids(&repository.store, "snapshots")?;
        let wanted = listed.into_iter().filter(|(id, _)| !forgotten.contains(id));
        let wanted = wanted.map(|(id, size)| (ObjectName::Snapshot(id), size));
        for (name, object) in Ahead::new(repository, wanted, LIMIT) {
            let ObjectName::Snapshot(id) = name else { continue };
            match or_damage(object.and_then(|object| open(repository, &name, &object)))? {
                Ok(Opened { record: Register::Committed(snapshot), .. }) => here.note(&snapshot),
                Ok(_) => {}
                Err(_) if repository.store.head(&name.to_string())?.is_none() => continue,
                Err(why) => drop(here.damaged.insert(id, why)),
            }
            here.names.insert(id);
        }
        Ok(here)
    }

    fn note(&mut self, snapshot: &Snapshot) {
        for named in snapshot.previous.into_iter().chain(snapshot.original) {
            self.named.entry(named.id).or_default().insert(named.digest);
        }
    }

    /// Whether a snapshot that is here names this very object; and whether one names another.
    fn naming(&self, id: &SessionId, object: &[u8]) -> (bool, bool) {
        let digest = digest::hash(object);
        let named = self.named.get(id);
        let it = named.is_some_and(|named| named.contains(&digest));
        (it, !it && named.is_some())
    }
}

/// Opens a register and checks its signature.
pub(super) fn open(
    repository: &Repository,
    name: &ObjectName,
    object: &[u8],
) -> Result<Opened<Register>> {
    repository.unseal::<Register>(MetadataKind::Snapshot, name, object)
}

/// Ids and sizes of the registers or sessions of a store.
fn ids(store: &Store, folder: &str) -> Result<BTreeMap<SessionId, u64>> {
    let listed = store.list(folder)?.into_iter();
    Ok(listed
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Snapshot(id) | ObjectName::Session(id)) => Some((id, info.size)),
            _ => None,
        })
        .collect())
}

/// Why a register that is missing may come back.
enum Claim {
    /// It stood here.
    WasHere,
    /// It may have; whether it rests on what is here is still to be seen.
    MayHave,
}

pub(super) fn plan(repairing: &Repairing) -> Result<Planned> {
    let Repairing { repository, copy, ledger, .. } = repairing;
    let forgotten = &ledger.state.forgotten;
    let here = Here::read(repository, forgotten)?;
    let mut planned = Planned::default();
    for (id, problem) in &here.damaged {
        let name = ObjectName::Snapshot(*id);
        let found = get(copy, &name, LIMIT)?;
        match found.as_ref().map(|object| admit_damaged(repairing, &here, &name, object)) {
            Some(Ok(object)) => planned.mends.push(mend(name, Trouble::Damaged, object)),
            Some(Err(why)) => planned.left.push(Left::new(name, format!("{problem}; {why}"))),
            None => {
                let why = format!("{problem}; the copy does not have it");
                planned.left.push(Left::new(name, why));
            }
        }
    }
    let there = ids(copy, "snapshots")?;
    let missing =
        there.iter().filter(|(id, _)| !here.names.contains(id) && !forgotten.contains(id));
    let missing = missing.map(|(id, size)| (ObjectName::Snapshot(*id), *size));
    let sessions = ids(&repository.store, "sessions")?;
    let mut unreadable = BTreeSet::new();
    for (name, object) in Ahead::over(copy, repository.environment.one_at_a_time, missing, LIMIT) {
        let ObjectName::Snapshot(id) = name else { continue };
        let object = or_damage(object)?.ok().filter(|it| open(repository, &name, it).is_ok());
        let Some(object) = object else {
            unreadable.insert(id);
            continue;
        };
        match claim(repairing, &here, &sessions, &id, &object) {
            Ok(Some(_)) => planned.mends.push(mend(name, Trouble::Missing, &object)),
            Ok(None) => {}
            Err(why) => planned.left.push(Left::new(name, why)),
        }
    }
    // What nobody has any more.
    let named = here.named.keys().copied().chain(repository.cache.snapshots());
    for id in named.collect::<BTreeSet<_>>() {
        let is_there = there.contains_key(&id) && !unreadable.contains(&id);
        let is_known = here.names.contains(&id) || forgotten.contains(&id) || is_there;
        let name = ObjectName::Snapshot(id);
        if !is_known && !is_cached_fence(repository, &name) {
            let why = "it is gone, no ledger record forgets it, and the copy has no sound one";
            planned.left.push(Left::new(name, why));
        }
    }
    Ok(planned)
}

fn is_cached_fence(repository: &Repository, name: &ObjectName) -> bool {
    let cached = repository.cache.get(name);
    let opened = cached.and_then(|object| open(repository, name, &object).ok());
    opened.is_some_and(|opened| matches!(opened.record, Register::Fence { .. }))
}

/// Whether an object of the copy may take the place of one that does not open. In the copy, a
/// collector may have fenced a session that committed here, and a removed slot may have signed
/// anything.
fn admit_damaged<'o>(
    repairing: &Repairing,
    here: &Here,
    name: &ObjectName,
    object: &'o Bytes,
) -> std::result::Result<&'o Bytes, &'static str> {
    let repository = &repairing.repository;
    let ObjectName::Snapshot(id) = name else { return Err("it is no register") };
    let Ok(opened) = open(repository, name, object) else {
        return Err("that of the copy does not open either");
    };
    let cached = repository.cache.get(name).filter(|it| open(repository, name, it).is_ok());
    let (is_named, names_another) = here.naming(id, object);
    let is_fence = matches!(opened.record, Register::Fence { .. });
    match cached {
        _ if names_another => Err("that of the copy is not the one that a later snapshot names"),
        Some(cached) if cached == *object => Ok(object),
        Some(_) => Err("that of the copy is not the one that this machine saw here"),
        None if is_named => Ok(object),
        None if is_fence => {
            Err("that of the copy is a fence, and nothing shows that it is here, too")
        }
        None if !repairing.has_access(&opened.signer) => Err(
            "that of the copy is signed by a slot that has no access any more, and nothing shows \
             that it stood here",
        ),
        None => Ok(object),
    }
}

/// Why a missing register may come back; nothing if it is none of ours to bring back.
fn claim(
    repairing: &Repairing,
    here: &Here,
    sessions: &BTreeMap<SessionId, u64>,
    id: &SessionId,
    object: &Bytes,
) -> std::result::Result<Option<Claim>, String> {
    let repository = &repairing.repository;
    let name = ObjectName::Snapshot(*id);
    let Ok(opened) = open(repository, &name, object) else { return Ok(None) };
    let is_fence = matches!(opened.record, Register::Fence { .. });
    if is_fence && sessions.contains_key(id) {
        // Whoever announced it may be at work; if not, a collector fences it again.
        return Ok(None);
    }
    let is_cached = repository.cache.get(&name).is_some_and(|cached| cached == *object);
    match here.naming(id, object) {
        (true, _) => return Ok(Some(Claim::WasHere)),
        _ if is_cached => return Ok(Some(Claim::WasHere)),
        (_, true) => {
            return Err(
                "it is missing, and that of the copy is not the one that a later snapshot \
                        names"
                    .into(),
            );
        }
        _ => {}
    }
    if !repairing.has_access(&opened.signer) {
        return Err(format!(
            "it is missing here; that of the copy is signed by slot {}, which has no access any more, \
             and nothing shows that it stood here",
            opened.signer.short()
        ));
    }
    // A fence rests on nothing.
    Ok(Some(if is_fence { Claim::WasHere } else { Claim::MayHave }))
}

/// Writes the registers that were planned.
pub(super) fn fetch(
    repairing: &Repairing,
    plan: &Plan,
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let registers = plan.mends.iter().filter(|mend| matches!(mend.name, ObjectName::Snapshot(_)));
    let (damaged, missing): (Vec<Mend>, Vec<Mend>) =
        registers.partition(|mend| mend.trouble == Trouble::Damaged);
    if damaged.is_empty() && missing.is_empty() {
        return Ok(());
    }
    let repository = &repairing.repository;
    let forgotten = crate::ledger::read(repository)?.state.forgotten;
    let here = Here::read(repository, &forgotten)?;
    for mend in damaged {
        let ObjectName::Snapshot(id) = mend.name else { continue };
        let object = repairing.theirs(&mend.name, LIMIT)?;
        let admitted = object.as_ref().map(|it| admit_damaged(repairing, &here, &mend.name, it));
        match admitted {
            _ if !here.damaged.contains_key(&id) => {}
            Some(Ok(object)) => repairing.write_small(&mend, object.clone(), report)?,
            Some(Err(why)) => report.left.push(Left::new(mend.name, why)),
            None => report.left.push(Left::new(mend.name, GONE)),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let session = Session::begin(repository)?;
    let written = bring_back(repairing, &session, &here, &missing, report, progress);
    session.abandon();
    written
}

const GONE: &str = "the copy does not have it any more";

/// Creates registers that are missing, under a session.
fn bring_back(
    repairing: &Repairing,
    session: &Session<'_>,
    here: &Here,
    missing: &[Mend],
    report: &mut Report,
    progress: &Progress,
) -> Result<()> {
    let repository = &repairing.repository;
    let state = &session.ledger().state;
    if let Some(number) = state.condemned.keys().next() {
        let why = format!(
            "it is missing, and a collection is under way (ledger record {number}), which would \
             overlook it; run `nightjar gc` to its end, then this again"
        );
        report.left.extend(missing.iter().map(|mend| Left::new(mend.name, &why)));
        return Ok(());
    }
    let (mut index, _) = open_private(repository, Copies::Refused)?;
    index.close_packs(state, &stored_sizes(repository)?)?;
    let index = Arc::new(index);
    let reader = Reader::over(repository, Arc::clone(&index), None, progress);
    let mut look = loss::Look::new(&reader, &index);
    let sessions = ids(&repository.store, "sessions")?;
    for mend in missing {
        let ObjectName::Snapshot(id) = mend.name else { continue };
        if state.forgotten.contains(&id) {
            continue;
        }
        let Some(object) = repairing.theirs(&mend.name, LIMIT)? else {
            report.left.push(Left::new(mend.name, GONE));
            continue;
        };
        let why = match claim(repairing, here, &sessions, &id, &object) {
            Ok(None) => continue,
            Ok(Some(Claim::WasHere)) => None,
            Ok(Some(Claim::MayHave)) => lacks(repository, &mut look, &mend.name, &object)?,
            Err(why) => Some(why),
        };
        match why {
            None => repairing.write_small(mend, object, report)?,
            Some(why) => report.left.push(Left::new(mend.name, why)),
        }
    }
    Ok(())
}

/// Why a snapshot does not come back: something that it needs is not here.
fn lacks(
    repository: &Repository,
    look: &mut loss::Look<'_, '_>,
    name: &ObjectName,
    object: &Bytes,
) -> Result<Option<String>> {
    let Register::Committed(snapshot) = open(repository, name, object)?.record else {
        return Ok(None);
    };
    let lost = look.at(snapshot.root)?.left_out;
    Ok(lost.first().map(|first| {
        let (many, path) = (lost.len(), String::from_utf8_lossy(&first.path).into_owned());
        format!(
            "it is missing here, and so is what it needs ({many} of its entries, {path:?} among them: \
             {}); nothing shows that it stood here, so it stays with the copy",
            first.why
        )
    }))
}
