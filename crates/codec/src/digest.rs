//! BLAKE3 in its three modes: plain for objects, keyed for blob ids, and key derivation
//! (format-spec, chapter 2; O'Connor et al., *BLAKE3*, 2020).

use nightjar_format::blob::BlobKind;
use nightjar_format::{BlobId, Digest, PackId};

use crate::SecretKey;

/// Every purpose for which a key or an identifier is derived. No two share a context string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Ids of chunks.
    ChunkId,
    /// Ids of list and directory nodes.
    NodeId,
    /// The chunker's table.
    GearTable,
    /// The constants of sketches.
    Sketch,
    /// Where directories are cut.
    DirectoryCut,
    /// One metadata object.
    MetadataObject,
    /// One tree pack.
    TreePack,
    /// One slot's label.
    SlotLabel,
    /// A slot's id.
    SlotId,
    /// The secret that a key file stands for.
    KeyFile,
    /// The key around a slot's secret halves.
    SlotWrap,
    /// Tells a wrong secret.
    SlotCommitment,
    /// Ties an epoch record to its keys.
    KeyCommitment,
    /// Around a pack's key in this machine's cache; no part of the format.
    KeptPackKey,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Self::ChunkId => "nightjar format 1: chunk id",
            Self::NodeId => "nightjar format 1: node id",
            Self::GearTable => "nightjar format 1: gear table",
            Self::Sketch => "nightjar format 1: sketch",
            Self::DirectoryCut => "nightjar format 1: directory cut",
            Self::MetadataObject => "nightjar format 1: metadata object",
            Self::TreePack => "nightjar format 1: tree pack",
            Self::SlotLabel => "nightjar format 1: slot label",
            Self::SlotId => "nightjar format 1: slot id",
            Self::KeyFile => "nightjar format 1: key file",
            Self::SlotWrap => "nightjar format 1: slot wrap",
            Self::SlotCommitment => "nightjar format 1: slot commitment",
            Self::KeptPackKey => "nightjar cache 1: pack key",
            Self::KeyCommitment => "nightjar format 1: key commitment",
        }
    }
}

/// Derives 32 bytes from the parts, joined.
pub fn derive(purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

/// Derives a key from the parts, joined.
pub fn derive_key(purpose: Purpose, parts: &[&[u8]]) -> SecretKey {
    SecretKey::new(derive(purpose, parts))
}

/// Derives as many bytes as `out` holds.
pub fn derive_long(purpose: Purpose, key: &SecretKey, out: &mut [u8]) {
    let mut hasher = blake3::Hasher::new_derive_key(purpose.context());
    hasher.update(key.expose());
    hasher.finalize_xof().fill(out);
}

/// The plain hash of an object or record.
pub fn hash(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// The id of the pack with these bytes.
pub fn pack_id(object: &[u8]) -> PackId {
    PackId(hash(object).0)
}

/// Names blobs and decides where directories are cut: all that hangs on the dedup key but the
/// chunker.
#[derive(Clone)]
pub struct Identifier {
    chunk: SecretKey,
    node: SecretKey,
    directory_cut: SecretKey,
}

impl Identifier {
    /// Derives the keys.
    pub fn new(dedup_key: &SecretKey) -> Self {
        let derived = |purpose| derive_key(purpose, &[dedup_key.expose()]);
        Self {
            chunk: derived(Purpose::ChunkId),
            node: derived(Purpose::NodeId),
            directory_cut: derived(Purpose::DirectoryCut),
        }
    }

    /// The id of a blob.
    pub fn blob_id(&self, kind: BlobKind, plaintext: &[u8]) -> BlobId {
        let key = match kind {
            BlobKind::Data => &self.chunk,
            BlobKind::Tree => &self.node,
        };
        BlobId(*blake3::keyed_hash(key.expose(), plaintext).as_bytes())
    }

    /// The hash of a name by which directories are cut.
    pub fn directory_cut(&self, name: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(self.directory_cut.expose(), name).as_bytes()
    }
}
