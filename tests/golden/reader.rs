//! The independent reader in `tools/reader`, at work on what this program writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::make::make_everything;
use crate::harness::{Sandbox, assert_same, data, id_of};

/// The Python that has the reader's packages.
#[expect(clippy::disallowed_methods, reason = "nobody hands a test its environment")]
fn python() -> PathBuf {
    std::env::var_os("NIGHTJAR_TEST_PYTHON").map(PathBuf::from).expect(
        "NIGHTJAR_TEST_PYTHON is not set: run scripts/test, or make a Python environment with \
         `python3 -m venv V && V/bin/pip install -r tools/reader/requirements.txt` and set it \
         to V/bin/python",
    )
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/reader")
}

/// Runs a script of the reader; it must succeed.
#[track_caller]
fn run(script: &str, args: &[&str]) -> Output {
    let output = Command::new(python())
        .arg("-B")
        .arg(directory().join(script))
        .args(args)
        .output()
        .expect("Python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {args:?} failed: {said}");
    output
}

/// The reader, for one repository.
pub(super) struct Reader {
    repository: String,
    passphrase: String,
}

impl Reader {
    pub(super) fn new(repository: &Path, passphrase: &Path) -> Self {
        let text = |path: &Path| path.to_str().expect("temporary paths are text").to_owned();
        Self { repository: text(repository), passphrase: text(passphrase) }
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Vec<u8> {
        let access = [self.repository.as_str(), "--password-file", &self.passphrase];
        run("nightjar_reader.py", &[&access, args].concat()).stdout
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let list: Vec<Value> = serde_json::from_slice(&self.run(&["list"])).unwrap();
        list.iter().map(id_of).collect()
    }

    /// Reads and checks everything that a snapshot needs, found by index and by footers. Returns
    /// what it says of the deltas among that.
    #[track_caller]
    pub(super) fn check(&self, id: &str) -> Value {
        let [by_index, by_footers] = [&[] as &[&str], &["--from-footers"]].map(|options| {
            let report = self.run(&[options, &["check", id]].concat());
            let mut report: Value = serde_json::from_slice(&report).unwrap();
            assert_eq!(report["result"], "sound");
            report["deltas"].take()
        });
        assert_eq!(by_index, by_footers);
        by_index
    }

    #[track_caller]
    pub(super) fn cat(&self, id: &str, path: Option<&str>) -> Vec<u8> {
        let words: Vec<&str> = ["cat", id].into_iter().chain(path).collect();
        self.run(&words)
    }
}

#[test]
fn the_independent_reader_agrees_with_the_test_vectors() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec/vectors");
    let output = run("nightjar_reader.py", &["vectors", vectors.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.matches(": agrees").count(), 7, "{said}");
}

#[test]
fn the_independent_reader_passes_its_own_tests() {
    run("test_reader.py", &[]);
}

/// So many that some of the boundaries between chunks go with them.
fn without_some_rows(dump: &[u8]) -> Vec<u8> {
    let rows = dump.split_inclusive(|byte| *byte == b'\n').enumerate();
    rows.filter(|(number, _)| number % 60 != 59).flat_map(|(_, row)| row).copied().collect()
}

#[test]
fn a_reader_written_from_the_specification_reads_what_this_program_writes() {
    let sandbox = Sandbox::without_repository();
    sandbox.nightjar("init --chunk-size 4KiB --pack-size 1MiB --argon2-memory 1MiB").done();
    let first_night = data::dump(1, 30_000);
    let nights = [first_night.clone(), without_some_rows(&first_night)];
    let first = sandbox.store("dump.sql", &nights[0]);
    sandbox.add_write_slot();
    let empty = sandbox.store("empty", b"");
    let noise = data::noise(7, 2_000_000);
    let noisy = sandbox.store("noise", &noise);
    let tree = sandbox.path("tree");
    make_everything(&tree);
    let tree = id_of(&sandbox.nightjar("backup").source(&tree).json());
    let forgotten = sandbox.store("dump.sql", b"a mistake");
    sandbox.nightjar("snapshot forget --reason mistaken").arg(&forgotten).done();
    let second = sandbox.store("dump.sql", &nights[1]);

    let reader = Reader::new(&sandbox.repository(), &sandbox.path("passphrase"));
    let ids = [&first, &empty, &noisy, &tree, &second];
    assert_eq!(reader.ids().iter().collect::<Vec<_>>(), ids);
    for id in ids {
        reader.check(id);
    }
    let deltas = reader.check(&second);
    for what in ["chunks", "of_several_bases"] {
        assert_ne!(deltas[what], 0, "the second night has no deltas: {deltas}");
    }
    assert_same(&reader.cat(&first, None), &nights[0]);
    assert_same(&reader.cat(&empty, None), b"");
    assert_same(&reader.cat(&noisy, None), &noise);
    assert_same(&reader.cat("latest", Some("dump.sql")), &nights[1]);
    let big = sandbox.read("tree/etc/deep/deeper/big.sql");
    assert_same(&reader.cat(&tree, Some("tree/etc/deep/deeper/big.sql")), &big);
}
