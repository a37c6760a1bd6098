//! Objects that are read before any key is known, and the records that keys rest on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::keyring::{self, EpochRecord, Keyring};
use nightjar_format::replica::ReplicaRecord;
use nightjar_format::repository::RepositoryRecord;
use nightjar_format::slot::{SlotLabel, SlotObject, SlotRecord};
use nightjar_fuzz::{check, check_record};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    match choice % 8 {
        0 => check(bytes, RepositoryRecord::from_object, RepositoryRecord::to_object),
        1 => check(bytes, SlotObject::from_object, SlotObject::to_object),
        2 => check_record::<SlotRecord>(bytes),
        3 => check_record::<SlotLabel>(bytes),
        4 => check_record::<Keyring>(bytes),
        5 => check_record::<EpochRecord>(bytes),
        7 => check(bytes, ReplicaRecord::from_object, ReplicaRecord::to_object),
        _ => {
            if let Ok((encapsulated, ciphertext)) = keyring::split(bytes) {
                assert_eq!(keyring::to_object(encapsulated, ciphertext), bytes);
            }
        }
    }
});
