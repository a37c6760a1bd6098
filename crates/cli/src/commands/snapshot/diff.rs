//! `nightjar snapshot diff`

use anyhow::Result;
use nightjar_repository::Progress;
use nightjar_repository::RepositoryError;
use nightjar_repository::manifest::diff::{Change, Difference, diff};
use nightjar_repository::read::Reader;

use super::super::{Program, list_snapshots};
use crate::args::SnapshotDiff;
use crate::exit::Exit;
use crate::output::Listing;
use crate::output::format::{self, size};
use crate::output::views::{DifferenceView, file_size, kind};

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotDiff) -> Result<Exit> {
    let repository = program.open()?;
    let list = list_snapshots(&repository)?;
    let series = arguments.series.as_deref();
    // The series says what `latest` means; an id needs none.
    let find = |id: &str| list.find(id, series.filter(|_| id == "latest"));
    let (old, new) = (find(&arguments.old)?, find(&arguments.new)?);
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let mut listing = Listing::begin(program.output)?;
    // The engine knows only its own errors: ours wait beside it.
    let mut unwritten = None;
    let compared = diff(&reader, old.snapshot.root, new.snapshot.root, &mut |difference| {
        listing.add(&DifferenceView::new(&difference), || line(&difference)).map_err(|error| {
            unwritten = Some(error);
            RepositoryError::Internal("the differences cannot be written")
        })
    });
    if let Some(error) = unwritten {
        return Err(error);
    }
    compared?;
    listing.end()?;
    Ok(Exit::Done)
}

fn line(difference: &Difference) -> String {
    let Difference { path, change, old, new } = difference;
    let letter = match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Modified => 'M',
        Change::Metadata => 'U',
    };
    let entry = new.as_ref().or(old.as_ref());
    let slash = if entry.is_some_and(|entry| kind(entry) == "directory") { "/" } else { "" };
    let sizes = match (old.as_ref().and_then(file_size), new.as_ref().and_then(file_size)) {
        (Some(old), Some(new)) if old != new => format!("  ({} -> {})", size(old), size(new)),
        (Some(bytes), None) | (None, Some(bytes)) => format!("  ({})", size(bytes)),
        _ => String::new(),
    };
    let kinds = match (old.as_ref().map(kind), new.as_ref().map(kind)) {
        (Some(old), Some(new)) if old != new => format!("  ({old} -> {new})"),
        _ => String::new(),
    };
    format!("{letter} {}{slash}{kinds}{sizes}", format::path(path))
}
