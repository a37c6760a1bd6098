//! `nightjar snapshot diff`

use anyhow::Result;
use nightjar_format::manifest::Entry;
use nightjar_repository::manifest::diff::{Change, DiffWalk, Difference};
use nightjar_repository::manifest::renames;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError};
use serde::Serialize;

use super::super::{Program, list_snapshots, paths_in_snapshot};
use crate::args::SnapshotDiff;
use crate::exit::Exit;
use crate::output::Listing;
use crate::output::entries::{DifferenceView, file_size, kind, metadata};
use crate::output::format::{self, number, size};

/// Differences that are held back to find renamed files among them.
const HELD: usize = 20_000;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotDiff) -> Result<Exit> {
    let paths = paths_in_snapshot(&arguments.paths)?;
    let repository = program.open()?;
    let list = list_snapshots(&repository)?;
    let series = arguments.series.as_deref();
    // The series says what `latest` means; an id needs none.
    let find = |id: &str| list.find(id, series.filter(|_| id == "latest"));
    let (old, new) = (find(&arguments.old)?, find(&arguments.new)?);
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress)?;
    let mut walk = begin(&reader, (old, new), &paths)?;
    let mut report = Report {
        listing: Listing::begin(program.output)?,
        held: Some(Vec::new()),
        hides_metadata: arguments.no_metadata,
        tally: Tally { event: "summary", ..Tally::default() },
    };
    while let Some(difference) = walk.next(&reader)? {
        report.add(difference)?;
    }
    let hidden = report.hides_metadata;
    let tally = report.end()?;
    program.output.side_summary(&tally, || tally.describe(hidden));
    Ok(Exit::Done)
}

fn begin(
    reader: &Reader<'_>,
    (old, new): (&SnapshotInfo, &SnapshotInfo),
    paths: &[Vec<u8>],
) -> Result<DiffWalk> {
    let (old_root, new_root) = (old.snapshot.root, new.snapshot.root);
    if paths.is_empty() {
        return Ok(DiffWalk::new(old_root, new_root));
    }
    let (walk, missing) = DiffWalk::at(reader, (old_root, new_root), paths)?;
    match missing.first() {
        None => Ok(walk),
        Some(path) => Err(RepositoryError::Refused(format!(
            "{} is in neither snapshot; `nightjar snapshot find` tells which snapshots hold it",
            format::path(path)
        ))
        .into()),
    }
}

struct Report {
    listing: Listing,
    /// What is not printed yet; `None` when there was too much of it.
    held: Option<Vec<Difference>>,
    hides_metadata: bool,
    tally: Tally,
}

impl Report {
    fn add(&mut self, difference: Difference) -> Result<()> {
        if self.hides_metadata && difference.change == Change::Metadata {
            self.tally.add(&difference);
            return Ok(());
        }
        let Some(held) = &mut self.held else {
            return self.print(&difference);
        };
        held.push(difference);
        if held.len() > HELD {
            let held = self.held.take().unwrap_or_default();
            held.iter().try_for_each(|difference| self.print(difference))?;
        }
        Ok(())
    }

    fn print(&mut self, difference: &Difference) -> Result<()> {
        self.tally.add(difference);
        self.listing.add(&DifferenceView::new(difference), || line(difference))
    }

    fn end(mut self) -> Result<Tally> {
        let held = self.held.take().map(renames::pair).unwrap_or_default();
        held.iter().try_for_each(|difference| self.print(difference))?;
        self.listing.end()?;
        Ok(self.tally)
    }
}

/// How many differences there are, and what files grew and shrank by.
#[derive(Debug, Default, Serialize)]
struct Tally {
    event: &'static str,
    added: u64,
    removed: u64,
    renamed: u64,
    modified: u64,
    metadata: u64,
    bytes_added: u64,
    bytes_removed: u64,
}

impl Tally {
    fn add(&mut self, difference: &Difference) {
        let counter = match difference.change {
            Change::Added => &mut self.added,
            Change::Removed => &mut self.removed,
            Change::Renamed => &mut self.renamed,
            Change::Modified => &mut self.modified,
            Change::Metadata => &mut self.metadata,
        };
        *counter += 1;
        let old = difference.old.as_ref().and_then(file_size).unwrap_or(0);
        let new = difference.new.as_ref().and_then(file_size).unwrap_or(0);
        // Sizes come from a store: no sum of them may fail.
        self.bytes_added = self.bytes_added.saturating_add(new.saturating_sub(old));
        self.bytes_removed = self.bytes_removed.saturating_add(old.saturating_sub(new));
    }

    fn describe(&self, metadata_is_hidden: bool) -> String {
        let metadata =
            if metadata_is_hidden { "only metadata (not shown)" } else { "only metadata" };
        let counts = [
            (self.added, "added"),
            (self.removed, "removed"),
            (self.renamed, "renamed"),
            (self.modified, "changed"),
            (self.metadata, metadata),
        ];
        let shown = counts.iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> =
            shown.map(|(count, what)| format!("{} {what}", number(*count))).collect();
        if counts.is_empty() {
            return "no differences".to_owned();
        }
        let bytes: Vec<String> = [('+', self.bytes_added), ('\u{2212}', self.bytes_removed)]
            .iter()
            .filter(|(_, bytes)| *bytes > 0)
            .map(|(sign, bytes)| format!("{sign}{}", size(*bytes)))
            .collect();
        let separator = if bytes.is_empty() { "" } else { "; " };
        format!("{}{separator}{}", counts.join(", "), bytes.join(" "))
    }
}

fn line(difference: &Difference) -> String {
    let Difference { path, old_path, change, old, new } = difference;
    let letter = match change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Renamed => 'R',
        Change::Modified => 'M',
        Change::Metadata => 'U',
    };
    let entry = new.as_ref().or(old.as_ref());
    let slash = if entry.is_some_and(Entry::is_directory) { "/" } else { "" };
    let from = old_path.as_ref().map(|old| format!("{} -> ", format::path(old)));
    let from = from.unwrap_or_default();
    format!("{letter} {from}{}{slash}{}", format::path(path), details(difference))
}

/// What changed, in brackets.
fn details(difference: &Difference) -> String {
    let Difference { change, old, new, .. } = difference;
    let kinds = match (old.as_ref().map(kind), new.as_ref().map(kind)) {
        (Some(old), Some(new)) if old != new => format!("  ({old} -> {new})"),
        _ => String::new(),
    };
    let sizes = match (old.as_ref().and_then(file_size), new.as_ref().and_then(file_size)) {
        (Some(old), Some(new)) if old != new => format!("  ({} -> {})", size(old), size(new)),
        (Some(bytes), None) | (None, Some(bytes)) => format!("  ({})", size(bytes)),
        _ => String::new(),
    };
    let metadata = match change {
        Change::Metadata => format!("  ({})", metadata(difference).join(", ").replace('_', " ")),
        _ => String::new(),
    };
    format!("{kinds}{sizes}{metadata}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_counts_what_there_is() {
        let all = Tally {
            added: 3,
            removed: 1,
            renamed: 2,
            modified: 1200,
            metadata: 5,
            bytes_added: 1_258_291,
            bytes_removed: 3072,
            ..Tally::default()
        };
        assert_eq!(
            all.describe(false),
            "3 added, 1 removed, 2 renamed, 1,200 changed, 5 only metadata; \
             +1.2 MiB \u{2212}3.0 KiB"
        );
    }

    #[test]
    fn a_summary_does_not_pass_over_what_is_hidden() {
        let hidden = Tally { metadata: 5, ..Tally::default() };
        assert_eq!(hidden.describe(true), "5 only metadata (not shown)");
        assert_eq!(Tally::default().describe(true), "no differences");
    }
}
