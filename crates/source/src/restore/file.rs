//! One regular file on its way: workers write its pieces, and the last one finishes it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use nightjar_format::manifest::{Entry, FileContent};
use nightjar_repository::Progress;
use nightjar_repository::read::{Target, TargetFailure};
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, ftruncate, openat};
use rustix::io::Errno;

use crate::restore::attributes::{self, Object};
use crate::restore::below;
use crate::restore::directory::OpenDirectory;
use crate::restore::layout::Layout;
use crate::restore::links::{Inode, Made};
use crate::restore::tally::count;
use crate::restore::temporary::Temporary;

/// Files from this size on get their room at once: a full disk is noticed early, and the file lies
/// together.
const PREALLOCATED_BYTES: u64 = 1 << 20;

type Opened = (Temporary, File);

/// A file of the destination that the engine writes.
pub(crate) struct FileTarget {
    directory: Arc<OpenDirectory>,
    entry: Entry,
    size: u64,
    data_bytes: u64,
    layout: Layout,
    /// Made with the first piece, by whichever worker has it: until then it takes no descriptor.
    opened: OnceLock<rustix::io::Result<Opened>>,
    /// Told where other names of the same file are to be linked to.
    made: Option<Arc<Made>>,
    is_done: bool,
}

impl FileTarget {
    pub(crate) fn new(
        directory: &Arc<OpenDirectory>,
        entry: Entry,
        content: &FileContent,
        made: Option<Arc<Made>>,
    ) -> Self {
        Self {
            directory: Arc::clone(directory),
            entry,
            size: content.size,
            data_bytes: content.data_bytes(),
            layout: Layout::new(&content.holes),
            opened: OnceLock::new(),
            made,
            is_done: false,
        }
    }

    fn open(&self) -> rustix::io::Result<Opened> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let (temporary, fd) =
            Temporary::make(&self.directory, |at, name| openat(at, name, flags, mode))?;
        let file = File::from(fd);
        if self.size >= PREALLOCATED_BYTES && self.size == self.data_bytes {
            preallocate(&file, self.size)?;
        }
        Ok((temporary, file))
    }

    fn file(&self) -> io::Result<&File> {
        match self.opened.get_or_init(|| self.open()) {
            Ok((_, file)) => Ok(file),
            Err(error) => Err((*error).into()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        let file = self.file()?;
        if self.size != self.data_bytes {
            ftruncate(file, self.size)?;
        }
        let object = Object::Open(file.as_fd());
        attributes::set(self.directory.run(), &object, &self.entry, self.directory.standing())?;
        let made = self.made.clone().map(|made| Ok::<_, Errno>((made, object.stat()?)));
        let made = made.transpose()?;
        if let Some(Ok((temporary, _file))) = self.opened.take() {
            temporary.rename(&self.entry.name)?;
        }
        if let Some((made, stat)) = made {
            made.tell(Inode::of(&stat));
        }
        Ok(())
    }
}

fn preallocate(file: &File, size: u64) -> rustix::io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, size) {
        // The file system can do without, or cannot do it.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        outcome => outcome,
    }
}

impl Target for FileTarget {
    fn write_at(&self, mut position: u64, mut bytes: &[u8]) -> io::Result<()> {
        if self.directory.run().tally.is_stopped() {
            return Err(io::Error::other("the restore was stopped"));
        }
        let file = self.file()?;
        while !bytes.is_empty() {
            let (offset, room) = self.layout.place(position);
            let len = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (now, later) = bytes.split_at(len);
            file.write_all_at(now, offset)?;
            position += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    fn done(mut self: Box<Self>, outcome: Result<(), TargetFailure>) {
        self.is_done = true;
        let tally = &Arc::clone(self.directory.run()).tally;
        if tally.is_stopped() {
            return;
        }
        let path = below(self.directory.path(), &self.entry.name);
        match outcome {
            Ok(()) => match self.finish() {
                Ok(()) => {
                    count(&tally.files);
                    tally.bytes.fetch_add(self.data_bytes, Ordering::Relaxed);
                }
                Err(error) => tally.fail("restore", &path, error),
            },
            Err(TargetFailure::Damaged(error)) => tally.damage(&path, &error),
            Err(TargetFailure::Write(error)) => tally.fail("write", &path, error),
        }
    }
}

impl Drop for FileTarget {
    fn drop(&mut self) {
        if !self.is_done {
            // Before its directory is let go, which is not what it was to become.
            self.directory.run().tally.break_off();
        }
    }
}

/// Counts what need not be written as done.
pub(crate) fn skip(progress: &Progress, content: &FileContent) {
    Progress::add(&progress.bytes, content.data_bytes());
}
