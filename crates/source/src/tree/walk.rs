//! The walk from directory to directory.

use std::collections::{BTreeMap, btree_map};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_format::{BlobId, limits};
use nightjar_repository::manifest::walk::join;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::error::SourceError;
use crate::listing::sorted_names;
use crate::tree::entry::EntryFeeder;
use crate::tree::exclude::Filter;
use crate::tree::place::{Place, Reached, open_directory};
use crate::tree::roots::{Root, is_mount_point};
use crate::tree::status::Status;

/// Goes through what was given.
pub(crate) struct Walker<'a, 'b> {
    entries: EntryFeeder<'a, 'b>,
    filter: Filter,
    /// From the root of the snapshot down to the directory that is read.
    open: Vec<OpenDirectory>,
}

/// A directory that is read.
struct OpenDirectory {
    /// Nothing where only what was given is visited.
    fd: Option<OwnedFd>,
    /// As messages name it.
    path: PathBuf,
    /// Its path in the snapshot.
    place: Vec<u8>,
    /// The file system of the path that was given.
    home: (u32, u32),
    names: Names,
    /// Its entry; the snapshot's root has none.
    entry: Option<Entry>,
}

/// Names not visited yet, in order.
enum Names {
    /// All there are.
    All(std::vec::IntoIter<Box<[u8]>>),
    /// Those that were given, or lead to such.
    Given(btree_map::IntoIter<Vec<u8>, Root>),
}

impl<'a, 'b> Walker<'a, 'b> {
    pub(crate) fn new(entries: EntryFeeder<'a, 'b>, filter: Filter) -> Self {
        Self { entries, filter, open: Vec::new() }
    }

    pub(crate) fn walk(mut self, root: Root) -> Result<(), SourceError> {
        self.open_root(root)?;
        while let Some(directory) = self.open.last_mut() {
            match &mut directory.names {
                Names::All(names) => match names.next() {
                    Some(name) => self.visit(&name)?,
                    None => self.leave()?,
                },
                Names::Given(names) => match names.next() {
                    Some((name, root)) => self.visit_given(name, root)?,
                    None => self.leave()?,
                },
            }
        }
        Ok(())
    }

    fn open_root(&mut self, root: Root) -> Result<(), SourceError> {
        let mut directory = OpenDirectory {
            fd: None,
            path: root.path,
            place: Vec::new(),
            home: (0, 0),
            names: Names::Given(root.below.into_iter()),
            entry: None,
        };
        if root.given.is_some() {
            let path = directory.path.clone();
            let fail = |error: io::Error| SourceError::Path { path, why: error.to_string() };
            self.fill(&mut directory).map_err(fail)?;
        }
        self.open.push(directory);
        Ok(())
    }

    /// Opens a directory that was given by its path, to visit all that is in it.
    fn fill(&mut self, directory: &mut OpenDirectory) -> io::Result<()> {
        let fd = open_directory(&directory.path)?;
        let status = Status::of(&fd)?;
        if self.filter.is_own(&status) {
            return Err(io::Error::other("it is the repository itself, or its cache"));
        }
        directory.home = status.device();
        directory.names = names(&fd, &self.filter)?;
        self.enter_filter(&fd, &directory.path, &directory.place);
        directory.fd = Some(fd);
        Ok(())
    }

    fn enter_filter(&mut self, directory: &OwnedFd, path: &Path, place: &[u8]) {
        for complaint in self.filter.enter(directory, place) {
            self.entries.notes.warn(format!("{}: {complaint}", path.display()));
        }
    }

    fn leave(&mut self) -> Result<(), SourceError> {
        let Some(directory) = self.open.pop() else { return Ok(()) };
        if directory.fd.is_some() {
            self.filter.leave();
        }
        match directory.entry {
            Some(entry) => Ok(self.entries.feeder.leave_directory(entry)?),
            None => Ok(()),
        }
    }

    /// Visits a name of the directory that is open.
    fn visit(&mut self, name: &[u8]) -> Result<(), SourceError> {
        let Self { entries, filter, open } = self;
        let Some((directory, fd)) = open.last().and_then(|it| Some((it, it.fd.as_ref()?))) else {
            return Ok(());
        };
        let place = Place {
            name: name.to_vec(),
            path: directory.path.join(OsStr::from_bytes(name)),
            place: join(&directory.place, name),
            home: directory.home,
            reached: Reached::In(fd.as_fd()),
        };
        let status = match place.status() {
            Ok(status) => status,
            Err(error) => {
                entries.unreadable(&place.path, &error);
                return Ok(());
            }
        };
        let depth = open.len();
        let entered = visit_place(entries, filter, &place, &status, depth)?;
        self.enter(entered)
    }

    /// Visits a path that was given, or leads to such.
    fn visit_given(&mut self, name: Vec<u8>, root: Root) -> Result<(), SourceError> {
        let above = self.open.last().map(|it| it.place.as_slice()).unwrap_or_default();
        let (path, place) = (root.path.clone(), join(above, &name));
        let follow = root.given.is_none_or(|given| given.follow);
        let reached = Reached::ByPath { follow };
        let mut place = Place { name, path, place, home: (0, 0), reached };
        let status = match place.status() {
            Ok(status) => status,
            Err(error) => return self.missing(&root, &error),
        };
        place.home = status.device();
        if root.given.is_none() {
            if !status.is_directory() {
                return self.missing(&root, &Errno::NOTDIR.into());
            }
            return self.lead(place, &status, root.below);
        }
        let what = match status.kind() {
            FileType::RegularFile | FileType::Directory => None,
            FileType::Symlink => Some("a symbolic link"),
            _ => Some("not a file"),
        };
        if let Some(what) = what {
            let path = place.path.display();
            self.entries.notes.warn(format!("{path} is {what}: nothing behind it is stored"));
        }
        if root.must_exist() && self.filter.is_own(&status) {
            let why = "it is the repository itself, or its cache".to_owned();
            return Err(SourceError::Path { path: place.path, why });
        }
        if root.must_exist() && self.filter.leaves_out(&place.place, &status) {
            let path = place.path.display();
            let why = "what is to be excluded matches it";
            self.entries.notes.warn(format!("{path} was named but is not stored: {why}"));
        }
        let depth = self.open.len();
        let entered = visit_place(&mut self.entries, &mut self.filter, &place, &status, depth)?;
        // Now it is open: if that was an empty mount point, it still shows.
        refuse_unmounted(&root, &place.path)?;
        self.enter(entered)
    }

    /// A path that was named must be there: leaving it out in silence would be a lie. One that was
    /// listed may have gone.
    fn missing(&mut self, root: &Root, error: &io::Error) -> Result<(), SourceError> {
        for (path, given) in root.all_given() {
            if given.must_exist {
                return Err(SourceError::Path { path: path.into(), why: error.to_string() });
            }
            self.entries.unreadable(path, error);
        }
        Ok(())
    }

    /// Enters a directory of which only what was given is stored.
    fn lead(
        &mut self,
        place: Place<'_>,
        status: &Status,
        below: BTreeMap<Vec<u8>, Root>,
    ) -> Result<(), SourceError> {
        let attributes = self.entries.attributes_at(&place, status);
        let entry = self.entries.new_entry(&place, status, attributes, no_root());
        self.entries.feeder.enter_directory(&place.name)?;
        self.open.push(OpenDirectory {
            fd: None,
            path: place.path,
            place: place.place,
            home: place.home,
            names: Names::Given(below.into_iter()),
            entry: Some(entry),
        });
        Ok(())
    }

    fn enter(&mut self, directory: Option<OpenDirectory>) -> Result<(), SourceError> {
        let Some(directory) = directory else { return Ok(()) };
        if let Some(fd) = &directory.fd {
            self.enter_filter(fd, &directory.path, &directory.place);
        }
        self.open.push(directory);
        Ok(())
    }
}

/// A mount point whose disk was removed while other paths were read is empty, which must not be
/// taken for what was to be stored.
fn refuse_unmounted(root: &Root, path: &Path) -> Result<(), SourceError> {
    if root.given.is_none_or(|given| !given.mounted) || is_mount_point(path) {
        return Ok(());
    }
    let why = "a file system was mounted there when the run began, and is no more";
    Err(SourceError::Path { path: path.to_path_buf(), why: why.into() })
}

/// The engine puts the root in when it has built the directory.
const fn no_root() -> EntryKind {
    EntryKind::Directory { root: BlobId([0; 32]) }
}

/// Stores what stands at a place, unless it is left out. A directory is begun, and its names are to
/// be visited.
fn visit_place(
    entries: &mut EntryFeeder<'_, '_>,
    filter: &mut Filter,
    place: &Place<'_>,
    status: &Status,
    depth: usize,
) -> Result<Option<OpenDirectory>, SourceError> {
    let (own, unwanted) = (filter.is_own(status), filter.leaves_out(&place.place, status));
    if own && !unwanted {
        let path = place.path.display();
        let what = "nightjar's own, the repository or its cache";
        entries.notes.warn(format!("{path} is not stored: it is {what}"));
    }
    if own || unwanted {
        entries.notes.left_out += 1;
        return Ok(None);
    }
    match status.kind() {
        FileType::RegularFile => entries.file(place, status).map(|()| None),
        FileType::Directory => begin_directory(entries, filter, place, status, depth),
        kind => entries.special(place, status, kind).map(|()| None),
    }
}

fn begin_directory(
    entries: &mut EntryFeeder<'_, '_>,
    filter: &Filter,
    place: &Place<'_>,
    status: &Status,
    depth: usize,
) -> Result<Option<OpenDirectory>, SourceError> {
    let opened = if depth >= limits::DIRECTORY_DEPTH {
        Err(io::Error::other("it lies too deep"))
    } else if filter.stops_at(place.home, status) {
        Ok((None, *status, Names::All(Vec::new().into_iter())))
    } else {
        open_names(place, filter)
    };
    let (fd, status, names) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            entries.unreadable(&place.path, &error);
            return Ok(None);
        }
    };
    let attributes = match &fd {
        Some(fd) => entries.attributes_of(place, &status, fd),
        None => entries.attributes_at(place, &status),
    };
    let entry = entries.new_entry(place, &status, attributes, no_root());
    entries.feeder.enter_directory(&place.name)?;
    Ok(Some(OpenDirectory {
        fd,
        path: place.path.clone(),
        place: place.place.clone(),
        home: place.home,
        names,
        entry: Some(entry),
    }))
}

fn open_names(place: &Place<'_>, filter: &Filter) -> io::Result<(Option<OwnedFd>, Status, Names)> {
    let fd = place.open(OFlags::DIRECTORY)?;
    let (status, names) = (Status::of(&fd)?, names(&fd, filter)?);
    Ok((Some(fd), status, names))
}

fn names(directory: &OwnedFd, filter: &Filter) -> io::Result<Names> {
    if let Some(name) = filter.only_name(directory) {
        return Ok(Names::All(vec![name.as_bytes().into()].into_iter()));
    }
    Ok(Names::All(sorted_names(directory)?.into_iter()))
}
