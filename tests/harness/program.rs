//! The program under test: `nightjar` beside the directory of the test executable.
//!
//! A dev-dependency on `nightjar-cli` would not make cargo build its program, and
//! `CARGO_BIN_EXE_…` exists in that package's own tests only. So `scripts/test` builds it before
//! the tests; where it is missing, it is built from here, and where it is older than a source
//! file it was built from, every test fails and says so. `NIGHTJAR_TEST_PROGRAM` names another
//! program to test, which is taken as it is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

const BUILD: [&str; 5] = ["build", "--release", "--locked", "--package", "nightjar-cli"];

/// Where the program is.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(find)
}

#[expect(clippy::disallowed_methods, reason = "nobody hands a test its environment")]
fn find() -> PathBuf {
    if let Some(path) = env::var_os("NIGHTJAR_TEST_PROGRAM") {
        return path.into();
    }
    let test = env::current_exe().expect("a process knows its executable");
    let profile = test.ancestors().nth(2).expect("tests lie in <target>/<profile>/deps");
    let path = profile.join("nightjar");
    if !path.exists() {
        build();
    }
    assert!(
        path.exists(),
        "{} is missing; run `cargo {}`, and the tests with --release",
        path.display(),
        BUILD.join(" ")
    );
    if let Some(why) = stale(&path) {
        panic!("{} is out of date ({why}); run `cargo {}`", path.display(), BUILD.join(" "));
    }
    path
}

fn build() {
    let status = Command::new("cargo")
        .args(BUILD)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .expect("cargo runs");
    assert!(status.success(), "`cargo {}` failed", BUILD.join(" "));
}

/// Why the program is not what the sources say: cargo lists them in a file beside it.
fn stale(program: &Path) -> Option<String> {
    let listing = program.with_extension("d");
    let Ok(text) = fs::read_to_string(&listing) else {
        return Some(format!("{} cannot be read", listing.display()));
    };
    let built = fs::metadata(program).and_then(|it| it.modified()).expect("it was there just now");
    let (_, sources) = text.lines().next()?.split_once(": ")?;
    let sources = sources.replace("\\ ", "\0");
    sources.split(' ').map(|path| path.replace('\0', " ")).find_map(|path| {
        match fs::metadata(&path).and_then(|it| it.modified()) {
            Ok(changed) if changed <= built => None,
            Ok(_) => Some(format!("{path} is newer")),
            Err(error) => Some(format!("{path}: {error}")),
        }
    })
}
