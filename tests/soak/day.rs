//! A day: processes side by side, some of which are killed at a random moment.

use std::collections::BTreeMap;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::harness::{Nightjar, Outcome, id_of};
use crate::months::Months;
use crate::nights::{Forgotten, There};

/// How long runs of a kind take that nobody kills.
pub(crate) type Usual = BTreeMap<&'static str, Duration>;

/// What a process is to do.
#[derive(Debug)]
enum Job {
    /// Store a night.
    BackUp(u64),
    Collect,
    /// Forget some of these nights.
    Forget(Vec<u64>),
    /// Restore the file of a night that nobody forgets meanwhile.
    Restore(u64),
    Verify,
}

impl Job {
    fn kind(&self) -> &'static str {
        match self {
            Self::BackUp(_) => "backups",
            Self::Collect => "gc runs",
            Self::Forget(_) => "forgetters",
            Self::Restore(_) | Self::Verify => "readers",
        }
    }

    fn killed(&self) -> &'static str {
        match self {
            Self::BackUp(_) => "backups killed",
            Self::Collect => "gc runs killed",
            Self::Forget(_) => "forgetters killed",
            Self::Restore(_) | Self::Verify => "readers killed",
        }
    }
}

struct Actor {
    job: Job,
    run: Nightjar,
    /// How long after the others it begins, and how long it may live.
    late: Duration,
    life: Option<Duration>,
}

struct Ended {
    job: Job,
    outcome: Outcome,
    killed: bool,
    took: Duration,
}

impl Actor {
    fn play(self) -> Ended {
        sleep(self.late);
        let start = Instant::now();
        let mut running = self.run.start();
        let mut killed = false;
        if let Some(life) = self.life {
            sleep(life);
            killed = !running.has_ended();
            if killed {
                running.signal(Signal::KILL);
            }
        }
        let outcome = running.finish();
        // It may have ended just before the signal came.
        let killed = killed && !outcome.is_done();
        Ended { job: self.job, outcome, killed, took: start.elapsed() }
    }
}

impl Months {
    /// Starts everything that happens on this day, and takes note of how it ended.
    pub(crate) fn play_side_by_side(&mut self) {
        let mut actors = Vec::new();
        let writers = self.writers(&mut actors);
        self.forgetters(writers, &mut actors);
        for _ in 0..1 + self.rng.below(2) {
            let words = [
                "",
                "--max-unused 0%",
                "--session-timeout 1s",
                "--session-timeout 2s --max-unused 0%",
                "--session-timeout 1s --max-repack 300KB",
            ];
            let words = format!("gc --json {}", self.one_of(&words));
            let run = self.with_full_slot(&words);
            self.add(Job::Collect, run, &mut actors);
        }
        self.readers(&mut actors);
        let ended: Vec<Ended> = scope(|scope| {
            let threads: Vec<_> =
                actors.into_iter().map(|actor| scope.spawn(|| actor.play())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        self.take_note(ended);
    }

    fn add(&mut self, job: Job, run: Nightjar, actors: &mut Vec<Actor>) {
        let late = Duration::from_millis(self.rng.below(200) as u64);
        let usual = self.usual.get(job.kind()).copied().unwrap_or(Duration::from_millis(300));
        let life = usual * u32::try_from(self.rng.below(1000)).unwrap() / 1000;
        let once_in = if matches!(job, Job::Collect | Job::Forget(_)) { 3 } else { 6 };
        let life = self.happens(once_in).then_some(life);
        actors.push(Actor { job, run, late, life });
    }

    /// Most series are stored, some by two hosts at once. Returns how many of one series at most.
    fn writers(&mut self, actors: &mut Vec<Actor>) -> usize {
        for series in 0..self.series.len() {
            let writers = self.one_of(&[0, 1, 1, 1, 1, 1, 1, 2]);
            for _ in 0..writers {
                let (night, run) = self.backup(series);
                let run = self.series[series].stored_by(run);
                self.add(Job::BackUp(night), run, actors);
            }
        }
        2
    }

    /// A run on any host that is to store what a series holds today, and its number.
    pub(crate) fn backup(&mut self, series: usize) -> (u64, Nightjar) {
        let night = self.nights.begin(self.series[series].name, self.today[series]);
        let words = format!("snapshot create --json --label night={night}");
        (night, self.anywhere(&words))
    }

    /// A policy that keeps so many of each series, or somebody who forgets single nights.
    fn forgetters(&mut self, writers: usize, actors: &mut Vec<Actor>) {
        if self.happens(3) {
            let last = self.one_of(&[4, 6, 9]);
            // What is stored meanwhile counts among the last.
            let old = self.nights.old(last - writers);
            let words = format!("retention apply --json --size-drop 0 --keep-last {last}");
            let run = self.with_full_slot(&words);
            self.add(Job::Forget(old), run, actors);
        }
        let old = self.nights.old(2);
        if !old.is_empty() && self.happens(2) {
            let mut chosen = vec![self.one_of(&old), self.one_of(&old)];
            chosen.dedup();
            let run = self.with_full_slot("snapshot forget --json --reason old");
            let run = self.nights.ids(&chosen).iter().fold(run, Nightjar::arg);
            self.add(Job::Forget(chosen), run, actors);
        }
    }

    fn readers(&mut self, actors: &mut Vec<Actor>) {
        let newest: Vec<u64> = self
            .series
            .iter()
            .filter(|it| !it.is_tree())
            .filter_map(|it| self.nights.newest(it.name))
            .collect();
        if !newest.is_empty() && self.happens(2) {
            let night = self.one_of(&newest);
            let id = self.nights.get(night).id.clone();
            let run = self.with_full_slot("snapshot restore --stdout").arg(id);
            self.add(Job::Restore(night), run, actors);
        }
        if self.happens(6) {
            let run = self.with_full_slot("snapshot verify --all --level data");
            self.add(Job::Verify, run, actors);
        }
    }

    fn take_note(&mut self, ended: Vec<Ended>) {
        let mut forgotten: BTreeMap<u64, Forgotten> = BTreeMap::new();
        for Ended { job, outcome, killed, took } in ended {
            if killed {
                self.tally.count(job.killed());
            } else {
                self.usual.insert(job.kind(), took);
            }
            match job {
                Job::BackUp(night) if killed => drop(self.nights.get_mut(night)),
                Job::BackUp(night) => self.backed_up(night, outcome),
                Job::Forget(nights) => {
                    let said = self.said_of(&nights, outcome, killed);
                    for (night, said) in said {
                        let known = forgotten.entry(night).or_insert(said);
                        *known = said.max(*known);
                    }
                }
                _ if killed => {}
                Job::Collect => self.tally.collected(&outcome.exited(0).json()),
                Job::Restore(night) => {
                    let restored = blake3::hash(&outcome.exited(0).stdout);
                    assert_eq!(restored, self.nights.get(night).hash, "night {night}");
                    self.tally.count("nights restored");
                }
                Job::Verify => drop(outcome.exited(0)),
            }
        }
        for (night, said) in forgotten {
            self.nights.get_mut(night).forgotten = said;
            if said == Forgotten::Yes {
                self.tally.count("nights forgotten");
            }
        }
    }

    /// A run ended by itself: its night is stored, or the run was fenced and says so.
    pub(crate) fn backed_up(&mut self, number: u64, outcome: Outcome) {
        let night = self.nights.get_mut(number);
        if outcome.is_done() {
            (night.there, night.id) = (There::Yes, id_of(&outcome.json()));
            self.tally.count("nights stored");
        } else {
            drop(outcome.exited(11).says("silent for too long"));
            night.there = There::No;
            self.tally.count("writers fenced");
        }
    }

    /// What a forgetter that might forget these nights says it did.
    fn said_of(&self, nights: &[u64], outcome: Outcome, killed: bool) -> Vec<(u64, Forgotten)> {
        if killed {
            return nights.iter().map(|night| (*night, Forgotten::Perhaps)).collect();
        }
        if !outcome.is_done() {
            // Another forgetter was faster: whether it was is seen in the list.
            drop(outcome.exited(1).says("no snapshot"));
            return Vec::new();
        }
        let report = outcome.json();
        let id = |it: &serde_json::Value| it.as_str().map_or_else(|| id_of(it), str::to_owned);
        let gone = report["forgotten"].as_array().unwrap().iter().map(id);
        let number = |id: String| {
            let found = nights.iter().find(|night| self.nights.get(**night).id == id);
            *found.unwrap_or_else(|| panic!("{id} should have stayed: {report}"))
        };
        gone.map(|id| (number(id), Forgotten::Yes)).collect()
    }
}
