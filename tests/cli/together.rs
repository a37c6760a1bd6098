//! Several processes on one host at the same time, with the same cache.

use std::fs;

use crate::harness::{Nightjar, Running, Sandbox, assert_same, data, id_of, wait_until};

/// Starts a backup whose command says that it runs, waits to be let go, and then prints a file.
fn start_waiting(sandbox: &Sandbox, name: &str, content: &[u8]) -> Running {
    let source = sandbox.write(&format!("{name}.source"), content);
    let (started, go) = (sandbox.path(&format!("{name}.started")), sandbox.path("go"));
    let script = format!(
        "touch '{}'; while [ ! -e '{}' ]; do sleep 0.02; done; cat '{}'",
        started.display(),
        go.display(),
        source.display()
    );
    let run = sandbox.nightjar("backup --name").arg(name).with_json().shell(&script);
    let running = run.start();
    wait_until("the backup runs its command", || started.exists().then_some(()));
    running
}

fn let_go(sandbox: &Sandbox) {
    sandbox.write("go", "");
}

#[test]
fn two_backups_at_once_both_succeed_and_both_restore() {
    let sandbox = Sandbox::new();
    let common = data::dump(1, 100_000);
    let streams = [3, 4].map(|seed| [common.as_slice(), &data::noise(seed, 5_000_000)].concat());
    let runs =
        [start_waiting(&sandbox, "one", &streams[0]), start_waiting(&sandbox, "two", &streams[1])];
    assert_eq!(sandbox.nightjar("status").json()["sessions"].as_array().unwrap().len(), 2);
    let_go(&sandbox);
    let ids = runs.map(|run| id_of(&run.finish().exited(0).json()));
    for (id, stream) in ids.iter().zip(&streams) {
        assert_same(&sandbox.stream(id), stream);
    }
    assert_eq!(sandbox.nightjar("status").json()["sessions"].as_array().unwrap().len(), 0);
    sandbox.assert_verifies();
    // What both stored is known to the next.
    let again = sandbox.nightjar("backup --stdin three").stdin(common).json();
    assert!(again["chunks_new"].as_u64().unwrap() <= 1, "{again}");
}

#[test]
fn two_backups_of_one_series_at_once_are_two_snapshots() {
    let sandbox = Sandbox::new();
    sandbox.write("go", "");
    let run = |content: &str| {
        let run = sandbox.nightjar("backup --series s --stdin d").stdin(content).with_json();
        run.start()
    };
    let runs = ["first", "second", "third", "fourth"].map(|content| (content, run(content)));
    for (content, run) in runs {
        let id = id_of(&run.finish().exited(0).json());
        assert_same(&sandbox.stream(&id), content.as_bytes());
    }
    assert_eq!(sandbox.snapshots().len(), 4);
    sandbox.assert_verifies();
}

#[test]
fn everything_else_works_beside_two_backups() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let streams = [1, 2].map(|seed| [data::noise(seed, 10_000_000), dump.clone()].concat());
    let mut runs =
        [start_waiting(&sandbox, "one", &streams[0]), start_waiting(&sandbox, "two", &streams[1])];
    let look = || {
        sandbox.assert_verifies();
        assert_same(&sandbox.stream(&first), &dump);
        sandbox.nightjar("index rebuild").done();
        sandbox.nightjar("snapshot list").done();
        sandbox.nightjar("status").done();
    };
    look();
    let_go(&sandbox);
    while !runs.iter_mut().all(Running::has_ended) {
        look();
    }
    for (run, stream) in runs.into_iter().zip(&streams) {
        let id = id_of(&run.finish().exited(0).json());
        assert_same(&sandbox.stream(&id), stream);
    }
    sandbox.assert_verifies();
}

#[test]
fn a_snapshot_forgotten_beside_a_running_backup_harms_it_not() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    // It shares everything with the snapshot that goes.
    let running = start_waiting(&sandbox, "one", &dump);
    sandbox.nightjar("snapshot forget --reason test").arg(&first).done();
    let_go(&sandbox);
    let id = id_of(&running.finish().exited(0).json());
    assert_same(&sandbox.stream(&id), &dump);
    sandbox.assert_verifies();
}

#[test]
fn restores_at_once_do_not_disturb_each_other() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    fs::remove_dir_all(sandbox.cache()).unwrap();
    let run = || -> Nightjar { sandbox.nightjar("restore --stdout").arg(&id) };
    let runs: Vec<Running> = (0..4).map(|_| run().start()).collect();
    for run in runs {
        run.finish().exited(0).prints_bytes(&dump);
    }
}
