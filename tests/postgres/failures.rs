//! `pg_dump` fails: there is no snapshot, and its own words say why.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::server::Server;
use super::shop;
use crate::harness::{Nightjar, Outcome, Running, Sandbox, wait_until};

fn dump(sandbox: &Sandbox, server: &Server, database: &str) -> Nightjar {
    let run = sandbox.nightjar("backup --name shop.sql -- pg_dump").arg(database);
    server.reachable_for(run)
}

/// Starts a backup of `shop` and stops both sides in the middle of the dump: `nightjar` is
/// halted, so `pg_dump` fills the pipe and waits. Returns the two.
fn half_way(sandbox: &Sandbox, server: &Server) -> (Running, Pid) {
    let nightjar = dump(sandbox, server, "shop").start();
    let pg_dump = wait_until("pg_dump runs", || child_named("pg_dump", nightjar.pid()));
    wait_until("pg_dump has written something", || {
        let io = fs::read_to_string(format!("/proc/{}/io", pg_dump.as_raw_nonzero())).ok()?;
        let written =
            io.lines().find_map(|line| line.strip_prefix("wchar: "))?.parse::<u64>().ok()?;
        (written > 100_000).then_some(())
    });
    nightjar.signal(Signal::STOP);
    sleep(Duration::from_millis(300));
    assert!(child_named("pg_dump", nightjar.pid()).is_some(), "the dump was over too soon");
    (nightjar, pg_dump)
}

/// The child of this name.
fn child_named(name: &str, parent: Pid) -> Option<Pid> {
    fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let (pid, its_name) = before.split_once(" (")?;
        let mut fields = after.split(' ');
        let (state, its_parent) = (fields.next()?, fields.next()?);
        let alive = !matches!(state, "Z" | "X");
        let fits = alive && its_name == name && its_parent == parent.as_raw_nonzero().to_string();
        if fits { Pid::from_raw(pid.parse().ok()?) } else { None }
    })
}

#[track_caller]
fn assert_no_snapshot(sandbox: &Sandbox, outcome: Outcome) -> Outcome {
    assert!(sandbox.snapshots().is_empty(), "a snapshot was made\n{outcome}");
    outcome
}

#[test]
fn a_pg_dump_that_cannot_connect_leaves_no_snapshot() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    let outcome = dump(&sandbox, &server, "no_such_database").exits(1);
    assert_no_snapshot(&sandbox, outcome)
        .prints_nothing()
        .says("pg_dump failed with exit status 1")
        .says("database \"no_such_database\" does not exist")
        .says("no snapshot");
}

#[test]
fn a_pg_dump_whose_connection_breaks_midway_leaves_no_snapshot() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    shop::open(&server);
    let (nightjar, _) = half_way(&sandbox, &server);
    server.sql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'",
    );
    nightjar.signal(Signal::CONT);
    let outcome = nightjar.finish().exited(1);
    assert_no_snapshot(&sandbox, outcome).says("pg_dump: error").says("no snapshot");
    dump(&sandbox, &server, "shop").done();
    sandbox.assert_verifies();
}

#[test]
fn a_pg_dump_that_is_killed_midway_leaves_no_snapshot() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    shop::open(&server);
    let (nightjar, pg_dump) = half_way(&sandbox, &server);
    kill_process(pg_dump, Signal::KILL).unwrap();
    nightjar.signal(Signal::CONT);
    let outcome = nightjar.finish().exited(1);
    assert_no_snapshot(&sandbox, outcome).says("was killed by signal 9").says("no snapshot");
    dump(&sandbox, &server, "shop").done();
    sandbox.assert_verifies();
}

#[test]
fn a_psql_that_stops_at_an_error_fails_the_restore() {
    let (server, sandbox) = (Server::start(), Sandbox::new());
    server.create_database("target");
    let broken = "CREATE TABLE a (id integer);\nINSERT INTO missing VALUES (1);\n";
    sandbox.store("broken.sql", broken.as_bytes());
    let run = sandbox.nightjar("restore latest -- psql --no-psqlrc -v ON_ERROR_STOP=1 target");
    server.reachable_for(run).exits(1).says("psql failed with exit status 3");
}
