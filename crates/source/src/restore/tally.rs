//! What came of a restore: counters, failures of single entries, and what was not possible.
//!
//! A tree has any number of entries, and what goes wrong with one goes wrong with many. Only the
//! first failures are kept with their paths. What this user or this file system cannot do at all
//! is told once, with a count.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nightjar_repository::RepositoryError;
use rustix::io::Errno;

use crate::error::SourceError;
use crate::restore::RestoreReport;

/// Failures that are kept with their paths.
const KEPT: usize = 100;

/// What could not be restored as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shortfall {
    Owner,
    Group,
    SetId,
    Device,
    Socket,
    /// Extended attributes of a namespace.
    Attributes(String),
    /// Left alone by `--delete`.
    MountPoint,
    /// Left alone by `--delete` because something else failed.
    Extra,
}

impl Shortfall {
    fn line(&self, count: u64) -> String {
        let entries =
            if count == 1 { "1 entry".into() } else { format!("{} entries", grouped(count)) };
        match self {
            Self::Owner => format!("the owner of {entries} could not be set: only root may"),
            Self::Group => format!("the group of {entries} could not be set: only root may"),
            Self::SetId => format!(
                "setuid and setgid were left out of {entries}, whose owner or group is another here"
            ),
            Self::Device => {
                format!("{entries}: devices could not be made: only root may")
            }
            Self::Socket => format!("{entries}: sockets are not restored; programs make their own"),
            Self::Attributes(namespace) => format!(
                "extended attributes `{namespace}.*` of {entries} could not be set: not by this \
                 user or not on this file system"
            ),
            Self::Extra => {
                let (were, they) = if count == 1 { ("was", "it") } else { ("were", "they") };
                format!(
                    "{entries} that the snapshot does not hold {were} not deleted: something could \
                     not be restored, and {they} may be all there is of it"
                )
            }
            Self::MountPoint => format!(
                "{entries}: other file systems are mounted there, and nothing was deleted in them"
            ),
        }
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[derive(Default)]
struct Kept {
    failures: Vec<String>,
    shortfalls: BTreeMap<Shortfall, u64>,
    /// What ends the run.
    fatal: Option<SourceError>,
}

/// Counted by the walk and by the workers.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) files: AtomicU64,
    pub(crate) directories: AtomicU64,
    pub(crate) others: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) unchanged: AtomicU64,
    pub(crate) links: AtomicU64,
    pub(crate) deleted: AtomicU64,
    failed: AtomicU64,
    damaged: AtomicBool,
    stopped: AtomicBool,
    broken_off: AtomicBool,
    kept: Mutex<Kept>,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry could not be restored. Where the destination as a whole is at fault, this ends the
    /// run.
    pub(crate) fn fail(&self, action: &'static str, path: &Path, source: impl Into<io::Error>) {
        let source = source.into();
        if ends_the_run(&source) {
            let path = path.to_path_buf();
            self.kept().fatal.get_or_insert(SourceError::Local { action, path, source });
            // After the error, which whoever sees this looks for.
            self.stopped.store(true, Ordering::Release);
        } else {
            self.note_failure(format!("cannot {action} {}: {source}", path.display()));
        }
    }

    /// What is stored of an entry is damaged.
    pub(crate) fn damage(&self, path: &Path, error: &RepositoryError) {
        self.note_damage(format!("cannot restore {}: {error}", path.display()));
    }

    /// The same in other words.
    pub(crate) fn note_damage(&self, line: String) {
        self.damaged.store(true, Ordering::Relaxed);
        self.note_failure(line);
    }

    /// An entry could not be restored, and this says why.
    pub(crate) fn note_failure(&self, line: String) {
        count(&self.failed);
        let mut kept = self.kept();
        if kept.failures.len() < KEPT {
            kept.failures.push(line);
        }
    }

    /// Something of an entry was not possible.
    pub(crate) fn miss(&self, what: Shortfall) {
        *self.kept().shortfalls.entry(what).or_default() += 1;
    }

    /// Whether anything failed so far.
    pub(crate) fn has_failures(&self) -> bool {
        self.failed.load(Ordering::Relaxed) > 0
    }

    /// Not everything will be done: the run ends for a reason of its own.
    pub(crate) fn break_off(&self) {
        self.broken_off.store(true, Ordering::Release);
    }

    /// Whether what is not done will not be done.
    pub(crate) fn is_broken_off(&self) -> bool {
        self.is_stopped() || self.broken_off.load(Ordering::Acquire)
    }

    /// Whether the run is to end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// What ended the run, if anything did.
    pub(crate) fn check(&self) -> Result<(), SourceError> {
        if !self.is_stopped() {
            return Ok(());
        }
        let stopped = || SourceError::Selection("the restore was stopped".into());
        Err(self.kept().fatal.take().unwrap_or_else(stopped))
    }

    pub(crate) fn report(&self) -> RestoreReport {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let kept = self.kept();
        RestoreReport {
            files: load(&self.files),
            directories: load(&self.directories),
            others: load(&self.others),
            bytes: load(&self.bytes),
            unchanged: load(&self.unchanged),
            links: load(&self.links),
            deleted: load(&self.deleted),
            failed: load(&self.failed),
            damaged: self.damaged.load(Ordering::Relaxed),
            failures: kept.failures.clone(),
            warnings: kept.shortfalls.iter().map(|(what, count)| what.line(*count)).collect(),
        }
    }
}

/// Whether an error is about the destination as a whole: the next file would meet it, too.
fn ends_the_run(error: &io::Error) -> bool {
    let Some(errno) = Errno::from_io_error(error) else { return false };
    matches!(
        errno,
        Errno::NOSPC
            | Errno::DQUOT
            | Errno::IO
            | Errno::ROFS
            | Errno::NODEV
            | Errno::STALE
            | Errno::MFILE
            | Errno::NFILE
            | Errno::NOMEM
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_possible_is_told_once_with_a_count() {
        let tally = Tally::default();
        (0..5312).for_each(|_| tally.miss(Shortfall::Owner));
        let warnings = tally.report().warnings;
        assert_eq!(warnings, ["the owner of 5,312 entries could not be set: only root may"]);
    }

    #[test]
    fn any_number_of_failures_takes_bounded_memory() {
        let tally = Tally::default();
        for _ in 0..1000 {
            tally.fail("make", Path::new("x"), Errno::ACCESS);
        }
        let report = tally.report();
        assert_eq!((report.failed, report.failures.len()), (1000, KEPT));
        assert!(tally.check().is_ok());
    }

    #[test]
    fn a_full_disk_ends_the_run() {
        let tally = Tally::default();
        tally.fail("write", Path::new("x"), Errno::NOSPC);
        assert!(tally.check().unwrap_err().to_string().contains("cannot write x"));
    }
}
