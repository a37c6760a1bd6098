//! Writes the test vectors of `format-spec/vectors/`: what the specification's derivations,
//! ciphers and cut rule make of inputs that are written down beside the result.
//!
//! `cargo run --release -p nightjar-vectors -- DIRECTORY`. Nothing is overwritten: the vectors
//! are part of format 1, and a program that no longer agrees with them has a bug.

mod chunker;
mod input;
mod keys;
mod metadata;
mod packs;
mod seeded;
mod sketches;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nightjar_format::object::padme;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let directory: PathBuf =
        std::env::args_os().nth(1).context("usage: nightjar-vectors DIRECTORY")?.into();
    std::fs::create_dir_all(&directory)?;
    write(&directory, "keys.json", &keys::vectors()?)?;
    write(&directory, "chunker.json", &chunker::vectors()?)?;
    write(&directory, "sketches.json", &sketches::vectors())?;
    write(&directory, "ids.json", &packs::ids())?;
    write(&directory, "blobs.json", &packs::vectors()?)?;
    write(&directory, "metadata.json", &metadata::vectors()?)?;
    write(&directory, "padme.json", &padding())
}

fn write(directory: &Path, name: &str, vectors: &Value) -> Result<()> {
    let path = directory.join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("{} cannot be created", path.display()))?;
    writeln!(file, "{vectors:#}")?;
    Ok(())
}

/// Lengths and what they are padded to.
fn padding() -> Value {
    let lengths = (2..=40)
        .chain([63, 64, 65, 127, 1000, 1024, 1025, 1_088, 65_535, 65_537, 999_999])
        .chain([1 << 20, (1 << 20) + 1, 16_777_217, 123_456_789, (1 << 30) - 1, 1 << 30]);
    let pairs: Vec<Value> = lengths.map(|length: u64| json!([length, padme(length)])).collect();
    json!({ "lengths": pairs })
}
