//! Standard output: results, and nothing but results.

pub(crate) mod coverage;
pub(crate) mod damage;
pub(crate) mod entries;
pub(crate) mod format;
pub(crate) mod requests;
pub(crate) mod table;
pub(crate) mod views;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;

use anyhow::Result;
use serde::Serialize;

use crate::args::Globals;
use crate::exit::CommandError;
use crate::stderr;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    pub(crate) fn new(globals: &Globals) -> Self {
        Self { json: globals.json, quiet: globals.quiet }
    }

    /// Prints what was asked for: as a JSON document, or as text.
    pub(crate) fn result(self, view: &impl Serialize, text: impl FnOnce() -> String) -> Result<()> {
        if self.json { document(view) } else { print(&text()) }
    }

    /// Prints what was done; `--quiet` wants only the JSON document.
    pub(crate) fn summary(
        self,
        view: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.quiet && !self.json { Ok(()) } else { self.result(view, text) }
    }

    /// A line beside the result, for people who did not ask for quiet.
    pub(crate) fn remark(self, text: &str) {
        if !self.quiet {
            stderr::note(text);
        }
    }

    /// [`Self::summary`] on standard error, where standard output carries something else.
    pub(crate) fn side_summary(self, view: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json {
            stderr::event(view);
        } else if !self.quiet {
            stderr::note(text().trim_end());
        }
    }
}

fn document(view: &impl Serialize) -> Result<()> {
    let text = if io::stdout().is_terminal() {
        serde_json::to_string_pretty(view)?
    } else {
        serde_json::to_string(view)?
    };
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Prints what is no view and no text.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(failed)
}

/// Why standard output takes no more.
fn failed(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        CommandError::StdoutClosed.into()
    } else {
        anyhow::Error::new(error).context("cannot write to standard output")
    }
}

/// Many results, one after another: lines of text, or one JSON array.
pub(crate) struct Listing {
    json: bool,
    empty: bool,
    sink: BufWriter<io::StdoutLock<'static>>,
}

impl Listing {
    pub(crate) fn begin(output: Output) -> Result<Self> {
        let sink = BufWriter::new(io::stdout().lock());
        let mut listing = Self { json: output.json, empty: true, sink };
        if listing.json {
            listing.write("[")?;
        }
        Ok(listing)
    }

    pub(crate) fn add(
        &mut self,
        view: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.json {
            let separator = if self.empty { "\n" } else { ",\n" };
            let text = serde_json::to_string(view)?;
            self.write(separator)?;
            self.write(&text)?;
        } else {
            self.write(&line())?;
            self.write("\n")?;
        }
        self.empty = false;
        Ok(())
    }

    /// A line above those that follow, set apart from those before it; none in JSON, whose objects
    /// each tell where they belong.
    pub(crate) fn heading(&mut self, line: &str) -> Result<()> {
        if self.json {
            return Ok(());
        }
        let gap = if self.empty { "" } else { "\n" };
        self.empty = false;
        self.write(&format!("{gap}{line}\n"))
    }

    pub(crate) fn end(mut self) -> Result<()> {
        if self.json {
            self.write("\n]\n")?;
        }
        self.sink.flush().map_err(failed)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        self.sink.write_all(text.as_bytes()).map_err(failed)
    }
}

/// Standard output for a restored file: unbuffered, and it remembers that its reader left.
pub(crate) struct Stdout {
    file: File,
    pub(crate) closed: bool,
}

impl Stdout {
    pub(crate) fn open() -> Result<Self> {
        let file = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?;
        Ok(Self { file: file.into(), closed: false })
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        self.closed |=
            written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
