//! `nightjar ledger show`

use anyhow::Result;
use nightjar_format::SlotId;
use nightjar_format::ledger::{LedgerBody, LedgerRecord};
use nightjar_repository::ledger;
use nightjar_repository::slots::{self, SlotInfo};
use serde::Serialize;

use super::Program;
use crate::args::LedgerShow;
use crate::exit::Exit;
use crate::output::format::{count, local_time, printable, rfc3339, size};
use crate::output::table::{Align, Table};
use crate::stderr;

#[derive(Serialize)]
struct LedgerView<'a> {
    incarnation: String,
    /// The number of the newest record.
    head: u64,
    records: Vec<RecordView<'a>>,
    findings: &'a [String],
}

#[derive(Default, Serialize)]
struct RecordView<'a> {
    number: u64,
    time: String,
    /// Who signed it.
    slot: String,
    /// What that slot is called, if it still has access.
    slot_label: Option<&'a str>,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<Vec<String>>,
    /// Whether nothing that only they hold may stay in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    erase: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to: Option<String>,
    /// The number of the newest erasure that was carried out.
    #[serde(skip_serializing_if = "Option::is_none")]
    up_to_record: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    /// How many.
    #[serde(skip_serializing_if = "Option::is_none")]
    packs: Option<u64>,
    /// What they took in the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The number of the record that condemned them.
    #[serde(skip_serializing_if = "Option::is_none")]
    condemned: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    /// The incarnation that begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    incarnation: Option<String>,
    /// The slot that was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<String>,
}

pub(super) fn show(program: &Program<'_>, arguments: &LedgerShow) -> Result<Exit> {
    let repository = program.open()?;
    let ledger = ledger::read(&repository)?;
    ledger.findings.iter().for_each(|finding| stderr::warn(finding));
    let slots = slots::list(&repository)?;
    let wanted = arguments.last.unwrap_or(usize::MAX);
    let records = ledger.records.iter().skip(ledger.records.len().saturating_sub(wanted));
    let records: Vec<(&LedgerRecord, SlotId)> =
        records.map(|(record, signer)| (record, *signer)).collect();
    let view = LedgerView {
        incarnation: ledger.head.incarnation.to_string(),
        head: ledger.head.number,
        records: records.iter().map(|(record, signer)| view(record, *signer, &slots)).collect(),
        findings: &ledger.findings,
    };
    program.output.result(&view, || table(&records, &slots))?;
    Ok(if ledger.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn label(slots: &[SlotInfo], id: SlotId) -> Option<&str> {
    slots.iter().find(|slot| slot.id == id).map(|slot| slot.label.as_str())
}

fn view<'a>(record: &'a LedgerRecord, signer: SlotId, slots: &'a [SlotInfo]) -> RecordView<'a> {
    let mut view = RecordView {
        number: record.number,
        time: rfc3339(record.time),
        slot: signer.to_string(),
        slot_label: label(slots, signer),
        kind: record.body.name(),
        ..RecordView::default()
    };
    match &record.body {
        LedgerBody::Open => {}
        LedgerBody::Promote(promotion) => {
            view.incarnation = Some(promotion.incarnation.to_string());
            view.snapshots = Some(promotion.snapshots.iter().map(ToString::to_string).collect());
            view.packs = Some(promotion.revived.len() as u64);
        }
        LedgerBody::Condemn { packs }
        | LedgerBody::Damaged { packs }
        | LedgerBody::Repaired { packs } => view.packs = Some(packs.len() as u64),
        LedgerBody::Retire { condemned, packs } => {
            view.condemned = Some(*condemned);
            view.packs = Some(packs.len() as u64);
        }
        LedgerBody::Reinstate { condemned } => view.condemned = Some(*condemned),
        LedgerBody::Forget { snapshots, erase, .. } => {
            view.snapshots = Some(snapshots.iter().map(ToString::to_string).collect());
            view.erase = Some(*erase);
        }
        LedgerBody::Release { snapshots, .. } => {
            view.snapshots = Some(snapshots.iter().map(ToString::to_string).collect());
        }
        LedgerBody::Hold { snapshots, until, .. } => {
            view.snapshots = Some(snapshots.iter().map(ToString::to_string).collect());
            view.until = until.map(rfc3339);
        }
        LedgerBody::Accept { series, up_to, .. } => {
            view.series = Some(series);
            view.up_to = Some(rfc3339(*up_to));
        }
        LedgerBody::Erased { up_to, packs, bytes, kept_until, .. } => {
            view.until = kept_until.map(rfc3339);
            view.up_to_record = Some(*up_to);
            view.packs = Some(*packs);
            view.bytes = Some(*bytes);
        }
        LedgerBody::Epoch { epoch, .. } => view.epoch = Some(*epoch),
        LedgerBody::Slot { slot } => view.member = Some(slot.to_string()),
    }
    let (who, why) = who_and_why(&record.body);
    view.who = who;
    view.why = why;
    view
}

fn who_and_why(body: &LedgerBody) -> (Option<&str>, Option<&str>) {
    match body {
        LedgerBody::Forget { who, why, .. }
        | LedgerBody::Hold { who, why, .. }
        | LedgerBody::Release { who, why, .. }
        | LedgerBody::Accept { who, why, .. } => (Some(who), Some(why)),
        LedgerBody::Erased { who, .. } => (Some(who), None),
        LedgerBody::Promote(promotion) => (Some(&promotion.who), Some(&promotion.why)),
        _ => (None, None),
    }
}

fn table(records: &[(&LedgerRecord, SlotId)], slots: &[SlotInfo]) -> String {
    let mut table = Table::new([
        ("record", Align::Right),
        ("time", Align::Left),
        ("slot", Align::Left),
        ("what", Align::Left),
        ("who", Align::Left),
        ("why", Align::Left),
    ]);
    for (record, signer) in records {
        let slot = label(slots, *signer).filter(|label| !label.is_empty());
        let (who, why) = who_and_why(&record.body);
        table.push([
            record.number.to_string(),
            local_time(record.time),
            slot.map_or_else(|| signer.short(), printable),
            what(&record.body),
            printable(who.unwrap_or_default()),
            printable(why.unwrap_or_default()),
        ]);
    }
    table.render()
}

fn what(body: &LedgerBody) -> String {
    let packs = |packs: &[_]| count(packs.len() as u64, "pack", "packs");
    match body {
        LedgerBody::Open => "began the ledger".to_owned(),
        LedgerBody::Condemn { packs: ids } => format!("condemned {}", packs(ids)),
        LedgerBody::Retire { condemned, packs: ids } => {
            format!("retired {} of record {condemned}", packs(ids))
        }
        LedgerBody::Reinstate { condemned } => {
            format!("reinstated what record {condemned} condemned")
        }
        LedgerBody::Damaged { packs: ids } => format!("found {} damaged", packs(ids)),
        LedgerBody::Repaired { packs: ids } => format!("repaired {}", packs(ids)),
        LedgerBody::Promote(promotion) => format!(
            "promoted a replica, with {}",
            count(promotion.snapshots.len() as u64, "snapshot", "snapshots")
        ),
        LedgerBody::Epoch { epoch, .. } => format!("began epoch {epoch}"),
        LedgerBody::Slot { slot } => format!("added slot {}", slot.short()),
        LedgerBody::Forget { snapshots, erase, .. } => {
            let what = if *erase { "forgot, to be erased: " } else { "forgot " };
            format!("{what}{}", named(snapshots))
        }
        LedgerBody::Hold { snapshots, until, .. } => {
            let until = until.map(|until| format!(" until {}", local_time(until)));
            format!("held {}{}", named(snapshots), until.unwrap_or_default())
        }
        LedgerBody::Release { snapshots, .. } => format!("released {}", named(snapshots)),
        LedgerBody::Accept { series, up_to, .. } => {
            format!("accepted the sizes of {} up to {}", printable(series), local_time(*up_to))
        }
        LedgerBody::Erased { up_to, packs, bytes: freed, kept_until, .. } => {
            let packs = count(*packs, "pack", "packs");
            let until =
                kept_until.map(|until| format!("; the store keeps it until {}", local_time(until)));
            let (freed, until) = (size(*freed), until.unwrap_or_default());
            format!("erased what was to go up to record {up_to} ({packs}, {freed}{until})")
        }
    }
}

/// `snapshot 3f2a…`, `12 snapshots: 3f2a…, 77c0…, …`
fn named(ids: &[nightjar_format::SessionId]) -> String {
    const MOST: usize = 3;
    match ids {
        [only] => format!("snapshot {}", only.short()),
        ids => {
            let mut names: Vec<String> = ids.iter().take(MOST).map(|id| id.short()).collect();
            if ids.len() > MOST {
                names.push("…".to_owned());
            }
            let many = count(ids.len() as u64, "snapshot", "snapshots");
            format!("{many}: {}", names.join(", "))
        }
    }
}
