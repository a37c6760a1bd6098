//! A night costs what changed, not the chunks it touched; and the output says so.

use serde_json::Value;

use crate::harness::{Sandbox, assert_same, data, id_of, number};

/// A dump of some 9 MB, and the same with a row in every two hundred changed, night after night.
fn night(number: u64) -> Vec<u8> {
    let text = String::from_utf8(data::dump(1, 100_000)).unwrap();
    let mut out = String::with_capacity(text.len() + (1 << 20));
    let mut random = data::Random::new(7);
    for line in text.lines() {
        let changed_on = random.below(200);
        out.push_str(line);
        if changed_on < number {
            out.push_str(" returned");
        }
        out.push('\n');
    }
    out.into_bytes()
}

fn store(sandbox: &Sandbox, stream: &[u8], options: &str) -> Value {
    sandbox.nightjar("backup --stdin dump.sql").args(options).stdin(stream).json()
}

#[test]
fn scattered_changes_are_stored_as_deltas() {
    let sandbox = Sandbox::new();
    let nights: Vec<Vec<u8>> = (0..4).map(night).collect();
    let runs: Vec<Value> = nights.iter().map(|night| store(&sandbox, night, "")).collect();
    let whole = number(&runs[0], "bytes_added");
    for run in &runs[1..] {
        assert!(number(run, "bytes_new") > 5_000_000, "nearly every chunk is touched: {run}");
        assert!(number(run, "chunks_delta") * 10 > number(run, "chunks_new") * 9, "{run}");
        assert!(number(run, "bytes_stored_delta") <= number(run, "bytes_stored"), "{run}");
        assert!(number(run, "bytes_added") * 20 < whole, "{run} after {whole} bytes at first");
        assert!(run["ratio"].as_f64().unwrap() > 50.0, "{run}");
    }
    for (run, night) in runs.iter().zip(&nights) {
        assert_same(&sandbox.stream(&id_of(run)), night);
        let elsewhere = sandbox.nightjar("restore --stdout").arg(id_of(run));
        let elsewhere = elsewhere.env("NIGHTJAR_CACHE_DIR", sandbox.path("another cache"));
        elsewhere.done().prints_bytes(night);
    }
    sandbox.assert_verifies();
}

#[test]
fn deltas_can_be_switched_off_for_a_run_and_on_again() {
    let sandbox = Sandbox::new();
    let nights: Vec<Vec<u8>> = (0..4).map(night).collect();
    let options = ["", "--delta=off", "--delta=auto", "--delta-depth 1"];
    let runs: Vec<Value> = nights
        .iter()
        .zip(options)
        .map(|(night, options)| store(&sandbox, night, options))
        .collect();
    assert_eq!(number(&runs[1], "chunks_delta"), 0, "{}", runs[1]);
    assert!(number(&runs[1], "chunks_new") > 50, "{}", runs[1]);
    assert!(number(&runs[2], "chunks_delta") > 50, "{}", runs[2]);
    // What was stored yesterday as a delta may not be a base today; what lies whole below it may.
    assert!(number(&runs[3], "chunks_delta") > 50, "{}", runs[3]);
    let status = sandbox.nightjar("status").json();
    assert_eq!(status["blobs_by_depth"].as_array().unwrap().len(), 2, "{status}");
    for (run, night) in runs.iter().zip(&nights) {
        assert_same(&sandbox.stream(&id_of(run)), night);
    }
}

#[test]
fn bounds_on_chains_are_kept() {
    let sandbox = Sandbox::new();
    for number in 0..6 {
        store(&sandbox, &night(number), "--delta-depth 3");
    }
    let status = sandbox.nightjar("status").json();
    let depths = status["blobs_by_depth"].as_array().unwrap();
    assert_eq!(depths.len(), 4, "{status}");
    assert!(depths.iter().all(|count| count.as_u64().unwrap() > 0), "{status}");
    let total: u64 = depths.iter().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(total, number(&status, "blobs"));
    sandbox.assert_verifies();
}

#[test]
fn what_was_stored_how_is_told_to_people() {
    let sandbox = Sandbox::new();
    store(&sandbox, &night(0), "");
    let created = sandbox.nightjar("backup --stdin dump.sql").stdin(night(1)).done().text();
    let shown = sandbox.nightjar("snapshot show latest").done().text();
    for text in [&created, &shown] {
        assert!(text.contains("as deltas in"), "{text}");
        assert!(text.contains("of the whole"), "{text}");
    }
    let status = sandbox.nightjar("status").done().text();
    assert!(status.contains("deep on average"), "{status}");
}

#[test]
fn impossible_bounds_are_refused_with_the_range() {
    let sandbox = Sandbox::new();
    for options in ["--delta-depth 0", "--delta-depth 33", "--delta-chain 0", "--delta=maybe"] {
        let run = sandbox.nightjar("backup --stdin dump.sql").args(options).stdin(b"x".as_slice());
        run.exits(2).says("--delta");
    }
}

#[test]
fn a_dump_of_another_name_is_stored_against_the_likeness_that_is_there() {
    let sandbox = Sandbox::new();
    store(&sandbox, &night(0), "");
    let other = sandbox.nightjar("backup --stdin copy.sql").stdin(night(2)).json();
    assert!(number(&other, "chunks_delta") * 2 > number(&other, "chunks_new"), "{other}");
    assert_same(&sandbox.stream(&id_of(&other)), &night(2));
}
