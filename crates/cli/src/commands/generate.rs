//! `nightjar completions` and `man`: what is made from the command line's own description.

use std::path::Path;

use anyhow::{Context, Result};
use clap_complete::Shell;

use crate::args;
use crate::exit::Exit;
use crate::output;

pub(super) fn completions(shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "nightjar", &mut script);
    output::print_bytes(&script)?;
    Ok(Exit::Done)
}

pub(super) fn manual_pages(directory: &Path) -> Result<Exit> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(args::command(), directory))
        .with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
    Ok(Exit::Done)
}
