//! What the file system says of a file.

use std::os::fd::AsFd;

use nightjar_format::manifest::{Origin, Timestamp};
use nightjar_repository::ingest::FileState;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, StatxTimestamp, statx};
use rustix::io::Result;
use rustix::path::Arg;

/// `statx(2)` of one file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Status(Statx);

impl Status {
    /// Of a name in a directory; of the link itself, where it is one.
    pub(crate) fn at(directory: impl AsFd, name: impl Arg) -> Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        statx(directory, name, flags, StatxFlags::BASIC_STATS).map(Self)
    }

    /// Of what a path leads to, links followed.
    pub(crate) fn followed(path: impl Arg) -> Result<Self> {
        statx(CWD, path, AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS).map(Self)
    }

    /// Of what is open.
    pub(crate) fn of(file: impl AsFd) -> Result<Self> {
        statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(Self)
    }

    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.0.stx_mode.into())
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind() == FileType::Directory
    }

    /// Permission bits, setuid, setgid, sticky.
    pub(crate) fn mode(&self) -> u32 {
        u32::from(self.0.stx_mode) & 0o7777
    }

    pub(crate) fn uid(&self) -> u32 {
        self.0.stx_uid
    }

    pub(crate) fn gid(&self) -> u32 {
        self.0.stx_gid
    }

    /// In bytes.
    pub(crate) fn size(&self) -> u64 {
        self.0.stx_size
    }

    /// What it takes on disk, in bytes.
    pub(crate) fn allocated(&self) -> u64 {
        self.0.stx_blocks.saturating_mul(512)
    }

    pub(crate) fn links(&self) -> u32 {
        self.0.stx_nlink
    }

    /// The file system it lies on.
    pub(crate) fn device(&self) -> (u32, u32) {
        (self.0.stx_dev_major, self.0.stx_dev_minor)
    }

    /// What a device file stands for.
    pub(crate) fn stands_for(&self) -> (u32, u32) {
        (self.0.stx_rdev_major, self.0.stx_rdev_minor)
    }

    pub(crate) fn inode(&self) -> u64 {
        self.0.stx_ino
    }

    pub(crate) fn modified(&self) -> Timestamp {
        timestamp(&self.0.stx_mtime)
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin { changed: timestamp(&self.0.stx_ctime), inode: self.inode() }
    }

    /// What tells that a file has changed.
    pub(crate) fn state(&self) -> FileState {
        FileState { size: self.size(), modified: self.modified(), origin: self.origin() }
    }
}

fn timestamp(time: &StatxTimestamp) -> Timestamp {
    Timestamp { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
}
