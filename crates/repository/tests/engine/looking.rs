//! Looking into trees reads what it must and no more, and misses nothing.

use std::collections::BTreeSet;

use nightjar_format::BlobId;
use nightjar_format::manifest::EntryKind;
use nightjar_format::snapshot::Source;
use nightjar_repository::ingest::{Fed, create_snapshot};
use nightjar_repository::manifest::diff::{Change, DiffWalk};
use nightjar_repository::manifest::lookup;
use nightjar_repository::manifest::search::{Criterion, Search};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::{Progress, Repository, RepositoryError};
use nightjar_testkit::fixture::{Fixture, entry, request};

/// Stores fifos at these paths, `directory/name` or `name`; returns the root.
fn store(repository: &Repository, paths: &BTreeSet<String>) -> BlobId {
    let created = create_snapshot(repository, &request("tree"), &Progress::default(), |feeder| {
        let mut open: Option<&str> = None;
        let directory = EntryKind::Directory { root: BlobId([0; 32]) };
        for path in paths {
            let (above, name) =
                path.rsplit_once('/').map_or((None, path.as_str()), |(a, n)| (Some(a), n));
            if open != above {
                if let Some(left) = open {
                    feeder.leave_directory(entry(left.as_bytes(), directory.clone()))?;
                }
                if let Some(entered) = above {
                    feeder.enter_directory(entered.as_bytes())?;
                }
                open = above;
            }
            feeder.other(entry(name.as_bytes(), EntryKind::Fifo))?;
        }
        if let Some(left) = open {
            feeder.leave_directory(entry(left.as_bytes(), directory))?;
        }
        Ok::<_, RepositoryError>(Fed { source: Source::Paths { paths: vec![] }, unreadable: 0 })
    });
    created.unwrap().snapshot.root
}

/// Twenty directories of a hundred names, and one of so many that it takes several nodes.
fn paths() -> BTreeSet<String> {
    let small = (0..2000).map(|number| format!("d{:02}/file {number:04}", number / 100));
    let large = (0..5000).map(|number| format!("large/file {number:04}"));
    small.chain(large).collect()
}

fn search(search: &mut Search, reader: &Reader<'_>, root: BlobId, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    search.enter(reader, root).unwrap();
    while let Some(visited) = search.next(reader).unwrap() {
        if visited.path.ends_with(wanted) {
            search.keep();
            found.push(String::from_utf8(visited.path).unwrap());
        }
    }
    found
}

#[test]
fn a_search_reads_again_only_what_is_new_or_leads_to_a_match() {
    let fixture = Fixture::new(31);
    let repository = fixture.open();
    let old = paths();
    let mut new = old.clone();
    new.insert("d07/added".into());
    let (old_root, new_root) = (store(&repository, &old), store(&repository, &new));
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    for criterion in [Criterion::Entry, Criterion::Path] {
        let mut looking = Search::new(criterion);
        let found = search(&mut looking, &reader, old_root, b"/file 0142");
        assert_eq!(found, ["d01/file 0142", "large/file 0142"]);
        let first = looking.nodes_read();
        assert!(first > 30, "{first} nodes are too few for this test");
        let found = search(&mut looking, &reader, old_root, b"/file 0142");
        assert_eq!(found, ["d01/file 0142", "large/file 0142"]);
        // The root, d01, and of the large directory the upper node and one leaf.
        assert_eq!(looking.nodes_read() - first, 4);
        let again = looking.nodes_read();
        let found = search(&mut looking, &reader, new_root, b"/file 0142");
        assert_eq!(found, ["d01/file 0142", "large/file 0142"]);
        assert_eq!(looking.nodes_read() - again, 5);
    }
}

#[test]
fn a_tree_without_a_match_is_read_once() {
    let fixture = Fixture::new(32);
    let repository = fixture.open();
    let root = store(&repository, &paths());
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    let mut looking = Search::new(Criterion::Entry);
    assert!(search(&mut looking, &reader, root, b"nothing").is_empty());
    let first = looking.nodes_read();
    for _ in 0..100 {
        assert!(search(&mut looking, &reader, root, b"nothing").is_empty());
    }
    assert_eq!(looking.nodes_read(), first);
}

#[test]
fn where_the_path_counts_a_like_directory_elsewhere_is_searched() {
    let fixture = Fixture::new(33);
    let repository = fixture.open();
    let set = |paths: &[&str]| -> BTreeSet<String> { paths.iter().map(|&p| p.into()).collect() };
    let first = store(&repository, &set(&["a/same"]));
    let second = store(&repository, &set(&["b/same"]));
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    let mut looking = Search::new(Criterion::Path);
    assert!(search(&mut looking, &reader, first, b"b/same").is_empty());
    assert_eq!(search(&mut looking, &reader, second, b"b/same"), ["b/same"]);
}

#[test]
fn every_path_of_a_tree_is_found_and_no_other() {
    let fixture = Fixture::new(34);
    let repository = fixture.open();
    let root = store(&repository, &paths());
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    let mut walk = TreeWalk::new(root);
    while let Some(visited) = walk.next(&reader).unwrap() {
        let found = lookup::find(&reader, root, &visited.path).unwrap();
        assert_eq!(found, Some(visited.entry));
    }
    for path in ["", "d01/", "d99", "a", "z", "large/file", "large/file 9999", "d01/file 0142/x"] {
        assert_eq!(lookup::find(&reader, root, path.as_bytes()).unwrap(), None, "{path}");
    }
}

#[test]
fn a_diff_of_named_paths_tells_what_differs_there() {
    let fixture = Fixture::new(35);
    let repository = fixture.open();
    let old = paths();
    let mut new = old.clone();
    for added in ["d01/new", "large/new", "new/a", "new/b"] {
        new.insert(added.into());
    }
    new.remove("large/file 0142");
    let roots = (store(&repository, &old), store(&repository, &new));
    let progress = Progress::default();
    let reader = Reader::open(&repository, &progress).unwrap();
    let differences = |mut walk: DiffWalk| {
        let mut lines = Vec::new();
        while let Some(difference) = walk.next(&reader).unwrap() {
            let sign = if difference.change == Change::Added { '+' } else { '-' };
            lines.push(format!("{sign} {}", String::from_utf8(difference.path).unwrap()));
        }
        lines
    };
    let all = ["+ d01/new", "- large/file 0142", "+ large/new", "+ new", "+ new/a", "+ new/b"];
    assert_eq!(differences(DiffWalk::new(roots.0, roots.1)), all);
    let named: Vec<Vec<u8>> = ["new", "large/new", "d02", "nowhere"]
        .iter()
        .map(|path| path.as_bytes().to_vec())
        .collect();
    let (walk, missing) = DiffWalk::at(&reader, roots, &named).unwrap();
    assert_eq!(missing, [b"nowhere"]);
    assert_eq!(differences(walk), ["+ large/new", "+ new", "+ new/a", "+ new/b"]);
}
