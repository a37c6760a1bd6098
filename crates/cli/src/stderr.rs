//! Everything that goes to standard error: warnings, errors, events and the progress bar, which
//! the others must not tear. A warning is shown once, however often it comes up.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::exit::{self, CommandError};
use crate::output::format::printable_lines;

struct State {
    json: bool,
    bar: Option<ProgressBar>,
    shown: BTreeSet<String>,
}

static STATE: Mutex<State> = Mutex::new(State { json: false, bar: None, shown: BTreeSet::new() });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether people or programs read along.
pub(crate) fn set_json(json: bool) {
    state().json = json;
}

/// Puts lines above this bar, as long as it is shown.
pub(crate) fn set_bar(bar: Option<ProgressBar>) {
    state().bar = bar;
}

fn write_line(state: &State, line: &str) {
    // Where standard error is closed, nobody can be told so.
    let write = || drop(writeln!(io::stderr().lock(), "{line}"));
    match &state.bar {
        Some(bar) => bar.suspend(write),
        None => write(),
    }
}

/// Names in it may hold anything, and must not steer the terminal.
fn write_text(state: &State, text: &str) {
    write_line(state, &printable_lines(text));
}

/// A line for people; programs do not see it.
pub(crate) fn note(line: &str) {
    let state = state();
    if !state.json {
        write_text(&state, line);
    }
}

/// A line of JSON; people do not see it.
pub(crate) fn event(event: &impl Serialize) {
    let state = state();
    if state.json
        && let Ok(line) = serde_json::to_string(event)
    {
        write_line(&state, &line);
    }
}

#[derive(Serialize)]
struct WarningEvent<'a> {
    event: &'static str,
    message: &'a str,
}

/// Something is not as it should be, and the work goes on.
pub(crate) fn warn(message: &str) {
    let mut state = state();
    if !state.shown.insert(message.to_owned()) {
        return;
    }
    if state.json {
        let event = WarningEvent { event: "warning", message };
        if let Ok(line) = serde_json::to_string(&event) {
            write_line(&state, &line);
        }
    } else {
        write_text(&state, &format!("warning: {message}"));
    }
}

#[derive(Serialize)]
struct ErrorDocument {
    error: ErrorView,
}

#[derive(Serialize)]
struct ErrorView {
    code: u8,
    kind: &'static str,
    message: String,
    causes: Vec<String>,
}

/// The error that ends the program, and what is behind it.
pub(crate) fn print_error(error: &anyhow::Error) {
    if error.downcast_ref::<CommandError>().is_some_and(|e| matches!(e, CommandError::StdoutClosed))
    {
        return;
    }
    let exit = exit::of(error);
    let message = error.to_string();
    print_failure(exit, message, causes(error));
}

/// Prints what failed, as text or as JSON.
pub(crate) fn print_failure(exit: exit::Exit, message: String, causes: Vec<String>) {
    let state = state();
    if state.json {
        let view = ErrorView { code: exit.code(), kind: exit.kind(), message, causes };
        if let Ok(line) = serde_json::to_string(&ErrorDocument { error: view }) {
            write_line(&state, &line);
        }
        return;
    }
    write_text(&state, &format!("error: {message}"));
    for cause in causes {
        write_text(&state, &format!("  because: {cause}"));
    }
}

/// The causes of an error, without those that the line before already tells.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut told = error.to_string();
    let mut causes = Vec::new();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !told.contains(&text) {
            causes.push(text.clone());
            told = text;
        }
    }
    causes
}

/// Shows the warnings of the libraries, and with `-v` what else they log.
pub(crate) fn log_warnings(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::registry().with(Log.with_filter(level));
    // Fails only if there is one already, which does the same.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Turns log events into lines.
struct Log;

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if !metadata.target().starts_with("nightjar") {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        if *metadata.level() <= Level::WARN {
            warn(&text.0);
        } else {
            let level = metadata.level().as_str().to_ascii_lowercase();
            note(&format!("{level}: {}", text.0));
        }
    }
}

/// The message of an event, followed by its fields.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { " " };
        self.0 += &match field.name() {
            "message" => format!("{separator}{value:?}"),
            name => format!("{separator}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nightjar_repository::RepositoryError;

    use super::causes;

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        let source = io::Error::other("disk on fire");
        let local = RepositoryError::Local { what: "cannot write x".into(), source };
        let error = anyhow::Error::new(local).context("cannot restore");
        assert_eq!(causes(&error), ["cannot write x: disk on fire"]);
    }
}
