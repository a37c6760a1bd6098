//! Every bound that a reader enforces (format-spec, chapter 9).

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// A `repository` or slot object, in bytes.
pub const PLAIN_OBJECT_BYTES: usize = 64 * KIB;
/// A keyring object, in bytes.
pub const KEYRING_BYTES: usize = MIB;
/// An index, session, snapshot, ledger or check object, in bytes.
pub const METADATA_OBJECT_BYTES: usize = 64 * MIB;
/// The record within such an object, and a pack's footer, in bytes.
pub const RECORD_BYTES: usize = 256 * MIB;
/// A bundle, in bytes.
pub const BUNDLE_BYTES: usize = 96 * MIB;
/// The table of a bundle, in bytes.
pub const BUNDLE_TABLE_BYTES: usize = 16 * MIB;
/// The record of a check object, in bytes.
pub const CHECK_RECORD_BYTES: usize = 64 * MIB;
/// Packs and snapshots that a check object names, together.
pub const CHECK_ENTRIES: usize = 1 << 20;
/// A pack, in bytes.
pub const PACK_BYTES: u64 = 1 << 30;
/// A chunk or a node, in bytes.
pub const BLOB_BYTES: usize = 16 * MIB;
/// What a sealed payload may take beyond the raw length, in bytes.
pub const PAYLOAD_OVERHEAD_BYTES: usize = 64 * KIB;
/// The deltas between a blob and the whole blob its chain rests on.
pub const CHAIN_DEPTH: u8 = 32;
/// Blobs that a blob may rest on, itself included.
pub const SUPPORT: usize = 256;
/// Blobs that one delta is made against.
pub const BASES: usize = 4;
/// Levels of a content list or of one directory.
pub const MANIFEST_LEVELS: u8 = 16;
/// Directories below each other.
pub const DIRECTORY_DEPTH: usize = 4096;
/// Smallest and largest pack target, in bytes.
pub const PACK_TARGET_BYTES: std::ops::RangeInclusive<u32> = 1 << 20..=128 << 20;
/// The number of an epoch: eight digits.
pub const EPOCH: u32 = 99_999_999;
/// The number of a ledger record: twelve digits.
pub const LEDGER_NUMBER: u64 = 999_999_999_999;
/// A name in a directory, in bytes.
pub const NAME_BYTES: usize = 4096;
/// Argon2id's memory, in KiB.
pub const ARGON2_MEMORY_KIB: u32 = 4 << 20;
/// Argon2id's passes.
pub const ARGON2_PASSES: u32 = 64;
/// Argon2id's lanes.
pub const ARGON2_LANES: u32 = 64;
/// A key file, in bytes.
pub const KEY_FILE_BYTES: usize = MIB;
/// Chunk references that stand directly in a directory entry.
pub const DIRECT_CHUNKS: usize = 8;
