//! What only a directory can show: durability as far as it is visible, leftovers of killed
//! processes, and the operating system's refusals.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nightjar_storage::{Created, Purpose, Store, StoreError, StoreSettings, StoreUrl};
use tempfile::TempDir;

fn url(path: &Path) -> StoreUrl {
    StoreUrl::parse(path.to_str().unwrap(), Path::new("/")).unwrap()
}

fn fresh() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&url(directory.path()), &StoreSettings::default()).unwrap();
    (directory, store)
}

fn names(store: &Store) -> Vec<String> {
    store.list("").unwrap().into_iter().map(|object| object.name).collect()
}

/// Root may do anything, so tests of refusals are run again as nobody; `true` where that has been
/// done.
fn done_as_nobody(test: &str) -> bool {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(place.path().join("refused?"), "").is_err() {
        return false;
    }
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Where tests are built, others may not even look.
    let copy = place.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(copy)
        .args(["--exact", "--nocapture", test])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    true
}

#[test]
fn a_missing_directory_is_no_store_until_it_is_created() {
    let above = tempfile::tempdir().unwrap();
    let url = url(&above.path().join("some/where"));
    let error = Store::open(&url, &StoreSettings::default()).unwrap_err();
    assert!(matches!(error, StoreError::NoStore { url: ref u } if *u == url.to_string()));
    assert!(!above.path().join("some").exists());
    let store = Store::open_or_create(&url, &StoreSettings::default()).unwrap();
    store.put("repository", "x".into()).unwrap();
    let again = Store::open(&url, &StoreSettings::default()).unwrap();
    assert_eq!(again.get("repository", 10).unwrap(), "x");
    assert_eq!(again.url(), url.to_string());
}

#[test]
fn a_file_is_not_a_store() {
    let above = tempfile::tempdir().unwrap();
    fs::write(above.path().join("file"), "x").unwrap();
    for open in [Store::open, Store::open_or_create] {
        let error = open(&url(&above.path().join("file")), &StoreSettings::default()).unwrap_err();
        assert!(matches!(error, StoreError::BadUrl { .. }), "{error}");
    }
}

#[test]
fn a_named_memory_store_is_one_store_within_the_process() {
    let open = |text| {
        Store::open(&StoreUrl::parse(text, Path::new("/")).unwrap(), &StoreSettings::default())
            .unwrap()
    };
    open("memory://one").put("a", "x".into()).unwrap();
    assert_eq!(open("memory://one").get("a", 10).unwrap(), "x");
    assert!(open("memory://two").list("").unwrap().is_empty());
    assert!(Store::memory().list("").unwrap().is_empty());
}

#[test]
fn unfinished_writes_of_a_killed_process_are_in_nobodys_way() {
    let (directory, store) = fresh();
    fs::create_dir_all(directory.path().join("packs/ab")).unwrap();
    for leftover in ["packs/ab/cd#1", "packs/ab/cd#2", "packs/ab/cd#17"] {
        fs::write(directory.path().join(leftover), "torn").unwrap();
    }
    assert!(names(&store).is_empty());
    assert!(store.head("packs/ab/cd").unwrap().is_none());
    assert_eq!(store.create("packs/ab/cd", "whole".into()).unwrap(), Created::Created);
    store.put("packs/ab/cd", "other".into()).unwrap();
    let again = Store::open_or_create(&url(directory.path()), &StoreSettings::default()).unwrap();
    assert_eq!(names(&again), ["packs/ab/cd"]);
    assert_eq!(again.get("packs/ab/cd", 10).unwrap(), "other");
}

#[test]
fn writes_leave_no_unfinished_files_behind() {
    let (directory, store) = fresh();
    store.put("index/a", "x".into()).unwrap();
    store.create("index/b", "x".into()).unwrap();
    store.create("index/b", "y".into()).unwrap();
    assert_eq!(fs::read_dir(directory.path().join("index")).unwrap().count(), 2);
}

#[test]
fn foreign_files_are_no_objects_and_links_are_followed() {
    let (directory, store) = fresh();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("1"), "x").unwrap();
    symlink(elsewhere.path(), directory.path().join("packs")).unwrap();
    symlink("nowhere", directory.path().join("broken")).unwrap();
    fs::write(directory.path().join("a%20b"), "x").unwrap();
    store.put("packs/2", "y".into()).unwrap();
    assert_eq!(names(&store), ["packs/1", "packs/2"]);
    assert!(elsewhere.path().join("2").exists());
}

#[test]
fn a_listing_that_cannot_see_everything_is_an_error() {
    if done_as_nobody("a_listing_that_cannot_see_everything_is_an_error") {
        return;
    }
    let (directory, store) = fresh();
    store.put("snapshots/a", "x".into()).unwrap();
    let snapshots = directory.path().join("snapshots");
    // Names can be read, but nothing about the files behind them.
    fs::set_permissions(&snapshots, fs::Permissions::from_mode(0o444)).unwrap();
    let listed = store.list("snapshots");
    fs::set_permissions(&snapshots, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(listed, Err(StoreError::PermissionDenied { .. })), "{listed:?}");
}

#[test]
fn a_directory_that_has_vanished_is_not_an_empty_store() {
    let (directory, store) = fresh();
    store.put("packs/ab/1", "x".into()).unwrap();
    fs::rename(directory.path(), directory.path().with_extension("away")).unwrap();
    assert_is_gone(&store);
    assert!(!directory.path().exists());
    fs::remove_dir_all(directory.path().with_extension("away")).unwrap();
}

/// As where a disk was mounted and is no more.
#[test]
fn another_directory_in_its_place_is_not_the_store() {
    let (directory, store) = fresh();
    let away = directory.path().with_extension("away");
    store.put("packs/ab/1", "x".into()).unwrap();
    fs::rename(directory.path(), &away).unwrap();
    fs::create_dir(directory.path()).unwrap();
    assert_is_gone(&store);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "something was written there");
    fs::remove_dir(directory.path()).unwrap();
    fs::rename(&away, directory.path()).unwrap();
    assert_eq!(names(&store), ["packs/ab/1"]);
    store.put("packs/ab/2", "x".into()).unwrap();
}

/// Nothing is written, and nothing is said to be absent.
#[track_caller]
fn assert_is_gone(store: &Store) {
    assert!(store.list("packs").is_err());
    // In a directory that was written to before, and in one that was not.
    for name in ["packs/ab/2", "index/1"] {
        assert!(store.put(name, "x".into()).is_err(), "{name}");
        assert!(store.create(name, "x".into()).is_err(), "{name}");
    }
    for error in [
        store.delete("packs/ab/1").unwrap_err(),
        store.head("packs/ab/1").unwrap_err(),
        store.get("packs/ab/1", 10).unwrap_err(),
        store.get_range("packs/ab/1", 0..1).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    }
}

#[test]
fn a_directory_without_permission_is_a_permission_error() {
    if done_as_nobody("a_directory_without_permission_is_a_permission_error") {
        return;
    }
    let (directory, store) = fresh();
    store.put("index/1", "x".into()).unwrap();
    let index = directory.path().join("index");
    fs::set_permissions(&index, fs::Permissions::from_mode(0o555)).unwrap();
    let errors = [
        store.put("index/2", "x".into()).map(drop),
        store.create("index/2", "x".into()).map(drop),
        store.delete("index/1"),
    ];
    fs::set_permissions(&index, fs::Permissions::from_mode(0o755)).unwrap();
    for error in errors {
        assert!(matches!(error, Err(StoreError::PermissionDenied { .. })), "{error:?}");
    }
}

#[test]
fn when_the_last_handle_is_dropped_nothing_is_written_any_more() {
    for _ in 0..20 {
        let (directory, store) = fresh();
        let write = |i: usize| {
            store.start_put(format!("packs/{i}"), vec![7; 100_000].into(), Purpose::Data)
        };
        let pending: Vec<_> = (0..20).map(write).collect();
        drop(pending);
        drop(store);
        let count = || fs::read_dir(directory.path().join("packs")).map_or(0, Iterator::count);
        let left = count();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(count(), left);
    }
}
