//! What the engine is handed: clock, random numbers, names, the place for caches.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use etcetera::BaseStrategy;
use nightjar_codec::Random;
use nightjar_repository::{Clock, Environment};

/// Names this program in the records it writes.
pub(crate) const PROGRAM: &str = concat!("nightjar ", env!("CARGO_PKG_VERSION"));

/// The system's clock.
struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> i64 {
        i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
    }
}

/// Lets other programs go first where the processor is short: what this one does can wait.
pub(crate) fn give_way() {
    // Who may not is no worse off than before.
    let _ = rustix::process::nice(10);
}

/// The time, in Unix nanoseconds.
pub(crate) fn now() -> i64 {
    OsClock.now()
}

/// The system's random numbers.
struct OsRandom;

impl Random for OsRandom {
    #[expect(clippy::panic, reason = "nothing safe can be done without random numbers")]
    #[expect(clippy::disallowed_methods, reason = "this is what the environment hands out")]
    fn fill(&self, out: &mut [u8]) {
        if let Err(error) = getrandom::fill(out) {
            panic!("the operating system gives no random numbers: {error}");
        }
    }
}

/// The system's random numbers, for what the program itself makes.
pub(crate) fn random() -> Arc<dyn Random> {
    Arc::new(OsRandom)
}

/// A variable of the process, unless it is empty.
#[expect(clippy::disallowed_methods, reason = "the command line reads the environment for all")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The variables by which clouds' own tools are configured: credentials, regions, endpoints.
pub(crate) fn cloud_variables() -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let ours = |(name, _): &(String, String)| {
        ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|beginning| name.starts_with(beginning))
    };
    std::env::vars_os().filter_map(text).filter(ours).collect()
}

/// The machine's name.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who runs the program: by name, or by number where no variable tells (cron jobs, containers).
pub(crate) fn user() -> String {
    let named = ["USER", "LOGNAME"].iter().find_map(|name| variable(name));
    match (named, rustix::process::getuid()) {
        (Some(name), _) => name.to_string_lossy().into_owned(),
        (None, uid) if uid.is_root() => "root".to_owned(),
        (None, uid) => uid.as_raw().to_string(),
    }
}

/// Who runs the program, and where: for the ledger.
pub(crate) fn who() -> String {
    format!("{}@{}", user(), host())
}

/// Everything together; `cache_dir` as the user gave it.
pub(crate) fn environment(cache_dir: Option<&Path>) -> anyhow::Result<Environment> {
    Ok(Environment {
        one_at_a_time: false,
        clock: Arc::new(OsClock),
        random: random(),
        host: host(),
        user: user(),
        process: std::process::id(),
        program: PROGRAM.to_owned(),
        cache_dir: find_cache_dir(cache_dir)?,
    })
}

/// The place for caches; `given` as the user gave it.
pub(crate) fn find_cache_dir(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(directory) = given {
        return std::path::absolute(directory)
            .with_context(|| format!("cannot use {} for caches", directory.display()));
    }
    let strategy = etcetera::choose_base_strategy()
        .context("cannot find a home directory for caches; give one with --cache-dir")?;
    Ok(strategy.cache_dir().join("nightjar"))
}
