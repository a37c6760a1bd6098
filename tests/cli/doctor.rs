//! `nightjar doctor`: what is wrong is found before it costs a backup.

use std::fs;
use std::time::Duration;

use nightjar_testservers::{Authority, Fault, Proxy};
use serde_json::Value;

use super::far::Far;
use crate::harness::mount::Mount;
use crate::harness::{Nightjar, Sandbox, WEAK, assert_has_fields, files_below, namespace, number};

/// State and text of a check.
#[track_caller]
fn check<'a>(doctor: &'a Value, name: &str) -> (&'a str, String) {
    let checks = doctor["checks"].as_array().expect("an array of checks");
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no check {name} in {doctor}"));
    let text = |field: &str| check[field].as_str().unwrap_or_default();
    (text("state"), format!("{} {}", text("found"), text("advice")))
}

/// A check came out so and says this.
#[track_caller]
fn assert_check(doctor: &Value, name: &str, state: &str, says: &str) {
    let (found, text) = check(doctor, name);
    assert!(found == state && text.contains(says), "{name}: {found}, {text}");
}

#[track_caller]
fn examined(run: Nightjar, code: i32) -> Value {
    run.with_json().exits(code).json()
}

const NAMES: [&str; 19] = [
    "configuration",
    "reach",
    "list",
    "latency",
    "create",
    "replace",
    "read",
    "range",
    "clock",
    "conditions",
    "delete",
    "repository",
    "recorded",
    "key",
    "ledger",
    "sessions",
    "cache",
    "cache_space",
    "store_space",
];

#[test]
fn a_sound_repository_in_a_directory_is_sound_and_stays_as_it_was() {
    let (sandbox, ..) = Sandbox::with_dump();
    let before = files_below(&sandbox.repository());
    let doctor = examined(sandbox.nightjar("doctor"), 0);
    assert_has_fields(&doctor, "url latency_seconds clock_skew_seconds cache_free_bytes");
    assert_eq!(doctor["conditional_create"], true);
    for name in NAMES {
        // How much room there is is the machine's affair.
        assert!(name.ends_with("space") || check(&doctor, name).0 == "ok", "{name}: {doctor}");
    }
    assert_eq!(doctor["checks"].as_array().unwrap().len(), NAMES.len());
    assert_eq!(files_below(&sandbox.repository()), before);
    sandbox.nightjar("doctor").done().prints("ok ").prints("snapshots: 1");
}

#[test]
fn before_there_is_a_repository_it_tells_whether_there_can_be_one() {
    let sandbox = Sandbox::without_repository();
    let doctor = examined(sandbox.nightjar("doctor"), 0);
    assert_check(&doctor, "reach", "warning", "nightjar init");
    assert_check(&doctor, "create", "skipped", "");
    assert!(!sandbox.repository().exists(), "it made what it was to look at");
    let far = Far::new();
    let doctor = examined(far.run("doctor"), 0);
    for name in ["reach", "list", "create", "replace", "read", "range", "clock", "delete"] {
        assert_check(&doctor, name, "ok", "");
    }
    assert_check(&doctor, "conditions", "ok", "refuses");
    assert_check(&doctor, "repository", "warning", "nightjar init");
    assert_check(&doctor, "key", "skipped", "no repository");
    far.run(&format!("init {WEAK}")).done();
}

#[test]
fn what_is_wrong_on_the_way_to_the_store_is_named_with_the_setting() {
    let far = Far::new();
    let run = || far.run("doctor");
    let doctor = examined(run().env("NIGHTJAR_REPOSITORY", "s3://nowhere/x"), 1);
    assert_check(&doctor, "reach", "failed", "the bucket of the URL does not exist");
    assert_check(&doctor, "create", "skipped", "not reached");
    assert_check(&doctor, "cache", "ok", "");
    let doctor = examined(run().env("NIGHTJAR_ENDPOINT", "http://127.0.0.1:1"), 1);
    assert_check(&doctor, "reach", "failed", "check --endpoint and the network");
    let doctor = examined(run().env("NIGHTJAR_ENDPOINT", "http://nowhere.invalid"), 1);
    assert_check(&doctor, "reach", "failed", "name servers");
    let authority = Authority::new();
    let tls = Proxy::start_tls(far.moto.endpoint(), &authority);
    let doctor = examined(run().env("NIGHTJAR_ENDPOINT", tls.endpoint()), 1);
    assert_check(&doctor, "reach", "failed", "--ca-file");
    let trusting = run().env("NIGHTJAR_ENDPOINT", tls.endpoint());
    let doctor = examined(trusting.env("NIGHTJAR_CA_FILE", authority.pem_file()), 0);
    assert_check(&doctor, "delete", "ok", "");
    run().env("NIGHTJAR_CA_FILE", far.sandbox.path("missing")).exits(2).says("--ca-file");
    let plain = far.sandbox.nightjar("doctor").env("NIGHTJAR_REPOSITORY", &far.url);
    let doctor = examined(plain.env("NIGHTJAR_ENDPOINT", far.proxy.endpoint()), 1);
    assert_check(&doctor, "configuration", "failed", "--allow-http");
    far.proxy.inject(Fault::answer(400, "ExpiredToken").always());
    assert_check(&examined(run(), 1), "reach", "failed", "have expired");
    Nightjar::new().args("doctor").exits(2).says("--repository");
}

#[test]
fn credentials_that_may_only_read_are_told_as_such() {
    let (far, dump) = Far::with_dump();
    far.refuse_writes();
    let doctor = examined(far.run("doctor"), 0);
    assert_check(&doctor, "create", "warning", "may only read");
    assert_check(&doctor, "read", "ok", "");
    assert_check(&doctor, "range", "ok", "");
    assert_check(&doctor, "delete", "skipped", "");
    assert_check(&doctor, "ledger", "ok", "snapshots: 1");
    far.nothing_is_lost(&dump);
}

#[test]
fn a_store_that_keeps_every_object_is_a_warning_that_says_what_works() {
    let (far, dump) = Far::with_dump();
    far.proxy.inject(Fault::keep_objects().always());
    let doctor = examined(far.run("doctor"), 0);
    assert_check(&doctor, "delete", "warning", "backups and restores work");
    assert_check(&doctor, "delete", "warning", "probe/");
    assert_check(&doctor, "conditions", "ok", "");
    far.proxy.heal();
    let doctor = examined(far.run("doctor"), 0);
    assert_check(&doctor, "list", "warning", "an earlier probe left probe/");
    far.nothing_is_lost(&dump);
}

#[test]
fn a_store_that_may_not_be_listed_or_read_fails() {
    let (far, dump) = Far::with_dump();
    far.proxy.inject(Fault::answer(403, "AccessDenied").method("GET").on("list-type").always());
    assert_check(&examined(far.run("doctor"), 1), "list", "failed", "permit");
    far.proxy.heal();
    far.proxy.inject(Fault::answer(403, "AccessDenied").method("GET").on("probe/").always());
    let doctor = examined(far.run("doctor"), 1);
    assert_check(&doctor, "list", "ok", "");
    assert_check(&doctor, "read", "failed", "permit");
    far.proxy.heal();
    far.proxy.inject(Fault::answer(507, "XMinioStorageFull").method("PUT").always());
    assert_check(&examined(far.run("doctor"), 1), "create", "failed", "no space is left");
    far.nothing_is_lost(&dump);
}

#[test]
fn clocks_that_differ_are_told_apart_from_those_that_are_refused() {
    let far = Far::new();
    far.proxy.inject(Fault::clock(-300).always());
    let doctor = examined(far.run("doctor"), 0);
    assert_check(&doctor, "clock", "warning", "behind this machine's");
    let skew = doctor["clock_skew_seconds"].as_i64().unwrap();
    assert!((-300..=-295).contains(&skew), "{skew}");
    far.proxy.heal();
    far.proxy.inject(Fault::clock(3600).always());
    assert_check(&examined(far.run("doctor"), 1), "clock", "failed", "set this machine's clock");
    far.proxy.heal();
    far.proxy.inject(Fault::answer(403, "RequestTimeTooSkewed").always());
    assert_check(&examined(far.run("doctor"), 1), "reach", "failed", "the clock of this machine");
}

#[test]
fn a_slow_store_is_a_warning() {
    let far = Far::new();
    far.proxy.inject(Fault::stall(Duration::from_millis(1100)).method("HEAD").times(3));
    assert_check(&examined(far.run("doctor"), 0), "latency", "warning", "nearer");
}

#[test]
fn a_wrong_or_missing_passphrase_fails_and_none_at_all_is_not_asked_for() {
    let (sandbox, ..) = Sandbox::with_dump();
    let run = || sandbox.nightjar("doctor");
    let wrong = sandbox.write("wrong", "wrong");
    let doctor = examined(run().env("NIGHTJAR_PASSWORD_FILE", &wrong), 1);
    assert_check(&doctor, "key", "failed", "wrong passphrase");
    assert_check(&doctor, "ledger", "skipped", "not opened");
    let doctor = examined(run().env("NIGHTJAR_PASSWORD_FILE", sandbox.path("missing")), 1);
    assert_check(&doctor, "key", "failed", "missing");
    let doctor = examined(run().without_env("NIGHTJAR_PASSWORD_FILE"), 0);
    assert_check(&doctor, "key", "skipped", "no passphrase");
    assert_check(&doctor, "repository", "ok", "");
}

#[test]
fn damage_is_found_and_has_its_own_exit_code() {
    let (sandbox, _, id) = Sandbox::with_dump();
    fs::remove_file(sandbox.repository().join("snapshots").join(id)).unwrap();
    let doctor = examined(sandbox.nightjar("doctor"), 4);
    assert_check(&doctor, "ledger", "damage", "no ledger record forgets it");
    assert_eq!(number(&doctor, "damaged"), 1);
    fs::write(sandbox.repository().join("repository"), "garbage").unwrap();
    let doctor = examined(sandbox.nightjar("doctor"), 4);
    assert_check(&doctor, "repository", "damage", "damaged");
}

#[test]
fn a_cache_directory_that_cannot_be_written_fails() {
    let (sandbox, ..) = Sandbox::with_dump();
    let file = sandbox.write("a-file", "");
    let doctor = examined(sandbox.nightjar("doctor").env("NIGHTJAR_CACHE_DIR", &file), 1);
    assert_check(&doctor, "cache", "failed", "NIGHTJAR_CACHE_DIR");
}

#[test]
fn little_room_is_a_warning() {
    if namespace::done_in_namespace(module_path!(), "little_room_is_a_warning") {
        return;
    }
    let sandbox = Sandbox::without_repository();
    let _disk = Mount::new(&sandbox.repository(), "size=64m");
    sandbox.nightjar("init").args(WEAK).done();
    let doctor = examined(sandbox.nightjar("doctor"), 0);
    assert_check(&doctor, "store_space", "warning", "make room there");
    assert!(number(&doctor, "store_free_bytes") <= 64 << 20, "{doctor}");
}

#[test]
fn a_writer_that_was_killed_is_no_alarm_before_a_day_has_passed() {
    let sandbox = Sandbox::new();
    let started = sandbox.path("started");
    let script = format!("touch {}; sleep 60", started.display());
    let run = sandbox.nightjar("backup --name x").shell(&script).start();
    crate::harness::wait_until("it has begun", || started.exists().then_some(()));
    run.signal(rustix::process::Signal::KILL);
    run.finish();
    let doctor = examined(sandbox.nightjar("doctor"), 0);
    assert_check(&doctor, "sessions", "ok", "1 at work");
}
