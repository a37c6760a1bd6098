//! What must hold while nothing runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Nightjar, Outcome, files_below, number};
use crate::months::Months;
use crate::series::hash_of;

impl Months {
    /// What is listed is what must be there; some of it is restored, in several places.
    pub(crate) fn check(&mut self) {
        let list = self.anywhere("snapshot list").json();
        self.nights.settle(&list);
        let kept = self.nights.kept();
        for _ in 0..2.min(kept.len()) {
            let night = self.one_of(&kept);
            let run = self.with_full_slot("snapshot restore");
            self.assert_restores(night, run);
        }
        if !kept.is_empty() {
            let night = self.one_of(&kept);
            self.assert_restores(night, self.elsewhere("snapshot restore"));
        }
    }

    /// Everything that is kept is restored, and everything that is stored verifies.
    pub(crate) fn check_thoroughly(&mut self) {
        for night in self.nights.kept() {
            let run = self.with_full_slot("snapshot restore");
            self.assert_restores(night, run);
        }
        self.elsewhere("snapshot verify --all --level data").done();
        self.with_full_slot("snapshot verify --all --level packs").done();
    }

    pub(crate) fn assert_restores(&mut self, night: u64, run: Nightjar) {
        let (outcome, hash) = self.restore(night, run);
        drop(outcome.exited(0));
        assert!(hash == Some(self.nights.get(night).hash), "night {night} restores other bytes");
        self.tally.count("nights restored");
    }

    /// Restores a night with this run; if that succeeded, what stands for all of its bytes.
    pub(crate) fn restore(&self, number: u64, run: Nightjar) -> (Outcome, Option<blake3::Hash>) {
        let night = self.nights.get(number);
        let is_tree = self.series.iter().any(|it| it.name == night.series && it.is_tree());
        let run = run.arg(&night.id);
        if !is_tree {
            let outcome = run.args("--stdout").run();
            let hash = outcome.is_done().then(|| blake3::hash(&outcome.stdout));
            return (outcome, hash);
        }
        let to = self.sandbox.path("restored");
        drop(fs::remove_dir_all(&to));
        let outcome = run.args("--to").arg(&to).run();
        let hash = outcome.is_done().then(|| hash_of(&to.join(night.series)));
        (outcome, hash)
    }

    /// The last collections: they leave nothing that is not needed, but for 5 in 100 bytes.
    pub(crate) fn collect_the_rest(&mut self) {
        for _ in 0..2 {
            let report = self.with_full_slot("gc --session-timeout 0s").json();
            self.tally.collected(&report);
        }
        let words = "gc --session-timeout 0s";
        let last = self.with_full_slot(words).json();
        self.tally.collected(&last);
        let nothing = [number(&last, "rounds"), number(&last, "packs_deleted")];
        assert_eq!(nothing, [0, 0], "something was left to collect: {last}");
        assert_eq!(last["waiting"].as_array().unwrap().len(), 0, "{last}");
        let plan = self.with_full_slot("gc --dry-run").json();
        assert_nothing_is_left(&plan);
        let sessions = objects(&self.sandbox.repository(), "sessions");
        assert!(sessions.is_empty(), "sessions are left: {sessions:?}");
        let list = self.anywhere("snapshot list").json();
        self.nights.settle(&list);
        for path in files_below(&self.sandbox.repository()).iter().filter(|it| is_left_over(it)) {
            self.tally.left_over(path.metadata().unwrap().len());
        }
    }
}

/// The objects in a folder of a repository; not what a process that was killed left of one.
pub(crate) fn objects(repository: &Path, folder: &str) -> Vec<PathBuf> {
    let mut objects = files_below(&repository.join(folder));
    objects.retain(|path| !is_left_over(path));
    objects
}

/// A file that was to become an object, `name#1`.
fn is_left_over(path: &Path) -> bool {
    path.display().to_string().contains('#')
}

fn assert_nothing_is_left(preview: &Value) {
    let plan = &preview["plan"];
    assert_eq!(plan["packs"].as_array().unwrap().len(), 0, "{preview}");
    assert_eq!([number(preview, "condemned"), number(preview, "leftovers")], [0, 0], "{preview}");
    let (unused, kept) = (number(plan, "bytes_unused"), number(plan, "bytes_kept"));
    assert!(unused * 20 <= kept, "{unused} of {kept} bytes are unused: {preview}");
}
