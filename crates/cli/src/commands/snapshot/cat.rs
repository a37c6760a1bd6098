//! `nightjar snapshot cat`

use std::sync::Arc;

use anyhow::Result;
use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_repository::manifest::lookup;
use nightjar_repository::read::Reader;
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_repository::{Progress, RepositoryError};
use nightjar_source::{RestoreRequest, restore_to_writer};

use super::super::{Program, find_snapshot, path_in_snapshot};
use super::restore::to_stdout;
use crate::args::SnapshotCat;
use crate::exit::Exit;
use crate::output::entries::kind;
use crate::output::format;
use crate::output::requests::RequestsView;
use crate::output::views::RestoredView;
use crate::progress::Display;
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotCat) -> Result<Exit> {
    let path = path_in_snapshot(&arguments.path)?;
    let repository = program.open()?;
    let wanted = &arguments.snapshot;
    let info = find_snapshot(&repository, &wanted.id, wanted.series.as_deref())?;
    let progress = Arc::new(Progress::default());
    let reader = Reader::open(&repository, &progress)?;
    let entry = lookup::find(&reader, info.snapshot.root, &path)?;
    if let Some(why) = refusal(&info, &path, entry.as_ref()) {
        return Err(RepositoryError::Refused(why).into());
    }
    let request = RestoreRequest { paths: vec![path], ..RestoreRequest::new(&info.snapshot) };
    let display = Display::start_beside_stdout(program.globals, "written", &progress);
    let written = to_stdout(|stdout| restore_to_writer(&reader, &request, stdout));
    drop(display);
    let report = written?;
    report.warnings.iter().for_each(|warning| stderr::warn(warning));
    // People see the file, and nothing that they did not ask for.
    let requests = RequestsView::of(repository.store());
    stderr::event(&RestoredView::new(&info, &report, requests));
    Ok(Exit::Done)
}

/// Why what stands at a path, if anything, cannot be written out.
fn refusal(info: &SnapshotInfo, path: &[u8], entry: Option<&Entry>) -> Option<String> {
    let id = info.id.short();
    if path.is_empty() {
        return Some(format!(
            "name one file; `nightjar snapshot ls {id}` shows what the snapshot holds"
        ));
    }
    let path = format::path(path);
    let Some(entry) = entry else {
        return Some(format!(
            "snapshot {id} holds no {path}; `nightjar snapshot ls {id}` shows what it holds, \
             `nightjar snapshot find` which others hold it"
        ));
    };
    match &entry.kind {
        EntryKind::File(_) => None,
        EntryKind::Directory { .. } => Some(format!(
            "{path} is a directory; `nightjar snapshot ls {id} {path}` lists it, \
             `nightjar restore {id} {path} --to DIR` brings it back"
        )),
        EntryKind::Symlink { target } => Some(format!(
            "{path} is a symbolic link to {}; name the file itself",
            format::path(target)
        )),
        _ => Some(format!("{path} is a {}, which holds no bytes", kind(entry).replace('_', " "))),
    }
}
