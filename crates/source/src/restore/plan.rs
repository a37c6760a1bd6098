//! What a restore will do, told before it does anything.
//!
//! Every restore begins with a pass over the tree that refuses what cannot be: a path that the
//! snapshot lacks, something in the way. A dry run also counts, and for that looks at each file as
//! the execution would.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nightjar_format::BlobId;
use nightjar_format::manifest::{Entry, EntryKind, FileContent};
use nightjar_repository::read::{Reader, RequestForecast};
use rustix::fs::Stat;
use rustix::io::Errno;

use crate::error::{SourceError, at};
use crate::listing::sorted_names;
use crate::restore::directory::{is_directory, look, open_below, open_destination};
use crate::restore::links::{Links, Role};
use crate::restore::run::Run;
use crate::restore::select::{Selection, Step};
use crate::restore::{Overwrite, RestoreRequest, below, delete, existing};

/// What a restore would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestorePlan {
    /// Directories to make.
    pub directories: u64,
    /// Files to write, those that replace something among them.
    pub files: u64,
    /// Entries that stand there and are replaced.
    pub replaced: u64,
    /// Files that stand there already.
    pub unchanged: u64,
    /// Other names to make of files that are restored.
    pub links: u64,
    /// Links, pipes and devices to make.
    pub others: u64,
    /// Entries to remove.
    pub deleted: u64,
    /// Bytes of files to write.
    pub bytes: u64,
    /// Requests to the store for their content.
    pub requests: u64,
}

/// Goes through the selected entries beside what stands in the destination.
struct Survey<'r, 'a> {
    reader: &'r Reader<'a>,
    request: &'r RestoreRequest<'r>,
    directory: &'r Path,
    selection: Selection<'r>,
    /// The directories on the way to the entry, as far as they exist.
    open: Vec<Option<OwnedFd>>,
}

/// An entry and what stands in its place.
struct Surveyed {
    step: Step,
    there: Option<Stat>,
}

impl<'r, 'a> Survey<'r, 'a> {
    fn begin(
        reader: &'r Reader<'a>,
        request: &'r RestoreRequest<'r>,
        directory: &'r Path,
    ) -> Result<Self, SourceError> {
        let selection = Selection::open(reader, request)?;
        let root = match open_destination(directory) {
            Ok(fd) => Some(fd),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(at("open", directory)(error.into())),
        };
        Ok(Self { reader, request, directory, selection, open: vec![root] })
    }

    /// The directory that the entry returned last stands in, if it exists.
    fn parent(&self, step: &Step) -> Option<BorrowedFd<'_>> {
        let above = self.open.get(step.depth().checked_sub(1)?)?;
        above.as_ref().map(AsFd::as_fd)
    }

    fn next(&mut self) -> Result<Option<Surveyed>, SourceError> {
        let Some(step) = self.selection.next(self.reader)? else {
            self.selection.check_found()?;
            return Ok(None);
        };
        self.open.truncate(step.depth());
        let entry = &step.visited.entry;
        // What cannot even be looked at is told by the execution.
        let there =
            self.parent(&step).and_then(|parent| look(parent, &entry.name).unwrap_or_default());
        let is_socket = matches!(entry.kind, EntryKind::Socket);
        if let Some(stat) = there.as_ref().filter(|_| !is_socket) {
            self.refuse_conflict(&step, stat)?;
        }
        if entry.is_directory() {
            let usable = there.as_ref().is_some_and(is_directory);
            let parent = self.parent(&step).filter(|_| usable);
            let opened = parent.and_then(|parent| open_below(parent, &entry.name).ok());
            self.open.push(opened);
        }
        Ok(Some(Surveyed { step, there }))
    }

    fn refuse_conflict(&self, step: &Step, there: &Stat) -> Result<(), SourceError> {
        let path = || below(self.directory, &step.visited.path);
        let wants_directory = step.visited.entry.is_directory();
        // A directory that is there already is used; a link to one would lead elsewhere.
        match (wants_directory, is_directory(there), self.request.overwrite) {
            (true, true, _) => Ok(()),
            (_, _, Overwrite::Never) => Err(SourceError::Exists { path: path() }),
            (wants, is, _) if wants == is || self.request.delete => Ok(()),
            (wants, ..) => Err(in_the_way(path(), wants)),
        }
    }
}

fn in_the_way(path: PathBuf, wants_directory: bool) -> SourceError {
    let why = if wants_directory {
        "a directory belongs here, but something else is in its place; move it, or let --delete \
         remove it"
    } else {
        "a directory is in the place of something else; move it, or let --delete remove it"
    };
    SourceError::Path { path, why: why.into() }
}

/// Refuses what cannot be restored as it was asked for, and tells the progress how much there is.
pub(crate) fn refuse_conflicts(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<(), SourceError> {
    let mut bytes = 0u64;
    let mut survey = Survey::begin(reader, request, directory)?;
    while let Some(surveyed) = survey.next()? {
        if let EntryKind::File(content) = &surveyed.step.visited.entry.kind {
            bytes = bytes.saturating_add(content.data_bytes());
        }
    }
    reader.progress().total.store(bytes, Ordering::Relaxed);
    Ok(())
}

/// Says what [`restore_to_directory`](crate::restore_to_directory) would do. Writes nothing.
pub fn plan_restore(
    reader: &Reader<'_>,
    request: &RestoreRequest<'_>,
    directory: &Path,
) -> Result<RestorePlan, SourceError> {
    let mut survey = Survey::begin(reader, request, directory)?;
    let mut counting = Counting {
        reader,
        request,
        run: Run::new(request),
        links: Links::default(),
        forecast: RequestForecast::new(reader),
        plan: RestorePlan::default(),
    };
    let root = survey.open.first().and_then(Option::as_ref);
    counting.plan.directories += u64::from(root.is_none());
    if let Some(root) = root.filter(|_| survey.selection.is_whole()) {
        counting.count_extras(root.as_fd(), survey.selection.root())?;
    }
    while let Some(Surveyed { step, there }) = survey.next()? {
        let parent = survey.parent(&step);
        counting.count(&step, parent, there.as_ref())?;
        if let EntryKind::Directory { root } = step.visited.entry.kind
            && let Some(Some(entered)) = survey.open.last()
            && step.whole
        {
            counting.count_extras(entered.as_fd(), root)?;
        }
    }
    counting.plan.requests = counting.forecast.finish()?;
    Ok(counting.plan)
}

struct Counting<'r, 'a> {
    reader: &'r Reader<'a>,
    request: &'r RestoreRequest<'r>,
    run: Arc<Run>,
    links: Links,
    forecast: RequestForecast<'r, 'a>,
    plan: RestorePlan,
}

impl Counting<'_, '_> {
    fn count_extras(&mut self, directory: BorrowedFd<'_>, root: BlobId) -> Result<(), SourceError> {
        if self.request.delete {
            // What cannot be listed is told by the execution.
            let names = sorted_names(directory).unwrap_or_default();
            for name in delete::extras(self.reader, root, names)? {
                self.plan.deleted += delete::count_below(directory, &name);
            }
        }
        Ok(())
    }

    fn count(
        &mut self,
        step: &Step,
        parent: Option<BorrowedFd<'_>>,
        there: Option<&Stat>,
    ) -> Result<(), SourceError> {
        let entry = &step.visited.entry;
        if matches!(entry.kind, EntryKind::Socket) {
            // It is not restored, and replaces nothing.
            return Ok(());
        }
        let wants_directory = entry.is_directory();
        if let (Some(there), Some(parent)) = (there, parent)
            && is_directory(there) != wants_directory
            && (wants_directory || is_directory(there))
        {
            self.plan.deleted += delete::count_below(parent, &entry.name);
        }
        let replaces = there.is_some_and(|there| !is_directory(there));
        match &entry.kind {
            EntryKind::Directory { .. } => {
                self.plan.directories += u64::from(!there.is_some_and(is_directory));
            }
            EntryKind::File(content) => {
                self.count_file(&step.visited.path, entry, content, parent, replaces)?;
            }
            _ if self.is_link(&step.visited.path, entry) => self.plan.links += 1,
            _ => {
                self.plan.others += 1;
                self.plan.replaced += u64::from(replaces);
            }
        }
        Ok(())
    }

    /// Whether it becomes another name of what was there before.
    fn is_link(&mut self, path: &[u8], entry: &Entry) -> bool {
        let role = entry.hard_link.map(|key| self.links.role(key, path, entry));
        matches!(role, Some(Role::Link(_)))
    }

    fn count_file(
        &mut self,
        path: &[u8],
        entry: &Entry,
        content: &FileContent,
        parent: Option<BorrowedFd<'_>>,
        replaces: bool,
    ) -> Result<(), SourceError> {
        if self.is_link(path, entry) {
            self.plan.links += 1;
            return Ok(());
        }
        if let Some(parent) = parent.filter(|_| replaces)
            && existing::kept(self.reader, &self.run, parent, entry, content)?.is_some()
        {
            self.plan.unchanged += 1;
            return Ok(());
        }
        self.plan.files += 1;
        self.plan.replaced += u64::from(replaces);
        self.plan.bytes += content.data_bytes();
        Ok(self.forecast.push(&content.content)?)
    }
}
