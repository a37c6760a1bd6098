//! One large file of rows that changes every night where it lies: many nights of a large dump on a
//! disk that has room for two.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::data::random::Random;
use crate::data::rows::TABLES;

/// Changes lie together, as updated rows do: one region in so many, of so many bytes.
const REGIONS: u64 = 8;
const REGION_BYTES: u64 = 4 << 20;
/// Between two changes in a region, in bytes.
const DISTANCE: std::ops::Range<u64> = 20_000..60_000;

/// The file, and what it was in the first night.
#[derive(Debug)]
pub(crate) struct Edited {
    pub(crate) first: PathBuf,
    pub(crate) tonight: PathBuf,
    pub(crate) seed: u64,
}

impl Edited {
    /// Makes a night of the one before; the first is number 0.
    pub(crate) fn make(&self, night: u64) -> Result<()> {
        if night == 0 {
            fs::copy(&self.first, &self.tonight)?;
            return Ok(());
        }
        let file = File::options().read(true).write(true).open(&self.tonight)?;
        let mut g = Random::of("edited", [self.seed, night]);
        let mut region = vec![0; usize::try_from(REGION_BYTES)?];
        for number in 0..file.metadata()?.len() / REGION_BYTES {
            if g.below(REGIONS) == 0 {
                file.read_exact_at(&mut region, number * REGION_BYTES)?;
                edit(&mut region, &mut g);
                file.write_all_at(&region, number * REGION_BYTES)?;
            }
        }
        Ok(())
    }
}

/// Gives some digits other values.
fn edit(region: &mut [u8], g: &mut Random) {
    let mut rest = region;
    loop {
        let distance = DISTANCE.start + g.below(DISTANCE.end - DISTANCE.start);
        let next = usize::try_from(distance).ok().and_then(|it| rest.split_at_mut_checked(it));
        let Some((_, after)) = next else { return };
        if let Some(digit) = after.iter_mut().find(|byte| byte.is_ascii_digit()) {
            *digit = if *digit == b'9' { b'0' } else { *digit + 1 };
        }
        rest = after;
    }
}

/// Writes the rows of a database whose dump has about so many bytes.
pub(crate) fn write(path: &Path, seed: u64, bytes: u64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for table in &TABLES {
        table.create(&mut out)?;
        table.fill(&mut out, seed, 0..table.rows(bytes))?;
    }
    Ok(out.flush()?)
}
