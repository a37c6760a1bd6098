//! Running `nightjar` and looking at the outcome.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::program;

/// Variables that must not reach the program from outside.
const FOREIGN: [&str; 13] = [
    "NIGHTJAR_CONFIG",
    "NIGHTJAR_REPOSITORY",
    "NIGHTJAR_PASSWORD",
    "NIGHTJAR_PASSWORD_FILE",
    "NIGHTJAR_PASSWORD_COMMAND",
    "NIGHTJAR_KEY_FILE",
    "NIGHTJAR_CACHE_DIR",
    "NIGHTJAR_ENDPOINT",
    "NIGHTJAR_REGION",
    "NIGHTJAR_CA_FILE",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "RUST_BACKTRACE",
];

/// A command line in the making.
pub(crate) struct Nightjar {
    wrapper: Vec<OsString>,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    stdin: Option<Vec<u8>>,
}

impl Nightjar {
    pub(crate) fn new() -> Self {
        Self {
            wrapper: Vec::new(),
            program: program().to_owned(),
            args: Vec::new(),
            env: FOREIGN.iter().map(|name| (name.into(), None)).collect(),
            directory: None,
            stdin: None,
        }
    }

    /// Adds arguments, separated by spaces.
    pub(crate) fn args(mut self, words: &str) -> Self {
        self.args.extend(words.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one argument as it is.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds a path that is to be stored, and runs in the directory it lies in: so it stands in the
    /// snapshot under its own last name.
    pub(crate) fn source(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let (above, name) = (path.parent().unwrap(), path.file_name().unwrap());
        self.in_directory(above).arg(name)
    }

    /// Adds `-- sh -c SCRIPT`.
    pub(crate) fn shell(self, script: &str) -> Self {
        self.args("-- sh -c").arg(script)
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), Some(value.as_ref().to_owned())));
        self
    }

    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.env.push((name.into(), None));
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    pub(crate) fn in_directory(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Runs it through another program: `setsid`, `setpriv …`.
    pub(crate) fn through(mut self, words: &str) -> Self {
        self.wrapper = words.split_whitespace().map(OsString::from).collect();
        self
    }

    /// Runs another copy of the program.
    pub(crate) fn copy_of_program(mut self, path: &Path) -> Self {
        self.program = path.to_owned();
        self
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let mut words = self.wrapper.clone();
        words.push(self.program.clone().into_os_string());
        words.extend(self.args.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let args: Vec<_> = self.args.iter().map(|arg| arg.to_string_lossy()).collect();
        let line = format!("nightjar {}", args.join(" "));
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}"));
        if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), self.stdin) {
            // Whether it takes everything is its own affair.
            thread::spawn(move || drop(stdin.write_all(&bytes)));
        }
        Running { line, child }
    }

    /// Runs it to its end, whatever that is.
    pub(crate) fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Runs it; it must succeed.
    #[track_caller]
    pub(crate) fn done(self) -> Outcome {
        self.exits(0)
    }

    /// Runs it; it must end with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Outcome {
        self.run().exited(code)
    }

    /// Adds `--json` in front, where no `--` hides it.
    pub(crate) fn with_json(mut self) -> Self {
        self.args.insert(0, "--json".into());
        self
    }

    /// Runs it with `--json`; it must succeed and print one document.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        self.with_json().done().json()
    }
}

/// A program at work.
pub(crate) struct Running {
    line: String,
    child: Child,
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it has not been waited for");
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_some()
    }

    pub(crate) fn finish(self) -> Outcome {
        let output = self.child.wait_with_output().expect("it is our child");
        let outcome = Outcome {
            line: self.line,
            status: output.status,
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!outcome.stderr.contains("panicked at"), "it panicked\n{outcome}");
        outcome
    }
}

/// How a run ended and what it said.
pub(crate) struct Outcome {
    line: String,
    status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn is_done(&self) -> bool {
        self.status.success()
    }

    #[track_caller]
    pub(crate) fn exited(self, code: i32) -> Self {
        assert!(self.status.code() == Some(code), "expected exit code {code}\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn was_killed_by(self, signal: Signal) -> Self {
        assert!(self.status.signal() == Some(signal.as_raw()), "expected {signal:?}\n{self}");
        self
    }

    /// Standard error contains the text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "expected {text:?} on standard error\n{self}");
        self
    }

    /// Neither output contains the text.
    #[track_caller]
    pub(crate) fn never_says(self, text: &str) -> Self {
        let said = self.stderr.contains(text) || self.text().contains(text);
        assert!(!said, "did not expect {text:?}\n{self}");
        self
    }

    /// Standard output contains the text.
    #[track_caller]
    pub(crate) fn prints(self, text: &str) -> Self {
        assert!(self.text().contains(text), "expected {text:?} on standard output\n{self}");
        self
    }

    #[track_caller]
    pub(crate) fn prints_nothing(self) -> Self {
        assert!(self.stdout.is_empty(), "expected nothing on standard output\n{self}");
        self
    }

    /// Standard output is exactly this; where it is not, says where.
    #[track_caller]
    pub(crate) fn prints_bytes(self, expected: &[u8]) -> Self {
        assert_same(&self.stdout, expected);
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as the one JSON document that it must be.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is no JSON document: {error}\n{self}"))
    }

    /// Standard error as the lines of JSON that it must be.
    #[track_caller]
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let parse = |line| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{line:?} is no JSON: {error}\n{self}"))
        };
        self.stderr.lines().map(parse).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, status, stdout, stderr } = self;
        let shown = String::from_utf8_lossy(&stdout[..stdout.len().min(8 << 10)]);
        let length = stdout.len();
        write!(f, "$ {line}\n{status}\n")?;
        write!(f, "--- standard output, {length} bytes\n{shown}\n--- standard error\n{stderr}")
    }
}

/// Compares bytes without printing megabytes.
#[track_caller]
pub(crate) fn assert_same(found: &[u8], expected: &[u8]) {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    assert!(at.is_none(), "the first of the bytes that differ is number {}", at.unwrap_or(0));
    assert_eq!(found.len(), expected.len(), "the lengths differ");
}

#[track_caller]
pub(crate) fn assert_has_fields(document: &Value, fields: &str) {
    for field in fields.split_whitespace() {
        assert!(document.get(field).is_some(), "no field {field} in {document}");
    }
}
