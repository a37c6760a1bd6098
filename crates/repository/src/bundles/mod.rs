//! Bundles: copies of small objects, so that a machine without a cache gets many with one request
//! (format-spec, chapter 12).
//!
//! A repository gains an index object and a snapshot with every run. A machine that has seen the
//! last runs fetches the few that are new; one that begins without a cache (a CI runner, a
//! CronJob) would need a request for each of thousands. So a writer now and then copies small
//! objects into a bundle, and small bundles into larger ones: [`plan`] decides, [`make`] does.
//! Each object is copied a few times in its life, as in a log-structured merge tree (O'Neil et
//! al., 1996), and a machine without a cache reads a few dozen bundles.
//!
//! *A bundle decides nothing.* A copy stands for the object only while the store lists the object
//! itself, and it is opened and its signature checked under the object's own name. But any member
//! can sign something else for a name that exists, so bundles are signed too, and believed only of
//! a slot that could do worse: a full one, or the reader's own. They can be lost, damaged or deleted
//! at any moment, and whatever goes wrong with them, objects are fetched from where they are. Who
//! checks a repository never looks at them. Ledger records, which say who has access, are held to
//! more than that: [`records`].

mod make;
mod plan;
mod read;
mod records;
mod stale;

pub(crate) use make::{make, make_of_records};
pub(crate) use read::{fill_cache, take_copies};
pub(crate) use records::Records;
pub(crate) use stale::stale;

use std::collections::BTreeSet;

use nightjar_codec::digest;
use nightjar_codec::sign::{self, SignatureContext};
use nightjar_format::bundle::{self, BundleKind, BundleTable, OpenedBundle};
use nightjar_format::index::IndexRecord;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Register;
use nightjar_format::{BundleId, FormatError, SlotId};

use crate::error::{RepositoryError, Result};
use crate::ledger;
use crate::repository::Repository;

/// With fewer objects than this to fetch, or to copy, bundles are not worth a request.
const FEW: usize = 8;

/// The bundles of one kind in the store, with their sizes, the oldest first.
fn list(repository: &Repository, kind: BundleKind) -> Result<Vec<(BundleId, u64)>> {
    let mut found: Vec<_> = repository
        .store
        .list(&kind.folder())?
        .iter()
        .filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Bundle(_, id)) => Some((info.modified_unix_nanos, id, info.size)),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, id, size)| (id, size)).collect())
}

/// The table of a bundle, if this machine has seen it.
fn known_table(repository: &Repository, name: &ObjectName) -> Option<BundleTable> {
    record::decode(&repository.cache.get(name)?).ok()
}

fn remember_table(repository: &Repository, name: &ObjectName, table: &BundleTable) {
    repository.cache.put(name, &record::encode(table));
}

/// What this machine knows to be in bundles.
fn known_to_be_bundled(repository: &Repository, kind: BundleKind) -> BTreeSet<ObjectName> {
    let known = repository.cache.bundles(kind).into_iter();
    let tables = known.filter_map(|id| known_table(repository, &ObjectName::Bundle(kind, id)));
    tables.flat_map(|table| table.names().collect::<Vec<_>>()).collect()
}

/// Whether an object is what its name says, and validly signed.
fn is_sound(repository: &Repository, name: &ObjectName, object: &[u8]) -> bool {
    match name {
        ObjectName::Index(_) => {
            repository.unseal::<IndexRecord>(MetadataKind::Index, name, object).is_ok()
        }
        ObjectName::Snapshot(_) => {
            repository.unseal::<Register>(MetadataKind::Snapshot, name, object).is_ok()
        }
        ObjectName::Ledger(..) => ledger::open_record(repository, name, object).is_ok(),
        _ => false,
    }
}

/// Makes a bundle of copies.
fn seal(
    repository: &Repository,
    name: &ObjectName,
    copies: &[(ObjectName, bytes::Bytes)],
) -> Result<Vec<u8>> {
    let sealer = repository.keychain.sealer();
    let sealer = sealer.map_err(|error| RepositoryError::in_object(name, error))?;
    let signed = bundle::to_signed(copies);
    let message = bundle::signed_message(&repository.id(), name, &digest::hash(&signed));
    let signature = sealer.sign_key.sign(SignatureContext::Bundle, &message);
    Ok(bundle::to_object(signed, sealer.signer, &signature))
}

/// Takes a bundle apart that this slot may believe; the reason if it may not.
fn open<'a>(
    repository: &Repository,
    name: &ObjectName,
    object: &'a [u8],
) -> std::result::Result<OpenedBundle<'a>, String> {
    let said = |error: FormatError| error.to_string();
    let opened = bundle::from_object(object).map_err(said)?;
    let Some(sign_public) = believed_key(repository, name, &opened.signer) else {
        return Err(format!("slot {} may not make it for others", opened.signer.short()));
    };
    let message = bundle::signed_message(&repository.id(), name, &digest::hash(opened.signed));
    let context = SignatureContext::Bundle;
    sign::verify(&sign_public, context, &message, &opened.signature, "bundle")
        .map_err(|error| error.to_string())?;
    Ok(opened)
}

/// The key of a slot whose bundles this slot may believe.
fn believed_key(repository: &Repository, name: &ObjectName, signer: &SlotId) -> Option<[u8; 32]> {
    let keychain = &repository.keychain;
    let is_own = *signer == keychain.slot();
    if matches!(name, ObjectName::Bundle(BundleKind::Ledger(_), _)) {
        // Who else is a member follows from what is read here.
        return is_own.then(|| keychain.sign_key().public());
    }
    let member = keychain.members().find(|it| it.slot_id == *signer && it.until.is_none())?;
    (is_own || member.role == Role::Full).then_some(member.sign_public)
}
