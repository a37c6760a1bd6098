//! A repository as it is after years, without the years: what it says of itself is sealed and
//! signed like everything else, and the packs that it speaks of hold nothing.

use nightjar_format::blob::{BlobEntry, BlobKind, BlobTable, Encoding};
use nightjar_format::index::PackRecord;
use nightjar_format::ledger::LedgerBody;
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::snapshot::{Register, Snapshot};
use nightjar_format::{BlobId, PackId, SessionId};

use crate::fixture::Fixture;
use crate::insider::Insider;

/// How much there is to be.
#[derive(Debug, Clone, Copy)]
pub struct Years {
    /// Snapshots, each with an index object of its own.
    pub snapshots: u32,
    /// Full packs of the first backup.
    pub packs: u32,
    /// Blobs in each of them.
    pub blobs: u32,
    /// Nights in which snapshots were forgotten and packs collected: three ledger records each.
    pub nights: u32,
}

/// A pack that the store must seem to hold.
#[derive(Debug, Clone, Copy)]
pub struct EmptyPack {
    /// Which.
    pub id: PackId,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a night forgets, and what a collector retires then.
const FORGOTTEN: usize = 10;
const RETIRED: usize = 20;

const FULL_PACK_BYTES: u64 = 16 << 20;
const SMALL_PACK_BYTES: u64 = 16 << 10;
const SMALL_PACK_BLOBS: u32 = 8;
/// A writer publishes an index object when it has so many blobs.
const INDEX_BLOBS: u32 = 100_000;

/// Adds years to a repository: snapshots like `last`, and index objects. Returns the packs.
pub fn pass(fixture: &Fixture, years: &Years, last: &Snapshot) -> Vec<EmptyPack> {
    let insider = Insider::first(fixture);
    let mut made = Vec::new();
    let mut publish = |packs: u32, blobs: u32, bytes: u64| {
        let session = SessionId(fixture.world.random().array());
        let records: Vec<_> =
            (0..packs).map(|_| empty_pack(fixture, insider.epoch, blobs, bytes, true)).collect();
        made.extend(records.iter().map(|it| EmptyPack { id: it.pack_id, bytes: it.size }));
        insider.write_index(session, records);
        session
    };
    let at_once = (INDEX_BLOBS / years.blobs).max(1);
    for first in (0..years.packs).step_by(at_once as usize) {
        publish(at_once.min(years.packs - first), years.blobs, FULL_PACK_BYTES);
    }
    for number in 0..years.snapshots {
        let session = publish(2, SMALL_PACK_BLOBS, SMALL_PACK_BYTES);
        let before = i64::from(years.snapshots - number) * 3600 * 1_000_000_000;
        let snapshot = Snapshot {
            started: last.started - before,
            finished: last.finished - before,
            series: format!("series {}", number % 100),
            previous: None,
            ..last.clone()
        };
        let register = Register::Committed(Box::new(snapshot));
        insider.write(MetadataKind::Snapshot, &ObjectName::Snapshot(session), &register);
    }
    insider.append(&fixture.open(), nights(fixture, years.nights));
    made
}

/// What so many nights append to the ledger, which goes on behind record 0.
fn nights(fixture: &Fixture, nights: u32) -> impl Iterator<Item = LedgerBody> {
    let random = fixture.world.random();
    (0..u64::from(nights)).flat_map(move |night| {
        let snapshots = (0..FORGOTTEN).map(|_| SessionId(random.array())).collect();
        let packs: Vec<PackId> = (0..RETIRED).map(|_| PackId(random.array())).collect();
        let (who, why) = ("tester".to_owned(), "retention (keep-daily 30)".to_owned());
        [
            LedgerBody::Forget { snapshots, who, why, erase: false },
            LedgerBody::Condemn { packs: packs.clone() },
            LedgerBody::Retire { condemned: 3 * night + 2, packs },
        ]
    })
}

/// What an index object says of a pack that has so many blobs, with sketches or without, and so many
/// bytes.
pub(crate) fn empty_pack(
    fixture: &Fixture,
    epoch: u32,
    blobs: u32,
    size: u64,
    sketched: bool,
) -> PackRecord {
    let random = fixture.world.random();
    let stored_len = u32::try_from(size / u64::from(blobs) - 100).unwrap();
    let entry = |_| BlobEntry {
        id: BlobId(random.array()),
        offset: 0,
        stored_len,
        raw_len: 65_536.max(stored_len),
        encoding: Encoding::Zstd,
        sketch: [0; 3].map(|_| if sketched { u32::from_le_bytes(random.array()) } else { 0 }),
    };
    let table = BlobTable::from_entries(&(0..blobs).map(entry).collect::<Vec<_>>());
    let (pack_id, kind) = (PackId(random.array()), BlobKind::Data as u8);
    PackRecord { pack_id, size, kind, epoch, table }
}
