//! A repository in a bucket, through the program and a real server.

use std::time::Instant;

use nightjar_testservers::Moto;
use serde_json::Value;

use crate::harness::data::noise;
use crate::harness::{Nightjar, Running, Sandbox, WEAK, number};

struct Cloud {
    sandbox: Sandbox,
    moto: Moto,
    url: String,
}

impl Cloud {
    fn new() -> Self {
        let (sandbox, moto) = (Sandbox::without_repository(), Moto::start());
        let url = format!("s3://{}/backups/db", moto.new_bucket());
        Self { sandbox, moto, url }
    }

    fn run(&self, args: &str) -> Nightjar {
        let run = self.sandbox.nightjar(args).args("--allow-http");
        let run = run.env("NIGHTJAR_REPOSITORY", &self.url);
        let run = run.env("NIGHTJAR_ENDPOINT", self.moto.endpoint());
        self.moto.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }
}

#[test]
fn a_dump_goes_to_a_bucket_and_comes_back() {
    let cloud = Cloud::new();
    cloud.run(&format!("init {WEAK}")).done().prints("made at s3://");
    let dump = noise(1, 30_000_000);
    let first = cloud.run("backup --stdin a.sql").stdin(dump.clone()).json();
    let requests = &first["requests"];
    assert_eq!(number(requests, "retries"), 0);
    assert!(number(requests, "bytes_up") > 30_000_000, "{requests}");
    let again = cloud.run("backup --stdin a.sql").stdin(dump.clone()).json();
    let requests = &again["requests"];
    assert!(number(requests, "http") <= 30, "{requests}");
    assert!(number(requests, "bytes_up") < 10_000, "{requests}");
    cloud.run("restore latest --stdout").done().prints_bytes(&dump);
    cloud.run("snapshot verify --all --level data").done().prints("no damage found");
    // Another machine has no cache.
    let elsewhere = cloud.sandbox.path("elsewhere");
    let status = cloud.run("status").env("NIGHTJAR_CACHE_DIR", &elsewhere).json();
    assert_eq!(number(&status, "snapshots"), 2, "{status}");
}

#[test]
fn a_backup_tells_what_it_took_to_get_ready() {
    let cloud = Cloud::new();
    cloud.run(&format!("init {WEAK}")).done();
    let dump = noise(2, 5_000_000);
    let first = cloud.run("backup --stdin a.sql").stdin(dump.clone()).json();
    let (start, whole) = (&first["start"]["requests"], &first["requests"]);
    assert!(first["start"]["seconds"].as_f64().unwrap() > 0.0, "{first}");
    assert!(number(start, "http") > 0, "{first}");
    assert!(number(start, "http") < number(whole, "http"), "{first}");
    // The announcement of the session, and no pack.
    assert!(number(start, "bytes_up") < 10_000, "{first}");
    // A machine without a cache reads what the first run listed.
    let elsewhere = cloud.sandbox.path("elsewhere");
    let cold = cloud.run("backup --stdin a.sql").env("NIGHTJAR_CACHE_DIR", &elsewhere);
    let cold = cold.stdin(dump.clone()).json();
    // This machine takes in what the others wrote, and then has it.
    cloud.run("backup --stdin a.sql").stdin(dump.clone()).done();
    let warm = cloud.run("backup --stdin a.sql").stdin(dump.clone()).json();
    let down = |run: &Value| number(&run["start"]["requests"], "bytes_down");
    assert!(down(&cold) > down(&warm), "{cold} {warm}");
    let told = cloud.run("backup --verbose --stdin a.sql").stdin(dump);
    told.done().prints("ready   after ").prints(" requests and ");
}

#[test]
fn what_is_wrong_with_a_bucket_is_named_with_the_setting_to_look_at() {
    let cloud = Cloud::new();
    cloud.run(&format!("init {WEAK}")).done();
    let says = |run: Nightjar, code: i32, text: &str| {
        let start = Instant::now();
        run.exits(code).says(text);
        // Nobody waits minutes for a wrong setting.
        assert!(start.elapsed().as_secs() < 60);
    };
    let status = || cloud.run("status");
    says(
        status().env("NIGHTJAR_REPOSITORY", "s3://nowhere/x"),
        1,
        "the bucket of the URL does not",
    );
    says(status().env("NIGHTJAR_ENDPOINT", "http://127.0.0.1:1"), 1, "the store cannot be reached");
    says(status().env("NIGHTJAR_ENDPOINT", "http://nowhere.invalid"), 1, "check --endpoint");
    let plain = cloud.sandbox.nightjar("status").env("NIGHTJAR_REPOSITORY", &cloud.url);
    says(plain.env("NIGHTJAR_ENDPOINT", cloud.moto.endpoint()), 2, "give --allow-http");
    says(status().env("NIGHTJAR_REPOSITORY", "s3://"), 2, "it names no bucket");
}

/// Each has a cache of its own, as on machines of their own.
#[test]
fn twenty_hosts_write_at_once_and_see_what_the_others_wrote() {
    let cloud = Cloud::new();
    cloud.run(&format!("init {WEAK}")).done();
    let shared = noise(1, 2_000_000);
    let content = |host: u64| [shared.clone(), noise(100 + host, 500_000)].concat();
    let host = |host: u64, args: &str| {
        let run = cloud.run(args).env("NIGHTJAR_CACHE_DIR", cloud.sandbox.path(&format!("{host}")));
        run.args("--series").arg(format!("host-{host}")).stdin(content(host))
    };
    let running: Vec<Running> =
        (0..20).map(|number| host(number, "backup --stdin dump").start()).collect();
    for run in running {
        run.finish().exited(0);
    }
    let list = cloud.run("snapshot list").json();
    assert_eq!(list.as_array().unwrap().len(), 20);
    for number in 0..20 {
        let series = format!("restore latest --stdout --series host-{number}");
        cloud.run(&series).done().prints_bytes(&content(number));
    }
    cloud.run("snapshot verify --all --level data").done().prints("no damage found");
    // Any of them knows by now what any other stored.
    let first = |seed: u64| {
        let run = cloud.run("backup --stdin other --series other").stdin(content(seed));
        run.env("NIGHTJAR_CACHE_DIR", cloud.sandbox.path("3")).json()
    };
    assert_eq!(number(&first(17), "chunks_new"), 0);
}

/// A profile names a role, and another profile whose keys may assume it (AWS CLI User Guide, "Use
/// an IAM role").
#[test]
fn a_profile_may_name_a_role_that_sts_gives_keys_for() {
    let cloud = Cloud::new();
    let (key, secret) = (cloud.moto.access_key(), cloud.moto.secret_key());
    let keys = format!("[base]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    let keys = cloud.sandbox.write("credentials", keys);
    let profiles = "[profile backup]\nregion = us-east-1\nsource_profile = base\n\
                    role_arn = arn:aws:iam::123456789012:role/backup\n";
    let profiles = cloud.sandbox.write("config", profiles);
    let run = |args: &str, sts: &str| {
        let run = cloud.sandbox.nightjar(args).args("--allow-http");
        let run = run.env("NIGHTJAR_REPOSITORY", &cloud.url);
        let run = run.env("NIGHTJAR_ENDPOINT", cloud.moto.endpoint());
        let run = run.env("AWS_CONFIG_FILE", &profiles).env("AWS_PROFILE", "backup");
        run.env("AWS_SHARED_CREDENTIALS_FILE", &keys).env("AWS_ENDPOINT_URL_STS", sts)
    };
    let sts = cloud.moto.endpoint();
    run(&format!("init {WEAK}"), sts).done();
    let dump = noise(3, 300_000);
    run("backup --stdin a.sql", sts).stdin(dump.clone()).done();
    run("restore latest --stdout", sts).done().prints_bytes(&dump);
    // Without STS there are no keys, whatever the other profile has.
    run("status", "http://127.0.0.1:1").exits(1).says("credentials");
}
