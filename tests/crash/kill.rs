//! kill -9 at any moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::data::{self, Random, dump, noise};
use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{Nightjar, Sandbox, assert_same, files_below, id_of};

/// Kills a run at a moment that the seed chooses out of its usual duration. Whether it came
/// before the run's end.
fn kill_within(run: Nightjar, usual: Duration, random: &mut Random) -> bool {
    let mut running = run.start();
    let thousandths = u32::try_from(random.below(1000)).unwrap();
    sleep(usual * thousandths / 1000);
    let in_time = !running.has_ended();
    if in_time {
        running.signal(Signal::KILL);
    }
    drop(running.finish());
    in_time
}

fn init() -> Sandbox {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    sandbox
}

fn create(sandbox: &Sandbox, stream: &Path) -> Nightjar {
    sandbox.nightjar("snapshot create --name dump.sql -- cat").arg(stream)
}

/// Everything verifies, every snapshot that was reported is there, and any other is whole, too: a
/// run may be killed between its commit and its report.
fn assert_sound(sandbox: &Sandbox, reported: &BTreeMap<String, &[u8]>, under_way: &[u8]) {
    sandbox.assert_verifies();
    let listed: Vec<String> = sandbox.snapshots().iter().map(id_of).collect();
    for id in reported.keys() {
        assert!(listed.contains(id), "{id} was reported and is lost");
    }
    for id in listed {
        assert_same(&sandbox.stream(&id), reported.get(&id).copied().unwrap_or(under_way));
    }
}

#[test]
fn a_backup_that_is_killed_at_any_moment_harms_nothing() {
    const KILLS: usize = 25;
    let sandbox = init();
    let mut random = Random::new(8);
    let half = 30 << 20;
    let nights = [
        [noise(1, half), dump(1, 300_000)].concat(),
        [noise(1, half / 2), noise(2, half / 2), dump(2, 300_000)].concat(),
    ];
    let mut reported: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut killed = 0;
    for night in &nights {
        let stream = sandbox.write("stream", night);
        let mut usual = duration_of(&stream, &reported);
        for kill in 0..KILLS.div_ceil(2) {
            if kill_within(create(&sandbox, &stream), usual, &mut random) {
                killed += 1;
            } else {
                // It was measured while the machine was busier: aim earlier.
                usual = usual * 2 / 3;
            }
            sandbox.assert_verifies();
            // Restoring it all takes longest and differs least.
            if kill % 5 == 4 {
                assert_sound(&sandbox, &reported, night);
            }
        }
        let id = id_of(&create_json(&sandbox, &stream));
        reported.insert(id, night);
        assert_sound(&sandbox, &reported, night);
        // Some may have been killed after they had committed: from now on they stay, too.
        for snapshot in sandbox.snapshots() {
            reported.entry(id_of(&snapshot)).or_insert(night);
        }
    }
    assert!(killed >= KILLS * 2 / 3, "only {killed} runs were killed before they ended");
}

fn create_json(sandbox: &Sandbox, stream: &Path) -> serde_json::Value {
    sandbox.nightjar("snapshot create --json --name dump.sql -- cat").arg(stream).done().json()
}

/// How long a run takes that has as much to store; in a repository of its own.
fn duration_of(stream: &Path, reported: &BTreeMap<String, &[u8]>) -> Duration {
    let sandbox = init();
    if let Some(night) = reported.values().next() {
        sandbox.store("dump.sql", night);
    }
    let start = Instant::now();
    create(&sandbox, stream).done();
    start.elapsed()
}

/// Files under their final names, and those under temporary ones.
fn restored(directory: &Path) -> (Vec<PathBuf>, usize) {
    if !directory.exists() {
        return (vec![], 0);
    }
    let (temporary, finished): (Vec<_>, Vec<_>) = files_below(directory)
        .into_iter()
        .partition(|path| path.file_name().unwrap().to_string_lossy().starts_with(".nightjar-"));
    (finished, temporary.len())
}

#[test]
fn a_restore_that_is_killed_leaves_no_half_written_file_under_its_name() {
    let sandbox = init();
    let files: BTreeMap<String, Vec<u8>> = (0..6)
        .map(|seed| (format!("{seed}.sql"), [dump(seed, 80_000), noise(seed, 4 << 20)].concat()))
        .collect();
    std::fs::create_dir(sandbox.path("tree")).unwrap();
    for (name, bytes) in &files {
        sandbox.write(&format!("tree/{name}"), bytes);
    }
    sandbox.nightjar("snapshot create").source(sandbox.path("tree")).done();
    let original = read(&sandbox.path("tree"));
    let to = sandbox.path("to");
    let restore = || sandbox.nightjar("snapshot restore latest --overwrite always --to").arg(&to);
    let start = Instant::now();
    restore().done();
    let usual = start.elapsed();
    let mut random = data::Random::new(9);
    let (mut halfway, mut left_over) = (0, 0);
    for _ in 0..12 {
        std::fs::remove_dir_all(&to).unwrap();
        kill_within(restore(), usual, &mut random);
        let (finished, temporary) = restored(&to);
        for path in &finished {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert_same(&std::fs::read(path).unwrap(), &files[&name]);
        }
        halfway += usize::from(finished.len() < files.len());
        left_over += temporary;
        restore().done();
        assert_same_trees(&read(&to.join("tree")), &original);
    }
    assert!(halfway >= 4, "only {halfway} restores were killed on the way");
    assert!(left_over >= 1, "no restore was killed while it wrote a file");
}
