//! The records in metadata objects and in the footers of packs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::blob::BlobTable;
use nightjar_format::check::CheckRecord;
use nightjar_format::index::IndexRecord;
use nightjar_format::ledger::{LedgerRecord, LedgerState};
use nightjar_format::limits;
use nightjar_format::pack::Footer;
use nightjar_format::record;
use nightjar_format::session::SessionRecord;
use nightjar_format::snapshot::Register;
use nightjar_fuzz::check_record;

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 6 {
        0 => {
            check_record::<IndexRecord>(bytes);
            if let Ok(index) = record::decode::<IndexRecord>(bytes) {
                index.packs.iter().for_each(|pack| check_table(&pack.table));
            }
        }
        1 => {
            check_record::<Footer>(bytes);
            if let Ok(footer) = record::decode::<Footer>(bytes) {
                check_table(&footer.table);
            }
        }
        2 => check_record::<SessionRecord>(bytes),
        3 => check_record::<Register>(bytes),
        4 => {
            check_record::<LedgerRecord>(bytes);
            if let Ok(record) = record::decode::<LedgerRecord>(bytes) {
                check_ledger(&record);
            }
        }
        _ => check_record::<CheckRecord>(bytes),
    }
});

/// The blobs of a table lie back to back, and a table of the same blobs says the same of them.
fn check_table(table: &BlobTable) {
    let entries: Vec<_> = table.entries(57).collect();
    assert_eq!(entries.len(), table.ids.len());
    let mut end = 57u64;
    for entry in &entries {
        assert_eq!(u64::from(entry.offset), end);
        assert!(entry.raw_len as usize <= limits::BLOB_BYTES);
        end += u64::from(entry.stored_len);
    }
    assert_eq!(end, 57 + table.stored_bytes());
    let again = BlobTable::from_entries(&entries);
    assert_eq!(again.validate(), Ok(()));
    assert!(again.entries(57).eq(entries));
}

/// Repeating a record changes nothing.
fn check_ledger(record: &LedgerRecord) {
    let mut state = LedgerState::default();
    state.apply(record);
    let once = state.clone();
    state.apply(record);
    assert!(state == once);
    assert!(once.closed_set().iter().all(|pack| once.closes(pack)));
}
