//! `nightjar index rebuild` and `status`

use anyhow::Result;
use nightjar_repository::index::sync::{self, SyncReport};
use serde::Serialize;

use super::Program;
use crate::args::IndexCommand;
use crate::exit::Exit;
use crate::output::format::count;
use crate::stderr;

#[derive(Serialize)]
struct IndexView<'a> {
    directory: String,
    index_objects: u64,
    applied: u64,
    packs: u64,
    blobs: u64,
    findings: &'a [String],
}

pub(super) fn run(program: &Program<'_>, command: &IndexCommand) -> Result<Exit> {
    let repository = program.open()?;
    let (report, rebuilt) = match command {
        IndexCommand::Rebuild { from_packs: true } => {
            (sync::rebuild_from_packs(&repository)?, true)
        }
        IndexCommand::Rebuild { from_packs: false } => (sync::rebuild(&repository)?, true),
        IndexCommand::Status => (sync::status(&repository)?, false),
    };
    report.findings.iter().for_each(|finding| stderr::warn(finding));
    let directory = repository.cache_dir().display().to_string();
    let view = view(&directory, &report);
    let text = || describe(&view, rebuilt);
    if rebuilt {
        program.output.summary(&view, text)?;
    } else {
        program.output.result(&view, text)?;
    }
    Ok(if report.findings.is_empty() { Exit::Done } else { Exit::Damage })
}

fn view<'a>(directory: &str, report: &'a SyncReport) -> IndexView<'a> {
    IndexView {
        directory: directory.to_owned(),
        index_objects: report.index_objects,
        applied: report.applied,
        packs: report.packs,
        blobs: report.blobs,
        findings: &report.findings,
    }
}

fn describe(view: &IndexView<'_>, rebuilt: bool) -> String {
    let state = if rebuilt { "made anew" } else { "up to date" };
    let objects = count(view.index_objects, "index object", "index objects");
    let packs = count(view.packs, "pack", "packs");
    let blobs = count(view.blobs, "blob", "blobs");
    let directory = &view.directory;
    let new = if rebuilt || view.applied == 0 {
        String::new()
    } else {
        format!(" ({} just read)", view.applied)
    };
    format!(
        "local index {state}: {blobs} in {packs}, from {objects}{new}\nit lies in {directory}\n"
    )
}
