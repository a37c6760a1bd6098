//! `chunker.json`, `ids.json` and `padme.json`.

use nightjar_codec::chunker::{Chunker, gear_table};
use nightjar_codec::digest::Identifier;
use nightjar_format::blob::BlobKind;
use nightjar_format::object::padme;
use nightjar_format::repository::ChunkerParameters;

use crate::file::{bytes, input, key, list, load, number, text};
use crate::reference;

#[test]
fn cut_points_are_those_of_the_format() {
    let file = load("chunker.json");
    let dedup_key = key(&file, "dedup_key");
    let gear = gear_table(&dedup_key);
    for cut in list(&file, "cuts") {
        let parameters = ChunkerParameters {
            min: number(cut, "minimum"),
            average: number(cut, "average"),
            max: number(cut, "maximum"),
        };
        let chunker = Chunker::new(parameters, &dedup_key).unwrap();
        let stream = input(&cut["input"]);
        let mut ends = Vec::new();
        let mut at = 0;
        while at < stream.len() {
            at += chunker.cut(&stream[at..]);
            ends.push(at);
        }
        let recorded: Vec<usize> = serde_json::from_value(cut["ends"].clone()).unwrap();
        assert_eq!(ends, recorded, "{}", cut["input"]);
        let ChunkerParameters { min, average, max } = parameters;
        assert_eq!(ends, reference::cut_points(&stream, (min, average, max), &gear));
    }
}

#[test]
fn masks_are_those_of_the_format() {
    let file = load("chunker.json");
    let masks = list(&file, "masks");
    // Every average that a repository may have: 4 KiB to 4 MiB.
    let averages: Vec<u32> = masks.iter().map(|mask| number(mask, "average")).collect();
    assert_eq!(averages, (12..=22).map(|bits| 1 << bits).collect::<Vec<u32>>());
    for mask in masks {
        let average: u32 = number(mask, "average");
        let (strict, loose) =
            fastcdc::v2020::select_masks(average as usize, fastcdc::v2020::Normalization::Level1);
        assert_eq!((strict, loose), reference::masks(average));
        assert_eq!(format!("{strict:016x}"), text(mask, "strict"));
        assert_eq!(format!("{loose:016x}"), text(mask, "loose"));
    }
}

#[test]
fn blob_ids_are_those_of_the_format() {
    let file = load("ids.json");
    let identifier = Identifier::new(&key(&file, "dedup_key"));
    for recorded in list(&file, "ids") {
        let plaintext = bytes(recorded, "plaintext");
        for (kind, field) in [(BlobKind::Data, "chunk"), (BlobKind::Tree, "node")] {
            assert_eq!(identifier.blob_id(kind, &plaintext).to_string(), text(recorded, field));
        }
    }
}

#[test]
fn padding_is_that_of_the_format() {
    let file = load("padme.json");
    for pair in list(&file, "lengths") {
        assert_eq!(Some(padme(pair[0].as_u64().unwrap())), pair[1].as_u64(), "{pair}");
    }
}
