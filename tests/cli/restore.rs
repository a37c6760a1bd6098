//! `snapshot restore`: exactly what was stored, where it was asked for, or an error.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::tree::{assert_same_trees, read};
use crate::harness::{Sandbox, assert_same, data, files_below, id_of, program, wait_until};

/// A snapshot of two files in directories.
fn with_two_files() -> Sandbox {
    let sandbox = Sandbox::new();
    for directory in ["etc/a", "etc/b"] {
        fs::create_dir_all(sandbox.path(directory)).unwrap();
    }
    sandbox.write("etc/a/one", "first");
    sandbox.write("etc/b/two", "second");
    sandbox.nightjar("backup").source(sandbox.path("etc")).done();
    sandbox
}

#[test]
fn a_dump_is_restored_under_its_name() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    let target = sandbox.path("new/deep/target");
    sandbox.nightjar("restore").arg(&id).args("--to").arg(&target).done();
    assert_eq!(files_below(&target), [target.join("dump.sql")]);
    assert_same(&sandbox.read("new/deep/target/dump.sql"), &dump);
}

#[test]
fn standard_output_carries_the_stream_and_nothing_else() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    sandbox.nightjar("restore latest --stdout").done().prints_bytes(&dump);
    let outcome = sandbox.nightjar("restore latest --stdout").with_json().done();
    let summary = outcome.json_lines();
    assert_eq!(summary.last().unwrap()["bytes"], dump.len());
    outcome.prints_bytes(&dump);
}

#[test]
fn a_command_receives_the_stream() {
    let (sandbox, dump, _) = Sandbox::with_dump();
    let script = format!("cat > '{}'; echo received", sandbox.path("received").display());
    sandbox.nightjar("restore latest").shell(&script).done();
    assert_same(&sandbox.read("received"), &dump);
}

#[test]
fn the_exit_status_of_the_receiving_command_counts() {
    let (sandbox, ..) = Sandbox::with_dump();
    let restore = |script: &str| sandbox.nightjar("restore latest").shell(script);
    restore("cat > /dev/null; exit 7").exits(1).says("exit status 7");
    restore("cat > /dev/null; kill -9 $$").exits(1).says("signal 9");
    sandbox.nightjar("restore latest -- /no/such/psql").exits(1).says("/no/such/psql");
}

#[test]
fn a_receiver_that_ends_early_fails_the_restore() {
    let sandbox = Sandbox::new();
    sandbox.store("big", &data::noise(1, 20_000_000));
    for script in ["head -c 1000 > /dev/null", "exit 0", "exec 0<&-; sleep 1", "exit 3"] {
        sandbox.nightjar("restore latest").shell(script).exits(1).says("sh ");
    }
    sandbox.nightjar("restore latest").shell("exit 3").exits(1).says("exit status 3");
}

#[test]
fn a_reader_of_standard_output_that_leaves_is_no_success() {
    let sandbox = Sandbox::new();
    sandbox.store("big", &data::noise(1, 20_000_000));
    let script = format!(
        "('{}' restore latest --stdout; echo \"status $?\" >&2) | head -c 1000 > /dev/null",
        program().display()
    );
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .env("NIGHTJAR_REPOSITORY", sandbox.repository())
        .env("NIGHTJAR_PASSWORD_FILE", sandbox.path("passphrase"))
        .env("NIGHTJAR_CACHE_DIR", sandbox.cache())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("status ") && !stderr.contains("status 0"), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

#[test]
fn only_the_named_paths_are_restored() {
    let sandbox = with_two_files();
    let target = sandbox.path("target");
    sandbox.nightjar("restore latest etc/b --to").arg(&target).done();
    assert_eq!(files_below(&target), [target.join("etc/b/two")]);
    assert!(!target.join("etc/a").exists());
    sandbox.nightjar("restore latest etc/a/one --stdout").done().prints_bytes(b"first");
    let outcome = sandbox.nightjar("restore latest etc/a/one").shell("test \"$(cat)\" = first");
    outcome.done();
}

#[test]
fn a_path_that_the_snapshot_lacks_restores_nothing() {
    let sandbox = with_two_files();
    let target = sandbox.path("target");
    let run = sandbox.nightjar("restore latest etc/a etc/nothing --to").arg(&target);
    run.exits(1).says("etc/nothing");
    assert!(!target.exists() || files_below(&target).is_empty(), "something was restored");
    let received = sandbox.path("received");
    let script = format!("cat > '{}'", received.display());
    sandbox.nightjar("restore latest etc/nothing").shell(&script).exits(1);
    assert!(!received.exists(), "the command ran though there was nothing for it");
}

#[test]
fn several_files_do_not_run_into_one_stream() {
    let sandbox = with_two_files();
    sandbox.nightjar("restore latest --stdout").exits(1).says("several").prints_nothing();
    sandbox.nightjar("restore latest etc --stdout").exits(1).prints_nothing();
}

#[test]
fn what_stands_there_is_not_overwritten_unless_told() {
    let sandbox = with_two_files();
    let target = sandbox.path("target");
    fs::create_dir_all(target.join("etc/b")).unwrap();
    sandbox.write("target/etc/b/two", "mine");
    let restore = |words: &str| sandbox.nightjar("restore latest --to").arg(&target).args(words);
    restore("").exits(1).says("two").says("--overwrite");
    assert_eq!(files_below(&target), [target.join("etc/b/two")], "it must refuse at once");
    assert_eq!(sandbox.read("target/etc/b/two"), b"mine");
    restore("--overwrite always").done();
    assert_eq!(sandbox.read("target/etc/b/two"), b"second");
    assert_eq!(sandbox.read("target/etc/a/one"), b"first");
}

#[test]
fn a_link_in_the_way_is_replaced_and_never_followed() {
    let sandbox = with_two_files();
    let target = sandbox.path("target");
    fs::create_dir_all(target.join("etc/b")).unwrap();
    let precious = sandbox.write("precious", "precious");
    symlink(&precious, target.join("etc/b/two")).unwrap();
    let restore = |words: &str| sandbox.nightjar("restore latest --to").arg(&target).args(words);
    restore("").exits(1);
    restore("--overwrite always").done();
    assert_eq!(sandbox.read("precious"), b"precious");
    assert_eq!(sandbox.read("target/etc/b/two"), b"second");
    assert!(!target.join("etc/b/two").is_symlink());
    // A directory that is a link would lead out of the target.
    fs::remove_dir_all(target.join("etc/a")).unwrap();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    symlink(sandbox.path("elsewhere"), target.join("etc/a")).unwrap();
    restore("--overwrite always").exits(1);
    assert!(files_below(&sandbox.path("elsewhere")).is_empty(), "it followed a link");
}

#[test]
fn a_restore_that_is_killed_leaves_no_half_written_file_under_its_name() {
    let sandbox = Sandbox::new();
    let stream = data::noise(1, 150_000_000);
    let file = sandbox.write("big", &stream);
    sandbox.nightjar("backup --name big -- cat").arg(&file).done();
    for attempt in 0..3 {
        let target = sandbox.path(&format!("target-{attempt}"));
        let running = sandbox.nightjar("restore latest --to").arg(&target).start();
        let least = attempt * 20_000_000;
        wait_until("the restore is at work", || {
            let files = if target.exists() { files_below(&target) } else { vec![] };
            files.iter().any(|file| file.metadata().is_ok_and(|it| it.len() > least)).then_some(())
        });
        running.signal(Signal::KILL);
        running.finish().was_killed_by(Signal::KILL);
        assert!(!target.join("big").exists(), "half a file stands under its name");
        // The next one does not stumble over what is left and cleans it up.
        sandbox.nightjar("restore latest --to").arg(&target).done();
        assert_eq!(files_below(&target), [target.join("big")]);
        assert_same(&fs::read(target.join("big")).unwrap(), &stream);
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_restore_of_links_that_is_killed_can_be_run_again() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("links");
    fs::create_dir(&source).unwrap();
    for number in 0..1000 {
        symlink("somewhere", source.join(number.to_string())).unwrap();
    }
    sandbox.nightjar("backup").source(&source).done();
    let target = sandbox.path("target");
    let restore = || sandbox.nightjar("restore latest --overwrite always --to").arg(&target);
    for _ in 0..5 {
        let running = restore().start();
        wait_until("some links are restored", || {
            let made = fs::read_dir(target.join("links")).map_or(0, Iterator::count);
            (made > 10).then_some(())
        });
        running.signal(Signal::KILL);
        running.finish();
        restore().done();
        assert_same_trees(&read(&target.join("links")), &read(&source));
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_file_named_like_a_leftover_of_a_restore_is_restored_too() {
    let sandbox = Sandbox::new();
    // What the program calls a file while it writes it, as seen from outside.
    sandbox.write("big", data::noise(1, 100_000_000));
    sandbox.nightjar("backup big").in_directory(&sandbox.path("")).done();
    let target = sandbox.path("target");
    let running = sandbox.nightjar("restore latest --to").arg(&target).start();
    let leftover = wait_until("the restore is at work", || {
        let files = if target.exists() { files_below(&target) } else { vec![] };
        files.first().cloned()
    });
    running.signal(Signal::KILL);
    running.finish().was_killed_by(Signal::KILL);
    // Somebody backs the directory up as the killed restore left it, with a file `big` beside.
    assert_ne!(leftover, target.join("big"));
    fs::write(&leftover, "half of it").unwrap();
    sandbox.write("target/big", "all of it");
    let id = id_of(&sandbox.nightjar("backup --series again").source(&target).json());
    let again = sandbox.path("again");
    sandbox.nightjar("restore").arg(&id).args("--to").arg(&again).done();
    assert_same_trees(&read(&again.join("target")), &read(&target));
}

/// What is seen under the final name while it is replaced is the old file or the new one.
#[test]
fn an_overwriting_restore_that_is_killed_leaves_the_old_file() {
    let sandbox = Sandbox::new();
    let stream = data::noise(1, 100_000_000);
    let file = sandbox.write("big", &stream);
    sandbox.nightjar("backup --name big -- cat").arg(&file).done();
    let target = sandbox.path("target");
    fs::create_dir(&target).unwrap();
    sandbox.write("target/big", "the old one");
    let running = sandbox.nightjar("restore latest --overwrite always --to").arg(&target).start();
    wait_until("the restore is at work", || (files_below(&target).len() > 1).then_some(()));
    running.signal(Signal::KILL);
    running.finish().was_killed_by(Signal::KILL);
    assert_same(&sandbox.read("target/big"), b"the old one");
}

#[test]
fn the_alias_and_the_long_form_do_the_same() {
    let (sandbox, dump, id) = Sandbox::with_dump();
    for command in ["restore", "snapshot restore"] {
        let run = sandbox.nightjar(command).arg(&id).args("--stdout");
        run.done().prints_bytes(&dump);
    }
    for command in ["backup", "snapshot create"] {
        let run = sandbox.nightjar(command).args("--stdin dump.sql").stdin("x");
        assert_eq!(run.json()["series"], "dump.sql");
    }
}

#[test]
fn an_older_night_is_restored_by_its_id() {
    let (sandbox, dump, first) = Sandbox::with_dump();
    let second = sandbox.nightjar("backup --stdin dump.sql").stdin("another night").json();
    assert_same(&sandbox.stream(&first), &dump);
    assert_same(&sandbox.stream(&id_of(&second)), b"another night");
}
