//! The model: each night that anybody tried to store, what was reported of it, and whether
//! somebody forgot it. It is compared with what the program lists while nothing runs.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::id_of;

/// Whether a snapshot is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    Yes,
    No,
    /// Its writer was killed and reported nothing.
    Perhaps,
}

/// Whether somebody took it away: the more certain the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Forgotten {
    No,
    /// A forgetter was killed.
    Perhaps,
    Yes,
}

#[derive(Debug)]
pub(crate) struct Night {
    pub(crate) series: &'static str,
    pub(crate) hash: blake3::Hash,
    pub(crate) there: There,
    pub(crate) forgotten: Forgotten,
    pub(crate) held: bool,
    /// Once somebody reported or listed it.
    pub(crate) id: String,
}

/// All nights, by number: each snapshot carries its own as a label.
#[derive(Default)]
pub(crate) struct Nights {
    all: BTreeMap<u64, Night>,
    /// Those that are there, by series, the oldest first; as of the last listing.
    listed: BTreeMap<&'static str, Vec<u64>>,
}

impl Nights {
    /// Somebody is about to store this.
    pub(crate) fn begin(&mut self, series: &'static str, hash: blake3::Hash) -> u64 {
        let number = self.all.len() as u64;
        let (there, forgotten, id) = (There::Perhaps, Forgotten::No, String::new());
        self.all.insert(number, Night { series, hash, there, forgotten, held: false, id });
        number
    }

    pub(crate) fn get(&self, number: u64) -> &Night {
        &self.all[&number]
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> &mut Night {
        self.all.get_mut(&number).unwrap()
    }

    /// The newest night of a series that is there.
    pub(crate) fn newest(&self, series: &str) -> Option<u64> {
        self.listed.get(series)?.last().copied()
    }

    /// Those that are there, as of the last listing.
    pub(crate) fn kept(&self) -> Vec<u64> {
        self.listed.values().flatten().copied().collect()
    }

    /// Those that nobody holds, but for the newest `stay` of each series.
    pub(crate) fn old(&self, stay: usize) -> Vec<u64> {
        let old = |nights: &Vec<u64>| nights[..nights.len().saturating_sub(stay)].to_vec();
        let old = self.listed.values().flat_map(old);
        old.filter(|number| !self.all[number].held).collect()
    }

    pub(crate) fn ids(&self, numbers: &[u64]) -> Vec<String> {
        numbers.iter().map(|number| self.all[number].id.clone()).collect()
    }

    /// Compares with what `snapshot list` shows, while nothing runs: that settles what was open.
    pub(crate) fn settle(&mut self, list: &Value) {
        self.listed.clear();
        let mut shown = BTreeMap::new();
        for snapshot in list.as_array().unwrap() {
            let label = snapshot["labels"]["night"].as_str().expect("every night has a number");
            let number: u64 = label.parse().unwrap();
            let night = self.all.get(&number).expect("a snapshot that nobody made");
            self.listed.entry(night.series).or_default().push(number);
            let twice = shown.insert(number, id_of(snapshot));
            assert!(twice.is_none(), "night {number} is there twice: {list}");
        }
        for (number, night) in &mut self.all {
            night.settle(*number, shown.remove(number));
        }
    }
}

impl Night {
    /// Compares with the id under which it is listed, if it is.
    fn settle(&mut self, number: u64, listed: Option<String>) {
        let Some(id) = listed else {
            match (self.there, self.forgotten) {
                (There::Yes, Forgotten::No) => panic!("night {number} is lost: {self:?}"),
                (There::Yes, _) => self.forgotten = Forgotten::Yes,
                // Its process is dead, so nothing can come any more.
                (There::Perhaps | There::No, _) => self.there = There::No,
            }
            return;
        };
        let may_be = self.there != There::No && self.forgotten != Forgotten::Yes;
        assert!(may_be, "night {number} is there: {self:?}");
        assert!(self.id.is_empty() || self.id == id, "night {number} is now {id}: {self:?}");
        (self.there, self.forgotten, self.id) = (There::Yes, Forgotten::No, id);
    }
}
