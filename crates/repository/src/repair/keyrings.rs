//! Keyrings of other slots. Only their owners can open them, so nobody can check what a copy hands
//! out; but a full slot knows every key that they hold, and seals it to the owner anew.

use std::collections::BTreeMap;

use bytes::Bytes;
use nightjar_codec::slot::seal_keyring;
use nightjar_format::slot::Role;
use nightjar_storage::Store;

use super::{Left, Means, Mend, Small, Trouble};
use crate::error::{RepositoryError, Result};
use crate::repository::{Repository, read_slots};
use crate::slots::keyring_for;

/// Seals anew the keyrings of other slots that are missing, or of a length that no keyring of theirs
/// has. `repository` holds the slots as they will be, `store` the keyrings as they are.
pub(super) fn seal_missing(
    repository: &Repository,
    store: &Store,
    small: &mut Vec<Small>,
    left: &mut Vec<Left>,
) -> Result<()> {
    let keychain = &repository.keychain;
    let sizes: BTreeMap<String, u64> =
        store.list("keyring")?.into_iter().map(|info| (info.name, info.size)).collect();
    let slots = read_slots(&repository.store)?;
    for member in keychain.members() {
        if member.until.is_some() || member.slot_id == keychain.slot() {
            continue;
        }
        let Some(slot) = slots.iter().find(|slot| slot.record.slot_id == member.slot_id) else {
            continue;
        };
        for epoch in keychain.epochs() {
            let number = epoch.record.epoch;
            let Some(name) = keychain.keyring_name(number, member.slot_id) else { continue };
            let size = sizes.get(&name.to_string());
            if keychain.role() != Role::Full {
                if size.is_none() {
                    left.push(Left::new(name, "it is missing; a full slot can seal it anew"));
                }
                continue;
            }
            let keyring = keyring_for(member.role, &epoch.keyring);
            let random = &*repository.environment.random;
            let object = seal_keyring(&repository.id(), number, &slot.record, &keyring, random)
                .map_err(|error| RepositoryError::in_object(name, error))?;
            let bytes = object.len() as u64;
            let trouble = match size {
                None => Trouble::Missing,
                Some(size) if *size != bytes => Trouble::Damaged,
                // What its owner can open is right; nobody else can tell.
                Some(_) => continue,
            };
            let mend = Mend { name, trouble, means: Means::Sealed, bytes };
            small.push(Small { mend, object: Bytes::from(object) });
        }
    }
    Ok(())
}
