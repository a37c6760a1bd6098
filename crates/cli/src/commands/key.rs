//! `nightjar key add`, `list` and `remove`

use anyhow::Result;
use nightjar_codec::slot::Protection;
use nightjar_format::slot::{Argon2Parameters, Role};
use nightjar_repository::slots::{self, SlotInfo};
use nightjar_repository::{Repository, RepositoryError};
use serde::Serialize;

use super::Program;
use crate::args::{KeyAdd, KeyRemove, RoleChoice};
use crate::exit::Exit;
use crate::output::format::{local_time, printable};
use crate::output::table::{Align, Table};
use crate::output::views::SlotView;
use crate::secret_input::{NewSecret, Origin};

#[derive(Serialize)]
struct AddedView<'a> {
    id: String,
    role: String,
    label: &'a str,
    /// The key file that was made.
    key_file: Option<String>,
}

pub(super) fn add(program: &Program<'_>, arguments: &KeyAdd) -> Result<Exit> {
    let mut repository = program.open()?;
    let role = match arguments.role {
        RoleChoice::Full => Role::Full,
        RoleChoice::Write => Role::Write,
    };
    require_full(&repository, "add slots")?;
    let origin = match (&arguments.new_password_file, &arguments.new_key_file) {
        (Some(path), _) => Origin::PasswordFile(path.clone()),
        (None, Some(path)) => Origin::KeyFile(path.clone()),
        (None, None) => Origin::Terminal,
    };
    let secret = NewSecret::obtain(&origin, "of the new slot")?;
    let argon2 =
        Argon2Parameters { memory_kib: arguments.argon2_memory, ..Argon2Parameters::default() };
    let protection = Protection { unlock: &secret.unlock, argon2 };
    let id = match slots::add(&mut repository, role, &arguments.label, &protection) {
        Ok(id) => id,
        Err(error) => {
            secret.discard();
            return Err(error.into());
        }
    };
    let made = secret.made.as_ref().map(|path| path.display().to_string());
    let view = AddedView {
        id: id.to_string(),
        role: role.to_string(),
        label: &arguments.label,
        key_file: made,
    };
    program.output.summary(&view, || {
        let made = view.key_file.as_ref().map(|path| format!("key file {path} made\n"));
        format!("slot {id} added, role {role}\n{}", made.unwrap_or_default())
    })?;
    Ok(Exit::Done)
}

pub(super) fn list(program: &Program<'_>) -> Result<Exit> {
    let repository = program.open()?;
    let slots = slots::list(&repository)?;
    let views: Vec<SlotView<'_>> = slots.iter().map(SlotView::new).collect();
    program.output.result(&views, || {
        let mut table = Table::new([
            ("id", Align::Left),
            ("role", Align::Left),
            ("protected by", Align::Left),
            ("added", Align::Left),
            ("label", Align::Left),
            ("", Align::Left),
        ]);
        for slot in &slots {
            table.push([
                slot.id.short(),
                slot.role.to_string(),
                slot.protection.clone(),
                local_time(slot.created),
                printable(&slot.label),
                if slot.current { "(this one)".into() } else { String::new() },
            ]);
        }
        table.render()
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct RemovedView {
    id: String,
    epoch: u32,
}

pub(super) fn remove(program: &Program<'_>, arguments: &KeyRemove) -> Result<Exit> {
    let mut repository = program.open()?;
    require_full(&repository, "remove slots")?;
    let slots = slots::list(&repository)?;
    let slot = find(&slots, &arguments.slot)?;
    slots::remove(&mut repository, slot.id)?;
    let epoch = repository.keychain().epoch();
    let view = RemovedView { id: slot.id.to_string(), epoch };
    program.output.summary(&view, || {
        format!(
            "slot {} ({}) removed; epoch {epoch} made for the others\n\
             What is written from now on is sealed under keys that the slot never had. What it\n\
             could read before, it may have kept; and it still knows the dedup key, with which it\n\
             can tell whether a chunk that it can guess is stored.\n",
            slot.id.short(),
            printable(&slot.label),
        )
    })?;
    Ok(Exit::Done)
}

/// Before anybody is asked for anything.
fn require_full(repository: &Repository, what: &'static str) -> Result<()> {
    match repository.keychain().role() {
        Role::Full => Ok(()),
        Role::Write => Err(RepositoryError::RoleForbids { what }.into()),
    }
}

/// The slot whose id begins so.
fn find<'a>(slots: &'a [SlotInfo], text: &str) -> Result<&'a SlotInfo> {
    let mut matches = slots.iter().filter(|slot| slot.id.to_string().starts_with(text));
    let refused = |text| Err(RepositoryError::Refused(text).into());
    match (matches.next(), matches.next()) {
        (Some(slot), None) => Ok(slot),
        (Some(_), Some(_)) => {
            refused(format!("{text:?} begins the ids of several slots; give more digits"))
        }
        (None, _) => refused(format!("there is no slot {text:?}; `nightjar key list` shows them")),
    }
}
