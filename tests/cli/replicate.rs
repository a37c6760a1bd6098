//! `nightjar replicate`: copies elsewhere that can be restored from.

use std::fs;
use std::path::PathBuf;

use nightjar_testservers::{Azurite, Moto};
use serde_json::json;

use crate::harness::data::noise;
use crate::harness::{
    Nightjar, Sandbox, WEAK, assert_has_fields, assert_same, files_below, number,
};

struct Replica {
    sandbox: Sandbox,
    dump: Vec<u8>,
    id: String,
}

impl Replica {
    fn new() -> Self {
        let (sandbox, dump, id) = Sandbox::with_dump();
        Self { sandbox, dump, id }
    }

    fn place(&self) -> PathBuf {
        self.sandbox.path("offsite")
    }

    /// Another machine, which knows nothing but the replica.
    fn read(&self, args: &str) -> Nightjar {
        let run = self.sandbox.nightjar(args).env("NIGHTJAR_REPOSITORY", self.place());
        run.env("NIGHTJAR_CACHE_DIR", self.sandbox.path("cache-offsite"))
    }
}

#[test]
fn a_lost_repository_is_restored_from_its_replica() {
    let replica = Replica::new();
    let Replica { sandbox, dump, id } = &replica;
    let told = sandbox.nightjar("replicate").arg(replica.place()).done();
    told.prints("copied ").prints("1 snapshot among them, to ");
    let again = sandbox.nightjar("replicate").arg(replica.place()).done();
    again.prints("has everything");
    fs::remove_dir_all(sandbox.repository()).unwrap();
    replica.read("restore latest --stdout").done().prints_bytes(dump);
    replica.read("snapshot verify --all --level data").done().prints("no damage found");
    replica.read("status").done().prints("this is a replica");
    assert_eq!(replica.read("status").json()["replica"], true);
    let refused = replica.read("backup --stdin dump.sql").stdin(dump.clone()).exits(1);
    refused.says("is a replica").says("nightjar replicate");
    replica.read("gc").exits(1).says("is a replica");
    replica.read("snapshot forget --reason x").arg(id).exits(1).says("is a replica");
}

#[test]
fn nothing_is_asked_for_where_no_key_is_needed() {
    let replica = Replica::new();
    let sandbox = &replica.sandbox;
    let without = |args: &str| sandbox.nightjar(args).without_env("NIGHTJAR_PASSWORD_FILE");
    let planned = without("replicate --without-key --dry-run").arg(replica.place()).json();
    assert!(!replica.place().exists(), "a dry run made something");
    let done = without("replicate --without-key").arg(replica.place()).json();
    let (planned, done) = (&planned[0], &done[0]);
    assert_has_fields(done, "target first dry_run copied objects bytes damaged requests");
    assert_eq!((&planned["dry_run"], &done["dry_run"]), (&true.into(), &false.into()));
    assert_eq!((&planned["copied"], &done["first"]), (&done["copied"], &true.into()));
    assert_eq!(number(&done["copied"]["snapshots"], "objects"), 1);
    // And the mark.
    let written = number(&done["requests"], "put") + number(&done["requests"], "create");
    assert_eq!(written, number(done, "objects") + 1);
    assert!(number(done, "bytes") > 0);
    without("replicate").arg(replica.place()).exits(12);
    replica.read("restore latest --stdout").done().prints_bytes(&replica.dump);
}

#[test]
fn how_far_a_replica_is_behind_is_told() {
    let replica = Replica::new();
    let sandbox = &replica.sandbox;
    let status = || sandbox.nightjar("replicate status").arg(replica.place());
    status().done().prints("no: it was never brought to an end").prints("0; 1 snapshot is missing");
    assert!(!replica.place().exists(), "looking made something");
    sandbox.nightjar("replicate").arg(replica.place()).done();
    let fields = "target usable snapshots lag_snapshots lag_objects lag_bytes lag_seconds \
                  newest_snapshot only_there_objects only_there_bytes";
    let level = &status().json()[0];
    assert_has_fields(level, fields);
    assert_eq!((number(level, "lag_snapshots"), number(level, "lag_seconds")), (0, 0));
    assert_eq!((number(level, "snapshots"), number(level, "lag_objects")), (1, 0));
    status().done().prints("1; no snapshot is missing");
    sandbox.store("dump.sql", &noise(3, 400_000));
    let behind = &status().without_env("NIGHTJAR_PASSWORD_FILE").json()[0];
    assert_eq!(number(behind, "lag_snapshots"), 1);
    assert!(number(behind, "lag_bytes") > 400_000, "{behind}");
    status().done().prints("1; 1 snapshot is missing, for ");
}

#[test]
fn what_was_forgotten_is_still_shown_in_a_replica() {
    let replica = Replica::new();
    let sandbox = &replica.sandbox;
    let second = sandbox.store("dump.sql", &noise(4, 100_000));
    sandbox.nightjar("replicate").arg(replica.place()).done();
    sandbox.nightjar("snapshot forget --reason attack").arg(&replica.id).arg(&second).done();
    sandbox.nightjar("gc").done();
    sandbox.nightjar("replicate").arg(replica.place()).done();
    let list = replica.read("snapshot list").done();
    list.prints("forgotten").prints("in the source");
    let list = replica.read("snapshot list").json();
    let list = list.as_array().unwrap();
    assert!(list.len() == 2 && list.iter().all(|it| it["forgotten"] == true), "{list:?}");
    replica.read("restore latest --stdout").exits(1);
    let restored = replica.read("restore --stdout").arg(&replica.id).done();
    assert_same(&restored.stdout, &replica.dump);
}

#[test]
fn several_targets_are_named_in_the_file_and_one_that_fails_does_not_stop_others() {
    let sandbox = Sandbox::without_repository();
    let run = |args: &str| {
        Nightjar::new().args(args).env("NIGHTJAR_CONFIG", sandbox.path("nightjar.toml"))
    };
    let file = |replicas: &str| {
        format!(
            "default-repository = \"near\"\n\
             [repository.near]\n\
             url = \"repository\"\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache\"\n\
             replicas = [{replicas}]\n\
             [repository.first]\n\
             url = \"first\"\n\
             password-file = \"passphrase\"\n\
             [repository.second]\n\
             url = \"second\"\n"
        )
    };
    sandbox.write("nightjar.toml", file(""));
    run("init").args(WEAK).done();
    let dump = noise(5, 200_000);
    run("backup --stdin dump").stdin(dump.clone()).done();
    run("replicate").exits(2).says("replicas");
    sandbox.write("nightjar.toml", file("\"first\", \"second\""));
    fs::create_dir_all(sandbox.path("first")).unwrap();
    fs::create_dir_all(sandbox.path("first/packs")).unwrap();
    fs::write(sandbox.path("first/repository"), "of somebody else").unwrap();
    let told = run("replicate").with_json().exits(1);
    let told = told.says("is no replica").json();
    assert!(told[0]["error"].as_str().unwrap().contains("is not empty"), "{told}");
    assert_eq!(number(&told[1]["copied"]["snapshots"], "objects"), 1, "{told}");
    run("replicate status second").done().prints("no snapshot is missing");
    fs::remove_dir_all(sandbox.path("first")).unwrap();
    run("replicate").done().prints("second has everything");
    run("-r first restore latest --stdout").done().prints_bytes(&dump);
    assert_eq!(run("replicate status").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_repository_in_one_cloud_is_copied_to_another() {
    let (sandbox, moto, azurite) = (Sandbox::without_repository(), Moto::start(), Azurite::start());
    let (bucket, container) = (moto.new_bucket(), azurite.new_bucket());
    sandbox.write(
        "nightjar.toml",
        format!(
            "[repository.s3]\n\
             url = \"s3://{bucket}/db\"\n\
             endpoint = \"{}\"\n\
             allow-http = true\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache\"\n\
             replicas = [\"azure\"]\n\
             [repository.azure]\n\
             url = \"az://{container}/copy\"\n\
             endpoint = \"{}\"\n\
             allow-http = true\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache-azure\"\n",
            moto.endpoint(),
            azurite.endpoint()
        ),
    );
    let run = |args: &str| {
        let run = Nightjar::new().args(args).env("NIGHTJAR_CONFIG", sandbox.path("nightjar.toml"));
        let variables = moto.variables().into_iter().chain(azurite.variables());
        variables.fold(run, |run, (name, value)| run.env(name, value))
    };
    run("-r s3 init").args(WEAK).done();
    let dump = noise(6, 5_000_000);
    run("-r s3 backup --stdin dump").stdin(dump.clone()).done();
    let done = run("-r s3 replicate").json();
    assert_eq!(number(&done[0]["copied"]["snapshots"], "objects"), 1, "{done}");
    run("-r azure restore latest --stdout").done().prints_bytes(&dump);
    run("-r azure snapshot verify --all --level data").done();
    let done = run("-r s3 replicate").json();
    assert_eq!(number(&done[0], "objects"), 0);
    // One listing of a replica that has everything, its mark, and its `repository` object.
    assert!(number(&done[0]["requests"], "http") <= 4, "{done}");
}

#[test]
fn some_series_are_copied_from_one_cloud_to_another() {
    let (sandbox, moto, azurite) = (Sandbox::without_repository(), Moto::start(), Azurite::start());
    let (bucket, container) = (moto.new_bucket(), azurite.new_bucket());
    let config = |series: &str| {
        format!(
            "[repository.s3]\n\
             url = \"s3://{bucket}/db\"\n\
             endpoint = \"{}\"\n\
             allow-http = true\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache\"\n\
             replicas = [\"azure\"]\n\
             [repository.azure]\n\
             url = \"az://{container}/copy\"\n\
             endpoint = \"{}\"\n\
             allow-http = true\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache-azure\"\n\
             series = {series}\n",
            moto.endpoint(),
            azurite.endpoint()
        )
    };
    sandbox.write("nightjar.toml", config("\"orders-*\""));
    let run = |args: &str| {
        let run = Nightjar::new().args(args).env("NIGHTJAR_CONFIG", sandbox.path("nightjar.toml"));
        let variables = moto.variables().into_iter().chain(azurite.variables());
        variables.fold(run, |run, (name, value)| run.env(name, value))
    };
    run("-r s3 init").args(WEAK).done();
    let (orders, logs) = (noise(7, 1_000_000), noise(8, 3_000_000));
    run("-r s3 backup --stdin dump --series orders-eu").stdin(orders.clone()).done();
    run("-r s3 backup --stdin logs --series logs").stdin(logs.clone()).done();
    let before = &run("-r s3 replicate status").json()[0];
    assert_eq!(before["series"], json!(["orders-*"]));
    assert_eq!(number(before, "lag_snapshots"), 1);
    assert!(number(before, "lag_bytes") < 2_000_000, "{before}");
    let done = &run("-r s3 replicate").json()[0];
    assert_has_fields(done, "target series first copied");
    assert_eq!(number(&done["copied"]["snapshots"], "objects"), 1, "{done}");
    assert!((1_000_000..2_000_000).contains(&number(done, "bytes")), "{done}");
    run("-r azure restore latest --stdout").done().prints_bytes(&orders);
    run("-r azure snapshot verify --all --level data").done().prints("no damage found");
    let list = run("-r azure snapshot list").json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    let done = &run("-r s3 replicate").json()[0];
    assert_eq!(number(done, "objects"), 0);
    assert!(number(&done["requests"], "http") <= 4, "{done}");
    run("-r s3 replicate").done().prints("has everything of orders-*");
    run("-r s3 replicate status").done().prints("orders-*").prints("no snapshot is missing");
    let all = run("-r s3 replicate status --without-key").done();
    all.prints("all are counted").prints("1 snapshot is missing");
    // What the command line names counts instead of the file.
    run("-r s3 replicate --series logs").done().prints("1 snapshot among them");
    run("-r azure restore latest --series logs --stdout").done().prints_bytes(&logs);
    run("-r azure snapshot verify --all").done();
    sandbox.write("nightjar.toml", config("[\"logs\", \"orders-eu\"]"));
    run("-r s3 replicate").done().prints("has everything of logs, orders-eu");
}

#[test]
fn some_series_cannot_be_told_from_others_without_a_key() {
    let replica = Replica::new();
    let sandbox = &replica.sandbox;
    for command in ["replicate", "replicate status"] {
        let line = format!("{command} --without-key --series orders");
        let refused = sandbox.nightjar(&line).arg(replica.place()).exits(2);
        refused.says("takes the key").says("--without-key");
        let refused = sandbox.nightjar(&format!("{command} --series orders"));
        refused.arg(replica.place()).without_env("NIGHTJAR_PASSWORD_FILE").exits(12);
    }
    assert!(!replica.place().exists(), "a refused command made something");
    sandbox.nightjar("replicate --series").arg("").arg(replica.place()).exits(2);
}

#[test]
fn damage_is_told_and_not_copied() {
    let replica = Replica::new();
    let sandbox = &replica.sandbox;
    let pack = files_below(&sandbox.repository().join("packs")).remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    bytes[100] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    let told = sandbox.nightjar("replicate").arg(replica.place()).exits(4);
    let name = pack.file_name().unwrap().to_str().unwrap();
    told.prints("not copied: packs/").prints(name).prints("do not hash to its id");
    bytes[100] ^= 1;
    fs::write(&pack, &bytes).unwrap();
    sandbox.nightjar("replicate").arg(replica.place()).done();
    replica.read("snapshot verify --all").done();
}

#[test]
fn a_replica_is_promoted_and_takes_backups() {
    let replica = Replica::new();
    let Replica { sandbox, dump, id } = &replica;
    sandbox.nightjar("replicate").arg(replica.place()).done();
    sandbox.nightjar("snapshot forget --reason attack").arg(id).done();
    sandbox.nightjar("gc").done();
    sandbox.nightjar("replicate").arg(replica.place()).done();
    let late = sandbox.store("dump.sql", &noise(9, 50_000));
    replica.read("replica promote").exits(2).says("--reason");
    let planned = replica.read("replica promote --dry-run").json();
    assert_has_fields(
        &planned,
        "repository dry_run record incarnation snapshots newest_snapshot back stay_forgotten packs_back findings",
    );
    assert!(planned["record"].is_null() && planned["back"][0] == **id, "{planned}");
    assert!(replica.read("status").json()["replica"] == true);
    let told = replica.read("replica promote --reason").arg("the region is gone").done();
    told.prints("promoted ").prints("1 snapshot").prints("back again").prints("next:");
    replica.read("replica promote --reason again").exits(1).says("is the repository already");
    replica.read("restore latest --stdout").done().prints_bytes(dump);
    let next = noise(10, 80_000);
    replica.read("backup --stdin dump.sql").stdin(next.clone()).done();
    replica.read("gc").done();
    replica.read("restore latest --stdout").done().prints_bytes(&next);
    replica.read("restore --stdout").arg(id).done().prints_bytes(dump);
    replica.read("snapshot verify --all --level data").done().prints("no damage found");
    replica.read("ledger show").done().prints("promoted a replica").prints("the region is gone");
    // The lost one is not gone, and the machine that used it moves over.
    sandbox.nightjar("replicate").arg(replica.place()).exits(4).says("the replica was promoted");
    let moved = |args: &str| sandbox.nightjar(args).env("NIGHTJAR_REPOSITORY", replica.place());
    moved("snapshot list").done().says("after the last replication");
    moved("restore --stdout").arg(&late).exits(1);
    moved("backup --stdin dump.sql").stdin(dump.clone()).done();
    sandbox.nightjar("backup --stdin dump.sql").stdin(dump.clone()).exits(4);
    sandbox.nightjar("status").exits(4).says("two stores go on as the same repository");
}

/// The drill: two regions, of which the first is lost in the middle of a night, and comes back.
#[test]
fn the_first_of_two_regions_is_lost_during_a_night_and_comes_back() {
    let (sandbox, near, far) = (Sandbox::without_repository(), Moto::start(), Moto::start());
    let (bucket, away, home) = (near.new_bucket(), far.new_bucket(), near.new_bucket());
    let section = |name: &str, bucket: &str, moto: &Moto, replicas: &str| {
        format!(
            "[repository.{name}]\n\
             url = \"s3://{bucket}/db\"\n\
             endpoint = \"{}\"\n\
             allow-http = true\n\
             password-file = \"passphrase\"\n\
             cache-dir = \"cache\"\n\
             replicas = [{replicas}]\n",
            moto.endpoint()
        )
    };
    let file = [
        section("near", &bucket, &near, "\"far\""),
        section("far", &away, &far, "\"home\""),
        section("home", &home, &near, "\"far\""),
    ];
    sandbox.write("nightjar.toml", file.concat());
    let run = |args: &str| {
        let run = Nightjar::new().args(args).env("NIGHTJAR_CONFIG", sandbox.path("nightjar.toml"));
        near.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    };
    run("-r near init").args(WEAK).done();
    let nights: Vec<Vec<u8>> =
        (0..4).map(|night| [noise(20, 900_000), noise(30 + night, 90_000)].concat()).collect();
    let back_up = |name: &str, night: usize| {
        run(&format!("-r {name} backup --stdin dump")).stdin(nights[night].clone())
    };
    back_up("near", 0).done();
    run("-r near replicate").done();
    back_up("near", 1).done();
    // It is lost before that night is replicated.
    run("-r far replica promote --reason drill").done().prints("1 snapshot");
    let restored = run("-r far restore latest --stdout").done();
    restored.says("after the last replication").prints_bytes(&nights[0]);
    back_up("far", 2).done();
    run("-r far snapshot verify --all --level data").done();
    // It comes back: what it has more can be restored, by whoever has not moved.
    back_up("near", 3).exits(4).says("two stores go on as the same repository");
    let elsewhere = sandbox.path("cache-elsewhere");
    run("-r near --cache-dir")
        .arg(&elsewhere)
        .args("restore latest --stdout")
        .done()
        .prints_bytes(&nights[1]);
    run("-r near replicate").exits(4);
    // The way home.
    run("-r far replicate").done();
    run("-r home replica promote --reason").arg("the drill is over").done().prints("2 snapshots");
    back_up("home", 3).done();
    run("-r home gc").done();
    run("-r home restore latest --stdout").done().prints_bytes(&nights[3]);
    assert_eq!(run("-r home snapshot list").json().as_array().unwrap().len(), 3);
    run("-r home snapshot verify --all --level data").done().prints("no damage found");
    back_up("far", 3).exits(4);
}
