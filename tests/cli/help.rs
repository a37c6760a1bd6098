//! What the program says about itself.

use std::fs;
use std::process::Command;

use crate::harness::{Nightjar, Sandbox};

const COMMANDS: [&str; 35] = [
    "init",
    "backup",
    "restore",
    "snapshot create",
    "snapshot list",
    "snapshot show",
    "snapshot ls",
    "snapshot cat",
    "snapshot find",
    "snapshot restore",
    "snapshot verify",
    "snapshot diff",
    "snapshot hold",
    "snapshot release",
    "snapshot accept",
    "snapshot rewrite",
    "snapshot forget",
    "retention plan",
    "retention apply",
    "ledger show",
    "key add",
    "key list",
    "key remove",
    "index rebuild",
    "index status",
    "replicate",
    "replicate status",
    "replica promote",
    "repair",
    "repair index",
    "repair snapshots",
    "status",
    "doctor",
    "completions",
    "",
];

#[test]
fn help_teaches_by_examples() {
    for command in COMMANDS {
        let outcome = Nightjar::new().args(command).args("--help").done();
        outcome.prints("Examples:").prints("nightjar ");
    }
    Nightjar::new().args("--version").done().prints("nightjar");
}

#[test]
fn the_exit_codes_stand_in_the_help() {
    let help = Nightjar::new().args("--help").done();
    [0, 1, 2, 3, 4, 10, 11, 12, 130]
        .iter()
        .fold(help, |help, code| help.prints(&format!("{code}  ")));
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let sandbox = Sandbox::new();
    for line in [
        "nonsense",
        "snapshot",
        "snapshot create",
        "snapshot list --nonsense",
        "backup --stdin a/b",
        "backup --name d.sql",
        "backup /etc --stdin d.sql",
        "backup /etc --min-size 1KB",
        "backup --stdin d.sql --min-size lots",
        "restore latest",
        "restore latest --stdout --to out",
        "restore nonsense --stdout",
        "snapshot ls latest --depth 0",
        "snapshot cat latest",
        "snapshot cat latest a b",
        "snapshot find",
        "snapshot find [a",
        "snapshot find /",
        "snapshot find a --kind fifo",
        "snapshot diff latest",
        "snapshot verify",
        "snapshot verify --all --level thorough",
        "key remove",
        "init --chunk-size 5000",
        "init --pack-size 1GiB",
    ] {
        sandbox.nightjar(line).exits(2).prints_nothing();
    }
    assert!(sandbox.snapshots().is_empty());
}

#[test]
fn without_a_repository_named_it_says_how_to_name_one() {
    // No file of this machine's counts.
    let run = Nightjar::new().args("snapshot list --config /dev/null");
    let outcome = run.exits(2).prints_nothing();
    outcome.says("--repository").says("NIGHTJAR_REPOSITORY").says("nightjar.toml");
}

#[test]
fn every_shell_gets_a_script_that_completes() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let outcome = Nightjar::new().args("completions").arg(shell).done();
        outcome.prints("restore").prints("password-file");
    }
    let sandbox = Sandbox::without_repository();
    let script =
        sandbox.write("completions", Nightjar::new().args("completions bash").done().stdout);
    let status = Command::new("bash").arg("-n").arg(&script).status().unwrap();
    assert!(status.success(), "bash does not accept its script");
    Nightjar::new().args("completions tcsh").exits(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::without_repository();
    let directory = sandbox.path("man/man1");
    Nightjar::new().args("man").arg(&directory).done();
    for command in COMMANDS {
        let name = format!("nightjar {command}").trim_end().replace(' ', "-");
        let page = fs::read_to_string(directory.join(format!("{name}.1")));
        let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME"), "{name}");
    }
}

#[test]
fn an_output_that_takes_nothing_fails_the_command() {
    assert!(fs::exists("/dev/full").unwrap(), "there is no /dev/full, which takes nothing");
    let (sandbox, ..) = Sandbox::with_dump();
    let program = crate::harness::program().display().to_string();
    for words in [
        "snapshot list",
        "restore latest --stdout",
        "--json status",
        "snapshot ls latest",
        "snapshot cat latest dump.sql",
        "snapshot find dump.sql",
    ] {
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!("'{program}' {words} > /dev/full"))
            .env("NIGHTJAR_REPOSITORY", sandbox.repository())
            .env("NIGHTJAR_PASSWORD_FILE", sandbox.path("passphrase"))
            .env("NIGHTJAR_CACHE_DIR", sandbox.cache())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{words}: {stderr}");
        assert!(stderr.contains("No space left"), "{words}: {stderr}");
        assert!(!stderr.contains("panicked"), "{words}: {stderr}");
    }
}
