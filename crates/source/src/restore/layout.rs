//! Where the bytes of a file with holes lie: on disk, and in a stream.

use std::collections::VecDeque;
use std::io;

use nightjar_format::manifest::{FileContent, Hole};
use nightjar_repository::RepositoryError;
use nightjar_repository::read::Reader;

use crate::error::SourceError;

/// The stretches of data between a file's holes.
pub(crate) struct Layout {
    /// Where each begins: its position among the data, and its offset in the file.
    stretches: Vec<(u64, u64)>,
}

impl Layout {
    /// Holes are sorted, not empty and do not overlap: the format's decoder has seen to it.
    pub(crate) fn new(holes: &[Hole]) -> Self {
        let mut stretches = vec![(0, 0)];
        let mut before = 0u64;
        for hole in holes {
            let position = hole.offset.saturating_sub(before);
            before = before.saturating_add(hole.length);
            stretches.push((position, hole.offset.saturating_add(hole.length)));
        }
        Self { stretches }
    }

    /// The offset of a position of the data, and how many bytes from there on lie together.
    pub(crate) fn place(&self, position: u64) -> (u64, u64) {
        let next = self.stretches.partition_point(|(start, _)| *start <= position);
        let (start, offset) =
            next.checked_sub(1).and_then(|at| self.stretches.get(at)).copied().unwrap_or_default();
        let room = self.stretches.get(next).map_or(u64::MAX, |(end, _)| end - position);
        (offset.saturating_add(position - start), room)
    }
}

/// Reads a file's data, leaving out its holes, which must hold nothing but zeros.
pub(crate) struct DataReader<R> {
    file: R,
    holes: VecDeque<Hole>,
    position: u64,
    zeros: bool,
}

impl<R: io::Read> DataReader<R> {
    pub(crate) fn new(file: R, holes: &[Hole]) -> Self {
        Self { file, holes: holes.to_vec().into(), position: 0, zeros: true }
    }

    /// Whether there were only zeros in the holes that were passed.
    pub(crate) fn holes_were_empty(&self) -> bool {
        self.zeros && self.holes.is_empty()
    }

    fn pass_hole(&mut self, hole: Hole) -> io::Result<()> {
        let mut left = hole.length;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.file.read(buffer.get_mut(..len).unwrap_or_default())?;
            let seen = buffer.get(..read).unwrap_or_default();
            if read == 0 || seen.iter().any(|byte| *byte != 0) {
                self.zeros = false;
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
        }
        self.position += hole.length;
        Ok(())
    }
}

impl<R: io::Read> io::Read for DataReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(hole) = self.holes.front().filter(|hole| hole.offset == self.position) {
            let hole = *hole;
            self.holes.pop_front();
            self.pass_hole(hole)?;
        }
        let room = self.holes.front().map_or(u64::MAX, |hole| hole.offset - self.position);
        let len = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let read = self.file.read(buffer.get_mut(..len).unwrap_or_default())?;
        self.position += read as u64;
        Ok(read)
    }
}

/// Writes a file's bytes in order, zeros for its holes.
pub(crate) fn write_in_order(
    reader: &Reader<'_>,
    file: &FileContent,
    sink: &mut dyn io::Write,
) -> Result<(), SourceError> {
    let mut filled = ZeroFilled { filler: ZeroFiller::new(&file.holes), sink };
    reader.copy_content(&file.content, file.data_bytes(), &mut filled)?;
    filled.filler.fill(filled.sink).map_err(|source| {
        let what = "cannot write what is restored".into();
        RepositoryError::Stream { what, source }.into()
    })
}

/// Writes zeros where a file's holes are.
#[derive(Debug, Default)]
pub(crate) struct ZeroFiller {
    holes: VecDeque<Hole>,
    position: u64,
}

impl ZeroFiller {
    pub(crate) fn new(holes: &[Hole]) -> Self {
        Self { holes: holes.to_vec().into(), position: 0 }
    }

    /// Bytes that were written, holes among them.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Writes the holes that lie here.
    pub(crate) fn fill(&mut self, sink: &mut dyn io::Write) -> io::Result<()> {
        while let Some(hole) = self.holes.front().filter(|hole| hole.offset == self.position) {
            let length = hole.length;
            io::copy(&mut io::Read::take(io::repeat(0), length), sink)?;
            self.position += length;
            self.holes.pop_front();
        }
        Ok(())
    }

    /// Writes data, and the holes before and within it; how much of the data was written.
    pub(crate) fn write(&mut self, data: &[u8], sink: &mut dyn io::Write) -> io::Result<usize> {
        self.fill(sink)?;
        let room = self.holes.front().map_or(u64::MAX, |hole| hole.offset - self.position);
        let len = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let written = sink.write(data.get(..len).unwrap_or_default())?;
        self.position += written as u64;
        Ok(written)
    }
}

/// A sink that takes data, and gets the holes as well.
pub(crate) struct ZeroFilled<'a> {
    pub(crate) filler: ZeroFiller,
    pub(crate) sink: &'a mut dyn io::Write,
}

impl io::Write for ZeroFilled<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.filler.write(data, self.sink)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const HOLES: [Hole; 3] = [
        Hole { offset: 0, length: 4 },
        Hole { offset: 6, length: 2 },
        Hole { offset: 8, length: 3 },
    ];

    #[test]
    fn data_lies_between_the_holes() {
        let layout = Layout::new(&HOLES);
        assert_eq!(layout.place(0), (4, 2));
        assert_eq!(layout.place(1), (5, 1));
        assert_eq!(layout.place(2), (11, u64::MAX));
        assert_eq!(layout.place(9), (18, u64::MAX));
        assert_eq!(Layout::new(&[]).place(7), (7, u64::MAX));
    }

    #[test]
    fn a_hole_that_holds_something_is_noticed() {
        let read = |bytes: &[u8]| {
            let mut data = DataReader::new(bytes, &HOLES);
            let mut found = Vec::new();
            data.read_to_end(&mut found).map(|_| found)
        };
        assert_eq!(read(b"\0\0\0\0ab\0\0\0\0\0cd").unwrap(), b"abcd");
        assert!(read(b"\0\0\0\0ab\0\0\0x\0cd").is_err());
        assert!(read(b"\0\0\0\0ab\0\0").is_err());
    }
}
