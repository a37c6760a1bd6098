//! Two nights of a whole cluster, as the tar of `pg_basebackup`: each comes back as a cluster that
//! starts and holds what it held.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::server::Server;
use super::shop;
use crate::harness::{Sandbox, id_of, number};

/// Stores the cluster. The log written meanwhile comes with it: so it is complete by itself.
#[track_caller]
fn store(sandbox: &Sandbox, server: &Server) -> Value {
    let base_backup = "-- pg_basebackup -Ft -X fetch --checkpoint=fast -D -";
    let run = sandbox.nightjar("--json backup --tar --name cluster.tar").args(base_backup);
    server.reachable_for(run).done().json()
}

#[test]
fn both_nights_of_a_cluster_start_again() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    shop::open(&server);
    let first_state = shop::fingerprint(&server, "shop");
    let first = store(&sandbox, &server);
    shop::change(&server);
    let second_state = shop::fingerprint(&server, "shop");
    let second = store(&sandbox, &server);
    assert_ne!(first_state, second_state, "the day changed nothing");
    for night in [&first, &second] {
        assert!(number(night, "files") > 900, "{night}");
        assert_eq!(number(night, "unreadable"), 0, "{night}");
    }
    let (whole, changes) = (number(&first, "bytes_added"), number(&second, "bytes_added"));
    assert!(changes < whole / 3, "a day's changes took {changes} bytes, the whole cluster {whole}");
    drop(server);

    for (night, state) in [(&first, first_state), (&second, second_state)] {
        let again = Server::start_from(|data| {
            sandbox.nightjar("restore").arg(id_of(night)).args("--to").arg(data).done();
        });
        assert_eq!(shop::fingerprint(&again, "shop"), state);
    }
    sandbox.assert_verifies();
}

#[test]
fn a_cluster_comes_back_as_a_tar_of_the_same_members() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    let plain = sandbox.path("plain.tar");
    let base_backup = "pg_basebackup -Ft -X none --checkpoint=fast -D - | tee ";
    let script = format!("set -o pipefail; {base_backup}{}", plain.display());
    let run = sandbox.nightjar("backup --tar --name cluster.tar -- bash -c").arg(script);
    server.reachable_for(run).done();
    let written = sandbox.nightjar("restore latest --tar --stdout").done().stdout;
    let written = sandbox.write("written.tar", written);
    let list = |path: &Path| {
        let output = Command::new("tar").arg("--full-time").arg("-tvf").arg(path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(|line| words(line).replace(" ./", " ")).collect::<BTreeSet<_>>()
    };
    let (plain, written) = (list(&plain), list(&written));
    assert!(plain.len() > 900, "{} members", plain.len());
    let other: Vec<_> = written.symmetric_difference(&plain).collect();
    assert!(other.is_empty(), "these differ: {other:#?}");
}
