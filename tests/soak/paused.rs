//! Writers that are stopped in the middle, longer than collectors have patience with them, or not.

use std::fs;
use std::path::PathBuf;

use rustix::process::Signal;

use crate::harness::{Running, wait_until};
use crate::months::Months;
use crate::nights::Forgotten;

/// A writer that has read half of its dump.
struct Stopped {
    night: u64,
    writer: Running,
    /// The second half, which comes when the other file is there.
    half: PathBuf,
    go: PathBuf,
}

impl Months {
    /// Stops one writer before packs are condemned and one afterwards, both in the middle. What they
    /// found their dumps in is forgotten and collected meanwhile. If collectors are to take them for
    /// dead (`fenced`), they fail and say so; otherwise they succeed.
    pub(crate) fn stop_writers(&mut self, fenced: bool) {
        // Nobody waits for those who were killed.
        self.collect("0s");
        let series = self.rng.below(3);
        let other = (series + 1) % 3;
        let early = self.stop_a_writer(series);
        self.forget_newest(series);
        self.forget_newest(other);
        // What goes is condemned, and the first writer waited for.
        self.collect("1h");
        let late = self.stop_a_writer(other);
        if fenced {
            self.collect("0s");
        }
        self.let_go_on(early, fenced);
        // Nobody waits for the other, for it relies on nothing that was condemned.
        self.collect("1h");
        self.let_go_on(late, fenced);
    }

    fn stop_a_writer(&mut self, series: usize) -> Stopped {
        let (night, run) = self.backup(series);
        let at = |what: &str| self.sandbox.path(&format!("{what}-{night}"));
        let [half1, half2, begun, go] = ["half1", "half2", "begun", "go"].map(at);
        let bytes = fs::read(&self.series[series].path).unwrap();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        fs::write(&half1, first).unwrap();
        fs::write(&half2, second).unwrap();
        // It ends with the sandbox, whatever happens.
        let script = format!(
            "cat {half1}; touch {begun}; \
             while [ -e {half2} ] && [ ! -e {go} ]; do sleep 0.02; done; cat {half2}",
            half1 = half1.display(),
            half2 = half2.display(),
            begun = begun.display(),
            go = go.display(),
        );
        let run = run.args("--name").arg(self.series[series].name).shell(&script);
        let writer = run.start();
        wait_until("a backup has begun", || begun.exists().then_some(()));
        writer.signal(Signal::STOP);
        for path in [half1, begun] {
            fs::remove_file(path).unwrap();
        }
        Stopped { night, writer, half: half2, go }
    }

    fn let_go_on(&mut self, stopped: Stopped, fenced: bool) {
        let Stopped { night, writer, half, go } = stopped;
        writer.signal(Signal::CONT);
        fs::write(&go, b"").unwrap();
        let outcome = writer.finish();
        for path in [half, go] {
            fs::remove_file(path).unwrap();
        }
        assert_eq!(outcome.is_done(), !fenced, "fenced: {fenced}\n{outcome}");
        self.backed_up(night, outcome);
        if fenced {
            self.tally.count("writers fenced while they were stopped");
        }
    }

    fn collect(&mut self, timeout: &str) {
        let gc = self.with_full_slot("gc --max-unused 0% --session-timeout").arg(timeout).json();
        self.tally.collected(&gc);
    }

    /// Forgets the night that a run of today rests on most.
    fn forget_newest(&mut self, series: usize) {
        let newest = self.nights.newest(self.series[series].name);
        let Some(night) = newest.filter(|it| !self.nights.get(*it).held) else { return };
        let id = self.nights.get(night).id.clone();
        self.with_full_slot("snapshot forget --reason wrong").arg(id).done();
        self.nights.get_mut(night).forgotten = Forgotten::Yes;
        self.tally.count("nights forgotten");
    }
}
