//! Two writers at once, of content that resembles what the other stores.

use std::io::Read;
use std::sync::{Arc, Barrier};
use std::thread;

use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_testkit::chains::Chains;
use nightjar_testkit::edits::{grown, touched};
use nightjar_testkit::fixture::{Fixture, back_up_as, request};
use nightjar_testkit::generate::dump;
use nightjar_testkit::model::Model;

/// Every base of every delta is listed, and each step goes to a smaller depth.
fn assert_chains_end(fixture: &Fixture) {
    let chains = Chains::of(&fixture.open());
    let mut deltas = 0;
    for stored in chains.deltas() {
        deltas += 1;
        for base in stored.entry.encoding.bases() {
            let base = chains.places(base).first().unwrap_or_else(|| panic!("{base} is nowhere"));
            assert!(base.entry.encoding.depth() < stored.entry.encoding.depth());
        }
    }
    assert!(deltas > 20, "only {deltas} deltas");
}

/// A source that does something when half of it was read.
struct Interrupted<'a, F: FnMut()> {
    rest: &'a [u8],
    at: usize,
    then: Option<F>,
}

impl<F: FnMut()> Read for Interrupted<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.len() <= self.at
            && let Some(mut then) = self.then.take()
        {
            then();
        }
        let read = self.rest.read(buffer)?;
        Ok(read)
    }
}

#[test]
fn a_run_within_a_run_harms_neither() {
    let fixture = Fixture::new(131);
    let other = fixture.elsewhere();
    let mut model = Model::default();
    let mut bytes = dump(1, 600_000);
    for round in 0..6 {
        fixture.world.sleep_until_next_night();
        let (x, y) = (touched(&bytes, round), grown(&bytes, round));
        // The same in both, or crosswise: now one is first, now the other.
        let (outer, inner) = if round % 3 == 0 { (&x, &x) } else { (&x, &y) };
        let (first, second) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        let mut done: Option<SnapshotInfo> = None;
        let mut reader = Interrupted {
            rest: outer,
            at: outer.len() / 2,
            then: Some(|| {
                let run = back_up_as(&other.open(), &request(second), &mut inner.as_slice());
                done = Some(run.unwrap());
            }),
        };
        let info = back_up_as(&fixture.open(), &request(first), &mut reader).unwrap();
        model.insert(&info, outer);
        model.insert(&done.unwrap(), inner);
        model.check(&fixture.elsewhere().open(), None, &format!("round {round}"));
        bytes = if round % 2 == 0 { y } else { x };
    }
    assert_chains_end(&fixture);
    model.check(&fixture.open(), None, "at last, here");
    model.check(&other.open(), None, "at last, there");
}

/// Two threads store the same versions in opposite order, each in a series of its own.
fn race(seed: u64, same_machine: bool) {
    let fixture = Fixture::new(seed);
    let other = if same_machine { fixture.clone() } else { fixture.elsewhere() };
    let mut model = Model::default();
    let mut base = dump(seed, 300_000);
    for round in 0..4 {
        fixture.world.sleep_until_next_night();
        let versions: Vec<Vec<u8>> =
            (0..3).map(|number| touched(&base, 10 * round + number)).collect();
        let barrier = Arc::new(Barrier::new(2));
        let run = |fixture: Fixture, series: &'static str, versions: Vec<Vec<u8>>| {
            let barrier = Arc::clone(&barrier);
            thread::spawn(move || {
                let store = |bytes: Vec<u8>| {
                    barrier.wait();
                    let repository = fixture.open();
                    let made = back_up_as(&repository, &request(series), &mut bytes.as_slice());
                    (made.unwrap(), bytes)
                };
                versions.into_iter().map(store).collect::<Vec<_>>()
            })
        };
        let reversed = versions.iter().rev().cloned().collect();
        let threads = [run(fixture.clone(), "a", versions), run(other.clone(), "b", reversed)];
        for thread in threads {
            for (info, bytes) in thread.join().unwrap() {
                model.insert(&info, &bytes);
                base = bytes;
            }
        }
        model.check(&fixture.elsewhere().open(), None, &format!("round {round}"));
    }
    assert_chains_end(&fixture);
    model.check(&fixture.open(), None, "at last, here");
    model.check(&other.open(), None, "at last, there");
}

#[test]
fn writers_that_store_the_same_in_opposite_order_harm_neither() {
    race(132, false);
}

#[test]
fn writers_that_share_a_cache_directory_harm_neither() {
    race(133, true);
}
