//! `nightjar repair …`

mod from_copy;
mod index;
mod snapshots;

use anyhow::Result;
use nightjar_repository::repair::Left;
use serde::Serialize;

use super::Program;
use crate::args::{Repair, RepairCommand};
use crate::exit::Exit;
use crate::output::format::printable;

pub(super) fn run(program: &Program<'_>, arguments: &Repair) -> Result<Exit> {
    match &arguments.command {
        Some(RepairCommand::Index(index)) => index::run(program, index),
        Some(RepairCommand::Snapshots(snapshots)) => snapshots::run(program, snapshots),
        None => from_copy::run(program, arguments),
    }
}

/// Something that stays as it is.
#[derive(Serialize)]
struct LeftView<'a> {
    object: &'a str,
    problem: &'a str,
}

fn left_views(left: &[Left]) -> Vec<LeftView<'_>> {
    left.iter().map(|left| LeftView { object: &left.object, problem: &left.why }).collect()
}

fn describe_left(left: &[Left]) -> String {
    let line = |left: &Left| {
        format!("{} stays as it is: {}\n", printable(&left.object), printable(&left.why))
    };
    left.iter().map(line).collect()
}

/// Damage that stays is told by the exit code, too.
fn exit(left: &[Left]) -> Exit {
    if left.is_empty() { Exit::Done } else { Exit::Damage }
}
