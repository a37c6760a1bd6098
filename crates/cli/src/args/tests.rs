//! What the command line accepts and refuses.

use super::*;

fn parse(line: &str) -> Result<Arguments, ErrorKind> {
    let words = line.split_whitespace();
    Arguments::try_parse_from(std::iter::once("nightjar").chain(words))
        .map_err(|error| error.kind())
}

#[test]
fn the_command_line_contradicts_itself_nowhere() {
    Arguments::command().debug_assert();
}

#[test]
fn a_snapshot_has_exactly_one_kind_of_source() {
    for line in [
        "backup /etc",
        "backup /etc /srv --series x",
        "backup --stdin d.sql",
        "backup --name d.sql -- pg_dump -Z0 orders",
        "snapshot create --name d.sql -- pg_dump --format plain",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in [
        "backup",
        "backup /etc --stdin d.sql",
        "backup --name d.sql",
        "backup --name d.sql /etc",
        "backup -- pg_dump",
        "backup --stdin d.sql -- pg_dump",
        "backup --stdin a/b",
        "backup /etc --min-size 1KB",
        "backup /etc --expect-tail done",
        "backup /etc --label nonsense",
        "backup /etc --compression-level 0",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_restore_has_exactly_one_destination() {
    for line in [
        "restore latest --to out",
        "restore a5 --to out etc home --overwrite if-changed",
        "restore a5 --to out --overwrite always --delete --dry-run --numeric-ids",
        "restore a5 --to out --subtree etc --verify",
        "restore a5 --subtree etc hosts --stdout",
        "restore a5 --stdout",
        "snapshot restore latest --series s d.sql -- psql -d copy",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in [
        "restore latest",
        "restore --to out",
        "restore latest --to out --stdout",
        "restore latest --stdout -- psql",
        "restore latest --stdout --overwrite always",
        "restore latest --to out --overwrite",
        "restore latest --stdout --delete",
        "restore latest --stdout --dry-run",
        "restore latest --to out --dry-run --verify",
        "restore nonsense --stdout",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn verify_is_told_what_to_check() {
    for line in [
        "snapshot verify a5 b6",
        "snapshot verify --series s",
        "snapshot verify latest --series s",
        "snapshot verify --all --level presence",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in ["snapshot verify", "snapshot verify --all a5", "snapshot verify --all --series s"]
    {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn forgetting_needs_ids_and_a_reason() {
    assert!(parse("snapshot forget a5 b6 --reason test").is_ok());
    for line in [
        "snapshot forget a5",
        "snapshot forget --reason test",
        "snapshot forget latest --reason test",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn a_policy_is_made_of_rules() {
    for line in [
        "retention plan",
        "retention plan --series a --series b* --preset standard",
        "retention apply --dry-run --keep-last 3 --keep-daily 7 --keep-weekly-within 90d",
        "retention apply --keep-label tier=gold --keep-label keep --slot db1 --keep-at-least 5",
        "retention plan --keep-within 1y --time-zone UTC --copied-until 2026-05-01",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in [
        "retention",
        "retention plan --dry-run",
        "retention plan --keep-last -1",
        "retention plan --keep-daily 0",
        "retention plan --keep-within 6m",
        "retention plan --keep-label =x",
        "retention plan orders",
        "retention apply --copied-until soon",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn holding_and_releasing_need_ids_and_a_reason() {
    for line in [
        "snapshot hold a5 latest --series s --reason r",
        "snapshot hold a5 --until 90d --reason r",
        "snapshot release a5 b6 --reason r",
        "snapshot accept a5 --reason r",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
    for line in [
        "snapshot hold --reason r",
        "snapshot hold a5",
        "snapshot hold a5 --until 90 --reason r",
        "snapshot release latest --reason r",
        "snapshot release a5",
        "snapshot accept a5 b6 --reason r",
        "snapshot accept latest --reason r",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn global_options_stand_anywhere() {
    for line in
        ["-r /x snapshot list --json", "snapshot list -r /x --json", "snapshot -r /x list --json"]
    {
        let arguments = parse(line).unwrap_or_else(|kind| panic!("{line}: {kind}"));
        assert_eq!(arguments.globals.repository.as_deref(), Some("/x"), "{line}");
        assert!(arguments.globals.json, "{line}");
    }
}

#[test]
fn there_is_one_way_in_on_a_command_line() {
    assert!(parse("status --password-file a --key-file b").is_err());
    assert!(parse("status --password-command a --key-file b").is_err());
    assert!(parse("status --password-file a --password-command b").is_err());
}

#[test]
fn every_visible_command_shows_examples_and_explains_its_arguments() {
    fn check(command: &clap::Command) {
        let name = command.get_name().to_owned();
        if command.is_hide_set() {
            return;
        }
        assert!(command.get_about().is_some(), "{name} says nothing about itself");
        let leaf = command.get_subcommands().next().is_none();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(!leaf || help.contains("Examples:"), "{name} shows no examples");
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            assert!(argument.get_help().is_some(), "{name}: {id} is not explained");
        }
        command.get_subcommands().for_each(check);
    }
    check(&Arguments::command());
}

#[test]
fn no_secret_can_be_given_on_the_command_line() {
    assert!(parse("status --password secret").is_err());
}

#[test]
fn a_command_without_its_verb_shows_its_help() {
    let help = |words: &[&str]| {
        let words = std::iter::once("nightjar").chain(words.iter().copied()).map(Into::into);
        read(words).err().and_then(|refusal| refusal.help).unwrap_or_default()
    };
    assert!(help(&["-q"]).contains("Usage: nightjar [OPTIONS] <COMMAND>"), "{}", help(&["-q"]));
    assert!(help(&["key", "-q"]).contains("Usage: nightjar key [OPTIONS] <COMMAND>"));
}
