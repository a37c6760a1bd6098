//! Damage that is found, does not spread and is put right; a ledger that a write slot forges.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use nightjar_testkit::environment::copy_directory;
use nightjar_testkit::fixture::Fixture;
use nightjar_testkit::insider::Insider;
use serde_json::Value;

use crate::checks::objects;
use crate::harness::Nightjar;
use crate::months::{Months, WRITER};

fn packs(repository: &Path) -> Vec<PathBuf> {
    objects(repository, "packs")
}

impl Months {
    /// A byte of a pack flips. That is found, by name; what is not hit restores; a collector loses
    /// nothing by it; and when the pack is put right, everything is as before.
    pub(crate) fn damage_a_pack(&mut self, collect: bool) {
        let packs = packs(&self.sandbox.repository());
        if packs.is_empty() {
            return;
        }
        let path = packs[self.rng.below(packs.len())].clone();
        let sound = fs::read(&path).unwrap();
        let mut damaged = sound.clone();
        damaged[self.rng.below(sound.len())] ^= 1 << self.rng.below(8);
        fs::write(&path, &damaged).unwrap();
        let hit = self.find_damage(&path);
        if collect {
            let gc = self.with_full_slot("gc --max-unused 0%").run();
            // It may need what cannot be read.
            drop(if gc.is_done() { gc } else { gc.exited(4) });
            self.tally.count("gc runs while a pack was damaged");
        }
        let mut kept = self.nights.kept();
        kept.retain(|_| self.rng.below(3) == 0);
        for night in kept {
            let run = self.with_full_slot("snapshot restore");
            let (outcome, hash) = self.restore(night, run);
            match hash {
                Some(hash) => assert_eq!(hash, self.nights.get(night).hash, "night {night}"),
                None => {
                    assert!(hit.contains(&self.nights.get(night).id), "nobody said so\n{outcome}");
                    drop(outcome.exited(4));
                    self.tally.count("restores that met damage and said so");
                }
            }
        }
        fs::write(&path, &sound).unwrap();
        self.tally.count("packs damaged and put right");
    }

    /// Verifies everything, and returns the ids of the snapshots that are hit by what is wrong.
    fn find_damage(&mut self, path: &Path) -> BTreeSet<String> {
        let outcome = self.elsewhere("snapshot verify --all --level data --json").run();
        if outcome.is_done() {
            // No index object lists it: a writer was killed, and nobody needs it.
            self.tally.count("packs damaged that nobody needs");
            return BTreeSet::new();
        }
        let report = outcome.exited(4).json();
        let name = path.file_name().unwrap().to_str().unwrap();
        let findings = report["findings"].as_array().unwrap();
        let is_about = |it: &Value| it["object"].as_str().unwrap().contains(name);
        assert!(findings.iter().any(is_about), "{name} is not named: {report}");
        let hit = findings.iter().flat_map(|it| it["snapshots"].as_array().unwrap());
        hit.map(|id| id.as_str().unwrap().to_owned()).collect()
    }

    /// Somebody who stole a write slot's keys condemns and retires every pack. In a copy of the
    /// repository: what was forged is reported for ever.
    pub(crate) fn forge_the_ledger(&mut self) {
        let copy = self.sandbox.path("forged");
        drop(fs::remove_dir_all(&copy));
        fs::create_dir(&copy).unwrap();
        copy_directory(&self.sandbox.repository(), &copy);
        let nightjar =
            |words: &str| -> Nightjar { self.elsewhere(words).env("NIGHTJAR_REPOSITORY", &copy) };
        // What may go anyway is gone before.
        for _ in 0..3 {
            nightjar("gc --session-timeout 0s").done();
        }
        let before = packs(&copy);
        let fixture = Fixture::on_disk(&copy, self.day);
        let writer = fixture.open_with(WRITER).unwrap();
        let slot = writer.keychain().slot();
        Insider::open(&fixture, slot, WRITER).forge_round(&writer);
        let gc = nightjar("gc --session-timeout 0s").json();
        assert_eq!((&gc["rounds"], &gc["resumed"]), (&0.into(), &false.into()), "{gc}");
        assert_eq!(packs(&copy), before, "packs are gone");
        nightjar("ledger show").exits(4).says("has the role write and may not retire");
        let verify = nightjar("snapshot verify --all --level data --json").exits(4).json();
        for finding in verify["findings"].as_array().unwrap() {
            assert!(finding.to_string().contains("has the role write"), "{finding}");
        }
        let newest: Vec<u64> =
            self.series.iter().filter_map(|it| self.nights.newest(it.name)).collect();
        for night in newest {
            let run = self.elsewhere("snapshot restore").env("NIGHTJAR_REPOSITORY", &copy);
            self.assert_restores(night, run);
        }
        self.tally.count("rounds forged in vain");
        fs::remove_dir_all(&copy).unwrap();
    }
}
