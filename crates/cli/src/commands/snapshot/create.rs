//! `nightjar snapshot create` and `nightjar backup`

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nightjar_format::snapshot::{Label, Snapshot};
use nightjar_repository::Progress;
use nightjar_repository::ingest::{DeltaParameters, Fed, Feeder, SnapshotRequest, create_snapshot};
use nightjar_repository::snapshots::SnapshotInfo;
use nightjar_source::{
    DumpChecks, DumpRequest, DumpShape, Excludes, Notes, SourceError, TreeRequest, feed_command,
    feed_paths, feed_stdin,
};

use super::super::Program;
use crate::args::{Delta, SnapshotCreate};
use crate::environment;
use crate::exit::{CommandError, Exit};
use crate::output::format::{self, count, number, printable, size};
use crate::output::requests::RequestsView;
use crate::output::views::{self, CreatedView, SnapshotView, StartView};
use crate::progress::Display;
use crate::stderr;

pub(in crate::commands) fn run(program: &Program<'_>, arguments: &SnapshotCreate) -> Result<Exit> {
    let begun = Instant::now();
    let request = SnapshotRequest {
        series: series(arguments)?,
        labels: labels(&arguments.labels)?,
        level: arguments.compression_level,
        delta: (arguments.delta == Delta::Auto).then_some(DeltaParameters {
            depth: arguments.delta_depth,
            chain_percent: arguments.delta_chain,
        }),
        cache_bytes: arguments.cache_size,
    };
    let tree = tree_request(program, arguments)?;
    let repository = program.open()?;
    let progress = Arc::new(Progress::default());
    let display = Display::start(program.globals, "read", &progress);
    let mut notes = Notes::default();
    let mut start = None;
    let created = create_snapshot(&repository, &request, &progress, |feeder| {
        let requests = RequestsView::of(repository.store());
        start = Some(StartView { seconds: begun.elapsed().as_secs_f64(), requests });
        feed(feeder, arguments, &tree, &mut notes)
    });
    drop(display);
    notes.warnings.iter().for_each(|warning| stderr::warn(warning));
    if notes.more_warnings > 0 {
        stderr::warn(&format!("{} more warnings", number(notes.more_warnings)));
    }
    let info = created?;
    let view = CreatedView {
        snapshot: SnapshotView::new(&info),
        excluded: notes.left_out,
        start,
        requests: RequestsView::of(repository.store()),
        warnings: &notes.warnings,
    };
    let told = view.start.as_ref().filter(|_| program.globals.verbose > 0);
    program.output.summary(&view, || describe(&info, notes.left_out, told))?;
    let unreadable = info.snapshot.counts.unreadable > 0;
    Ok(if unreadable { Exit::Unreadable } else { Exit::Done })
}

fn feed(
    feeder: &mut Feeder<'_>,
    arguments: &SnapshotCreate,
    tree: &TreeRequest,
    notes: &mut Notes,
) -> Result<Fed, SourceError> {
    match (&arguments.stdin, &arguments.name) {
        (Some(name), _) => {
            let request = dump_request(arguments, name);
            feed_stdin(feeder, &request, &mut io::stdin().lock(), notes)
        }
        (None, Some(name)) => {
            let request = dump_request(arguments, name);
            feed_command(feeder, &request, &arguments.command, notes)
        }
        (None, None) => feed_paths(feeder, tree, notes),
    }
}

fn dump_request(arguments: &SnapshotCreate, name: &str) -> DumpRequest {
    DumpRequest {
        name: name.to_owned(),
        now: environment::now(),
        shape: if arguments.tar { DumpShape::Tar } else { DumpShape::File },
        checks: DumpChecks {
            min_size: arguments.min_size,
            expect_tail: arguments.expect_tail.clone(),
        },
    }
}

/// What to store of the file system.
fn tree_request(program: &Program<'_>, arguments: &SnapshotCreate) -> Result<TreeRequest> {
    let tree = &arguments.tree;
    let mut listed = Vec::new();
    let lists = tree.files_from.iter().map(|path| (path, b'\n'));
    for (path, end) in lists.chain(tree.files_from0.iter().map(|path| (path, 0))) {
        let text = read_list(path).with_context(|| format!("cannot read {}", path.display()))?;
        let names = text.split(|byte| *byte == end).filter(|name| !name.is_empty());
        listed.extend(names.map(|name| PathBuf::from(OsStr::from_bytes(name))));
    }
    Ok(TreeRequest {
        paths: arguments.paths.clone(),
        listed,
        excludes: Excludes {
            patterns: tree.exclude.clone(),
            pattern_files: tree.exclude_from.clone(),
            ignore_files: tree.ignore_file.clone(),
            caches: tree.exclude_caches,
            other_file_systems: tree.one_file_system,
            own: own_directories(program)?,
            larger_than: tree.exclude_larger_than,
            older_than: tree.exclude_older_than.map(|age| environment::now().saturating_sub(age)),
        },
        read_all: tree.read_all,
    })
}

/// The repository, if it lies on this machine, and its caches.
fn own_directories(program: &Program<'_>) -> Result<Vec<PathBuf>> {
    let access = program.access()?;
    let caches = environment::find_cache_dir(access.cache_dir.as_deref())?;
    let repository = access.url.directory().map(Path::to_path_buf);
    Ok(repository.into_iter().chain([caches]).collect())
}

fn read_list(path: &Path) -> io::Result<Vec<u8>> {
    if path.as_os_str() != "-" {
        return std::fs::read(path);
    }
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}

/// As given, else the dump's name, else host and paths.
fn series(arguments: &SnapshotCreate) -> Result<String> {
    let named = arguments.series.as_ref().or(arguments.stdin.as_ref()).or(arguments.name.as_ref());
    match named {
        Some(name) => Ok(name.clone()),
        None => series_of_paths(&environment::host(), &arguments.paths),
    }
}

/// The same whatever the current directory is, and in whatever order the paths stand.
fn series_of_paths(host: &str, paths: &[PathBuf]) -> Result<String> {
    let mut names = paths.iter().map(|path| absolute(path)).collect::<Result<Vec<String>>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(format!("{host}:{}", names.join(",")))
}

fn absolute(path: &Path) -> Result<String> {
    let path = std::path::absolute(path)
        .with_context(|| format!("cannot tell where {} is", path.display()))?;
    // Drops the slash at the end.
    let path: PathBuf = path.components().collect();
    Ok(path.to_string_lossy().into_owned())
}

/// Sorted, as they are stored.
fn labels(given: &[Label]) -> Result<Vec<Label>> {
    let mut labels = given.to_vec();
    labels.sort_by(|a, b| a.key.cmp(&b.key));
    for pair in labels.windows(2) {
        if let [a, b] = pair
            && a.key == b.key
        {
            let message = format!("--label {} is given twice", a.key);
            return Err(CommandError::Usage(message).into());
        }
    }
    Ok(labels)
}

fn describe(info: &SnapshotInfo, excluded: u64, start: Option<&StartView>) -> String {
    let Snapshot { series, counts, .. } = &info.snapshot;
    let duration = views::duration(&info.snapshot);
    let rate = format::rate(counts.bytes_read, duration)
        .map(|rate| format!(" ({rate})"))
        .unwrap_or_default();
    let mut text = format!(
        "snapshot {} of series {}\n  read    {} in {}{rate}: {}\n",
        info.id.short(),
        printable(series),
        size(counts.bytes_read),
        format::duration(duration),
        what_was_read(info),
    );
    if let Some(StartView { seconds, requests }) = start {
        text += &format!(
            "  ready   after {}, {} and {}\n",
            format::duration(Duration::from_secs_f64(*seconds)),
            count(requests.sent(), "request", "requests"),
            size(requests.bytes()),
        );
    }
    if counts.files_unchanged > 0 {
        let unchanged = count(counts.files_unchanged, "file", "files");
        let bytes = size(counts.bytes_unchanged);
        text += &format!("  kept    {bytes} in {unchanged} that did not change\n");
    }
    if excluded > 0 {
        let one = "entry that was excluded, and what lies in it";
        let several = "entries that were excluded, and what lies in them";
        text += &format!("  without {}\n", count(excluded, one, several));
    }
    text += &format!("  new     {}\n", views::new_chunks(counts));
    text += &format!("  added   {}\n", views::added(counts));
    if counts.bytes_read_back > 0 {
        let back = size(counts.bytes_read_back);
        text += &format!("  back    {back} read from the repository, to tell what is new\n");
    }
    if counts.unreadable > 0 {
        text += &format!(
            "  missing {} that could not be read\n",
            count(counts.unreadable, "file", "files")
        );
    }
    text
}

fn what_was_read(info: &SnapshotInfo) -> String {
    let counts = &info.snapshot.counts;
    let mut parts = vec![count(counts.files, "file", "files")];
    if counts.directories > 0 {
        parts.push(count(counts.directories, "directory", "directories"));
    }
    if counts.others > 0 {
        parts.push(count(counts.others, "other entry", "other entries"));
    }
    parts.push(count(counts.chunks, "chunk", "chunks"));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_of_paths_does_not_depend_on_how_they_are_written() {
        let of = |paths: &[&str]| {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            series_of_paths("db1", &paths).unwrap()
        };
        assert_eq!(of(&["/etc/"]), "db1:/etc");
        assert_eq!(of(&["/srv//www/.", "/etc"]), "db1:/etc,/srv/www");
        assert_eq!(of(&["/"]), "db1:/");
        assert!(of(&["x"]).starts_with("db1:/"));
    }

    #[test]
    fn labels_are_sorted_and_given_once() {
        let label = |key: &str| Label { key: key.into(), value: String::new() };
        let sorted = labels(&[label("b"), label("a")]).unwrap();
        assert_eq!(sorted, [label("a"), label("b")]);
        assert!(labels(&[label("b"), label("a"), label("b")]).is_err());
    }
}
