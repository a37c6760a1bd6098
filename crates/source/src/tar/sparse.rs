//! Sparse members: which stretches of a file the archive holds.
//!
//! GNU tar has written them in four ways: with the map in the header and in blocks after it (the
//! type `S`), as extended header records (pax 0.0 and 0.1), and as text in front of the data
//! (pax 1.0). All say the same, so all become one [`Layout`].

use std::collections::VecDeque;
use std::io::{self, Read};

use nightjar_format::manifest::Hole;
use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use crate::holes::Longest;

use super::read::{Archive, BLOCK, malformed};
use super::records::{Records, decimal};

/// Stretches of one file, at most: the map stands in memory.
const MOST_STRETCHES: usize = 1 << 20;

/// A stretch of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    offset: u64,
    length: u64,
}

/// The stretches of a file, and its size.
pub(crate) type Map = (Vec<Stretch>, u64);

/// What to make of a member's data.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// Holes that are noted as such.
    pub(crate) holes: Vec<Hole>,
    /// Holes that are too many: where in the data zeros are read for them, and how many.
    zeros: VecDeque<(u64, u64)>,
}

impl Layout {
    /// Of a file whose archive holds that many bytes of data.
    pub(crate) fn new((stretches, size): &Map, data: u64) -> io::Result<Self> {
        let mut gaps: Vec<(u64, Hole)> = Vec::new();
        let (mut end, mut passed) = (0, 0);
        for stretch in stretches {
            // GNU tar begins each stretch with a block of its own, others do not.
            let aligned = stretch.length == 0 || passed % BLOCK as u64 == 0;
            if stretch.offset < end || !aligned {
                return Err(damaged());
            }
            push_gap(&mut gaps, passed, end, stretch.offset);
            end = stretch.offset.checked_add(stretch.length).ok_or_else(damaged)?;
            passed += stretch.length;
        }
        if end > *size || passed != data || *size > i64::MAX.cast_unsigned() {
            return Err(damaged());
        }
        push_gap(&mut gaps, passed, end, *size);
        let mut longest = Longest::of(gaps.iter().map(|(_, hole)| hole.length));
        let (noted, filled) =
            gaps.into_iter().partition::<Vec<_>, _>(|(_, hole)| longest.keeps(hole.length));
        Ok(Self {
            holes: noted.into_iter().map(|(_, hole)| hole).collect(),
            zeros: filled.into_iter().map(|(at, hole)| (at, hole.length)).collect(),
        })
    }
}

fn damaged() -> io::Error {
    malformed("has a sparse file whose map is damaged")
}

fn push_gap(gaps: &mut Vec<(u64, Hole)>, passed: u64, from: u64, to: u64) {
    if from < to {
        gaps.push((passed, Hole { offset: from, length: to - from }));
    }
}

/// Reads a member's data, with zeros for holes that are not noted.
pub(crate) struct DataReader<'a, R> {
    archive: &'a mut Archive<R>,
    zeros: VecDeque<(u64, u64)>,
    /// Bytes of data that were read.
    passed: u64,
}

impl<'a, R: Read> DataReader<'a, R> {
    pub(crate) fn new(archive: &'a mut Archive<R>, layout: &mut Layout) -> Self {
        Self { archive, zeros: std::mem::take(&mut layout.zeros), passed: 0 }
    }
}

impl<R: Read> Read for DataReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = match self.zeros.front_mut() {
            Some((at, left)) if *at == self.passed => {
                let length = io::repeat(0).take(*left).read(buffer)?;
                *left -= length as u64;
                if *left == 0 {
                    self.zeros.pop_front();
                }
                return Ok(length);
            }
            Some((at, _)) => *at - self.passed,
            None => u64::MAX,
        };
        let room = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let read = self.archive.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.passed += read as u64;
        Ok(read)
    }
}

/// The map in the header of a member of type `S` and in the blocks that follow it.
pub(crate) fn old_map<R: Read>(archive: &mut Archive<R>, header: &Header) -> io::Result<Map> {
    let gnu = header.as_gnu().ok_or_else(damaged)?;
    let mut stretches = Vec::new();
    push_all(&mut stretches, &gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut extension = GnuExtSparseHeader::new();
        archive.fill(extension.as_mut_bytes())?;
        push_all(&mut stretches, extension.sparse())?;
        more = extension.is_extended();
    }
    Ok((stretches, gnu.real_size().map_err(|_| damaged())?))
}

fn push_all(stretches: &mut Vec<Stretch>, headers: &[GnuSparseHeader]) -> io::Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let (offset, length) = (header.offset(), header.length());
        push(stretches, offset.map_err(|_| damaged())?, length.map_err(|_| damaged())?)?;
    }
    Ok(())
}

fn push(stretches: &mut Vec<Stretch>, offset: u64, length: u64) -> io::Result<()> {
    if stretches.len() >= MOST_STRETCHES {
        return Err(malformed("has a sparse file of too many holes"));
    }
    stretches.push(Stretch { offset, length });
    Ok(())
}

/// The map that records tell of, or that they say stands in front of the data.
pub(crate) fn pax_map<R: Read>(
    archive: &mut Archive<R>,
    records: &Records,
) -> io::Result<Option<Map>> {
    let number = |key| records.number(key).map_err(malformed);
    let Some(size) = number("GNU.sparse.realsize")?.or(number("GNU.sparse.size")?) else {
        return Ok(None);
    };
    let stretches = if records.get("GNU.sparse.major").is_some_and(|major| major != b"0") {
        map_in_data(archive)?
    } else if let Some(list) = records.get("GNU.sparse.map") {
        pair_up(list.split(|byte| *byte == b',').filter(|text| !text.is_empty()))?
    } else {
        let is_part = |key: &[u8]| matches!(key, b"GNU.sparse.offset" | b"GNU.sparse.numbytes");
        pair_up(records.pairs().filter(|(key, _)| is_part(key)).map(|(_, value)| value))?
    };
    Ok(Some((stretches, size)))
}

/// Offsets and lengths in turn.
fn pair_up<'a>(numbers: impl Iterator<Item = &'a [u8]>) -> io::Result<Vec<Stretch>> {
    let mut stretches = Vec::new();
    let mut offset = None;
    for text in numbers {
        let number = decimal(text).ok_or_else(damaged)?;
        match offset.take() {
            None => offset = Some(number),
            Some(offset) => push(&mut stretches, offset, number)?,
        }
    }
    Ok(stretches)
}

/// Lines of one number each, how many stretches first, up to the end of a block.
fn map_in_data<R: Read>(archive: &mut Archive<R>) -> io::Result<Vec<Stretch>> {
    let mut lines = Lines { archive, block: [0; BLOCK], at: BLOCK };
    let count = lines.next()?;
    let mut stretches = Vec::new();
    for _ in 0..count {
        let (offset, length) = (lines.next()?, lines.next()?);
        push(&mut stretches, offset, length)?;
    }
    Ok(stretches)
}

struct Lines<'a, R> {
    archive: &'a mut Archive<R>,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn next(&mut self) -> io::Result<u64> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.archive.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block.get(self.at).copied().unwrap_or_default();
            self.at += 1;
            match byte {
                b'\n' => break,
                byte if byte.is_ascii_digit() && digits.len() < 20 => digits.push(byte),
                _ => return Err(damaged()),
            }
        }
        decimal(&digits).ok_or_else(damaged)
    }
}
