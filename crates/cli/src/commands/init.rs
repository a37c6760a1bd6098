//! `nightjar init`

use anyhow::Result;
use nightjar_format::object::ObjectName;
use nightjar_format::repository::ChunkerParameters;
use nightjar_format::slot::Argon2Parameters;
use nightjar_repository::{NewRepository, Repository, RepositoryError};
use nightjar_storage::{Store, StoreSettings, StoreUrl};
use serde::Serialize;

use super::Program;
use crate::args::Init;
use crate::config::Access;
use crate::exit::{CommandError, Exit};
use crate::output::format::{printable, size};
use crate::secret_input::{NewSecret, Origin};
use crate::stderr;

/// What it means that a store ignores conditions.
const SINGLE_WRITER: &str = "this store ignores conditional creation: it overwrites what it should \
    refuse to create, so the repository has a single writer. Run only one of `key add`, `key remove`, \
    `retention apply` and `snapshot forget`, `hold`, `release`, `accept` at a time, on all machines \
    together; what one of two at once did can be \
    lost. Backups and restores may run side by side";

#[derive(Serialize)]
struct InitView<'a> {
    id: String,
    url: &'a str,
    slot: String,
    label: &'a str,
    chunk_bytes_min: u32,
    chunk_bytes_average: u32,
    chunk_bytes_max: u32,
    pack_bytes: u32,
    /// Several writers at a time are safe.
    conditional_create: bool,
    /// The key file that was made.
    key_file: Option<String>,
}

pub(super) fn run(program: &Program<'_>, arguments: &Init) -> Result<Exit> {
    let Access { url, settings, origin, .. } = program.access()?;
    let new = parameters(arguments)?;
    refuse_if_there(url, settings)?;
    let environment = program.environment()?;
    let label = arguments
        .label
        .clone()
        .unwrap_or_else(|| format!("{}@{}", environment.user, environment.host));
    let secret = NewSecret::obtain(origin, "for the new repository")?;
    let created = Store::open_or_create(url, settings)
        .map_err(RepositoryError::from)
        .and_then(|store| Repository::create(store, &new, &secret.unlock, &label, environment));
    let repository = match created {
        Ok(repository) => repository,
        Err(error) => {
            secret.discard();
            return Err(error.into());
        }
    };
    let record = repository.record();
    if !record.conditional_create {
        stderr::warn(SINGLE_WRITER);
    }
    let view = InitView {
        id: repository.id().to_string(),
        url: repository.store().url(),
        slot: repository.keychain().slot().to_string(),
        label: &label,
        chunk_bytes_min: record.chunker.min,
        chunk_bytes_average: record.chunker.average,
        chunk_bytes_max: record.chunker.max,
        pack_bytes: record.pack_target_bytes,
        conditional_create: record.conditional_create,
        key_file: secret.made.as_ref().map(|path| path.display().to_string()),
    };
    program.output.summary(&view, || describe(&view, origin))?;
    Ok(Exit::Done)
}

/// Before anybody is asked for a passphrase.
fn refuse_if_there(url: &StoreUrl, settings: &StoreSettings) -> Result<()> {
    let name = ObjectName::Repository.to_string();
    match Store::open(url, settings).and_then(|store| store.head(&name)) {
        Ok(Some(_)) => {
            Err(RepositoryError::AlreadyThere { url: url.to_string(), what: "a repository".into() }
                .into())
        }
        // Whatever else is wrong shows when the repository is made.
        _ => Ok(()),
    }
}

fn parameters(arguments: &Init) -> Result<NewRepository> {
    let usage = |text: &str| CommandError::Usage(text.to_owned());
    let average = u32::try_from(arguments.chunk_size)
        .ok()
        .filter(|size| size.is_power_of_two() && (4 << 10..=4 << 20).contains(size))
        .ok_or_else(|| {
            usage("--chunk-size must be a power of two from 4KiB to 4MiB (KiB, not KB)")
        })?;
    let pack_target_bytes = u32::try_from(arguments.pack_size)
        .ok()
        .filter(|size| nightjar_format::limits::PACK_TARGET_BYTES.contains(size))
        .ok_or_else(|| usage("--pack-size must lie between 1MiB and 128MiB"))?;
    Ok(NewRepository {
        chunker: ChunkerParameters { min: average / 4, average, max: average.saturating_mul(4) },
        pack_target_bytes,
        argon2: Argon2Parameters {
            memory_kib: arguments.argon2_memory,
            ..Argon2Parameters::default()
        },
    })
}

fn describe(view: &InitView<'_>, origin: &Origin) -> String {
    let InitView { id, url, slot, label, .. } = view;
    let (chunk, pack) = (size(view.chunk_bytes_average.into()), size(view.pack_bytes.into()));
    let label = printable(label);
    let mut text = format!(
        "repository {id} made at {url}\n\
         slot {slot} ({label}) opens it; chunks of {chunk}, packs of {pack}\n"
    );
    if let Some(path) = &view.key_file {
        text += &format!("key file {path} made\n");
    }
    let secret = match origin {
        Origin::KeyFile(_) => "the key file",
        _ => "the passphrase",
    };
    text += &format!(
        "\nWhoever loses {secret} loses everything in the repository: nothing else opens it.\n\
         Keep a copy of it elsewhere, or add a second slot with `nightjar key add`.\n"
    );
    text
}
