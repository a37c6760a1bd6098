//! Tars: every member's header, records and map of holes, and its data.
#![no_main]
#![allow(dead_code)]

use std::io::{self, ErrorKind, Read};

use self::tar::read::Archive;
use self::tar::sparse::DataReader;
use libfuzzer_sys::fuzz_target;

// The crate that they are of would bring the engine and its database.
#[path = "../../crates/source/src/holes.rs"]
mod holes;
#[path = "../../crates/source/src/recognise.rs"]
mod recognise;

#[path = "../../crates/source/src/tar"]
mod tar {
    pub mod read;
    pub mod records;
    pub mod sparse;
}

/// Holes may stand for any number of zeros.
const MOST_READ: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    match read(bytes) {
        Ok(()) => {}
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData), "{error}");
        }
    }
});

fn read(bytes: &[u8]) -> io::Result<()> {
    let mut archive = Archive::new(bytes);
    while let Some(mut member) = archive.next()? {
        let mut data = DataReader::new(&mut archive, &mut member.layout);
        io::copy(&mut data.by_ref().take(MOST_READ), &mut io::sink())?;
        let mut end = 0;
        for hole in &member.layout.holes {
            assert!(hole.offset >= end && hole.length > 0, "holes must follow each other");
            end = hole.offset.checked_add(hole.length).expect("a hole must end");
        }
        assert!(archive.position <= bytes.len() as u64);
    }
    archive.drain()?;
    Ok(())
}
