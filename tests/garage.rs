//! The slower suite: a real cluster of Garage, which ignores conditional creation and loses a node
//! in the middle of a backup. `scripts/test-slow` installs Garage and runs this.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test panics when something is not as it should be"
)]

#[allow(dead_code, unused_imports, reason = "the other suite uses all of it")]
mod harness;

use std::path::PathBuf;

use harness::data::noise;
use harness::{Nightjar, Sandbox, WEAK, id_of, number, wait_until};
use nightjar_testservers::Garage;

struct Cluster {
    sandbox: Sandbox,
    garage: Garage,
    url: String,
}

impl Cluster {
    fn new() -> Self {
        let (sandbox, garage) = (Sandbox::without_repository(), Garage::start());
        let url = format!("s3://{}/backups/db", garage.new_bucket());
        Self { sandbox, garage, url }
    }

    /// By way of the first node.
    fn run(&self, args: &str) -> Nightjar {
        let run = self.sandbox.nightjar("--allow-http").args(args);
        let run = run.env("NIGHTJAR_REPOSITORY", &self.url);
        let run = run.env("NIGHTJAR_ENDPOINT", self.garage.endpoint(0));
        self.garage.variables().into_iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// A backup during which `node` is killed and started again: the dump comes in three parts, the
    /// second after the node was killed, the third after it was started.
    fn backup_around(&mut self, node: usize, series: &str, dump: &[u8]) -> harness::Outcome {
        let part = |index: usize| {
            let third = dump.len() / 3;
            let end = if index == 2 { dump.len() } else { (index + 1) * third };
            &dump[index * third..end]
        };
        for index in 0..3 {
            self.sandbox.write(&format!("part{index}"), part(index));
        }
        let sign = |name: &str| self.sandbox.path(&format!("{series}-{name}"));
        let [first, stopped, second, started] = ["first", "stopped", "second", "started"].map(sign);
        let wait = |path: &PathBuf| format!("until [ -e {} ]; do sleep 0.1; done", path.display());
        let file = |index: usize| self.sandbox.path(&format!("part{index}")).display().to_string();
        let script = [
            format!("cat {}; touch {}", file(0), first.display()),
            wait(&stopped),
            format!("cat {}; touch {}", file(1), second.display()),
            wait(&started),
            format!("cat {}", file(2)),
        ]
        .join("; ");
        let run = self.run("backup --name dump.sql --series").arg(series).shell(&script);
        let run = run.start();
        wait_until("the first part is read", || first.exists().then_some(()));
        self.garage.stop(node);
        std::fs::write(&stopped, "").unwrap();
        if node != 0 {
            // Without the node that it talks to, the backup can only wait.
            wait_until("the second part is read", || second.exists().then_some(()));
        }
        self.garage.start_again(node);
        std::fs::write(&started, "").unwrap();
        run.finish()
    }
}

#[test]
fn a_repository_on_garage_has_a_single_writer_and_says_so() {
    let cluster = Cluster::new();
    let init = cluster.run(&format!("init {WEAK}")).with_json().done();
    assert_eq!(init.json()["conditional_create"], false);
    init.says("single writer").says("key add");
    cluster.run("status").done().prints("one at a time");
    let doctor = cluster.run("doctor").json();
    assert_eq!(doctor["conditional_create"], false, "{doctor}");
    assert_eq!((number(&doctor, "failed"), number(&doctor, "damaged")), (0, 0), "{doctor}");
    // A second one is not made over the first.
    cluster.run(&format!("init {WEAK}")).exits(1).says("already holds");
    let dump = noise(1, 20_000_000);
    cluster.run("backup --stdin dump.sql").stdin(dump.clone()).done();
    let changed = [noise(2, 1_000_000), dump.clone()].concat();
    let second = cluster.run("backup --stdin dump.sql").stdin(changed.clone()).json();
    assert!(number(&second, "bytes_added") < 3_000_000, "{second}");
    cluster.run("restore latest --stdout").done().prints_bytes(&changed);
    cluster.run("snapshot verify --all --level data").done().prints("no damage found");
    cluster.run("snapshot forget --reason test").arg(id_of(&second)).done();
    let elsewhere = cluster.sandbox.path("elsewhere");
    let restored = cluster.run("restore latest --stdout").env("NIGHTJAR_CACHE_DIR", &elsewhere);
    restored.done().prints_bytes(&dump);
    cluster.run("snapshot verify --all --level data").done().prints("no damage found");
}

/// A node that the backup does not talk to: the two others go on.
#[test]
fn a_node_that_is_killed_and_comes_back_does_not_disturb_a_backup() {
    let mut cluster = Cluster::new();
    cluster.run(&format!("init {WEAK}")).done();
    let dump = noise(1, 60_000_000);
    cluster.backup_around(1, "first", &dump).exited(0);
    cluster.run("restore latest --stdout").done().prints_bytes(&dump);
    cluster.run("snapshot verify --all --level data").done().prints("no damage found");
    // The node that was away has what it missed, or asks for it: the others may go.
    cluster.garage.stop(2);
    let elsewhere = cluster.sandbox.path("elsewhere");
    let restored = cluster.run("restore latest --stdout").env("NIGHTJAR_CACHE_DIR", &elsewhere);
    restored.done().prints_bytes(&dump);
}

/// The node that the backup talks to: it asks again until the node is back.
#[test]
fn a_backup_waits_for_its_own_node_to_come_back() {
    let mut cluster = Cluster::new();
    cluster.run(&format!("init {WEAK}")).done();
    let earlier = noise(7, 5_000_000);
    cluster.run("backup --stdin dump.sql --series earlier").stdin(earlier.clone()).done();
    let dump = noise(1, 60_000_000);
    cluster.backup_around(0, "night", &dump).exited(0);
    cluster.run("restore latest --series night --stdout").done().prints_bytes(&dump);
    cluster.run("restore latest --series earlier --stdout").done().prints_bytes(&earlier);
    cluster.run("snapshot verify --all --level data").done().prints("no damage found");
}
