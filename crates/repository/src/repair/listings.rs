//! Index objects, read from the store itself: what is damaged or missing, and which packs they list.
//!
//! A collector replaces index objects, so one that the copy has and that is missing here need not be
//! lost. It is, if it lists a pack that lies here or in the copy, is not retired, and is listed by no
//! other: a collector lists what it keeps before it deletes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::{IndexId, PackId, limits};
use nightjar_storage::{ObjectInfo, Store};

use super::foundation::mend;
use super::{Left, Mend, Plan, Repairing, Report, Trouble, get, or_damage};
use crate::ahead::Ahead;
use crate::error::{RepositoryError, Result};
use crate::index::sync::{open_index, read_footer};
use crate::packs::{Listing, pack_sizes, stored_sizes};
use crate::repository::Repository;

const LIMIT: u64 = limits::METADATA_OBJECT_BYTES as u64;

/// As what index objects list one pack: once, unless one of them lies.
pub(super) type Listed = BTreeSet<Listing>;

/// Whether an index object tells that a pack has so many bytes.
pub(super) fn is_listed_with(listed: &Listed, size: u64) -> bool {
    listed.iter().any(|listing| listing.size == size)
}

/// By pack, what index objects say of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listings(pub(super) BTreeMap<PackId, Listed>);

impl Listings {
    fn add(&mut self, index: &IndexRecord) -> Result<()> {
        for pack in &index.packs {
            self.0.entry(pack.pack_id).or_default().insert(Listing::of(pack)?);
        }
        Ok(())
    }
}

/// The index objects that open, as one, and those that do not.
pub(super) struct Read {
    pub(super) packs: Listings,
    /// With the reason.
    pub(super) damaged: BTreeMap<IndexId, String>,
    pub(super) names: BTreeSet<IndexId>,
}

/// Reads every index object from the store: caches hide damage.
pub(super) fn read(repository: &Repository) -> Result<Read> {
    let mut read =
        Read { packs: Listings::default(), damaged: BTreeMap::new(), names: BTreeSet::new() };
    let listed = index_names(&repository.store)?;
    let names = listed.into_iter().map(|(id, size)| (ObjectName::Index(id), size));
    for (name, object) in Ahead::new(repository, names, LIMIT) {
        let ObjectName::Index(id) = name else { continue };
        let opened = object.and_then(|object| open_index(repository, &name, &object));
        match or_damage(opened)? {
            Ok(record) => read.packs.add(&record)?,
            // Replaced by a collector since it was listed.
            Err(_) if repository.store.head(&name.to_string())?.is_none() => continue,
            Err(why) => drop(read.damaged.insert(id, why)),
        }
        read.names.insert(id);
    }
    Ok(read)
}

fn index_names(store: &Store) -> Result<BTreeMap<IndexId, u64>> {
    let listed = store.list("index")?.into_iter();
    Ok(listed
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Index(id)) => Some((id, info.size)),
            _ => None,
        })
        .collect())
}

/// What can be done about index objects.
pub(super) struct Planned {
    /// What is listed here when it is done.
    pub(super) packs: Listings,
    pub(super) mends: Vec<Mend>,
    pub(super) left: Vec<Left>,
}

pub(super) fn plan(
    repository: &Repository,
    copy: &Store,
    retired: &BTreeSet<PackId>,
) -> Result<Planned> {
    let Read { packs, damaged, names } = read(repository)?;
    let here = stored_sizes(repository)?;
    let mut planned = Planned { packs, mends: Vec::new(), left: Vec::new() };
    for (id, problem) in damaged {
        let name = ObjectName::Index(id);
        let found = get(copy, &name, LIMIT)?;
        let admitted = match &found {
            Some(object) => admit(repository, &here, &name, object)?,
            None => Err("the copy does not have it".to_owned()),
        };
        match (admitted, found) {
            (Ok(record), Some(object)) => {
                planned.packs.add(&record)?;
                planned.mends.push(mend(name, Trouble::Damaged, &object));
            }
            (Err(why), _) => {
                let advice = "`nightjar repair index` makes index objects anew from packs";
                planned.left.push(Left::new(name, format!("{problem}; {why}; {advice}")));
            }
            (Ok(_), None) => {}
        }
    }
    // A pack that nothing lists any more may be lost together with what listed it.
    let is_missed =
        |packs: &Listings, id: &PackId| !retired.contains(id) && !packs.0.contains_key(id);
    let theirs = pack_sizes(copy)?;
    let there = index_names(copy)?.into_iter().filter(|(id, _)| !names.contains(id));
    let there = there.map(|(id, size)| (ObjectName::Index(id), size));
    let one_at_a_time = repository.environment.one_at_a_time;
    for (name, object) in Ahead::over(copy, one_at_a_time, there, LIMIT) {
        // What does not open there is of no use, and not our damage.
        let Ok(object) = or_damage(object)? else { continue };
        let Ok(record) = admit(repository, &here, &name, &object)? else { continue };
        let fits = |pack: &PackRecord| {
            let sizes = [&here, &theirs].map(|sizes| sizes.get(&pack.pack_id));
            sizes.contains(&Some(&pack.size))
        };
        let mut packs = record.packs.iter();
        if packs.any(|pack| fits(pack) && is_missed(&planned.packs, &pack.pack_id)) {
            planned.packs.add(&record)?;
            planned.mends.push(mend(name, Trouble::Missing, &object));
        }
    }
    Ok(planned)
}

/// Whether an index object of the copy is to be believed: it opens under its name, and whoever signed
/// it has access, or the packs say the same.
fn admit(
    repository: &Repository,
    here: &HashMap<PackId, u64>,
    name: &ObjectName,
    object: &Bytes,
) -> Result<std::result::Result<IndexRecord, String>> {
    let opened = repository.unseal::<IndexRecord>(MetadataKind::Index, name, object);
    let opened = match or_damage(opened)? {
        Ok(opened) => opened,
        Err(_) => return Ok(Err("that of the copy does not open either".to_owned())),
    };
    let mut members = repository.keychain.members();
    let signer = members.find(|member| member.slot_id == opened.signer);
    if signer.is_some_and(|member| member.until.is_none()) {
        return Ok(Ok(opened.record));
    }
    for pack in &opened.record.packs {
        let fits = here.get(&pack.pack_id) == Some(&pack.size);
        if !fits || !footer_agrees(repository, pack)? {
            let slot = opened.signer.short();
            return Ok(Err(format!(
                "that of the copy is signed by slot {slot}, which has no access any more, and its \
                 packs do not all confirm it"
            )));
        }
    }
    Ok(Ok(opened.record))
}

fn footer_agrees(repository: &Repository, pack: &PackRecord) -> Result<bool> {
    let name = ObjectName::Pack(pack.pack_id).to_string();
    let info = ObjectInfo { name, size: pack.size, modified_unix_nanos: 0 };
    match read_footer(repository, &info, pack.pack_id) {
        Ok((there, _)) => Ok(there == *pack),
        // A write slot cannot tell.
        Err(RepositoryError::RoleForbids { .. }) => Ok(false),
        Err(error) if error.is_damage() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes the index objects that were planned.
pub(super) fn fetch(
    repairing: &Repairing,
    plan: &Plan,
    retired: &BTreeSet<PackId>,
    report: &mut Report,
) -> Result<()> {
    let planned: Vec<&Mend> =
        plan.mends.iter().filter(|mend| matches!(mend.name, ObjectName::Index(_))).collect();
    if planned.is_empty() {
        return Ok(());
    }
    let repository = &repairing.repository;
    let here = stored_sizes(repository)?;
    for mend in planned {
        let ours = repository.store.get(&mend.name.to_string(), LIMIT);
        if ours.is_ok_and(|object| open_index(repository, &mend.name, &object).is_ok()) {
            // Somebody was faster.
            continue;
        }
        let Some(object) = repairing.theirs(&mend.name, LIMIT)? else {
            report.left.push(Left::new(mend.name, "the copy does not have it any more"));
            continue;
        };
        let record = match admit(repository, &here, &mend.name, &object)? {
            Ok(record) => record,
            Err(why) => {
                report.left.push(Left::new(mend.name, why));
                continue;
            }
        };
        // What is listed must be there: a writer would rely on it.
        let lacking = record
            .packs
            .iter()
            .find(|pack| !here.contains_key(&pack.pack_id) && !retired.contains(&pack.pack_id));
        if let (Some(pack), Trouble::Missing) = (lacking, mend.trouble) {
            let pack = ObjectName::Pack(pack.pack_id);
            let why = format!("it lists {pack}, which is missing and could not be fetched");
            report.left.push(Left::new(mend.name, why));
            continue;
        }
        repairing.write_small(mend, object, report)?;
    }
    Ok(())
}
