//! The power fails between any two system calls.
//!
//! A run is recorded under strace; [`trace`] reads the log, [`disk`] plays it on a model of a file
//! system that keeps what `fsync` promises and nothing else: a file's bytes after `fsync` of the
//! file, a name after `fsync` of its directory. At every moment at which the model's promise
//! changes, the least that may be left is written out, and some of what chance may leave beyond
//! it, and the program is asked what it finds there (ALICE: Pillai et al., OSDI 2014).

mod disk;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::harness::data::{Random, dump, noise};
use crate::harness::{Sandbox, assert_same, id_of};

use disk::{Disk, Image};
use trace::Step;

/// States with something left to chance, of one run.
const RANDOM_STATES: usize = 24;

/// A state in which the power may have failed.
struct State {
    image: Image,
    /// The run had told its user that it was done.
    reported: bool,
    /// Which cut, for messages.
    when: String,
}

/// Runs a command on a sandbox's repository and returns every state that a power cut may leave.
fn record(sandbox: &Sandbox, args: &str, stdin: &[u8]) -> (Vec<State>, Vec<u8>) {
    let repository = sandbox.repository();
    let before = Image::read(&repository);
    let log = sandbox.path("strace.log");
    let run = sandbox.nightjar(args).through(&trace::command(&log)).stdin(stdin).done();
    let steps = trace::read(&fs::read_to_string(&log).unwrap(), &repository);
    assert_syncs_matter(&before, &steps);
    let mut disk = Disk::new(before);
    let mut random = Random::new(17);
    let (mut states, mut seen) = (Vec::new(), BTreeSet::new());
    let mut add = |state: State| {
        if seen.insert((state.image.fingerprint(), state.reported)) {
            states.push(state);
        }
    };
    let chance = steps.len().div_ceil(RANDOM_STATES).max(1);
    for (number, step) in steps.iter().enumerate() {
        disk.apply(step);
        let reported = disk.reported();
        let when = format!("after step {number}, {step:?}");
        add(State { image: disk.least(), reported, when: format!("{when}, least") });
        if number % chance == 0 {
            let image = disk.by_chance(&mut random);
            add(State { image, reported, when: format!("{when}, by chance") });
        }
    }
    assert!(disk.reported(), "the run's report is not in the trace");
    assert!(states.len() >= 6, "{} states are too few to mean anything", states.len());
    // The model agrees with the disk about the end, or it models something else.
    assert_eq!(disk.present().names(), Image::read(&repository).names());
    assert_eq!(disk.present().fingerprint(), Image::read(&repository).fingerprint());
    (states, run.stdout)
}

/// On a program that never syncs, the model loses the whole run: it can tell the difference.
fn assert_syncs_matter(before: &Image, steps: &[Step]) {
    let mut disk = Disk::new(before.clone());
    let syncs = |step: &&Step| matches!(step, Step::SyncBegins(..) | Step::SyncEnds(_));
    steps.iter().filter(|step| !syncs(step)).for_each(|step| disk.apply(step));
    assert_eq!(disk.least().fingerprint(), before.fingerprint());
}

/// Everything about the repository in a state, seen by a machine that has never seen it.
fn look(state: &State) -> (Sandbox, BTreeMap<String, Vec<u8>>) {
    let after = Sandbox::without_repository();
    state.image.write(&after.repository());
    let run = after.nightjar("snapshot verify --all --level data").run();
    assert!(run.is_done(), "{}\n{run}", state.when);
    let snapshots = after.snapshots();
    let streams = snapshots.iter().map(id_of).map(|id| (id.clone(), after.stream(&id))).collect();
    (after, streams)
}

fn repository_with(streams: &[&[u8]]) -> (Sandbox, BTreeMap<String, Vec<u8>>) {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --pack-size 1MiB --argon2-memory 1MiB").done();
    let snapshots =
        streams.iter().map(|stream| (sandbox.store("dump.sql", stream), stream.to_vec())).collect();
    (sandbox, snapshots)
}

/// A night on top of others: in every state those are whole, and so is this one once it was
/// reported.
fn cut_a_night(earlier: &[&[u8]], tonight: &[u8]) {
    let (sandbox, before) = repository_with(earlier);
    let create = "--json snapshot create --stdin dump.sql";
    let (states, stdout) = record(&sandbox, create, tonight);
    let id = id_of(&serde_json::from_slice(&stdout).unwrap());
    let mut with_it = 0;
    for state in &states {
        let (_, mut found) = look(state);
        for (id, bytes) in &before {
            let stream = found.remove(id);
            let stream = stream.unwrap_or_else(|| panic!("{}: lost {id}", state.when));
            assert_same(&stream, bytes);
        }
        match found.remove(&id) {
            Some(stream) => {
                assert_same(&stream, tonight);
                with_it += 1;
            }
            None => assert!(!state.reported, "{}: reported and lost", state.when),
        }
        assert!(found.is_empty(), "{}: {:?} was never made", state.when, found.keys());
    }
    assert!(with_it > 0 && with_it < states.len(), "{with_it} of {} states", states.len());
    // The next run works in what is left, wherever the cut came.
    for state in states.iter().step_by(states.len().div_ceil(6)) {
        let (after, _) = look(state);
        let next = after.store("dump.sql", tonight);
        assert_same(&after.stream(&next), tonight);
        after.assert_verifies();
    }
}

#[test]
fn a_first_night_survives_a_power_cut_once_it_is_reported() {
    cut_a_night(&[], &[noise(1, 2_200_000), dump(1, 5_000)].concat());
}

#[test]
fn a_second_night_survives_a_power_cut_once_it_is_reported() {
    let first = [noise(1, 1_200_000), dump(1, 5_000)].concat();
    let second = [noise(1, 1_200_000), noise(2, 1_100_000)].concat();
    cut_a_night(&[&first], &second);
}

#[test]
fn a_forget_survives_a_power_cut_once_it_is_reported() {
    let (first, second) = (noise(1, 300_000), noise(2, 300_000));
    let (sandbox, before) = repository_with(&[&first, &second]);
    let id = before.iter().find(|(_, bytes)| **bytes == first).unwrap().0.clone();
    let forget = format!("--json snapshot forget --reason test {id}");
    let (states, _) = record(&sandbox, &forget, b"");
    for state in &states {
        let (_, mut found) = look(state);
        if let Some(stream) = found.remove(&id) {
            assert!(!state.reported, "{}: forgotten, and there again", state.when);
            assert_same(&stream, &first);
        }
        assert_eq!(found.len(), 1, "{}: {:?}", state.when, found.keys());
        assert_same(found.values().next().unwrap(), &second);
    }
}

/// What the model of the disk itself must do.
#[test]
fn the_model_keeps_what_was_synced_and_nothing_else() {
    let log = "\
7 mkdir(\"/r/packs\", 0777) = 0
7 openat(AT_FDCWD</>, \"/r/packs/a#1\", O_RDWR|O_CREAT|O_EXCL, 0666) = 3</r/packs/a#1>
7 write(3</r/packs/a#1>, \"\\x01\\x02\", 2) = 2
7 fsync(3</r/packs/a#1> <unfinished ...>
8 write(1</o/out>, \"done\", 4) = 4
7 <... fsync resumed>) = 0
7 rename(\"/r/packs/a#1\", \"/r/packs/a\") = 0
7 fsync(4</r/packs>) = 0
7 fsync(5</r>) = 0
7 linkat(AT_FDCWD</>, \"/r/packs/a\", AT_FDCWD</>, \"/r/packs/b\", 0) = 0
7 unlink(\"/r/packs/a\") = 0
";
    let steps = trace::read(log, Path::new("/r"));
    let mut disk = Disk::new(Image::default());
    let mut least = Vec::new();
    for step in &steps {
        disk.apply(step);
        least.push((disk.least().names(), disk.reported()));
    }
    let (nothing, both) = (Vec::<String>::new(), vec!["packs".to_owned(), "packs/a".to_owned()]);
    assert_eq!(least.last().unwrap(), &(both.clone(), true));
    assert_eq!(disk.present().names(), ["packs", "packs/b"]);
    // Before the root was synced, nothing is promised, although all below it was.
    let first_with = least.iter().position(|(names, _)| *names == both).unwrap();
    assert!(least[..first_with].iter().all(|(names, _)| *names == nothing), "{least:?}");
    assert_eq!(disk.least().file("packs/a"), Some(&[1, 2][..]));
}
