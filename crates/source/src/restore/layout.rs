//! Files with holes: seeking over them on disk, writing zeros for them elsewhere.

use std::collections::VecDeque;
use std::fs::File;
use std::io;

use nightjar_format::manifest::{FileContent, Hole};
use nightjar_repository::RepositoryError;
use nightjar_repository::read::Reader;

use crate::error::SourceError;

/// Seeks over holes while it writes.
pub(crate) struct Sparse<'a> {
    file: &'a mut File,
    holes: VecDeque<Hole>,
    position: u64,
}

impl<'a> Sparse<'a> {
    pub(crate) fn new(file: &'a mut File, holes: &[Hole]) -> Self {
        Self { file, holes: holes.to_vec().into(), position: 0 }
    }
}

impl io::Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        while let Some(hole) = self.holes.front().filter(|hole| hole.offset == self.position) {
            self.position += hole.length;
            io::Seek::seek(self.file, io::SeekFrom::Start(self.position))?;
            self.holes.pop_front();
        }
        let room = self.holes.front().map_or(u64::MAX, |hole| hole.offset - self.position);
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let written = self.file.write(bytes.get(..len).unwrap_or_default())?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a file's bytes in order, zeros for its holes.
pub(crate) fn write_in_order(
    reader: &Reader<'_>,
    content: &FileContent,
    sink: &mut dyn io::Write,
) -> Result<(), SourceError> {
    if content.holes.is_empty() {
        reader.copy_content(&content.content, sink)?;
        return Ok(());
    }
    let mut filled = ZeroFilled { sink, holes: content.holes.clone().into(), position: 0 };
    reader.copy_content(&content.content, &mut filled)?;
    filled.fill().map_err(|source| {
        let what = "cannot write what is restored".into();
        RepositoryError::Stream { what, source }.into()
    })
}

/// Writes zeros where holes are.
struct ZeroFilled<'a> {
    sink: &'a mut dyn io::Write,
    holes: VecDeque<Hole>,
    position: u64,
}

impl ZeroFilled<'_> {
    fn fill(&mut self) -> io::Result<()> {
        while let Some(hole) = self.holes.front().filter(|hole| hole.offset == self.position) {
            let length = hole.length;
            io::copy(&mut io::Read::take(io::repeat(0), length), &mut self.sink)?;
            self.position += length;
            self.holes.pop_front();
        }
        Ok(())
    }
}

impl io::Write for ZeroFilled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.fill()?;
        let room = self.holes.front().map_or(u64::MAX, |hole| hole.offset - self.position);
        let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let written = self.sink.write(bytes.get(..len).unwrap_or_default())?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
