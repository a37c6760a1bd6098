//! Hard links: the first name of a file is restored, later ones are linked to it.
//!
//! A snapshot may call anything one file. Only entries that agree in everything but their names
//! are linked; another is restored as a file of its own. Links wait until the files they lead to
//! are done, some together, so that one link does not hold up the files behind it.
//!
//! What stands under the first name when a link is made is compared with what the run put there:
//! somebody may have put something else in its place.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use nightjar_format::manifest::Entry;
use rustix::fs::{AtFlags, Stat, linkat};
use rustix::io::Errno;

use crate::restore::directory::{OpenDirectory, look, open_below};
use crate::restore::temporary::Temporary;

/// Links that wait together.
const MOST_WAITING: usize = 256;

/// Which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode {
    device: u64,
    number: u64,
}

impl Inode {
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, number: stat.st_ino }
    }
}

/// What became of the first name of a file; nothing, if it was not restored.
#[derive(Default)]
pub(crate) struct Made(OnceLock<Inode>);

impl Made {
    pub(crate) fn tell(&self, inode: Inode) {
        // It is told once, by whoever finished the file.
        let _ = self.0.set(inode);
    }

    fn inode(&self) -> Option<Inode> {
        self.0.get().copied()
    }
}

/// The first name of a file.
pub(crate) struct First {
    /// Below the destination.
    path: Vec<u8>,
    /// What all its names have in common.
    entry: Entry,
    made: Arc<Made>,
}

/// A later name.
pub(crate) struct Waiting {
    pub(crate) directory: Arc<OpenDirectory>,
    pub(crate) entry: Entry,
    first: Arc<First>,
}

/// How a name of a linked file is restored.
pub(crate) enum Role {
    /// As a file, that others will be linked to.
    First(Arc<Made>),
    /// As a link.
    Link(Arc<First>),
    /// As a file of its own.
    Alone,
}

/// Files with several names, as far as the walk has seen them.
#[derive(Default)]
pub(crate) struct Links {
    firsts: HashMap<u64, Arc<First>>,
    waiting: Vec<Waiting>,
}

impl Links {
    /// What to do with an entry that stands at a path.
    pub(crate) fn role(&mut self, key: u64, path: &[u8], entry: &Entry) -> Role {
        if let Some(first) = self.firsts.get(&key) {
            let same = nameless(entry) == first.entry;
            return if same { Role::Link(Arc::clone(first)) } else { Role::Alone };
        }
        let made = Arc::<Made>::default();
        let first = First { path: path.to_vec(), entry: nameless(entry), made: Arc::clone(&made) };
        self.firsts.insert(key, Arc::new(first));
        Role::First(made)
    }

    /// Lets a link wait. Whether it is time to make those that do.
    pub(crate) fn wait(
        &mut self,
        directory: &Arc<OpenDirectory>,
        entry: Entry,
        first: Arc<First>,
    ) -> bool {
        self.waiting.push(Waiting { directory: Arc::clone(directory), entry, first });
        self.waiting.len() >= MOST_WAITING
    }

    /// The links that wait.
    pub(crate) fn take(&mut self) -> Vec<Waiting> {
        std::mem::take(&mut self.waiting)
    }
}

fn nameless(entry: &Entry) -> Entry {
    Entry { name: Vec::new(), origin: None, ..entry.clone() }
}

impl Waiting {
    /// Links it to the file below `root` that has the first name. `false` if it cannot be linked
    /// and must be a file of its own.
    pub(crate) fn link(&self, root: &OpenDirectory) -> io::Result<bool> {
        let Some(inode) = self.first.made.inode() else { return Ok(false) };
        let name = self.entry.name.as_slice();
        let there = look(self.directory.as_fd(), name)?;
        if there.is_some_and(|there| Inode::of(&there) == inode) {
            return Ok(true);
        }
        let Some((parent, first)) = self.open_parent(root)? else { return Ok(false) };
        let parent = parent.as_ref().map_or(root.as_fd(), AsFd::as_fd);
        let made = Temporary::make(&self.directory, |at, temporary| {
            linkat(parent, first, at, temporary, AtFlags::empty())
        });
        let temporary = match made {
            Ok((temporary, ())) => temporary,
            Err(Errno::MLINK | Errno::PERM | Errno::XDEV | Errno::NOENT | Errno::OPNOTSUPP) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        let linked = look(self.directory.as_fd(), temporary.name().as_bytes())?;
        if linked.is_none_or(|linked| Inode::of(&linked) != inode) {
            return Ok(false);
        }
        // Two names of one file are not renamed into each other, but this one has another.
        temporary.rename(name)?;
        Ok(true)
    }

    /// The directory that the first name stands in, unless it is the root, and that name.
    fn open_parent(&self, root: &OpenDirectory) -> io::Result<Option<(Option<OwnedFd>, &[u8])>> {
        let mut names = self.first.path.split(|byte| *byte == b'/').peekable();
        let mut open: Option<OwnedFd> = None;
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return Ok(Some((open, name)));
            }
            let below = open_below(open.as_ref().map_or(root.as_fd(), AsFd::as_fd), name);
            open = match below {
                Ok(fd) => Some(fd),
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
        }
        Ok(None)
    }
}
