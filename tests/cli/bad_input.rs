//! What goes wrong in the middle of a run: each is named with the setting to look at, and nothing
//! that was committed is lost.

use nightjar_testservers::Fault;

use super::far::Far;
use crate::harness::data::noise;

/// What a store answers from some request on, and what is made of it.
const TROUBLES: [(u16, &str, &str); 7] = [
    (400, "ExpiredToken", "the credentials have expired: renew them"),
    (403, "RequestTimeTooSkewed", "the clock of this machine"),
    (403, "InvalidAccessKeyId", "check AWS_ACCESS_KEY_ID"),
    (403, "AccessDenied", "check the permissions of this user"),
    (403, "QuotaExceeded", "no space is left in the store"),
    (507, "XMinioStorageFull", "no space is left in the store"),
    (404, "NoSuchBucket", "the bucket of the URL does not exist"),
];

/// The name of each is in the answers' bodies, and answers to HEAD have none.
#[test]
fn trouble_from_the_first_request_on_is_named() {
    let (far, dump) = Far::with_dump();
    for (status, code, says) in TROUBLES {
        far.proxy.inject(Fault::answer(status, code).always());
        far.run("snapshot list").exits(1).says(says).prints_nothing();
        far.proxy.heal();
    }
    far.nothing_is_lost(&dump);
}

#[test]
fn trouble_in_the_middle_of_a_backup_is_named_and_loses_nothing() {
    let (far, dump) = Far::with_dump();
    let other = noise(2, 20_000_000);
    for (status, code, says) in TROUBLES {
        // The session is announced and noted; then come packs, index objects, the register.
        for spared in [2, 3, 4] {
            let fault = Fault::answer(status, code).method("PUT").spare(spared).always();
            far.proxy.inject(fault);
            let run = far.run("backup --stdin other.sql").stdin(other.clone());
            let outcome = run.exits(1);
            // What is ambiguous is read back, and the store says something else of that.
            outcome.says(says).prints_nothing();
            far.proxy.heal();
            let list = far.run("snapshot list").json();
            assert_eq!(list.as_array().unwrap().len(), 1, "{code} after {spared}: {list}");
        }
    }
    far.run("backup --stdin other.sql").stdin(other.clone()).done();
    far.run("restore latest --series other.sql --stdout").done().prints_bytes(&other);
    far.nothing_is_lost(&dump);
}

#[test]
fn trouble_in_the_middle_of_a_restore_is_named() {
    let (far, dump) = Far::with_dump();
    for (status, code, says) in TROUBLES {
        let fault = Fault::answer(status, code).method("GET").on("packs/").spare(1).always();
        far.proxy.inject(fault);
        let directory = far.sandbox.path(code);
        let run = far.run_elsewhere("restore latest --to").arg(&directory);
        let outcome = run.run();
        assert!(!outcome.is_done(), "{code}\n{outcome}");
        outcome.says(says);
        assert!(!directory.join("dump.sql").exists(), "{code}: half a file");
        far.proxy.heal();
    }
    far.nothing_is_lost(&dump);
}

/// All at once: credentials that expire do so for everything.
#[test]
fn credentials_that_expire_at_any_request_lose_nothing() {
    let (far, dump) = Far::with_dump();
    far.proxy.forget();
    let other = noise(3, 2_000_000);
    far.run("backup --stdin count.sql").stdin(other.clone()).done();
    let requests = far.proxy.seen().len();
    let mut failed = 0;
    for spared in (0..requests).step_by(3) {
        let spared = u32::try_from(spared).unwrap();
        far.proxy.inject(Fault::answer(400, "ExpiredToken").spare(spared).always());
        let series = format!("night-{spared}");
        let run = far.run("backup --stdin dump --series").arg(&series).stdin(other.clone());
        let outcome = run.run();
        far.proxy.heal();
        if outcome.is_done() {
            // What came after the register: the session, which gc deletes.
            let restore = far.run_elsewhere("restore latest --stdout --series").arg(&series);
            restore.done().prints_bytes(&other);
        } else {
            failed += 1;
            outcome.exited(1).says("the credentials have expired: renew them");
        }
    }
    assert!(failed > 3, "{failed} of {requests} failed");
    far.nothing_is_lost(&dump);
}
