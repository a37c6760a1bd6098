//! A writer that is stopped in the middle, longer than collectors have patience with it, or not.

use std::fs;

use rustix::process::Signal;

use crate::harness::wait_until;
use crate::months::Months;
use crate::nights::{Forgotten, There};

impl Months {
    /// Stops a writer that has read half of its dump, lets others forget what that was found in and
    /// collect, and lets it go on. If a collector is to take it for dead (`fenced`), it fails and
    /// says so; otherwise it succeeds.
    pub(crate) fn stop_a_writer(&mut self, fenced: bool) {
        let series = self.rng.below(3);
        let (begun, go) = (self.sandbox.path("begun"), self.sandbox.path("go"));
        for path in [&begun, &go] {
            drop(fs::remove_file(path));
        }
        let bytes = fs::read(&self.series[series].path).unwrap();
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let halves = [self.sandbox.write("half1", first), self.sandbox.write("half2", second)];
        let [half1, half2, begun_text, go_text] =
            [&halves[0], &halves[1], &begun, &go].map(|path| path.display().to_string());
        // It ends with the sandbox, whatever happens.
        let script = format!(
            "cat {half1}; touch {begun_text}; \
             while [ -e {half2} ] && [ ! -e {go_text} ]; do sleep 0.02; done; cat {half2}"
        );
        let (night, run) = self.backup(series);
        let run = run.args("--name").arg(self.series[series].name).shell(&script);
        let writer = run.start();
        wait_until("a backup has begun", || begun.exists().then_some(()));
        writer.signal(Signal::STOP);
        let timeout = if fenced { "--session-timeout 0s" } else { "--session-timeout 1h" };
        self.forget_newest(series);
        for _ in 0..2 {
            let gc = self.with_full_slot("gc --max-unused 0%").args(timeout).json();
            self.tally.collected(&gc);
        }
        writer.signal(Signal::CONT);
        self.sandbox.write("go", b"");
        let outcome = writer.finish();
        assert_eq!(outcome.is_done(), !fenced, "fenced: {fenced}\n{outcome}");
        self.backed_up(night, outcome);
        assert_eq!(self.nights.get(night).there == There::No, fenced);
        if fenced {
            self.tally.count("writers fenced while they were stopped");
        }
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
