//! The repository: its object, whether the key opens it, its history, and writers that died.

use nightjar_codec::slot::Unlock;
use nightjar_format::session::Position;
use nightjar_storage::Store;

use super::{Check, State};
use crate::environment::Environment;
use crate::error::RepositoryError;
use crate::found::read_repository_object;
use crate::repository::Repository;
use crate::{ledger, snapshots, status};

/// A writer that has not renewed its session for so long is taken for dead.
const DEAD_NANOS: i64 = 24 * HOUR_NANOS;
const HOUR_NANOS: i64 = 3600 * 1_000_000_000;

const NAMES: [&str; 4] = ["recorded", "key", "ledger", "sessions"];

/// Skips everything that needs a repository.
pub fn skip(why: &str) -> Vec<Check> {
    let names = ["repository"].into_iter().chain(NAMES);
    names.map(|name| Check::skipped(name, why)).collect()
}

/// Examines the repository of a store that answers. `honours_conditions` is what was seen of the
/// store just now. Without `unlock`, only what everybody may know is looked at.
pub fn examine(
    store: &Store,
    environment: &Environment,
    unlock: Option<&Unlock>,
    honours_conditions: Option<bool>,
) -> Vec<Check> {
    let record = match read_repository_object(store) {
        Ok((record, _)) => record,
        Err(error) => {
            let none = matches!(error, RepositoryError::NoRepository { .. });
            let why = if none { "there is no repository" } else { "it cannot be told" };
            let missing = Check::warning(
                "repository",
                format!("there is none at {}", store.url()),
                "`nightjar init` makes one; if one should be there, look at the URL",
            );
            let check = if none { missing } else { of_error("repository", &error) };
            let skipped = NAMES.map(|name| Check::skipped(name, why));
            return [check].into_iter().chain(skipped).collect();
        }
    };
    let mut checks = vec![
        Check::ok("repository", format!("{} at {}", record.repository_id, store.url())),
        recorded(record.conditional_create, honours_conditions),
    ];
    let why =
        match unlock.map(|unlock| Repository::open(store.clone(), unlock, environment.clone())) {
            None => {
                checks.push(Check::skipped("key", "no passphrase or key file was given"));
                "no passphrase or key file was given"
            }
            Some(Err(error)) => {
                checks.push(of_error("key", &error));
                "the repository was not opened"
            }
            Some(Ok(repository)) => {
                checks.extend(inside(&repository));
                return checks;
            }
        };
    checks.extend(["ledger", "sessions"].map(|name| Check::skipped(name, why)));
    checks
}

/// Whether what `nightjar init` saw of the store still holds.
fn recorded(recorded: bool, seen: Option<bool>) -> Check {
    const NAME: &str = "recorded";
    match (recorded, seen) {
        (true, Some(true)) => Check::ok(NAME, "several writers, as when the repository was made"),
        (true, None) => Check::ok(NAME, "several writers, if the store still is as it was then"),
        (false, Some(true)) => Check::ok(
            NAME,
            "a single writer: the store honours conditions now, and did not when it was made",
        ),
        (false, _) => Check::ok(NAME, "a single writer, as when the repository was made"),
        (true, Some(false)) => Check {
            name: NAME,
            state: State::Failed,
            found: "the store honoured conditions when the repository was made, and ignores them \
                    now: commands at work at once can overwrite what the other wrote"
                .into(),
            advice: Some(
                "let one command at a time write until that is cleared up: look at what changed, \
                 the server or something between it and this machine"
                    .into(),
            ),
        },
    }
}

/// What only an opened repository tells.
fn inside(repository: &Repository) -> Vec<Check> {
    let keychain = repository.keychain();
    let (slot, role) = (keychain.slot().short(), keychain.role());
    let key = Check::ok("key", format!("slot {slot} opens it, with the role {role}"));
    vec![key, history(repository), sessions(repository)]
}

fn history(repository: &Repository) -> Check {
    const NAME: &str = "ledger";
    let read = ledger::read(repository)
        .and_then(|ledger| Ok((snapshots::list_under(repository, &ledger)?, ledger.head)));
    match read {
        Err(error) => of_error(NAME, &error),
        Ok((list, Position { number, .. })) if list.findings.is_empty() => {
            let snapshots = list.snapshots.len();
            Check::ok(NAME, format!("at record {number}, nothing missing; snapshots: {snapshots}"))
        }
        Ok((list, _)) => Check {
            name: NAME,
            state: State::Damage,
            found: list.findings.join("; "),
            advice: Some("find out who changed the store, and what `snapshot verify` says".into()),
        },
    }
}

fn sessions(repository: &Repository) -> Check {
    const NAME: &str = "sessions";
    let mut findings = Vec::new();
    let open = match status::open_sessions(repository, &mut findings) {
        Ok(open) => open,
        Err(error) => return of_error(NAME, &error),
    };
    let now = repository.environment.clock.now();
    let age = |session: &status::OpenSession| now.saturating_sub(session.renewed);
    let dead: Vec<String> = open
        .iter()
        .filter(|session| age(session) > DEAD_NANOS)
        .map(|session| {
            let hours = age(session) / HOUR_NANOS;
            format!("{} of {}, silent for {hours} hours", session.id.short(), session.host)
        })
        .collect();
    if !findings.is_empty() {
        let advice = "a writer's announcement is damaged; no snapshot is harmed by it";
        return Check::warning(NAME, findings.join("; "), advice);
    }
    if dead.is_empty() {
        return Check::ok(NAME, format!("{} at work", open.len()));
    }
    Check::warning(
        NAME,
        format!("writers that seem to have died: {}", dead.join("; ")),
        "look at the log of that host; no snapshot is harmed by it, and the next backup finds \
         again what was stored",
    )
}

fn of_error(name: &'static str, error: &RepositoryError) -> Check {
    let state = if error.is_damage() { State::Damage } else { State::Failed };
    Check { state, ..Check::failed(name, error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_no_longer_keeps_its_promise_is_a_failure() {
        let state = |then, now| recorded(then, now).state;
        assert_eq!(state(true, Some(false)), State::Failed);
        for (then, now) in [(true, Some(true)), (true, None), (false, Some(true)), (false, None)] {
            assert_eq!(state(then, now), State::Ok);
        }
    }
}
