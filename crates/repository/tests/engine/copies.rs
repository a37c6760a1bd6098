//! Copies of packs on this machine: they spare reading back, and nothing rests on them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use nightjar_format::object::ObjectName;
use nightjar_format::snapshot::Counts;
use nightjar_repository::ingest::SnapshotRequest;
use nightjar_testkit::damage::{names, read};
use nightjar_testkit::edits::touched;
use nightjar_testkit::fixture::{Fixture, request, restore};
use nightjar_testkit::generate::{Rng, dump, noise};
use nightjar_testkit::model::verify_all;

const MIB: u64 = 1 << 20;

/// Where a machine's copies lie.
pub(crate) fn directory(fixture: &Fixture) -> PathBuf {
    fixture.open().cache_dir().join("copies")
}

/// The copies of packs there, and what they take. Files may come and go meanwhile.
fn copies(directory: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let files = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.path(), entry.metadata().ok()?.len()))
    });
    files.filter(|(path, _)| !path.ends_with("key")).collect()
}

pub(crate) fn bytes_of(directory: &Path) -> u64 {
    copies(directory).iter().map(|(_, len)| len).sum()
}

fn keeping(cache_bytes: u64) -> SnapshotRequest {
    SnapshotRequest { cache_bytes, ..request("dump") }
}

fn night(fixture: &Fixture, cache_bytes: u64, bytes: &[u8]) -> Counts {
    let info = fixture.night_as(&keeping(cache_bytes), bytes);
    assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
    info.snapshot.counts
}

#[test]
fn what_was_written_here_is_not_read_back() {
    let fixture = Fixture::new(161).remote();
    let mut bytes = dump(1, 3 << 20);
    night(&fixture, MIB << 10, &bytes);
    for number in 0..3 {
        bytes = touched(&bytes, number);
        // The same night without deltas reads nothing back: what is read more is too much.
        let twin = fixture.twin().remote();
        // Its store is another one, in which the newest record is read once.
        drop(twin.open());
        let plain = SnapshotRequest { delta: None, ..request("dump") };
        let before = twin.store.counters();
        twin.night_as(&plain, &bytes);
        let after = twin.store.counters();
        let needed = (after.get - before.get, after.bytes_down - before.bytes_down);

        let before = fixture.store.counters();
        let info = fixture.night_as(&keeping(MIB << 10), &bytes);
        let after = fixture.store.counters();
        let counts = info.snapshot.counts;
        assert!(counts.chunks_delta * 10 > counts.chunks_new * 9, "{counts:?}");
        assert_eq!(counts.bytes_read_back, 0, "{counts:?}");
        let taken = (after.get - before.get, after.bytes_down - before.bytes_down);
        assert_eq!(taken, needed, "requests and bytes");
        assert!(restore(&fixture.elsewhere().open(), &info).unwrap() == bytes);
    }
}

#[test]
fn a_fresh_machine_reads_packs_back_whole_and_keeps_them() {
    let first = Fixture::new(162).remote();
    let bytes = dump(2, 3 << 20);
    night(&first, MIB << 10, &bytes);
    let stored: u64 = first.store.list("packs").unwrap().iter().map(|info| info.size).sum();
    let fresh = first.elsewhere();
    let bytes = touched(&bytes, 1);
    let counts = night(&fresh, MIB << 10, &bytes);
    assert!(counts.chunks_delta * 10 > counts.chunks_new * 9, "{counts:?}");
    // Each pack once, and little else.
    let read_back = counts.bytes_read_back;
    assert!(read_back > stored / 2 && read_back <= stored, "{read_back} of {stored} bytes");
    for (path, len) in copies(&directory(&fresh)) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let object = read(&first.store, &ObjectName::Pack(name.parse().unwrap()).to_string());
        let copy = fs::read(&path).unwrap();
        assert_eq!(copy.len() as u64, len);
        assert!(copy.ends_with(&object) && copy.len() < object.len() + 200, "{name}");
    }
    let counts = night(&fresh, MIB << 10, &touched(&bytes, 2));
    assert_eq!(counts.bytes_read_back, 0, "{counts:?}");
}

#[test]
fn without_a_cache_deltas_are_made_by_reading_back() {
    let fixture = Fixture::new(163).remote();
    let bytes = dump(3, 3 << 20);
    night(&fixture, 0, &bytes);
    let counts = night(&fixture, 0, &touched(&bytes, 1));
    assert!(counts.chunks_delta * 10 > counts.chunks_new * 9, "{counts:?}");
    assert!(counts.bytes_read_back > 500_000, "{counts:?}");
    assert_eq!(copies(&directory(&fixture)), []);
}

#[test]
fn copies_go_when_the_cache_is_switched_off() {
    let fixture = Fixture::new(164).remote();
    let bytes = dump(3, 2 << 20);
    night(&fixture, MIB << 10, &bytes);
    assert!(bytes_of(&directory(&fixture)) > 500_000);
    night(&fixture, 0, &touched(&bytes, 1));
    assert_eq!(copies(&directory(&fixture)), []);
}

#[test]
fn copies_go_when_the_limit_is_lowered() {
    let fixture = Fixture::new(165).remote();
    let bytes = dump(3, 6 << 20);
    night(&fixture, MIB << 10, &bytes);
    assert!(bytes_of(&directory(&fixture)) > MIB * 3 / 2);
    night(&fixture, MIB * 3 / 2, &bytes);
    let taken = bytes_of(&directory(&fixture));
    assert!(taken <= MIB * 3 / 2, "{taken} bytes");
}

/// Looks at a directory again and again, and keeps the most that lay there.
struct Watcher {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: thread::JoinHandle<()>,
}

impl Watcher {
    fn watch(directory: PathBuf) -> Self {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, seen) = (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // What is listed first may be gone by the time the last is: look twice.
                let found = copies(&directory);
                if found == copies(&directory) {
                    seen.fetch_max(found.iter().map(|(_, len)| len).sum(), Ordering::Relaxed);
                }
                thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        Self { stop, most, thread }
    }

    fn most(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.most.load(Ordering::Relaxed)
    }
}

#[test]
fn a_small_limit_is_kept_to() {
    for limit in [50_000, MIB * 5 / 4, MIB * 5 / 2, 5 * MIB] {
        let fixture = Fixture::new(166).remote();
        let mut bytes = noise(4, 8 << 20);
        for number in 0..3 {
            let watcher = Watcher::watch(directory(&fixture));
            night(&fixture, limit, &bytes);
            let most = watcher.most();
            let left = bytes_of(&directory(&fixture));
            assert!(left <= limit, "night {number}: {left} bytes of {limit} are left");
            assert!(most <= limit, "night {number}: {most} bytes of {limit} lay there");
            let mut rng = Rng::new(number);
            for _ in 0..200 {
                let place = rng.below(bytes.len());
                bytes[place] ^= 1;
            }
        }
    }
}

#[test]
fn a_cache_that_is_too_small_costs_little_more_than_none() {
    let read_back = |limit| {
        let fixture = Fixture::new(167).remote();
        let mut bytes = noise(5, 12 << 20);
        let mut last = 0;
        for number in 0..8 {
            last = fixture.night_as(&keeping(limit), &bytes).snapshot.counts.bytes_read_back;
            // A tenth of each chunk, so that a night's deltas fill more than a pack.
            for row in bytes.chunks_mut(15_000) {
                let new = noise(number * 1000 + u64::from(row[0]), 1500);
                let len = row.len().min(new.len());
                row[..len].copy_from_slice(&new[..len]);
            }
        }
        last
    };
    let (none, small) = (read_back(0), read_back(3 * MIB));
    assert!(small <= none * 3 / 2, "{small} bytes read back in a night, {none} without a cache");
}

type Way = (&'static str, fn(&Path));

const WAYS: [Way; 5] = [
    ("deleted", |path| fs::remove_file(path).unwrap()),
    ("emptied", |path| fs::write(path, b"").unwrap()),
    ("halved", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("flipped at the beginning", |path| flip(path, 20)),
    ("flipped in the middle", |path| flip(path, 500)),
];

fn flip(path: &Path, thousandths: usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.len() * thousandths / 1000;
    bytes[place] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Damages all copies, or the key, in each way: the next nights are right, and in the end deltas
/// are made again.
fn damage_copies(seed: u64, which: fn(&Path) -> Vec<PathBuf>) {
    let sound = Fixture::new(seed).remote();
    let bytes = dump(6, 2 << 20);
    night(&sound, MIB << 10, &bytes);
    for (way, damage) in WAYS {
        let fixture = sound.twin().remote();
        let paths = which(&directory(&fixture));
        assert!(!paths.is_empty());
        paths.iter().for_each(|path| damage(path));
        let second = touched(&bytes, 1);
        let counts = night(&fixture, MIB << 10, &second);
        assert!(counts.chunks_new > 20, "{way}: {counts:?}");
        let third = touched(&second, 2);
        let counts = night(&fixture, MIB << 10, &third);
        assert!(counts.chunks_delta > 20, "{way}: {counts:?}");
        assert_eq!(verify_all(&fixture.open()).unwrap().findings, [], "{way}");
    }
}

#[test]
fn damaged_copies_harm_nothing() {
    damage_copies(168, |directory| copies(directory).into_iter().map(|(path, _)| path).collect());
}

#[test]
fn a_damaged_key_harms_nothing() {
    damage_copies(169, |directory| vec![directory.join("key")]);
}

#[test]
fn copies_are_nobody_elses_and_hold_no_plaintext() {
    let fixture = Fixture::new(171).remote();
    let bytes = dump(8, 2 << 20);
    night(&fixture, MIB << 10, &bytes);
    let directory = directory(&fixture);
    let files: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3 && files.contains(&directory.join("key")), "{files:?}");
    for path in files {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        let copy = fs::read(&path).unwrap();
        let marker = b"customer ";
        assert!(!copy.windows(marker.len()).any(|it| it == marker), "{}", path.display());
    }
    assert!(bytes.windows(9).any(|it| it == b"customer "));
}

#[test]
fn a_restore_never_reads_copies() {
    let fixture = Fixture::new(179).remote();
    let bytes = dump(14, 2 << 20);
    let info = fixture.night(&bytes);
    assert!(restore(&fixture.open(), &info).unwrap() == bytes);
    for name in names(&fixture.store, "packs") {
        let twin = fixture.twin().remote();
        let id = name.rsplit('/').next().unwrap();
        assert!(directory(&twin).join(id).exists(), "there is no copy of it");
        twin.store.delete(&name).unwrap();
        let error = restore(&twin.open(), &info).unwrap_err();
        assert!(error.to_string().contains(&name), "{error}");
        let report = verify_all(&twin.open()).unwrap();
        assert!(report.findings.iter().any(|it| it.object == name), "{:?}", report.findings);
    }
}
