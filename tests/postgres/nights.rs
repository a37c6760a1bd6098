//! Two nights of a database, in every format that `pg_dump` writes: each restores to the state
//! of its night.

use std::fs;

use serde_json::Value;

use super::server::Server;
use super::shop;
use crate::harness::{Nightjar, Sandbox};

/// A server and a repository, and what the database held in each night.
struct Nights {
    server: Server,
    sandbox: Sandbox,
    states: [String; 2],
    snapshots: [Value; 2],
    warnings: [String; 2],
}

impl Nights {
    /// Stores the database in both nights with what `store` makes of the program.
    fn store(store: impl Fn(&Sandbox, &Server) -> Nightjar) -> Self {
        let (server, sandbox) = (Server::start(), Sandbox::new());
        shop::open(&server);
        let night = || {
            let state = shop::fingerprint(&server, "shop");
            let outcome = server.reachable_for(store(&sandbox, &server)).with_json().done();
            (state, outcome.json(), outcome.stderr)
        };
        let (first_state, first, first_warnings) = night();
        shop::change(&server);
        let (second_state, second, second_warnings) = night();
        assert_ne!(first_state, second_state, "the day changed nothing");
        Self {
            server,
            sandbox,
            states: [first_state, second_state],
            snapshots: [first, second],
            warnings: [first_warnings, second_warnings],
        }
    }

    fn id(&self, night: usize) -> &str {
        self.snapshots[night]["id"].as_str().unwrap()
    }

    /// Restores both nights into new databases with what `restore` does, which is given the
    /// snapshot and the database, and compares their contents.
    #[track_caller]
    fn assert_both_restore(&self, restore: impl Fn(&str, &str)) {
        // The newest as `latest`: nobody looks up ids at three in the morning.
        for (id, database, state) in
            [(self.id(0), "restored_1", &self.states[0]), ("latest", "restored_2", &self.states[1])]
        {
            self.server.create_database(database);
            restore(id, database);
            assert_eq!(&shop::fingerprint(&self.server, database), state, "{database}");
        }
        self.sandbox.assert_verifies();
    }

    fn restore(&self, snapshot: &str) -> Nightjar {
        let run = self.sandbox.nightjar("restore").arg(snapshot);
        self.server.reachable_for(run)
    }

    fn added(&self, night: usize) -> u64 {
        self.snapshots[night]["bytes_added"].as_u64().unwrap()
    }
}

#[test]
fn plain_dumps_restore_the_database_of_their_night() {
    let nights = Nights::store(|sandbox, _| {
        sandbox.nightjar("backup --name shop.sql -- pg_dump --dbname=shop")
    });
    for warnings in &nights.warnings {
        assert!(!warnings.contains("-Z0"), "a plain dump needs no advice: {warnings}");
    }
    nights.assert_both_restore(|snapshot, database| {
        let psql = "-- psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --dbname";
        nights.restore(snapshot).args(psql).arg(database).done();
    });
    let (first, second) = (nights.added(0), nights.added(1));
    assert!(second < first / 3, "a day's changes took {second} bytes, the whole database {first}");
}

#[test]
fn custom_uncompressed_dumps_restore_the_database_of_their_night() {
    let nights = Nights::store(|sandbox, _| {
        sandbox.nightjar("backup --name shop.dump -- pg_dump -Fc -Z0 --dbname=shop")
    });
    for warnings in &nights.warnings {
        assert!(!warnings.contains("-Z0"), "the dump is uncompressed already: {warnings}");
    }
    nights.assert_both_restore(|snapshot, database| {
        let pg_restore = "-- pg_restore --exit-on-error --dbname";
        nights.restore(snapshot).args(pg_restore).arg(database).done();
    });
    let (first, second) = (nights.added(0), nights.added(1));
    assert!(second < first / 3, "a day's changes took {second} bytes, the whole database {first}");
}

#[test]
fn custom_compressed_dumps_are_stored_with_advice_and_restore_the_database_of_their_night() {
    let nights = Nights::store(|sandbox, _| {
        sandbox.nightjar("backup --name shop.dump -- pg_dump -Fc --dbname=shop")
    });
    for warnings in &nights.warnings {
        assert_eq!(warnings.matches("-Z0").count(), 1, "once, and no more: {warnings}");
    }
    nights.assert_both_restore(|snapshot, database| {
        let directory = nights.sandbox.path(database);
        nights.restore(snapshot).args("--to").arg(&directory).done();
        let dump = directory.join("shop.dump");
        let dump = dump.to_str().unwrap();
        nights
            .server
            .run("pg_restore", &["--exit-on-error", "--jobs=2", "--dbname", database, dump]);
    });
}

#[test]
fn directory_dumps_restore_the_database_of_their_night() {
    let nights = Nights::store(|sandbox, server| {
        let directory = sandbox.path("shop");
        let _ = fs::remove_dir_all(&directory);
        let target = directory.to_str().unwrap();
        server.run("pg_dump", &["-Fd", "-Z0", "--jobs=2", "--file", target, "--dbname=shop"]);
        sandbox.nightjar("backup").source(&directory)
    });
    for warnings in &nights.warnings {
        assert!(!warnings.contains("-Z0"), "the dump is uncompressed already: {warnings}");
    }
    nights.assert_both_restore(|snapshot, database| {
        let directory = nights.sandbox.path(database);
        nights.restore(snapshot).args("--to").arg(&directory).done();
        let dump = directory.join("shop");
        let dump = dump.to_str().unwrap();
        nights
            .server
            .run("pg_restore", &["--exit-on-error", "--jobs=2", "--dbname", database, dump]);
    });
    let (first, second) = (nights.added(0), nights.added(1));
    assert!(second < first / 2, "a day's changes took {second} bytes, the whole database {first}");
}

#[test]
fn compressed_directory_dumps_are_stored_with_advice() {
    let nights = Nights::store(|sandbox, server| {
        let directory = sandbox.path("shop");
        let _ = fs::remove_dir_all(&directory);
        let target = directory.to_str().unwrap();
        server.run("pg_dump", &["-Fd", "--file", target, "--dbname=shop"]);
        sandbox.nightjar("backup").source(&directory)
    });
    for warnings in &nights.warnings {
        assert_eq!(warnings.matches("-Z0").count(), 1, "once, and no more: {warnings}");
    }
    nights.assert_both_restore(|snapshot, database| {
        let directory = nights.sandbox.path(database);
        nights.restore(snapshot).args("--to").arg(&directory).done();
        let dump = directory.join("shop");
        let dump = dump.to_str().unwrap();
        nights.server.run("pg_restore", &["--exit-on-error", "--dbname", database, dump]);
    });
}
