//! Moto takes what our stores ask of S3.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod promises;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nightjar_testservers::Moto;
use object_store::aws::{AmazonS3, AmazonS3Builder};

fn store(moto: &Moto) -> AmazonS3 {
    AmazonS3Builder::new()
        .with_endpoint(moto.endpoint())
        .with_allow_http(true)
        .with_region(moto.region())
        .with_access_key_id(moto.access_key())
        .with_secret_access_key(moto.secret_key())
        .with_bucket_name(moto.new_bucket())
        .build()
        .unwrap()
}

#[tokio::test]
async fn moto_keeps_what_a_store_promises() {
    let moto = Moto::start();
    promises::hold(&store(&moto)).await;
}

#[test]
fn moto_is_gone_after_drop() {
    let moto = Moto::start();
    let endpoint = moto.endpoint().to_owned();
    drop(moto);
    assert!(!promises::takes_connections(&endpoint));
}

/// Set where a test runs only to be killed.
const TO_BE_KILLED: &str = "NIGHTJAR_TEST_TO_BE_KILLED";

#[test]
#[expect(clippy::disallowed_methods, reason = "a test tells itself in a variable what it is for")]
fn servers_end_with_a_test_that_is_killed() {
    if std::env::var_os(TO_BE_KILLED).is_some() {
        let moto = Moto::start();
        eprintln!("\nat {}", moto.endpoint());
        return std::thread::sleep(Duration::from_secs(600));
    }
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "servers_end_with_a_test_that_is_killed"])
        .env(TO_BE_KILLED, "")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(test.stderr.take().unwrap()).lines().map_while(Result::ok);
    let endpoint = lines.find_map(|line| Some(line.strip_prefix("at ")?.to_owned())).unwrap();
    assert!(promises::takes_connections(&endpoint));
    test.kill().unwrap();
    test.wait().unwrap();
    let start = Instant::now();
    while promises::takes_connections(&endpoint) {
        assert!(start.elapsed() < Duration::from_secs(30), "{endpoint} still answers");
        std::thread::sleep(Duration::from_millis(10));
    }
}
