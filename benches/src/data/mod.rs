//! Data sets: what a source looks like on successive nights. They are made from a seed and kept,
//! and made again only when a night is missing.

mod edited;
mod postgres;
mod random;
mod rows;
mod server;
mod trees;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};

pub(crate) use self::edited::Edited;
pub(crate) use self::postgres::Format;
pub(crate) use self::trees::copy;

/// Which data set.
#[derive(Debug, Args)]
pub(crate) struct DataSet {
    /// What is backed up.
    #[arg(long, value_enum, default_value_t = Kind::Postgres)]
    pub(crate) data: Kind,
    /// How a PostgreSQL database is dumped.
    #[arg(long, value_enum, default_value_t = Format::Plain)]
    pub(crate) format: Format,
    /// Bytes of a night's plain dump, or of random bytes.
    #[arg(long, default_value = "1800MB")]
    size: ByteSize,
    /// How many nights.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    nights: u64,
    /// The directory that `--data directory` means, such as a registry of unpacked sources.
    #[arg(long, required_if_eq("data", "directory"), value_name = "DIR")]
    pub(crate) tree: Option<PathBuf>,
    /// Another seed makes other data.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A database: each night 1 % of one table, 0.5 % and 0.2 % of two others change, rows are
    /// added to a fourth and deleted from a fifth
    Postgres,
    /// Eight successive releases of a large crate, unpacked (--size and --seed say nothing)
    SourceTrees,
    /// One file of a database's rows, an eighth of which changes every night where it lies: many
    /// nights of a large dump need little room
    Edited,
    /// Bytes that have nothing in common from night to night
    Random,
    /// The directory that --tree names, as it is, every night
    Directory,
}

impl DataSet {
    fn bytes(&self) -> u64 {
        self.size.as_u64()
    }

    /// A name that no other data set has.
    pub(crate) fn name(&self) -> String {
        let of_size = |kind| format!("{kind}-{}-seed{}", self.bytes(), self.seed);
        match self.data {
            Kind::Postgres => of_size(match self.format {
                Format::Plain => "postgres-plain",
                Format::Custom => "postgres-custom",
                Format::Basebackup => "postgres-basebackup",
            }),
            Kind::SourceTrees => "source-trees".to_owned(),
            Kind::Edited => of_size("edited"),
            Kind::Random => of_size("random"),
            Kind::Directory => "directory".to_owned(),
        }
    }

    /// The nights' files or directories, oldest first.
    pub(crate) fn nights(&self, base: &Path) -> Result<Vec<PathBuf>> {
        if let (Kind::Directory, Some(tree)) = (self.data, &self.tree) {
            return (0..self.nights).map(|_| Ok(tree.canonicalize()?)).collect();
        }
        let directory = base.join(self.name());
        if let Some(Edited { first, tonight, .. }) = self.edited(base) {
            if !first.exists() {
                fs::create_dir_all(&directory)?;
                whole_file(&first, |part| edited::write(part, self.seed, self.bytes()))?;
            }
            return Ok((0..self.nights).map(|_| tonight.clone()).collect());
        }
        let extension = match self.data {
            Kind::Postgres => self.format.extension(),
            Kind::Edited => "sql",
            Kind::SourceTrees | Kind::Directory => "tree",
            Kind::Random => "random",
        };
        let nights = (1..=self.nights).map(|night| format!("night-{night:02}.{extension}"));
        let nights: Vec<PathBuf> = nights.map(|night| directory.join(night)).collect();
        if !nights.iter().all(|night| night.exists()) {
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::create_dir_all(&directory)?;
            self.make(base, &nights).with_context(|| format!("cannot make {}", self.name()))?;
        }
        Ok(nights)
    }

    /// How nights are made one of the other, if only one lies on the disk at a time.
    pub(crate) fn edited(&self, base: &Path) -> Option<Edited> {
        let directory = base.join(self.name());
        let (first, tonight) = (directory.join("first.sql"), directory.join("tonight.sql"));
        (self.data == Kind::Edited).then_some(Edited { first, tonight, seed: self.seed })
    }

    fn make(&self, base: &Path, nights: &[PathBuf]) -> Result<()> {
        match self.data {
            Kind::Postgres => postgres::make(base, self, nights),
            Kind::SourceTrees => trees::make(nights),
            Kind::Directory | Kind::Edited => Ok(()),
            Kind::Random => (1..).zip(nights).try_for_each(|(night, path)| {
                whole_file(path, |part| {
                    let mut out = BufWriter::with_capacity(1 << 20, File::create(part)?);
                    random::write(&mut out, self.seed, night, self.bytes())?;
                    Ok(out.flush()?)
                })
            }),
        }
    }
}

/// Makes a file that is there only once it is whole.
fn whole_file(path: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let part = path.with_extension("part");
    make(&part)?;
    Ok(fs::rename(&part, path)?)
}
