//! Names of objects, and ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nightjar_format::object::ObjectName;
use nightjar_format::{BlobId, IncarnationId, SessionId};

fuzz_target!(|text: &str| {
    if let Some(name) = ObjectName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(id) = text.parse::<BlobId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<SessionId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(id) = text.parse::<IncarnationId>() {
        assert_eq!(id.to_string(), text);
    }
});
