//! `nightjar snapshot find`

use anyhow::Result;
use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_repository::manifest::search::Search;
use nightjar_repository::manifest::walk::Visited;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError};

use super::super::{Program, list_snapshots};
use super::entry_line::line;
use super::pattern::Patterns;
use super::selection;
use crate::args::{KindChoice, SnapshotFind};
use crate::exit::Exit;
use crate::output::Listing;
use crate::output::entries::FoundView;
use crate::output::format::{count, local_time, printable};
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotFind) -> Result<Exit> {
    let patterns = Patterns::new(&arguments.patterns, arguments.ignore_case)?;
    let repository = program.open()?;
    let list = list_snapshots(&repository)?;
    let snapshots = selection::snapshots(&list, &arguments.ids, arguments.series.as_deref())?;
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let mut find = Find {
        search: Search::new(patterns.criterion()),
        listing: Listing::begin(program.output)?,
        arguments,
        patterns,
        found: 0,
    };
    let mut damaged = !list.findings.is_empty();
    for info in &snapshots {
        if let Err(error) = find.look_into(&reader, info) {
            damaged = true;
            // The other snapshots may be sound, and hold what is looked for.
            warn_of_damage(info, error)?;
        }
    }
    let Find { search, listing, found, .. } = find;
    tracing::debug!(nodes = search.nodes_read(), "looked through directories");
    listing.end()?;
    if found == 0 {
        let searched = u64::try_from(snapshots.len()).unwrap_or(u64::MAX);
        let searched = count(searched, "snapshot", "snapshots");
        program.output.remark(&format!("nothing found in {searched}"));
    }
    Ok(if damaged { Exit::Damage } else { Exit::Done })
}

fn warn_of_damage(info: &SnapshotInfo, error: anyhow::Error) -> Result<()> {
    match error.downcast_ref::<RepositoryError>() {
        Some(damage) if damage.is_damage() => {
            let id = info.id.short();
            stderr::warn(&format!("snapshot {id} could not be searched to its end: {damage}"));
            Ok(())
        }
        _ => Err(error),
    }
}

struct Find<'a> {
    search: Search,
    listing: Listing,
    arguments: &'a SnapshotFind,
    patterns: Patterns,
    found: u64,
}

impl Find<'_> {
    fn look_into(&mut self, reader: &Reader<'_>, info: &SnapshotInfo) -> Result<()> {
        let before = self.found;
        self.search.enter(reader, info.snapshot.root)?;
        while let Some(Visited { path, entry }) = self.search.next(reader)? {
            if !self.is_wanted(&path, &entry) {
                continue;
            }
            self.search.keep();
            if self.found == before {
                self.listing.heading(&heading(info))?;
            }
            self.found += 1;
            let view = FoundView::new(info, &path, &entry);
            let long = self.arguments.long;
            self.listing.add(&view, || format!("  {}", line(&path, &entry, long)))?;
        }
        Ok(())
    }

    fn is_wanted(&self, path: &[u8], entry: &Entry) -> bool {
        self.arguments.kind.is_none_or(|kind| kind == choice(&entry.kind))
            && self.patterns.fit(path, &entry.name)
    }
}

fn choice(kind: &EntryKind) -> KindChoice {
    match kind {
        EntryKind::File(_) => KindChoice::File,
        EntryKind::Directory { .. } => KindChoice::Directory,
        EntryKind::Symlink { .. } => KindChoice::Symlink,
        EntryKind::Fifo
        | EntryKind::Socket
        | EntryKind::CharacterDevice { .. }
        | EntryKind::BlockDevice { .. } => KindChoice::Other,
    }
}

fn heading(info: &SnapshotInfo) -> String {
    format!(
        "snapshot {} of series {} ({})",
        info.id.short(),
        printable(&info.snapshot.series),
        local_time(info.snapshot.started)
    )
}
