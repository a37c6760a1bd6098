//! `metadata.json`: one sealed object of each kind (format-spec, chapters 1, 5, 7, 8 and 14).

use anyhow::{Context, Result};
use nightjar_codec::metadata::{self, Sealer};
use nightjar_codec::sign::SignKey;
use nightjar_format::blob::{Bases, BlobEntry, BlobTable, Encoding};
use nightjar_format::check::{CheckRecord, PackCheck, SnapshotCheck};
use nightjar_format::index::{IndexRecord, PackRecord};
use nightjar_format::ledger::{LedgerBody, LedgerRecord, Promotion};
use nightjar_format::object::{MetadataKind, ObjectName};
use nightjar_format::record::{self, Record};
use nightjar_format::session::{Position, SessionRecord};
use nightjar_format::snapshot::{Counts, Label, Previous, Register, Snapshot, Source};
use nightjar_format::{
    BlobId, CheckId, Digest, IncarnationId, IndexId, PackId, RepositoryId, SessionId, SlotId,
};
use serde_json::{Value, json};

use crate::seeded::{Seeded, array, hex, key};

pub(crate) fn vectors() -> Result<Value> {
    let session = SessionId(array("session"));
    let incarnation = IncarnationId(array("incarnation"));
    Ok(json!({
        "about": "format-spec, chapters 1, 5, 7, 8 and 14: \"object\" opens to \"record\"; \"counts\" are \
            those of the snapshot.",
        "repository_id": hex(&array::<16>("repository")),
        "epoch": 3,
        "counts": counts(),
        "metadata_key": hex(key("metadata key").expose()),
        "signer": hex(&array::<16>("slot")),
        "sign_seed": hex(key("signer").expose()),
        "sign_public": hex(&SignKey::from_seed(&key("signer")).public()),
        "objects": [
            seal(MetadataKind::Index, ObjectName::Index(IndexId(array("index"))), &index(session)?)?,
            seal(
                MetadataKind::Session,
                ObjectName::Session(session),
                &announcement(session, incarnation),
            )?,
            seal(MetadataKind::Snapshot, ObjectName::Snapshot(session), &register(incarnation))?,
            seal(MetadataKind::Ledger, ObjectName::Ledger(7), &forget(incarnation))?,
            seal(MetadataKind::Ledger, ObjectName::Ledger(8), &hold(incarnation))?,
            seal(MetadataKind::Ledger, ObjectName::Ledger(9), &erased(incarnation))?,
            seal(MetadataKind::Ledger, ObjectName::Ledger(10), &promote(incarnation))?,
            seal(MetadataKind::Check, ObjectName::Check(CheckId(array("check"))), &check(session))?,
        ],
    }))
}

fn seal<R: Record>(kind: MetadataKind, name: ObjectName, record: &R) -> Result<Value> {
    let sealer = Sealer {
        repository: RepositoryId(array("repository")),
        epoch: 3,
        metadata_key: &key("metadata key"),
        signer: SlotId(array("slot")),
        sign_key: &SignKey::from_seed(&key("signer")),
    };
    let random = format!("sealing {name}");
    let object = metadata::seal(&sealer, kind, &name, record, &Seeded::new(&random))?;
    Ok(json!({
        "kind": kind as u8,
        "name": name.to_string(),
        "random": random,
        "record": hex(&record::encode(record)),
        "object": hex(&object),
    }))
}

fn index(session: SessionId) -> Result<IndexRecord> {
    let entry = |label: &str, encoding| BlobEntry {
        id: BlobId(array(label)),
        offset: 0,
        stored_len: 70_000,
        raw_len: 65_536,
        encoding,
        sketch: array::<3>(label).map(u32::from),
    };
    let delta = |bases: &[&str], depth| {
        let ids: Vec<BlobId> = bases.iter().map(|base| BlobId(array(base))).collect();
        let bases = Bases::new(&ids).context("one to four bases")?;
        anyhow::Ok(Encoding::Delta { bases, depth })
    };
    let table = BlobTable::from_entries(&[
        entry("one", Encoding::Zstd),
        entry("two", delta(&["one"], 1)?),
        entry("three", delta(&["elsewhere", "two"], 5)?),
        entry("four", Encoding::Raw),
        entry("five", delta(&["three", "four", "farther", "elsewhere"], 32)?),
    ]);
    let pack = |label: &str, kind, table| PackRecord {
        pack_id: PackId(array(label)),
        size: 400_000,
        kind,
        epoch: 3,
        table,
    };
    let packs = vec![pack("pack 1", 1, table), pack("pack 2", 2, BlobTable::default())];
    Ok(IndexRecord { session, packs })
}

fn announcement(session: SessionId, incarnation: IncarnationId) -> SessionRecord {
    SessionRecord {
        session,
        host: "höst".to_owned(),
        process: 4_000_000_000,
        started: -1,
        renewed: 1_700_000_000_000_000_000,
        renewals: 300,
        noted: Some(Position { incarnation, number: 6 }),
    }
}

fn register(incarnation: IncarnationId) -> Register {
    Register::Committed(Box::new(Snapshot {
        series: "orders".to_owned(),
        started: 1_700_000_000_000_000_000,
        finished: 1_700_000_001_000_000_000,
        host: "db1".to_owned(),
        user: "postgres".to_owned(),
        program: "nightjar 0.1.0".to_owned(),
        labels: vec![Label { key: "night".to_owned(), value: "1".to_owned() }],
        source: Source::Command {
            name: "orders.sql".to_owned(),
            arguments: vec!["pg_dump".to_owned(), "orders".to_owned()],
            status: 0,
            tar: true,
        },
        counts: counts(),
        root: BlobId(array("root")),
        previous: Some(Previous {
            id: SessionId(array("before")),
            digest: Digest(array("digest")),
        }),
        original: Some(Previous {
            id: SessionId(array("original")),
            digest: Digest(array("original's digest")),
        }),
        incarnation,
    }))
}

/// No two alike.
fn counts() -> Counts {
    Counts {
        files: 1,
        directories: 2,
        others: 3,
        unreadable: 4,
        files_unchanged: 15,
        bytes_unchanged: 16 << 30,
        bytes_read: 1 << 40,
        chunks: 1 << 24,
        chunks_new: 7_000,
        bytes_new: 8 << 26,
        bytes_stored: 9 << 24,
        chunks_delta: 1_000,
        bytes_delta: 11 << 22,
        bytes_stored_delta: 12 << 14,
        bytes_read_back: 13 << 20,
        bytes_added: 14 << 24,
    }
}

fn forget(incarnation: IncarnationId) -> LedgerRecord {
    LedgerRecord {
        incarnation,
        number: 7,
        previous: Digest(array("record 6")),
        time: 1_700_000_002_000_000_000,
        body: LedgerBody::Forget {
            snapshots: vec![SessionId(array("before"))],
            who: "somebody".to_owned(),
            why: "a customer's right".to_owned(),
            erase: true,
        },
    }
}

fn hold(incarnation: IncarnationId) -> LedgerRecord {
    LedgerRecord {
        incarnation,
        number: 8,
        previous: Digest(array("record 7")),
        time: 1_700_000_003_000_000_000,
        body: LedgerBody::Hold {
            snapshots: vec![SessionId(array("session"))],
            until: Some(1_800_000_000_000_000_000),
            who: "somebody".to_owned(),
            why: "before the migration".to_owned(),
        },
    }
}

fn erased(incarnation: IncarnationId) -> LedgerRecord {
    LedgerRecord {
        incarnation,
        number: 9,
        previous: Digest(array("record 8")),
        time: 1_700_000_004_000_000_000,
        body: LedgerBody::Erased {
            up_to: 7,
            packs: 2,
            bytes: 3 << 20,
            kept_until: Some(1_702_592_004_000_000_000),
            who: "somebody".to_owned(),
        },
    }
}

fn promote(incarnation: IncarnationId) -> LedgerRecord {
    LedgerRecord {
        incarnation,
        number: 10,
        previous: Digest(array("record 9")),
        time: 1_700_000_005_000_000_000,
        body: LedgerBody::Promote(Box::new(Promotion {
            incarnation: IncarnationId(array("promoted")),
            snapshots: ["session", "original"].map(|label| SessionId(array(label))).into(),
            revived: ["pack 1", "pack 2"].map(|label| PackId(array(label))).into(),
            who: "somebody".to_owned(),
            why: "the region is gone".to_owned(),
        })),
    }
}

fn check(session: SessionId) -> CheckRecord {
    let checked = |label: &str, packs, data| PackCheck { pack: PackId(array(label)), packs, data };
    let mut packs = vec![
        checked("pack 1", Some(1_700_000_006_000_000_000), None),
        checked("pack 2", None, Some(1_700_000_007_000_000_000)),
        checked("pack 3", Some(1_700_000_008_000_000_000), Some(-1)),
    ];
    packs.sort_by_key(|it| it.pack);
    let snapshots = vec![SnapshotCheck { snapshot: session, walked: 1_700_000_009_000_000_000 }];
    CheckRecord { packs, snapshots }
}
