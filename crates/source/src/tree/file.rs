//! Reading one regular file: what it holds, and where it has holes.

use std::fs::File;
use std::io::{self, Read};

use nightjar_format::manifest::Hole;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::holes::{Longest, MOST_HOLES};
use crate::tree::status::Status;

/// Reads a file's data to the size that it had when it was opened, holes left out.
///
/// An error ends the stream and is kept: one bad file must not end the run.
pub(crate) struct FileReader<'a> {
    file: &'a File,
    /// The holes still ahead.
    ahead: std::vec::IntoIter<Hole>,
    next: Option<Hole>,
    /// The holes that were passed.
    pub(crate) passed: Vec<Hole>,
    position: u64,
    size: u64,
    pub(crate) error: Option<io::Error>,
}

impl<'a> FileReader<'a> {
    pub(crate) fn new(file: &'a File, status: &Status) -> Self {
        let size = status.size();
        let sparse = status.allocated() < size;
        let mut ahead = if sparse { holes(file, size) } else { Vec::new() }.into_iter();
        let next = ahead.next();
        Self { file, ahead, next, passed: Vec::new(), position: 0, size, error: None }
    }

    fn read_data(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(hole) = self.next.take_if(|hole| hole.offset == self.position) {
            self.position += hole.length;
            if self.position < self.size {
                seek(self.file, SeekFrom::Start(self.position))?;
            }
            self.passed.push(hole);
            self.next = self.ahead.next();
        }
        let end = self.next.map_or(self.size, |hole| hole.offset);
        // Files that the kernel makes up have no size.
        let room = if self.size == 0 { u64::MAX } else { end - self.position };
        let len = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        if len == 0 {
            return Ok(0);
        }
        let read = self.file.read(buffer.get_mut(..len).unwrap_or_default())?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read_data(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                self.error = Some(error);
                Ok(0)
            }
            outcome => outcome,
        }
    }
}

/// The holes of a file, the longest if they are too many. The file is left at its beginning.
fn holes(file: &File, size: u64) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut position = 0;
    // Whatever goes wrong here: zeros are read instead.
    while let Ok(offset) = seek(file, SeekFrom::Hole(position))
        && offset < size
    {
        let end = match seek(file, SeekFrom::Data(offset)) {
            Err(Errno::NXIO) => size,
            Err(_) => break,
            Ok(end) => end.min(size),
        };
        holes.push(Hole { offset, length: end - offset });
        if holes.len() >= 2 * MOST_HOLES {
            keep_longest(&mut holes);
        }
        position = end;
        if position >= size {
            break;
        }
    }
    keep_longest(&mut holes);
    match seek(file, SeekFrom::Start(0)) {
        Ok(_) => holes,
        Err(_) => Vec::new(),
    }
}

fn keep_longest(holes: &mut Vec<Hole>) {
    let mut longest = Longest::of(holes.iter().map(|hole| hole.length));
    holes.retain(|hole| longest.keeps(hole.length));
}
