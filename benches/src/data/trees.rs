//! Successive releases of a large crate, as cargo unpacks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::measure::succeed;

const CRATE: &str = "aws-sdk-ec2";
/// Oldest first.
const RELEASES: [&str; 8] =
    ["1.267.0", "1.268.0", "1.269.0", "1.270.0", "1.271.0", "1.272.0", "1.273.0", "1.274.0"];

/// Makes a directory per night, each with another release.
pub(crate) fn make(nights: &[PathBuf]) -> Result<()> {
    ensure!(nights.len() <= RELEASES.len(), "there are {} releases, no more", RELEASES.len());
    for (release, night) in RELEASES.iter().zip(nights) {
        // This makes cargo download and unpack that one crate and nothing that it depends on.
        let mut cargo = Command::new("cargo");
        cargo.args(["info", &format!("{CRATE}@{release}")]).current_dir("/");
        succeed(cargo.stdout(Stdio::null()))?;
        copy(&unpacked(&format!("{CRATE}-{release}"))?, night)?;
    }
    Ok(())
}

/// Copies a directory to a path where nothing is.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    succeed(Command::new("cp").args(["--recursive", "--no-target-directory"]).arg(from).arg(to))
}

/// Where cargo keeps the unpacked crate.
#[expect(clippy::disallowed_methods, reason = "nobody hands a bench its environment")]
fn unpacked(name: &str) -> Result<PathBuf> {
    let own = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = own.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let sources = home.context("cargo's home is unknown: set CARGO_HOME")?.join("registry/src");
    let registries = fs::read_dir(&sources).into_iter().flatten().flatten();
    let mut places = registries.map(|registry| registry.path().join(name));
    places
        .find(|place| place.exists())
        .with_context(|| format!("cargo did not unpack {name} below {}", sources.display()))
}
