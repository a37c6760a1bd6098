//! Files with several names.
//!
//! The first name of a file is read; the others take its content, as long as the file is still
//! what was read then. What is known of a file is dropped with its last name, and files whose
//! other names lie outside the tree do not pile up beyond a bound: beyond it, each name is read.

use std::collections::HashMap;

use nightjar_repository::ingest::FileState;

use crate::tree::status::Status;

/// Files of which further names are expected, at most.
const MOST: usize = 1 << 20;

/// A file on its device.
type Identity = ((u32, u32), u64);

struct Known {
    /// What was read; nothing if it was found unchanged.
    read: Option<FileState>,
    /// Names not met yet.
    left: u32,
}

/// What a name is to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// The first that is met, or one that must be read like it.
    First,
    /// Another one of a file that was read. Whether it is the last.
    Read { last: bool },
    /// Another one of a file that was found unchanged.
    Unchanged,
}

/// The files with several names that were met.
#[derive(Default)]
pub(crate) struct Links {
    known: HashMap<Identity, Known>,
}

fn identity(status: &Status) -> Identity {
    (status.device(), status.inode())
}

/// What names of one file have in common in a snapshot: nothing if it has one name only. The same
/// each night, while devices keep their numbers.
pub(crate) fn number(status: &Status) -> Option<u64> {
    if status.links() < 2 || status.is_directory() {
        return None;
    }
    let (major, minor) = status.device();
    let device = u64::from(major) << 32 | u64::from(minor);
    // Spreads devices over all bits: two files of two devices shall not have the same number.
    Some(status.inode() ^ device.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Links {
    /// Meets a name.
    pub(crate) fn meet(&mut self, status: &Status) -> Name {
        let Some(known) = self.known.get_mut(&identity(status)) else { return Name::First };
        known.left = known.left.saturating_sub(1);
        let last = known.left == 0;
        let name = match known.read {
            None => Name::Unchanged,
            Some(state) if state == status.state() => Name::Read { last },
            Some(_) => Name::First,
        };
        if last {
            self.known.remove(&identity(status));
        }
        name
    }

    /// Whether more names of a file may be expected after its first one.
    pub(crate) fn expects_more(&self, status: &Status) -> bool {
        status.links() > 1 && self.known.len() < MOST
    }

    /// The first name was read, and the file was this when that ended.
    pub(crate) fn was_read(&mut self, status: &Status) {
        self.learn(status, Some(status.state()));
    }

    /// The first name was found unchanged.
    pub(crate) fn was_unchanged(&mut self, status: &Status) {
        if self.expects_more(status) {
            self.learn(status, None);
        }
    }

    fn learn(&mut self, status: &Status, read: Option<FileState>) {
        let left = status.links().saturating_sub(1);
        self.known.entry(identity(status)).or_insert(Known { read, left });
    }
}
