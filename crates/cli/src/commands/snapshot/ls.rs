//! `nightjar snapshot ls`

use anyhow::Result;
use nightjar_repository::Progress;
use nightjar_repository::manifest::walk::{TreeWalk, Visited};
use nightjar_repository::read::Reader;

use super::super::{Program, find_snapshot};
use super::entry_line::line;
use super::selection::Selection;
use crate::args::SnapshotLs;
use crate::exit::Exit;
use crate::output::Listing;
use crate::output::entries::EntryView;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotLs) -> Result<Exit> {
    let mut selection = Selection::new(&arguments.paths, arguments.depth)?;
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let mut walk = TreeWalk::new(info.snapshot.root);
    let mut listing = Listing::begin(program.output)?;
    while let Some(Visited { path, entry }) = walk.next(&reader)? {
        if selection.takes(&path) {
            let view = EntryView::new(&path, &entry);
            listing.add(&view, || line(&path, &entry, arguments.long))?;
        }
        if entry.is_directory() && !selection.goes_below(&path) {
            walk.skip();
        }
    }
    listing.end()?;
    selection.check()?;
    Ok(Exit::Done)
}
