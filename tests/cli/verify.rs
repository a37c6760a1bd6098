//! `snapshot verify` over successive runs, and what it says of damage.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::data::noise;
use crate::harness::{Sandbox, assert_has_fields, assert_same, files_below, id_of, number};

/// A repository of small packs.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    sandbox
}

/// The largest pack: one of data.
fn pack(sandbox: &Sandbox) -> PathBuf {
    let packs = files_below(&sandbox.repository().join("packs"));
    packs.into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn id_of_pack(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn successive_samples_check_everything_and_status_shows_it() {
    let sandbox = sandbox();
    sandbox.store("dump", &noise(1, 6 << 20));
    let status = sandbox.nightjar("status").json();
    assert_eq!(status["coverage"]["data"]["checked"], 0);
    sandbox.nightjar("status").done().prints("data checked   never");
    let mut checked = 0;
    for run in 1..=4 {
        let report = sandbox.nightjar("snapshot verify --all --sample 25%").json();
        assert_has_fields(
            &report,
            "level snapshots snapshots_in_scope packs packs_in_scope references blobs bytes complete \
             out_of_time coverage requests findings hits hits_unknown recorded_damaged recorded_repaired \
             unrecorded",
        );
        assert_has_fields(
            &report["coverage"]["data"],
            "total checked never_checked share bytes bytes_checked bytes_share oldest \
             oldest_age_seconds newest newest_age_seconds",
        );
        assert_eq!(report["complete"], false, "{report}");
        assert!(number(&report, "packs") < number(&report, "packs_in_scope"));
        checked = number(&report["coverage"]["data"], "checked");
        let at_least = number(&report["coverage"]["data"], "bytes") * run / 4;
        assert!(number(&report["coverage"]["data"], "bytes_checked") >= at_least, "{report}");
    }
    let status = sandbox.nightjar("status").json();
    let data = &status["coverage"]["data"];
    assert_eq!((number(data, "checked"), number(data, "never_checked")), (checked, 0));
    assert_eq!((&data["share"], &data["bytes_share"]), (&1.0.into(), &1.0.into()));
    assert_eq!(number(&status["coverage"]["snapshots"], "never_checked"), 0);
    sandbox.nightjar("status").done().prints("packs checked").prints("100 % of").prints("ago");
    // Nothing is older than that.
    let report = sandbox.nightjar("snapshot verify --all --older-than 1d").json();
    assert_eq!((number(&report, "packs"), number(&report, "bytes")), (0, 0));
}

#[test]
fn a_time_limit_that_is_over_is_said_and_is_no_failure() {
    let sandbox = sandbox();
    sandbox.store("dump", &noise(2, 4 << 20));
    let run = sandbox.nightjar("snapshot verify --all --time-limit 0s").done();
    run.prints("the time limit cut it off").prints("no damage found").prints("never");
    let report = sandbox.nightjar("snapshot verify --all --time-limit 0s").json();
    assert_eq!((&report["out_of_time"], &report["complete"]), (&true.into(), &false.into()));
    assert_eq!(number(&report["coverage"]["data"], "checked"), 2);
    let whole = sandbox.nightjar("snapshot verify --all --time-limit 1h").json();
    assert_eq!((&whole["out_of_time"], &whole["complete"]), (&false.into(), &true.into()));
}

#[test]
fn damage_is_named_down_to_paths_recorded_and_healed_by_the_next_backup() {
    let sandbox = sandbox();
    let tree = sandbox.path("tree");
    fs::create_dir_all(tree.join("deep")).unwrap();
    for (name, seed) in [("one", 1), ("deep/two", 2), ("three", 3)] {
        fs::write(tree.join(name), noise(seed, 900_000)).unwrap();
    }
    let backup = || sandbox.nightjar("backup --series tree --read-all").source(&tree);
    let first = id_of(&backup().json());
    let other = sandbox.store("other", &noise(9, 300_000));
    let pack = pack(&sandbox);
    let id = id_of_pack(&pack);
    flip(&pack);

    let run = sandbox.nightjar("snapshot verify --all").with_json().exits(4);
    let report = run.json();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{report}");
    assert!(findings[0]["object"].as_str().unwrap().contains(&id));
    assert_eq!(
        (number(&findings[0], "blobs"), findings[0]["blob_ids"].as_array().unwrap().len()),
        (1, 1)
    );
    assert_eq!(findings[0]["snapshots"], serde_json::json!([first]));
    assert_eq!(report["hits"].as_array().unwrap().len(), 1);
    let hit = &report["hits"][0];
    assert_has_fields(hit, "snapshot series time paths more_paths");
    assert_eq!((&hit["snapshot"], &hit["series"]), (&first.as_str().into(), &"tree".into()));
    let paths = hit["paths"].as_array().unwrap();
    assert_eq!((paths.len(), number(hit, "more_paths")), (1, 0), "{hit}");
    let path = paths[0]["path"].as_str().unwrap().to_owned();
    assert_eq!(report["recorded_damaged"], serde_json::json!([id]));
    // It is that file which does not come back, and no other.
    let restored = sandbox.path("restored");
    sandbox.nightjar("restore --to").arg(&restored).arg(&first).exits(4);
    for name in ["tree/one", "tree/deep/two", "tree/three"] {
        assert_eq!(restored.join(name).exists(), name != path, "{name}, {path}");
    }

    let run = sandbox.nightjar("snapshot verify --all").exits(4);
    run.prints(&path).prints("cannot be restored whole").prints("cannot be relied on");
    // The newest is looked at, and then there is no time for the other one.
    let hurried = sandbox.nightjar("snapshot verify --all --time-limit 0s").exits(4);
    hurried.prints("there was no time to look at 1 snapshot").never_says("cannot be restored");
    let hurried = sandbox.nightjar("snapshot verify --all --time-limit 0s").with_json().exits(4);
    let hurried = hurried.json();
    assert_eq!((&hurried["hits"], number(&hurried, "hits_unknown")), (&serde_json::json!([]), 1));
    sandbox.nightjar("ledger show").done().prints("damaged");
    let told = sandbox.nightjar("status").exits(4);
    told.prints(&id).prints("the ledger records it as damaged").prints(&first[..12]);
    sandbox.nightjar("snapshot show").arg(&other).done().never_says("rests on packs");
    let show = sandbox.nightjar("snapshot show").arg(&first).exits(4);
    show.prints("rests on packs that are damaged or missing").prints(&path).prints(&id);
    let show = sandbox.nightjar("snapshot show").arg(&first).with_json().exits(4).json();
    assert_has_fields(&show["damage"], "packs hits hits_unknown");

    backup().done();
    let healed = sandbox.nightjar("snapshot show").arg(&first).json();
    assert!(healed["damage"].is_null(), "{healed}");
    let status = sandbox.nightjar("status").json();
    assert_eq!(status["damage"]["packs"][0]["pack"], id.as_str());
    assert_eq!(status["damage"]["hits"], serde_json::json!([]));
    sandbox.nightjar("status").done().prints("no snapshot needs it any more");
    fs::remove_dir_all(&restored).unwrap();
    sandbox.nightjar("restore --to").arg(&restored).arg(&first).done();
    assert_same(&fs::read(restored.join(&path)).unwrap(), &fs::read(sandbox.path(&path)).unwrap());
    sandbox.nightjar("gc --max-unused 0%").done();
    sandbox.assert_verifies();
    sandbox.nightjar("status").done().never_says("damaged or missing");
}

#[test]
fn who_only_looks_writes_nothing() {
    let sandbox = sandbox();
    sandbox.store("dump", &noise(4, 3 << 20));
    flip(&pack(&sandbox));
    let before = files_below(&sandbox.repository());
    let run = sandbox.nightjar("snapshot verify --all --no-record").exits(4);
    run.never_says("is recorded");
    assert_eq!(files_below(&sandbox.repository()), before);
    sandbox.nightjar("snapshot verify --all").exits(4).prints("is recorded as damaged");
    assert_ne!(files_below(&sandbox.repository()), before);
}

#[test]
fn a_sample_without_a_unit_is_refused() {
    let (sandbox, ..) = Sandbox::with_dump();
    for sample in ["5", "0%", "150%", "some"] {
        let run = sandbox.nightjar("snapshot verify --all --sample").arg(sample);
        run.exits(2).says("such as 5%");
    }
}
