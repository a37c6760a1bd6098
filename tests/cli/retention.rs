//! `retention plan` and `apply`, and what is held: what goes, what stays, and who says why.

use std::fs::File;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Nightjar, Outcome, Sandbox, assert_has_fields, id_of};

/// Snapshots of like size; their ids, the oldest first.
fn nights(sandbox: &Sandbox, series: &str, many: u64) -> Vec<String> {
    (0..many).map(|number| sandbox.store(series, format!("{number:0100}").as_bytes())).collect()
}

fn left(sandbox: &Sandbox) -> Vec<String> {
    sandbox.snapshots().iter().map(id_of).collect()
}

/// What a plan says of a snapshot: what becomes of it, and by which rules.
fn said_of(plan: &Value, id: &str) -> (String, Vec<String>) {
    let series = plan["series"].as_array().unwrap().iter();
    let mut snapshots = series.flat_map(|series| series["snapshots"].as_array().unwrap());
    let found = snapshots.find(|snapshot| snapshot["id"] == id).expect("every snapshot is in it");
    let reasons = found["reasons"].as_array().unwrap().iter();
    let rules = reasons.map(|reason| reason["rule"].as_str().unwrap().to_owned()).collect();
    (found["action"].as_str().unwrap().to_owned(), rules)
}

fn short(id: &str) -> &str {
    &id[..12]
}

#[test]
fn a_plan_says_of_every_snapshot_why_and_changes_nothing() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 4);
    let other = sandbox.store("other", b"text");
    let words = "retention plan --keep-last 2 --keep-daily 7 --time-zone Europe/Berlin";
    let plan = sandbox.nightjar(words).json();
    assert_has_fields(&plan, "time_zone series keep forget warnings");
    assert_eq!(plan["time_zone"], "Europe/Berlin");
    assert_eq!((plan["keep"].as_u64(), plan["forget"].as_u64()), (Some(3), Some(2)));
    let orders = &plan["series"][0];
    assert_has_fields(orders, "series policy keep forget out_of_line snapshots");
    let policy = "name rules slots size_drop_percent time_tolerance_seconds";
    assert_has_fields(&orders["policy"], policy);
    assert_eq!(orders["policy"]["rules"]["keep-daily"][0], "7");
    let snapshot = &orders["snapshots"][0];
    assert_has_fields(snapshot, "id time stored slot bytes action reasons");
    assert_has_fields(&snapshot["reasons"][0], "rule text");
    let strings = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let goes = ("forget".to_owned(), strings(&["keep-last", "keep-daily"]));
    assert_eq!(said_of(&plan, &ids[0]), goes);
    assert_eq!(said_of(&plan, &ids[2]), ("keep".to_owned(), strings(&["keep-last"])));
    let all = strings(&["newest", "keep-last", "keep-daily"]);
    assert_eq!(said_of(&plan, &ids[3]), ("keep".to_owned(), all.clone()));
    assert_eq!(said_of(&plan, &other), ("keep".to_owned(), all));
    // The same in words.
    let text = sandbox.nightjar(words).done();
    let newer = format!("{} is newer", short(&ids[3]));
    let text = text.prints("calendar of Europe/Berlin").prints("series orders: keep-last 2");
    text.prints("not among the last 2; day ").prints(&newer).prints("2 stay, 2 go");
    sandbox.nightjar("retention plan --series other --keep-last 1").done().prints("1 stays, 0 go");
    sandbox.nightjar("retention plan --series nobody --keep-last 1").exits(1).says("no snapshot");
    let dry = sandbox.nightjar("retention apply --dry-run --keep-last 1").done();
    dry.prints("3 go").never_says("forgot");
    assert_eq!(left(&sandbox).len(), 5);
    assert_eq!(sandbox.nightjar("status").json()["ledger_record"], 0);
}

#[test]
fn what_is_applied_was_shown_and_is_recorded() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 4);
    let other = nights(&sandbox, "other", 2);
    let run = sandbox.nightjar("retention apply --series ord* --keep-last 2").done();
    run.prints("not among the last 2").prints("forgot 2 snapshots (ledger record 1)");
    let kept = [&ids[2..], &other].concat();
    assert_eq!(left(&sandbox), kept);
    let record = &sandbox.nightjar("ledger show").json()["records"][1];
    assert_eq!(record["kind"], "forget");
    let forgotten: Vec<&str> =
        record["snapshots"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    assert!(forgotten.len() == 2 && ids[..2].iter().all(|id| forgotten.contains(&id.as_str())));
    let why = record["why"].as_str().unwrap();
    assert!(why.starts_with("retention (keep-last 2): orders: 2 of 2"), "{why}");
    let applied = sandbox.nightjar("retention apply --keep-last 1").json();
    assert_has_fields(&applied, "time_zone series forgotten kept ledger_records");
    assert_eq!(applied["forgotten"].as_array().unwrap().len(), 2);
    assert_eq!(applied["ledger_records"][0], 2);
    let run = sandbox.nightjar("retention apply --keep-last 1").done();
    run.prints("nothing was forgotten");
    assert_eq!(sandbox.nightjar("status").json()["ledger_record"], 2);
    assert_eq!(left(&sandbox), [ids[3].clone(), other[1].clone()]);
    sandbox.assert_verifies();
    let quiet = sandbox.nightjar("retention apply --quiet --keep-last 1").done();
    quiet.prints_nothing();
}

#[test]
fn without_a_policy_nothing_goes() {
    let sandbox = Sandbox::new();
    nights(&sandbox, "orders", 3);
    for command in ["plan", "apply"] {
        let run = sandbox.nightjar(&format!("retention {command}")).done();
        run.prints("3 stay, 0 go").prints("no policy").says("--preset standard");
    }
    assert_eq!(left(&sandbox).len(), 3);
}

const CONFIGURED: &str = r#"
default-repository = "near"

[repository.near]
url = "repository"
password-file = "passphrase"
cache-dir = "cache"

[retention]
time-zone = "America/New_York"

[[retention.policy]]
series = ["orders-*", "web"]
preset = "standard"
keep-last = 2

[[retention.policy]]
series = "orders-eu"
keep-last = 1

[[retention.policy]]
series = "mail"
keep-last = 1
"#;

fn configured(sandbox: &Sandbox, text: &str, words: &str) -> Outcome {
    let file = sandbox.write("nightjar.toml", text);
    Nightjar::new().args(words).args("--config").arg(file).run()
}

#[test]
fn the_first_policy_in_the_file_that_fits_is_that_of_a_series() {
    let sandbox = Sandbox::new();
    for series in ["orders-eu", "mail", "other"] {
        nights(&sandbox, series, 4);
    }
    let plan = configured(&sandbox, CONFIGURED, "retention plan --json").exited(0).json();
    assert_eq!(plan["time_zone"], "America/New_York");
    let forget = |plan: &Value| -> Vec<(String, u64)> {
        let series = plan["series"].as_array().unwrap().iter();
        let pair = |it: &Value| (it["series"].as_str().unwrap().to_owned(), it["forget"].as_u64());
        series.map(pair).map(|(name, many)| (name, many.unwrap())).collect()
    };
    let expected = |mail, orders, other| {
        [("mail", mail), ("orders-eu", orders), ("other", other)].map(|(a, b)| (a.to_owned(), b))
    };
    assert_eq!(forget(&plan), expected(3, 2, 0));
    assert_eq!(plan["series"][1]["policy"]["name"], "orders-*, web");
    assert!(plan["series"][2]["policy"].is_null());
    // What the command line says stands in place of the file.
    let given = "retention plan --json --keep-last 3 --time-zone UTC";
    let plan = configured(&sandbox, CONFIGURED, given).exited(0).json();
    assert_eq!(forget(&plan), expected(1, 1, 1));
    assert_eq!(plan["time_zone"], "UTC");
    // And what the repository's own section says, in place of the one for all.
    let own = "\n[[repository.near.retention.policy]]\nkeep-at-least = 2\n";
    let own = format!("{CONFIGURED}{own}");
    let plan = configured(&sandbox, &own, "retention plan --json").exited(0).json();
    assert_eq!(forget(&plan), expected(2, 2, 2));
    configured(&sandbox, CONFIGURED, "retention apply").exited(0);
    assert_eq!(left(&sandbox).len(), 1 + 2 + 4);
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused() {
    let sandbox = Sandbox::new();
    nights(&sandbox, "orders", 2);
    for (line, says) in [
        ("retention plan --keep-last 0", "--keep-last"),
        ("retention plan --keep-within 6m", "6mo"),
        ("retention plan --preset weekly", "standard"),
        ("retention plan --time-zone Mars/Phobos --keep-last 1", "Europe/Berlin"),
        ("retention plan --slot db1", "give it a rule"),
        ("retention plan --slot nobody --keep-last 1", "key list"),
        ("retention apply --size-drop 50%", "give it a rule"),
        ("retention apply --keep-label tier", "give it a rule"),
        ("retention plan --keep-last 1 --size-drop 100%", "50%"),
    ] {
        sandbox.nightjar(line).exits(2).says(says).prints_nothing();
    }
    let section = |lines: &str| format!("{CONFIGURED}\n[[retention.policy]]\n{lines}\n");
    for (lines, says) in [
        ("series = \"orders\"", "has no rule"),
        ("keep-dayly = 3", "did you mean \"keep-daily\"?"),
        ("keep-last = 0", "keep-last: expected 1 or more"),
        ("keep-daily-within = \"30\"", "keep-daily-within: expected a stretch of time"),
        ("preset = \"7years\"", "preset: there is no preset"),
    ] {
        let run = configured(&sandbox, &section(lines), "retention apply").exited(2);
        run.says("nightjar.toml, line ").says(says).prints_nothing();
    }
    let zone = CONFIGURED.replace("America/New_York", "America/Atlantis");
    configured(&sandbox, &zone, "retention apply").exited(2).says("time-zone: ");
    // A machine without that zone can back up all the same.
    configured(&sandbox, &zone, "snapshot list").exited(0);
    assert_eq!(left(&sandbox).len(), 2);
}

#[test]
fn what_is_held_stays_until_it_is_released() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 4);
    let hold = "snapshot hold --until 90d --reason court";
    let held = sandbox.nightjar(hold).arg(short(&ids[0])).json();
    assert_has_fields(&held, "held until reason ledger_record");
    assert_eq!((&held["held"][0], &held["reason"]), (&ids[0].as_str().into(), &"court".into()));
    sandbox
        .nightjar("snapshot hold latest --series orders --reason x")
        .done()
        .prints(&ids[3][..12]);
    // It shows wherever the snapshot does.
    let list = sandbox.snapshots();
    assert_has_fields(&list[0]["holds"][0], "since until who reason");
    assert_eq!(list[1]["holds"].as_array().unwrap().len(), 0);
    sandbox.nightjar("snapshot list").done().prints("held").prints("until released");
    sandbox.nightjar("snapshot show").arg(&ids[0]).done().prints(": court").prints("until 20");
    let run = sandbox.nightjar("snapshot forget --reason r").arg(&ids[1]).arg(&ids[0]);
    run.exits(1).says("snapshot release").says("court").prints_nothing();
    assert_eq!(left(&sandbox).len(), 4);
    let applied = sandbox.nightjar("retention apply --keep-last 1").json();
    assert_eq!(said_of(&applied, &ids[0]), ("keep".to_owned(), vec!["held".to_owned()]));
    assert_eq!(left(&sandbox), [ids[0].clone(), ids[3].clone()]);
    let released = sandbox.nightjar("snapshot release --reason over").arg(&ids[0]).json();
    assert_has_fields(&released, "released reason ledger_record");
    let again = sandbox.nightjar("snapshot release --reason over").arg(&ids[0]);
    again.exits(1).says("is not held");
    sandbox.nightjar("retention apply --keep-last 1").done();
    assert_eq!(left(&sandbox), ids[3..]);
    sandbox.assert_verifies();
}

#[test]
fn a_hold_needs_a_reason_and_an_end_that_is_to_come() {
    let (sandbox, _, id) = Sandbox::with_dump();
    for words in [
        "snapshot hold",
        "snapshot release",
        "snapshot accept",
        "snapshot release latest --reason r",
        "snapshot hold --reason r --until yesterday",
        "snapshot hold --reason r --until 2020-01-01",
    ] {
        let run = sandbox.nightjar(words);
        let run = if words.contains("latest") { run } else { run.arg(&id) };
        run.exits(2).prints_nothing();
    }
    assert_eq!(sandbox.nightjar("status").json()["ledger_record"], 0);
}

#[test]
fn a_host_that_only_writes_can_hold_and_nothing_more() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 3);
    let file = sandbox.add_write_slot();
    let host = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &file);
    host("snapshot hold --reason migration").arg(&ids[0]).done();
    host("retention plan --keep-last 1").done().prints("2 stay, 1 goes");
    for words in [
        "retention apply --keep-last 1".to_owned(),
        format!("snapshot release {} --reason r", ids[0]),
        format!("snapshot accept {} --reason r", ids[0]),
    ] {
        host(&words).exits(12).says("role write").prints_nothing();
    }
    sandbox.nightjar("retention apply --keep-last 1").done();
    assert_eq!(left(&sandbox), [ids[0].clone(), ids[2].clone()]);
    // A policy may say whose snapshots count.
    let theirs = id_of(&host("backup --stdin orders").stdin([b'x'; 100]).json());
    let own = "retention apply --keep-last 1 --slot ";
    let slots = sandbox.nightjar("key list").json();
    let slot = slots.as_array().unwrap().iter().find(|slot| slot["role"] == "full").unwrap();
    sandbox
        .nightjar(own)
        .arg(slot["label"].as_str().unwrap())
        .done()
        .prints("does not count")
        .prints("nothing was forgotten");
    sandbox.nightjar("retention apply --keep-last 1 --slot host").done();
    assert_eq!(left(&sandbox), [ids[0].clone(), ids[2].clone(), theirs.clone()]);
    sandbox.nightjar("retention apply --keep-last 1").done();
    assert_eq!(left(&sandbox), [ids[0].clone(), theirs]);
}

#[test]
fn a_dump_of_half_the_size_stops_forgetting_until_somebody_has_looked() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 3);
    let small = sandbox.store("orders", &[b'x'; 40]);
    let apply = || sandbox.nightjar("retention apply --keep-last 1");
    let run = apply().done().prints("nothing was forgotten").prints("until somebody looks at");
    run.says(&format!("nightjar snapshot accept {}", short(&small)))
        .says("40 B where 100 B is usual");
    let plan = sandbox.nightjar("retention plan --keep-last 1").json();
    assert_has_fields(&plan["series"][0]["out_of_line"][0], "id bytes usual_bytes");
    assert_eq!(plan["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(said_of(&plan, &ids[0]).1, ["held-back"]);
    sandbox.nightjar("retention plan --keep-last 1 --size-drop 70%").done().prints("1 stays, 3 go");
    sandbox.nightjar("retention plan --keep-last 1 --size-drop 0").done().prints("1 stays, 3 go");
    assert_eq!(left(&sandbox).len(), 4);
    // It was right: what follows is compared with it.
    let accepted = sandbox.nightjar("snapshot accept --reason dropped").arg(&small).json();
    assert_has_fields(&accepted, "snapshot series bytes reason ledger_record");
    apply().done().prints("forgot 3 snapshots").never_says("warning");
    let next = sandbox.store("orders", &[b'y'; 41]);
    apply().done().prints("forgot 1 snapshot ");
    // It was wrong: it is forgotten, and that is all.
    let wrong = sandbox.store("orders", b"");
    apply().done().prints("nothing was forgotten");
    sandbox.nightjar("snapshot forget --reason empty").arg(&wrong).done();
    apply().done().never_says("warning");
    assert_eq!(left(&sandbox), [next]);
}

#[test]
fn a_time_that_the_store_belies_counts_for_nothing_and_is_told() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 4);
    // The store had the newest three days ago: it claims to be newer than it is.
    let path = sandbox.repository().join("snapshots").join(&ids[3]);
    let object = File::options().write(true).open(path).unwrap();
    let then = object.metadata().unwrap().modified().unwrap() - Duration::from_secs(3 * 24 * 3600);
    object.set_modified(then).unwrap();
    let run = sandbox.nightjar("retention apply --keep-last 1").done();
    run.says("1 snapshot (").says(short(&ids[3])).says("stays and pushes none out");
    assert_eq!(left(&sandbox), ids[2..]);
    let plan = sandbox.nightjar("retention plan --keep-last 1").json();
    assert_eq!(said_of(&plan, &ids[3]).1, ["implausible-time"]);
    assert_eq!(said_of(&plan, &ids[2]).1, ["newest", "keep-last"]);
    // Who knows that it is so can say how far off is right.
    let run = sandbox.nightjar("retention apply --keep-last 1 --time-tolerance 4d").done();
    run.prints("forgot 1 snapshot ").never_says("warning");
    assert_eq!(left(&sandbox), ids[3..]);
}

#[test]
fn a_lost_snapshot_stops_every_policy_until_it_is_struck_off() {
    let sandbox = Sandbox::new();
    let ids = nights(&sandbox, "orders", 4);
    std::fs::remove_file(sandbox.repository().join("snapshots").join(&ids[1])).unwrap();
    sandbox.nightjar("retention plan --keep-last 1").exits(4).prints("1 stays, 2 go");
    let run = sandbox.nightjar("retention apply --keep-last 1").exits(4);
    run.says("no policy lets snapshots go").says(short(&ids[1]));
    assert_eq!(sandbox.nightjar("snapshot list").exits(4).text().lines().count(), 4);
    let struck = sandbox.nightjar("snapshot forget --reason lost").arg(&ids[1]).json();
    assert_eq!(struck["lost"][0], ids[1].as_str());
    sandbox.nightjar("retention apply --keep-last 1").done();
    assert_eq!(left(&sandbox), ids[3..]);
    sandbox.assert_verifies();
    sandbox.nightjar("snapshot forget --reason lost").arg(&ids[1]).exits(1).says("no snapshot");
}
