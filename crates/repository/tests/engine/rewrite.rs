//! Taking entries out of snapshots: what matches goes, and nothing else.

use std::collections::BTreeMap;

use nightjar_format::ledger::LedgerBody;
use nightjar_format::manifest::{Entry, EntryKind};
use nightjar_format::object::ObjectName;
use nightjar_format::slot::Role;
use nightjar_format::snapshot::Source;
use nightjar_format::{BlobId, PackId, SessionId};
use nightjar_repository::ingest::{Fed, Feeder, create_snapshot};
use nightjar_repository::manifest::walk::TreeWalk;
use nightjar_repository::read::Reader;
use nightjar_repository::rewrite::{self, Erasure, LeavesOut, Planned, Rewritten};
use nightjar_repository::snapshots::{self, SnapshotInfo};
use nightjar_repository::verify::{Level, VerifyRequest, verify};
use nightjar_repository::{Progress, Repository, RepositoryError, Result, holds, ledger};
use nightjar_testkit::damage::{names, read};
use nightjar_testkit::fixture::{Fixture, empty_file, entry, request};
use nightjar_testkit::generate::noise;

use crate::gc::{collected, thorough};

/// What stands in a directory.
pub(crate) enum Node {
    File(Vec<u8>),
    Directory(Tree),
}

pub(crate) type Tree = BTreeMap<&'static str, Node>;

fn tree<const N: usize>(nodes: [(&'static str, Node); N]) -> Node {
    Node::Directory(nodes.into_iter().collect())
}

fn file(seed: u64, len: usize) -> Node {
    Node::File(noise(seed, len))
}

/// Two people and a directory of many files; `night` decides what one file holds.
pub(crate) fn home(night: u64) -> Tree {
    let many = (0..1800u64).map(|number| {
        // Leaked, so that names can be literals elsewhere.
        let name: &'static str = format!("file {number:04}").leak();
        (name, file(number, 40))
    });
    let anna = [("letter", file(1, 90_000)), ("photos", tree([("a.jpg", file(2, 400_000))]))];
    let bert = [("key", file(3, 300)), ("notes", file(1000 + night, 70_000))];
    Tree::from([
        ("anna", tree(anna)),
        ("anna2", file(4, 20_000)),
        ("bert", tree([("deep", tree(bert)), ("empty", tree([])), ("same", file(1, 90_000))])),
        ("many", Node::Directory(many.collect())),
    ])
}

fn feed(feeder: &mut Feeder<'_>, tree: &Tree) -> Result<()> {
    for (name, node) in tree {
        match node {
            Node::File(bytes) => {
                feeder.stream(name.as_bytes(), &mut bytes.as_slice(), name)?;
                feeder.file(entry(name.as_bytes(), empty_file()))?;
            }
            Node::Directory(below) => {
                feeder.enter_directory(name.as_bytes())?;
                feed(feeder, below)?;
                let directory = EntryKind::Directory { root: BlobId([0; 32]) };
                feeder.leave_directory(entry(name.as_bytes(), directory))?;
            }
        }
    }
    Ok(())
}

/// Stores a tree, a night after the last.
pub(crate) fn stored(fixture: &Fixture, tree: &Tree) -> SnapshotInfo {
    fixture.world.sleep_until_next_night();
    let (repository, progress) = (fixture.open(), Progress::default());
    create_snapshot(&repository, &request("home"), &progress, |feeder| {
        feed(feeder, tree)?;
        let paths = vec![b"/home".to_vec()];
        Ok::<_, RepositoryError>(Fed { source: Source::Paths { paths }, unreadable: 3 })
    })
    .unwrap()
}

/// All entries by path, each with the bytes of a file.
pub(crate) fn entries(
    repository: &Repository,
    root: BlobId,
) -> Result<BTreeMap<String, (Entry, Vec<u8>)>> {
    let progress = Progress::default();
    let reader = Reader::open(repository, &progress)?;
    let mut walk = TreeWalk::new(root);
    let mut found = BTreeMap::new();
    while let Some(visited) = walk.next(&reader)? {
        let mut bytes = Vec::new();
        if let EntryKind::File(file) = &visited.entry.kind {
            reader.copy_content(&file.content, file.data_bytes(), &mut bytes)?;
        }
        found.insert(String::from_utf8(visited.path).unwrap(), (visited.entry, bytes));
    }
    Ok(found)
}

pub(crate) const ERASURE: Erasure<'static> = Erasure { who: "tester", why: "a right" };

/// Plans for all snapshots and carries it out.
pub(crate) fn rewrite_all(
    repository: &Repository,
    leaves_out: LeavesOut<'_>,
    erasure: Option<Erasure<'_>>,
) -> Result<(Vec<Planned>, Vec<Rewritten>)> {
    let progress = Progress::default();
    let list = snapshots::list(repository)?;
    let all: Vec<&SnapshotInfo> = list.snapshots.iter().collect();
    let planned = rewrite::plan(repository, &list, &all, leaves_out, &progress, |_, _| {})?;
    let rewritten = rewrite::execute(repository, &planned, leaves_out, erasure, &progress)?;
    Ok((planned, rewritten))
}

pub(crate) fn leaves_out_anna(path: &[u8], is_directory: bool) -> bool {
    path == b"anna" && is_directory
}

fn assert_verifies(fixture: &Fixture) {
    let repository = fixture.open();
    let ids = snapshots::list(&repository).unwrap().snapshots.iter().map(|it| it.id).collect();
    let request = VerifyRequest {
        level: Level::Data,
        snapshots: ids,
        whole_repository: true,
        ..VerifyRequest::default()
    };
    assert_eq!(verify(&repository, &request, &Progress::default()).unwrap().findings, []);
}

/// The record that forgot these snapshots.
fn forgets(repository: &Repository, ids: &[SessionId]) -> Option<(bool, String)> {
    let records = ledger::read(repository).unwrap().records;
    records.iter().find_map(|(record, _)| match &record.body {
        LedgerBody::Forget { snapshots, erase, why, .. } if snapshots == ids => {
            Some((*erase, why.clone()))
        }
        _ => None,
    })
}

#[test]
fn what_matches_goes_and_all_else_stays_as_it_was() {
    let cases: [(LeavesOut<'_>, &[&str]); 4] = [
        (&leaves_out_anna, &["anna", "anna/letter", "anna/photos", "anna/photos/a.jpg"]),
        (&|path, _| path == b"bert/deep/key", &["bert/deep/key"]),
        (&|path, _| path == b"anna2" || path == b"bert/empty", &["anna2", "bert/empty"]),
        (&|path, _| path.starts_with(b"many/file 17"), &[]),
    ];
    for (seed, (leaves_out, gone)) in (301..).zip(cases) {
        let fixture = Fixture::new(seed);
        let old = stored(&fixture, &home(1));
        let before = entries(&fixture.open(), old.snapshot.root).unwrap();
        let packs = names(&fixture.store, "packs");
        let (planned, rewritten) = rewrite_all(&fixture.open(), leaves_out, Some(ERASURE)).unwrap();
        let list = snapshots::list(&fixture.elsewhere().open()).unwrap();
        assert_eq!(list.findings, Vec::<String>::new());
        let [new] = list.snapshots.as_slice() else { panic!("{list:?}") };
        assert_eq!((new.id, old.id), (rewritten[0].id, rewritten[0].original));
        let after = entries(&fixture.elsewhere().open(), new.snapshot.root).unwrap();

        let lies_in = |path: &str, above: &str| {
            path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let goes = |path: &str| match gone {
            [] => path.starts_with("many/file 17"),
            gone => gone.iter().any(|gone| lies_in(path, gone)),
        };
        let taken: Vec<_> = before.iter().filter(|(path, _)| goes(path)).collect();
        assert!(taken.len() >= gone.len().max(1));
        for (path, (entry, bytes)) in before.iter().filter(|(path, _)| !goes(path)) {
            let (new, new_bytes) = &after[path];
            let is_above = entry.is_directory() && taken.iter().any(|(it, _)| lies_in(it, path));
            assert_eq!(new == entry, !is_above, "{path}");
            assert_eq!((&new.name, new.mode, new_bytes), (&entry.name, entry.mode, bytes));
        }
        assert_eq!(after.len(), before.len() - taken.len());

        let tally = planned[0].taken;
        assert_eq!(tally.entries(), taken.len() as u64);
        assert_eq!(
            tally.bytes,
            taken.iter().map(|(_, (_, bytes))| bytes.len() as u64).sum::<u64>()
        );
        let counts = new.snapshot.counts;
        let directories = after.values().filter(|(entry, _)| entry.is_directory()).count();
        assert_eq!(counts.directories, directories as u64);
        assert_eq!(counts.files, (after.len() - directories) as u64);
        assert_eq!(
            counts.bytes(),
            after.values().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
        );
        assert_eq!((counts.unreadable, counts.bytes_read), (3, 0));
        let of = |info: &SnapshotInfo| {
            let it = &info.snapshot;
            (it.series.clone(), it.started, it.finished, it.source.clone(), it.previous)
        };
        assert_eq!(of(new), of(&old));
        assert_eq!(new.snapshot.original.map(|it| (it.id, it.digest)), Some((old.id, old.digest)));
        assert_eq!(forgets(&fixture.open(), &[old.id]), Some((true, "a right".into())));
        assert!(!ledger::read(&fixture.open()).unwrap().state.erasures.is_empty());

        // Nodes, and nothing but nodes.
        let added = names(&fixture.store, "packs").into_iter().filter(|it| !packs.contains(it));
        let kinds: Vec<u8> = added.map(|name| read(&fixture.store, &name)[4]).collect();
        assert_eq!(kinds, [2]);
        assert_verifies(&fixture);
        collected(&fixture, &thorough());
        assert_eq!(entries(&fixture.elsewhere().open(), new.snapshot.root).unwrap(), after);
        assert_verifies(&fixture);
    }
}

#[test]
fn each_snapshot_of_a_series_is_followed_by_its_own() {
    let fixture = Fixture::new(310);
    let mut old: Vec<SnapshotInfo> = (1..4).map(|night| stored(&fixture, &home(night))).collect();
    let dump = fixture.night(&noise(5, 300_000));
    let (planned, rewritten) =
        rewrite_all(&fixture.open(), &leaves_out_anna, Some(ERASURE)).unwrap();
    assert_eq!((planned.len(), rewritten.len()), (3, 3));
    let list = snapshots::list(&fixture.open()).unwrap();
    assert_eq!((list.snapshots.len(), list.findings.len()), (4, 0), "{:?}", list.findings);
    assert!(list.snapshots.iter().any(|info| info.id == dump.id), "nothing matches in it");
    for info in list.snapshots.iter().filter(|info| info.id != dump.id) {
        let original = old.remove(0);
        assert_eq!(info.snapshot.original.unwrap().id, original.id);
        let notes = &entries(&fixture.open(), info.snapshot.root).unwrap()["bert/deep/notes"].1;
        let night = 4 - old.len() as u64 - 1;
        assert!(*notes == noise(1000 + night, 70_000), "night {night}");
    }
    // The next night knows what did not change, and rests on the newest.
    let next = stored(&fixture, &home(3));
    assert_eq!(next.snapshot.previous.unwrap().id, rewritten[2].id);
    assert_verifies(&fixture);
    let again = rewrite_all(&fixture.open(), &|path, _| path == b"nobody", Some(ERASURE)).unwrap();
    assert!(again.0.is_empty() && again.1.is_empty());
}

#[test]
fn originals_may_stay_and_what_was_made_of_them_is_found_again() {
    let fixture = Fixture::new(311);
    let old = stored(&fixture, &home(1));
    let made = rewrite_all(&fixture.open(), &leaves_out_anna, None).unwrap().1;
    let there = |fixture: &Fixture| snapshots::list(&fixture.open()).unwrap().snapshots.len();
    assert_eq!(there(&fixture), 2);
    let again = rewrite_all(&fixture.elsewhere().open(), &leaves_out_anna, None).unwrap().1;
    assert_eq!((again[0].id, again[0].was_there, there(&fixture)), (made[0].id, true, 2));
    // What something else is taken out of is another snapshot.
    let other = rewrite_all(&fixture.open(), &|path, _| path == b"anna2", None).unwrap().1;
    assert!(!other.iter().any(|it| it.was_there));
    let last = rewrite_all(&fixture.open(), &leaves_out_anna, Some(ERASURE)).unwrap();
    let of_old = last.1.iter().find(|it| it.original == old.id).unwrap();
    assert_eq!((of_old.id, of_old.was_there), (made[0].id, true));
    assert!(snapshots::list(&fixture.open()).unwrap().find(&old.id.to_string(), None).is_err());
    assert_verifies(&fixture);
}

/// Nothing was made and nothing forgotten.
#[track_caller]
fn assert_refused(fixture: &Fixture, leaves_out: LeavesOut<'_>, words: &[&str]) {
    let before = names(&fixture.store, "");
    let error = rewrite_all(&fixture.open(), leaves_out, Some(ERASURE)).unwrap_err().to_string();
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error:?}");
    }
    let after = names(&fixture.store, "");
    let kept = |prefix: &str| after.iter().filter(|it| it.starts_with(prefix)).count();
    let had = |prefix: &str| before.iter().filter(|it| it.starts_with(prefix)).count();
    for prefix in ["snapshots", "ledger", "sessions"] {
        assert_eq!(kept(prefix), had(prefix), "{prefix}");
    }
}

#[test]
fn a_held_snapshot_stops_all_of_it() {
    let fixture = Fixture::new(312);
    let (free, held) = (stored(&fixture, &home(1)), stored(&fixture, &home(2)));
    holds::hold(&fixture.open(), &[held.id], None, "anna", "evidence").unwrap();
    assert_refused(&fixture, &leaves_out_anna, &[&held.id.short(), "held by anna", "release"]);
    // It does not matter where nothing is taken out, or nothing forgotten.
    assert!(rewrite_all(&fixture.open(), &|path, _| path == b"nobody", Some(ERASURE)).is_ok());
    assert_eq!(rewrite_all(&fixture.open(), &leaves_out_anna, None).unwrap().1.len(), 2);
    holds::release(&fixture.open(), &[held.id], "anna", "over").unwrap();
    let ended = rewrite_all(&fixture.open(), &leaves_out_anna, Some(ERASURE)).unwrap().1;
    assert!(ended.iter().all(|it| it.was_there));
    assert_eq!(forgets(&fixture.open(), &[free.id, held.id]), Some((true, "a right".into())));
}

#[test]
fn a_collection_must_end_before() {
    let fixture = Fixture::new(313);
    stored(&fixture, &home(1));
    let pack = packs(&fixture)[0];
    let condemned = ledger::append(&fixture.open(), &LedgerBody::Condemn { packs: vec![pack] });
    let number = condemned.unwrap().number;
    assert_refused(&fixture, &leaves_out_anna, &["collection is under way", "nightjar gc"]);
    let error = rewrite_all(&fixture.open(), &leaves_out_anna, Some(ERASURE)).unwrap_err();
    assert!(matches!(error, RepositoryError::Busy(_)), "{error}");
    ledger::append(&fixture.open(), &LedgerBody::Reinstate { condemned: number }).unwrap();
    rewrite_all(&fixture.open(), &leaves_out_anna, Some(ERASURE)).unwrap();
}

fn packs(fixture: &Fixture) -> Vec<PackId> {
    let name = |name: String| match ObjectName::parse(&name) {
        Some(ObjectName::Pack(id)) => id,
        other => panic!("{other:?}"),
    };
    names(&fixture.store, "packs").into_iter().map(name).collect()
}

#[test]
fn what_is_kept_must_not_rest_on_packs_that_are_damaged_or_gone() {
    // Whichever pack it is.
    let mut refused = 0;
    for number in 0.. {
        let fixture = Fixture::new(314);
        stored(&fixture, &home(1));
        let all = packs(&fixture);
        let Some(pack) = all.get(number) else { break };
        let leaves_out: LeavesOut<'_> = &|path, _| path == b"anna/photos";
        let name = ObjectName::Pack(*pack).to_string();
        let kept = |fixture: &Fixture, root| entries(&fixture.elsewhere().open(), root);
        // Recorded as damaged, though it can be read.
        let twin = fixture.twin();
        ledger::append(&twin.open(), &LedgerBody::Damaged { packs: vec![*pack] }).unwrap();
        let ran = rewrite_all(&twin.open(), leaves_out, Some(ERASURE));
        match ran {
            Ok((_, made)) => {
                twin.store.delete(&name).unwrap();
                let list = snapshots::list(&twin.open()).unwrap();
                let new = list.find(&made[0].id.to_string(), None).unwrap();
                kept(&twin, new.snapshot.root).unwrap();
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains(&name), "{error}");
                let list = snapshots::list(&twin.open()).unwrap();
                assert_eq!(list.snapshots.len(), 1);
                assert_eq!(names(&twin.store, "sessions"), Vec::<String>::new());
                twin.store.delete(&name).unwrap();
                // It was refused for good reason, or that was the pack of nodes.
                let root = list.snapshots[0].snapshot.root;
                assert!(kept(&twin, root).is_err());
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn nothing_is_made_of_which_nothing_is_left() {
    let fixture = Fixture::new(315);
    let dump = fixture.night(&noise(6, 200_000));
    let words = [dump.id.short(), "nothing would be left".into(), "forget".into()];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_refused(&fixture, &|path, _| path == b"dump.sql", &words);
    let fixture = Fixture::new(316);
    stored(&fixture, &home(1));
    // Directories alone are nothing.
    assert_refused(&fixture, &|_, is_directory| !is_directory, &["nothing would be left"]);
}

#[test]
fn a_write_slot_may_not() {
    let fixture = Fixture::new(317);
    stored(&fixture, &home(1));
    fixture.add_slot(Role::Write, "host");
    let before = names(&fixture.store, "");
    let host = fixture.open_with("host").unwrap();
    let error = rewrite_all(&host, &leaves_out_anna, None).unwrap_err();
    assert!(matches!(error, RepositoryError::RoleForbids { .. }), "{error}");
    assert_eq!(names(&fixture.store, ""), before);
}
