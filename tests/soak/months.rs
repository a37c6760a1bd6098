//! Everything together, and what happens in which order: by day many processes side by side, in
//! between one thing at a time, and checks while nothing runs.

use std::fs;
use std::thread::panicking;

use nightjar_testkit::generate::Rng;

use crate::day::Usual;
use crate::harness::{Nightjar, PASSPHRASE, Sandbox, WEAK};
use crate::host::Host;
use crate::nights::Nights;
use crate::series::Series;
use crate::tally::Tally;

/// Who may write only, and what its slot is opened with.
pub(crate) const WRITER: &str = "only for writing";
/// Everything is checked so often.
const THOROUGHLY: u64 = 10;
/// Caches are copied, and set back to the copy after so many days.
const STALE: u64 = 17;
/// A write slot turns thief so often.
const FORGERY: u64 = 25;

pub(crate) struct Months {
    pub(crate) sandbox: Sandbox,
    /// Two with write slots, then two with full ones.
    pub(crate) hosts: Vec<Host>,
    pub(crate) series: Vec<Series>,
    /// What each series holds today.
    pub(crate) today: Vec<blake3::Hash>,
    pub(crate) nights: Nights,
    pub(crate) tally: Tally,
    pub(crate) rng: Rng,
    pub(crate) day: u64,
    /// How long runs take, by kind: kills are aimed by it.
    pub(crate) usual: Usual,
}

impl Months {
    pub(crate) fn new(seed: u64) -> Self {
        let sandbox = Sandbox::without_repository();
        sandbox.nightjar("init --pack-size 1MiB --chunk-size 16KiB").args(WEAK).done();
        let writer = sandbox.write("writer", WRITER);
        let office = sandbox.write("office", "another full slot");
        for (role, file) in [("write", &writer), ("full", &office)] {
            let add = sandbox.nightjar("key add --role").args(role).args(WEAK);
            add.args("--new-password-file").arg(file).done();
        }
        let first = sandbox.write("first", PASSPHRASE);
        let hosts = vec![
            Host::new(&sandbox, "db1", &writer, false),
            Host::new(&sandbox, "db2", &writer, false),
            Host::new(&sandbox, "office", &office, true),
            Host::new(&sandbox, "cellar", &first, true),
        ];
        let sources = sandbox.path("sources");
        fs::create_dir(&sources).unwrap();
        let series = vec![
            Series::dump("orders", &sources, seed + 1),
            Series::dump("users", &sources, seed + 2),
            Series::dump("events", &sources, seed + 3),
            Series::tree("home", &sources, seed + 1000),
        ];
        Self {
            sandbox,
            hosts,
            series,
            today: Vec::new(),
            nights: Nights::default(),
            tally: Tally::default(),
            rng: Rng::new(seed),
            day: 0,
            usual: Usual::default(),
        }
    }

    pub(crate) fn play_a_day(&mut self) {
        self.today = self.series.iter_mut().map(Series::next_night).collect();
        self.play_side_by_side();
        self.check();
        self.day += 1;
        if self.day % 4 == 3 {
            self.stop_writers(self.day % 8 == 3);
            self.check();
        }
        if self.day % 9 == 4 {
            self.hold_or_release();
        }
        if self.day % 7 == 5 {
            self.damage_a_pack(self.day % 14 == 5);
            self.check();
        }
        for (first, host) in (0..).step_by(4).zip(&self.hosts) {
            if self.day % STALE == first && host.grow_stale() {
                self.tally.count("caches set back");
            }
        }
        if self.day.is_multiple_of(THOROUGHLY) {
            self.check_thoroughly();
            println!("day {}: {} nights", self.day, self.nights.kept().len());
        }
        if self.day.is_multiple_of(FORGERY) {
            self.forge_the_ledger();
        }
    }

    /// Nothing runs any more, and nothing will be left over.
    pub(crate) fn end(&mut self) {
        self.collect_the_rest();
        self.check_thoroughly();
        self.forge_the_ledger();
    }

    /// Once in so many times.
    pub(crate) fn happens(&mut self, once_in: usize) -> bool {
        self.rng.below(once_in) == 0
    }

    /// One of these.
    pub(crate) fn one_of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.rng.below(choice.len())]
    }

    /// The program on any host.
    pub(crate) fn anywhere(&mut self, words: &str) -> Nightjar {
        let host = self.rng.below(self.hosts.len());
        self.hosts[host].nightjar(&self.sandbox, words)
    }

    /// The program on a host that may do everything.
    pub(crate) fn with_full_slot(&mut self, words: &str) -> Nightjar {
        let full: Vec<usize> = (0..self.hosts.len()).filter(|it| self.hosts[*it].is_full).collect();
        let host = self.one_of(&full);
        self.hosts[host].nightjar(&self.sandbox, words)
    }

    /// The program on a machine that has never seen the repository.
    pub(crate) fn elsewhere(&self, words: &str) -> Nightjar {
        let cache = self.sandbox.path("cache-elsewhere");
        drop(fs::remove_dir_all(&cache));
        self.sandbox.nightjar(words).env("NIGHTJAR_CACHE_DIR", cache)
    }

    /// A night is held, which nobody may forget then, or all that are held are released.
    fn hold_or_release(&mut self) {
        let kept = self.nights.kept();
        let held: Vec<u64> = kept.iter().copied().filter(|it| self.nights.get(*it).held).collect();
        if held.len() > 2 {
            let release = self.with_full_slot("snapshot release --reason over");
            self.nights.ids(&held).iter().fold(release, Nightjar::arg).done();
            held.iter().for_each(|it| self.nights.get_mut(*it).held = false);
            return;
        }
        if kept.is_empty() {
            return;
        }
        let number = self.one_of(&kept);
        let id = self.nights.get(number).id.clone();
        self.anywhere("snapshot hold --reason court").arg(&id).done();
        self.nights.get_mut(number).held = true;
        self.tally.count("nights held");
        let forget = self.with_full_slot("snapshot forget --reason careless").arg(&id);
        forget.exits(1).says("court");
    }
}

impl Drop for Months {
    fn drop(&mut self) {
        if panicking() {
            println!("it failed on day {}, after {}", self.day, self.tally);
        }
    }
}
