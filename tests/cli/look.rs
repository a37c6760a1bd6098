//! Looking at what is there: list, show, verify, status, the JSON of every command, and which
//! snapshot an id means. What looks into snapshots is in `inside` and `diff`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Sandbox, assert_has_fields, data, id_of};

/// Digits where RFC 3339 has digits, in UTC.
#[track_caller]
fn assert_is_time(value: &Value) {
    let text = value.as_str().unwrap_or_default();
    let shape: String =
        text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).take(19).collect();
    assert!(shape == "0000-00-00T00:00:00" && text.ends_with('Z'), "{value} is no RFC 3339 time");
}

#[test]
fn an_empty_repository_lists_nothing() {
    let sandbox = Sandbox::new();
    sandbox.nightjar("snapshot list").done().prints_nothing();
    assert!(sandbox.snapshots().is_empty());
    sandbox.nightjar("restore latest --stdout").exits(1).says("no snapshot").prints_nothing();
    sandbox.nightjar("status").done();
    sandbox.assert_verifies();
}

#[test]
fn a_list_shows_every_snapshot_oldest_first() {
    let sandbox = Sandbox::new();
    let ids = ["a", "b", "a"].map(|name| sandbox.store(name, name.as_bytes()));
    let list = sandbox.snapshots();
    let listed: Vec<String> = list.iter().map(id_of).collect();
    assert_eq!(listed, ids);
    for snapshot in &list {
        assert_has_fields(
            snapshot,
            "id series time finished stored host user program labels source bytes_read bytes_added \
             bytes_new bytes_stored chunks chunks_new files directories others unreadable root \
             previous slot duration_seconds",
        );
        for time in ["time", "finished", "stored"] {
            assert_is_time(&snapshot[time]);
        }
        assert_eq!(id_of(snapshot).len(), 32);
        assert_eq!(snapshot["bytes_read"], 1);
    }
    assert_eq!(list[0]["previous"], Value::Null);
    assert_eq!(list[2]["previous"], ids[0].as_str());
    let only = sandbox.nightjar("snapshot list --series a").json();
    assert_eq!(only.as_array().unwrap().len(), 2);
    let text = sandbox.nightjar("snapshot list").done();
    ids.iter().fold(text, |text, id| text.prints(&id[..8]));
}

#[test]
fn every_command_prints_one_json_document_with_stable_fields() {
    let sandbox = Sandbox::without_repository();
    let init = sandbox.nightjar("init --argon2-memory 1MiB").json();
    assert_has_fields(&init, "id url slot label chunk_bytes_average pack_bytes conditional_create");
    let first = sandbox.nightjar("backup --stdin d.sql").stdin("one").json();
    assert_has_fields(&first, "id series time bytes_read bytes_added warnings");
    let second = sandbox.nightjar("backup --stdin d.sql").stdin("two").json();
    let (first, second) = (id_of(&first), id_of(&second));
    let show = sandbox.nightjar("snapshot show latest").json();
    assert_eq!(id_of(&show), second);
    let ls = sandbox.nightjar("snapshot ls latest").json();
    let entry = "path kind mode uid gid user group size changed_while_read modified";
    assert_has_fields(&ls[0], entry);
    assert_eq!((ls[0]["path"].as_str(), ls[0]["size"].as_u64()), (Some("d.sql"), Some(3)));
    let found = sandbox.nightjar("snapshot find d.sql").json();
    assert_has_fields(&found[1], &format!("snapshot series time {entry}"));
    assert_eq!(found[1]["snapshot"], second.as_str());
    let diff = sandbox.nightjar("snapshot diff").arg(&first).arg(&second).json();
    let fields = "path change kind old_kind new_kind old_size new_size metadata";
    assert_has_fields(&diff[0], fields);
    assert_eq!(diff[0]["change"], "modified");
    let verify = sandbox.nightjar("snapshot verify --all").json();
    assert_has_fields(&verify, "level snapshots packs blobs bytes findings");
    assert_eq!(verify["level"], "data");
    assert_eq!(verify["snapshots"], 2);
    let status = sandbox.nightjar("status").json();
    assert_has_fields(
        &status,
        "id url role epoch slots snapshots bytes_logical bytes_unique bytes_stored blobs series \
         objects sessions findings ledger_record",
    );
    assert_eq!(status["snapshots"], 2);
    assert_eq!(status["bytes_logical"], 6);
    assert_eq!(status["series"][0]["newest_id"], second.as_str());
    for command in ["index status", "index rebuild"] {
        let index = sandbox.nightjar(command).json();
        assert_has_fields(&index, "directory index_objects applied packs blobs findings");
    }
    let restored = sandbox.nightjar("restore latest --to").arg(sandbox.path("target")).json();
    assert_has_fields(&restored, "snapshot files directories others bytes warnings");
    assert_eq!(restored["bytes"], 3);
    let keys = sandbox.nightjar("key list").json();
    assert_has_fields(&keys[0], "id role label created protection current");
    let added = sandbox.nightjar("key add --new-key-file").arg(sandbox.path("key")).json();
    assert_has_fields(&added, "id role label key_file");
    let removed = sandbox.nightjar("key remove").arg(id_of(&added)).json();
    assert_has_fields(&removed, "id epoch");
    let forgotten = sandbox.nightjar("snapshot forget --reason r").arg(&first).json();
    assert_has_fields(&forgotten, "forgotten lost reason");
}

#[test]
fn status_counts_the_bytes_that_the_store_holds() {
    let (sandbox, ..) = Sandbox::with_dump();
    let status = sandbox.nightjar("status").json();
    let counted = status["bytes_stored"].as_u64().unwrap();
    let stored = sandbox.stored_bytes();
    // The object `repository` lies in no folder.
    assert!(counted <= stored && counted + 1000 > stored, "{counted} of {stored} bytes");
    sandbox.nightjar("status").done().prints("dump.sql");
}

#[test]
fn an_error_is_one_json_line_where_json_is_asked_for() {
    let (sandbox, ..) = Sandbox::with_dump();
    let wrong = sandbox.write("wrong", "wrong");
    let kinds = [
        (sandbox.nightjar("snapshot list").env("NIGHTJAR_PASSWORD_FILE", wrong), 12, "no_key"),
        (sandbox.nightjar("snapshot list --repository /no/such/place"), 10, "no_repository"),
        (sandbox.nightjar("snapshot show 0000"), 1, "failed"),
        (sandbox.nightjar("snapshot show"), 2, "usage"),
        (sandbox.nightjar("backup --name d -- false"), 1, "failed"),
    ];
    for (run, code, kind) in kinds {
        let outcome = run.with_json().exits(code).prints_nothing();
        let lines = outcome.json_lines();
        let error = &lines.last().expect("an error document")["error"];
        assert_eq!(error["code"], code, "{outcome}");
        assert_eq!(error["kind"], kind, "{outcome}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{outcome}");
    }
}

#[test]
fn warnings_and_progress_are_json_lines_where_json_is_asked_for() {
    let sandbox = Sandbox::new();
    let script = "echo careful >&2; head -c 3000000 /dev/zero; sleep 2";
    let outcome = sandbox.nightjar("backup --name d").with_json().shell(script).done();
    let events = outcome.json_lines();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(of("progress") >= 1, "{outcome}");
    assert_eq!(of("warning"), 1, "{outcome}");
    id_of(&outcome.json());
}

#[test]
fn quiet_says_nothing_and_still_gives_results() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let outcome = sandbox.nightjar("--quiet backup --stdin x").stdin("x").done().prints_nothing();
    assert_eq!(outcome.stderr, "");
    let outcome = sandbox.nightjar("--quiet restore latest --series dump.sql --stdout").done();
    assert_eq!(outcome.stderr, "");
    assert!(outcome.stdout == dump);
    let target = sandbox.path("target");
    let outcome = sandbox.nightjar("--quiet restore latest --series x --to").arg(target).done();
    assert_eq!(outcome.prints_nothing().stderr, "");
    sandbox.nightjar("--quiet snapshot list").done().prints("dump.sql");
    sandbox.nightjar("--quiet backup --name d -- false").exits(1).says("exit status 1");
}

#[test]
fn show_tells_where_a_snapshot_comes_from() {
    let sandbox = Sandbox::new();
    let run =
        sandbox.nightjar("backup --series shop --name shop.sql --label why=test -- echo hello");
    let id = id_of(&run.json());
    let outcome = sandbox.nightjar("snapshot show").arg(&id).done();
    outcome.prints(&id).prints("shop").prints("shop.sql").prints("echo hello").prints("why=test");
    let show = sandbox.nightjar("snapshot show").arg(&id).json();
    assert_eq!(show["source"]["name"], "shop.sql");
    assert_eq!(show["source"]["arguments"], serde_json::json!(["echo", "hello"]));
    assert_eq!(show["labels"]["why"], "test");
}

#[test]
fn latest_is_an_error_where_there_are_several_series() {
    let sandbox = Sandbox::new();
    sandbox.store("orders", b"orders");
    let newer = sandbox.store("orders", b"newer orders");
    assert_eq!(id_of(&sandbox.nightjar("snapshot show latest").json()), newer);
    sandbox.store("people", b"people");
    for command in ["snapshot show", "snapshot ls", "restore --stdout", "snapshot verify"] {
        let outcome = sandbox.nightjar(command).args("latest").exits(1);
        outcome.says("--series").says("orders").says("people").prints_nothing();
    }
    let of = |series: &str| {
        sandbox.nightjar("restore latest --stdout --series").arg(series).done().stdout
    };
    assert_eq!(of("orders"), b"newer orders");
    assert_eq!(of("people"), b"people");
    sandbox.nightjar("restore latest --stdout --series nobody").exits(1).says("nobody");
}

#[test]
fn an_id_may_be_abbreviated_as_long_as_it_means_one_snapshot() {
    let sandbox = Sandbox::new();
    // Among 17 ids two begin alike.
    let mut ids: Vec<String> = Vec::new();
    let (twin, other) = loop {
        let id = sandbox.store("s", format!("number {}", ids.len()).as_bytes());
        if let Some(other) = ids.iter().find(|other| other[..1] == id[..1]) {
            break (id.clone(), other.clone());
        }
        ids.push(id);
    };
    let outcome = sandbox.nightjar("restore --stdout").arg(&twin[..1]).exits(1);
    outcome.says("several").prints_nothing();
    let differs = twin.bytes().zip(other.bytes()).position(|(a, b)| a != b).unwrap();
    let show = sandbox.nightjar("snapshot show").arg(&twin[..=differs]).json();
    assert_eq!(id_of(&show), twin);
    let capitals = other[..=differs].to_uppercase();
    assert_eq!(id_of(&sandbox.nightjar("snapshot show").arg(capitals).json()), other);
    let taken: BTreeSet<String> =
        sandbox.snapshots().iter().map(|s| id_of(s)[..8].to_owned()).collect();
    let free = (0..u32::MAX).map(|n| format!("{n:08x}")).find(|id| !taken.contains(id)).unwrap();
    sandbox.nightjar("restore --stdout").arg(free).exits(1).says("no snapshot").prints_nothing();
}

#[test]
fn verify_checks_what_it_is_told_to() {
    let (sandbox, _, id) = Sandbox::with_dump();
    sandbox.store("other", &data::noise(1, 100_000));
    for (words, snapshots) in
        [("--all", 2), ("--series other", 1), ("latest --series other", 1), (id.as_str(), 1)]
    {
        for level in ["presence", "packs", "data"] {
            let run = sandbox.nightjar("snapshot verify").args(words).args("--level").arg(level);
            let report = run.json();
            assert_eq!(report["snapshots"], snapshots, "{words}");
            assert_eq!(report["level"], level);
            assert_eq!(report["findings"], serde_json::json!([]));
            assert_eq!(report["bytes"].as_u64().unwrap() > 0, level != "presence", "{report}");
        }
    }
    sandbox.nightjar("snapshot verify --series nobody").exits(1).says("nobody");
}
