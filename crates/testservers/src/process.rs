//! A server in a process of its own, which ends when the test does.

use std::io::{BufRead, BufReader, PipeReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, io, thread};

/// How long a server may take on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running server; dropping it kills it.
pub(crate) struct Server {
    child: Child,
    output: Output,
}

/// All that the server has printed.
type Output = Arc<Mutex<String>>;

impl Server {
    /// Starts `setup` on the program that `variable` names and waits until a line of its output
    /// holds `ready`; returns what follows there.
    pub(crate) fn start(
        variable: &str,
        setup: impl FnOnce(&mut Command),
        ready: &str,
    ) -> (Self, String) {
        // The kernel kills the server when the thread that started it ends, so this is neither
        // the test's thread nor outlived by the server: it reads the output to its end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program(variable)).stdin(Stdio::null());
        setup(&mut command);
        let output = Output::default();
        let (child_to, child_from) = channel();
        let (line_to, line_from) = channel();
        let copy = Arc::clone(&output);
        thread::spawn(move || run(command, &child_to, &line_to, &copy));
        let child = match child_from.recv() {
            Ok(Ok(child)) => child,
            Ok(Err(error)) => panic!("setpriv, of Debian's util-linux, cannot be run: {error}"),
            Err(_) => panic!("the thread that starts {variable} ended"),
        };
        let server = Self { child, output };
        let address = server.wait(variable, &line_from, ready);
        (server, address)
    }

    fn wait(&self, variable: &str, lines: &Receiver<String>, ready: &str) -> String {
        loop {
            let what = match lines.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once(ready) {
                    Some((_, rest)) => return rest.trim().to_owned(),
                    None => continue,
                },
                Err(RecvTimeoutError::Timeout) => "does not get ready",
                Err(RecvTimeoutError::Disconnected) => "ended",
            };
            let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
            panic!("the server of {variable} {what}; it printed:\n{output}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where the server has ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program's path.
#[expect(clippy::disallowed_methods, reason = "scripts/test says in variables what it installed")]
pub(crate) fn program(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(path) if !path.is_empty() => path.into(),
        _ => {
            panic!(
                "{variable} is not set: run scripts/test (scripts/test-slow for Garage), which \
                 installs the server and sets it"
            )
        }
    }
}

fn run(
    mut command: Command,
    child: &Sender<io::Result<Child>>,
    lines: &Sender<String>,
    output: &Output,
) {
    let spawned = io::pipe().and_then(|(reader, writer)| {
        command.stdout(writer.try_clone()?).stderr(writer);
        Ok((command.spawn()?, reader))
    });
    // The command holds the writing end, which must close for the output to end.
    drop(command);
    // Receivers that are gone belong to a test that has given up.
    match spawned {
        Ok((started, reader)) => {
            let _ = child.send(Ok(started));
            copy(reader, lines, output);
        }
        Err(error) => {
            let _ = child.send(Err(error));
        }
    }
}

fn copy(reader: PipeReader, lines: &Sender<String>, output: &Output) {
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        {
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&line);
            output.push('\n');
        }
        let _ = lines.send(line);
    }
}
