//! Carrying a restore out: one thread walks the tree and makes directories, links and devices; the
//! engine's workers write and finish the files.
//!
//! What waits for its bytes keeps its directory open, so the number of such directories is bounded,
//! too: where it is reached, the walk waits for the files under way.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind, FileContent};
use nightjar_repository::read::{FileFeed, Reader};
use rustix::process::{Resource, getrlimit};

use crate::error::SourceError;
use crate::listing::sorted_names;
use crate::restore::attributes::{self, Object, Standing};
use crate::restore::directory::{OpenDirectory, is_directory, look};
use crate::restore::file::{FileTarget, skip};
use crate::restore::links::{First, Inode, Links, Made, Role};
use crate::restore::run::Run;
use crate::restore::select::{Selection, Step};
use crate::restore::tally::count;
use crate::restore::{RestoreRequest, below, delete, existing, special};

/// Restores what is selected into a directory.
pub(crate) fn execute(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
    run: &Arc<Run>,
) -> Result<(), SourceError> {
    let mut selection = Selection::open(reader, request)?;
    let root = Arc::new(OpenDirectory::destination(run, directory, selection.subtree())?);
    let walked = reader.restore_files(|files| {
        let mut execution = Execution {
            reader,
            run,
            files,
            open: vec![Arc::clone(&root)],
            links: Links::default(),
            most_open: most_open(),
        };
        let walked = execution.walk(&mut selection, &root);
        if walked.is_err() {
            // Before the directories that are open are let go: not all in them is done.
            run.tally.break_off();
        }
        walked
    });
    // What the destination said comes first: the rest follows from it.
    let outcome = run.tally.check().and(walked).and_then(|()| root.still_at(directory));
    if outcome.is_err() {
        run.tally.break_off();
    }
    drop(root);
    outcome.and_then(|()| run.tally.check())
}

/// Directories that may be open for the sake of files under way: a part of what the system grants,
/// for the index and the store open files, too.
fn most_open() -> usize {
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
    usize::try_from(granted / 4).unwrap_or(usize::MAX).clamp(64, 16 << 10)
}

struct Execution<'e, 'f, 'scope, 'a> {
    reader: &'e Reader<'a>,
    run: &'e Arc<Run>,
    files: &'e mut FileFeed<'f, 'scope, 'a>,
    /// From the destination down to where the walk is.
    open: Vec<Arc<OpenDirectory>>,
    links: Links,
    most_open: usize,
}

impl Execution<'_, '_, '_, '_> {
    fn walk(
        &mut self,
        selection: &mut Selection<'_>,
        root: &OpenDirectory,
    ) -> Result<(), SourceError> {
        if selection.is_whole() {
            self.mirror(root, selection.root())?;
        }
        while let Some(step) = selection.next(self.reader)? {
            if self.run.tally.is_stopped() {
                return Ok(());
            }
            if !self.step(step)? {
                selection.skip();
            }
        }
        self.make_links(root)
    }

    /// Restores an entry. Whether what lies in it is to follow.
    fn step(&mut self, step: Step) -> Result<bool, SourceError> {
        self.open.truncate(step.depth());
        let Some(parent) = self.open.last().map(Arc::clone) else {
            return Ok(false);
        };
        let Step { visited, whole } = step;
        let (path, entry) = (visited.path, visited.entry);
        match &entry.kind {
            EntryKind::Directory { root } => {
                self.clear_the_way(&parent, &entry);
                let root = Some(*root).filter(|_| whole);
                self.directory(&parent, &entry, root)
            }
            EntryKind::File(content) => {
                let content = content.clone();
                self.file(&parent, &path, entry, &content)?;
                Ok(true)
            }
            _ => {
                self.special(&parent, &path, entry)?;
                Ok(true)
            }
        }
    }

    fn fail(&self, action: &'static str, parent: &OpenDirectory, entry: &Entry, why: io::Error) {
        self.run.tally.fail(action, &below(parent.path(), &entry.name), why);
    }

    /// Removes what stands in the place of a directory, if that is allowed. (What replaces a
    /// directory does so in the moment in which it is whole.)
    fn clear_the_way(&self, parent: &OpenDirectory, entry: &Entry) {
        if parent.made() || !self.run.delete {
            return;
        }
        if let Ok(Some(there)) = look(parent.as_fd(), &entry.name)
            && !is_directory(&there)
        {
            delete::remove(self.run, parent.as_fd(), &entry.name, parent.path());
        }
    }

    /// Enters a directory. `mirrored`: the snapshot's, if nothing else is to be in it.
    fn directory(
        &mut self,
        parent: &Arc<OpenDirectory>,
        entry: &Entry,
        mirrored: Option<BlobId>,
    ) -> Result<bool, SourceError> {
        let waiting = self.run.open_directories.load(Ordering::Relaxed);
        if waiting.saturating_sub(self.open.len()) >= self.most_open
            && let Some(root) = self.open.first().map(Arc::clone)
        {
            // Links that wait keep directories open as well.
            self.make_links(&root)?;
        }
        let entered = match parent.enter(entry) {
            Ok(entered) => Arc::new(entered),
            Err(error) => {
                self.fail("enter", parent, entry, error);
                return Ok(false);
            }
        };
        count(&self.run.tally.directories);
        if let Some(root) = mirrored {
            self.mirror(&entered, root)?;
        }
        self.open.push(entered);
        Ok(true)
    }

    /// Sees to it that what stands in a directory and not in the snapshot's is removed.
    fn mirror(&self, directory: &OpenDirectory, root: BlobId) -> Result<(), SourceError> {
        if !self.run.delete || directory.made() {
            return Ok(());
        }
        match sorted_names(directory) {
            Ok(names) => {
                directory.remove_in_the_end(delete::extras(self.reader, root, names)?);
            }
            Err(error) => self.run.tally.fail("list", directory.path(), error),
        }
        Ok(())
    }

    fn special(
        &mut self,
        parent: &Arc<OpenDirectory>,
        path: &[u8],
        entry: Entry,
    ) -> Result<(), SourceError> {
        let made = match self.role(path, &entry) {
            Role::Link(first) => return self.wait(parent, entry, first),
            Role::First(made) => Some(made),
            Role::Alone => None,
        };
        match special::restore(parent, &entry) {
            Ok(inode) => {
                made.zip(inode).into_iter().for_each(|(made, inode)| made.tell(inode));
            }
            Err(error) => self.fail("restore", parent, &entry, error),
        }
        Ok(())
    }

    fn role(&mut self, path: &[u8], entry: &Entry) -> Role {
        entry.hard_link.map_or(Role::Alone, |key| self.links.role(key, path, entry))
    }

    /// Lets a link wait for the file that it leads to.
    fn wait(
        &mut self,
        parent: &Arc<OpenDirectory>,
        entry: Entry,
        first: Arc<First>,
    ) -> Result<(), SourceError> {
        if self.links.wait(parent, entry, first)
            && let Some(root) = self.open.first().map(Arc::clone)
        {
            self.make_links(&root)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        parent: &Arc<OpenDirectory>,
        path: &[u8],
        entry: Entry,
        content: &FileContent,
    ) -> Result<(), SourceError> {
        let made = match self.role(path, &entry) {
            Role::Link(first) => return self.wait(parent, entry, first),
            Role::First(made) => Some(made),
            Role::Alone => None,
        };
        if !parent.made() && self.keep(parent, &entry, content, made.as_deref())? {
            return Ok(());
        }
        self.push(parent, entry, content, made)
    }

    fn push(
        &mut self,
        parent: &Arc<OpenDirectory>,
        entry: Entry,
        content: &FileContent,
        made: Option<Arc<Made>>,
    ) -> Result<(), SourceError> {
        let target = Box::new(FileTarget::new(parent, entry, content, made));
        Ok(self.files.push(&content.content, content.data_bytes(), target)?)
    }

    /// Leaves the file that stands there, if it is right, but for its attributes.
    fn keep(
        &self,
        parent: &OpenDirectory,
        entry: &Entry,
        content: &FileContent,
        made: Option<&Made>,
    ) -> Result<bool, SourceError> {
        let kept = existing::kept(self.reader, self.run, parent.as_fd(), entry, content)?;
        let Some(kept) = kept else { return Ok(false) };
        let object = Object::Open(kept.file.as_fd());
        match attributes::set(self.run, &object, entry, Standing::There) {
            Ok(()) => {
                count(&self.run.tally.files);
                count(&self.run.tally.unchanged);
                if let Some(made) = made {
                    made.tell(Inode::of(&kept.stat));
                }
            }
            Err(error) => self.fail("set the attributes of", parent, entry, error),
        }
        skip(self.reader.progress(), content);
        Ok(true)
    }

    fn count_link(&self, entry: &Entry) {
        count(&self.run.tally.links);
        match &entry.kind {
            EntryKind::File(content) => {
                count(&self.run.tally.files);
                skip(self.reader.progress(), content);
            }
            _ => count(&self.run.tally.others),
        }
    }

    /// Makes the links that wait, once the files that they lead to are done.
    fn make_links(&mut self, root: &OpenDirectory) -> Result<(), SourceError> {
        self.files.drain()?;
        for waiting in self.links.take() {
            let (parent, entry) = (&waiting.directory, &waiting.entry);
            match waiting.link(root) {
                Ok(true) => self.count_link(entry),
                Ok(false) => match &entry.kind {
                    EntryKind::File(content) => self.push(parent, entry.clone(), content, None)?,
                    _ => {
                        if let Err(error) = special::restore(parent, entry) {
                            self.fail("restore", parent, entry, error);
                        }
                    }
                },
                Err(error) => self.fail("link", parent, entry, error),
            }
        }
        Ok(())
    }
}
