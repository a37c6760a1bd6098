//! `nightjar`, the program: arguments in, results and exit codes out.
//!
//! A command line is read ([`args`]), one function of [`commands`] runs, and what it returns
//! decides the exit code ([`exit`]). Standard output carries results and nothing else
//! ([`output`]); warnings, errors and progress go to standard error, all through one door
//! ([`stderr`]), so that they never tear a progress bar. What the engine must not look up by
//! itself (clock, random numbers, names, directories, secrets) comes from [`environment`] and
//! [`secret_input`]; which repository is meant, and how it is reached, from [`config`].

mod args;
mod commands;
mod config;
mod environment;
mod exit;
mod output;
mod progress;
mod secret_input;
mod stderr;

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// RocksDB shares it: its own allocations and ours come from one heap.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match args::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(refusal) => return refusal.print().into(),
    };
    let globals = &arguments.globals;
    stderr::set_json(globals.json);
    stderr::log_warnings(globals.verbose);
    raise_file_limit();
    let exit = match commands::run(&arguments) {
        Ok(exit) => exit,
        Err(error) => {
            stderr::print_error(&error);
            exit::of(&error)
        }
    };
    exit.into()
}

/// A restore holds one file descriptor for each level of a tree: as many as the system grants.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it stays as it is, most trees need no more.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
