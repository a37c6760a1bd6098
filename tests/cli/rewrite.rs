//! `snapshot rewrite`: what must not be kept goes, on record, and the rest stays.

use std::fs;

use serde_json::Value;

use crate::harness::{Nightjar, Sandbox, assert_has_fields, data, id_of};

/// Two nights of a tree, of which `keys` has to go; and a dump.
struct Scene {
    sandbox: Sandbox,
    nights: [String; 2],
    dump: String,
}

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        fs::create_dir_all(sandbox.path("home/keys/deep")).unwrap();
        sandbox.write("home/keys/private", data::noise(1, 200_000));
        sandbox.write("home/keys/deep/old", data::noise(2, 1000));
        sandbox.write("home/notes", data::noise(3, 300_000));
        sandbox.write("home/keys.txt", "where the keys are");
        fs::hard_link(sandbox.path("home/notes"), sandbox.path("home/same notes")).unwrap();
        let first = sandbox.back_up_home();
        sandbox.write("home/second", "night");
        let second = sandbox.back_up_home();
        let dump = sandbox.store("dump.sql", b"rows");
        Self { sandbox, nights: [first, second], dump }
    }

    fn rewrite(&self, words: &str) -> Nightjar {
        self.sandbox.nightjar(&format!("snapshot rewrite {words}"))
    }

    fn ids(&self) -> Vec<String> {
        self.sandbox.snapshots().iter().map(id_of).collect()
    }

    /// The kinds of the ledger's records, and the newest.
    fn newest_record(&self) -> Value {
        let ledger = self.sandbox.nightjar("ledger show").json();
        ledger["records"].as_array().unwrap().last().unwrap().clone()
    }
}

impl Sandbox {
    fn back_up_home(&self) -> String {
        let run = self.nightjar("backup --series home --label tier=gold");
        id_of(&run.source(self.path("home")).json())
    }

    fn listed(&self, id: &str) -> Vec<String> {
        let entries = self.nightjar("snapshot ls").arg(id).json();
        let path = |entry: &Value| entry["path"].as_str().unwrap().to_owned();
        entries.as_array().unwrap().iter().map(path).collect()
    }
}

#[test]
fn a_directory_leaves_a_series_and_the_ledger_says_so() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    let before = sandbox.nightjar("snapshot show").arg(&scene.nights[0]).json();
    let done = scene.rewrite("--series home --exclude /home/keys --reason right").json();
    assert_has_fields(&done, "dry_run erase reason snapshots untouched requests");
    assert_eq!((&done["erase"], &done["untouched"]), (&true.into(), &0.into()));
    let rewritten = done["snapshots"].as_array().unwrap();
    assert_eq!(rewritten.len(), 2);
    for (one, original) in rewritten.iter().zip(&scene.nights) {
        let fields = "original snapshot was_there series time entries files directories others \
                      bytes bytes_added";
        assert_has_fields(one, fields);
        assert_eq!(
            (&one["original"], &one["was_there"]),
            (&original.as_str().into(), &false.into())
        );
        assert_eq!((&one["entries"], &one["files"]), (&4.into(), &2.into()));
        assert_eq!(one["bytes"], 201_000);
        let id = one["snapshot"].as_str().unwrap();
        let paths = sandbox.listed(id);
        assert!(!paths.iter().any(|path| path.starts_with("home/keys/")), "{paths:?}");
        for path in ["home/keys.txt", "home/notes", "home/same notes"] {
            assert!(paths.iter().any(|it| it == path), "{path} is not in {paths:?}");
        }
        sandbox.nightjar("snapshot show").arg(original).exits(1).says("no snapshot");
    }
    let first = rewritten[0]["snapshot"].as_str().unwrap();
    let after = sandbox.nightjar("snapshot show").arg(first).json();
    for field in ["series", "time", "finished", "host", "user", "labels", "source", "previous"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["original"], scene.nights[0].as_str());
    assert_eq!(after["files"].as_u64().unwrap() + 2, before["files"].as_u64().unwrap());
    let notes = sandbox.nightjar("snapshot cat").arg(first).arg("home/notes").done();
    notes.prints_bytes(&data::noise(3, 300_000));
    assert_eq!(scene.ids().len(), 3);
    let record = scene.newest_record();
    assert_eq!((&record["kind"], &record["erase"]), (&"forget".into(), &true.into()));
    assert_eq!(
        (&record["why"], record["snapshots"].as_array().unwrap().len()),
        (&"right".into(), 2)
    );
    sandbox.nightjar("ledger show").done().prints("forgot, to be erased: 2 snapshots");
    sandbox.assert_verifies();
    // The next night goes on from there, and a second run finds nothing to do.
    let next = sandbox.nightjar("snapshot show").arg(sandbox.back_up_home()).json();
    assert_eq!(next["previous"], rewritten[1]["snapshot"]);
    assert_eq!(next["chunks_new"], 0, "{next}");
    sandbox.nightjar("snapshot forget --reason again").arg(id_of(&next)).done();
    let again = scene.rewrite("--all --exclude /home/keys --reason right").done();
    again.prints("3 snapshots hold nothing that matches").prints("nothing was to be done");
    let gc = sandbox.nightjar("gc --keeps-deleted 30d").done();
    gc.prints("erased: nothing is left").prints("keep what was deleted until 20");
    sandbox.nightjar("ledger show").done().prints("erased what was to go up to record");
    let record = scene.newest_record();
    assert_eq!((&record["kind"], &record["up_to_record"]), (&"erased".into(), &1.into()));
    assert!(record["until"].as_str().is_some_and(|until| until.starts_with("20")), "{record}");
    sandbox.assert_verifies();
}

#[test]
fn a_dry_run_lists_what_would_go_and_changes_nothing() {
    let scene = Scene::new();
    let before = scene.ids();
    let run = scene.rewrite("--all --exclude keys --exclude *.txt --dry-run").done();
    let text = run.text();
    assert!(text.contains("would take 5 entries (196.3 KiB) out of snapshot"), "{text}");
    for line in ["  home/keys/\n", "  home/keys.txt\n", "1 snapshot holds nothing that matches\n"] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    assert!(!text.contains("private") && text.ends_with("nothing was changed\n"), "{text}");
    let json = scene.rewrite("--all --exclude keys --dry-run").json();
    assert_eq!((&json["dry_run"], &json["erase"]), (&true.into(), &false.into()));
    let one = &json["snapshots"][0];
    assert_eq!((&one["snapshot"], &one["paths"][0]["path"]), (&Value::Null, &"home/keys".into()));
    assert_eq!(one["paths"].as_array().unwrap().len(), 1);
    assert_eq!(scene.ids(), before);
    let patterns = scene.sandbox.write("patterns", "# what goes\n*\n!/home\n!/home/notes\n");
    let run = scene.rewrite("--dry-run --exclude-from").arg(patterns).arg(&scene.nights[0]);
    run.done().prints("  home/keys/\n").prints("  home/same notes\n");
}

#[test]
fn a_user_learns_what_comes_next() {
    let scene = Scene::new();
    let run = || scene.rewrite("--exclude /home/keys").arg(&scene.nights[0]);
    run().args("--keep-originals").done().prints("the originals are still there");
    assert_eq!(scene.ids().len(), 4);
    let outcome = run().args("--reason right -v").done();
    let outcome = outcome.prints("took 4 entries").prints("  home/keys/\n");
    let outcome = outcome.prints("has the rest, made by an earlier run");
    outcome.prints("still in the store until `nightjar gc` has").prints("nightjar ledger show");
    assert_eq!(scene.ids().len(), 3);
    run().args("--reason right").exits(1).says("no snapshot");
    let forget = scene.sandbox.nightjar("snapshot forget --erase --reason right");
    forget.arg(&scene.dump).done().prints("still in the store until `nightjar gc` has");
    assert_eq!(scene.newest_record()["erase"], true);
    let forget = scene.sandbox.nightjar("snapshot forget --reason old --json");
    let plain = forget.arg(&scene.nights[1]).json();
    assert_eq!((&plain["erase"], &scene.newest_record()["erase"]), (&false.into(), &false.into()));
    // It is not too late.
    let forget = || scene.sandbox.nightjar("snapshot forget --reason right").arg(&scene.nights[1]);
    forget().exits(1).says("no snapshot");
    forget().args("--erase").done().prints("was forgotten before");
    let record = scene.newest_record();
    assert_eq!(
        (&record["erase"], &record["snapshots"][0]),
        (&true.into(), &plain["forgotten"][0]["id"])
    );
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is() {
    let scene = Scene::new();
    let sandbox = &scene.sandbox;
    let before = scene.ids();
    let dump = scene.rewrite("--all --exclude dump.sql --reason right").exits(1);
    dump.says("nothing would be left of snapshot").says("snapshot forget").says("--erase");
    sandbox.nightjar("snapshot hold --reason evidence").arg(&scene.nights[1]).done();
    let held = scene.rewrite("--all --exclude keys --reason right").exits(1);
    held.says("is held by").says("evidence").says("nightjar snapshot release");
    let host = sandbox.add_write_slot();
    let host = |words: &str| sandbox.nightjar(words).env("NIGHTJAR_PASSWORD_FILE", &host);
    let refused = host("snapshot rewrite --all --exclude keys --reason right").exits(12);
    refused.says("may not rewrite snapshots");
    host("snapshot rewrite --all --exclude keys --dry-run").done().prints("would take");
    for line in [
        "--all --exclude keys",
        "--all --reason right",
        "--exclude keys --reason right",
        "latest --exclude keys --reason right",
        "a5 --all --exclude keys --reason right",
        "a5 --series home --exclude keys --reason right",
        "--all --exclude keys --keep-originals --reason right",
    ] {
        scene.rewrite(line).exits(2);
    }
    scene.rewrite("--series nobody --exclude keys --reason right").exits(1).says("no snapshot");
    scene.rewrite("--all --exclude {a --reason right").exits(1).says("--exclude");
    assert_eq!(scene.ids(), before);
}

#[test]
fn a_file_with_another_name_keeps_its_bytes() {
    let scene = Scene::new();
    let one = scene.rewrite("--exclude same* --dry-run").arg(&scene.nights[0]).json();
    assert_eq!(
        (&one["snapshots"][0]["files"], &one["snapshots"][0]["bytes"]),
        (&1.into(), &0.into())
    );
    let both = scene.rewrite("--exclude *notes --dry-run").arg(&scene.nights[0]).json();
    assert_eq!(both["snapshots"][0]["bytes"], 300_000);
    let done = scene.rewrite("--exclude same* --reason right").arg(&scene.nights[0]).json();
    let id = done["snapshots"][0]["snapshot"].as_str().unwrap();
    let cat = scene.sandbox.nightjar("snapshot cat").arg(id).arg("home/notes");
    cat.done().prints_bytes(&data::noise(3, 300_000));
}
