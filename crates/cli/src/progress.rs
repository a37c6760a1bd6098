//! How far long work has come: a bar for people, events for programs.
//!
//! The engine counts; a thread looks at its counters now and then.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nightjar_repository::Progress;
use serde::Serialize;

use crate::args::Globals;
use crate::stderr;

const BAR_INTERVAL: Duration = Duration::from_millis(100);
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

const KNOWN: &str = "{msg} {binary_bytes} of {binary_total_bytes} [{wide_bar:.cyan/blue}] \
                     {binary_bytes_per_sec}, {eta} left";
const EXPECTED: &str = "{msg} {binary_bytes} of about {binary_total_bytes} \
                        [{wide_bar:.cyan/blue}] {binary_bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{spinner} {msg} {binary_bytes}, {binary_bytes_per_sec}, {elapsed}";

#[derive(Serialize)]
struct ProgressEvent {
    event: &'static str,
    bytes: u64,
    /// Null while unknown.
    total: Option<u64>,
    stored: u64,
}

/// What is shown while work goes on; gone when dropped.
pub(crate) struct Display {
    running: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Whether anything would be shown.
pub(crate) fn is_wanted(globals: &Globals) -> bool {
    globals.json || shows_bar(globals)
}

fn shows_bar(globals: &Globals) -> bool {
    !globals.quiet && !globals.no_progress && !globals.json && io::stderr().is_terminal()
}

impl Display {
    /// Shows `progress` where standard output carries what is worked on: no bar across it on the
    /// terminal that both share.
    pub(crate) fn start_beside_stdout(
        globals: &Globals,
        doing: &'static str,
        progress: &Arc<Progress>,
    ) -> Self {
        let no_progress = globals.no_progress || io::stdout().is_terminal();
        let globals = Globals { no_progress, ..globals.clone() };
        Self::start(&globals, doing, progress)
    }

    /// Shows `progress` until the display is dropped.
    pub(crate) fn start(globals: &Globals, doing: &'static str, progress: &Arc<Progress>) -> Self {
        if !is_wanted(globals) {
            return Self { running: None };
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let progress = Arc::clone(progress);
        let json = globals.json;
        let thread = thread::spawn(move || {
            let interval = if json { EVENT_INTERVAL } else { BAR_INTERVAL };
            let bar = (!json).then(|| new_bar(doing));
            let mut shown = Total::Unknown;
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                let total = Total::of(&progress);
                match &bar {
                    Some(bar) => update(bar, &progress, shown, total),
                    None => stderr::event(&event(&progress, total)),
                }
                shown = total;
            }
            if let Some(bar) = bar {
                bar.finish_and_clear();
                stderr::set_bar(None);
            }
        });
        Self { running: Some((stop, thread)) }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // A display that broke takes nothing with it.
            let _ = thread.join();
        }
    }
}

/// How many bytes there will be, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Known(u64),
    /// As many as the last time.
    Expected(u64),
    Unknown,
}

impl Total {
    fn of(progress: &Progress) -> Self {
        let [bytes, total, expected] = [&progress.bytes, &progress.total, &progress.expected]
            .map(|counter| counter.load(Ordering::Relaxed));
        match total {
            total if total >= bytes.max(1) => Self::Known(total),
            0 if expected >= bytes.max(1) => Self::Expected(expected),
            _ => Self::Unknown,
        }
    }

    const fn bytes(self) -> Option<u64> {
        match self {
            Self::Known(bytes) | Self::Expected(bytes) => Some(bytes),
            Self::Unknown => None,
        }
    }

    const fn template(self) -> &'static str {
        match self {
            Self::Known(_) => KNOWN,
            Self::Expected(_) => EXPECTED,
            Self::Unknown => UNKNOWN,
        }
    }
}

fn event(progress: &Progress, total: Total) -> ProgressEvent {
    ProgressEvent {
        event: "progress",
        bytes: progress.bytes.load(Ordering::Relaxed),
        total: total.bytes(),
        stored: progress.stored.load(Ordering::Relaxed),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

fn new_bar(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(style(UNKNOWN));
    bar.set_message(doing);
    stderr::set_bar(Some(bar.clone()));
    bar
}

fn update(bar: &ProgressBar, progress: &Progress, shown: Total, total: Total) {
    if shown != total {
        bar.set_style(style(total.template()));
        match total.bytes() {
            Some(bytes) => bar.set_length(bytes),
            None => bar.unset_length(),
        }
    }
    bar.set_position(progress.bytes.load(Ordering::Relaxed));
    bar.tick();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_sound() {
        for template in [KNOWN, EXPECTED, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn an_expected_total_that_was_exceeded_is_unknown() {
        let progress = Progress::default();
        assert_eq!(Total::of(&progress), Total::Unknown);
        progress.bytes.store(10, Ordering::Relaxed);
        assert_eq!(Total::of(&progress), Total::Unknown);
        progress.expected.store(9, Ordering::Relaxed);
        assert_eq!(Total::of(&progress), Total::Unknown);
        progress.expected.store(11, Ordering::Relaxed);
        assert_eq!(Total::of(&progress), Total::Expected(11));
        progress.total.store(12, Ordering::Relaxed);
        assert_eq!(Total::of(&progress), Total::Known(12));
    }

    #[test]
    fn events_have_stable_names() {
        let text = serde_json::to_string(&event(&Progress::default(), Total::Unknown)).unwrap();
        assert_eq!(text, r#"{"event":"progress","bytes":0,"total":null,"stored":0}"#);
    }
}
