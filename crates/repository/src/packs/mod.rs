//! Packs: filling them, sealing them, sending them off, and opening them again.
//!
//! A pack is filled in memory with plain payloads, each at its final offset with room for its
//! tag, and sealed in one parallel sweep when it is full: the nonce is the offset, so nothing
//! needs sealing before its place is known. The id is the hash of the finished object.

mod builder;
mod content;
pub(crate) mod copies;
pub(crate) mod reader;
mod uploader;

use std::collections::HashMap;

use bytes::Bytes;
use nightjar_codec::SecretKey;
use nightjar_codec::metadata::Trust;
use nightjar_codec::pack::PackCipher;
use nightjar_format::PackId;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::ObjectName;
use nightjar_format::pack::PackHeader;
use nightjar_storage::{Pending, Purpose, Store};

use crate::error::{RepositoryError, Result};
use crate::repository::Repository;

pub(crate) use builder::OpenPack;
pub(crate) use content::{Decoded, Listing, WholePack, header_of};
pub(crate) use uploader::{Uploaded, Uploader};

/// The packs in the store, with their sizes.
pub(crate) fn stored_sizes(repository: &Repository) -> Result<HashMap<PackId, u64>> {
    pack_sizes(&repository.store)
}

/// The same of any store.
pub(crate) fn pack_sizes(store: &Store) -> Result<HashMap<PackId, u64>> {
    let sizes =
        store.list("packs")?.into_iter().filter_map(|info| match ObjectName::parse(&info.name) {
            Some(ObjectName::Pack(id)) => Some((id, info.size)),
            _ => None,
        });
    Ok(sizes.collect())
}

/// What packs of a kind are for: readers of manifests need those of nodes.
pub(crate) fn purpose_of(kind: BlobKind) -> Purpose {
    match kind {
        BlobKind::Data => Purpose::Data,
        BlobKind::Tree => Purpose::Metadata,
    }
}

/// Opens a pack of `size` bytes in the store: fetches its beginning and derives its key.
pub(crate) fn cipher_of(repository: &Repository, id: &PackId, size: u64) -> Result<PackCipher> {
    cipher_from(repository, id, &start_cipher_of(repository, id, size).wait()?)
}

/// Begins to fetch what [`cipher_from`] needs.
fn start_cipher_of(repository: &Repository, id: &PackId, size: u64) -> Pending<Bytes> {
    let name = ObjectName::Pack(*id).to_string();
    let longest = PackHeader::blobs_offset(BlobKind::Data) as u64;
    repository.store.start_get_range(name, 0..size.min(longest))
}

/// Opens a pack from its first bytes.
pub(crate) fn cipher_from(
    repository: &Repository,
    id: &PackId,
    beginning: &[u8],
) -> Result<PackCipher> {
    let keychain = &repository.keychain;
    PackCipher::open(
        repository.id(),
        beginning,
        |epoch| keychain.data_secret(epoch),
        |epoch| keychain.metadata_key(epoch).map(|key| SecretKey::new(*key.expose())),
    )
    .map_err(|error| RepositoryError::in_object(ObjectName::Pack(*id), error))
}
