//! Trees that somebody changes while they are read, in every way there is.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use crate::harness::data::{Random, noise};
use crate::harness::tree::{Kind, assert_same_trees, read};
use crate::harness::{Nightjar, Outcome, Sandbox, id_of};

const SECRET: &[u8] = b"what lies behind a link is not to be stored";

/// Should a backup panic, nobody says that it is over.
const LONGEST: Duration = Duration::from_secs(60);

const DIRECTORIES: u64 = 12;
const FILES: u64 = 12;

fn directory(root: &Path, random: &mut Random) -> PathBuf {
    root.join(random.below(DIRECTORIES).to_string())
}

fn file(root: &Path, random: &mut Random) -> PathBuf {
    directory(root, random).join(random.below(FILES).to_string())
}

/// Opens a file to write to it, but no link to one, and without waiting for a pipe's reader.
fn open(at: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    options.write(true).custom_flags(flags.cast_signed()).open(at)
}

/// Does one thing to a tree. It fails where the one before has left nothing to do it to.
fn disturb(root: &Path, elsewhere: &Path, random: &mut Random) -> std::io::Result<()> {
    let at = file(root, random);
    let size = random.below(200_000);
    match random.below(10) {
        0 => {
            let file = open(&at, File::options().create(true).truncate(true))?;
            file.write_all_at(&noise(size, usize::try_from(size).unwrap()), 0)
        }
        1 => open(&at, &mut File::options())?.set_len(size),
        2 => open(&at, &mut File::options())?.write_all_at(b"changed", size),
        3 => fs::remove_file(&at),
        4 => fs::rename(&at, file(root, random)),
        // Of links and pipes with several names, every name is stored by itself.
        5 if fs::symlink_metadata(&at)?.is_file() => fs::hard_link(&at, file(root, random)),
        6 => fs::set_permissions(&at, fs::Permissions::from_mode(0o644)),
        7 => {
            fs::remove_file(&at)?;
            symlink(elsewhere.join("0"), &at)
        }
        8 => {
            fs::remove_file(&at)?;
            Ok(mknodat(CWD, &at, FileType::Fifo, Mode::RUSR, 0)?)
        }
        _ => {
            // A directory is a link for a moment.
            let (at, away) = (directory(root, random), root.join("away"));
            fs::rename(&at, &away)?;
            symlink(elsewhere, &at)?;
            fs::remove_file(&at)?;
            fs::rename(&away, &at)
        }
    }
}

/// The tree, and a directory like one of its own with secrets in it.
fn make(root: &Path, elsewhere: &Path) {
    for number in 0..DIRECTORIES {
        let directory = root.join(number.to_string());
        fs::create_dir_all(&directory).unwrap();
        for number in 0..FILES {
            fs::write(directory.join(number.to_string()), noise(number, 100_000)).unwrap();
        }
    }
    fs::create_dir(elsewhere).unwrap();
    for number in 0..FILES {
        fs::write(elsewhere.join(number.to_string()), SECRET).unwrap();
    }
}

/// Backs a tree up some times while it is disturbed.
fn backups_meanwhile(backup: impl Fn() -> Nightjar, disturb: impl Fn() + Sync) -> Vec<Outcome> {
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) && start.elapsed() < LONGEST {
                disturb();
            }
        });
        let outcomes = (0..6).map(|_| backup().run()).collect();
        stop.store(true, Ordering::Relaxed);
        outcomes
    })
}

#[test]
fn a_tree_that_changes_while_it_is_read_gives_sound_snapshots() {
    let mut noticed = 0;
    for seed in 300..304 {
        let sandbox = Sandbox::new();
        let (root, elsewhere) = (sandbox.path("tree"), sandbox.path("elsewhere"));
        make(&root, &elsewhere);
        let backup = || sandbox.nightjar("backup").source(&root).with_json();
        let random = Mutex::new(Random::new(seed));
        let outcomes = backups_meanwhile(backup, || {
            drop(disturb(&root, &elsewhere, &mut random.lock().unwrap()));
        });
        for outcome in outcomes {
            noticed += usize::from(!outcome.stderr.is_empty());
            // What went while it was looked at was left out, and that was told.
            let outcome = if outcome.is_done() { outcome } else { outcome.exited(3) };
            let id = id_of(&outcome.json());
            let target = sandbox.path(&id);
            sandbox.nightjar("restore --verify --to").arg(&target).arg(&id).done();
            for (path, node) in read(&target) {
                let Kind::File(bytes, _) = node.kind else { continue };
                assert!(bytes != SECRET, "seed {seed}: {}", path.display());
            }
        }
        // Left in peace, it is stored as it is, whatever was taken for unchanged.
        let id = id_of(&backup().done().json());
        let target = sandbox.path("target");
        sandbox.nightjar("restore --to").arg(&target).arg(id).done();
        assert_same_trees(&read(&target.join("tree")), &read(&root));
        sandbox.assert_verifies();
    }
    assert!(noticed > 0, "nothing changed while it was looked at");
}
