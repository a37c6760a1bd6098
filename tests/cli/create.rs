//! `snapshot create`: what is stored, and when there is no snapshot.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use crate::harness::{Outcome, Sandbox, assert_same, data, files_below, id_of};

#[track_caller]
fn assert_no_snapshot(sandbox: &Sandbox, outcome: Outcome) -> Outcome {
    assert!(sandbox.snapshots().is_empty(), "a snapshot was made\n{outcome}");
    outcome
}

#[test]
fn standard_input_comes_back_bit_for_bit() {
    let sandbox = Sandbox::new();
    let stream = [data::dump(1, 5000), data::noise(2, 3_000_000), vec![0; 700_001]].concat();
    let created =
        sandbox.nightjar("snapshot create --stdin orders.sql").stdin(stream.as_slice()).json();
    assert_eq!(created["series"], "orders.sql");
    assert_eq!(created["bytes_read"], stream.len());
    assert_eq!(created["files"], 1);
    assert_eq!(created["source"]["kind"], "stdin");
    assert_same(&sandbox.stream(&id_of(&created)), &stream);
    sandbox.assert_verifies();
}

#[test]
fn the_output_of_a_command_comes_back_bit_for_bit() {
    let sandbox = Sandbox::new();
    let stream = data::dump(3, 30_000);
    let file = sandbox.write("source", &stream);
    let created =
        sandbox.nightjar("backup --name orders.sql --label night=1 -- cat").arg(&file).json();
    assert_eq!(created["series"], "orders.sql");
    assert_eq!(created["labels"]["night"], "1");
    assert_eq!(created["source"]["kind"], "command");
    assert_eq!(created["source"]["status"], 0);
    assert_eq!(created["source"]["arguments"][0], "cat");
    assert_same(&sandbox.stream(&id_of(&created)), &stream);
}

#[test]
fn a_series_may_be_named() {
    let sandbox = Sandbox::new();
    let run = sandbox.nightjar("backup --series shop --stdin a.sql");
    assert_eq!(run.stdin("x").json()["series"], "shop");
    let run = sandbox.nightjar("backup --series shop --name b.sql -- echo hello");
    assert_eq!(run.json()["series"], "shop");
    assert_eq!(sandbox.nightjar("snapshot list --series shop").json().as_array().unwrap().len(), 2);
}

#[test]
fn a_failing_dump_command_leaves_no_snapshot() {
    let sandbox = Sandbox::new();
    let script = "seq 1 200000; seq -f 'complaint %g.' 1 50 >&2; exit 7";
    let outcome = sandbox.nightjar("backup --name d.sql").shell(script).exits(1);
    assert_no_snapshot(&sandbox, outcome)
        .prints_nothing()
        .says("exit status 7")
        .says("no snapshot")
        .says("complaint 50.")
        .says("complaint 45.")
        .never_says("complaint 1.");
    // The next night is none the worse for it.
    sandbox.nightjar("backup --name d.sql").shell("seq 1 200000").done();
    sandbox.assert_verifies();
}

#[test]
fn a_dump_command_that_a_signal_ends_leaves_no_snapshot() {
    let sandbox = Sandbox::new();
    let script = "seq 1 200000; echo 'last words' >&2; kill -9 $$";
    let outcome = sandbox.nightjar("backup --name d.sql").shell(script).exits(1);
    assert_no_snapshot(&sandbox, outcome).says("signal 9").says("last words").says("no snapshot");
}

#[test]
fn a_dump_command_that_does_not_exist_leaves_no_snapshot() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.nightjar("backup --name d.sql -- /no/such/pg_dump").exits(1);
    assert_no_snapshot(&sandbox, outcome).says("/no/such/pg_dump");
}

#[test]
fn a_command_that_complains_and_succeeds_is_heard() {
    let sandbox = Sandbox::new();
    let script = "echo data; echo 'warning: circular foreign keys' >&2";
    sandbox.nightjar("backup --name d.sql").shell(script).done().says("circular foreign keys");
}

#[test]
fn a_failed_run_harms_nothing_and_is_not_left_open() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    sandbox.nightjar("backup --name dump.sql").shell("seq 1 1000000; exit 1").exits(1);
    assert_eq!(sandbox.snapshots().len(), 1);
    assert_eq!(sandbox.nightjar("status").json()["sessions"].as_array().unwrap().len(), 0);
    assert_same(&sandbox.stream(&id), &dump);
    sandbox.assert_verifies();
}

#[test]
fn a_dump_below_its_least_size_is_refused() {
    let sandbox = Sandbox::new();
    let run = || sandbox.nightjar("backup --min-size 10KB --stdin d.sql");
    let outcome = run().stdin(vec![b'x'; 9999]).exits(1);
    assert_no_snapshot(&sandbox, outcome).says("9999").says("--min-size");
    let outcome = sandbox.nightjar("backup --min-size 1 --name d.sql -- true").exits(1);
    assert_no_snapshot(&sandbox, outcome);
    run().stdin(vec![b'x'; 10_000]).done();
}

#[test]
fn a_dump_without_its_expected_end_is_refused() {
    let sandbox = Sandbox::new();
    let dump = data::dump(1, 5000);
    let truncated = &dump[..dump.len() - 100];
    let run = || {
        let run = sandbox.nightjar("backup --stdin d.sql --expect-tail");
        run.arg("PostgreSQL database dump complete")
    };
    for stream in [truncated, b""] {
        let outcome = run().stdin(stream).exits(1);
        assert_no_snapshot(&sandbox, outcome).says("PostgreSQL database dump complete");
    }
    run().stdin(dump).done();
}

#[test]
fn no_credential_of_a_command_is_recorded() {
    let sandbox = Sandbox::new();
    symlink("/bin/echo", sandbox.path("mysqldump")).unwrap();
    let mysqldump = sandbox.path("mysqldump").display().to_string();
    let commands: [&[&str]; 7] = [
        &["echo", "postgresql://app:hunter2@db.example/orders?sslmode=require"],
        &["echo", "postgresql://db.example/orders?user=app&password=hunter2"],
        &["echo", "host=db password=hunter2 dbname=orders"],
        &["echo", "--password=hunter2", "--api-key", "hunter2", "--token", "hunter2"],
        &["env", "AWS_SECRET_ACCESS_KEY=hunter2", "PGPASSWORD=hunter2", "echo"],
        &["sh", "-c", "PGPASSWORD=hunter2 echo dump"],
        &[&mysqldump, "-phunter2", "--all-databases"],
    ];
    assert_none_is_recorded(&sandbox, &commands);
}

/// Forms that stand in the scripts and manuals of the dump programs.
#[test]
fn no_credential_is_recorded_where_it_is_quoted_or_in_a_script() {
    let sandbox = Sandbox::new();
    let commands: [&[&str]; 7] = [
        &["echo", "host=db password='very hunter2' dbname=orders"],
        &["echo", "host=db password = hunter2 dbname=orders"],
        &["sh", "-c", "PGPASSWORD='very hunter2' echo orders"],
        &["sh", "-c", "echo mysqldump -uroot -phunter2 orders"],
        &["sh", "-c", "echo tool --password hunter2 orders"],
        &["echo", "sshpass", "--password", "-hunter2"],
        &["sh", "-c", "echo --header 'Authorization: Bearer hunter2'"],
    ];
    assert_none_is_recorded(&sandbox, &commands);
}

#[track_caller]
fn assert_none_is_recorded(sandbox: &Sandbox, commands: &[&[&str]]) {
    let mut leaks = Vec::new();
    for command in commands {
        let run = sandbox.nightjar("backup --series s --name d.sql --").with_json();
        let outcome = command.iter().fold(run, |run, word| run.arg(word)).done();
        let id = id_of(&outcome.json());
        let list = sandbox.nightjar("snapshot list").with_json().done();
        let show = sandbox.nightjar("snapshot show").arg(&id).with_json().done();
        let text = sandbox.nightjar("snapshot show").arg(&id).done();
        let shown = [&outcome, &list, &show, &text].map(|it| it.text() + &it.stderr).concat();
        if shown.contains("hunter2") {
            leaks.push(outcome.json()["source"]["arguments"].to_string());
        }
        sandbox.nightjar("snapshot forget --reason test").arg(&id).done();
    }
    assert!(leaks.is_empty(), "recorded:\n{}", leaks.join("\n"));
}

#[test]
fn compressed_input_is_stored_and_told_once_with_the_flag_to_change() {
    let sandbox = Sandbox::new();
    let plain = sandbox.write("plain", data::dump(1, 20_000));
    let output = Command::new("gzip").arg("-c").arg(&plain).stdin(Stdio::null()).output().unwrap();
    let gzip = output.stdout;
    assert!(output.status.success() && gzip.len() > 100_000);
    let custom =
        [b"PGDMP\x01\x0f\x00\x04\x08\x01\x01".as_slice(), &data::noise(1, 300_000)].concat();
    for (name, stream) in [("gzip", gzip), ("custom", custom)] {
        let outcome = sandbox.nightjar("backup --stdin").arg(name).stdin(stream.as_slice()).done();
        let outcome = outcome.says("-Z0");
        assert_eq!(outcome.stderr.matches("warning").count(), 1, "once, and no more\n{outcome}");
        let list = sandbox.nightjar("snapshot list --series").arg(name).json();
        assert_same(&sandbox.stream(&id_of(&list[0])), &stream);
    }
}

#[test]
fn input_that_looks_encrypted_is_stored_and_told_once() {
    let sandbox = Sandbox::new();
    let stream = data::noise(6, 3_000_000);
    let outcome =
        sandbox.nightjar("backup --stdin d.gpg").stdin(stream.as_slice()).with_json().done();
    let warnings = outcome.json()["warnings"].as_array().unwrap().clone();
    assert_eq!(warnings.len(), 1, "{outcome}");
    assert!(warnings[0].as_str().unwrap().contains("encrypted"), "{outcome}");
    assert_same(&sandbox.stream(&id_of(&outcome.json())), &stream);
}

#[test]
fn plain_dumps_get_no_advice() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.nightjar("backup --stdin d.sql").stdin(data::dump(1, 5000)).done();
    outcome.never_says("warning").never_says("-Z0");
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_and_reported() {
    let sandbox = Sandbox::new();
    let tree = sandbox.path("tree");
    fs::create_dir_all(tree.join("shut")).unwrap();
    sandbox.write("tree/good", "good");
    sandbox.write("tree/secret", "secret");
    sandbox.write("tree/shut/inside", "inside");
    for path in ["secret", "shut"] {
        fs::set_permissions(tree.join(path), Permissions::from_mode(0o000)).unwrap();
    }
    let outcome = sandbox.nightjar_unprivileged("backup").source(&tree).with_json().exits(3);
    let created = outcome.json();
    let outcome = outcome.says("tree/secret").says("tree/shut");
    assert_eq!(created["unreadable"], 2, "{outcome}");
    let target = sandbox.path("target");
    fs::create_dir(&target).unwrap();
    let restore = sandbox.nightjar_unprivileged("restore latest --to").arg(&target);
    restore.done();
    assert_eq!(files_below(&target), [target.join("tree/good")]);
    let list = sandbox.nightjar_unprivileged("snapshot list").json();
    assert_eq!(list[0]["unreadable"], 2);
}

#[test]
fn a_path_that_does_not_exist_leaves_no_snapshot() {
    let sandbox = Sandbox::new();
    let there = sandbox.write("there", "x");
    let outcome = sandbox.nightjar("backup").source(&there).args("/no/such/directory").exits(1);
    assert_no_snapshot(&sandbox, outcome).says("/no/such/directory");
}

#[test]
fn two_paths_for_one_place_are_refused() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("etc")).unwrap();
    let run = sandbox.nightjar("backup etc /etc").in_directory(&sandbox.path(""));
    assert_no_snapshot(&sandbox, run.exits(1)).says("/etc").says("would stand");
}

#[test]
fn the_series_of_a_path_does_not_depend_on_where_one_stands() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("etc")).unwrap();
    sandbox.write("etc/file", "x");
    let absolute = sandbox.nightjar("backup").source(sandbox.path("etc")).json();
    let relative = sandbox.nightjar("backup etc/").in_directory(&sandbox.path("")).json();
    assert_eq!(absolute["series"], relative["series"]);
    assert_eq!(relative["previous"], absolute["id"]);
}

#[test]
fn several_paths_stand_side_by_side_in_one_snapshot() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("etc")).unwrap();
    sandbox.write("etc/file", "in a directory");
    sandbox.write("alone", "by itself");
    sandbox.nightjar("backup etc alone").in_directory(&sandbox.path("")).done();
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest --to").arg(&target).done();
    assert_eq!(sandbox.read("target/etc/file"), b"in a directory");
    assert_eq!(sandbox.read("target/alone"), b"by itself");
}
