//! Bundles of copies, which anybody who may write to the store can make up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::bundle;

fuzz_target!(|data: &[u8]| {
    if let Ok(opened) = bundle::from_object(data) {
        assert!(opened.table.names().eq(opened.copies.iter().map(|(name, _)| *name)));
        let signed = bundle::to_signed(&opened.copies);
        assert_eq!(bundle::to_object(signed, opened.signer, &opened.signature), data);
    }
});
