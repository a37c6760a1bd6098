//! Bundles of copies, which anybody who may write to the store can make up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::bundle;

fuzz_target!(|data: &[u8]| {
    if let Ok((table, copies)) = bundle::from_object(data) {
        assert!(table.names().eq(copies.iter().map(|(name, _)| *name)));
        assert_eq!(bundle::to_object(&copies), data);
    }
});
