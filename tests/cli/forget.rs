//! `snapshot forget`: gone for good, and nothing else with it.

use crate::harness::{Sandbox, assert_same, data};

#[test]
fn a_forgotten_snapshot_is_gone_and_the_others_are_whole() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let changed = [data::noise(1, 100_000), dump.clone()].concat();
    let second = sandbox.store("dump.sql", &changed);
    sandbox.nightjar("snapshot forget --reason mistake").arg(&first).done();
    let left = sandbox.snapshots();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["id"], second.as_str());
    for command in ["snapshot show", "snapshot ls", "restore --stdout", "snapshot verify"] {
        sandbox.nightjar(command).arg(&first).exits(1).says("no snapshot").prints_nothing();
    }
    assert_same(&sandbox.stream(&second), &changed);
    sandbox.assert_verifies();
    sandbox.nightjar("status").done();
    // What only the forgotten one used is still there for the next night.
    let third = sandbox.store("dump.sql", &dump);
    assert_same(&sandbox.stream(&third), &dump);
    sandbox.assert_verifies();
}

#[test]
fn forgetting_the_newest_makes_the_one_before_the_latest() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let second = sandbox.store("dump.sql", b"made by mistake");
    sandbox.nightjar("snapshot forget --reason mistake").arg(&second).done();
    sandbox.nightjar("restore latest --stdout").done().prints_bytes(&dump);
    let third = sandbox.nightjar("backup --stdin dump.sql").stdin(dump).json();
    assert_ne!(third["previous"], second.as_str());
    sandbox.assert_verifies();
}

#[test]
fn another_machine_learns_of_it_and_does_not_cry_wolf() {
    let (sandbox, _, first) = Sandbox::with_dump();
    sandbox.store("dump.sql", b"second");
    let elsewhere = sandbox.path("cache-elsewhere");
    let other = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", &elsewhere);
    assert_eq!(other("snapshot list").json().as_array().unwrap().len(), 2);
    sandbox.nightjar("snapshot forget --reason test").arg(&first).done();
    let outcome = other("snapshot list").with_json().done().never_says("warning");
    assert_eq!(outcome.json().as_array().unwrap().len(), 1);
    other("restore --stdout").arg(&first).exits(1).prints_nothing();
    other("snapshot verify --all").done();
}

#[test]
fn several_are_forgotten_together_or_not_at_all() {
    let (sandbox, _, first) = Sandbox::with_dump();
    let second = sandbox.store("dump.sql", b"second");
    let run = sandbox.nightjar("snapshot forget --reason test").arg(&first);
    run.args("00000000000000000000000000000000").exits(1);
    assert_eq!(sandbox.snapshots().len(), 2);
    let run = sandbox.nightjar("snapshot forget --reason test").arg(&first).arg(&second);
    let forgotten = run.json();
    assert_eq!(forgotten["forgotten"].as_array().unwrap().len(), 2);
    assert_eq!(forgotten["reason"], "test");
    assert!(sandbox.snapshots().is_empty());
    sandbox.nightjar("restore latest --stdout").exits(1).prints_nothing();
    sandbox.assert_verifies();
}

#[test]
fn forgetting_by_mistake_is_made_hard() {
    let (sandbox, _, id) = Sandbox::with_dump();
    sandbox.nightjar("snapshot forget latest --reason test").exits(2);
    sandbox.nightjar("snapshot forget").arg(&id).exits(2).says("--reason");
    sandbox.nightjar("snapshot forget --reason test").exits(2);
    assert_eq!(sandbox.snapshots().len(), 1);
}
